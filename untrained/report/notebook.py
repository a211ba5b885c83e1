"""Show a result in a notebook: a short piece of HTML, and a figure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from untrained.about import About
from untrained.report import words
from untrained.report.arrays import display_plane
from untrained.report.gallery import gallery
from untrained.report.page import metric_table
from untrained.report.pictures import Window, difference, image_window, in_window
from untrained.solver.fit import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 220  # pixels of a picture in a notebook
INCHES = 2.8  # of an image in the figure


def notebook_html(fit: Fit, about: About) -> str:
    """Return the verdict, the pictures side by side and the measures, as HTML without a script."""
    shown = gallery(fit, about)
    of_input = words.input_metrics(fit, about)
    pictures = "".join(
        f'<figure style="margin: 0 8px 8px 0; width: {WIDTH}px">'
        f'<img src="{panel.uri}" alt="{escape(panel.alt)}" style="width: 100%; '
        f'image-rendering: {"pixelated" if panel.small else "auto"}">'
        f"<figcaption>{escape(panel.title)}</figcaption></figure>"
        for panel in shown.panels
    )
    table = metric_table(fit, about, of_input)
    numbers = ""
    if table is not None:
        head = "".join(f"<th>{escape(name)}</th>" for name in ("", *table.names))
        rows = "".join(
            f"<tr><th>{escape(label)}</th>{''.join(f'<td>{escape(v)}</td>' for v in values)}</tr>"
            for label, values in table.rows
        )
        numbers = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    warning = words.state_of(fit)
    return (
        f"<div><p><strong>{escape(words.verdict(fit, about, of_input))}</strong></p>"
        f"{f'<p>{escape(warning)}</p>' if warning else ''}"
        f'<div style="display: flex; flex-wrap: wrap">{pictures}</div>{numbers}'
        f"<p>{escape(shown.note)}</p></div>"
    )


def plot_result(fit: Fit, about: About) -> Figure:
    """Draw the images and their error maps; below them the objective and the PSNR.

    Returns:
        A matplotlib figure, independent of pyplot: show it as a cell's last value, or save it.
    """
    from matplotlib.figure import Figure

    planes = {f"{words.method_name(fit, about)}": display_plane(fit.image, about.task)}
    for name, image in (
        (about.classical_name, about.classical),
        ("reference", about.reference),
        (words.input_name(fit, about), about.adjoint),
    ):
        if image is not None and name not in planes:
            planes[name] = display_plane(image, about.task)
    ours = next(iter(planes.values()))
    window = image_window(about.task, ours, planes.get("reference"))
    errors = {} if about.reference is None else _errors(planes)
    count = max(len(planes), 2)
    rows = 1 + bool(errors) + 1
    figure = Figure(figsize=(INCHES * count, INCHES * rows), layout="constrained")
    grid = figure.add_gridspec(rows, 2 * count)
    for i, (name, plane) in enumerate(planes.items()):
        axes = figure.add_subplot(grid[0, 2 * i : 2 * i + 2])
        _show(axes, in_window(plane, window), name, window)
    most = max((float(error.max()) for error in errors.values()), default=1.0)
    for i, name in enumerate(planes):
        if name in errors:
            axes = figure.add_subplot(grid[1, 2 * i : 2 * i + 2])
            axes.imshow(errors[name], cmap="magma", vmin=0, vmax=most or 1.0)
            axes.set_title(f"|{name} − reference|, 0 to {most:.3g}", fontsize=9)
            axes.set_axis_off()
    _curve(figure.add_subplot(grid[rows - 1, :count]), fit, "objective")
    _curve(figure.add_subplot(grid[rows - 1, count:]), fit, "PSNR")
    return figure


def _errors(planes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    truth = planes["reference"]
    return {
        name: difference(plane, truth)
        for name, plane in planes.items()
        if name != "reference" and plane.shape == truth.shape
    }


def _show(axes: Axes, plane: np.ndarray, name: str, window: Window) -> None:
    axes.imshow(plane, cmap=window.palette or "gray", vmin=0, vmax=1)
    axes.set_title(name, fontsize=9)
    axes.set_axis_off()


def _curve(axes: Axes, fit: Fit, what: str) -> None:
    """Plot the terms of the objective, or the PSNR where a reference was given, over the steps."""
    terms = [name for name in fit.history if fit.origins.get(name) == "objective"]
    measured = [name for name in fit.history if name.startswith("psnr")]
    wanted = terms if what == "objective" else measured
    curves = {name: np.asarray(fit.history[name], dtype=float) for name in wanted}
    for name, values in curves.items():
        axes.plot(np.arange(1, len(values) + 1), values, label=name)
    axes.set_title(what if curves else f"no {what} recorded", fontsize=9)
    axes.set_xlabel("optimiser step", fontsize=8)
    if curves:
        axes.legend(fontsize=8)
    positive = all((values[np.isfinite(values)] > 0).all() for values in curves.values())
    if what == "objective" and curves and positive:
        axes.set_yscale("log")
