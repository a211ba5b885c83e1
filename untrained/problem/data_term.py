"""The data term ||A x - y||^2, and what it is divided by: the unit of every lambda."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from untrained.maths import per_problem, power_iteration, sum_squares
from untrained.physics.base import Physics
from untrained.tasks import Task, find_task
from untrained.waiting import tick

if TYPE_CHECKING:
    from typing import Self

PROBES = 32
"""Random images that estimate an operator's mean squared singular value. The relative standard
deviation is at most sqrt(2 / (PROBES r)), r = (sum s^2)^2 / sum s^4 being about how many singular
values s are large: 1 % for 600 of them."""

Divisor = Literal["mean", "norm"]


class DataTerm:
    """Base of `Problem`: A, A^H and the data term; `Problem` chooses the units of image and y.

    Attributes:
        y: measurements `(G, ...)` in network units, zero where they are not visible.
        physics: their operator, in network units.
        task: name of the task.
        x_shape: shape of an image without the batch axis.
        linear, unit_range: as the operator says.
        weighting: name of W.
        scale: what images are divided by, `(G,)`.
        keep: 1 where a measurement is visible to this problem, None where all are.
        seen: an operator of the visible measurements alone, where there is one that costs less.
        singles: each problem alone, where they were made; what is computed once is theirs.
        cache: what was computed once, by name.
        base: the problem at the first guess of its operator, of one that stands at another (`at`):
            the constants of the data term are its own, so that the objective does not move with A.
    """

    y: Tensor
    physics: Physics
    task: str
    x_shape: tuple[int, ...]
    linear: bool
    unit_range: bool
    weighting: str
    scale: Tensor
    keep: Tensor | None
    seen: Physics | None
    singles: tuple[Self, ...]
    cache: dict[str, Tensor]
    base: Self | None
    _norms: dict[str, float]
    _means: dict[str, Tensor]

    def __len__(self) -> int:
        """Count the problems: G."""
        return len(self.y)

    @property
    def traits(self) -> Task:
        """Look up the row of its task: what its images and its measurements are."""
        return find_task(self.task)

    @property
    def complex_image(self) -> bool:
        """Tell whether the image's two channels are a real and an imaginary part."""
        return self.traits.complex_image == "always" or self.physics.complex_image

    @property
    def device(self) -> torch.device:
        """Return the device of its tensors."""
        return self.y.device

    @property
    def solvable(self) -> bool:
        """Tell whether classical solvers apply: to a linear operator, or by its Jacobian."""
        return self.linear or self.physics.has_jacobian

    def A(self, x: Tensor) -> Tensor:
        """Measure x; zero where nothing is visible to this problem."""
        tick()
        return self.visible((self.seen or self.physics).A(x).to(self.y.dtype))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint of `A`, the visibility mask included."""
        tick()
        return self.physics.A_adjoint(self.visible(y)).to(self.y.dtype)

    def supported(self, x: Tensor) -> Tensor:
        """Set x to zero where no measurement sees it (`physics.support`)."""
        support = self.physics.support
        return x if support is None else x * support.to(x.dtype)

    def visible(self, values: Tensor) -> Tensor:
        """Set values in measurement space to zero where they are not visible to this problem."""
        return values if self.keep is None else values * self.keep

    def whiten(self, residual: Tensor) -> Tensor:
        """Apply W^(1/2): weigh a residual as the data term does."""
        if self.weighting == "uniform":
            return residual
        return self.physics.weight(residual, self.weighting).to(residual.dtype)

    def cost(self, residual: Tensor, by: Divisor = "mean") -> Tensor:
        """Compute the data term of a residual in measurement space, `(G,)`.

        Args:
            residual: `(G, ...)`, like y.
            by: `mean` divides by the mean squared singular value. `norm` divides by the largest
                one, `norm_squared`: for objectives whose weights, step lengths or clipping were
                set for an operator of norm one.
        """
        return self._divided_by(sum_squares(self.whiten(residual)), by)

    def _divided_by(self, squares: Tensor, by: Divisor) -> Tensor:
        one = self.base or self
        if by == "norm":
            norm = one._norms_of_singles() if one.singles else one.norm_squared
            return squares / (norm * self.n_image)
        return squares / one.cached(f"divisor {self.weighting}", _divisor)

    def residual_mean_square(self, x: Tensor) -> Tensor:
        """Average |A x - y|^2 over the visible measurements, unweighted, `(G,)`."""
        if self.weighting == "uniform" and self.gram() is not None:
            return self.squares(x) / self.n_visible
        return sum_squares(self.A(x) - self.y) / self.n_visible

    def back(self, y: Tensor) -> Tensor:
        """Compute A^H W y."""
        return self.A_adjoint(self.whiten(self.whiten(y)))

    def descent(self, x: Tensor) -> Tensor:
        """Compute A^H W (y - A x), the direction in which the data term falls fastest."""
        if self.gram() is None:
            return self.back(self.y - self.A(x))
        return self.pulled - self.normal(x)

    def normal(self, x: Tensor) -> Tensor:
        """Compute A^H W A x, of visible measurements."""
        constants = self.gram()
        if constants is None:
            return self.back(self.A(x))
        tick()
        return self.physics.apply_gram(x, constants.to(x.dtype))

    @property
    def pulled(self) -> Tensor:
        """Return A^H W y, computed once."""
        return self.cached(f"A^H y {self.weighting}", lambda one: one.back(one.y))

    def gram(self) -> Tensor | None:
        """Return the constants of `Physics.apply_gram` for what is visible; None without any."""
        if not self.physics.has_gram or self.weighting != "uniform":
            return None
        found = self.cached("gram", _gram)
        return found if found.numel() else None

    def squares(self, x: Tensor) -> Tensor:
        r"""Compute ||A x - y||^2 by `gram`, `(G,)`, its gradient with it."""
        total: Tensor = _Squares.apply(x, self)
        return total

    @property
    def n_image(self) -> int:
        """Count the real entries of one image."""
        n = 1
        for size in self.x_shape:
            n *= size
        return n

    @property
    def measured(self) -> Tensor:
        """Mark by 1 what is visible to one problem, not masked, not held: `(1, *y.shape[1:])`."""
        visible = torch.ones_like(self.y[:1])
        for mask in (self.physics.sampling_mask(self.y), self.keep):
            visible = visible if mask is None else visible * mask[:1]
        return visible

    @property
    def n_visible(self) -> float:
        """Count the real measurements of one problem that are visible."""
        return float(self.measured.sum())

    @property
    def norm_squared(self) -> float:
        """Compute ||W^(1/2) A||^2 of the whole operator, held-out measurements included, once."""
        if self.weighting not in self._norms:
            self._norms[self.weighting] = self._power_norm()
        return self._norms[self.weighting]

    @property
    def mean_squared_singular_value(self) -> Tensor:
        """Compute m of the data term once: float64 `(1,)`, on the CPU; see `Problem`.

        `(G,)` of an operator that differs from problem to problem.
        """
        if self.weighting not in self._means:
            self._means[self.weighting] = self._mean_square()
        return self._means[self.weighting]

    def to_units(self, x: Tensor) -> Tensor:
        """Convert an image from network units to those of the measurements."""
        return self.physics.image_of(x) * per_problem(self.scale, x)

    def from_units(self, x: Tensor) -> Tensor:
        """Convert an image from the units of the measurements to network units."""
        return self.physics.code_of(x / per_problem(self.scale, x))

    def cached(self, name: str, compute: Callable[[Self], Tensor]) -> Tensor:
        """Call compute(self) once per problem: a classical answer serves method and report."""
        if name not in self.cache:
            with torch.no_grad():
                each = [one.cached(name, compute) for one in self.singles]
                self.cache[name] = torch.cat(each) if each else compute(self)
        return self.cache[name]

    def _norms_of_singles(self) -> Tensor:
        """Collect the `norm_squared` of each stacked problem, `(G,)`."""
        return self.cached(
            f"norm {self.weighting}",
            lambda one: torch.tensor([one.norm_squared], device=one.device),
        )

    def _power_norm(self) -> float:
        known = self.physics.norm_squared
        if known is not None and self.weighting == "uniform":
            return float(known)
        if not self.linear:
            return 1.0

        # the cheaper of two equal operators, whoever asks: they differ in the last bit
        physics = self.physics.hybrid() or self.physics
        constants = physics.gram() if self.physics.has_gram else None

        def normal(x: Tensor) -> Tensor:
            if constants is not None and self.weighting == "uniform":
                return physics.apply_gram(x, constants)
            return physics.A_adjoint(self.whiten(self.whiten(physics.A(x))))

        with torch.no_grad():
            return power_iteration(normal, (1, *self.x_shape), self.y)

    def _mean_square(self) -> Tensor:
        """Find trace(A^H W A) / n, from the operator where it knows; see `Problem`."""
        known = self.physics.mean_squared_singular_value(self.weighting)
        if known is None:
            known = self._probed() if self.linear else self.norm_squared
        means = torch.as_tensor(known, dtype=torch.float64).detach().cpu().reshape(-1)
        # an operator that sees nothing has no scale
        return torch.where(means > 0, means, torch.ones_like(means))

    def _probed(self) -> float:
        """Estimate by Hutchinson: the mean of ||W^(1/2) A v||^2 over random signs v, over n."""
        ones = self.supported(self.y.new_ones(1, *self.x_shape))[:1]
        generator = torch.Generator().manual_seed(0)
        total = 0.0
        with torch.no_grad():
            for _ in range(PROBES):
                signs = torch.randint(2, ones.shape, generator=generator).to(ones) * 2 - 1
                seen = self.whiten(self.physics.A(signs * ones).to(self.y.dtype))
                total += float(sum_squares(seen.double())[0])
        return total / (PROBES * max(1.0, float(ones.double().sum())))


class _Squares(torch.autograd.Function):
    r"""||A x - y||^2 as <x, A^H A x - 2 A^H y> + ||y||^2, gradient 2 (A^H A x - A^H y)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, problem: DataTerm) -> Tensor:
        forth, pulled = problem.normal(x), problem.pulled
        ctx.problem = problem
        ctx.save_for_backward(x, forth - pulled)
        # the terms nearly cancel: their sum takes double precision
        inner = (x.double() * (forth - 2 * pulled).double()).flatten(1).sum(1)
        size = problem.cached("|y|^2", lambda one: sum_squares(one.y.double()))
        return (inner + size).clamp_min(0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, slope = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates twice
            slope = ctx.problem.normal(x) - ctx.problem.pulled
        return 2 * per_problem(gradient, x) * slope, None


def _gram(one: DataTerm) -> Tensor:
    found = one.physics.gram(one.keep)
    return one.y.new_empty(0) if found is None else found


def _divisor(one: DataTerm) -> Tensor:
    """Compute what the squared residual is divided by, in float64, to be rounded once."""
    return (one.mean_squared_singular_value * one.n_image).to(one.device, torch.float32)
