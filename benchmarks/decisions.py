"""Rewrite the tables of docs/choose.md and docs/results.md from the rows of benchmarks/results.

python benchmarks/decisions.py

docs/results.md has one row a case. docs/choose.md has the means over the pictures or scans of a
task (the phantom is left out), for the methods that ran on all of them.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CHOOSE = ROOT / "docs" / "choose.md"
RESULTS = ROOT / "docs" / "results.md"
ROWS = ROOT / "benchmarks" / "results"
MARKS = re.compile(r"(<!-- measured: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
CLASSICAL = ("fbp", "cgsense", "tv", "l1wavelet", "dct", "lowrank", "nlbayes")
OURS = "auto-0"
LEFT_OUT = ("ct-brain-24-*", "*-lenna", "*-barbara", "*-starfish")
"""Cases of `answers.py` that nothing was tuned on."""

FAR_BELOW = -0.3
"""A lead in dB, below which it is printed in bold."""

Rows = dict[str, dict[str, dict[str, Any]]]


def rows_of(study: str) -> Rows:
    """Read the rows of a study: case -> method -> row."""
    found: Rows = {}
    for path in sorted((ROWS / study).glob("*.json")):
        case, method = path.stem.rsplit(".", 1)
        found.setdefault(case, {})[method] = json.loads(path.read_text())
    return found


def table_of_cases(study: str) -> str:
    """Write a row a case: PSNR of every method, and the lead of `auto` over the others."""
    rows = rows_of(study)
    shown = [m for m in CLASSICAL if any(m in row for row in rows.values())]
    heads = ["case", *shown, "`auto`, `fast`", "over the best classical", "CPU s"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for case, row in rows.items():
        star = any(fnmatch(case, pattern) for pattern in LEFT_OUT) and study == "answers"
        lead = row[OURS]["psnr"] - max(row[m]["psnr"] for m in shown if m in row)
        cells = [
            case + (" *" if star else ""),
            *(f"{row[m]['psnr']:.2f}" if m in row else "" for m in shown),
            f"{row[OURS]['psnr']:.2f}",
            f"**{lead:+.2f}**" if lead < FAR_BELOW else f"{lead:+.2f}",
            f"{row[OURS]['cpu']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table_of_means(task: str) -> str:
    """Write the means of a task over its pictures or scans, the best method first."""
    rows = [
        row
        for case, row in rows_of("answers").items()
        if case.startswith(f"{task}-") and "shepp" not in case
    ]
    complete = [m for m in (*CLASSICAL, OURS) if all(m in row for row in rows)]
    lines = [f"| method | PSNR, mean of {len(rows)} | CPU time |", "|---|---|---|"]
    for method in sorted(complete, key=lambda m: -_mean(rows, m, "psnr")):
        name = "auto" if method == OURS else method
        psnr, seconds = _mean(rows, method, "psnr"), _mean(rows, method, "cpu")
        lines.append(f"| `{name}` | {psnr:.2f} dB | {seconds:.0f} s |")
    return "\n".join(lines) + "\n"


def _mean(rows: list[dict[str, dict[str, Any]]], method: str, column: str) -> float:
    return mean(float(row[method][column]) for row in rows)


def rewritten(page: Path) -> str:
    """Return the text of a page with its tables made anew."""
    table = table_of_means if page == CHOOSE else table_of_cases
    return MARKS.sub(lambda found: found[1] + table(found[2]), page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for page in (CHOOSE, RESULTS):
        page.write_text(rewritten(page), encoding="utf-8")
