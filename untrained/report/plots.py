"""Curves of a run, drawn for a light and for a dark page. No pyplot, no global state."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STATISTICS = ("moving variance", "held-out error", "discrepancy")
QUALITY = {"psnr": "image of the step", "psnr_output": "output"}
SIZE = (5.4, 3.1)
DPI = 160
MARGINS = (0.12, 0.15, 0.86, 0.77)  # left, bottom, width, height of the axes
PSNR_SPAN = 15.0  # dB below the highest value shown; the first steps are far lower


@dataclass(frozen=True)
class Theme:
    """Colours of one colour scheme: text and axes, grid, and the lines (Okabe and Ito's)."""

    text: str
    grid: str
    lines: tuple[str, ...]


LIGHT = Theme("#30363c", "#dcdfe3", ("#0072b2", "#d55e00", "#009e73", "#a8528a", "#7a6a00"))
DARK = Theme("#ced3d8", "#3a4047", ("#56b4e9", "#f0a04b", "#35c59b", "#e79ac8", "#e0d060"))


@dataclass(frozen=True)
class Line:
    """One curve: a value per row of the history (NaN = none)."""

    label: str
    values: np.ndarray
    thin: bool = False


@dataclass(frozen=True)
class Chart:
    """One plot.

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
    chosen_step: int | None,
    level: tuple[float, str] | None = None,
) -> list[Chart]:
    """The plots a history gives: the objective, the stop rule's statistic, PSNR.

    Args:
        history: columns; see `Result.history`.
        chosen_step: the step (of the first phase) whose image was chosen.
        level: PSNR of the classical answer and its name.
    """
    if not history.get("step"):
        return []
    phases = _boundaries(history.get("phase", []))
    found = np.flatnonzero(_numbers(history["step"]) == (chosen_step or -1))
    chosen = int(found[0]) if len(found) else None
    names = [n for n in history if n not in ("phase", "step", *QUALITY)]
    terms = _lines(history, [n for n in names if n not in STATISTICS])
    statistic = _lines(history, [n for n in names if n in STATISTICS])
    marked = "" if chosen is None else f" The circle marks the step it chose, {chosen_step}."
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
            f"What the stop rule looks at.{marked}",
            statistic,
            log=_positive(statistic),
            chosen=chosen,
            boundaries=phases,
        ),
        _quality(history, chosen, level, phases),
    ]
    return [plot for plot in plots if any(_finite(line.values).size for line in plot.lines)]


def draw(chart: Chart, theme: Theme) -> bytes:
    """A chart as a PNG file with a transparent background."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    FigureCanvasAgg(figure_of(chart, theme)).print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def figure_of(chart: Chart, theme: Theme) -> Figure:
    """The matplotlib figure of a chart."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI)
    figure.patch.set_alpha(0.0)
    # Fixed margins: an automatic layout measures every label twice, most of the drawing time.
    axes = figure.add_axes(MARGINS)
    _style(axes, theme)
    for i, line in enumerate(chart.lines):
        _plot(axes, line, theme.lines[i % len(theme.lines)], chart.boundaries)
    if chart.log:
        _logarithmic(axes, chart)
    elif chart.unit == "dB":
        _limit(axes, chart)
    axes.set_xlim(0, len(chart.lines[0].values) + 1)
    if chart.level is not None:
        axes.axhline(chart.level[0], color=theme.text, linestyle="--", label=chart.level[1])
    _mark(axes, chart, theme)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel(chart.unit)
    _legend(axes, theme)
    return figure


def _quality(
    history: dict[str, list[float | str]],
    chosen: int | None,
    level: tuple[float, str] | None,
    phases: tuple[tuple[int, str], ...],
) -> Chart:
    lines = _lines(history, [n for n in QUALITY if n in history])
    caption = "PSNR against the reference, recorded for this report only: no method sees it."
    if lines and _finite(lines[-1].values).size:
        output = lines[-1].values
        row = int(np.argmax(np.where(np.isfinite(output), output, -np.inf)))
        caption += f" The output was best at {_place(history, row)}: {output[row]:.2f} dB."
    return Chart("PSNR", caption, lines, "dB", False, chosen, level, phases)


def _lines(history: dict[str, list[float | str]], names: list[str]) -> tuple[Line, ...]:
    return tuple(
        Line(QUALITY.get(name, name), _numbers(history[name]), thin=name == "psnr")
        for name in names
    )


def _positive(lines: tuple[Line, ...]) -> bool:
    return all((_finite(line.values) > 0).all() for line in lines)


def _place(history: dict[str, list[float | str]], row: int) -> str:
    phases = history.get("phase", [])
    where = f" of the {phases[row]}" if len(set(phases)) > 1 else ""
    return f"step {float(history['step'][row]):.0f}{where}"


def _boundaries(phases: list[float | str]) -> tuple[tuple[int, str], ...]:
    """(row, label) of each phase, where there is more than one."""
    starts = [i for i, label in enumerate(phases) if i == 0 or label != phases[i - 1]]
    return tuple((i, str(phases[i])) for i in starts) if len(starts) > 1 else ()


def _numbers(values: list[float | str]) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _style(axes: Axes, theme: Theme) -> None:
    axes.patch.set_alpha(0.0)
    axes.grid(True, color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=theme.text, labelsize=10, length=0)
    for item in (axes.xaxis.label, axes.yaxis.label):
        item.set(color=theme.text, fontsize=10.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.grid)


def _plot(axes: Axes, line: Line, colour: str, boundaries: tuple[tuple[int, str], ...]) -> None:
    """One curve, not joined across phases."""
    marker = "o" if np.isfinite(line.values).sum() < 3 else None
    starts = [start for start, _ in boundaries] or [0]
    for begin, end in zip(starts, [*starts[1:], len(line.values)], strict=True):
        axes.plot(
            np.arange(begin + 1, end + 1),
            line.values[begin:end],
            label=line.label.lstrip("_") if begin == 0 else None,
            color=colour,
            linewidth=0.9 if line.thin else 1.7,
            alpha=0.65 if line.thin else 1.0,
            marker=marker,
        )


def _logarithmic(axes: Axes, chart: Chart) -> None:
    """A logarithmic axis labelled with plain numbers, a few per decade where there are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = _finite(np.concatenate([line.values for line in chart.lines]))
    few = values.max() / values.min() < 30.0
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _limit(axes: Axes, chart: Chart) -> None:
    values = _finite(np.concatenate([line.values for line in chart.lines]))
    levels = [] if chart.level is None else [chart.level[0]]
    high = max([values.max(), *levels])
    low = max(min([values.min(), *levels]), high - PSNR_SPAN)
    margin = 0.05 * max(high - low, 1.0)
    axes.set_ylim(low - margin, high + margin)


def _mark(axes: Axes, chart: Chart, theme: Theme) -> None:
    """The chosen step, and where each phase begins."""
    for start, label in chart.boundaries:
        if start:
            axes.axvline(start + 0.5, color=theme.text, linewidth=0.9, linestyle=":")
        axes.annotate(
            label,
            (start + 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, 2),
            textcoords="offset points",
            color=theme.text,
            fontsize=10,
            parse_math=False,
        )
    if chart.chosen is None:
        return
    value = chart.lines[-1].values[chart.chosen]
    if np.isfinite(value):
        axes.plot(
            [chart.chosen + 1],
            [value],
            marker="o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=theme.text,
            markeredgewidth=1.8,
            linestyle="none",
            label="chosen step",
        )


def _legend(axes: Axes, theme: Theme) -> None:
    legend = axes.legend(frameon=False, fontsize=10, labelcolor=theme.text)
    for text in legend.get_texts():
        text.set_parse_math(False)
