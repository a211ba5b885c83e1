"""Draws charts for a light and for a dark page. No pyplot, no global state."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from untrained.report.charts import Chart, Line, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (4.4, 2.9)  # inches; small, so that the labels stay readable on a phone
DPI = 180
MARGINS = (0.14, 0.165, 0.82, 0.75)  # left, bottom, width, height of the axes
KEY_LINE = 0.24  # inches of a legend's line below the axes
PSNR_SPAN = 15.0  # dB below the highest value shown; the first steps are far lower


@dataclass(frozen=True)
class Theme:
    """Colours of one colour scheme: the page's paper, text and axes, grid, and the lines (Okabe
    and Ito's).
    """

    paper: str
    text: str
    grid: str
    lines: tuple[str, ...]


LIGHT = Theme(
    "#fcfcfb", "#30363c", "#dcdfe3", ("#0072b2", "#d55e00", "#009e73", "#a8528a", "#7a6a00")
)
DARK = Theme(
    "#15181b", "#ced3d8", "#3a4047", ("#56b4e9", "#f0a04b", "#35c59b", "#e79ac8", "#e0d060")
)


def draw(chart: Chart, theme: Theme) -> bytes:
    """A chart as a PNG file with a transparent background."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    FigureCanvasAgg(figure_of(chart, theme)).print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def figure_of(chart: Chart, theme: Theme) -> Figure:
    """The matplotlib figure of a chart."""
    from matplotlib.figure import Figure

    below = KEY_LINE * len(chart.lines) if chart.key_below else 0.0
    figure = Figure(figsize=(SIZE[0], SIZE[1] + below), dpi=DPI)
    figure.patch.set_alpha(0.0)
    # Fixed margins: an automatic layout measures every label twice, most of the drawing time.
    left, bottom, width, height = MARGINS
    share = SIZE[1] / (SIZE[1] + below)
    axes = figure.add_axes((left, 1 - (1 - bottom) * share, width, height * share))
    _style(axes, theme)
    for i, line in enumerate(chart.lines):
        number = i if line.colour is None else line.colour
        _plot(axes, line, theme.lines[number % len(theme.lines)], chart.boundaries)
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
    _legend(axes, chart, theme)
    return figure


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
            linestyle=line.style,
            linewidth=0.9 if line.thin else 1.7,
            alpha=0.65 if line.thin else 1.0,
            marker=marker,
        )


def _logarithmic(axes: Axes, chart: Chart) -> None:
    """A logarithmic axis labelled with plain numbers, a few per decade where there are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = finite(np.concatenate([line.values for line in chart.lines]))
    few = values.max() / values.min() < 30.0
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _limit(axes: Axes, chart: Chart) -> None:
    values = finite(np.concatenate([line.values for line in chart.lines]))
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


def _legend(axes: Axes, chart: Chart, theme: Theme) -> None:
    # A fixed corner: looking for the emptiest takes long on a long history.
    place: Literal["lower right", "upper right"]
    place = "lower right" if chart.unit == "dB" else "upper right"
    if chart.key_below:
        legend = axes.figure.legend(loc="lower left", fontsize=10, labelcolor=theme.text)
    else:
        legend = axes.legend(loc=place, fontsize=10, labelcolor=theme.text)
    legend.get_frame().set(facecolor=theme.paper, edgecolor="none", alpha=0.85)
    for text in legend.get_texts():
        text.set_parse_math(False)
