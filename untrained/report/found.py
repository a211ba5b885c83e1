"""Pictures of what was estimated of an operator: a blur kernel, coil maps."""

from __future__ import annotations

import numpy as np

from untrained.about import About
from untrained.report.gallery import Panel, image_panel
from untrained.report.pictures import Window

MOST = 8  # maps side by side


def found_plane(array: np.ndarray) -> tuple[np.ndarray, Window]:
    """Lay an estimate out as one plane, and find its window, from 0 to its largest value.

    Args:
        array: a kernel `(h, w)`, or maps `(coils, H, W)`, of which the magnitudes are shown side by
            side; of several images the first.
    """
    values = np.abs(array) if np.iscomplexobj(array) else array
    wanted = 3 if np.iscomplexobj(array) else 2
    while values.ndim > wanted:
        values = values[0]
    plane = np.concatenate(list(values[:MOST]), axis=1) if wanted == 3 else values
    high = float(plane.max())
    return plane, Window(0.0, high if high > 0 else 1.0, f"black is 0, white is {high:.3g}")


def found_panels(about: About) -> list[Panel]:
    """Draw what was estimated for a report."""
    panels = []
    for name, array in about.found.items():
        plane, window = found_plane(array)
        title = f"Estimated {name}"
        panels.append(image_panel(title, plane, window))
    return panels
