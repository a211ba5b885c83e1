"""Doubts about photographs, their masks and kernels, and amplitudes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from untrained.errors import UserError, doubting

# Daubechies' wavelet with two vanishing moments, high-pass half, unit norm.
DB2 = (-0.4829629131445341, 0.8365163037378079, -0.2241438680420134, -0.1294095225512604)
MEDIAN_OF_ABSOLUTE_NORMAL = 0.6744897501960817
UNLIKE = 5.0
ROUNDING = 1e-6  # of a picture's size: no noise, but the last bit of single precision
NEARLY_BLACK = 16 / 255
FLAT = 0.03  # standard deviation of what is nearly one value
SHARP = 4.0
MIDDLE = 0.15  # grey levels further than this from black and white are in the middle
PHOTOGRAPH = 0.3  # share of such pixels
LEAST_PHOTOGRAPH = 16  # pixels of a side; a small kernel may have any numbers
HOLES = 0.1  # share of the pixels beside a hole that are nearly black


def estimate_noise(y: Tensor) -> float:
    """Estimate the standard deviation of white noise in a picture, in the units of y.

    Median absolute value of the finest diagonal wavelet coefficients over 0.6745 (Donoho and
    Johnstone, Biometrika 81, 1994), averaged over channels and slices. Coefficients that are
    exactly zero come from flat, clipped or padded areas and are left out, and so are channels of
    one value.

    Args:
        y: `(1, C, H, W)` or `(1, C, D, H, W)`, height and width at least 4.
    """
    if min(y.shape[-2:]) < len(DB2):
        raise UserError(
            f"the noise level cannot be estimated on {y.shape[-2]}x{y.shape[-1]} pixels; "
            "give --sigma as a number"
        )
    high = torch.tensor(DB2, dtype=y.dtype, device=y.device)
    planes = y.reshape(-1, 1, *y.shape[-2:])
    planes = planes[planes.amax((1, 2, 3)) > planes.amin((1, 2, 3))]
    if not len(planes):
        return 0.0
    detail = conv2d(planes, torch.outer(high, high)[None, None], stride=2).abs()
    levels = [float(d[d > 0].median()) for d in detail if bool((d > 0).any())]
    return sum(levels) / max(1, len(levels)) / MEDIAN_OF_ABSOLUTE_NORMAL


@doubting
def sigma_doubts(y: Tensor, sigma: float, option: bool) -> tuple[str, ...]:
    """Doubt a noise level that is far from what a picture looks like.

    Args:
        y: `(1, C, H, W)` or `(1, C, D, H, W)`.
        sigma: in the units of y.
        option: whether it was given on the 0..255 scale of the command line.
    """
    looks = estimate_noise(y) if min(y.shape[-2:]) >= len(DB2) else 0.0
    if looks <= ROUNDING * float(y.abs().max()) or looks / UNLIKE <= sigma <= looks * UNLIKE:
        return ()
    if option:
        return (
            f"sigma {255 * sigma:.3g} was given, and the picture looks like {255 * looks:.3g}; the "
            "scale is 0..255, and --sigma auto takes the latter",
        )
    other = f"; did you mean {sigma:g} / 255?" if sigma > 1 else ""
    return (
        f"sigma {sigma:.3g} was given, and the picture looks like {looks:.3g}; sigma is in the "
        f"units of y{other}",
    )


@doubting
def level_doubts(level: float) -> tuple[str, ...]:
    """Say that a picture is worked on at its own level; 1 is the usual one."""
    if level == 1:
        return ()
    kind = "dim" if level < 1 else "bright"
    return (
        f"the picture is {kind}: its values reach {level:.3g}, and pictures are taken to lie in "
        "[0, 1]; it was divided by that and multiplied again. Is its white level another one?",
    )


def share_between(grey: np.ndarray) -> float:
    """Return the share of pixels in [0, 1] that are neither dark nor bright."""
    return float(((grey > MIDDLE) & (grey < 1 - MIDDLE)).mean())


def _is_photograph(kernel: np.ndarray) -> bool:
    """Tell whether a kernel has greys up to its border, in no order about its middle.

    A wide Gaussian that is cut off is the same when turned by 180 degrees, a box is of one grey,
    and the path of a camera is black nearly everywhere.
    """
    low, high = float(kernel.min()), float(kernel.max())
    if min(kernel.shape) < LEAST_PHOTOGRAPH or low < 0 or high <= low:
        return False
    border = np.concatenate([kernel[[0, -1]].ravel(), kernel[:, [0, -1]].ravel()])
    turned = float(np.linalg.norm(kernel - kernel[::-1, ::-1]) / np.linalg.norm(kernel))
    return (
        share_between(kernel / high) > PHOTOGRAPH
        and border.mean() > PHOTOGRAPH * kernel.mean()
        and turned > PHOTOGRAPH / 2
    )


@doubting
def kernel_doubts(kernel: np.ndarray, label: str) -> tuple[str, ...]:
    """Doubt a blur kernel that is a photograph, or whose mass is not about its middle.

    Args:
        kernel: `(h, w)`.
        label: what it is called in a message.

    Raises:
        UserError: it looks like a photograph, or is centred on its corner, in the order of a plain
            FFT.
    """
    mass = np.abs(np.asarray(kernel, dtype=np.float64))
    total = mass.sum()
    if mass.ndim != 2 or not total > 0 or min(mass.shape) < 2:
        return ()
    if _is_photograph(np.asarray(kernel, dtype=np.float64)):
        raise UserError(
            f"{label} looks like a photograph and not like a blur kernel: it is grey up to its "
            "border; a kernel is what the blur makes of a single bright point, black around it"
        )
    middle = [n // 2 for n in mass.shape]
    from_middle = [np.abs(np.arange(n) - m) for n, m in zip(mass.shape, middle, strict=True)]
    from_corner = [np.minimum(np.arange(n), n - np.arange(n)) for n in mass.shape]
    spread = [
        sum(
            float((mass.sum(1 - i) * np.square(distances[i], dtype=np.float64)).sum() / total)
            for i in (0, 1)
        )
        for distances in (from_middle, from_corner)
    ]
    peak = np.unravel_index(int(mass.argmax()), mass.shape)
    at_corner = all(int(d[i]) <= 1 for d, i in zip(from_corner, peak, strict=True))
    corners = mass[[0, 0, -1, -1], [0, -1, 0, -1]] > 0.01 * mass.max()
    if min(mass.shape) > 4 and at_corner and corners.sum() >= 2 and 2 * spread[1] < spread[0]:
        raise UserError(
            f"{label} has its mass around its corners, as a plain FFT takes it; its origin belongs "
            f"in the middle, at ({middle[0]}, {middle[1]}): save np.fft.fftshift(kernel)"
        )
    places = [float((mass.sum(1 - i) * np.arange(mass.shape[i])).sum() / total) for i in (0, 1)]
    off = [place - m for place, m in zip(places, middle, strict=True)]
    if any(abs(o) > max(2.0, n / 4) for o, n in zip(off, mass.shape, strict=True)):
        return (
            f"{label} has its centre of mass ({off[0]:+.1f}, {off[1]:+.1f}) pixels from its "
            f"middle, its origin: the picture comes back moved by as much",
        )
    return ()


@doubting
def mask_doubts(y: np.ndarray, measured: np.ndarray, label: str) -> tuple[str, ...]:
    """Doubt a mask that is inverted: what it calls measured holds one value, and the rest not.

    Args:
        y: the picture as read, `(C, *sides)`.
        measured: bool, of the same shape.
        label: of the mask.

    Raises:
        UserError: it is so exactly.
    """
    inside, outside = y[measured], y[~measured]
    if not inside.size or not outside.size:
        return ()
    if inside.max() > inside.min():
        spread = float(inside.std()), float(outside.std())
        if spread[0] > FLAT or spread[1] < 5 * spread[0] + FLAT:
            return ()
        return (
            f"{label}: what the mask calls measured is nearly one value, and what it calls missing "
            "is not; 1 or white means measured: is the mask inverted?",
        )
    if outside.max() > outside.min() or not np.any(inside):
        what = "0" if not np.any(inside) else "one value"
        raise UserError(
            f"{label}: every pixel that the mask calls measured is {what}; 1 or white means "
            "measured: is the mask inverted? Save 1 - mask"
        )
    return ()


@doubting
def hole_doubts(y: np.ndarray, measured: np.ndarray, lossy: bool) -> tuple[str, ...]:
    """Doubt holes found as exact zeros whose rims are nearly black: a lossy file blurs them.

    Args:
        y: `(C, H, W)` in [0, 1].
        measured: bool `(H, W)`, False where all channels are 0.
        lossy: whether the file is a JPEG.
    """
    from scipy import ndimage

    rim, wide, wider = (
        measured & ndimage.binary_dilation(~measured, iterations=n) for n in (2, 4, 8)
    )
    black = y.max(0) < NEARLY_BLACK
    dark, around = rim & black, wider & ~wide
    share, beyond = (float(black[part].sum() / max(1, part.sum())) for part in (rim, around))
    if not lossy and (share < HOLES or beyond > 0.3 * share or around.sum() < rim.sum() / 4):
        return ()  # sharp, or dark all around, or nothing is further off than the rims
    file = "in a JPEG black is not exactly 0" if lossy else "black may not be exactly 0 there"
    return (
        f"{int(dark.sum())} pixels beside the missing ones are nearly black and count as "
        f"measured: {file}, and holes spill over; give --mask FILE, and save pictures with holes "
        "as PNG",
    )


@doubting
def amplitude_doubts(amplitudes: np.ndarray, label: str) -> tuple[str, ...]:
    """Doubt Fourier amplitudes `(C, H, W)` whose zero frequency is not in the middle.

    Raises:
        UserError: their largest one is in the corner, in the order of a plain FFT.
    """
    total = np.square(amplitudes, dtype=np.float64).sum(0)
    height, width = total.shape
    row, column = (int(i) for i in np.unravel_index(int(total.argmax()), total.shape))
    if min(height, width) < 8 or (row, column) == (height // 2, width // 2):
        return ()
    if total[row, column] < SHARP * total.mean():
        return ()  # the mean of a picture stands out from its other frequencies
    edges = [min(i, n - i) <= 1 for i, n in ((row, height), (column, width))]
    if any(edges):
        axes = tuple(axis for axis, edge in zip((-2, -1), edges, strict=True) if edge)
        where = "corner" if all(edges) else "border"
        named = axes if len(axes) == 2 else axes[0]
        raise UserError(
            f"{label} has its largest amplitude in the {where}, at ({row}, {column}): the zero "
            f"frequency belongs at ({height // 2}, {width // 2}); save np.fft.fftshift(amplitudes, "
            f"axes={named})"
        )
    if math.hypot(row - height // 2, column - width // 2) > 2:
        return (
            f"the largest amplitude is at ({row}, {column}), and the zero frequency of a picture "
            f"belongs at ({height // 2}, {width // 2}): is it centred?",
        )
    return ()
