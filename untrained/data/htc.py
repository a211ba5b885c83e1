r"""Score segmented CT images as the Helsinki Tomography Challenge 2022 did: `evaluate --score htc`.

A. Meaney et al., Helsinki Tomography Challenge 2022 (doi 10.5281/zenodo.6984868). The image is cut
in two by a threshold, here that of Otsu (IEEE Trans. SMC 9, 1979; entrants chose their own way),
and compared with the true segmentation by the Matthews correlation coefficient

.. math:: \frac{TP \cdot TN - FP \cdot FN}
    {\sqrt{(TP + FP)(TP + FN)(TN + FP)(TN + FN)}},

1 for equal images, 0 for chance; 0 also where a factor of the denominator is 0.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from untrained.data.arrays import require_finite
from untrained.data.ktc_files import read_plane
from untrained.errors import UserError

CUT = "{} was cut in two at {:.4g}, by Otsu's method"
CROPPED = (
    "{} is {} and the reference {}: its middle was compared, pixels being taken for equally large"
)


def score_files(
    image: str | Path, reference: str | Path
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Compute the challenge's score of an image against the true segmentation.

    Args:
        image: attenuation `(H, W)`, or its segmentation; where it is larger than the reference its
            middle is taken, as an image as wide as the detector is larger than the 512 x 512 of
            the challenge.
        reference: segmentation `(h, w)` of two values.

    Returns:
        `htc` and the counts it is made of as shares of all pixels; and notes.

    Raises:
        UserError: unreadable files, an image smaller than the reference, or a reference of one or
            of more than two values.
    """
    (_, found), (label, truth) = _read(image, "image"), _read(reference, "reference")
    if len(np.unique(truth)) != 2:
        raise UserError(
            f"{label} has {len(np.unique(truth))} different values; a segmentation has two"
        )
    found, notes = _middle(found, truth.shape, image)
    mask = truth > truth.min()
    if len(np.unique(found)) > 2:
        level = _otsu(found)
        notes += (CUT.format(image, level),)
        inside = found > level
    else:
        inside = found > found.min()
    return correlation(inside, mask), notes


def correlation(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compute Matthews' coefficient of two boolean images, and the shares that it is made of."""
    n = found.size
    hit, empty = float((found & truth).sum()) / n, float((~found & ~truth).sum()) / n
    false, missed = float((found & ~truth).sum()) / n, float((~found & truth).sum()) / n
    size = (hit + false) * (hit + missed) * (empty + false) * (empty + missed)
    score = (hit * empty - false * missed) / math.sqrt(size) if size > 0 else 0.0
    return {"htc": score, "found": hit, "missed": missed, "false": false}


def _read(path: str | Path, what: str) -> tuple[str, np.ndarray]:
    label, values = read_plane(path, what)
    if values.dtype.kind not in "biuf" or values.ndim != 2:
        raise UserError(
            f"{label} must be one real plane (H, W), found {values.dtype} of shape {values.shape}"
        )
    return label, require_finite(values, label).astype(np.float64)


def _middle(
    image: np.ndarray, shape: tuple[int, ...], path: str | Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Cut the middle out of an image that is larger than `shape`."""
    if image.shape == shape:
        return image, ()
    if any(have < want for have, want in zip(image.shape, shape, strict=True)):
        raise UserError(f"{path} is {image.shape}, smaller than the reference, {shape}")
    first = [(have - want) // 2 for have, want in zip(image.shape, shape, strict=True)]
    part = image[first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    return part, (CROPPED.format(path, image.shape, shape),)


def _otsu(image: np.ndarray) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(image))
