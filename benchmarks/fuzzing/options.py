"""Readers of what options name: masks, kernels, coil maps, references and guides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fuzzing.mutators import as_bytes, as_npy, as_npz
from fuzzing.subjects import NET, SIDE, SMALL, Subject, read_with
from fuzzing.valid_files import beside, kspace, npy, picture, rng


def _mask_png(path: Path) -> None:
    Image.fromarray(((rng().random((SIDE, SIDE)) > 0.3) * 255).astype(np.uint8)).save(path)


def _mask_npy(path: Path) -> None:
    np.save(path, rng().random((SIDE, SIDE)) > 0.3)


def _kernel(path: Path) -> None:
    np.save(path, np.ones((3, 3), np.float32) / 9)


def _maps(path: Path) -> None:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    maps = np.stack([1 - x, x + 0j, 0.5 + 0.5j * y]).astype(np.complex64)
    np.savez(path, maps=maps / np.sqrt((np.abs(maps) ** 2).sum(0)))


def _guide(path: Path) -> None:
    Image.fromarray((255 * picture()).astype(np.uint8)).save(path)


OPTIONS: tuple[Subject, ...] = (
    Subject(
        "mask picture", "mask.png", read_with("inpaint", "in.npy", "--mask"),
        beside(npy, "in.npy", _mask_png), as_bytes,
    ),
    Subject(
        "mask array", "mask.npy", read_with("inpaint", "in.npy", "--mask"),
        beside(npy, "in.npy", _mask_npy), as_npy,
    ),
    Subject(
        "kernel", "kernel.npy", read_with("deblur", "in.npy", "--kernel"),
        beside(npy, "in.npy", _kernel), as_npy,
    ),
    Subject(
        "coil maps", "maps.npz", read_with("mri", "scan.npz", "--maps"),
        beside(kspace, "scan.npz", _maps), as_npz,
    ),
    Subject(
        "reference", "reference.npy", read_with("denoise", "in.npy", "--reference"),
        beside(npy, "in.npy", npy), as_npy,
    ),
    Subject(
        "guide", "guide.png",
        (*read_with("denoise", "in.npy", "--guide"), "--method", "refguided", *NET, *SMALL),
        beside(npy, "in.npy", _guide), as_bytes, engine=False,
    ),
    Subject(
        "evaluate", "reference.npy",
        ("evaluate", "{dir}/in.npy", "{file}", "--range", "1"),
        beside(npy, "in.npy", npy), as_npy, engine=False,
    ),
)  # fmt: skip
