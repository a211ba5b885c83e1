"""What a lab leaves: findings beside what the theory predicts, arrays, curves and a picture."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from untrained.files import atomic_write, make_directory, require_new

RELATIONS = {
    "=": "equal, within the tolerance",
    "<=": "at most",
    ">=": "at least",
    "": "nothing is claimed",
}


@dataclass(frozen=True)
class Finding:
    """Hold one number that a statement predicts, and what was found.

    Attributes:
        what: the quantity, in words.
        found: what was measured or computed.
        relation: `=`, `<=` or `>=`: found RELATION predicted; empty: nothing is claimed.
        predicted: what the statement says; None where it says no number.
        tolerance: of `=`, relative to the predicted number (absolute where that is 0).
    """

    what: str
    found: float
    relation: str = ""
    predicted: float | None = None
    tolerance: float = 0.05

    @property
    def holds(self) -> bool | None:
        """Whether the prediction holds; None where nothing is claimed."""
        if self.predicted is None or not self.relation:
            return None
        if self.relation == "=":
            allowed = self.tolerance * (abs(self.predicted) or 1.0)
            return bool(abs(self.found - self.predicted) <= allowed)
        if self.relation == "<=":
            return bool(self.found <= self.predicted)
        return bool(self.found >= self.predicted)


@dataclass(frozen=True)
class LabResult:
    """Hold what a lab found.

    Attributes:
        findings: predictions beside what was found.
        arrays: name -> array, for the `.npz`.
        curves: column -> numbers, all of one length, for the `.csv`; the first is the abscissa.
        draw: paints the picture onto an empty matplotlib figure.
        notes: sentences that a reader should not miss.
    """

    findings: Sequence[Finding]
    arrays: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]
    draw: Callable[[Any], None]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def holds(self) -> bool:
        """Whether every prediction that was made holds."""
        return all(one.holds is not False for one in self.findings)


@dataclass(frozen=True)
class Lab:
    """Hold a lab: a statement of the theory, and the function that checks it.

    Attributes:
        name: on the command line.
        title: one line.
        source: whose statement it is.
        run: the function; its arguments are the seed, and whether it is the full size or a quick
            one of a few seconds.
        own: likewise with a decoder of the user's own (`FILE.py:CALLABLE` or `MODULE:CALLABLE`) and
            a picture `(C, H, W)` in front; None where a lab takes none.
    """

    name: str
    title: str
    source: str
    run: Callable[[int, bool], LabResult]
    own: Callable[[str, np.ndarray, int, bool], LabResult] | None = None


def files_of(name: str, out: Path) -> list[Path]:
    """List the files that `save` writes for the lab of that name."""
    endings = (".npz", ".csv", ".png", ".svg", ".json")
    return [out / f"{name}{ending}" for ending in endings]


def save(name: str, result: LabResult, out: Path, *, overwrite: bool = False) -> list[Path]:
    """Write arrays (npz), curves (csv), the picture (png, svg) and the findings (json).

    Raises:
        UserError: one of the files is there and `overwrite` is False, or cannot be written.
    """
    paths = files_of(name, out)
    for path in paths:
        require_new(path, overwrite=overwrite)
    make_directory(out)
    contents = (
        _npz(result.arrays),
        _csv(result.curves),
        _picture(result, "png"),
        _picture(result, "svg"),
        _json(name, result),
    )
    for path, content in zip(paths, contents, strict=True):
        with atomic_write(path) as stream:
            stream.write(content)
    return paths


def table(result: LabResult) -> str:
    """Format the findings as lines of text: quantity, predicted, found."""
    rows = [("", "predicted", "found", "")]
    for one in result.findings:
        predicted = "-" if one.predicted is None else f"{one.relation} {one.predicted:.4g}"
        verdict = {True: "holds", False: "FAILS", None: ""}[one.holds]
        rows.append((one.what, predicted, f"{one.found:.4g}", verdict))
    lines = []
    for what, predicted, found, verdict in rows:
        first, *more = textwrap.wrap(what, 44) or [""]
        lines.append(f"{first:<44} {predicted:>13} {found:>11}  {verdict}".rstrip())
        lines += more
    lines += [line for note in result.notes for line in textwrap.wrap(f"note: {note}", 79)]
    return "\n".join(lines)


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def _csv(curves: dict[str, np.ndarray]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(curves)
    for row in zip(*curves.values(), strict=True):
        writer.writerow([f"{value:.8g}" for value in row])
    return stream.getvalue().encode()


def _json(name: str, result: LabResult) -> bytes:
    findings = [
        {
            "what": one.what,
            "relation": one.relation,
            "predicted": one.predicted,
            "found": one.found,
            "holds": one.holds,
        }
        for one in result.findings
    ]
    plain = {"name": name, "findings": findings, "notes": list(result.notes)}
    return (json.dumps(plain, indent=2) + "\n").encode()


def _picture(result: LabResult, kind: str) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    result.draw(figure)
    stream = io.BytesIO()
    # A fixed salt and no date: the same result gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "untrained"}):
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(stream, format=kind, dpi=110, metadata=metadata)
    return stream.getvalue()
