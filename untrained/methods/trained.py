"""What the methods that apply a trained reconstructor have in common: load, apply, nothing else."""

from __future__ import annotations

import torch

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.nets import NoNet
from untrained.rules import Last, Never


def apply_network(s: State) -> None:
    """Set s["x"] to the image of the trained network, each problem's alone."""
    with torch.no_grad():
        each = [s.reconstructor.reconstruct(one) for one in s.problem.each()]
    s["x"] = torch.cat(each)


def applied(method: Method, preset: str, source: str) -> Recipe:
    """Put the recipe of one step around a method that trains nothing; all presets are the same."""
    return Recipe(
        method=method,
        net=NoNet(),
        engine=Engine("none", precision="fp32"),
        stop=Never(),
        output=Last(keep_best=False),
        source=source,
    )
