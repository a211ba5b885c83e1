"""A row for each of many files, as a table (csv) and as a page of thumbnails."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from untrained._version import versions
from untrained.data.formats.pillow import any_size
from untrained.report.page import page_template
from untrained.report.words import metric_text

DONE, WAITING, REFUSED, FAILED = "done", "waiting", "refused", "failed"
DIVERGED, INTERRUPTED, TIME_LIMIT = "diverged", "interrupted", "time limit"
SIDE = 192  # pixels of a thumbnail


@dataclass(frozen=True)
class Row:
    """What became of one file.

    Attributes:
        file: as it was given.
        directory: name of its result directory, inside that of all.
        status: `done`, `time limit` (a result that --resume improves), `waiting`, `interrupted`,
            `refused` (bad input), `diverged`, `failed` (anything else).
        reason: why, where it is not done.
        method, seconds, steps: of the run.
        psnr, ssim: against the reference, where one exists.
        classical, classical_psnr: the classical answer.
        stop_rule, stop_step: what chose the image, and its step.
        peak_memory_mb: of the process, MiB.
    """

    file: str
    directory: str
    status: str = WAITING
    reason: str = ""
    method: str = ""
    seconds: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    classical: str = ""
    classical_psnr: float | None = None
    stop_rule: str = ""
    stop_step: int | None = None
    steps: int | None = None
    peak_memory_mb: float | None = None

    @property
    def shown(self) -> bool:
        """Whether there is a report to be looked at."""
        return self.status in (DONE, TIME_LIMIT, DIVERGED)

    @property
    def quality(self) -> str:
        """PSNR in dB and seconds, as far as they are known."""
        parts = [] if self.psnr is None else [metric_text("psnr", self.psnr)]
        return ", ".join([*parts, *([] if self.seconds is None else [f"{self.seconds:.1f} s"])])


def row_of(file: str, directory: str, facts: dict[str, Any], status: str, reason: str = "") -> Row:
    """Make the row of a result; `facts` is what its `result.json` holds."""
    metrics, classical = facts.get("metrics") or {}, facts.get("classical") or {}
    stop = facts.get("stop") or {}
    return Row(
        file,
        directory,
        status,
        reason,
        method=facts.get("method") or "",
        seconds=facts.get("seconds"),
        psnr=metrics.get("psnr"),
        ssim=metrics.get("ssim"),
        classical=classical.get("method") or "",
        classical_psnr=(classical.get("metrics") or {}).get("psnr"),
        stop_rule=stop.get("rule") or "",
        stop_step=stop.get("step"),
        steps=facts.get("steps"),
        peak_memory_mb=facts.get("peak_memory_mb"),
    )


def table(rows: Sequence[Row]) -> bytes:
    """Write the rows as `summary.csv`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [one.name for one in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue().encode(errors="backslashreplace")


def counts(rows: Sequence[Row]) -> str:
    """Say how many files ended how."""
    found = Counter(row.status for row in rows)
    return ", ".join(f"{number} {status}" for status, number in found.items())


def page(title: str, command: str, rows: Sequence[Row], thumbnails: dict[str, str]) -> bytes:
    """Write the page: a picture of each result linked to its report, and what failed and why.

    Args:
        title: heading.
        command: that made the results.
        rows: of all files.
        thumbnails: directory -> address of a picture inside the page, see `thumbnail`.
    """
    text = page_template(Path(__file__).with_name("overview.html")).render(
        title=title,
        command=command,
        verdict=f"{len(rows)} files: {counts(rows)}",
        rows=rows,
        thumbnails=thumbnails,
        troubles=[row for row in rows if row.reason],
        version=versions()["untrained"],
    )
    return text.encode(errors="backslashreplace")


def thumbnail(picture: Path) -> str:
    """Make a small JPEG of a result's picture, as an address inside a page; empty if there is none.

    Args:
        picture: PNG of 8 or 16 bits, as `write_result` leaves it.
    """
    from PIL import Image

    try:
        with any_size(), Image.open(picture) as opened:
            opened.thumbnail((SIDE, SIDE)) if opened.mode in ("L", "RGB") else None
            pixels = np.asarray(opened)
    except (OSError, ValueError):
        return ""
    small = Image.fromarray(pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8))
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.convert("L" if small.mode == "L" else "RGB").save(stream, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
