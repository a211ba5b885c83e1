"""`untrained simulate TASK CLEAN --out FILE`: measurements from a clean picture or scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from untrained.errors import UserError


@click.group()
def simulate() -> None:
    """Make a measurement from a clean picture or a fully sampled scan."""


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--seed", type=int, default=0, show_default=True)(command)
    command = click.option("--out", required=True, metavar="FILE", help="An .npz file.")(command)
    return click.argument("clean", metavar="CLEAN")(command)


def _simulate(task: str, clean: str, out: str, seed: int, **options: Any) -> None:
    from untrained.data import TASKS

    make = TASKS[task].simulate
    if make is None:
        raise UserError(f"{task} cannot be simulated")
    if Path(out).suffix != ".npz":
        raise UserError(f"--out {out}: measurements are written as .npz; name it so")
    given = {name: value for name, value in options.items() if value is not None}
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
def denoise(
    clean: str, out: str, seed: int, noise: str, level: float | None, sigma: float | None
) -> None:
    """Add noise (not clipped): white Gaussian by default."""
    _simulate("denoise", clean, out, seed, noise=noise, level=level, sigma=sigma)


@simulate.command()
@_shared
@click.option("--missing", type=float, default=None, metavar="P", help="Fraction missing.")
@click.option("--box", default=None, metavar="H,W", help="One missing box.")
def inpaint(clean: str, out: str, seed: int, missing: float | None, box: str | None) -> None:
    """Remove pixels at random, or a box."""
    _simulate("inpaint", clean, out, seed, missing=missing, box=_box(box))


@simulate.command()
@_shared
@click.option("--factor", type=int, default=4, show_default=True)
@click.option("--sigma", type=float, default=0.0, show_default=True, help="0..255 scale.")
def superres(clean: str, out: str, seed: int, factor: int, sigma: float) -> None:
    """Reduce by antialiased bicubic interpolation."""
    _simulate("superres", clean, out, seed, factor=factor, sigma=sigma)


@simulate.command()
@_shared
@click.option("--kernel", default=None, metavar="FILE", help="[default: a Gaussian of 2 pixels]")
@click.option("--sigma", type=float, default=2.0, show_default=True, help="0..255 scale.")
def deblur(clean: str, out: str, seed: int, kernel: str | None, sigma: float) -> None:
    """Blur with a kernel and add noise."""
    _simulate("deblur", clean, out, seed, kernel=kernel, sigma=sigma)


@simulate.command()
@_shared
@click.option("--bkse", default=None, metavar="FILE", help="Weights of the BKSE blur.")
@click.option("--kernel", default=None, metavar="FILE", help="Of the built-in blur, without BKSE.")
@click.option("--sigma", type=float, default=2.0, show_default=True, help="0..255 scale.")
def nldeblur(
    clean: str, out: str, seed: int, bkse: str | None, kernel: str | None, sigma: float
) -> None:
    """Blur non-linearly (BKSE, or a built-in blur) and add noise."""
    _simulate("nldeblur", clean, out, seed, weights=bkse, kernel=kernel, sigma=sigma)


@simulate.command()
@_shared
@click.option("--ratio", type=float, default=0.25, show_default=True, help="Numbers per pixel.")
@click.option("--sigma", type=float, default=0.0, show_default=True, help="0..255 scale.")
def cs(clean: str, out: str, seed: int, ratio: float, sigma: float) -> None:
    """Measure random combinations of all pixels."""
    _simulate("cs", clean, out, seed, ratio=ratio, sigma=sigma)


@simulate.command()
@_shared
@click.option("--pad", type=int, default=None, help="Zeros on each side [default: a quarter].")
@click.option("--sigma", type=float, default=0.0, show_default=True, help="0..255 scale.")
def phase(clean: str, out: str, seed: int, pad: int | None, sigma: float) -> None:
    """Keep the amplitudes of the zero-padded picture's Fourier transform."""
    _simulate("phase", clean, out, seed, pad=pad, sigma=sigma)


@simulate.command()
@_shared
@click.option("--acceleration", type=float, default=4.0, show_default=True)
@click.option("--center-fraction", type=float, default=0.08, show_default=True)
@click.option(
    "--mask-kind", type=click.Choice(["random", "vdrs"]), default="random", show_default=True
)
@click.option("--coils", type=int, default=None, help="Simulated coils, for a single image.")
def mri(
    clean: str,
    out: str,
    seed: int,
    acceleration: float,
    center_fraction: float,
    mask_kind: str,
    coils: int | None,
) -> None:
    """Undersample fully sampled k-space (or a complex image with simulated coils)."""
    _simulate(
        "mri",
        clean,
        out,
        seed,
        acceleration=acceleration,
        center_fraction=center_fraction,
        mask_kind=mask_kind,
        coils=coils,
    )


@simulate.command()
@_shared
@click.option("--angles", type=int, default=60, show_default=True, help="Number of views.")
@click.option(
    "--noise", type=float, default=0.01, show_default=True, help="Relative standard deviation."
)
def ct(clean: str, out: str, seed: int, angles: int, noise: float) -> None:
    """Project a picture along parallel rays."""
    _simulate("ct", clean, out, seed, angles=angles, noise=noise)


def _box(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--box {text}: expected H,W, for example 64,64") from None
    return height, width
