"""Variants of a problem: held-out parts (`split`), one of several, another weighting or device."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.maths import per_problem
from untrained.physics.check import check_weighting
from untrained.problem.data_term import DataTerm
from untrained.problem.scaling import degree_scale, image_level, image_levels

if TYPE_CHECKING:
    from typing import Self


class Views(DataTerm):
    """Problems that are made from a problem; each is a copy that shares what does not differ.

    Attributes:
        adjoint_level, guide, sigma: see `Problem`.
        importance: for how much of what was never measured each measurement stands, see
            `Problem.expected_misfit`; None where the operator does not say.
        part: a part of the measurements that was fitted before, see `after`.
        slices: every slice of a volume as a problem, once they were made.
    """

    adjoint_level: Tensor
    guide: Tensor | None
    sigma: float | None
    importance: Tensor | None
    part: Self | None
    slices: tuple[Self, ...]
    _estimate: Tensor | None
    _quick: Self | None
    _splits: dict[tuple[object, ...], tuple[Self, Self]]

    def split(self, fraction: float, seed: int, scattered: bool = False) -> tuple[Self, Self]:
        """Split the measurements in two: (those to fit, those held out).

        The scale is found anew from the first alone, so that nothing of the others reaches a
        method. The same question gets the same two problems, with what was computed for them.
        `scattered` takes single measurements where the physics would hold out patches.
        """
        if not 0 < fraction < 1:
            raise UserError(f"the fraction held out must lie between 0 and 1, got {fraction}")
        asked = (fraction, seed, scattered, self.weighting, str(self.device))
        if asked not in self._splits:
            self._splits[asked] = self._split(fraction, seed, scattered)
        return self._splits[asked]

    def _split(self, fraction: float, seed: int, scattered: bool) -> tuple[Self, Self]:
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

    def keeping(self, visible: Tensor, like: Self | None = None) -> Self:
        """Keep the measurements where `visible` is True, bool `(1, *y.shape[1:])`, and no others.

        Args:
            visible: which.
            like: a part of the same problem whose units the new one takes; None = its own, found
                from what is visible alone.
        """
        part = self._masked(visible, like)
        if like is not None:
            part.seen = self.physics.measuring_only(visible)
        return part

    def at(self, **theta: Tensor) -> Self:
        """Return the problem with the operator A(., theta), see `Physics.unknowns`.

        Everything that was computed with another A is forgotten (its norm, A^H y, classical
        answers), but for the constants that the data term is divided by: they stay those of the
        first guess, so that the objective means the same at every theta.

        Args:
            theta: by name, each `(1 or G, ...)`; gradients pass through.
        """
        if not theta:
            return self
        other = copy.copy(self)
        other.physics = self.physics.at(**theta)
        other.base = self.base or self
        other.seen, other.singles, other.part, other._norms, other._means = None, (), None, {}, {}
        other.forget()
        return other

    def knowing(self, theta: dict[str, Tensor], sigma: float | None = None) -> Self:
        """Return a problem of its own with the operator found, of which nothing is unknown.

        Args:
            theta: settled values of one problem, see `Physics.settle`.
            sigma: noise level, in network units; None leaves it.
        """
        other = copy.copy(self)
        other.sigma = self.sigma if sigma is None else sigma
        other.physics = self.physics.known(theta)
        other.base = other.seen = other.part = None
        other.singles, other._norms, other._means = (), {}, {}
        other.forget()
        return other

    def after(self, fit: Self) -> Self:
        """Copy the problem; its classical answers start from those to `fit`, a part of it.

        It keeps answers of its own, so that nothing depends on what was fitted before.
        """
        other = copy.copy(self)
        other.part, other.cache, other.slices, other._splits = fit, {}, (), {}
        return other

    def of_part(self, name: str, compute: Callable[[Self], Tensor]) -> Tensor | None:
        """Return the same classical answer to the part fitted before, in this problem's units.

        None where nothing was; see `after`.
        """
        if self.part is None:
            return None
        return self.from_units(self.part.to_units(self.part.cached(name, compute)))

    def part_with(self, name: str) -> Self:
        """Return the part split off first for which `name` was computed; itself where none was.

        See `split` and `cached`.
        """
        parts = (fit for fit, _ in self._splits.values() if name in fit.cache)
        return next(parts, self)

    def with_measurements(self, y: Tensor) -> Self:
        """Replace the measurements by others `(G, ...)`, in network units."""
        other = copy.copy(self)
        other.y = y
        other.scale, other.adjoint_level = (
            value[:1].expand(len(y)) for value in (self.scale, self.adjoint_level)
        )
        other.forget()
        other.part, other.singles = None, ()
        return other

    def each(self) -> tuple[Self, ...]:
        """List every problem alone; what is computed for one is not computed again for all."""
        if len(self) == 1:
            return (self,)
        self.singles = self.singles or tuple(self.select(i) for i in range(len(self)))
        return self.singles

    def weighted(self, weighting: str) -> Self:
        """Change the data weighting."""
        other = copy.copy(self)
        other.singles = tuple(one.weighted(weighting) for one in self.singles)
        other.weighting = check_weighting(weighting, self.physics)
        other._quick, other.slices = None, ()
        return other

    def quick(self) -> Self:
        """Return an equal problem whose A costs less, for who asks only how far A x is from y.

        In MRI in hybrid space (`Hybrid`), where whole lines are measured; made once.
        """
        if self._quick is None:
            operator = self.physics.hybrid(self.keep)
            if operator is None:
                return self
            other = self._quick = copy.copy(self)
            other.physics, other.y = operator, operator.from_kspace(self.y)
            other.keep = None if self.keep is None else operator.measured(self.keep)
            held = self.importance
            other.importance = None if held is None else operator.measured(held)
        return self._quick

    def select(self, index: int) -> Self:
        """Take problem `index` out of the group."""
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

    def to(self, device: torch.device | str) -> Self:
        """Move the problem to another device."""
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

    def forget(self) -> None:
        """Drop what was computed once for the measurements as they were; see `cached`."""
        self._estimate = self._quick = None
        self._splits = {}
        self.slices, self.cache = (), {}

    def _draw(self, fraction: float, generator: torch.Generator, scattered: bool) -> Tensor:
        """Draw measurements to hold out among the visible ones; a few draws may all be hidden."""
        draw = self.physics.scattered if scattered else self.physics.holdout
        for _ in range(20):
            held = draw(self.y, fraction, generator)
            held = held if self.keep is None else held & (self.keep > 0)
            if bool(held.any()):
                break
        return held

    def _masked(self, visible: Tensor, like: Self | None = None) -> Self:
        """Keep some measurements only, in units of their own or in those of `like`."""
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
            other.guide = other._scaled_guide(self.guide) if like is None else like.guide
        if self.sigma is not None:
            before, now = (degree_scale(p.scale, self.physics).max() for p in (self, other))
            other.sigma = self.sigma * float(before / now)
        return other

    def _find_scale(self) -> tuple[Tensor, Tensor]:
        """Find `scale` and `adjoint_level` by `image_levels`; 1 and 1 where nothing is rescaled."""
        ones = torch.ones(len(self.y), device=self.y.device)
        if self.unit_range or self.physics.degree is None:
            return ones, ones
        return image_levels(self)

    def _scaled_guide(self, guide: Tensor) -> Tensor:
        """Divide each guide by the level that would be found in a measurement of it.

        So the truth, as a guide, is in network units exactly what the network has to draw.

        Args:
            guide: `(1 or G, M, C, ...)`, of any scale.

        Returns:
            The same shape; `(G, M, C, ...)` where each problem has an operator of its own.
        """
        if self.unit_range:
            return guide
        differ = len(guide) > 1 or (len(self) > 1 and self.physics.alone(0) is not self.physics)
        each = [self.select(g) for g in range(len(self))] if differ else [self]
        rows = [guide[min(g, len(guide) - 1)] for g in range(len(each))]
        return torch.stack([one._divided(row) for one, row in zip(each, rows, strict=True)])

    def _divided(self, images: Tensor) -> Tensor:
        """Divide images `(M, C, ...)`, each by the level found in its own measurement."""
        if (coded := self.physics.code_of(images)) is not images:
            return coded
        if self.physics.degree is None:  # nothing is known of how its measurements scale
            return images / per_problem(image_level(images, self.task), images)
        with torch.no_grad():
            levels = [image_levels(self.with_measurements(self.A(one[None])))[0] for one in images]
        return images / per_problem(torch.cat(levels), images)
