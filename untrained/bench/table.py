"""One row per job of the grid, whatever became of it; and mean and spread over images and seeds."""

from __future__ import annotations

import csv
import importlib.util
import io
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from untrained.bench.coverage import SHARES, cut, shares_of
from untrained.bench.coverage import screen as coverage_screen
from untrained.bench.job import Job
from untrained.bench.made import write_output
from untrained.bench.run import job_directory
from untrained.bench.work import CUT, DONE, FAILED, FAILURE, KILLED, RESULT, job_status, read_json
from untrained.errors import UserError
from untrained.files import atomic_write

Row = dict[str, Any]

SCORES = ("stopped", "final", "oracle")
GROUP = ("task", "setting", "label")
COSTS = ("seconds", "cpu_seconds", "peak_memory_mb")
MEASURED = (
    *SCORES,
    "ssim",
    "stop_rule",
    "stop_step",
    "oracle_step",
    "steps",
    *COSTS,
    "full_seconds",
    "device",
    "precision",
    "threads",
    "version",
    "uncertainty",
    "level",
    *SHARES,
)
COLUMNS = (
    *("task", "image", "setting", "label", "method", "preset", "seed", "status"),
    *MEASURED,
    "error",
    "id",
)
SUFFIXES = (".csv", ".parquet")


def make_rows(jobs: Iterable[Job], out: Path) -> list[Row]:
    """Make one row per job with the columns `COLUMNS`; None where there is no value."""
    return [_row(job, job_directory(job, out)) for job in jobs]


def summarise(rows: Iterable[Row]) -> list[Row]:
    """Summarise each task, setting and label: counts, mean and standard deviation.

    Rows with a number count, cut ones too; `n_cut` says how many of those there are. The deviation
    is the sample's, None for a single row.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in GROUP), []).append(row)
    return [_summary(key, members) for key, members in sorted(groups.items(), key=_by_case)]


def table_content(rows: list[Row], path: str | Path) -> bytes:
    """Return rows of equal columns as `.csv`, or as `.parquet` where pyarrow is installed.

    Args:
        rows: of the table.
        path: of the file; its suffix tells the format.

    Raises:
        UserError: another suffix, or no pyarrow.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise UserError(f"--out {path}: a table is written as {' or '.join(SUFFIXES)}")
    return _csv(rows) if path.suffix == ".csv" else _parquet(rows, path)


def write_table(rows: list[Row], path: str | Path) -> Path:
    """Write rows as a file; see `table_content`.

    Raises:
        UserError: as `table_content`, or the file cannot be written.
    """
    content = table_content(rows, path)
    with atomic_write(path) as stream:
        stream.write(content)
    return Path(path)


def write_tables(rows: list[Row], summary: list[Row], out: Path) -> list[Path]:
    """Write `table.csv`, `summary.csv`, and `table.parquet` where pyarrow is installed.

    Args:
        rows, summary: of the tables.
        out: the experiment's folder.

    Raises:
        UserError: one of them is there and not of this program.
    """
    tables = {"table.csv": rows, "summary.csv": summary}
    if importlib.util.find_spec("pyarrow") is not None:
        tables["table.parquet"] = rows
    return [write_output(out, name, table_content(some, name)) for name, some in tables.items()]


def screen(rows: list[Row], summary: list[Row]) -> list[str]:
    """Lay the summary out for a terminal of 80 columns, then what failed and why."""
    lines: list[str] = []
    shown = ""
    for row in summary:
        title = panel_title(row)
        if title != shown:
            shown = title
            lines += ["", f"{cut(title, 26):<26}{'jobs':>6}" + "".join(_heads())]
        lines.append(
            f"  {cut(row['label'], 24):<24}{_count(row):>6}"
            + "".join(f"{spread(row, name):>14}" for name in SCORES)
            + f"{number(row['seconds_mean'], '.0f'):>6}"
        )
    lines += coverage_screen(summary, panel_title)
    notes = [f"{row['status']}: {_name(row)}: {row['error']}" for row in rows if row["error"]]
    return [*lines[1:], *([""] if notes else []), *notes]


def panel_title(row: Row) -> str:
    """Name what the rows of one table or figure share: task and setting."""
    return ", ".join(part for part in (row["task"], row["setting"]) if part)


def count_by_status(rows: Iterable[Row]) -> dict[str, int]:
    """Count the rows by status."""
    found: dict[str, int] = {}
    for row in rows:
        found[row["status"]] = found.get(row["status"], 0) + 1
    return found


def _row(job: Job, directory: Path) -> Row:
    status = job_status(directory)
    row = dict.fromkeys(COLUMNS) | {
        "id": job.id,
        "task": job.case.task,
        "image": job.case.image,
        "setting": job.case.setting,
        "label": job.run.label,
        "method": job.run.method,
        "preset": job.run.preset,
        "seed": job.seed,
        "status": status,
    }
    if status in (DONE, CUT):
        facts = read_json(directory / RESULT)
        facts |= {
            "stop_rule": facts["stop"]["rule"],
            "stop_step": facts["stop"]["step"],
            "version": facts["versions"]["untrained"],
        }
        told = facts.pop("uncertainty", None)
        facts |= {} if told is None else shares_of(told)
        row |= {name: facts.get(name) for name in MEASURED}
    if status == FAILURE:
        row["error"] = read_json(directory / FAILED)["error"]
    if status == KILLED:
        row["error"] = "begun and not ended: it was killed, or is at work; run the grid again"
    return row


def _summary(key: tuple[str, ...], rows: list[Row]) -> Row:
    found = count_by_status(rows)
    summary: Row = dict(zip(GROUP, key, strict=True))
    summary |= {"n": len(rows), "n_done": found.get(DONE, 0), "n_cut": found.get(CUT, 0)}
    summary["n_failed"] = found.get(FAILURE, 0) + found.get(KILLED, 0)
    summary["n_missing"] = len(rows) - sum(summary[f"n_{k}"] for k in ("done", "cut", "failed"))
    for name in (*SCORES, "ssim", *COSTS, *SHARES):
        values = [float(row[name]) for row in rows if row[name] is not None]
        summary[f"{name}_mean"] = statistics.fmean(values) if values else None
        summary[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else None
    return summary


def _by_case(item: tuple[tuple[str, ...], list[Row]]) -> tuple[str, ...]:
    """Sort by task and setting; a stable sort leaves the runs in the grid's order."""
    return item[0][:2]


def _csv(rows: list[Row]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def _parquet(rows: list[Row], path: Path) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"--out {path}: parquet needs pyarrow, which is not installed: pip install pyarrow, "
            "or name the table .csv"
        ) from None
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), stream)
    return stream.getvalue()


def _heads() -> list[str]:
    return [*(f"{name:>14}" for name in SCORES), f"{'s':>6}"]


def _count(row: Row) -> str:
    """Write `2/3`, with a `c` where some were cut."""
    return f"{row['n_done'] + row['n_cut']}/{row['n']}" + ("c" if row["n_cut"] else "")


def spread(row: Row, name: str) -> str:
    """Write `mean ± deviation` of a summary's column."""
    mean, std = row[f"{name}_mean"], row[f"{name}_std"]
    return number(mean, ".2f") + ("" if std is None else f" ± {std:.2f}")


def number(value: float | None, form: str) -> str:
    """Format the value, or write a dash where there is none."""
    return "-" if value is None else format(value, form)


def _name(row: Row) -> str:
    parts = [str(row[k]) for k in ("task", "image", "setting", "label", "seed")]
    return "/".join(part for part in parts if part)
