r"""A blur kernel from the edges of a blurred picture, coarse to fine: a classical first guess.

At every level two steps alternate: a sharp picture x with few edges, and the kernel that makes y
of it,

.. math:: \min_x \|k * x - y\|^2 + \lambda\,\|\nabla x\|_0, \qquad
          \min_{k \ge 0} \|\nabla x * k - \nabla y\|^2 + \gamma \|k\|^2 ,

with lambda falling from round to round: the strongest edges first. The second sum runs over the
pixels of y alone, so that nothing is assumed of what lies outside; the first assumes its mirror
image.

Few edges are what tells the kernel: under total variation or smoothness alone the blurred picture
itself, with a kernel of one pixel, is the best answer (Levin et al., CVPR 2009).

Sources: L. Xu, S. Zheng, J. Jia, Unnatural L0 sparse representation for natural image deblurring
(CVPR 2013); J. Pan, Z. Hu, Z. Su, M.-H. Yang, Deblurring text images via L0-regularized intensity
and gradient prior (CVPR 2014), whose half-quadratic splitting the first step is. The second is
ours: accelerated projected gradient steps (Beck, Teboulle, SIAM J. Imaging Sci. 2009; restarts:
O'Donoghue, Candes, Found. Comput. Math. 2015) in place of one division of spectra, which knows
neither the border nor the sign. The weights are ours, for pictures in [0, 1], and were chosen on
eight pictures of Set12 that are not those of docs/blind.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

FIRST_LAMBDA, LAST_LAMBDA = 3e-3, 5e-4
GAMMA = 9e-4
"""Weight of |k|^2, for each pixel."""
ROUNDS, LAST_ROUNDS = 6, 12
"""Rounds of a level, and of the finest."""
STEPS, POWER = 20, 8
"""Gradient steps on a kernel, and products that find their size."""
COARSEST = 3
MOST = 512
"""Pixels a side of what is looked at: the middle of a larger picture."""
LARGEST_BETA = 1e3
DUST, ISLAND = 0.02, 0.05
"""Share of the largest tap below which a tap counts as none, and of the whole kernel below which
taps that hang together do."""


def kernel_from_edges(y: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Estimate the kernel that blurred a picture; float64 `sides`, sum 1, centred.

    Args:
        y: `(H, W)` in [0, 1].
        sides: of the kernel, (height, width).
    """
    from scipy.ndimage import gaussian_filter, zoom

    y = y[tuple(slice(max(0, (n - MOST) // 2), max(0, (n - MOST) // 2) + MOST) for n in y.shape)]
    levels = max(1, 1 + math.floor(2 * math.log2(max(sides) / COARSEST)))
    kernel: np.ndarray | None = None
    for level in range(levels - 1, -1, -1):
        scale = 0.5 ** (level / 2)
        size = tuple(max(COARSEST, round(n * scale) | 1) for n in sides) if level else sides
        smaller = y
        if level:
            smooth = gaussian_filter(y, 0.35 / scale, mode="reflect")
            smaller = zoom(smooth, scale, order=3, mode="reflect", grid_mode=True)
        kernel = _start(size) if kernel is None else _resized(kernel, size)
        kernel = _alternate(smaller, kernel, ROUNDS if level else LAST_ROUNDS)
    return cast(np.ndarray, kernel)


def _alternate(y: np.ndarray, kernel: np.ndarray, rounds: int) -> np.ndarray:
    """Alternate between sharp picture and kernel at one level."""
    margin = max(kernel.shape)
    wide = _periodic(y, margin)
    inside = tuple(  # what the kernel takes to make y, and no more
        slice(margin - (n - 1 - n // 2), margin + size + n // 2)
        for n, size in zip(kernel.shape, y.shape, strict=True)
    )
    for weight in np.geomspace(FIRST_LAMBDA, LAST_LAMBDA, rounds):
        sharp = _few_edges(wide, kernel, weight)[inside]
        kernel = _centred(_cleaned(_kernel_of(sharp, y, kernel)))
    return kernel


def _few_edges(y: np.ndarray, kernel: np.ndarray, weight: float) -> np.ndarray:
    """Minimise |k * x - y|^2 + weight |grad x|_0 by half-quadratic splitting; y is periodic."""
    blur = _transfer(kernel, y.shape)
    slopes = [_transfer(np.array(d, dtype=float), y.shape) for d in ([[1, -1]], [[1], [-1]])]
    bend = sum(np.abs(s) ** 2 for s in slopes)
    power, wanted = np.abs(blur) ** 2, np.conj(blur) * np.fft.fft2(y)
    x, beta = y, 2 * weight
    while beta < LARGEST_BETA:
        across, down = np.roll(x, -1, 1) - x, np.roll(x, -1, 0) - x
        flat = across**2 + down**2 < weight / beta
        across[flat] = down[flat] = 0
        back = np.roll(across, 1, 1) - across + np.roll(down, 1, 0) - down
        x = np.fft.ifft2((wanted + beta * np.fft.fft2(back)) / (power + beta * bend)).real
        beta *= 2
    return x


def _kernel_of(x: np.ndarray, y: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Minimise |grad x * k - grad y|^2 + gamma |k|^2 over kernels k >= 0, from `kernel` on.

    Args:
        x: `(H + h - 1, W + w - 1)`, all that a kernel `(h, w)` takes to make y `(H, W)`.
    """
    h, w = kernel.shape
    seen = _slopes(x)
    size = tuple(next_fast_len(n, real=True) for n in seen.shape[1:])
    spectra = rfft2(seen, s=size)
    valid = (slice(None), slice(h - 1, seen.shape[1]), slice(w - 1, seen.shape[2]))

    def correlated(rows: np.ndarray) -> np.ndarray:
        placed = np.zeros((2, *size))
        placed[valid] = rows
        return cast(np.ndarray, irfft2((rfft2(placed) * spectra.conj()).sum(0), s=size)[:h, :w])

    def gram(k: np.ndarray) -> np.ndarray:
        return correlated(irfft2(spectra * rfft2(k, s=size), s=size)[valid])

    wanted, gamma = correlated(_slopes(y)), GAMMA * y.size
    norm, direction = 0.0, wanted
    for _ in range(POWER):
        direction = gram(direction / max(float(np.linalg.norm(direction)), 1e-30))
        norm = float(np.linalg.norm(direction))
    return _not_negative(lambda k: gram(k) + gamma * k - wanted, kernel, 1.05 * norm + gamma)


def _slopes(x: np.ndarray) -> np.ndarray:
    """Compute differences across and down, `(2, H - 1, W - 1)`."""
    corner = x[:-1, :-1]
    return np.stack([x[:-1, 1:] - corner, x[1:, :-1] - corner])


def _not_negative(
    gradient: Callable[[np.ndarray], np.ndarray], k: np.ndarray, curvature: float
) -> np.ndarray:
    """Take accelerated projected gradient steps on k >= 0; momentum is dropped where it climbs."""
    ahead, t = k, 1.0
    for _ in range(STEPS):
        new = np.maximum(ahead - gradient(ahead) / curvature, 0)
        if float(((ahead - new) * (new - k)).sum()) > 0:
            ahead, t = new, 1.0
        else:
            later = (1 + math.sqrt(1 + 4 * t * t)) / 2
            ahead, t = new + (t - 1) / later * (new - k), later
        k = new
    return k


def _cleaned(kernel: np.ndarray) -> np.ndarray:
    """Remove negative and tiny taps, and small islands; the sum is 1."""
    from scipy.ndimage import label, sum_labels

    k = np.where(kernel < DUST * kernel.max(), 0, kernel)
    parts, count = label(k > 0, np.ones((3, 3)))
    if count > 1:
        mass = sum_labels(k, parts, np.arange(1, count + 1))
        k[np.isin(parts, 1 + np.flatnonzero(mass < ISLAND * k.sum()))] = 0
    return k / k.sum() if k.sum() > 0 else _start(k.shape)


def _centred(kernel: np.ndarray) -> np.ndarray:
    """Shift the centre of mass to the middle, by whole pixels."""
    from scipy.ndimage import center_of_mass, shift

    middle = [n // 2 for n in kernel.shape]
    move = [round(m - c) for m, c in zip(middle, center_of_mass(kernel), strict=True)]
    moved = shift(kernel, move, order=0)
    return moved / moved.sum() if moved.sum() > 0 else kernel


def _start(sides: tuple[int, ...]) -> np.ndarray:
    """Make the first kernel: two pixels beside one another."""
    kernel = np.zeros(sides)
    kernel[sides[0] // 2, sides[1] // 2 - 1 : sides[1] // 2 + 1] = 0.5
    return kernel


def _resized(kernel: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Enlarge a kernel to the sides of the next level."""
    from scipy.ndimage import zoom

    factors = [n / m for n, m in zip(sides, kernel.shape, strict=True)]
    larger = zoom(kernel, factors, order=1, grid_mode=True, mode="nearest").clip(0)
    return larger / larger.sum()


def _transfer(kernel: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Compute the spectrum of a kernel whose origin is its pixel size // 2."""
    placed = np.zeros(sides)
    placed[: kernel.shape[0], : kernel.shape[1]] = kernel
    return np.fft.fft2(np.roll(placed, [-(n // 2) for n in kernel.shape], (0, 1)))


def _periodic(y: np.ndarray, margin: int) -> np.ndarray:
    """Mirror a picture by `margin` pixels and let opposite borders run into one another."""
    wide = np.pad(y, margin, mode="reflect")
    ramp = 0.5 + 0.5 * np.minimum(1, (np.arange(margin) + 0.5) / margin)[:, None]
    for axis in (0, 1):
        lines = np.moveaxis(wide, axis, 0)
        first, last = lines[:margin].copy(), lines[::-1][:margin].copy()
        lines[:margin] = ramp * first + (1 - ramp) * last
        lines[::-1][:margin] = ramp * last + (1 - ramp) * first
    return wide
