"""Make panels of the pictures that a run or a task adds to the report (`About.pictures`)."""

from __future__ import annotations

import struct

import numpy as np

from untrained.picture import Picture
from untrained.report.gallery import Panel
from untrained.report.pictures import (
    DIVERGING,
    LONGEST_SIDE,
    Window,
    colour_gradient,
    colours,
    data_uri,
    grey_levels,
    number,
    percentiles,
    png,
)

DECADES = 1e-3
"""The lowest value drawn of `decades`, as a share of the highest."""


def extra_panels(pictures: tuple[Picture, ...]) -> list[Panel]:
    """Draw every picture; its values become a PNG, an encoded one is embedded as it is."""
    return [_encoded(one) if one.encoded else _drawn(one) for one in pictures]


def _drawn(picture: Picture) -> Panel:
    assert picture.values is not None
    plane = np.nan_to_num(np.asarray(picture.values, dtype=np.float64))
    window = window_of(picture, plane)
    pixels = grey_levels(plane, window) if picture.scale == "grey" else colours(plane, window)
    ends = (number(window.low), number(window.high))
    unit = f" {picture.unit}" if picture.unit else ""
    scale = f"Scale from {ends[0]} to {ends[1]}{unit}{', logarithmic' * window.logarithmic}."
    height, width = plane.shape
    return Panel(
        picture.title,
        f"{picture.caption} {scale}".strip(),
        picture.alt or f"{picture.title}, {scale[0].lower()}{scale[1:-1]}",
        data_uri(png(pixels, LONGEST_SIDE)),
        width,
        height,
        ends if picture.scale != "grey" else (),
        tuple(colour_gradient(palette=window.palette)) if window.palette else (),
    )


def window_of(picture: Picture, plane: np.ndarray) -> Window:
    """Find the ends of a picture's colour scale."""
    _, most = percentiles(np.abs(plane), 0.0, 99.5)
    most = most or float(np.abs(plane).max()) or 1.0
    if picture.scale == "signed":
        return Window(-most, most, "", DIVERGING)
    if picture.scale == "decades":
        return Window(DECADES * most, most, "", logarithmic=True)
    if picture.scale == "positive":
        return Window(0.0, most, "")
    low, high = float(plane.min()), float(plane.max())
    return Window(low, high if high > low else low + 1.0, "")


def _encoded(picture: Picture) -> Panel:
    kind, width, height = picture_size(picture.encoded)
    uri = data_uri(picture.encoded).replace("image/png", f"image/{kind}", 1)
    return Panel(picture.title, picture.caption, picture.alt or picture.title, uri, width, height)


def picture_size(content: bytes) -> tuple[str, int, int]:
    """Return (`png` or `gif`, width, height) of an encoded picture, from its first bytes."""
    if content.startswith(b"\x89PNG"):
        return ("png", *struct.unpack(">II", content[16:24]))
    if content.startswith(b"GIF8"):
        return ("gif", *struct.unpack("<HH", content[6:10]))
    raise ValueError("a report embeds PNG and GIF pictures only")
