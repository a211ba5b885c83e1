"""`untrained demo [TASK]`: from nothing to a picture, offline."""

from __future__ import annotations

import shlex
import tempfile
from functools import partial
from pathlib import Path

import click
import numpy as np

from untrained.cli.directory import made_by
from untrained.cli.job import reconstruct_file
from untrained.cli.options import MOST_THREADS, Options
from untrained.data import TASKS as ALL
from untrained.errors import UserError

TASKS = ("mri", "ct", "denoise", "inpaint", "superres", "deblur")
STEPS = 90
DEMO = ["untrained", "demo"]


@click.command()
@click.argument("task", type=click.Choice(TASKS), default="mri")
@click.option("--out", default=None, metavar="DIR", help="[default: untrained-out/demo-TASK]")
@click.option("--threads", type=click.IntRange(1, MOST_THREADS), default=None, help="CPU threads.")
def demo(task: str, out: str | None, threads: int | None) -> int:
    """Simulate a small measurement and reconstruct it: mri (default), ct, denoise, ...

    Uses a generated phantom or a picture bundled with scikit-image; no network, under a minute
    on two cores.
    """
    out_folder = Path(out or Path("untrained-out") / f"demo-{task}")
    _require_own(out_folder)
    with tempfile.TemporaryDirectory() as folder:
        measurement = _measure(task, Path(folder))
        click.echo(f"simulated a {task} measurement; reconstructing ({STEPS} steps at most)")
        options = Options(
            steps=STEPS,
            out=str(out_folder),
            overwrite=True,
            threads=threads,
            command=shlex.join([*DEMO, task, "--out", str(out_folder)]),
        )
        load = partial(ALL[task].load)
        return reconstruct_file(task, str(measurement), options, load)


def _require_own(out_folder: Path) -> None:
    """Refuse a folder that holds anything but what an earlier demo left: it would be replaced."""
    if not out_folder.is_dir() or not any(out_folder.iterdir()):
        return
    if shlex.split(made_by(out_folder) or "")[:2] != DEMO:
        raise UserError(f"{out_folder} holds other files than a demo's; choose another --out")


def _measure(task: str, folder: Path) -> Path:
    """Simulate a small measurement of a phantom (mri, ct) or of a bundled picture."""
    from untrained.data.formats.npy import write_npy
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
