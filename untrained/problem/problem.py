"""Measurements and physics together, checked, and scaled so that a network works at O(1)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from untrained.ambient import single_precision
from untrained.checks import (
    check_consistent,
    check_measurements,
    check_sigma,
    check_weighting,
    relative_sigma,
)
from untrained.errors import UserError
from untrained.maths import power_iteration, sum_squares
from untrained.physics import as_physics
from untrained.physics.base import Physics
from untrained.problem.scaling import (
    checked_guide,
    degree_scale,
    image_levels,
    in_units,
    matched_adjoint,
    per_problem,
    scaled_guide,
    usual_units,
)
from untrained.tasks import CUSTOM, Task, find_task
from untrained.waiting import tick

PROBES = 32
"""Random images that estimate an operator's mean squared singular value. The relative standard
deviation is at most sqrt(2 / (PROBES r)), r = (sum s^2)^2 / sum s^4 being about how many singular
values s are large: 1 % for 600 of them."""

Divisor = Literal["mean", "norm"]


class Problem:
    r"""y = A(x) + noise, in network units.

    Scaling. Photographs (``physics.unit_range``) stay as they are, unless given a `level`.
    Everything else is divided by
    the 99.9th percentile of the magnitude of a first image, so that images are O(1); `to_units`
    undoes it. The first image is filtered backprojection for CT (a physics with `fbp(y)`), whose
    brightness is fitted to y, and |estimate()| elsewhere. Only a linear physics, or one that
    declares its homogeneity ``degree``, is rescaled.

    Data term. :math:`\|W^{1/2}(A x - y)\|^2 / (m\, n_x)`, n_x the number of image entries, with

    .. math:: m = \mathrm{trace}(A^H W A) / n,

    the mean squared singular value of the operator over the n entries that it can see
    (`physics.support`). So lambda keeps its meaning on every task: for a random image the data
    term is as large, on average, as the mean square that a term on the image itself has. For
    denoising m is 1, and the data term the mean squared error. m is the operator's and that of
    its weighting, of all measurements: it depends neither on y nor on what is held out. Operators
    that know it exactly say so (`Physics.mean_squared_singular_value`), for others it is estimated
    from PROBES random images of a fixed seed. A nonlinear operator that does not say keeps its
    `norm_squared`, or 1.

    The largest squared singular value, `norm_squared`, is another number: on CT 376 times m, since
    it belongs to the mean grey level alone. Solvers need it for their steps, and some objectives
    are stated relative to it (`misfit` with `by="norm"`).

    Args:
        y: measurements `(G, ...)`, the first axis counts problems that share the physics. What
            stands where `physics.mask` is 0 is ignored.
        physics: anything with `A` and `A_adjoint` (or `A` and `x_shape`; see `as_physics`).
        sigma: standard deviation of the noise in the units of y, if known.
        weighting: `uniform`, or for CT `ramp` (residuals pass the square root of the
            ramp filter) or `half-ramp` (its fourth root).
        guide: clean images of similar content `(M, C, ...)` for methods that lean on some
            (`refguided`, `autoencoder`), of any scale; a magnitude `(M, 1, ...)` will do for a
            complex image. Each is divided by the level that would be found in its own measurement,
            unless images live in [0, 1].
        level: `(G,)`, what photographs are divided by that are plainly not in [0, 1], see
            `scaling.own_level`; None is 1.

    Attributes:
        scale: what images are divided by, `(G,)`.
        adjoint_level: level of |estimate()| in network units, `(G,)`: 1 but for CT, whose
            unfiltered backprojection is blurred. Numbers of ours that are relative to an image's
            values (weights of total variation, noise levels of a prior) were set where it was 1,
            and are multiplied by it.
        guide: as given, in network units, `(1 or G, M, C, ...)`.

    Raises:
        UserError: y is not finite, or its shape or that of `guide` is not what the physics says.
    """

    _estimate: Tensor | None
    _quick: Problem | None
    slices: tuple[Problem, ...]
    cache: dict[str, Tensor]

    @single_precision()
    def __init__(
        self,
        y: Tensor,
        physics: Any,
        *,
        sigma: float | None = None,
        weighting: str = "uniform",
        guide: Tensor | None = None,
        level: Tensor | None = None,
    ) -> None:
        check_measurements(y)
        self.y = y.detach().clone().float()
        self.physics = as_physics(physics, y=self.y)
        self.unit_range = self.physics.unit_range
        self.linear = self.physics.linear
        self.task = "custom"
        self.keep: Tensor | None = None
        self.importance: Tensor | None = None
        self.part: Problem | None = None
        self.seen: Physics | None = None
        self.singles: tuple[Problem, ...] = ()
        self.x_shape = self.physics.image_shape(self.y)
        check_consistent(self.y, self.physics, self.x_shape)
        self.task = _task_of(self.physics, tuple(self.y.shape[1:]), self.x_shape)
        mask = self.physics.sampling_mask(self.y)
        if mask is not None:
            self.y = self.y * (mask != 0)  # what stands elsewhere was not measured
        self.weighting = check_weighting(weighting, self.physics)
        self._norms: dict[str, float] = {}
        self._means: dict[str, Tensor] = {}
        unit, gain = torch.ones(len(self.y), device=self.y.device), 1.0
        if level is not None and self.unit_range:
            unit = level.to(unit)
        if self.linear and not self.unit_range:
            size, gain = usual_units(self.y, self.physics, self.x_shape)
            unit = unit * size
        self.physics = in_units(self.physics, gain, self.x_shape)
        self.y = self.y / per_problem(unit, self.y)
        self.scale, self.adjoint_level = self._find_scale()
        self.y = self.y / self._y_scale()
        known = check_sigma(sigma)
        divisor = float((unit * degree_scale(self.scale, self.physics)).max())
        self.sigma = None if known is None else relative_sigma(known, divisor)
        self.guide: Tensor | None = None
        self.forget()
        if guide is not None:
            self.guide = scaled_guide(self, checked_guide(self, guide))
        self.scale = self.scale * (unit / gain)

    def __len__(self) -> int:
        """G, the number of problems."""
        return len(self.y)

    @property
    def traits(self) -> Task:
        """The row of its task: what its images and its measurements are."""
        return find_task(self.task)

    @property
    def complex_image(self) -> bool:
        """Whether the image's two channels are a real and an imaginary part."""
        return self.traits.complex_image == "always" or self.physics.complex_image

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.y.device

    # physics in network units -----------------------------------------------------------------
    def A(self, x: Tensor) -> Tensor:
        """Measurements of x, zero where they are not visible to this problem."""
        tick()
        return self.visible((self.seen or self.physics).A(x).to(self.y.dtype))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Adjoint of `A`, the visibility mask included."""
        tick()
        return self.physics.A_adjoint(self.visible(y)).to(self.y.dtype)

    def supported(self, x: Tensor) -> Tensor:
        """x, zero where no measurement sees it (`physics.support`: coil maps cut to the object)."""
        support = self.physics.support
        return x if support is None else x * support.to(x.dtype)

    def estimate(self) -> Tensor:
        """c A^H y with the least-squares c: the adjoint image in the image's own units.

        A nonlinear physics answers with its own `initial(y)`. A physics with a method `fill`
        replaces what is held out of the image.
        """
        if self._estimate is None:
            each = [one.estimate() for one in self.singles]
            self._estimate = torch.cat(each) if each else matched_adjoint(self)
        return self._estimate

    def misfit(self, x: Tensor, by: Divisor = "mean") -> Tensor:
        """The normalised data term per problem, `(G,)`; `by` as of `cost`."""
        quick = self.quick()
        return quick.cost(quick.A(x) - quick.y, by)

    def expected_misfit(self, x: Tensor, held: Problem) -> Tensor:
        """What `split` makes of x: its error on `held`, or on everything, seen or not, `(G,)`.

        The second where the physics says for how much of what was never measured each held-out
        measurement stands (`importance`). What is fitted then counts as well: an image that draws
        it better may do a little worse elsewhere.
        """
        quick, rest = self.quick(), held.quick()
        if (quick is self) != (rest is held):  # of one of them whole lines are kept, not of both
            quick, rest = self, held
        if rest.importance is None:
            return rest.misfit(x)
        residual = quick.physics.A(x).to(x.dtype) - quick.y - rest.y
        return quick.cost(
            residual * (quick.visible(torch.ones_like(quick.y)) + rest.importance).sqrt()
        )

    def cost(self, residual: Tensor, by: Divisor = "mean") -> Tensor:
        """The data term of a residual in measurement space, `(G,)`.

        Args:
            residual: `(G, ...)`, like y.
            by: `mean` divides by the mean squared singular value. `norm` divides by the largest
                one, `norm_squared`: for objectives whose weights, step lengths or clipping were
                set for an operator of norm one.
        """
        squares = sum_squares(self.whiten(residual))
        if by == "norm":
            norm = self._norms_of_singles() if self.singles else self.norm_squared
            return squares / (norm * self.n_image)
        return squares / self.cached(f"divisor {self.weighting}", _divisor)

    def visible(self, values: Tensor) -> Tensor:
        """Values in measurement space, zero where they are not visible to this problem."""
        return values if self.keep is None else values * self.keep

    def residual_mean_square(self, x: Tensor) -> Tensor:
        """Mean of |A x - y|^2 over the visible measurements, unweighted, `(G,)`."""
        return sum_squares(self.A(x) - self.y) / self.n_visible

    @property
    def n_image(self) -> int:
        """Number of real entries of one image."""
        n = 1
        for size in self.x_shape:
            n *= size
        return n

    @property
    def n_visible(self) -> float:
        """Number of real measurements of one problem that are visible (not masked, not held)."""
        visible = torch.ones_like(self.y[:1])
        for mask in (self.physics.sampling_mask(self.y), self.keep):
            visible = visible if mask is None else visible * mask[:1]
        return float(visible.sum())

    @property
    def norm_squared(self) -> float:
        """||W^(1/2) A||^2 of the whole operator (held-out measurements included)."""
        if self.weighting not in self._norms:
            self._norms[self.weighting] = self._power_norm()
        return self._norms[self.weighting]

    @property
    def mean_squared_singular_value(self) -> Tensor:
        """m of the data term, see the class: float64 `(1,)`, or `(G,)` of an operator that differs
        from problem to problem. On the CPU.
        """
        if self.weighting not in self._means:
            self._means[self.weighting] = self._mean_square()
        return self._means[self.weighting]

    def _norms_of_singles(self) -> Tensor:
        """`norm_squared` of each of the joined problems, `(G,)`."""
        return self.cached(
            f"norm {self.weighting}",
            lambda one: torch.tensor([one.norm_squared], device=one.device),
        )

    # views ------------------------------------------------------------------------------------
    def split(self, fraction: float, seed: int, scattered: bool = False) -> tuple[Problem, Problem]:
        """(fit, held): two views of this problem that share no measurement.

        The scale is found anew from `fit` alone, so that nothing of `held` reaches a method.
        `scattered` takes single measurements where the physics would hold out patches.
        """
        if not 0 < fraction < 1:
            raise UserError(f"the fraction held out must lie between 0 and 1, got {fraction}")
        held = self._draw(fraction, torch.Generator().manual_seed(seed), scattered)
        if not bool(held.any()):
            raise UserError(
                f"no measurement could be held out at fraction {fraction}: there are too few of "
                "them; use another stop rule, for example --stop none with --steps"
            )
        fit = self._masked(~held)
        hidden = self._masked(held, like=fit)
        # few are held out: an operator of those alone costs less, where there is one
        hidden.seen = self.physics.measuring_only(held)
        hidden.importance = self.physics.importance(self.y, held)
        return fit, hidden

    def after(self, fit: Problem) -> Problem:
        """The same problem; classical answers go on from what they found on `fit`.

        It keeps answers of its own, so that nothing depends on what was fitted before.
        """
        other = copy.copy(self)
        other.part, other.cache, other.slices = fit, {}, ()
        return other

    def with_measurements(self, y: Tensor) -> Problem:
        """The same physics with other measurements `(G, ...)`, which are in network units."""
        other = copy.copy(self)
        other.y = y
        other.scale, other.adjoint_level = (
            value[:1].expand(len(y)) for value in (self.scale, self.adjoint_level)
        )
        other.forget()
        other.part, other.singles = None, ()
        return other

    def each(self) -> tuple[Problem, ...]:
        """Every problem alone; what is computed for one of them is not computed again for all."""
        if len(self) == 1:
            return (self,)
        self.singles = self.singles or tuple(self.select(i) for i in range(len(self)))
        return self.singles

    def weighted(self, weighting: str) -> Problem:
        """The same problem with another data weighting."""
        other = copy.copy(self)
        other.singles = tuple(one.weighted(weighting) for one in self.singles)
        other.weighting = check_weighting(weighting, self.physics)
        other._quick, other.slices = None, ()
        return other

    def quick(self) -> Problem:
        """The same in measurements that cost less, for what asks only how far A x is from y.

        In MRI those of hybrid space (`Hybrid`) where whole lines are measured, and kept.
        """
        if self._quick is None:
            operator = self.physics.hybrid(self.keep)
            if operator is None:
                return self
            other = self._quick = copy.copy(self)
            other.physics, other.y = operator, operator.from_kspace(self.y)
            for name in ("keep", "importance"):
                values = getattr(self, name)
                setattr(other, name, None if values is None else operator.measured(values))
        return self._quick

    def select(self, index: int) -> Problem:
        """Problem `index` of the group, alone."""
        if self.singles:
            return self.singles[index]
        other = copy.copy(self)
        other.y = self.y[index : index + 1]
        other.scale = self.scale[index : index + 1]
        other.adjoint_level = self.adjoint_level[index : index + 1]
        if self.guide is not None and len(self.guide) > 1:
            other.guide = self.guide[index : index + 1]
        other.physics = self.physics.alone(index)
        if other.physics is not self.physics:
            other._norms, other._means = {}, {}
        if self.sigma is not None:  # that of the group is the one with the largest scale
            factor = degree_scale(self.scale, self.physics)
            other.sigma = self.sigma * float(factor.max() / factor[index])
        if self.importance is not None:
            other.importance = self.importance[index : index + 1]
        if len(self.y) > 1:
            other.forget()
        return other

    def to(self, device: torch.device | str) -> Problem:
        """The same problem on another device."""
        other = copy.copy(self)
        other.y, other.scale = self.y.to(device), self.scale.to(device)
        other.adjoint_level = self.adjoint_level.to(device)
        other.keep = None if self.keep is None else self.keep.to(device)
        other.guide = None if self.guide is None else self.guide.to(device)
        other.importance = None if self.importance is None else self.importance.to(device)
        other.singles = tuple(one.to(device) for one in self.singles)
        if self.y.device == torch.device(device):
            return other
        other.physics = self.physics.on(device)
        other.forget()
        other.seen = None
        return other

    def to_units(self, x: Tensor) -> Tensor:
        """Network units -> the units of the measurements."""
        return x * per_problem(self.scale, x)

    def from_units(self, x: Tensor) -> Tensor:
        """The units of the measurements -> network units."""
        return x / per_problem(self.scale, x)

    def cached(self, name: str, compute: Callable[[Problem], Tensor]) -> Tensor:
        """compute(self), once per problem: a classical answer serves method and report."""
        if name not in self.cache:
            with torch.no_grad():
                each = [one.cached(name, compute) for one in self.singles]
                self.cache[name] = torch.cat(each) if each else compute(self)
        return self.cache[name]

    def of_part(self, name: str, compute: Callable[[Problem], Tensor]) -> Tensor | None:
        """The same classical answer to the part fitted before, in this problem's units.

        None where there was none; see `after`.
        """
        if self.part is None:
            return None
        return self.from_units(self.part.to_units(self.part.cached(name, compute)))

    def forget(self) -> None:
        """What was computed once for the measurements as they were; see `cached`."""
        self._estimate = self._quick = None
        self.slices, self.cache = (), {}

    # internals --------------------------------------------------------------------------------
    def _draw(self, fraction: float, generator: torch.Generator, scattered: bool) -> Tensor:
        """Measurements to hold out among the visible ones; a few draws may all be hidden."""
        draw = self.physics.scattered if scattered else self.physics.holdout
        for _ in range(20):
            held = draw(self.y, fraction, generator)
            held = held if self.keep is None else held & (self.keep > 0)
            if bool(held.any()):
                break
        return held

    def _masked(self, visible: Tensor, like: Problem | None = None) -> Problem:
        """The problem of some measurements; in units of its own, or in those of `like`."""
        other = copy.copy(self)
        other.keep = visible.to(self.y.dtype)
        if self.keep is not None:
            other.keep = other.keep * self.keep
        other.y = self.y * other.keep
        other.forget()
        other.singles = ()
        if like is None:
            ratio, other.adjoint_level = other._find_scale()
        else:
            ratio, other.adjoint_level = like.scale / self.scale, like.adjoint_level
        other.y = other.y / per_problem(degree_scale(ratio, self.physics), other.y)
        other.scale = self.scale * ratio
        if self.guide is not None:
            other.guide = scaled_guide(other, self.guide) if like is None else like.guide
        if self.sigma is not None:
            before, now = (degree_scale(p.scale, self.physics).max() for p in (self, other))
            other.sigma = self.sigma * float(before / now)
        return other

    def _find_scale(self) -> tuple[Tensor, Tensor]:
        """See `image_levels`; 1 and 1 where nothing is rescaled."""
        ones = torch.ones(len(self.y), device=self.y.device)
        if self.unit_range or self.physics.degree is None:
            return ones, ones
        return image_levels(self)

    def _y_scale(self) -> Tensor:
        return per_problem(degree_scale(self.scale, self.physics), self.y)

    def whiten(self, residual: Tensor) -> Tensor:
        """W^(1/2) r: the residual as the data term weighs it."""
        if self.weighting == "uniform":
            return residual
        return self.physics.weight(residual, self.weighting).to(residual.dtype)

    def _power_norm(self) -> float:
        known = self.physics.norm_squared
        if known is not None and self.weighting == "uniform":
            return float(known)
        if not self.linear:
            return 1.0

        # the cheaper of two equal operators, whoever asks: they differ in the last bit
        physics = self.physics.hybrid() or self.physics

        def normal(x: Tensor) -> Tensor:
            return physics.A_adjoint(self.whiten(self.whiten(physics.A(x))))

        with torch.no_grad():
            return power_iteration(normal, (1, *self.x_shape), self.y)

    def _mean_square(self) -> Tensor:
        """trace(A^H W A) / n, from the operator where it knows; see the class."""
        known = self.physics.mean_squared_singular_value(self.weighting)
        if known is None:
            known = self._probed() if self.linear else self.norm_squared
        means = torch.as_tensor(known, dtype=torch.float64).detach().cpu().reshape(-1)
        # an operator that sees nothing has no scale
        return torch.where(means > 0, means, torch.ones_like(means))

    def _probed(self) -> float:
        """Hutchinson's estimate: the mean of ||W^(1/2) A v||^2 over random signs v, over n."""
        ones = self.supported(self.y.new_ones(1, *self.x_shape))[:1]
        generator = torch.Generator().manual_seed(0)
        total = 0.0
        with torch.no_grad():
            for _ in range(PROBES):
                signs = torch.randint(2, ones.shape, generator=generator).to(ones) * 2 - 1
                seen = self.whiten(self.physics.A(signs * ones).to(self.y.dtype))
                total += float(sum_squares(seen.double())[0])
        return total / (PROBES * max(1.0, float(ones.double().sum())))


def _task_of(physics: Physics, y_shape: tuple[int, ...], x_shape: tuple[int, ...]) -> str:
    """Name the task; `custom` where the operator lacks what our methods for its task rely on."""
    row = find_task(physics.task)
    no_views = row.measures == "views" and not physics.weightings
    no_image = row.fills_image and y_shape != x_shape
    return CUSTOM if no_views or no_image else physics.task


def _divisor(one: Problem) -> Tensor:
    """What the squared residual is divided by; the product in float64, to be rounded once."""
    return (one.mean_squared_singular_value * one.n_image).to(one.device, torch.float32)
