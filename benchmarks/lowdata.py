"""The runs of a grid in one file, and their table: what learned weights are worth.

    python benchmarks/lowdata.py OUT DEST.json [--against aseqdip] [--at 100 200 400]

OUT is a directory of `untrained bench run`. Prints, in Markdown, the PSNR of the last output per
image (mean over seeds), means with their spread over images and seeds, CPU seconds, and after
which share of the steps a run reached the last PSNR of the run that it is held against.

`--at` prints the PSNR at these steps instead, with the best step of each run, which only the truth
can tell, and the difference to the run that it is held against on the same images and seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections import defaultdict
from pathlib import Path

Rows = list[dict]


def collected(out: Path) -> Rows:
    """A row per finished job of the grid, with the PSNR of its output at every step.

    Jobs of an earlier version of the grid, or of the program, may lie in the directory as well.
    """
    rows = []
    for job in json.loads((out / "grid.json").read_text())["jobs"]:
        here = out / "jobs" / job["id"]
        if not (here / "result.json").exists():
            continue
        facts = json.loads((here / "result.json").read_text())
        history = here / "history.csv"
        curve = []
        if history.exists():
            with history.open() as file:
                curve = [round(float(r["psnr_output"]), 3) for r in csv.DictReader(file)]
        row = {key: job["case"][key] for key in ("image", "setting")}
        row |= {"run": job["run"]["label"], "seed": job["seed"], "recipe": facts["recipe"]}
        row |= {key: facts[key] for key in ("stopped", "ssim", "steps", "cpu_seconds", "precision")}
        rows.append(row | {"psnr_output": curve})
    return rows


def reached(row: dict, goal: float) -> float | None:
    """The share of the steps after which the output is as good as `goal`."""
    curve = row["psnr_output"]
    step = next((n for n, value in enumerate(curve, 1) if value >= goal), None)
    return None if step is None else step / len(curve)


def table(rows: Rows, against: str) -> str:
    """Per image and in the mean, for every setting of the grid."""
    runs = list(dict.fromkeys(row["run"] for row in rows))
    found = []
    for setting in dict.fromkeys(row["setting"] for row in rows):
        mine = [row for row in rows if row["setting"] == setting]
        cells = defaultdict(list)
        for row in mine:
            cells[row["image"], row["run"]].append(row)
        here = [run for run in runs if any(row["run"] == run for row in mine)]
        found += ["", f"| {setting} | {' | '.join(here)} |", "|---" * (len(here) + 1) + "|"]
        for image in sorted({row["image"] for row in mine}):
            values = [_mean([row["stopped"] for row in cells[image, run]]) for run in here]
            found.append(f"| {image} | {' | '.join(values)} |")
        summary = [[row for row in mine if row["run"] == run] for run in here]
        scores = [[row["stopped"] for row in rows_of] for rows_of in summary]
        seconds = [statistics.mean(row["cpu_seconds"] for row in rows_of) for rows_of in summary]
        when = [_when(rows_of, mine, against) for rows_of in summary]
        found.append(f"| mean | {' | '.join(_mean(values) for values in scores)} |")
        found.append(f"| spread | {' | '.join(_spread(values) for values in scores)} |")
        found.append(f"| CPU s | {' | '.join(f'{value:.0f}' for value in seconds)} |")
        found.append(f"| as good as {against} after | {' | '.join(when)} |")
    return "\n".join(found)


def curves(rows: Rows, against: str, steps: list[int]) -> str:
    """PSNR at some steps, and the differences to one run, for every setting of the grid.

    Of a run with fewer steps only what it returned is shown.
    """
    found = []
    for setting in dict.fromkeys(row["setting"] for row in rows):
        mine = [row for row in rows if row["setting"] == setting]
        rivals = {(r["image"], r["seed"]): r for r in mine if r["run"] == against}
        heads = [setting, "runs", *map(str, steps), "best of each run", "CPU s"]
        found += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for run in dict.fromkeys(row["run"] for row in mine):
            own = [row for row in mine if row["run"] == run]
            found.append(f"| {run} | {len(own)} | {' | '.join(_levels(own, steps))} |")
            if run == against or len(own[0]["psnr_output"]) < steps[-1]:
                continue
            pairs = [(r, rivals.get((r["image"], r["seed"]))) for r in own]
            known = [(row, rival) for row, rival in pairs if rival is not None]
            if known:
                cells = " | ".join(_gains(known, steps))
                found.append(f"| minus {against} | {len(known)} | {cells} | |")
    return "\n".join(found)


def _levels(rows: Rows, steps: list[int]) -> list[str]:
    """Mean and spread at each step and of the best one, and the mean time."""
    seconds = f"{statistics.mean(row['cpu_seconds'] for row in rows):.0f}"
    if len(rows[0]["psnr_output"]) < steps[-1]:
        ends = [row["stopped"] for row in rows]
        return [""] * (len(steps) - 1) + [f"{_mean(ends)} ({_spread(ends)})", "", seconds]
    values = [[row["psnr_output"][step - 1] for row in rows] for step in steps]
    best = [max(row["psnr_output"]) for row in rows]
    when = statistics.median(row["psnr_output"].index(max(row["psnr_output"])) + 1 for row in rows)
    cells = [f"{_mean(each)} ({_spread(each)})" for each in [*values, best]]
    cells[-1] += f", step {when:.0f}"
    return [*cells, seconds]


def _gains(pairs: list[tuple[dict, dict]], steps: list[int]) -> list[str]:
    """Mean and spread of the difference at each step and of the best ones, and how many gain."""
    each = [[a["psnr_output"][s - 1] - b["psnr_output"][s - 1] for a, b in pairs] for s in steps]
    each.append([max(a["psnr_output"]) - max(b["psnr_output"]) for a, b in pairs])
    return [
        f"{statistics.mean(found):+.2f} ({_spread(found)}), {sum(x > 0 for x in found)}"
        for found in each
    ]


def thinned(rows: Rows, every: int) -> Rows:
    """The rows with every so many-th step of their curves, and the best step of each."""
    found = []
    for row in rows:
        curve = row["psnr_output"]
        best = {"best": max(curve), "best_step": curve.index(max(curve)) + 1} if curve else {}
        found.append(row | best | {"psnr_output": curve[every - 1 :: every], "every": every})
    return found


def _mean(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f}" if values else "-"


def _spread(values: list[float]) -> str:
    return f"{statistics.stdev(values):.2f}" if len(values) > 1 else "-"


def _when(rows: Rows, all_rows: Rows, against: str) -> str:
    """The median share of the steps, and how many runs got there, each against its own rival."""
    goals = {(r["image"], r["seed"]): r["stopped"] for r in all_rows if r["run"] == against}
    pairs = [(r, goals.get((r["image"], r["seed"]))) for r in rows if r["psnr_output"]]
    shares = [reached(row, goal) for row, goal in pairs if goal is not None]
    known = [share for share in shares if share is not None]
    return f"{statistics.median(known):.0%} ({len(known)} of {len(shares)})" if known else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--against", default="aseqdip")
    parser.add_argument("--at", type=int, nargs="+", default=[], metavar="STEP")
    parser.add_argument("--every", type=int, default=1, help="steps of a curve that are kept")
    given = parser.parse_args()
    rows = collected(given.out)
    given.dest.write_text(json.dumps(thinned(rows, given.every)))
    print(curves(rows, given.against, given.at) if given.at else table(rows, given.against))


if __name__ == "__main__":
    main()
