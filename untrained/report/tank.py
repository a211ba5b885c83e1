"""Draw the mesh that an image was computed on, with its electrodes."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np

from untrained.report.gallery import Panel, colour_bar
from untrained.report.pictures import Window, data_uri

INCHES, DPI = 4.6, 120
GREY = "#808890"  # read on a light and on a dark page
MOST_NUMBERED = 64
NUMBERED_AT = 1.09  # of the distance from the middle
MARGIN = 1.16  # around the mesh, for the numbers
CURRENT = "#009e73"


def tank_panel(mesh: dict[str, np.ndarray], window: Window) -> Panel:
    """Draw the values of triangles, their edges and the electrodes, as a panel of a report.

    Args:
        mesh: `nodes` (n, 2), `elements` (m, 3), `electrodes` (L, k, 2) filled up with -1, and
            `values` (m,).
        window: that of the images.
    """
    picture = draw_tank(mesh, window)
    side = int(INCHES * DPI)
    count = len(mesh["electrodes"])
    caption = (
        f"{len(mesh['elements'])} triangles, {count} electrodes (thick, the first is 1); the same "
        "colours as the images. What the model sees: an image's mean below each triangle."
    )
    panel = Panel(
        "Mesh and electrodes",
        caption,
        f"Triangle mesh with {count} electrodes, coloured by the values of its triangles",
        data_uri(picture),
        side,
        side,
    )
    return replace(panel, **colour_bar(window)) if window.palette else panel


def draw_tank(mesh: dict[str, np.ndarray], window: Window) -> bytes:
    """Draw the mesh as a PNG file with a transparent background."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    figure = Figure(figsize=(INCHES, INCHES), dpi=DPI)
    figure.patch.set_alpha(0.0)
    axes = figure.add_axes((0, 0, 1, 1))
    nodes = mesh["nodes"]
    norm = LogNorm if window.logarithmic else Normalize
    axes.tripcolor(
        nodes[:, 0],
        nodes[:, 1],
        mesh["elements"],
        facecolors=mesh["values"].clip(window.low, window.high),
        cmap=window.palette or "gray",
        norm=norm(window.low, window.high),
        edgecolors=GREY,
        linewidth=0.15,
    )
    low, high = nodes.min(axis=0), nodes.max(axis=0)
    middle, half = (low + high) / 2, float((high - low).max()) / 2
    centres = []
    for edges in mesh["electrodes"]:
        own = edges[(edges >= 0).all(axis=1)]
        axes.add_collection(LineCollection(nodes[own], colors=CURRENT, linewidths=4.0))
        centres.append(nodes[own].mean(axis=(0, 1)))
    if len(centres) <= MOST_NUMBERED:
        for number, centre in enumerate(centres, 1):
            x, y = middle + NUMBERED_AT * (centre - middle)
            axes.text(x, y, str(number), color=GREY, fontsize=7.5, ha="center", va="center")
    axes.set_xlim(middle[0] - MARGIN * half, middle[0] + MARGIN * half)
    axes.set_ylim(middle[1] - MARGIN * half, middle[1] + MARGIN * half)
    axes.set_axis_off()
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})
    return stream.getvalue()
