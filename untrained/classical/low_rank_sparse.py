r"""Low rank plus sparse: a background that hardly changes, and what moves in front of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical.linear import require_series
from untrained.classical.weight import choose_weight, noise_of, taken_over
from untrained.maths import above_norm
from untrained.problem import Problem

ITERATIONS, TRIAL_ITERATIONS = 200, 60
TOLERANCE = 1e-4  # relative change of L + S at which the iteration ends
WEIGHTS = (1e-4, 0.3)  # searched, relative to ||A||^2 and the level of A^H y
OF_NOISE = (0.1, 6.0)  # searched for denoising, relative to ||A|| and the noise's deviation
WEIGHT = "low rank and sparse weight"  # its name in the problem's cache


@torch.no_grad()
def lps(problem: Problem, weight: float | None = None) -> Tensor:
    r"""Reconstruct a series as a matrix of low rank plus a sparse one (L+S).

    .. math:: \min_{L, S}\ \tfrac12 \|A (L + S) - y\|^2 + w \sqrt n\, \|L\|_*
              + w\, \|F_t S\|_1, \qquad x = L + S

    Columns of L and S are the frames (the Casorati matrix, n pixels by T), F_t is the orthonormal
    Fourier transform along time, of complex images or of all channels of real ones. From R. Otazo,
    E. Candes, D. K. Sodickson, "Low-rank plus sparse matrix decomposition for accelerated dynamic
    MRI", Magn. Reson. Med. 73 (2015), whose iteration it is, with step 1 / ||A||^2:

    .. math:: L_k = \mathrm{SVT}(M_{k-1} - S_{k-1}), \quad
              S_k = F_t^{-1} \mathrm{soft}(F_t (M_{k-1} - L_{k-1})), \quad
              M_k = L_k + S_k - A^H (A (L_k + S_k) - y) / \|A\|^2

    sqrt(n) between the two weights is that of robust principal components (Candes et al., J. ACM
    58, 2011); there S is sparse in time itself. The paper sets both by hand; here w is chosen from
    the measurements (`choose_weight`).

    Args:
        problem: G series with a linear physics, solved in turn.
        weight: w, in the units of y times an image value; None chooses it.

    Returns:
        `(G, C, T, H, W)` in the problem's units.

    Raises:
        UserError: a nonlinear physics, or no series.
    """
    require_series(problem, "lps")
    images = []
    for i in range(len(problem.y)):
        one = problem.select(i)
        chosen = float(one.cached(WEIGHT, _search)) if weight is None else weight
        images.append(lps_solve(one, chosen))
    return torch.cat(images)


def lps_solve(problem: Problem, weight: float, iterations: int = ITERATIONS) -> Tensor:
    """Run the iteration of `lps` on one problem for a given weight w."""
    step = 1 / above_norm(problem.norm_squared)
    pixels = problem.x_shape[-1] * problem.x_shape[-2]
    low_at, sparse_at = step * weight * math.sqrt(pixels), step * weight
    moved = step * problem.A_adjoint(problem.y)
    low, sparse = moved, torch.zeros_like(moved)
    for _ in range(iterations):
        low, sparse = (
            shrink_rank(moved - sparse, low_at, problem.complex_image),
            shrink_in_time(moved - low, sparse_at, problem.complex_image),
        )
        x = low + sparse
        new = x - step * problem.A_adjoint(problem.A(x) - problem.y)
        change = float((new - moved).norm() / moved.norm().clamp_min(1e-30))
        moved = new
        if change < TOLERANCE:
            break
    x = problem.supported(low + sparse)
    return x.clamp(0, 1) if problem.unit_range else x


def shrink_rank(x: Tensor, threshold: float, is_complex: bool) -> Tensor:
    """Soft-threshold the singular values of the Casorati matrix of a series `(1, C, T, H, W)`.

    By the T x T matrix of its frames' inner products, which is small.
    """
    frames = _casorati(x, is_complex)
    energy, basis = torch.linalg.eigh(frames @ frames.mH)
    sizes = energy.clamp_min(0).sqrt()
    gain = (1 - threshold / sizes.clamp_min(1e-30)).clamp_min(0)
    shrunk = (basis * gain.to(basis.dtype)) @ (basis.mH @ frames)
    return _series(shrunk, x, is_complex)


def shrink_in_time(x: Tensor, threshold: float, is_complex: bool) -> Tensor:
    """Soft-threshold the temporal Fourier transform of a series `(1, C, T, H, W)`."""
    frames = _casorati(x, is_complex)
    spectrum = torch.fft.fft(frames, dim=0, norm="ortho")
    gain = (1 - threshold / spectrum.abs().clamp_min(1e-30)).clamp_min(0)
    back = torch.fft.ifft(spectrum * gain, dim=0, norm="ortho")
    return _series(back if is_complex else back.real, x, is_complex)


def _casorati(x: Tensor, is_complex: bool) -> Tensor:
    """Lay each frame of `(1, C, T, H, W)` out as a row: float64 or complex128 `(T, n)`."""
    values = x[0].double()
    if is_complex:
        values = torch.complex(values[0], values[1])[None]
    return values.movedim(1, 0).flatten(1)


def _series(frames: Tensor, like: Tensor, is_complex: bool) -> Tensor:
    """Undo `_casorati`."""
    channels = 1 if is_complex else like.shape[1]
    values = frames.unflatten(1, (channels, *like.shape[-2:])).movedim(0, 1)
    if is_complex:
        values = torch.view_as_real(values[0]).movedim(-1, 0)
    return values[None].to(like)


def _search(problem: Problem) -> Tensor:
    if problem.part is not None and not problem.traits.few_lines:
        return taken_over(problem, problem.part, float(problem.part.cached(WEIGHT, _search)))
    size = float(problem.adjoint_level[0]) * problem.norm_squared
    bracket = (WEIGHTS[0] * size, WEIGHTS[1] * size)
    if problem.traits.only_noise:
        level = noise_of(problem) * math.sqrt(problem.norm_squared)
        bracket = (OF_NOISE[0] * level, OF_NOISE[1] * level)

    def prepare(fit: Problem) -> Callable[[float], Tensor]:
        return lambda weight: lps_solve(fit, weight, TRIAL_ITERATIONS)

    return torch.tensor(choose_weight(problem, prepare, bracket), dtype=torch.float64)
