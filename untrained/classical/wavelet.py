"""L1-wavelet MRI reconstruction through SigPy."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.classical.weight import choose_weight
from untrained.errors import UserError
from untrained.maths import above_norm, to_channels, to_complex
from untrained.problem import Problem

# Relative to the largest |A^H y|; the best weights of the scans tried lie well inside.
WEIGHTS = (1e-5, 1e-1)
ITERATIONS = 100
SEARCH_ITERATIONS = 20


@torch.no_grad()
def l1wavelet(problem: Problem, weight: float | None = None) -> Tensor:
    r"""Sparse MRI: the image whose wavelet coefficients are small.

    .. math:: \min_x \tfrac12 \|M F S x - y\|^2 + \lambda \|W x\|_1

    M. Lustig, D. Donoho, J. Pauly, Magn. Reson. Med. 58 (2007), with SigPy's `L1WaveletRecon`
    (Daubechies-4 wavelets, FISTA). Both sides use centred orthonormal FFTs, so coil maps, mask
    and units pass unchanged; the power iteration of SigPy, which starts at random, is replaced
    by the norm of the problem with its safety factor (`above_norm`).

    Args:
        problem: G MRI problems, solved in turn.
        weight: lambda in the problem's units; None chooses it by held-out samples, see
            `choose_weight`.

    Returns:
        `(G, 2, H, W)` in the problem's units.

    Raises:
        UserError: no MRI problem, or sigpy is missing.
    """
    _check(problem)
    images = []
    for i in range(len(problem.y)):
        one = problem.select(i).weighted("uniform")
        chosen = _choose(one) if weight is None else weight
        images.append(_Reconstruction(one).run(chosen, ITERATIONS))
    return torch.cat(images)


def _choose(problem: Problem) -> float:
    level = float(problem.A_adjoint(problem.y).abs().max())
    bracket = (WEIGHTS[0] * level, WEIGHTS[1] * level)
    return choose_weight(problem, lambda fit: _Reconstruction(fit).warm, bracket)


class _Reconstruction:
    """SigPy's solver on one problem; a second `run` starts where the first ended."""

    def __init__(self, problem: Problem) -> None:
        physics: Any = problem.physics
        self.problem = problem
        self.like = problem.y
        self.y = _numpy(to_complex(problem.y)[0])
        self.maps = _numpy(physics.maps[0])
        visible = physics.mask.expand(1, 1, 1, *problem.x_shape[-2:])
        if problem.keep is not None:
            visible = visible * problem.keep[:1, :1, :1]
        self.mask = _numpy(visible[0, 0, 0])
        self.step = 1 / above_norm(problem.norm_squared)
        self.image: np.ndarray | None = None

    def warm(self, weight: float) -> Tensor:
        """A rough solution, good enough to compare weights."""
        return self.run(weight, SEARCH_ITERATIONS)

    def run(self, weight: float, iterations: int) -> Tensor:
        """`(1, 2, H, W)` after so many iterations."""
        from sigpy.mri.app import L1WaveletRecon

        start = None if self.image is None else self.image.copy()
        self.image = L1WaveletRecon(
            self.y,
            self.maps,
            weight,
            weights=self.mask,
            x=start,
            alpha=self.step,
            max_iter=iterations,
            show_pbar=False,
        ).run()
        image = to_channels(torch.from_numpy(self.image)[None]).to(self.like)
        return self.problem.supported(image)


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def _check(problem: Problem) -> None:
    if problem.task != "mri" or not hasattr(problem.physics, "maps"):
        raise UserError(
            f"method 'l1wavelet' needs MRI problems; the task is '{problem.task}'. "
            "Use 'tv' instead."
        )
    if importlib.util.find_spec("sigpy") is None:
        raise UserError(
            "method 'l1wavelet' needs SigPy, which is not installed: "
            "pip install \"untrained[mri]\", or use method 'tv'."
        )
