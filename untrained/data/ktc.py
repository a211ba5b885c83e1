r"""Score segmented conductivity images as the Kuopio Tomography Challenge 2023 did.

Räsänen et al., Kuopio Tomography Challenge 2023 (doi 10.5281/zenodo.8252370). An image of 256 x
256 pixels is cut into three classes by two thresholds of Otsu's method (N. Otsu, IEEE Trans. SMC 9,
1979), on a histogram of 256 bins; the largest class is the background, what lies below it is
resistive (1), above it conductive (2). The score is the mean over both kinds of inclusion of a
structural similarity

.. math:: \frac{(2 \mu_t \mu_r + c_1)(2 \sigma_{tr} + c_2)}
    {(\mu_t^2 + \mu_r^2 + c_1)(\sigma_t^2 + \sigma_r^2 + c_2)},
    \quad c_1 = 10^{-4}, \; c_2 = 9 \cdot 10^{-4}

of the masks t (truth) and r (reconstruction), whose means and variances are those in a Gaussian
window of 80 pixels standard deviation, cut off at 160 and at the border of the image; averaged over
all pixels. Equal images score 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from untrained.errors import UserError, shown

SIDE = 256
BINS = 256
WINDOW, CUT = 80.0, 160
C1, C2 = 1e-4, 9e-4
BACKGROUND, RESISTIVE, CONDUCTIVE = 0, 1, 2
LEVELS = range(1, 8)
"""Levels of the challenge; level n is without the first 2 (n - 1) electrodes."""


@dataclass(frozen=True)
class Score:
    """Similarity of both kinds of inclusion, each at most 1, and their mean, the score."""

    resistive: float
    conductive: float

    @property
    def score(self) -> float:
        """Return the challenge's score."""
        return 0.5 * (self.resistive + self.conductive)


def is_segmented(image: np.ndarray) -> bool:
    """Tell whether an image holds classes: 0, 1 and 2 and nothing else."""
    return bool(np.isin(image, (BACKGROUND, RESISTIVE, CONDUCTIVE)).all())


def segment(image: np.ndarray) -> np.ndarray:
    """Cut an image `(H, W)` into background 0, resistive 1 and conductive 2, uint8.

    An image of fewer than three different bins has no two thresholds: its largest class is the
    background, the other one what it is beside it.
    """
    values = np.asarray(image, np.float64)
    low, high = otsu_thresholds(values)
    classes = np.where(values < low, 0, np.where(values <= high, 1, 2))
    largest = int(np.argmax([(classes == k).sum() for k in range(3)]))
    kind = np.sign(classes - largest)  # -1 below the background, 1 above it
    return np.array([BACKGROUND, CONDUCTIVE, RESISTIVE], np.uint8)[kind]


def otsu_thresholds(image: np.ndarray) -> tuple[float, float]:
    """Find the two thresholds of largest variance between three classes.

    As in the challenge a threshold is the middle of the last bin of the class below it, and of
    several equally good pairs the last one counts.

    Returns:
        low, high: classes are what is less than low, from low to high, and more than high.
    """
    counts, edges = np.histogram(image.ravel(), BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    bins = np.arange(1, BINS + 1)
    number, sums = np.cumsum(counts), np.cumsum(bins * counts)
    mean = sums[-1] / number[-1]
    # first[i, j], with j < i: bins up to j are the lowest class, those up to i the lowest two
    i, j = np.meshgrid(np.arange(BINS - 1), np.arange(BINS - 1), indexing="ij")
    parts = [
        (number[j], sums[j]),
        (number[i] - number[j], sums[i] - sums[j]),
        (number[-1] - number[i], sums[-1] - sums[i]),
    ]
    allowed = (j < i) & np.logical_and.reduce([n > 0 for n, _ in parts])
    if not allowed.any():
        filled = middles[counts > 0]
        return float(filled.mean()), np.inf
    variance = sum(n * (s / np.maximum(n, 1) - mean) ** 2 for n, s in parts)
    variance = np.where(allowed, variance, -1.0).ravel()
    best = len(variance) - 1 - int(np.argmax(variance[::-1]))
    return float(middles[j.ravel()[best]]), float(middles[i.ravel()[best]])


def ktc_score(truth: np.ndarray, found: np.ndarray) -> Score:
    """Score classes `(256, 256)` against the true ones, each of them 0, 1 and 2.

    Raises:
        UserError: another shape, or other values.
    """
    for name, image in (("the truth", truth), ("the image", found)):
        if image.shape != (SIDE, SIDE) or not is_segmented(image):
            raise UserError(
                f"the challenge's score takes classes 0, 1 and 2 of {SIDE} x {SIDE} pixels; "
                f"{name} is {shown(image)}"
            )
    return Score(
        *(_similarity(truth == kind, found == kind) for kind in (RESISTIVE, CONDUCTIVE)),
    )


def _similarity(truth: np.ndarray, found: np.ndarray) -> float:
    """Compute the mean structural similarity of two masks in the challenge's window."""
    apart = np.subtract.outer(np.arange(SIDE), np.arange(SIDE))
    one = np.where(np.abs(apart) <= CUT, np.exp(-0.5 * (apart / WINDOW) ** 2), 0.0)
    one /= one.sum(1, keepdims=True)

    def mean(values: np.ndarray) -> np.ndarray:
        return one @ values @ one.T

    t, r = truth.astype(np.float64), found.astype(np.float64)
    mean_t, mean_r = mean(t), mean(r)
    # of masks the square is the mask itself
    var_t, var_r = mean_t - mean_t**2, mean_r - mean_r**2
    both = mean(t * r) - mean_t * mean_r
    over = (2 * mean_t * mean_r + C1) * (2 * both + C2)
    under = (mean_t**2 + mean_r**2 + C1) * (var_t + var_r + C2)
    return float((over / under).mean())


def electrodes_removed(level: int) -> int:
    """Count the electrodes that a level of the challenge is without, the first ones.

    Raises:
        UserError: no such level.
    """
    if level not in LEVELS:
        raise UserError(
            f"the challenge has the levels {LEVELS[0]} to {LEVELS[-1]}, got {shown(level)}"
        )
    return 2 * (level - 1)


def measured_at_level(injections: np.ndarray, patterns: np.ndarray, level: int) -> np.ndarray:
    """Tell which voltages `(M, I)` a level of the challenge keeps.

    Left out are the injections that drive one of the removed electrodes, and the voltages
    measured on one.

    Args:
        injections: currents `(L, I)`.
        patterns: `(L, M)`, the electrodes whose potentials a voltage is made of.
        level: 1, where all is measured, to 7.
    """
    gone = slice(0, electrodes_removed(level))
    driven = (injections[gone] != 0).any(0)
    touched = (patterns[gone] != 0).any(0)
    return ~touched[:, None] & ~driven[None, :]
