"""A result's tensor as the array a user finds on disk: no batch axis, complex where it is."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from untrained.tasks import find_task

SPATIAL = {1: "X", 2: "YX", 3: "ZYX"}


def is_complex(image: Tensor, task: str) -> bool:
    """Return whether the two channels of `(G, 2, ...)` are real and imaginary part of an image."""
    return find_task(task).complex_image in ("always", "two-channel") and image.shape[1] == 2


def is_stack(image: Tensor, axes: str) -> bool:
    """Return whether the first axis of `(G, C, ...)` counts slices; a stack may have only one."""
    return image.shape[0] > 1 or (axes.startswith("Z") and image.ndim == 4)


def axes_of(image: Tensor, task: str, axes: str) -> str:
    """Return the names of the saved array's axes: `YX`, `CYX`, `ZYX` (`ZCYX`: stack in colour)."""
    spatial = SPATIAL[image.ndim - 2]
    channels = "" if is_complex(image, task) or image.shape[1] == 1 else "C"
    stack = ("Z" if spatial == "YX" else "G") if is_stack(image, axes) else ""
    return stack + channels + spatial


def saved_array(image: Tensor, task: str, axes: str) -> np.ndarray:
    """Convert `(G, C, ...)` to the layout of `axes_of`: complex64 if complex, else float32."""
    array = image.detach().cpu().float().numpy()
    if is_complex(image, task):
        array = (array[:, 0] + 1j * array[:, 1]).astype(np.complex64)
    elif array.shape[1] == 1:
        array = array[:, 0]
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
    there are neither one nor three; a 1-D signal becomes a strip.
    """
    one = image[image.shape[0] // 2].detach().cpu().float().numpy()
    if is_complex(image, task):
        one = np.hypot(one[0], one[1])[None]
    elif len(one) not in (1, 3):
        one = one[len(one) // 2 : len(one) // 2 + 1]
    if one.ndim == 4:
        one = one[:, one.shape[1] // 2]
    if one.ndim == 2:
        one = np.repeat(one[:, None], max(1, one.shape[1] // 8), axis=1)
    return np.moveaxis(one, 0, -1) if len(one) == 3 else one[0]
