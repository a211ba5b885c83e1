"""Valid files that several readers need: a picture, simulated scans, a file beside another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from fuzzing.subjects import SIDE


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def picture(side: int = SIDE, channels: int = 0) -> np.ndarray:
    """A smooth picture with a disc and a little noise, `(H, W)` or `(H, W, C)`, in [0, 1]."""
    y, x = np.mgrid[0:side, 0:side] / side
    grey = 0.2 + 0.3 * x + 0.4 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1)
    grey = grey + 0.02 * rng().standard_normal((side, side))
    grey = np.clip(grey, 0, 1).astype(np.float32)
    return np.stack([grey] * channels, -1) * np.linspace(1, 0.7, channels) if channels else grey


def npy(path: Path) -> None:
    np.save(path, picture())


def simulated(task: str, **options: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        from untrained.data import TASKS

        clean = path.with_name("clean.npy")
        np.save(clean, picture())
        simulate = TASKS[task].simulate
        assert simulate is not None
        simulate(clean, path.with_suffix(".npz"), **options)
        if path.suffix == ".h5":
            with np.load(path.with_suffix(".npz")) as stored, h5py.File(path, "w") as made:
                for key in stored:
                    made.create_dataset(key, data=stored[key])
            path.with_suffix(".npz").unlink()

    return make


def kspace(path: Path) -> None:
    simulated("mri", acceleration=2.0, coils=3, center_fraction=0.3)(path)


def beside(
    write: Callable[[Path], None], name: str, own: Callable[[Path], None]
) -> Callable[[Path], None]:
    """Write what is mutated by `own`, and the input beside it: `name` of its folder."""

    def make(path: Path) -> None:
        write(path.with_name(name))
        own(path)

    return make
