"""The data term as the iteration of total variation sees it: p, A^T p and the metric of p."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from untrained.maths import above_norm, power_iteration
from untrained.problem import Problem


class Point(NamedTuple):
    """Image, both dual variables, A x and A^T p."""

    x: Tensor
    p: Tensor
    q: Tensor
    Ax: Tensor
    ATp: Tensor


class Data:
    """Measurements as the iteration of `TVSolver` needs them: p lives where y does."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.y = problem, problem.y

    def measure(self, x: Tensor) -> Tensor:
        """Compute A x."""
        return self.problem.A(x)

    def pull(self, p: Tensor) -> Tensor:
        """Compute A^T p."""
        return self.problem.A_adjoint(p)

    def length(self, p: Tensor) -> float:
        """Compute ||p|| of a difference of two p."""
        return float(p.norm())

    def squares(self, p: Tensor) -> float:
        """Compute its square, in double precision."""
        return float(p.double().square().sum())

    def misfit(self, at: Point) -> float:
        """Compute ||A x - y||^2."""
        return self.squares(at.Ax - self.y)


class ByGram(Data):
    """The same iteration with A^T A alone: p = A u - y, and u, an image, stands for p.

    It starts so, with u = x, and every step keeps it so: the new p is a mean of the old one and
    of A (2 x - x') - y. A x is x, then, y is zero, and A^T p = A^T A u - A^T y.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.y = problem, torch.zeros_like(problem.pulled)

    def measure(self, x: Tensor) -> Tensor:
        """Return x, which stands for A x."""
        return x

    def pull(self, p: Tensor) -> Tensor:
        """Compute A^T A u - A^T y."""
        return self.problem.normal(p) - self.problem.pulled

    def length(self, p: Tensor) -> float:
        """Compute ||A d|| of the difference d of two u."""
        return math.sqrt(self.squares(p))

    def squares(self, p: Tensor) -> float:
        """Compute ||A d||^2 of the difference d of two u."""
        return max(0.0, float((p.double() * self.problem.normal(p).double()).sum()))

    def misfit(self, at: Point) -> float:
        """Compute ||A x - y||^2."""
        return float(self.problem.squares(at.x)[0])


class Metric:
    """Sigma / sigma: the identity, or a power of the ramp filter along a sinogram's detectors.

    The full ramp would make A^T Sigma A flattest, but lets the dual creep at low frequencies;
    its power 0.7 converged fastest of 0.3, 0.5, 0.7 and 1. The filter is circular, so that
    I + Sigma is inverted frequency by frequency.
    """

    def __init__(self, problem: Problem) -> None:
        self.response: Tensor | None = None
        detectors = problem.y.shape[-2]
        if problem.traits.measures == "views" and problem.y.ndim >= 4 and detectors > 1:
            frequency = torch.arange(detectors // 2 + 1, device=problem.y.device)
            self.response = (frequency.clamp_min(1) / (detectors / 2))[:, None] ** 0.7

    def prox_gain(self, r: Tensor, sigma: float) -> Tensor:
        """Compute (I + Sigma)^(-1) Sigma r."""
        if self.response is None:
            return r * (sigma / (1 + sigma))
        gain = sigma * self.response / (1 + sigma * self.response)
        return self._filter(r, gain)

    def norm_squared(self, problem: Problem) -> float:
        """Estimate ||A^T (Sigma / sigma) A|| from above."""
        if self.response is None:
            return above_norm(problem.norm_squared)

        def normal(x: Tensor) -> Tensor:
            return problem.A_adjoint(self._filter(problem.A(x), self.response))

        return above_norm(power_iteration(normal, (1, *problem.x_shape), problem.y))

    def _filter(self, r: Tensor, gain: Tensor | None) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(r, dim=-2) * gain, n=r.shape[-2], dim=-2)
