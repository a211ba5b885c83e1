"""Draws charts for a light and for a dark page. No pyplot, no global state."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from untrained.report.charts import Chart, Line, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (4.4, 2.9)  # inches; small, so that the labels stay readable on a phone
DPI = 180
LEFT, RIGHT, TOP, BOTTOM = 0.3, 0.18, 0.25, 0.48  # inches around the axes, labels apart
LETTER = 0.085  # inches of a letter of a label
KEY_LINE = 0.24  # inches of a legend's line below the axes
CHOSEN = "chosen step"
SHORT = 18  # letters; legends of such labels have two columns
PSNR_SPAN = 15.0  # dB below the highest value shown; the first steps are far lower


@dataclass(frozen=True)
class Theme:
    """Hold one colour scheme: paper, text and axes, grid, and the lines (Okabe and Ito's)."""

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
    """Draw a chart as a PNG file with a transparent background."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    FigureCanvasAgg(figure_of(chart, theme)).print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def figure_of(chart: Chart, theme: Theme) -> Figure:
    """Draw the matplotlib figure of a chart."""
    from matplotlib.figure import Figure

    width, height = _size(chart)
    figure = Figure(figsize=(width, height), dpi=DPI)
    figure.patch.set_alpha(0.0)
    # Fixed margins: an automatic layout measures every label twice, most of the drawing time.
    axes = figure.add_axes((0, 0, 1, 1))
    _style(axes, theme)
    for i, line in enumerate(chart.lines):
        number = i if line.colour is None else line.colour
        _plot(axes, line, theme.lines[number % len(theme.lines)], chart.boundaries)
    if chart.level is not None:
        axes.axhline(chart.level[0], color=theme.text, linestyle="--", label=chart.level[1])
    if chart.log:
        _logarithmic(axes, chart)
    else:
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
        if chart.unit == "dB":
            axes.set_ylim(*_span(chart))
    axes.set_xlim(0, len(chart.lines[0].values) + 1)
    axes.set_ylabel(chart.unit)
    longest = max((len(label.get_text()) for label in axes.get_yticklabels()), default=0)
    left = LEFT * (2 if chart.unit else 1) + LETTER * longest
    under = BOTTOM + _key_height(chart)
    inside = (width - left - RIGHT, height - TOP - under)
    axes.set_position((left / width, under / height, inside[0] / width, inside[1] / height))
    _mark(axes, chart, theme)
    told = _phases(axes, chart, theme, inside[0])
    axes.set_xlabel(f"optimiser step{told}", parse_math=False)
    _legend(axes, chart, theme)
    return figure


MOST_POINTS = 240
"""Steps of a curve that the pointer can rest on."""


def hover_data(chart: Chart) -> str:
    """Return what the page needs to tell a chart's values under the pointer, as JSON.

    `left` and `right` are the ends of the axes as shares of the picture's width, `count` the
    number of rows, `rows` those that are told, `lines` a label and a value for each of them.
    """
    axes = figure_of(chart, LIGHT).axes[0]
    place, (first, last) = axes.get_position(), axes.get_xlim()
    count = len(chart.lines[0].values)
    rows = np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
    if chart.chosen is not None:
        rows = np.union1d(rows, [chart.chosen])
    told: dict[str, Any] = {
        "left": round(float(place.x0), 4),
        "right": round(float(place.x1), 4),
        "first": float(first),
        "last": float(last),
        "rows": (rows + 1).tolist(),
        "chosen": None if chart.chosen is None else chart.chosen + 1,
        "unit": chart.unit,
        "lines": [
            [line.label.lstrip("_"), [_shortened(line.values[row]) for row in rows]]
            for line in chart.lines
        ],
    }
    if chart.level is not None:
        told["lines"].append([chart.level[1], [_shortened(chart.level[0])] * len(rows)])
    return json.dumps(told, separators=(",", ":"))


def _shortened(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None


def pixels_of(chart: Chart) -> tuple[int, int]:
    """Return width and height of a drawn chart, in pixels."""
    width, height = _size(chart)
    return int(width * DPI + 1e-6), int(height * DPI + 1e-6)


def _size(chart: Chart) -> tuple[float, float]:
    return SIZE[0], SIZE[1] + _key_height(chart)


def _key_height(chart: Chart) -> float:
    """Compute the height of the legend in inches; it is below the axes, where it hides no curve."""
    labels = _labels(chart)
    return KEY_LINE * -(-len(labels) // _columns(labels)) + 0.1


def _columns(labels: list[str]) -> int:
    return 2 if max(map(len, labels), default=0) <= SHORT else 1


def _labels(chart: Chart) -> list[str]:
    """List the legend's lines; curves and levels below the plot are marked as such."""
    curves = [(line.label.lstrip("_"), finite(line.values)) for line in chart.lines]
    if chart.level is not None:
        curves.append((chart.level[1], np.array([chart.level[0]])))
    low = _span(chart)[0] if chart.unit == "dB" and not chart.log else -np.inf
    labels = [
        f"{name} ({values.max():.1f} {chart.unit}, below the plot)"
        if values.size and values.max() < low
        else name
        for name, values in curves
    ]
    return labels + ([] if _marked(chart) is None else [CHOSEN])


def _marked(chart: Chart) -> tuple[int, float] | None:
    """Return step and value of the chosen step, where there is one to be marked."""
    if chart.chosen is None:
        return None
    value = float(chart.lines[-1].values[chart.chosen])
    return (chart.chosen + 1, value) if np.isfinite(value) else None


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
    """Plot one curve, not joined across phases."""
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
    """Make the axis logarithmic with plain numbers, a few per decade if it spans little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = finite(np.concatenate([line.values for line in chart.lines]))
    few = values.max() / values.min() < 30.0
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _span(chart: Chart) -> tuple[float, float]:
    """Return the range of a plot of PSNR: from PSNR_SPAN below the highest, with a margin."""
    values = finite(np.concatenate([line.values for line in chart.lines]))
    levels = [] if chart.level is None else [chart.level[0]]
    high = max([values.max(), *levels])
    low = max(min([values.min(), *levels]), high - PSNR_SPAN)
    margin = 0.05 * max(high - low, 1.0)
    return float(low - margin), float(high + margin)


def _mark(axes: Axes, chart: Chart, theme: Theme) -> None:
    """Mark the chosen step by a circle."""
    place = _marked(chart)
    if place is not None:
        axes.plot(
            *([value] for value in place),
            marker="o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=theme.text,
            markeredgewidth=1.8,
            linestyle="none",
            label=CHOSEN,
        )


def _phases(axes: Axes, chart: Chart, theme: Theme, inches: float) -> str:
    """Mark where phases begin; return their names where there is no room for all of them.

    Args:
        axes, chart, theme: what is drawn.
        inches: width of the axes.
    """
    rows = len(chart.lines[0].values) + 1
    free, told = 0.0, ""
    for start, label in chart.boundaries:
        if start:
            axes.axvline(start + 0.5, color=theme.text, linewidth=0.9, linestyle=":")
        needed = LETTER * (len(label) + 1)
        begin = min(inches * start / rows, inches + RIGHT - needed)
        if begin < free:
            told = f" ({', '.join(name for _, name in chart.boundaries)})"
            continue
        free = begin + needed
        axes.annotate(
            label,
            (begin / inches, 1.0),
            xycoords="axes fraction",
            xytext=(4, 2),
            textcoords="offset points",
            color=theme.text,
            fontsize=10,
            parse_math=False,
        )
    return told


def _legend(axes: Axes, chart: Chart, theme: Theme) -> None:
    labels = _labels(chart)
    legend = axes.figure.legend(
        axes.get_legend_handles_labels()[0],
        labels,
        loc="lower left",
        fontsize=10,
        labelcolor=theme.text,
        ncols=_columns(labels),
    )
    legend.get_frame().set(facecolor=theme.paper, edgecolor="none", alpha=0.85)
    for text in legend.get_texts():
        text.set_parse_math(False)
