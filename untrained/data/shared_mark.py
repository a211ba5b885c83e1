"""A visible mark that two pictures share: where it is, how opaque it is, and its colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from untrained.classical.fill import fill_gaps
from untrained.errors import UserError

ALIKE = 0.8
"""Least cosine between the slopes of the two pictures where both can be the mark's."""
RATIO = 2.5
"""Largest ratio of the sizes of these slopes."""
STEEP = 0.02
"""Least slope per pixel that counts, in pictures of [0, 1]: below is noise."""
LEAST, MOST = 2e-4, 0.4
"""Smallest and largest share of the pixels that a mark may cover."""
WINDOW = 15
"""Side of the window that is wider than a stroke."""
GROW = 2
"""Pixels added around the mark: its edges are smoothed by the picture's file."""


@dataclass(frozen=True)
class SharedMark:
    """Describe a mark.

    Attributes:
        support: bool `(H, W)`, True where it covers the pictures, its edges included.
        opacity: alpha in [0, 1] of I = (1 - alpha) X + alpha c, one for the whole mark.
        colour: c, `(C,)`.
    """

    support: np.ndarray
    opacity: float
    colour: np.ndarray


def find_shared_mark(first: np.ndarray, second: np.ndarray) -> SharedMark:
    """Find the mark that two different pictures share at the same place.

    A mark leaves the same slopes in both, the pictures leave others: slopes that agree in
    direction and size are the mark's, and the field with slopes nearest to them is the mark but for
    a constant (Dekel, Rubinstein, Liu, Freeman, CVPR 2017, who take the median over many
    pictures). Its opacity follows from how much less the two pictures differ under it than beside
    it, its colour from what that leaves. That two pictures tell a shared layer where one does not
    is the idea of Double-DIP's watermark removal (Gandelsman, Shocher, Irani, CVPR 2019), which
    fits three networks instead.

    Args:
        first, second: `(C, H, W)` in [0, 1], of one shape.

    Raises:
        UserError: the shapes differ, the pictures are the same, or they share no mark.
    """
    if first.shape != second.shape:
        raise UserError(
            f"--mask-from: the pictures have the shapes {first.shape} and {second.shape} (C, H, "
            "W); the mark must lie at the same place in two pictures of one size: crop them alike"
        )
    if np.abs(first - second).mean() < 1e-3:
        raise UserError(
            "--mask-from: the two pictures are the same, so that everything would be the mark; "
            "give another picture with the same mark"
        )
    support = _support(first.mean(0), second.mean(0))
    share = float(support.mean())
    if not LEAST < share < MOST:
        found = "none" if share <= LEAST else f"one that covers {share:.0%} of them"
        raise UserError(
            f"--mask-from: no mark was found that both pictures share at the same place ({found}); "
            "draw a mask by hand and give it as --mask"
        )
    opacity = _opacity(first, second, support)
    return SharedMark(_grown(support, GROW), opacity, _colour((first, second), support, opacity))


def _support(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Find where the field with the shared slopes differs from its surroundings, bool `(H, W)`."""
    from scipy.ndimage import label, white_tophat
    from skimage.filters import threshold_otsu
    from skimage.morphology import remove_small_objects

    across, down = _shared_slopes(a, b)
    field = _with_slopes(across, down)
    field = field - np.median(field)
    sign = -1.0 if np.abs(field.min()) > field.max() else 1.0  # a dark mark, or a bright one
    field = sign * field
    if not field.max() > 0:
        return np.zeros(a.shape, dtype=bool)
    sure = remove_small_objects(field > threshold_otsu(field.clip(0)), max_size=6)
    # what stands out of both pictures beside it: a stroke is thinner than the window
    stands_out = np.minimum(*(white_tophat(sign * p, size=(WINDOW, WINDOW)) for p in (a, b)))
    level = np.median(stands_out[sure]) if sure.any() else np.inf
    likely = stands_out > 0.3 * level
    parts, _ = label(sure | likely, np.ones((3, 3)))
    touched = np.unique(parts[sure])
    return np.isin(parts, touched[touched > 0])


def _shared_slopes(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the slopes on which two planes agree, the smaller one of each pair; 0 elsewhere."""
    slopes = [
        (np.diff(p, axis=1, append=p[:, -1:]), np.diff(p, axis=0, append=p[-1:])) for p in (a, b)
    ]
    sizes = [np.hypot(*s) for s in slopes]
    small, large = np.minimum(*sizes), np.maximum(*sizes)
    inner = sum(p * q for p, q in zip(*slopes, strict=True))
    agree = (inner > ALIKE * sizes[0] * sizes[1]) & (small > STEEP) & (large < RATIO * small)
    nearer = sizes[0] <= sizes[1]
    across, down = (np.where(nearer, p, q) * agree for p, q in zip(*slopes, strict=True))
    return across, down


def _with_slopes(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Find the plane whose slopes are nearest to given ones (Poisson, mirrored borders)."""
    from scipy.fft import dctn, idctn

    divergence = np.diff(across, axis=1, prepend=0.0) + np.diff(down, axis=0, prepend=0.0)
    rows, columns = (2 * np.cos(np.pi * np.arange(n) / n) - 2 for n in across.shape)
    bend = rows[:, None] + columns
    bend[0, 0] = 1.0
    spectrum = dctn(divergence, norm="ortho") / bend
    spectrum[0, 0] = 0.0
    return np.asarray(idctn(spectrum, norm="ortho"))


def _opacity(first: np.ndarray, second: np.ndarray, support: np.ndarray) -> float:
    """Compare the difference of the pictures under the mark with the one that goes on beneath it.

    I_1 - I_2 = (1 - alpha)(X_1 - X_2): the mark itself cancels.
    """
    difference = (first - second).mean(0)
    beneath = _continued(difference, _grown(support, GROW))[support]
    size = float(beneath @ beneath)
    return float(np.clip(1 - difference[support] @ beneath / max(size, 1e-9), 0.0, 1.0))


def _colour(
    pictures: tuple[np.ndarray, np.ndarray], support: np.ndarray, opacity: float
) -> np.ndarray:
    """Solve I = (1 - alpha) X + alpha c for c, with X continued from beside the mark; `(C,)`."""
    hidden = _grown(support, GROW)
    means = [
        [
            np.median(plane[support] - (1 - opacity) * _continued(plane, hidden)[support])
            for plane in picture
        ]
        for picture in pictures
    ]
    return np.clip(np.mean(means, axis=0) / max(opacity, 0.05), 0, 1)


def _continued(plane: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Fill a part of a plane by what is around it."""
    x = torch.from_numpy(plane)[None, None]
    known = torch.from_numpy(~hidden)[None, None].to(x)
    return np.asarray(fill_gaps(x * known, known)[0, 0].numpy())


def _grown(support: np.ndarray, pixels: int) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(support, np.ones((3, 3)), iterations=pixels))
