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

PHOTOGRAPHS = ("denoise", "inpaint", "superres", "deblur", "nldeblur", "cs", "phase")
"""Tasks whose images live in [0, 1]."""

BOUNDED = ("inpaint", "nldeblur", "phase")
"""Tasks whose measurements hardly hold an image in [0, 1] there: the network's head does."""

PRESETS = {
    "fast": "the method's equations with a compact network, Muon, averaged output, held-out stop",
    "paper": "the paper's network, optimiser, settings and budget",
    "best": "as fast, with a wider network and a longer budget",
}

STEPS = {"fast": 300, "best": 1000}

SLACK = {"denoise": 0.005, "superres": 0.005, "inpaint": 0.1, "mri": 0.05, "ct": 0.25}
"""Of the held-out stop, 0.03 elsewhere: the best by docs/stopping.md. The error on two or three
views or columns is noisy, and measured pixels still get better when the held-out ones no longer do;
noisy ones do not."""


def fast(method: Method, task: str, preset: str, source: str) -> Recipe:
    """The engine of `fast` and `best` around `method`."""
    slack = SLACK.get(task, 0.03)
    wide = preset == "best"
    return Recipe(
        method=method,
        net=Compact(
            widths=(32 if wide else 16, 32, 64, 128, 128), skip=16, sigmoid=task in BOUNDED
        ),
        engine=Engine("muon", lr=0.02, warmup=10, schedule="cosine", final=0.02),
        stop=HeldOut(fraction=0.05, patience=250, skip=20, slack=slack, again=True),
        output=Average(decay=0.95),
        steps=STEPS[preset],
        source=source,
    )
