"""Settings of `fast` and `best` for all methods; those of `paper` are in each method's file.

A preset changes network, optimiser, rates, precision, stop, how residuals are weighted and which
image is returned; never the input, the terms of the objective or the update.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import NetSpec, Recipe
from untrained.errors import UserError
from untrained.nets import Compact, NoNet, SkipNet, UNet
from untrained.rules import Average, HeldOut, Last, Nearer
from untrained.tasks import find_task

PRESETS = {
    "fast": "the method's equations with a compact network, Muon, averaged output, held-out stop",
    "paper": "the paper's network, optimiser, settings and budget",
    "best": "as fast, with a wider network and a longer budget",
}

STEPS = {"fast": 300, "best": 1000}

SLACK = {"denoise": 0.005, "superres": 0.005, "inpaint": 0.1, "mri": 0.05, "ct": 0.25}
"""`slack` of the held-out stop per task, 0.03 elsewhere; chosen in docs/stopping.md. The error on
two or three views or columns is noisy, and measured pixels still get better when the held-out ones
no longer do; noisy ones do not."""

SMALL_STEPS = ("mri", "ct", "superres", "deblur")
"""Tasks whose measurements say little about much of the image; `sequential` uses it."""


def check_preset(name: str) -> None:
    """Refuse the name of a preset that there is not.

    Raises:
        UserError: it is unknown.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset '{name}'; known: {', '.join(PRESETS)}")


def fast(method: Method, task: str, preset: str, source: str) -> Recipe:
    """Put the engine of `fast` and `best` around `method`."""
    slack = SLACK.get(task, 0.03)
    wide = preset == "best"
    return Recipe(
        method=method,
        net=Compact(
            widths=(32 if wide else 16, 32, 64, 128, 128), skip=16, sigmoid=find_task(task).bounded
        ),
        engine=Engine("muon", lr=0.02, warmup=10, schedule="cosine", final=0.02),
        stop=HeldOut(fraction=0.05, patience=250, skip=20, slack=slack, again=True),
        output=Average(decay=0.95, **_closing(task)),
        steps=STEPS[preset],
        source=source,
    )


def no_network(method: Method, source: str, seeds: int = 1) -> Recipe:
    """Put nothing around a method that fits no network: its last image is returned."""
    return Recipe(
        method=method,
        net=NoNet(),
        engine=Engine("none", precision="fp32"),
        output=Last(),
        seeds=seeds,
        source=source,
    )


def _closing(task: str) -> dict[str, Any]:
    """Choose how the image is moved towards the measurements.

    Measured pixels cannot tell what the missing ones are like.
    """
    return {"mu": 0.1} if task == "inpaint" else {"ask": True}


def sequential(method: Method, task: str, preset: str, source: str) -> Recipe:
    """Put the engine of `fast` and `best` around a method that follows its own output.

    Such a method has nothing to hold on to where nothing is measured, and long steps carry it
    away (docs/methods/aseqdip.md has the numbers): MRI, CT, deblurring and super-resolution take
    small steps, more of them, and the shape of the paper's networks.
    """
    made = fast(method, task, preset, source)
    # on MRI and CT it still rises at the end of its budget, and the average lags behind
    made = replace(made, output=Nearer(decay=0.95, **_closing(task)))
    if task == "ct":  # two views of thirty are few to judge by (docs/stopping.md)
        stop = HeldOut(fraction=0.15, patience=250, skip=20, slack=0.1, again=True)
        made = replace(made, stop=stop, weighting="half-ramp")
    if task not in SMALL_STEPS:
        return made
    wide = 2 if preset == "best" else 1
    if task == "superres":
        widths = (32 * wide,) * 5
        net: NetSpec = SkipNet(down=widths, up=widths, join_norm=False)
        engine = Engine("adam", lr=1e-3)
    else:
        net = UNet(widths=(16 * wide, 32 * wide, 64 * wide, 64 * wide))
        # with a rate near zero the network can no longer follow its own, ever new input
        engine = replace(made.engine, lr=0.005, final=0.3)
    steps = {"fast": 300, "best": 500}[preset] if task == "ct" else 2 * made.steps
    return replace(made, net=net, engine=engine, steps=steps)
