"""Collect what an example of the gallery shows: `figure`, and a slider between two images."""

from __future__ import annotations

from html import escape
from typing import Any

SLIDER = """
.. raw:: html

    <div class="slider" style="--at: 50%">
    <img src="{left}" alt="{left_name}"><img src="{right}" alt="{right_name}" class="over">
    <input type="range" min="0" max="100" value="50" aria-label="Divider: {left_name} on the left,
     {right_name} on the right"
     oninput="this.parentNode.style.setProperty('--at', this.value + '%')">
    <p><span>{left_name}</span><span>{right_name}</span></p>
    </div>

"""


def figures_and_sliders(
    block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]
) -> str:
    """Save the example's `figure` and draw a slider for its `result`, each once."""
    names = block_vars["example_globals"]
    figure = names.get("figure")
    if figure is None or getattr(figure, "was_shown", False):
        return ""
    from sphinx_gallery.scrapers import figure_rst

    path = next(block_vars["image_path_iterator"])
    figure.savefig(path, dpi=90)
    figure.was_shown = True
    return figure_rst([path], gallery_conf["src_dir"]) + slider_of(names["result"])


def slider_of(result: Any) -> str:
    """Return a slider between the first image of a result that it may be held against and its own.

    That is the measurement, where it has the size of the image, else the classical answer.
    """
    from untrained.report.gallery import gallery

    views = {panel.key: panel for panel in gallery(result, result.about).panels if panel.key}
    left = views.get("input") or views.get("classical") or views.get("reference")
    if left is None or "result" not in views:
        return ""
    right = views["result"]
    return SLIDER.format(
        left=left.uri,
        right=right.uri,
        left_name=escape(left.title),
        right_name=escape(right.title),
    )
