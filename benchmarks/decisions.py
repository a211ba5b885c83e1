"""Rewrite the tables of docs/choose.md from the rows of benchmarks/results.

python benchmarks/decisions.py

For each task and method: the mean PSNR over the cases of `benchmarks/results/evidence`, CPU seconds
and peak memory of the same runs. Methods that ran on every case of a task are compared; others are
left out of the means.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "choose.md"
ROWS = ROOT / "benchmarks" / "results" / "evidence"
MARKS = re.compile(r"(<!-- measured: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
AUTO = "`auto`"
NAMES = {("house", "fast"): AUTO, ("house", "best"): "`auto --preset best`"}


def rows_of(task: str) -> list[dict[str, Any]]:
    """Read the rows of a task with the first seed; runs that were cut are left out."""
    rows = [json.loads(path.read_text()) for path in sorted(ROWS.glob(f"{task}-*.json"))]
    return [row for row in rows if row["seed"] == 0 and not row["cut"]]


def table_of(task: str) -> str:
    """Write the table of a task: methods that ran on all of its cases, the best first."""
    rows = rows_of(task)
    cases = sorted({row["case"] for row in rows})
    methods: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        methods.setdefault((row["method"], row["preset"]), {})[row["case"]] = row
    lines = [
        f"| method | PSNR, mean of {len(cases)} | CPU time | peak memory |",
        "|---|---|---|---|",
    ]
    complete = {name: found for name, found in methods.items() if len(found) == len(cases)}
    ranked = sorted(complete.items(), key=lambda item: -_mean(item[1], "stopped"))
    for name, found in ranked:
        shown = NAMES.get(name, f"`{name[0]}`")
        memory = _mean(found, "peak_memory_mb") / 1024
        lines.append(
            f"| {shown} | {_mean(found, 'stopped'):.2f} dB | {_mean(found, 'cpu_seconds'):.0f} s | "
            f"{memory:.1f} GiB |"
        )
    return "\n".join(lines) + "\n"


def _mean(found: dict[str, dict[str, Any]], column: str) -> float:
    return mean(float(row[column]) for row in found.values())


def rewritten(text: str) -> str:
    """Return the page with its tables made anew."""
    return MARKS.sub(lambda found: found[1] + table_of(found[2]), text)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
