"""Four visible marks, each taken out of a photograph by one command.

    python benchmarks/watermarks.py [--out benchmarks/results/watermarks.json] [--picture PNG]

Two photographs of scikit-image at 128 x 128 get the same text, logo, grid or pale band, and

    untrained reconstruct inpaint a.png --mask-from b.png --method tv

finds the mark and fills what it covers in. PSNR against the photograph without the mark: of the
marked one, of what the command made, and of `--mask` with the true mark grown by two pixels,
which says what a better mask would be worth. The picture shows, from top to bottom, the marked
photographs, the results and the photographs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation
from skimage import data

from untrained.cli import main as command_line
from untrained.files import atomic_write
from untrained.metrics import psnr

SIDE, GROWN = 128, 2
MARKS = {"text": (0.9, 1.0), "logo": (1.0, 0.0), "grid": (0.8, 1.0), "pale text": (0.4, 1.0)}
"""Opacity and colour of each."""


def main() -> None:
    """Measure the four marks, draw them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/watermarks.json"))
    parser.add_argument("--picture", type=Path, default=Path("docs/watermarks.png"))
    given = parser.parse_args()
    rows, columns = {}, []
    for kind in MARKS:
        with tempfile.TemporaryDirectory() as folder:
            rows[kind], column = measure(kind, Path(folder))
        columns.append(np.concatenate(column))
        print(kind, rows[kind], flush=True)
    with atomic_write(given.out) as stream:
        stream.write((json.dumps(rows, indent=1) + "\n").encode())
    sheet = np.concatenate(columns, axis=1).clip(0, 1)
    Image.fromarray(np.round(255 * sheet).astype(np.uint8)).save(given.picture, optimize=True)


def measure(kind: str, folder: Path) -> tuple[dict[str, float], list[np.ndarray]]:
    """Take one mark out: the row, and marked picture, result and photograph."""
    began = time.process_time()
    alpha, pictures = marked(kind)
    clean = photographs()[0]
    for name, picture in zip(("a", "b"), pictures, strict=True):
        Image.fromarray(np.round(255 * picture).astype(np.uint8)).save(folder / f"{name}.png")
    known = ~binary_dilation(alpha > 0, np.ones((3, 3)), iterations=GROWN)
    np.save(folder / "known.npy", known)
    found = inpainted(folder, "found", "--mask-from", folder / "b.png")
    best = inpainted(folder, "true", "--mask", folder / "known.npy")
    views = {"marked": pictures[0], "result": found, "true mask": best}
    row = {name: round(psnr(view, clean, data_range=1.0), 2) for name, view in views.items()}
    row["cpu_seconds"] = round(time.process_time() - began, 1)
    return row, [pictures[0], found, clean]


def inpainted(folder: Path, name: str, *options: str | Path) -> np.ndarray:
    """Run the command and read its result, `(H, W)`."""
    out = folder / name
    words = ["reconstruct", "inpaint", folder / "a.png", *options, "--method", "tv"]
    with contextlib.suppress(SystemExit):  # the file that is read next says whether it worked
        command_line([str(word) for word in [*words, "--quiet", "--out", out]])
    return np.asarray(np.load(out / "reconstruction.npy"), dtype=float).reshape(SIDE, SIDE)


def photographs() -> list[np.ndarray]:
    """Reduce two photographs that have nothing in common."""
    camera = data.camera().reshape(SIDE, 4, SIDE, 4).mean((1, 3))
    return [picture / 255 for picture in (camera, data.coins()[40:168, 60:188].astype(float))]


def marked(kind: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Put a mark on both; its opacity, and the two, as 8 bits."""
    opacity, colour = MARKS[kind]
    alpha = opacity * drawn(kind)
    pictures = [(1 - alpha) * p + alpha * colour for p in photographs()]
    return alpha, [np.round(255 * p) / 255 for p in pictures]


def drawn(kind: str) -> np.ndarray:
    """Draw a mark, 1 where it is opaque."""
    picture = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(picture)
    if "text" in kind:
        pen.text((22, 50), "SAMPLE", fill=255, font_size=24)
    elif kind == "logo":
        pen.ellipse((74, 14, 114, 54), outline=255, width=4)
        pen.line((84, 44, 94, 24, 104, 44), fill=255, width=4)
    else:
        for place in range(16, SIDE, 32):
            pen.line((place, 0, place, SIDE), fill=255, width=2)
            pen.line((0, place, SIDE, place), fill=255, width=2)
    return np.asarray(picture, dtype=float) / 255


if __name__ == "__main__":
    main()
