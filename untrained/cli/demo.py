"""`untrained demo [TASK]`: from nothing to a picture, offline."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click
import numpy as np

from untrained.cli.job import reconstruct_file
from untrained.cli.options import Options
from untrained.errors import UserError

TASKS = ("mri", "ct", "denoise", "inpaint", "superres", "deblur")
STEPS = 90


@click.command()
@click.argument("task", type=click.Choice(TASKS), default="mri")
@click.option("--out", default=None, metavar="DIR", help="[default: untrained-out/demo-TASK]")
def demo(task: str, out: str | None) -> int:
    """Simulate a small measurement and reconstruct it: mri (default), ct, denoise, ...

    Uses a generated phantom or a picture bundled with scikit-image; no network, under a minute
    on two cores.
    """
    place = Path(out or Path("untrained-out") / f"demo-{task}")
    _make_room(place)
    with tempfile.TemporaryDirectory() as folder:
        measurement = _measure(task, Path(folder))
        click.echo(f"simulated a {task} measurement; reconstructing ({STEPS} steps at most)")
        return reconstruct_file(
            task, str(measurement), Options(steps=STEPS, out=str(place), overwrite=True), {}
        )


def _make_room(place: Path) -> None:
    """A demo replaces its own result, and nothing else."""
    marker = place / "result.json"
    if place.is_dir() and any(place.iterdir()) and not marker.exists():
        if (place / "state.pt").exists():
            shutil.rmtree(place)
            return
        raise UserError(f"{place} holds other files; choose another --out")


def _measure(task: str, folder: Path) -> Path:
    """A small measurement of a phantom (mri, ct) or of a bundled picture."""
    from untrained.data import TASKS as ALL
    from untrained.data.arrays import write_npy
    from untrained.data.phantoms import brain, shepp_logan

    measurement = folder / f"demo-{task}.npz"
    clean = folder / "clean.npy"
    make = ALL[task].simulate
    assert make is not None
    if task == "mri":
        write_npy(clean, brain(128))
        make(clean, measurement, acceleration=4.0, coils=4)
    elif task == "ct":
        write_npy(clean, shepp_logan(128).astype(np.float32))
        make(clean, measurement, angles=30)
    else:
        from skimage.data import astronaut

        picture = np.moveaxis(astronaut()[32:288:2, 152:408:2], -1, 0)
        write_npy(clean, np.ascontiguousarray(picture))
        make(clean, measurement)
    return measurement
