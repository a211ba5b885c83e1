"""The curves of an experiment in small: PSNR of the step's image every few steps, and its peaks.

    python benchmarks/curves.py OUT DEST

OUT is a directory of `untrained bench run`. Writes DEST/curves.csv (every tenth step), and
DEST/peaks.md: per image and run the step of the best image, its PSNR, and how far the last one of
the run has fallen below it. A peak needs the truth; no rule saw it.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

EVERY = 10


def main(out: Path, dest: Path) -> None:
    """Both files, for the jobs that are done."""
    dest.mkdir(parents=True, exist_ok=True)
    with (out / "table.csv").open() as file:
        jobs = [row for row in csv.DictReader(file) if row["status"] == "done"]
    thin: list[tuple] = []
    peaks = ["| task | image | run | best step | best | last | fall |", "|---" * 7 + "|"]
    for job in sorted(jobs, key=lambda row: (row["task"], row["image"])):
        with (out / "jobs" / job["id"] / "history.csv").open() as file:
            curve = [float(row["psnr"]) for row in csv.DictReader(file)]
        name = (job["task"], job["image"], job["label"])
        thin += [(*name, n, f"{curve[n - 1]:.2f}") for n in range(EVERY, len(curve) + 1, EVERY)]
        best = max(range(len(curve)), key=curve.__getitem__)
        cells = (*name, best + 1, f"{curve[best]:.2f}", f"{curve[-1]:.2f}")
        peaks.append(f"| {' | '.join(map(str, cells))} | {curve[best] - curve[-1]:.2f} |")
    with (dest / "curves.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("task", "image", "run", "step", "psnr"), *thin])
    (dest / "peaks.md").write_text("\n".join(peaks) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
