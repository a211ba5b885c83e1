"""`untrained simulate TASK CLEAN --out FILE`: measurements from a clean picture or scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from untrained.cli.task_options import READ_NOISE
from untrained.data.simulate.ct import simulate_ct
from untrained.data.simulate.eit import LEVELS, RANGE, Tank, simulate_eit
from untrained.data.simulate.encoded import simulate_cs, simulate_nldeblur, simulate_phase
from untrained.data.simulate.mri import simulate_mri
from untrained.data.simulate.photos import (
    simulate_deblur,
    simulate_denoise,
    simulate_inpaint,
    simulate_superres,
)
from untrained.errors import UserError
from untrained.files import require_new, require_not_input

_SIGMA = "Standard deviation of the noise, 0..255 scale."


_PHOTONS = click.option(
    "--photons",
    type=float,
    default=None,
    metavar="N",
    help="Count photons, so many in a white pixel, in place of other noise.",
)


@dataclass(frozen=True)
class Files:
    """What every simulation is told.

    Attributes:
        task: a task's name.
        clean: the clean picture or scan.
        out: the file to write.
        seed: of whatever is drawn.
    """

    task: str
    clean: str
    out: str
    seed: int

    def wrote(self, notes: tuple[str, ...]) -> None:
        """Print what was decided and what to type next."""
        for note in notes:
            click.echo(note, err=True)
        click.echo(f"wrote {self.out}; next: untrained reconstruct {self.task} {self.out}")


@click.group()
def simulate() -> None:
    """Make a measurement from a clean picture or a fully sampled scan."""


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every task has; the command receives it as `Files`, once it may be written."""

    def checked(clean: str, out: str, seed: int, overwrite: bool, **own: Any) -> None:
        if Path(out).suffix != ".npz":
            raise UserError(f"--out {out}: measurements are written as .npz; name it so")
        require_not_input([Path(out)], [clean, *(v for v in own.values() if isinstance(v, str))])
        require_new(Path(out), overwrite=overwrite)
        command(Files(command.__name__, clean, out, seed), **own)

    checked.__doc__, checked.__name__ = command.__doc__, command.__name__
    checked.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    shared = click.option(
        "--overwrite", is_flag=True, help="Replace a file that is there (never an input)."
    )(checked)
    shared = click.option("--seed", type=int, default=0, show_default=True)(shared)
    shared = click.option("--out", required=True, metavar="FILE", help="An .npz file.")(shared)
    return click.argument("clean", metavar="CLEAN")(shared)


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
@_PHOTONS
@READ_NOISE
def denoise(
    files: Files,
    noise: str,
    level: float | None,
    sigma: float | None,
    photons: float | None,
    read_noise: float | None,
) -> None:
    """Add noise (not clipped): white Gaussian by default."""
    notes = simulate_denoise(
        files.clean,
        files.out,
        seed=files.seed,
        sigma=sigma,
        noise=noise,
        level=level,
        photons=photons,
        read_noise=read_noise,
    )
    files.wrote(notes)


@simulate.command()
@_shared
@click.option("--missing", type=float, default=None, metavar="P", help="Fraction missing.")
@click.option("--box", default=None, metavar="H,W", help="One missing box, placed at random.")
@click.option("--center", is_flag=True, help="Put the box into the middle of the picture.")
def inpaint(files: Files, missing: float | None, box: str | None, center: bool) -> None:
    """Remove pixels at random, or a box."""
    notes = simulate_inpaint(
        files.clean, files.out, seed=files.seed, missing=missing, box=_box(box), center=center
    )
    files.wrote(notes)


@simulate.command()
@_shared
@click.option("--factor", type=int, default=4, show_default=True)
@click.option("--sigma", type=float, default=0.0, show_default=True, help=_SIGMA)
def superres(files: Files, factor: int, sigma: float) -> None:
    """Reduce by antialiased bicubic interpolation."""
    notes = simulate_superres(files.clean, files.out, seed=files.seed, factor=factor, sigma=sigma)
    files.wrote(notes)


@simulate.command()
@_shared
@click.option("--kernel", default=None, metavar="FILE", help="[default: a Gaussian of 2 pixels]")
@click.option("--sigma", type=float, default=None, help=f"{_SIGMA} [default: 2]")
@_PHOTONS
@READ_NOISE
def deblur(
    files: Files,
    kernel: str | None,
    sigma: float | None,
    photons: float | None,
    read_noise: float | None,
) -> None:
    """Blur with a kernel and add noise."""
    notes = simulate_deblur(
        files.clean,
        files.out,
        seed=files.seed,
        kernel=kernel,
        sigma=sigma,
        photons=photons,
        read_noise=read_noise,
    )
    files.wrote(notes)


@simulate.command()
@_shared
@click.option("--bkse", "weights", default=None, metavar="FILE", help="Weights of the BKSE blur.")
@click.option("--kernel", default=None, metavar="FILE", help="Of the built-in blur, without BKSE.")
@click.option("--sigma", type=float, default=2.0, show_default=True, help=_SIGMA)
def nldeblur(files: Files, weights: str | None, kernel: str | None, sigma: float) -> None:
    """Blur non-linearly (BKSE, or a built-in blur) and add noise."""
    notes = simulate_nldeblur(
        files.clean, files.out, seed=files.seed, weights=weights, kernel=kernel, sigma=sigma
    )
    files.wrote(notes)


@simulate.command()
@_shared
@click.option("--ratio", type=float, default=0.25, show_default=True, help="Numbers per pixel.")
@click.option("--sigma", type=float, default=0.0, show_default=True, help=_SIGMA)
def cs(files: Files, ratio: float, sigma: float) -> None:
    """Measure random combinations of all pixels."""
    notes = simulate_cs(files.clean, files.out, seed=files.seed, ratio=ratio, sigma=sigma)
    files.wrote(notes)


@simulate.command()
@_shared
@click.option("--pad", type=int, default=None, help="Zeros on each side [default: a quarter].")
@click.option("--sigma", type=float, default=0.0, show_default=True, help=_SIGMA)
def phase(files: Files, pad: int | None, sigma: float) -> None:
    """Keep the amplitudes of the zero-padded picture's Fourier transform."""
    notes = simulate_phase(files.clean, files.out, seed=files.seed, pad=pad, sigma=sigma)
    files.wrote(notes)


@simulate.command()
@_shared
@click.option("--acceleration", type=float, default=None, help="[default: 4]")
@click.option("--center-fraction", type=float, default=None, help="[default: 0.08]")
@click.option(
    "--mask-kind", type=click.Choice(["random", "vdrs"]), default=None, help="[default: random]"
)
@click.option("--mask", default=None, metavar="FILE", help="In place of these: 1 = kept.")
@click.option(
    "--trajectory",
    default=None,
    metavar="FILE",
    help="In place of these: points of k-space (shots, samples, 2), in cycles per pixel.",
)
@click.option(
    "--sigma",
    type=float,
    default=0.0,
    show_default=True,
    help="Noise of each part; 255 is the largest magnitude.",
)
@click.option("--slice", type=int, default=None, metavar="N", help="From 0 [default: middle].")
@click.option("--coils", type=int, default=None, help="Simulated coils, for a single image.")
def mri(
    files: Files,
    acceleration: float | None,
    center_fraction: float | None,
    mask_kind: str | None,
    mask: str | None,
    trajectory: str | None,
    sigma: float,
    slice: int | None,
    coils: int | None,
) -> None:
    """Undersample fully sampled k-space (or a complex image with simulated coils)."""
    notes = simulate_mri(
        files.clean,
        files.out,
        seed=files.seed,
        acceleration=acceleration,
        center_fraction=center_fraction,
        mask_kind=mask_kind,
        mask=mask,
        trajectory=trajectory,
        sigma=sigma,
        slice=slice,
        coils=coils,
    )
    files.wrote(notes)


@simulate.command()
@_shared
@click.option("--angles", type=int, default=60, show_default=True, help="Number of views.")
@click.option(
    "--noise", type=float, default=None, help="Relative standard deviation. [default: 0.01]"
)
@click.option(
    "--geometry", default=None, metavar="FILE", help="Fan or cone beam, as JSON [default: parallel]"
)
@click.option("--volume", is_flag=True, help="CLEAN is a volume, scanned by a cone beam.")
@click.option(
    "--photons",
    type=float,
    default=None,
    metavar="COUNT",
    help="Count photons, so many where nothing is in their way, in place of --noise.",
)
def ct(
    files: Files,
    angles: int,
    noise: float | None,
    geometry: str | None,
    volume: bool,
    photons: float | None,
) -> None:
    """Project a picture along parallel rays, or a volume by a cone beam."""
    notes = simulate_ct(
        files.clean,
        files.out,
        seed=files.seed,
        angles=angles,
        noise=noise,
        geometry=geometry,
        volume=volume,
        photons=photons,
    )
    files.wrote(notes)


@simulate.command()
@_shared
@click.option(
    "--noise", type=float, default=0.001, show_default=True, help="Relative standard deviation."
)
@click.option(
    "--electrodes", type=int, default=Tank.electrodes, show_default=True, help="Of the disc."
)
@click.option("--mesh", default=None, metavar="FILE", help="In place of the disc.")
@click.option(
    "--ktc-level",
    "level",
    type=click.IntRange(LEVELS[0], LEVELS[-1]),
    default=1,
    show_default=True,
    help="Without the first 2 (n - 1) electrodes, as in the Kuopio Tomography Challenge.",
)
@click.option(
    "--impedance",
    type=float,
    default=Tank.impedance,
    show_default=True,
    help="Mean contact impedance, length over conductivity.",
)
@click.option(
    "--impedance-spread",
    "spread",
    type=float,
    default=Tank.spread,
    show_default=True,
    help="Standard deviation of its logarithm between electrodes.",
)
@click.option(
    "--conductivity",
    default=None,
    metavar="LOW,HIGH",
    help=f"Of black and white [default: floats as they are, else {RANGE[0]},{RANGE[1]}].",
)
@click.option("--no-reference", is_flag=True, help="No reference voltages of the background.")
def eit(
    files: Files,
    noise: float,
    electrodes: int,
    mesh: str | None,
    level: int,
    impedance: float,
    spread: float,
    conductivity: str | None,
    no_reference: bool,
) -> None:
    """Drive currents through a picture of conductivity."""
    tank = Tank(
        electrodes=electrodes,
        mesh=mesh,
        level=level,
        impedance=impedance,
        spread=spread,
        conductivity=_range(conductivity),
        water=not no_reference,
    )
    files.wrote(simulate_eit(files.clean, files.out, seed=files.seed, noise=noise, tank=tank))


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--conductivity {text}: expected LOW,HIGH, for example 0.1,1.5") from None
    return low, high


def _box(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--box {text}: expected H,W, for example 64,64") from None
    return height, width
