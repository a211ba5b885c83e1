"""Which curves a run's history gives, before anything is drawn."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from untrained.core.rule import Stop

SLICE = re.compile(r"slice \d+ ")
QUALITY = {"psnr": "image of the step", "psnr_output": "output"}


@dataclass(frozen=True)
class Line:
    """Hold one curve: a value per row of the history (NaN = none).

    Attributes:
        label: for the legend.
        values: one per row.
        thin: drawn in the background.
        style: matplotlib's line style.
        colour: number of the theme's colour; None = by position.
    """

    label: str
    values: np.ndarray
    thin: bool = False
    style: str = "-"
    colour: int | None = None


@dataclass(frozen=True)
class Chart:
    """Hold the curves and labels of one plot.

    Attributes:
        title, caption: for the page.
        lines: the curves.
        unit: label of the vertical axis.
        log: logarithmic vertical axis.
        chosen: row of the step whose image was chosen, marked; None = no mark.
        level: a horizontal line and its label.
        boundaries: rows at which a new phase begins, and its label.
    """

    title: str
    caption: str
    lines: tuple[Line, ...]
    unit: str = ""
    log: bool = False
    chosen: int | None = None
    level: tuple[float, str] | None = None
    boundaries: tuple[tuple[int, str], ...] = ()


def charts(
    history: dict[str, list[float | str]],
    origins: dict[str, str],
    chosen_step: int | None,
    level: tuple[float, str] | None = None,
    rule: Stop | None = None,
    after: str = "",
) -> list[Chart]:
    """Build the plots of a history: the objective, the stop rule's statistic, PSNR.

    Of several slices those of the first.

    Args:
        history, origins: columns and whose they are; see `Result`.
        chosen_step: the step (of the first phase) whose image was chosen.
        level: PSNR of the classical answer and its name.
        rule: which chose the step, to say why where that is not the lowest of its curve.
        after: what is said of the image beside the curves of PSNR, which end before it.
    """
    if not history.get("step"):
        return []
    history = first_slice(history)
    phases = _boundaries(history.get("phase", []))
    found = np.flatnonzero(_numbers(history["step"]) == (chosen_step or -1))
    chosen = int(found[0]) if len(found) else None
    terms = _lines(history, [n for n in history if origins.get(n) == "objective"])
    statistic = _lines(history, [n for n in history if origins.get(n) == "stop"])
    marked = "" if chosen is None else f" The circle marks step {chosen_step}, which was chosen."
    if chosen is not None and rule is not None and rule.chooses and statistic:
        rows = _phase_of(history, chosen)
        marked += why_not_lowest(statistic[-1].values[rows], chosen - rows.start, rule)
    plots = [
        Chart(
            "Objective",
            "The terms of the objective that was minimised.",
            terms,
            log=_positive(terms),
            boundaries=phases,
        ),
        Chart(
            "Stop rule",
            f"The number that the stop rule looks at.{marked}",
            statistic,
            log=_positive(statistic),
            chosen=chosen,
            boundaries=phases,
        ),
        _quality(history, chosen, level, phases, after),
    ]
    return [plot for plot in plots if any(finite(line.values).size for line in plot.lines)]


def why_not_lowest(values: np.ndarray, chosen: int, rule: Stop) -> str:
    """Explain why the chosen step is not the lowest of its rule's curve; empty where it is.

    Args:
        values: the curve, from the first step of its phase on.
        chosen: the place in it.
        rule: whose curve it is.
    """
    seen = np.where(np.isfinite(values), values, np.inf)
    if not np.isfinite(seen).any() or seen[chosen] <= seen.min():
        return ""
    reasons = []
    considered = seen[rule.ignored :]
    if chosen < rule.ignored:
        return f" The rule considers no step before {rule.ignored + 1}: the last one is taken."
    if seen[: rule.ignored].min(initial=np.inf) < considered.min():
        reasons.append(f"steps before {rule.ignored + 1} are not considered")
    if seen[chosen] > considered.min() and rule.tolerance:
        share = f"{100 * rule.tolerance:.3g} %"
        reasons.append(f"the rule takes the last step within {share} of the minimum")
    if not reasons:
        reasons.append("the output rule returns the newest image")
    return f" It is not the lowest of the curve: {', and '.join(reasons)}."


def _phase_of(history: dict[str, list[float | str]], row: int) -> slice:
    """Return the rows of the phase that contains `row`."""
    phases = history.get("phase") or [""] * len(history["step"])
    begin, end = row, row
    while begin and phases[begin - 1] == phases[row]:
        begin -= 1
    while end < len(phases) and phases[end] == phases[row]:
        end += 1
    return slice(begin, end)


def first_slice(history: dict[str, list[float | str]]) -> dict[str, list[float | str]]:
    """Return the rows of the first slice; the phases of several are called `slice N ...`."""
    names = [SLICE.match(str(label)) for label in history.get("phase", [])]
    if not names or not all(names):
        return history
    found = [name.group() for name in names if name]
    rows = [i for i, name in enumerate(found) if name == found[0]]
    first = {column: [values[i] for i in rows] for column, values in history.items()}
    first["phase"] = [str(label).removeprefix(found[0]) for label in first["phase"]]
    return first


def finite(values: np.ndarray) -> np.ndarray:
    """Return the values that are neither NaN nor infinite."""
    return values[np.isfinite(values)]


def _quality(
    history: dict[str, list[float | str]],
    chosen: int | None,
    level: tuple[float, str] | None,
    phases: tuple[tuple[int, str], ...],
    after: str,
) -> Chart:
    lines = _lines(history, [n for n in QUALITY if n in history])
    caption = "PSNR against the reference, recorded for this report only: no method sees it."
    if lines and finite(lines[-1].values).size:
        output = lines[-1].values
        row = int(np.argmax(np.where(np.isfinite(output), output, -np.inf)))
        caption += f" The output was best at {_place(history, row)}: {output[row]:.2f} dB.{after}"
    return Chart("PSNR", caption, lines, "dB", False, chosen, level, phases)


def _lines(history: dict[str, list[float | str]], names: list[str]) -> tuple[Line, ...]:
    return tuple(
        Line(QUALITY.get(name, name), _numbers(history[name]), thin=name == "psnr")
        for name in names
    )


def _positive(lines: tuple[Line, ...]) -> bool:
    return all((finite(line.values) > 0).all() for line in lines)


def _place(history: dict[str, list[float | str]], row: int) -> str:
    phases = history.get("phase", [])
    where = f" of the {phases[row]}" if len(set(phases)) > 1 else ""
    return f"step {float(history['step'][row]):.0f}{where}"


def _boundaries(phases: list[float | str]) -> tuple[tuple[int, str], ...]:
    """List (row, label) of each phase, where there is more than one."""
    starts = [i for i, label in enumerate(phases) if i == 0 or label != phases[i - 1]]
    return tuple((i, str(phases[i])) for i in starts) if len(starts) > 1 else ()


def _numbers(values: list[float | str]) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)
