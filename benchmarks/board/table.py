"""Write the tables of docs/board.md: `python benchmarks/board/table.py`.

A file of rows as argument takes the place of the rows at 3 seconds.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "board.md"
RESULTS = ROOT / "benchmarks" / "results" / "board"
ROWS = {3: RESULTS / "rows.jsonl", 30: RESULTS / "rows-30s.jsonl"}
"""Seconds of one core that a solver has for an image -> what was measured."""
MARKS = "(?<=<!-- board, {} s -->\n).*?(?=<!-- end -->)"
ORDER = ("denoise", "deblur", "inpaint", "superres", "mri", "ct")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read the rows that were measured."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the Markdown table: mean PSNR in dB, and in brackets seconds of one core an image.

    A dash stands for what was not measured; the best of a task that all solvers have done is bold.
    """
    tasks = [name for name in ORDER if any(row["task"] == name for row in rows)]
    solvers = list(dict.fromkeys(row["solver"] for row in rows))
    lines = ["| solver | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|"]
    whole = {t for t in tasks if all(_mean(rows, s, t, "psnr") > float("-inf") for s in solvers)}
    best = {task: max(_mean(rows, s, task, "psnr") for s in solvers) for task in tasks}
    for solver in solvers:
        cells = []
        for task in tasks:
            psnr = _mean(rows, solver, task, "psnr")
            if psnr == float("-inf"):
                cells.append("–")
                continue
            bold = "**" if task in whole and psnr == best[task] else ""
            seconds = _mean(rows, solver, task, "seconds")
            cells.append(f"{bold}{psnr:.2f}{bold} ({seconds:.1f})")
        lines.append(f"| {solver} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _mean(rows: list[dict[str, Any]], solver: str, task: str, what: str) -> float:
    own = [row[what] for row in rows if row["solver"] == solver and row["task"] == task]
    return sum(own) / len(own) if own else float("-inf")


def rewritten(text: str, files: dict[int, Path]) -> str:
    """Return the page with the tables of these files, each named by its seconds."""
    for seconds, path in files.items():
        new = table(rows_of(path))
        text = re.sub(MARKS.format(seconds), lambda _, new=new: new, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    given = ROWS | ({3: Path(sys.argv[1])} if len(sys.argv) > 1 else {})
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), given), encoding="utf-8")
