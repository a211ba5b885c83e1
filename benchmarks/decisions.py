"""Rewrite the tables of docs/choose.md and docs/results.md from the rows of benchmarks/results.

python benchmarks/decisions.py

docs/results.md has one row a case, and the lead of `auto` by task. docs/choose.md has the means
over the pictures or scans of a task (the phantom is left out), for the methods that ran on all.
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

TASKS = {
    "ct": "CT",
    "mri": "MRI",
    "deblur": "deblurring",
    "denoise": "denoising",
    "inpaint": "missing pixels",
    "superres": "super-resolution",
}
PHANTOM = "shepp"  # in the name of a case

Rows = dict[str, dict[str, dict[str, Any]]]


def rows_of(study: str) -> Rows:
    """Read the rows of a study: case -> method -> row."""
    found: Rows = {}
    for path in sorted((ROWS / study).glob("*.json")):
        case, method = path.stem.rsplit(".", 1)
        found.setdefault(case, {})[method] = json.loads(path.read_text())
    return found


def lead_of(row: dict[str, dict[str, Any]]) -> float:
    """Subtract the PSNR of the best classical method of a case from that of `auto`, in dB."""
    return float(row[OURS]["psnr"]) - max(float(row[m]["psnr"]) for m in CLASSICAL if m in row)


def is_left_out(case: str) -> bool:
    """Tell whether nothing was tuned on a case of `answers.py`."""
    return any(fnmatch(case, pattern) for pattern in LEFT_OUT)


def shown(lead: float) -> str:
    """Format a lead."""
    return f"**{lead:+.2f}**" if lead < FAR_BELOW else f"{lead:+.2f}"


def table_of_cases(study: str) -> str:
    """Write a row a case: PSNR of every method, and the lead of `auto` over the others."""
    rows = rows_of(study)
    methods = [m for m in CLASSICAL if any(m in row for row in rows.values())]
    heads = ["case", *methods, "`auto`, `fast`", "over the best classical", "CPU s"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for case, row in rows.items():
        cells = [
            case + (" *" if study == "answers" and is_left_out(case) else ""),
            *(f"{row[m]['psnr']:.2f}" if m in row else "" for m in methods),
            f"{row[OURS]['psnr']:.2f}",
            shown(lead_of(row)),
            f"{row[OURS]['cpu']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table_of_leads(study: str) -> str:
    """Write the lead of `auto` over the best classical method by task; the phantom apart."""
    rows = rows_of(study)
    starred = study == "answers"
    heads = ["task", "cases", "mean lead", "worst"]
    heads += ["cases with a star: mean lead"] if starred else []
    lines = [f"| {' | '.join([*heads, 'the phantom'])} |", "|---" * (len(heads) + 1) + "|"]
    for task, name in TASKS.items():
        leads = {case: lead_of(row) for case, row in rows.items() if case.startswith(f"{task}-")}
        phantom = [lead for case, lead in leads.items() if PHANTOM in case]
        others = [lead for case, lead in leads.items() if PHANTOM not in case]
        cells = [name, str(len(others)), shown(mean(others)), shown(min(others))]
        if starred:
            apart = [lead for case, lead in leads.items() if is_left_out(case)]
            cells.append(f"{shown(mean(apart))} ({len(apart)})" if apart else "")
        cells.append(shown(phantom[0]) if phantom else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table_of_means(task: str) -> str:
    """Write the means of a task over its pictures or scans, the best method first."""
    rows = [
        row
        for case, row in rows_of("answers").items()
        if case.startswith(f"{task}-") and PHANTOM not in case
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

    def table(name: str) -> str:
        if page == CHOOSE:
            return table_of_means(name)
        study = name.removesuffix("_leads")
        return table_of_cases(name) if study == name else table_of_leads(study)

    return MARKS.sub(lambda found: found[1] + table(found[2]), page.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for page in (CHOOSE, RESULTS):
        page.write_text(rewritten(page), encoding="utf-8")
