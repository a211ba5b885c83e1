"""A watcher of spectral bias: the error by frequency, and in and outside what A measures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from untrained.core.rule import Frame
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.maths import per_problem, sum_squares
from untrained.problem import Problem


class Bands(Watch):
    r"""Records the error of each step's image by frequency band, and in the null space of A apart.

    Of the error e = x_t - x it writes the relative energy of each band of frequencies,

    .. math:: \frac{\sum_{\omega \in b} |F e|^2}{\sum_{\omega \in b} |F x|^2},

    columns `error in band 1` (lowest) and so on, and, where the operator is linear, those of the
    two parts P e and (I - P) e relative to ||x||^2, P = A^+ A the projector onto what A measures:
    `error, measured part` and `error, null space`. P e is found by conjugate gradients on
    ||A u - A e||^2 from 0, which never leave the row space of A. Give it as a watcher to
    `solve(..., watch=[Bands(truth)])`; like `Reference` it knows the truth, and no method, stop or
    output rule sees it.

    Args:
        truth: the references `(1, C, ...)` in the units of the measurements, one for each of the
            caller's problems; or one for all.
        bands: rings of equal width in frequency, from 0 to the Nyquist frequency; corners
            belong to the last one.
        iterations: of the conjugate gradients; exact after one where A^H A is a mask.

    Raises:
        UserError: fewer than one band or iteration.
    """

    def __init__(
        self, truth: Tensor | Sequence[Tensor], bands: int = 4, iterations: int = 20
    ) -> None:
        for name, value in (("bands", bands), ("iterations", iterations)):
            if value < 1:
                raise UserError(f"{name}={value}: it must be at least 1")
        self._truth = list(truth.split(1) if isinstance(truth, Tensor) else truth)
        self._bands, self._iterations = bands, iterations

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Return the relative errors of this step's image, each `(G,)`."""
        rows = [row if len(self._truth) > 1 else 0 for row in s.rows]
        truth = s.problem.from_units(torch.cat([self._truth[row] for row in rows]).to(s.device))
        if truth.shape != frame.x.shape:
            raise UserError(
                f"the truth of Bands has images of {tuple(truth.shape[1:])}, and the run's are "
                f"{tuple(frame.x.shape[1:])}"
            )
        error = frame.x.float() - truth.float()
        found = in_bands(error, self._bands) / in_bands(truth.float(), self._bands)
        columns = {f"error in band {b + 1}": found[:, b] for b in range(self._bands)}
        if s.problem.linear:
            seen = measured_part(s.problem, error, self._iterations)
            size = sum_squares(truth.float())
            columns["error, measured part"] = sum_squares(seen) / size
            columns["error, null space"] = sum_squares(error - seen) / size
        return columns

    def alone(self, row: int) -> Bands:
        """Return a watcher of the same kind for problem `row` alone."""
        row = row if len(self._truth) > 1 else 0
        return Bands([self._truth[row]], self._bands, self._iterations)


def in_bands(x: Tensor, bands: int) -> Tensor:
    """Compute the energy of images `(G, C, ...)` in rings of frequency, `(G, bands)`.

    Their sum is the sum of squares of the image (Parseval).
    """
    axes = tuple(range(2, x.ndim))
    power = torch.fft.fftn(x, dim=axes, norm="ortho").abs().square().sum(1)
    radius = torch.zeros(power.shape[1:], device=x.device)
    for axis, side in enumerate(power.shape[1:]):
        shape = [1] * radius.ndim
        shape[axis] = side
        radius = radius + (2 * torch.fft.fftfreq(side, device=x.device)).reshape(shape).square()
    ring = (radius.sqrt() * bands).long().clamp_max(bands - 1).flatten()
    found = power.new_zeros(len(x), bands)
    return found.index_add_(1, ring, power.flatten(1))


def measured_part(problem: Problem, e: Tensor, iterations: int) -> Tensor:
    """Project images onto the row space of A, P e = A^+ A e, by conjugate gradients."""

    def normal(u: Tensor) -> Tensor:
        return problem.A_adjoint(problem.A(u))

    u = torch.zeros_like(e)
    r = normal(e)
    p, size = r, sum_squares(r)
    least = 1e-12 * size.clamp_min(1e-30)
    for _ in range(iterations):
        if not bool((size > least).any()):
            break
        q = normal(p)
        curvature = (p * q).flatten(1).sum(1)
        step = torch.where(size > least, size / curvature.clamp_min(1e-30), 0.0 * size)
        u = u + per_problem(step, u) * p
        r = r - per_problem(step, r) * q
        new = sum_squares(r)
        p = r + per_problem(new / size.clamp_min(1e-30), p) * p
        size = new
    return u
