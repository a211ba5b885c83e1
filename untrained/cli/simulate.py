"""`untrained simulate TASK CLEAN --out FILE`: measurements from a clean picture or scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from untrained.errors import UserError
from untrained.files import require_new, require_not_input

_SIGMA = "Standard deviation of the noise, 0..255 scale."


@click.group()
def simulate() -> None:
    """Make a measurement from a clean picture or a fully sampled scan."""


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every task has."""
    command = click.option(
        "--overwrite", is_flag=True, help="Replace a file that is there (never an input)."
    )(command)
    command = click.option("--seed", type=int, default=0, show_default=True)(command)
    command = click.option("--out", required=True, metavar="FILE", help="An .npz file.")(command)
    return click.argument("clean", metavar="CLEAN")(command)


def _simulate(
    task: str, *, clean: str, out: str, seed: int, overwrite: bool, **options: Any
) -> None:
    """Write the measurement of one task; `options` are those of its simulation."""
    from untrained.data import TASKS

    make = TASKS[task].simulate
    if make is None:
        raise UserError(f"{task} cannot be simulated")
    if Path(out).suffix != ".npz":
        raise UserError(f"--out {out}: measurements are written as .npz; name it so")
    given = {name: value for name, value in options.items() if value is not None}
    require_not_input([Path(out)], [clean, *(v for v in given.values() if isinstance(v, str))])
    require_new(Path(out), overwrite=overwrite)
    for note in make(clean, out, seed=seed, **given):
        click.echo(note, err=True)
    click.echo(f"wrote {out}; next: untrained reconstruct {task} {out}")


@simulate.command()
@_shared
@click.option(
    "--noise",
    type=click.Choice(["gaussian", "impulse", "poisson", "speckle"]),
    default="gaussian",
    show_default=True,
)
@click.option(
    "--level",
    type=float,
    default=None,
    help="gaussian: standard deviation, 0..255 scale [25]; impulse: fraction of the values made "
    "black or white [0.1]; poisson: photons of a white pixel [30]; speckle: relative standard "
    "deviation [0.2].",
)
@click.option("--sigma", type=float, default=None, help="The level of gaussian noise.")
def denoise(**given: Any) -> None:
    """Add noise (not clipped): white Gaussian by default."""
    _simulate("denoise", **given)


@simulate.command()
@_shared
@click.option("--missing", type=float, default=None, metavar="P", help="Fraction missing.")
@click.option("--box", default=None, metavar="H,W", help="One missing box, placed at random.")
@click.option("--center", is_flag=True, help="Put the box into the middle of the picture.")
def inpaint(box: str | None, **given: Any) -> None:
    """Remove pixels at random, or a box."""
    _simulate("inpaint", box=_box(box), **given)


@simulate.command()
@_shared
@click.option("--factor", type=int, default=4, show_default=True)
@click.option("--sigma", type=float, default=0.0, show_default=True, help=_SIGMA)
def superres(**given: Any) -> None:
    """Reduce by antialiased bicubic interpolation."""
    _simulate("superres", **given)


@simulate.command()
@_shared
@click.option("--kernel", default=None, metavar="FILE", help="[default: a Gaussian of 2 pixels]")
@click.option("--sigma", type=float, default=2.0, show_default=True, help=_SIGMA)
def deblur(**given: Any) -> None:
    """Blur with a kernel and add noise."""
    _simulate("deblur", **given)


@simulate.command()
@_shared
@click.option("--bkse", "weights", default=None, metavar="FILE", help="Weights of the BKSE blur.")
@click.option("--kernel", default=None, metavar="FILE", help="Of the built-in blur, without BKSE.")
@click.option("--sigma", type=float, default=2.0, show_default=True, help=_SIGMA)
def nldeblur(**given: Any) -> None:
    """Blur non-linearly (BKSE, or a built-in blur) and add noise."""
    _simulate("nldeblur", **given)


@simulate.command()
@_shared
@click.option("--ratio", type=float, default=0.25, show_default=True, help="Numbers per pixel.")
@click.option("--sigma", type=float, default=0.0, show_default=True, help=_SIGMA)
def cs(**given: Any) -> None:
    """Measure random combinations of all pixels."""
    _simulate("cs", **given)


@simulate.command()
@_shared
@click.option("--pad", type=int, default=None, help="Zeros on each side [default: a quarter].")
@click.option("--sigma", type=float, default=0.0, show_default=True, help=_SIGMA)
def phase(**given: Any) -> None:
    """Keep the amplitudes of the zero-padded picture's Fourier transform."""
    _simulate("phase", **given)


@simulate.command()
@_shared
@click.option("--acceleration", type=float, default=None, help="[default: 4]")
@click.option("--center-fraction", type=float, default=None, help="[default: 0.08]")
@click.option(
    "--mask-kind", type=click.Choice(["random", "vdrs"]), default=None, help="[default: random]"
)
@click.option("--mask", default=None, metavar="FILE", help="In place of these: 1 = kept.")
@click.option(
    "--sigma",
    type=float,
    default=0.0,
    show_default=True,
    help="Noise of each part; 255 is the largest magnitude.",
)
@click.option("--slice", type=int, default=None, metavar="N", help="From 0 [default: middle].")
@click.option("--coils", type=int, default=None, help="Simulated coils, for a single image.")
def mri(**given: Any) -> None:
    """Undersample fully sampled k-space (or a complex image with simulated coils)."""
    _simulate("mri", **given)


@simulate.command()
@_shared
@click.option("--angles", type=int, default=60, show_default=True, help="Number of views.")
@click.option(
    "--noise", type=float, default=0.01, show_default=True, help="Relative standard deviation."
)
def ct(**given: Any) -> None:
    """Project a picture along parallel rays."""
    _simulate("ct", **given)


def _box(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--box {text}: expected H,W, for example 64,64") from None
    return height, width
