"""One self-contained HTML page: PSNR against the step per method, tables, and what failed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from untrained._version import versions
from untrained.bench.coverage import PARTS, cells_of
from untrained.bench.made import GRID, JOBS, write_output
from untrained.bench.table import (
    COSTS,
    SCORES,
    Row,
    count_by_status,
    number,
    panel_title,
    spread,
    summarise,
)
from untrained.bench.work import RESULT, read_json
from untrained.report.charts import Chart, Line
from untrained.report.page import drawn, page_template

STYLES = ("-", "-.", "--")
COLOURS = 5
LEVEL = ":"
COST_FORMS = (".1f", ".1f", ".0f")


def write_report(rows: Sequence[Row], out: Path) -> Path:
    """Write `report.html` into the experiment's directory.

    Args:
        rows: of the table.
        out: the experiment's directory.

    Raises:
        UserError: a report is there that this program did not write.
    """
    facts = read_json(out / GRID)
    labels = list(dict.fromkeys(row["label"] for row in rows))
    charts = [draw_panel(title, members, out, labels) for title, members in _panels(rows)]
    page = page_template(Path(__file__).with_name("bench.html")).render(
        name=facts["name"] + (" (small)" if facts["small"] else ""),
        verdict=_verdict(rows),
        plots=[drawn(chart) for chart in charts if chart.lines],
        tables=[(title, _table(members)) for title, members in _panels(rows)],
        coverage=[(title, _coverage(members)) for title, members in _panels(rows)],
        parts=("data", *PARTS),
        problems=[row for row in rows if row["error"]],
        rows=rows,
        scores=SCORES,
        number=number,
        version=versions()["untrained"],
    )
    return write_output(out, "report.html", page.encode())


def draw_panel(title: str, rows: list[Row], out: Path, labels: list[str]) -> Chart:
    """Draw the panel of a task and setting: a mean curve per run, a level per classical method.

    A mean is taken over the steps that all of its curves have. `labels` are those of the whole
    page, so that a run has the same colour in every panel.
    """
    curves = {label: _curves([r for r in rows if r["label"] == label], out) for label in labels}
    means = {k: np.stack(_shortest(v)).mean(0) for k, v in curves.items() if v}
    length = max((len(mean) for mean in means.values()), default=2)
    lines: list[Line] = []
    for i, label in enumerate(labels):
        style = STYLES[i // COLOURS % len(STYLES)]
        images = [row["stopped"] for row in rows if row["label"] == label]
        reached = [value for value in images if value is not None]
        if label in means:
            mean = means[label]
            gap = np.full(length - len(mean), np.nan)
            lines.append(Line(label, np.concatenate([mean, gap]), style=style, colour=i))
        elif reached:
            level = np.full(length, np.mean(reached))
            lines.append(Line(label, level, style=LEVEL, colour=i))
    count = max((len(found) for found in curves.values()), default=0)
    caption = (
        f"PSNR of the output image, the mean over up to {count} image(s) and seed(s), of the whole "
        "budget on all measurements, before any closing step. Dotted: the image of a method that "
        "takes no steps, or whose job was cut before."
    )
    return Chart(title, caption, tuple(lines), unit="dB")


def _panels(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    panels: dict[str, list[Row]] = {}
    for row in rows:
        panels.setdefault(panel_title(row), []).append(row)
    return sorted(panels.items())


def _curves(rows: list[Row], out: Path) -> list[np.ndarray]:
    """Read the output's PSNR at every step of the whole budget, of each job that has it."""
    found = []
    for row in rows:
        folder = out / JOBS / row["id"]
        phase = read_json(folder / RESULT)["curve"] if (folder / RESULT).exists() else ""
        if phase:
            with (folder / "history.csv").open(encoding="utf-8", newline="") as stream:
                steps = [s for s in csv.DictReader(stream) if s["phase"] == phase]
            found.append(np.array([float(s["psnr_output"] or "nan") for s in steps]))
    return found


def _shortest(curves: list[np.ndarray]) -> list[np.ndarray]:
    length = min(len(curve) for curve in curves)
    return [curve[:length] for curve in curves]


def _verdict(rows: Sequence[Row]) -> str:
    found = count_by_status(rows)
    told = ", ".join(f"{count} {status}" for status, count in sorted(found.items()))
    return f"{len(rows)} jobs: {told}."


def _table(rows: list[Row]) -> list[tuple[str, str, list[str]]]:
    """Return (run, jobs with a number, cells) for each run."""
    return [
        (
            row["label"],
            f"{row['n_done'] + row['n_cut']} of {row['n']}"
            + (f", {row['n_cut']} cut" if row["n_cut"] else ""),
            [spread(row, name) for name in SCORES]
            + [
                number(row[f"{name}_mean"], form)
                for name, form in zip(COSTS, COST_FORMS, strict=True)
            ],
        )
        for row in summarise(rows)
    ]


def _coverage(rows: list[Row]) -> list[tuple[str, str, list[str]]]:
    """Return (run, level, cells) for each run with an error bar."""
    levels = {row["label"]: row["level"] for row in rows if row["level"] is not None}
    return [
        (row["label"], f"{100 * levels[row['label']]:g} %", cells_of(row))
        for row in summarise(rows)
        if row["data_after_mean"] is not None
    ]
