"""A result's tensor as the array a user finds on disk: no batch axis, complex where it is."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from untrained.tasks import find_task

MOST_FRAMES = 25
SPATIAL = {1: "X", 2: "YX", 3: "ZYX"}


def is_complex(image: Tensor, task: str) -> bool:
    """Return whether the channels of `(G, 2, ...)` are real and imaginary part of an image.

    So are those of `(G, 2 S, ...)`, in turn, where images are always complex.
    """
    kind = find_task(task).complex_image
    return image.shape[1] == 2 if kind == "two-channel" else kind == "always"


def is_series(axes: str) -> bool:
    """Return whether an image `(1, C, T, H, W)` is a time series, by the names of its axes."""
    return axes.startswith("T")


def is_stack(image: Tensor, axes: str) -> bool:
    """Return whether the first axis of `(G, C, ...)` counts slices; a stack may have only one."""
    if is_series(axes):
        return False
    return image.shape[0] > 1 or (axes.startswith("Z") and image.ndim == 4)


def axes_of(image: Tensor, task: str, axes: str) -> str:
    """Return the names of the saved array's axes.

    `YX`, `CYX`, `ZYX` (`ZCYX`: stack in colour), `TYX` and `TCYX` of a time series. C counts the
    components of a complex image that has several.
    """
    spatial = SPATIAL[image.ndim - 2]
    channels = "" if image.shape[1] == (2 if is_complex(image, task) else 1) else "C"
    if is_series(axes):
        return f"T{channels}YX"
    stack = ("Z" if spatial == "YX" else "G") if is_stack(image, axes) else ""
    return stack + channels + spatial


def saved_array(image: Tensor, task: str, axes: str) -> np.ndarray:
    """Convert `(G, C, ...)` to the layout of `axes_of`: complex64 if complex, else float32."""
    array = image.detach().cpu().float().numpy()
    if is_complex(image, task):
        array = (array[:, 0::2] + 1j * array[:, 1::2]).astype(np.complex64)
    if array.shape[1] == 1:
        array = array[:, 0]
    elif is_series(axes):
        array = np.moveaxis(array, 1, 2)
    return np.ascontiguousarray(array if is_stack(image, axes) else array[0])


def saved_spread(std: Tensor, task: str, axes: str) -> np.ndarray:
    """Convert a standard deviation `(G, C, ...)` to a float32 array; see `real_spread`."""
    return saved_array(real_spread(std, task), "", axes)


def real_spread(std: Tensor, task: str) -> Tensor:
    """Return the spread `(G, C, ...)`; if complex, the root of the parts' summed variances."""
    return std.square().sum(1, keepdim=True).sqrt() if is_complex(std, task) else std


def display_plane(image: Tensor, task: str) -> np.ndarray:
    """Return the plane of `(G, C, ...)` to show: `(H, W)`, or `(H, W, 3)` for three channels.

    Magnitude of a complex image, the middle slice of a stack or volume, the middle channel where
    there are neither one nor three; a 1-D signal becomes a strip. Of several complex components it
    is the root of the sum of their squares: that does not depend on how maps share a pixel out.
    """
    one = image[image.shape[0] // 2].detach().cpu().float().numpy()
    if is_complex(image, task):
        one = np.hypot(one[0], one[1])[None] if len(one) == 2 else np.linalg.norm(one, axis=0)[None]
    elif len(one) not in (1, 3):
        one = one[len(one) // 2 : len(one) // 2 + 1]
    if one.ndim == 4:
        one = one[:, one.shape[1] // 2]
    if one.ndim == 2:
        one = np.repeat(one[:, None], max(1, one.shape[1] // 8), axis=1)
    return np.moveaxis(one, 0, -1) if len(one) == 3 else one[0]


def frame_planes(image: Tensor, task: str) -> list[np.ndarray]:
    """List the planes of a series `(1, C, T, H, W)` to show, one a frame; see `display_plane`."""
    return [display_plane(frame, task) for frame in image.unbind(2)]


def contact_sheet(planes: list[np.ndarray]) -> np.ndarray:
    """Lay planes of one size side by side, row by row, a pixel apart: `(H', W')` or `(H', W', 3)`.

    At most MOST_FRAMES of them, evenly chosen, the first and the last among them.
    """
    count = min(len(planes), MOST_FRAMES)
    chosen = [planes[round(k * (len(planes) - 1) / max(1, count - 1))] for k in range(count)]
    columns = math.ceil(math.sqrt(count))
    height, width = chosen[0].shape[:2]
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, *chosen[0].shape[2:]))
    for k, plane in enumerate(chosen):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        sheet[top : top + height, left : left + width] = plane
    return sheet
