"""L1-wavelet compressed sensing with SigPy's solver, on any linear operator."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.classical.linear import require_linear
from untrained.classical.sliding_dct import falling
from untrained.classical.weight import by_octaves, expected_error, noise_of
from untrained.errors import UserError
from untrained.maths import above_norm, from_components, to_components
from untrained.problem import Problem

START = 1e-3
"""The first weight tried, relative to the largest |A^H y|; denoising begins at the noise level. The
search goes on to where the error first turns up again on either side: far larger weights, of hardly
any image, may predict what is held out well."""
OCTAVES = 8
WAVELET = "db4"
ITERATIONS = 300  # after a third of them small weights are far from their end, and look too bad
STAGES, FIRST = 4, 0.1
"""The first half of the iterations goes to larger weights, from FIRST relative to the largest
|A^H y| on: shrinking by little alone fills what is missing very slowly."""
SHIFT = 16  # pixels; a grid of wavelets is the same again after as many
GRIDS = 16  # in the last iteration, whose image is the mean of as many


@torch.no_grad()
def l1wavelet(problem: Problem, weight: float | None = None) -> Tensor:
    r"""Find the image whose wavelet coefficients are small: compressed sensing.

    .. math:: \min_x \tfrac12 \|A x - y\|^2 + \lambda \|W x\|_1

    M. Lustig, D. Donoho, J. Pauly, Magn. Reson. Med. 58 (2007), for A = M F S of MRI; here A is any
    linear operator. W is the Daubechies-4 transform over the spatial axes, of complex values where
    images are complex, whose grid lies elsewhere in every iteration: the blocks of a fixed grid
    would show (R. Coifman, D. Donoho, "Translation-invariant de-noising", 1995; worth 0.5 dB on
    MRI and 2 to 3 on CT). SigPy's FISTA solves it, with a step from the norm of the problem with
    its safety factor (`above_norm`). The shifts have a fixed seed.

    Args:
        problem: G problems with a linear physics, solved in turn.
        weight: lambda in the problem's units; None chooses it from the measurements, by the error
            of `choose_weight`.

    Returns:
        `(G, C, *sides)` in the problem's units.

    Raises:
        UserError: a nonlinear physics, an image without a spatial axis, or sigpy is missing.
    """
    _check(problem)
    images = []
    for i in range(len(problem.y)):
        one = problem.select(i).weighted("uniform")
        chosen = _choose(one) if weight is None else weight
        images.append(_Reconstruction(one).run(chosen))
    return torch.cat(images)


def _choose(problem: Problem) -> float:
    if problem.traits.only_noise:
        start = noise_of(problem) * math.sqrt(problem.norm_squared)
    else:
        start = START * _largest(problem)
    error = expected_error(problem, lambda fit: _Reconstruction(fit).run)
    if error is None:
        return start
    return by_octaves(error, start, OCTAVES, OCTAVES)


def _largest(problem: Problem) -> float:
    """Compute the largest magnitude of A^H y."""
    return float(problem.A_adjoint(problem.y).abs().max())


class _Reconstruction:
    """SigPy's solver on one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem.quick()
        self.direct = problem.traits.only_noise  # A is a multiple of 1: one step is the solution
        self.step = 1 / (problem.norm_squared if self.direct else above_norm(problem.norm_squared))
        self.largest = _largest(problem)

    def run(self, weight: float, iterations: int = ITERATIONS) -> Tensor:
        """Solve for `(1, C, *sides)` at this weight in so many iterations."""
        image = _as_values(self.problem, self.problem.y.new_zeros(1, *self.problem.x_shape))
        if not self.direct:
            *larger, _ = falling(max(FIRST * self.largest, weight), weight, STAGES)
            for at in larger:
                image = self._solved(image, at, iterations // (2 * len(larger)))
            image = self._solved(image, weight, iterations // 2)
        image = self._solved(image, weight, 1, GRIDS)
        return self.problem.supported(_as_image(self.problem, image))

    def _solved(
        self, start: np.ndarray, weight: float, iterations: int, grids: int = 1
    ) -> np.ndarray:
        from sigpy.app import LinearLeastSquares

        found: np.ndarray = LinearLeastSquares(
            _operator(self.problem),
            self.problem.y.cpu().numpy(),
            x=start.copy(),
            proxg=_shrinkage(start.shape, weight, grids),
            alpha=self.step,
            max_iter=iterations,
            show_pbar=False,
        ).run()
        return found


def _as_values(problem: Problem, image: Tensor) -> np.ndarray:
    """Convert an image to SigPy's complex `(C, *sides)`, `(S, *sides)` of S complex components."""
    # of real values too: SigPy's shrinkage answers with complex ones
    one = (to_components(image) if problem.complex_image else image)[0]
    values: np.ndarray = one.cpu().numpy().astype(np.complex64)
    return values


def _as_image(problem: Problem, values: np.ndarray) -> Tensor:
    """Convert SigPy's values back to an image `(1, C, *sides)`."""
    found = torch.from_numpy(np.ascontiguousarray(values))[None]
    return (from_components(found) if problem.complex_image else found.real).to(problem.y)


def _shrinkage(shape: tuple[int, ...], weight: float, grids: int = 1, shift: int = SHIFT) -> Any:
    """Make the proximal map of weight ||W x||_1; each call is the mean over `grids` shifts."""
    from sigpy.linop import Wavelet
    from sigpy.prox import L1Reg, Prox, UnitaryTransform

    axes = tuple(range(1, len(shape)))
    transform = Wavelet(shape, wave_name=WAVELET, axes=axes)
    fixed = UnitaryTransform(L1Reg(transform.oshape, weight), transform)
    generator = np.random.default_rng(0)

    class Shifted(Prox):
        """Mean of SigPy's map over images shifted by some pixels, shifted back after it."""

        def _prox(self, alpha: float, image: np.ndarray) -> np.ndarray:
            total = np.zeros_like(image)
            for _ in range(grids):
                by = generator.integers(0, shift, len(axes))
                shrunk = fixed(alpha, np.roll(image, tuple(by), axes))
                total += np.roll(shrunk, tuple(-by), axes)
            return total / grids

    return Shifted(list(shape))


def _operator(problem: Problem) -> Any:
    """Wrap A of a problem as SigPy's linear operator."""
    from sigpy.linop import Linop

    inside = _as_values(problem, problem.y.new_zeros(1, *problem.x_shape)).shape
    outside = tuple(problem.y.shape)

    def forward(x: np.ndarray) -> np.ndarray:
        measured: np.ndarray = problem.A(_as_image(problem, x)).cpu().numpy()
        return measured

    def backward(y: np.ndarray) -> np.ndarray:
        return _as_values(problem, problem.A_adjoint(torch.from_numpy(y).to(problem.y)))

    def normal(x: np.ndarray) -> np.ndarray:
        return _as_values(problem, problem.normal(_as_image(problem, x)))

    class Mapped(Linop):
        """A pair of functions, A and its adjoint, which SigPy asks for by a method."""

        def __init__(
            self,
            sizes: tuple[tuple[int, ...], tuple[int, ...]],
            there: Callable[[np.ndarray], np.ndarray],
            back: Callable[[np.ndarray], np.ndarray],
        ) -> None:
            self.there, self.back = there, back
            super().__init__(*sizes)

        def _apply(self, values: np.ndarray) -> np.ndarray:
            return self.there(values)

        def _normal_linop(self) -> Linop:
            if problem.gram() is None or tuple(self.ishape) != inside:
                return super()._normal_linop()
            return Mapped((inside, inside), normal, normal)

        def _adjoint_linop(self) -> Linop:
            return Mapped((self.ishape, self.oshape), self.back, self.there)

    return Mapped((outside, inside), forward, backward)


def _check(problem: Problem) -> None:
    require_linear(problem, "l1wavelet")
    if importlib.util.find_spec("sigpy") is None:
        raise UserError(
            "method 'l1wavelet' needs SigPy, which is not installed: "
            "pip install \"untrained[mri]\", or use method 'tv'."
        )
