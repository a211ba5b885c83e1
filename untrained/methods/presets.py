"""The `fast` and `best` presets: a method's own equations with our engine around them.

A preset changes network, optimiser, rates, precision, averaging and stop; never the input, the
objective or the update.
"""

from __future__ import annotations

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.nets import Compact
from untrained.rules import Average, HeldOut

PHOTOGRAPHS = ("denoise", "inpaint", "superres", "deblur")
"""Tasks whose images live in [0, 1]."""

PRESETS = {
    "fast": "the method's equations with a compact network, Muon, averaged output, held-out stop",
    "paper": "the paper's network, optimiser, settings and budget",
    "best": "as fast, with a wider network and a longer budget",
}

STEPS = {"fast": 600, "best": 1500}


def fast(method: Method, task: str, preset: str, source: str) -> Recipe:
    """The engine of `fast` and `best` around `method`."""
    wide = preset == "best"
    return Recipe(
        method=method,
        net=Compact(widths=(64, 128, 128, 128, 128) if wide else (32, 64, 128, 128, 128)),
        engine=Engine("muon", lr=0.02, lr_other=2e-3, warmup=10),
        stop=HeldOut(fraction=0.05, patience=150, skip=50, again=True),
        output=Average(decay=0.95),
        steps=STEPS[preset],
        source=source,
    )
