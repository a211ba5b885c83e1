"""What a person reads at the end of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from untrained.about import Mixture
from untrained.report.words import metric_label, metric_text

WIDTH = 80


def closing_lines(
    path: Path, facts: dict[str, Any], took: float | None = None, said: Sequence[str] = ()
) -> list[str]:
    """List what a person wants to know at the end of a run.

    Args:
        path: of the result.
        facts: what `result.json` holds.
        took: seconds of the whole command: reading, comparing and drawing too.
        said: notes that were printed before the run.
    """
    stop, metrics, classical = facts["stop"], facts["metrics"], facts["classical"]
    lines = textwrap.wrap(f"{facts['method']} on {facts['task']}: {stop['reason']}", WIDTH)
    if metrics:
        other = classical if classical and classical["method"] != facts["method"] else None
        lines.append(_quality(metrics, other))
    mixture = facts.get("mixture")
    made = "" if mixture is None else Mixture(**mixture).shares
    if made:
        lines += textwrap.wrap(f"made of  {made}", WIDTH, subsequent_indent=" " * 9)
    sure = facts.get("uncertainty")
    if sure is not None:
        held, level = (100 * sure[name] for name in ("coverage_heldout", "level"))
        lines.append(f"sure     {level:g} % intervals hold {held:.0f} % of the test measurements")
    notes = facts.get("notes") or ()
    new = [n for n in notes if n not in said and not (made and n.endswith(made))]
    lines += [line for note in new for line in note_lines(note)]
    lines += [
        f"took     {_duration(facts['seconds'], facts['steps'], took)}",
        f"picture  {path / 'reconstruction.png'}",
        f"report   {path / 'report.html'}",
    ]
    return lines


def _quality(metrics: dict[str, float | None], classical: dict[str, Any] | None) -> str:
    """Name the measures that are numbers: SSIM is none for sides below its window of 11 pixels."""
    if metrics.get("nrmse") == 0:
        return "equal to the reference, pixel by pixel"
    shown = {name: metrics.get(name) for name in ("psnr", "ssim")}
    known = {name: value for name, value in shown.items() if value is not None}
    line = ", ".join(f"{metric_label(n)} {metric_text(n, value)}" for n, value in known.items())
    theirs = ((classical or {}).get("metrics") or {}).get("psnr")
    if classical is None or theirs is None or "psnr" not in known:
        return line or "no measure against the reference is a number"
    return f"{line} ({known['psnr'] - theirs:+.2f} dB against {classical['method']})"


def note_lines(note: str) -> list[str]:
    """Wrap a note for a terminal."""
    return textwrap.wrap(f"note: {note}", WIDTH, subsequent_indent=" " * 6)


def _duration(solved: float, steps: int, took: float | None) -> str:
    """Say how long the solve took, and the command around it where that is another number."""
    what = f"for {steps} steps" if steps else "to solve"
    if took is None or took < solved + 1:
        return f"{_seconds(solved)} {what}"
    return f"{_seconds(took)}, {_seconds(solved)} of them {what}"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def duration(seconds: float) -> str:
    """Write a time as a person says it: seconds, minutes or hours."""
    if seconds < 90:
        return _seconds(seconds)
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
