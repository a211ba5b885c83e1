"""The options that `reconstruct` has on every task."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from untrained.machine import DEVICES
from untrained.methods import PRESETS
from untrained.uncertainty.settings import (
    LEVEL,
    WAYS,
    Way,
    find_way,
    parted_settings,
    with_settings,
)

LARGEST_SEED = 2**63 - 1
MOST_THREADS = 1024  # beyond any machine; libgomp ends the process where it cannot make them
OUTPUTS = ("auto", "last", "average", "best")


@dataclass(frozen=True)
class Options:
    """What was asked for, apart from the task's own options.

    `command` is what a result says of where it comes from; empty = what was typed. `unknown` names
    what is unknown of the operator, as the task's own options say.
    """

    method: str = "auto"
    preset: str = "fast"
    settings: tuple[str, ...] = ()
    steps: int = 0
    stop: str = "auto"
    output: str = "auto"
    seed: int = 0
    seeds: int = 1
    uncertainty: str | None = None
    level: float = LEVEL
    reference: str | None = None
    guide: tuple[str, ...] = ()
    weights: str | None = None
    prior: str | None = None
    tile: int | None = None
    device: str = "auto"
    threads: int | None = None
    time_limit: float | None = None
    no_compare: bool = False
    out: str | None = None
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
    command: str = ""
    unknown: tuple[str, ...] = ()

    def sure(self) -> Way | None:
        """Return how an error bar is found, with the settings given; None where none is asked."""
        return with_settings(find_way(self.uncertainty), parted_settings(self.settings)[1])


def _a_number(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN, which passes every range check of click."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number.")
    return value


_OPTIONS = (
    click.option(
        "--method",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="See `list methods`; or your own: MODULE:CLASS or FILE.py:CLASS. The code in that "
        "file or module is run, with your rights: name files that you trust.",
    ),
    click.option("--preset", type=click.Choice(list(PRESETS)), default="fast", show_default=True),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="FIELD=VALUE",
        help="lam=2 sets a field of the method; net.depth=5, engine.lr=1e-3, stop.patience=200 "
        "those of the others. May be repeated.",
    ),
    click.option(
        "--steps",
        type=click.IntRange(min=1),
        default=None,
        help="Budget in optimiser steps; the automatic stop stays on.",
    ),
    click.option(
        "--stop",
        default="auto",
        show_default=True,
        metavar="RULE",
        help="auto, none, or a rule from `list rules`; rules combine with | and &.",
    ),
    click.option(
        "--output",
        type=click.Choice(OUTPUTS),
        default="auto",
        show_default=True,
        help="Which image is returned.",
    ),
    click.option("--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True),
    click.option(
        "--seeds",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="COUNT",
        help="Average so many seeds and write their spread (std.npy): how much the random start "
        "matters, not an error bar.",
    ),
    click.option(
        "--uncertainty",
        type=click.Choice(list(WAYS)),
        default=None,
        help="A calibrated error bar: std.npy, and intervals in lower.npy and upper.npy. Some "
        "measurements are kept out of the fit for it.",
    ),
    click.option(
        "--level",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        callback=_a_number,
        default=LEVEL,
        show_default=True,
        help="Share of the measurements that the intervals are to hold.",
    ),
    click.option("--reference", metavar="FILE", help="A reference image, for the report only."),
    click.option(
        "--guide",
        multiple=True,
        metavar="FILE",
        help="A clean image of similar content, for refguided and autoencoder. May be repeated.",
    ),
    click.option(
        "--weights",
        metavar="FILE",
        default=None,
        help="What `pretrain` has learned, for ugodit (a control without), edip, metadip, "
        "strainer, nerp.",
    ),
    click.option(
        "--prior",
        metavar="FILE[:ARCH]",
        default=None,
        help="A pre-trained network, for the methods that ask one; only tensors are read, no code "
        "is run. ARCH names its layout, where the file alone does not tell.",
    ),
    click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True),
    click.option(
        "--threads",
        type=click.IntRange(1, MOST_THREADS),
        default=None,
        help="CPU threads, at most; small images take one.",
    ),
    click.option(
        "--time-limit",
        type=click.FloatRange(min=0, min_open=True),
        callback=_a_number,
        default=None,
        metavar="S",
        help="Finish after S seconds with the best so far; --resume goes on. A classical method "
        "ends without an image.",
    ),
    click.option(
        "--no-compare", is_flag=True, help="No classical answer beside the image in the report."
    ),
    click.option(
        "--out",
        metavar="DIR",
        default=None,
        help="Result directory [default: untrained-out/TASK-STEM].",
    ),
    click.option("--resume", is_flag=True, help="Go on with an interrupted run."),
    click.option("--overwrite", is_flag=True, help="Replace a result that is there."),
    click.option("--dry-run", is_flag=True, help="Show network, memory and time, and stop."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    click.option("--quiet", is_flag=True, help="No progress, no summary."),
)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command; it receives them as one `Options`."""

    def gathered(**values: Any) -> Any:
        names = Options.__dataclass_fields__.keys() & values.keys()
        shared = {name: values.pop(name) for name in names}
        shared["steps"] = shared["steps"] or 0
        return command(options=Options(**shared), **values)

    gathered.__doc__ = command.__doc__
    gathered.__name__ = command.__name__
    gathered.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered
