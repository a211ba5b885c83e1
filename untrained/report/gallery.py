"""The pictures of a report: what was measured, the answers, and their errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from untrained.about import About
from untrained.report import words
from untrained.report.arrays import (
    display_plane,
    frame_planes,
    is_complex,
    is_series,
    real_spread,
)
from untrained.report.pictures import (
    LONGEST_SIDE,
    Window,
    animated_png,
    colour_gradient,
    colour_window,
    colours,
    data_uri,
    deep_values,
    difference,
    image_window,
    number,
    png,
    shown_pixels,
)
from untrained.solver.fit import Fit

KEYS = {"adjoint": "input", "classical": "classical", "ours": "result", "reference": "reference"}
"""Short names of the images in the viewer."""

FRAME_TIME = 125  # milliseconds that a frame of a series is shown
SMALL = 280  # pixels; below, the browser shows pixels as squares instead of blurring them


@dataclass(frozen=True)
class Panel:
    """Hold a picture on the page.

    Attributes:
        title, caption, alt: its texts.
        uri: the picture, a `data:` address; `width` and `height` of the image that it shows.
        scale: the colour bar's two ends, empty for grey and RGB.
        gradient: the bar's colours, where they are not the page's own.
        kind: `view` is an image in the common window, `map` another picture of the same pixels,
            zoomed along; `picture` stands alone.
        key: short name of a view in the viewer: `network`, `classical`, ...
        values: the view's values for the viewer, see `deep_values`; empty: the picture has them.
        ends: the values that the lowest and the highest code of `values`, or black and white of
            the picture, stand for.
        still: one frame of a picture that moves, for readers who asked for less motion.
    """

    title: str
    caption: str
    alt: str
    uri: str
    width: int
    height: int
    scale: tuple[str, str] | tuple[()] = ()
    gradient: tuple[str, ...] = ()
    kind: str = "picture"
    key: str = ""
    values: str = ""
    ends: tuple[float, float] | tuple[()] = ()
    still: str = ""

    @property
    def small(self) -> bool:
        """Whether the picture is so small that its pixels are shown as squares."""
        return max(self.width, self.height) < SMALL


@dataclass(frozen=True)
class Gallery:
    """Hold the pictures, how many are side by side, a note on the images, and their window.

    `colour` tells whether the images are in colour.
    """

    panels: list[Panel]
    columns: str
    note: str
    window: Window
    colour: bool = False


def gallery(fit: Fit, about: About) -> Gallery:
    """Draw the pictures in one order: measurement, classical, ours; reference, their errors."""
    planes = {"ours": display_plane(fit.image, about.task)}
    same = about.classical_name == words.method_name(fit, about)
    others: dict[str, Tensor | None] = {
        "adjoint": about.adjoint,
        "classical": None if same else about.classical,
        "reference": about.reference,
    }
    for name, image in others.items():
        if image is not None:
            planes[name] = display_plane(image, about.task)
    window = image_window(about.task, planes["ours"], planes.get("reference"))
    titles = {
        "adjoint": words.input_name(fit, about).capitalize(),
        "classical": f"Classical: {about.classical_name}",
        "ours": f"Reconstruction: {words.method_name(fit, about)}",
        "reference": "Reference",
    }
    shown = [
        view_panel(KEYS[name], title, planes[name], window, planes["ours"].shape)
        for name, title in titles.items()
        if name in planes
    ]
    if is_series(about.axes):
        images = {"ours": fit.image, **others}
        moving = [images[name] for name in titles if name in planes]
        shown += [
            moving_panel(panel, image, about.task, window)
            for panel, image in zip(shown, moving, strict=True)
            if image is not None
        ]
    shown += _error_panels(planes, titles)
    return Gallery(
        shown + _spread_panel(fit, about),
        "three" if "classical" in planes else "two",
        f"{_detail(fit, about)}All images share one window: {window.text}.",
        window,
        planes["ours"].ndim == 3,
    )


def _detail(fit: Fit, about: About) -> str:
    said = ["magnitude"] if is_complex(fit.image, about.task) else []
    if is_series(about.axes):
        said.append(f"frame {fit.image.shape[2] // 2} of 0 to {fit.image.shape[2] - 1}")
    elif len(fit.image) > 1:
        said.append(f"slice {len(fit.image) // 2} of 0 to {len(fit.image) - 1}")
    elif fit.image.ndim == 5:
        said.append("the middle slice")
    return f"{', '.join(said).capitalize()}. " if said else ""


def image_panel(title: str, plane: np.ndarray, window: Window) -> Panel:
    """Draw an image in a window: grey without a colour bar, or in the window's colours with one."""
    uri = data_uri(png(shown_pixels(plane, window), LONGEST_SIDE))
    height, width = plane.shape[:2]
    panel = Panel(title, "", f"{title}, {width} by {height} pixels", uri, width, height)
    return replace(panel, **colour_bar(window)) if window.palette else panel


def view_panel(
    key: str, title: str, plane: np.ndarray, window: Window, shape: tuple[int, ...]
) -> Panel:
    """Draw an image with its values, if it is grey and has the shape of the others."""
    panel = image_panel(title, plane, window)
    if plane.shape != shape:
        return panel
    if window.palette:
        return replace(panel, kind="map")
    ends: tuple[float, float] = (window.low, window.high)
    values = ""
    if plane.ndim == 2:
        values, ends = deep_values(plane)
    return replace(panel, kind="view", key=key, values=values, ends=ends)


def moving_panel(panel: Panel, image: Tensor, task: str, window: Window) -> Panel:
    """Let the picture of a panel play the frames of a series `(1, C, T, H, W)`."""
    frames = [shown_pixels(plane, window) for plane in frame_planes(image, task)]
    uri = data_uri(animated_png(frames, FRAME_TIME, LONGEST_SIDE))
    return Panel(
        panel.title,
        f"{len(frames)} frames, {1000 // FRAME_TIME} a second.",
        f"{panel.alt}, {len(frames)} frames",
        uri,
        panel.width,
        panel.height,
        panel.scale,
        panel.gradient,
        still=panel.uri,
    )


def colour_bar(window: Window) -> dict[str, Any]:
    """Return the fields of a panel that draw the colour bar of a window with a palette."""
    ends = (number(window.low), number(window.high))
    return {"scale": ends, "gradient": tuple(colour_gradient(palette=window.palette))}


def _error_panels(planes: dict[str, np.ndarray], titles: dict[str, str]) -> list[Panel]:
    if "reference" not in planes:
        return []
    errors = {
        titles[name].partition(": ")[2]: difference(planes[name], planes["reference"])
        for name in ("classical", "ours")
        if name in planes and planes[name].shape == planes["reference"].shape
    }
    if not errors:
        return []
    window = colour_window(*errors.values())
    same = ", the same for both" if len(errors) > 1 else ""
    colour = ", mean over the colours" if planes["reference"].ndim == 3 else ""
    return [
        _map_panel(
            f"Error: {name}",
            plane,
            window,
            f"|image − reference|{colour}; scale {window.text}{same}.",
        )
        for name, plane in errors.items()
    ]


def _spread_panel(fit: Fit, about: About) -> list[Panel]:
    if fit.std is None:
        return []
    if about.uncertainty is not None:
        return _error_bar_panels(fit.std, about)
    plane = display_plane(real_spread(fit.std, about.task), "")
    plane = plane.mean(axis=-1) if plane.ndim == 3 else plane
    window = colour_window(plane)
    caption = (
        f"Standard deviation over seeds; scale {window.text}. It shows how much the random start "
        "matters and is no error bar: the error is usually many times larger."
    )
    return [_map_panel("Spread over seeds", plane, window, caption)]


def _error_bar_panels(std: Tensor, about: About) -> list[Panel]:
    """Draw the calibrated deviation, and the part of it that no measurement speaks to."""
    told = about.uncertainty
    assert told is not None
    shown = {"Standard deviation": std}
    captions = {
        "Standard deviation": f"By {told.method}, calibrated on measurements that were not fitted; "
        f"the {100 * told.level:g} % interval is the image plus or minus {told.quantile:.2f} times "
        "it"
    }
    if about.null_std is not None and told.measured_share is not None:
        shown["Standard deviation of what is not measured"] = about.null_std
        captions["Standard deviation of what is not measured"] = (
            f"The null space: {100 * (1 - told.measured_share):.0f} % of the variance, which no "
            "measurement could check"
        )
    planes = {}
    for name, image in shown.items():
        plane = display_plane(real_spread(image, about.task), "")
        planes[name] = plane.mean(axis=-1) if plane.ndim == 3 else plane
    window = colour_window(*planes.values())
    return [
        _map_panel(name, plane, window, f"{captions[name]}; scale {window.text}.")
        for name, plane in planes.items()
    ]


def _map_panel(title: str, plane: np.ndarray, window: Window, caption: str) -> Panel:
    uri = data_uri(png(colours(plane, window), LONGEST_SIDE))
    height, width = plane.shape
    ends = (number(window.low), number(window.high))
    alt = f"{title}, colour scale from {ends[0]} to {ends[1]}"
    return Panel(title, caption, alt, uri, width, height, ends, kind="map")
