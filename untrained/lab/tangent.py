r"""Products with a network's Jacobian, which is never stored.

.. math:: J = \frac{\partial f_\theta(z)}{\partial\theta} \in R^{n \times p},\qquad
          J v,\quad J^T u,\quad J J^T u,\quad A J v

n counts the entries of the image and p the weights. J v is one forward-mode pass (`torch.func.jvp`)
and J^T u one backward pass through a graph that is built once (`torch.func.vjp`), so that both cost
a few evaluations of the network and the memory of one. J J^T is the neural tangent kernel Theta of
Eq. (6) of the tutorial (Alkhouri et al., "Understanding Untrained Deep Models for Inverse
Problems"). Batch normalisations use the statistics of the image at hand, as they do in a run, so
that J is the derivative of the whole map, also of what couples the pixels there.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.func import jvp, vjp, vmap

from untrained.core.network import in_one_call
from untrained.errors import UserError
from untrained.lab.spectrum import Condition, Estimate, Spectrum, estimate_mean, krylov_spectrum

Weights = dict[str, Tensor]
Map = Callable[[Tensor], Tensor]
Self = TypeVar("Self", bound="Tangent")

TOGETHER = 8
"""Probes that a GPU takes in one call, each with the memory of one backward pass."""

MOST_DENSE = 2**31
"""Bytes that a stored Jacobian or kernel may take: 2 GiB."""


@dataclass(frozen=True, eq=False)
class Tangent:
    """The Jacobian of `fn` at `weights` as an operator of R^p -> R^n, stored nowhere.

    Weights travel as flat vectors `(p,)` in the order of `weights`, images as `(*out_shape)`; both
    may have an axis of probes in front. Nothing here is differentiable: what comes out is detached.

    Args:
        fn: weights, name -> tensor, to an image of any shape; differentiable.
        weights: where it is linearised.
        scale: None, or d `(p,)`: the operator is then J diag(d), and its gram J diag(d^2) J^T.
            With d^2 = 1 / (sqrt(v) + eps) that is the kernel of Adam's steps, with d a prior's
            standard deviations the covariance of a linearised model.
        measure: None, or the pair A, A^T of maps of one image and of one measurement: the operator
            is then A J.
        together: probes in one call; None = one after the other on a CPU, `TOGETHER` on a GPU.

    Attributes:
        image: the network's output at `weights`, without A.
        out_shape: shape of what J v gives: the image's, or the measurement's of A J.
    """

    fn: Callable[[Weights], Tensor]
    weights: Weights
    scale: Tensor | None = None
    measure: tuple[Map, Map] | None = None
    together: int | None = None
    image: Tensor = field(init=False, repr=False)
    out_shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.weights:
            raise UserError("a Jacobian needs at least one tensor of weights, got none")
        fixed = {name: weight.detach() for name, weight in self.weights.items()}
        object.__setattr__(self, "weights", fixed)
        first = next(iter(fixed.values()))
        if self.scale is not None and self.scale.shape != (self.n_weights,):
            raise UserError(
                f"scale must be ({self.n_weights},), one number a weight, got "
                f"{tuple(self.scale.shape)}"
            )
        if self.together is None:
            count = TOGETHER if in_one_call(first.device) else 1
            object.__setattr__(self, "together", count)
        output, pull = vjp(self.fn, fixed)  # type: ignore[misc]  # two without aux
        object.__setattr__(self, "image", output.detach())
        object.__setattr__(self, "_pull", pull)
        shown = output.detach() if self.measure is None else self.measure[0](output.detach())
        object.__setattr__(self, "out_shape", tuple(shown.shape))

    def measured(self: Self, physics: Any) -> Self:
        """Return A J for anything with `A` and `A_adjoint`: a problem of one image, or a physics.

        The operators of this package compute in float32; a float64 J is rounded before A.
        """

        def forth(x: Tensor) -> Tensor:
            seen: Tensor = physics.A(x.unsqueeze(0).float())
            return seen[0].to(x.dtype)

        def back(y: Tensor) -> Tensor:
            image: Tensor = physics.A_adjoint(y.unsqueeze(0).float())
            return image[0].to(y.dtype)

        return replace(self, measure=(forth, back))

    def scaled(self: Self, scale: Tensor) -> Self:
        """Return J diag(d) for `scale` d `(p,)`, see the class."""
        return replace(self, scale=scale)

    # sizes ------------------------------------------------------------------------------------

    @property
    def n_weights(self) -> int:
        """Number of weights p."""
        return sum(weight.numel() for weight in self.weights.values())

    @property
    def n_out(self) -> int:
        """Number of entries n of the output."""
        return math.prod(self.out_shape)

    def flatten(self, weights: Weights) -> Tensor:
        """Join weights, name -> `(..., *shape)`, into `(..., p)`."""
        parts = []
        for name, own in self.weights.items():
            lead = weights[name].shape[: weights[name].ndim - own.ndim]
            parts.append(weights[name].reshape(*lead, -1))
        return torch.cat(parts, dim=-1)

    def unflatten(self, v: Tensor) -> Weights:
        """Cut `(..., p)` into weights, name -> `(..., *shape)`."""
        sizes = [weight.numel() for weight in self.weights.values()]
        parts = v.split(sizes, dim=-1)
        return {
            name: part.reshape(*v.shape[:-1], *own.shape)
            for (name, own), part in zip(self.weights.items(), parts, strict=True)
        }

    # products ---------------------------------------------------------------------------------

    def forward(self, v: Tensor) -> Tensor:
        """Compute J v, `(p,)` -> `(*out_shape)` or `(k, p)` -> `(k, *out_shape)`."""
        self._check(v, (self.n_weights,), "v")
        return self._each(self._push, v, 1)

    def adjoint(self, u: Tensor) -> Tensor:
        """Compute J^T u, `(*out_shape)` -> `(p,)` or `(k, *out_shape)` -> `(k, p)`."""
        self._check(u, self.out_shape, "u")
        return self._each(self._pull_back, u, len(self.out_shape))

    def gram(self, u: Tensor) -> Tensor:
        """Compute J J^T u (with a scale, J diag(d^2) J^T u), shapes as of u in `adjoint`."""
        self._check(u, self.out_shape, "u")
        return self._each(lambda one: self._push(self._pull_back(one)), u, len(self.out_shape))

    def _push(self, v: Tensor) -> Tensor:
        v = v if self.scale is None else v * self.scale
        with warnings.catch_warnings():
            # torch loads its own scripted decompositions at the first forward-mode product
            warnings.simplefilter("ignore", DeprecationWarning)
            image = jvp(self.fn, (self.weights,), (self.unflatten(v),))[1]
        return image if self.measure is None else self.measure[0](image)

    def _pull_back(self, u: Tensor) -> Tensor:
        u = u if self.measure is None else self.measure[1](u)
        v = self.flatten(self._pull(u)[0])  # type: ignore[attr-defined]
        return v if self.scale is None else v * self.scale

    def _each(self, product: Map, given: Tensor, axes: int) -> Tensor:
        """Apply a product to one probe, or to each of several, `together` of them at a time."""
        with torch.no_grad():
            if given.ndim == axes:
                return product(given).detach()
            count = self.together or 1
            if count == 1 or self.measure is not None or len(given) == 1:
                return torch.stack([product(one).detach() for one in given])
            call = vmap(product)
            return torch.cat([call(part).detach() for part in given.split(count)])

    def _check(self, value: Tensor, shape: tuple[int, ...], name: str) -> None:
        if tuple(value.shape[-len(shape) :] if shape else ()) != shape or not (
            len(shape) <= value.ndim <= len(shape) + 1
        ):
            raise UserError(
                f"{name} must be {shape} or (k, {', '.join(map(str, shape))}), got "
                f"{tuple(value.shape)}"
            )

    # what is asked of it ----------------------------------------------------------------------

    def svd(
        self,
        k: int,
        *,
        tolerance: float = 0.01,
        right: bool = False,
        block: int = 4,
        most: int | None = None,
        seed: int = 0,
    ) -> Spectrum:
        """Find the k largest singular values and left singular vectors, with their errors.

        Args:
            k: how many; at most n.
            tolerance: relative residual ||J v - s u|| / s that each triplet has to reach.
            right: also return the right vectors, `(k, p)`, of p numbers each.
            block: probes of a block of the Krylov space.
            most: products with J J^T after which it gives up, and returns what it has; None = 20 k
                + 100.
            seed: of the random start.
        """
        if not 1 <= k <= self.n_out:
            raise UserError(f"k={k}: there are {self.n_out} singular values; ask for 1 or more")
        shape, like = self.out_shape, self._like()

        def gram(u: Tensor) -> Tensor:
            return self.gram(u.T.reshape(-1, *shape)).reshape(u.shape[1], -1).T

        found = krylov_spectrum(
            gram, self.n_out, like, k, tolerance, block, most or 20 * k + 100, seed
        )
        left = found.left.reshape(-1, *shape)
        if not right:
            return replace(found, left=left)
        rows = self.adjoint(left)
        norms = rows.norm(dim=1).clamp_min(torch.finfo(rows.dtype).tiny)
        return replace(found, left=left, right=rows / norms[:, None])

    def trace(self, probes: int = 32, seed: int = 0) -> Estimate:
        """Estimate the trace of J J^T, Hutchinson's mean of ||J^T u||^2 over random signs u."""
        signs = self._signs(probes, seed)
        return estimate_mean(torch.stack([self.adjoint(u).square().sum() for u in signs]))

    def diagonal(self, probes: int = 0, seed: int = 0) -> Estimate:
        """Compute the diagonal of J J^T, `(*out_shape)`: exactly, or from random signs.

        Args:
            probes: 0 = exactly, by n products with J^T; else the mean of u * (J J^T u) over so
                many random signs (Bekas et al. 2007), at least 2.
            seed: of the signs.
        """
        if probes:
            return estimate_mean(torch.stack([u * self.gram(u) for u in self._signs(probes, seed)]))
        rows = [row.square().sum(1) for row in self._rows()]
        exact = torch.cat(rows).reshape(self.out_shape)
        return Estimate(exact, torch.zeros_like(exact))

    def dense(self) -> Tensor:
        """Return J as a matrix `(n, p)`.

        Raises:
            UserError: it would take more than `MOST_DENSE` bytes.
        """
        self._fits(self.n_out * self.n_weights, "this Jacobian")
        return torch.cat(list(self._rows()))

    def ntk(self) -> Tensor:
        """Return the kernel Theta = J J^T as a matrix `(n, n)`, symmetric.

        Raises:
            UserError: it would take more than `MOST_DENSE` bytes.
        """
        self._fits(self.n_out**2, "this kernel")
        if self.n_out * self.n_weights * self._like().element_size() <= MOST_DENSE:
            rows = self.dense()
            return rows @ rows.T
        units = self._units()
        theta = torch.cat([self.gram(part).reshape(len(part), -1) for part in units])
        return (theta + theta.T) / 2

    def condition(self, most: int = 4096, seed: int = 0) -> Condition:
        """Find the condition number of the kernel J J^T, its largest over its smallest eigenvalue.

        Up to n = `most` from the singular values of the stored J (in its own precision: ask for
        float64 where it may be large). Beyond that, or where J does not fit, from the ends of a
        Krylov space, which is a lower bound.
        """
        size = self.n_out * self.n_weights * self._like().element_size()
        if self.n_out <= most and size <= MOST_DENSE:
            values = torch.linalg.svdvals(self.dense())
            least = float(values[-1]) if self.n_out <= self.n_weights else 0.0
            return Condition(float(values[0]) ** 2, least**2, True)
        found = self.svd(min(self.n_out, 100), tolerance=0.0, most=200, seed=seed)
        return Condition(float(found.values[0]) ** 2, float(found.values[-1]) ** 2, False)

    # helpers ----------------------------------------------------------------------------------

    def _like(self) -> Tensor:
        return next(iter(self.weights.values()))

    def _signs(self, probes: int, seed: int) -> Tensor:
        if probes < 2:
            raise UserError(f"probes={probes}: an estimate with an error needs at least 2")
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(2, (probes, *self.out_shape), generator=generator) * 2 - 1
        return drawn.to(self._like())

    def _units(self) -> list[Tensor]:
        """List the unit vectors of the output in parts of `together`."""
        like, n = self._like(), self.n_out
        parts = torch.arange(n, device=like.device).split(self.together or 1)
        return [
            torch.nn.functional.one_hot(part, n).to(like).reshape(-1, *self.out_shape)
            for part in parts
        ]

    def _rows(self) -> Any:
        return (self.adjoint(part) for part in self._units())

    def _fits(self, count: int, what: str) -> None:
        size = count * self._like().element_size()
        if size > MOST_DENSE:
            raise UserError(
                f"{what} as a matrix would take {size / 2**30:.1f} GiB, more than "
                f"{MOST_DENSE / 2**30:.0f} GiB; use forward, adjoint, gram or svd, which store none"
            )
