"""Measurements and physics together, checked, and scaled so that a network works at O(1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from untrained.ambient import single_precision
from untrained.checks import (
    check_guide,
    check_measurements,
    check_sigma,
    relative_sigma,
)
from untrained.maths import per_problem, sum_squares
from untrained.physics import as_physics
from untrained.physics.base import Physics
from untrained.physics.check import check_consistent, check_weighting
from untrained.problem.data_term import Divisor
from untrained.problem.scaling import degree_scale, in_units, matched_adjoint, usual_units
from untrained.problem.views import Views
from untrained.tasks import CUSTOM, find_task


class Problem(Views):
    r"""y = A(x) + noise, in network units.

    Scaling. Photographs (``physics.unit_range``) stay as they are, unless given a `level`.
    Everything else is divided by
    the 99.9th percentile of the magnitude of a first image, so that images are O(1); `to_units`
    undoes it. The first image is filtered backprojection for CT (a physics with `fbp(y)`), whose
    brightness is fitted to y, and |estimate()| elsewhere. Only a linear physics, or one that
    declares its homogeneity ``degree``, is rescaled.

    An operator may have variables of its own for networks (`Physics.for_networks`): of impedance
    tomography they draw the logarithm of the conductivity over its background.

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
        sigma: standard deviation of the noise in the units of y, if known; None takes what the
            operator knows (`Physics.known_sigma`).
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
        self.physics, self.y = as_physics(physics, y=self.y).for_networks(self.y)
        self.unit_range = self.physics.unit_range
        self.linear = self.physics.linear
        self.task = "custom"
        self.keep = None
        self.importance = None
        self.part = None
        self.seen = None
        self.base = None
        self.singles = ()
        self.x_shape = self.physics.image_shape(self.y)
        check_consistent(self.y, self.physics, self.x_shape)
        self.task = _task_of(self.physics, tuple(self.y.shape[1:]), self.x_shape)
        mask = self.physics.sampling_mask(self.y)
        if mask is not None:
            self.y = self.y * (mask != 0)  # what stands elsewhere was not measured
        self.weighting = check_weighting(weighting, self.physics)
        self._norms = {}
        self._means = {}
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
        known = check_sigma(self.physics.known_sigma if sigma is None else sigma)
        divisor = float((unit * degree_scale(self.scale, self.physics)).max())
        self.sigma = None if known is None else relative_sigma(known, divisor)
        self.guide = None
        self.forget()
        if guide is not None:
            self.guide = self._scaled_guide(check_guide(guide, self.x_shape).to(self.device))
        self.scale = self.scale * (unit / gain)

    def estimate(self) -> Tensor:
        """Compute c A^H y with the least-squares c: the adjoint image in the image's own units.

        A nonlinear physics answers with its own `initial(y)`. A physics with a method `fill`
        replaces what is held out of the image.
        """
        if self._estimate is None:
            each = [one.estimate() for one in self.singles]
            self._estimate = torch.cat(each) if each else matched_adjoint(self)
        return self._estimate

    def misfit(self, x: Tensor, by: Divisor = "mean") -> Tensor:
        """Compute the normalised data term of each problem, `(G,)`; `by` as of `cost`."""
        if self.gram() is not None:
            return self._divided_by(self.squares(x), by)
        quick = self.quick()
        return quick.cost(quick.A(x) - quick.y, by)

    def expected_misfit(self, x: Tensor, held: Problem) -> Tensor:
        """Judge x by held-out measurements: its error on them, or on everything, `(G,)`.

        On everything, seen or not, where the physics says for how much of what was never measured
        each held-out measurement stands (`importance`). What is fitted then counts as well: an
        image that draws it better may do a little worse elsewhere.
        """
        if self.gram() is not None and held.importance is not None:
            return self._divided_by(self._expected_squares(x, held), "mean")
        quick, rest = self.quick(), held.quick()
        if (quick is self) != (rest is held):  # of one of them whole lines are kept, not of both
            quick, rest = self, held
        if rest.importance is None:
            return rest.misfit(x)
        residual = quick.physics.A(x).to(x.dtype) - quick.y - rest.y
        return quick.cost(
            residual * (quick.visible(torch.ones_like(quick.y)) + rest.importance).sqrt()
        )

    def _expected_squares(self, x: Tensor, held: Problem) -> Tensor:
        """Compute the same by the operator's `gram`, with a weight for each measurement."""

        def weights(one: Problem) -> Tensor:
            assert one.importance is not None
            fitted = 1.0 if one.keep is None else 1 - one.keep
            return one.importance + (fitted * torch.ones_like(one.y))[:, :1, :1]

        def constants(one: Problem) -> Tensor:
            found = one.physics.gram(weights(one))
            assert found is not None, "weights that are alike in all coils have constants"
            return found

        y = self.y + held.y
        kernel = held.cached("expected gram", constants)
        pulled = held.cached(
            "expected A^H y", lambda one: one.physics.A_adjoint(weights(one) * y[: len(one)])
        )
        size = held.cached("expected |y|^2", lambda one: sum_squares(weights(one).sqrt() * y))
        forth = self.physics.apply_gram(x, kernel)
        inner = (x.double() * (forth - 2 * pulled).double()).flatten(1).sum(1)
        return (inner + size.double()).clamp_min(0).to(x.dtype)

    def _y_scale(self) -> Tensor:
        return per_problem(degree_scale(self.scale, self.physics), self.y)


def _task_of(physics: Physics, y_shape: tuple[int, ...], x_shape: tuple[int, ...]) -> str:
    """Name the task; `custom` where the operator lacks what our methods for its task rely on."""
    row = find_task(physics.task)
    no_views = row.measures == "views" and not physics.weightings
    no_image = row.fills_image and y_shape != x_shape
    return CUSTOM if no_views or no_image else physics.task
