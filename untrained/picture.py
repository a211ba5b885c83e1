"""A picture that a task adds to the report, beside those that every report has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Scale = Literal["signed", "positive", "decades", "grey"]


@dataclass(frozen=True)
class Picture:
    """Hold what is drawn, and how; the report makes a panel of it (`report.extras`).

    Give either `values` or `encoded`.

    Attributes:
        title: one line, for the heading of the panel.
        caption: what is seen, one or two sentences. The colour scale is added to it.
        values: `(H, W)` in any unit; NaN is drawn as 0. None for a picture that is encoded.
        scale: `signed`: 0 is white, from -m to m; `positive`: from 0 to m; `decades`: logarithms,
            from m/1000 to m, for k-space; `grey`: from the lowest to the highest value. m is the
            99.5th percentile of |values|.
        unit: of the values, for the colour scale; empty for none.
        encoded: a finished picture, a PNG, an animated PNG or a GIF; empty for values.
        alt: text for readers who cannot see it; empty: title and caption are read.
    """

    title: str
    caption: str = ""
    values: np.ndarray | None = None
    scale: Scale = "signed"
    unit: str = ""
    encoded: bytes = b""
    alt: str = ""

    def __post_init__(self) -> None:
        if (self.values is None) == (not self.encoded):
            raise ValueError(f"picture '{self.title}': give either values or an encoded picture")
        if self.values is not None and self.values.ndim != 2:
            raise ValueError(f"picture '{self.title}': values must be (H, W)")
