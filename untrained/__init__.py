"""Reconstruct images from measurements with networks that never saw training data.

A *method* (a paper) fits a *net* to a *problem* (measurements y and physics A) with the one loop
`solve`, driven by an *engine*, watched by *rules* that decide when to stop and what to return,
and gives a *result*.
"""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from untrained._version import __version__ as __version__

# Read by torch when it loads: operations that Apple's GPU lacks then run on the CPU.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

if TYPE_CHECKING:
    from untrained import classical, maths, methods, metrics, nets, optim, physics, pretrain, rules
    from untrained.core.engine import Engine
    from untrained.core.method import Method
    from untrained.core.recipe import Recipe
    from untrained.core.state import State
    from untrained.data import TASKS
    from untrained.errors import Diverged, Note, UserError
    from untrained.methods import METHODS
    from untrained.nets import NETS
    from untrained.pretrain import Weights, load_weights
    from untrained.problem import Problem
    from untrained.result import Result
    from untrained.run.reconstruct import reconstruct, reconstructor
    from untrained.run.solve import solve

_HOMES = {
    "METHODS": "methods",
    "NETS": "nets",
    "TASKS": "data",
    "Diverged": "errors",
    "Engine": "core.engine",
    "Method": "core.method",
    "Note": "errors",
    "Problem": "problem",
    "Recipe": "core.recipe",
    "Result": "result",
    "State": "core.state",
    "UserError": "errors",
    "Weights": "pretrain",
    "load_weights": "pretrain",
    "reconstruct": "run.reconstruct",
    "reconstructor": "run.reconstruct",
    "solve": "run.solve",
}
"""Name -> the module that it is read from."""


def __getattr__(name: str) -> Any:
    """A part of the package when it is first asked for.

    The command line thereby says how CPU threads wait before torch is loaded, which reads it once.
    """
    if name in _HOMES:
        found = getattr(importlib.import_module(f"untrained.{_HOMES[name]}"), name)
    elif name.startswith("_") or find_spec(f"untrained.{name}") is None:
        raise AttributeError(f"module 'untrained' has no attribute '{name}'")
    else:
        found = importlib.import_module(f"untrained.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "METHODS",
    "NETS",
    "TASKS",
    "Diverged",
    "Engine",
    "Method",
    "Note",
    "Problem",
    "Recipe",
    "Result",
    "State",
    "UserError",
    "Weights",
    "classical",
    "load_weights",
    "maths",
    "methods",
    "metrics",
    "nets",
    "optim",
    "physics",
    "pretrain",
    "reconstruct",
    "reconstructor",
    "rules",
    "solve",
]
