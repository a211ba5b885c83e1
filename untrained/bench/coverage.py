"""How often the intervals of error bars hold: columns of the table, and lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from untrained.uncertainty.summary import Uncertainty

PARTS = ("image", "measured", "null")
"""Of the reference: all of it, the part that the measurements determine, and the null space."""

SHARES = ("data_before", "data_after", *(f"{p}_{w}" for p in PARTS for w in ("before", "after")))
"""Columns: shares within nominal intervals, before and after calibration. `data` are the test
measurements."""


def shares_of(found: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the columns `level`, `uncertainty` and `SHARES` of an error bar's plain values."""
    reference = found["reference"]
    return {
        "uncertainty": found["method"],
        "level": found["level"],
        "data_before": found["coverage_raw"],
        "data_after": found["coverage_heldout"],
        **{
            f"{part}_{when}": reference.get(when if part == "image" else f"{part}_{when}")
            for part in PARTS
            for when in ("before", "after")
        },
    }


def plain_values(found: Uncertainty | None) -> dict[str, Any] | None:
    """Return what `result.json` keeps of an error bar; None in place of what is not finite."""
    return None if found is None else {k: _finite(v) for k, v in found.to_dict().items()}


def screen(summary: Sequence[Mapping[str, Any]], title: Any) -> list[str]:
    """Lay out the runs with an error bar for 80 columns: percent before and after calibration.

    Args:
        summary: rows of `table.summarise`.
        title: names what the rows of one table share, see `table.panel_title`.
    """
    lines: list[str] = []
    shown = ""
    for row in summary:
        if row["data_after_mean"] is None:
            continue
        if title(row) != shown:
            shown = title(row)
            heads = "".join(f"{head:>13}" for head in ("data", *PARTS))
            lines += ["", f"{cut(shown, 26):<26}{heads}"]
        cells = "".join(f"{cell:>13}" for cell in cells_of(row))
        lines.append(f"  {cut(row['label'], 24):<24}{cells}")
    if not lines:
        return []
    told = "Per cent within intervals, before > after calibration; data: the test ones."
    return ["", told, *lines]


def cells_of(row: Mapping[str, Any]) -> list[str]:
    """Write a summary's shares: `42.3 > 89.2` of the data, the image and its two parts."""
    return [
        f"{_percent(row[f'{part}_before_mean'])} > {_percent(row[f'{part}_after_mean'])}"
        for part in ("data", *PARTS)
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def cut(text: str, width: int) -> str:
    """Shorten a text to fewer than `width` characters."""
    return text if len(text) < width else text[: width - 2] + "…"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
