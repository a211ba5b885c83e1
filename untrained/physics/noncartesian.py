"""MRI on any 2-D trajectory: radial, spiral, or what else a scanner drives through k-space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.maths import to_channels, to_complex
from untrained.physics.base import Physics
from untrained.physics.coil_sums import (
    mean_of_maps,
    said_sets,
    see_coils,
    sets_of,
    sum_coils,
    support_of,
)
from untrained.physics.copies import among, twin
from untrained.physics.kinds import LinearPhysics
from untrained.physics.masks import as_tensor
from untrained.physics.mri import checked_maps
from untrained.physics.nufft import (
    apply_normal,
    density_weights,
    normal_kernel,
    nufft,
    nufft_adjoint,
    require_finufft,
)

LEAST_SHOTS = 6  # fewer are not held out whole, but in segments
HELD = 3  # fewest shots or segments held out
SEGMENTS = 60  # at least so many, of few shots
CENTRE = 0.04  # cycles per pixel around the centre that are never held out in segments


class NonCartesianMRI(LinearPhysics):
    r"""y_c = W^(1/2) F (S_c x): coil maps S, Fourier transform F at the points of a trajectory.

    Images are two real channels, `(B, 2, H, W)`; measurements `(B, 2, coils, shots, samples)`, a
    shot being what follows one excitation: a spoke, an interleaf. The units of the image are those
    of `MRI`: full samples on the grid of an FFT give the same one.

    W are weights, by default those that compensate the density of the samples (`dcf`): then
    :math:`A^H A` is close to a multiple of the identity, A^H y the gridded image, and every method
    converges as on a grid. The samples have to be weighted alike: `y = physics.weigh(samples)`.
    They cost a little signal to noise, 15 % of a linear image where spokes are complete.

    :math:`A^H A` is a convolution for every coil (`gram`): methods take it in place of the two
    transforms, which is several times faster.

    Args:
        trajectory: `(shots, samples, 2)`, (kx, ky) in cycles per pixel, within +-0.5; kx along W
            (to the right), ky along H (downwards).
        maps: complex `(coils, H, W)` or `(1 or B, coils, H, W)`; None is one coil with map 1. Of S
            sets `(1 or B, S, coils, H, W)`: images are then `(B, 2 S, H, W)`, as of `MRI`.
        weights: >= 0, `(shots, samples)`, of any scale; None finds them (`density_weights`), 1
            weighs all samples alike.
        x_shape: `(2 S, H, W)`; needed only without maps.

    Raises:
        UserError: finufft is missing; shapes that do not agree, values that are not finite, or a
            trajectory in other units.
    """

    task = "mri"
    has_gram = True
    support: Tensor | None
    trajectory: Tensor
    weights: Tensor
    _maps: Tensor

    def __init__(
        self,
        trajectory: Tensor | np.ndarray,
        maps: Tensor | np.ndarray | None = None,
        weights: Tensor | np.ndarray | float | None = None,
        x_shape: tuple[int, int, int] | None = None,
    ) -> None:
        require_finufft()
        points = _checked_trajectory(trajectory)
        coil_maps = None if maps is None else checked_maps(maps)
        size = _image_size(coil_maps, x_shape)
        if coil_maps is None:
            coil_maps = torch.ones(1, 1, *size, dtype=torch.complex64)
        shots, samples = points.shape[:2]
        super().__init__((2 * sets_of(coil_maps), *size), (2, coil_maps.shape[-3], shots, samples))
        self.compensated = not isinstance(weights, int | float)
        self.register_buffer("trajectory", points.float())
        self.register_buffer("weights", _checked_weights(weights, points, size).float())
        # complex buffers would lose their imaginary part in `.to(torch.float64)`
        self.register_buffer("_maps", torch.view_as_real(coil_maps.contiguous()))
        self.register_buffer("support", support_of(coil_maps))

    @property
    def maps(self) -> Tensor:
        """Return the coil maps, complex `(1 or B, coils, H, W)`, `(1 or B, S, ...)` of sets."""
        return torch.view_as_complex(self._maps)

    def weigh(self, samples: Tensor) -> Tensor:
        """Apply W^(1/2) to samples `(..., shots, samples)` as a scanner measures them."""
        return samples * self.weights.sqrt().to(
            samples.real.dtype if samples.is_complex() else samples.dtype
        )

    def unweigh(self, y: Tensor) -> Tensor:
        """Undo `weigh`; samples of no weight stay zero."""
        return y / self.weights.sqrt().clamp_min(1e-12).to(y.dtype)

    def A(self, x: Tensor) -> Tensor:
        """Map images `(B, 2 S, H, W)` to weighted samples `(B, 2, coils, shots, samples)`."""
        self._check_x(x)
        coils = see_coils(x, self._maps_for(x))
        found = nufft(coils, self.trajectory.flatten(0, 1))
        return self.weigh(to_channels(found.unflatten(-1, self.weights.shape)))

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint, to images `(B, 2 S, H, W)` combined over coils."""
        self._check_y(y)
        samples = to_complex(self.weigh(y)).flatten(-2)
        size = (self.x_shape[-2], self.x_shape[-1])  # type: ignore[index]
        coils = nufft_adjoint(samples, self.trajectory.flatten(0, 1), size)
        return sum_coils(coils, self._maps_for(y))

    def gram(self, keep: Tensor | None = None) -> Tensor | None:
        """Transform the kernel of A^H A, `(1 or G, 2 H, 2 W)`, G where `keep` has as many rows.

        None where `keep` differs between coils.
        """
        size = (self.x_shape[-2], self.x_shape[-1])  # type: ignore[index]
        points = self.trajectory.flatten(0, 1)
        if keep is None:
            return normal_kernel(points, self.weights.flatten(), size)[None]
        if bool((keep != keep[:, :1, :1]).any()):
            return None
        rows = [self.weights * row[0, 0] for row in keep]
        return torch.stack([normal_kernel(points, row.flatten(), size) for row in rows])

    def apply_gram(self, x: Tensor, constants: Tensor) -> Tensor:
        """Compute A^H A x of images `(B, 2 S, H, W)`, with what `gram` found."""
        self._check_x(x)
        maps = self._maps_for(x)
        return sum_coils(apply_normal(see_coils(x, maps), constants[:, None]), maps)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor:
        """Give the sum of all weights over H W, times the mean of sum_c |S_c|^2 on the support."""
        share = float(self.weights.double().sum()) / math.prod(self.x_shape[1:])  # type: ignore[index]
        return share * mean_of_maps(self.maps, self.support)

    def described(self) -> str:
        """Say what is measured, in a few words: coils, size, shots and samples."""
        coils, shots, samples = self.y_shape[1:]  # type: ignore[index]
        height, width = self.x_shape[1:]  # type: ignore[index]
        kind = "spokes" if is_radial(self.trajectory) else f"shot{'s' if shots > 1 else ''}"
        return (
            f"{coils} coil{'s' if coils > 1 else ''}, {height} x {width}, on a trajectory: "
            f"{shots} {kind} of {samples} samples{said_sets(self.x_shape)}"
        )

    def rescaled(self, gain: float) -> NonCartesianMRI:
        """Return the same operator divided by `gain`: its maps are."""
        other = twin(self)
        other._maps = self._maps / gain
        return other

    def among(self, images: slice) -> NonCartesianMRI:
        """Return the operator of some images of a batch."""
        return self if len(self._maps) == 1 else among(self, images, "_maps", "support")

    def joined(self, others: Sequence[Physics]) -> NonCartesianMRI | None:
        """Return one operator for a batch of images, each seen through maps of its own.

        None where trajectories, weights or numbers of coils differ.
        """
        each = [one for one in (self, *others) if isinstance(one, NonCartesianMRI)]
        if len(each) <= len(others) or not all(
            torch.equal(self.trajectory, one.trajectory)
            and torch.equal(self.weights, one.weights)
            and self._maps.shape[1:] == one._maps.shape[1:]
            for one in each[1:]
        ):
            return None
        whole = twin(self)
        whole._maps = torch.cat([one._maps for one in each])
        if any(one.support is not None for one in each):
            plain = self.weights.new_ones(1, *self.x_shape)  # type: ignore[misc]
            whole.support = torch.cat([plain if p.support is None else p.support for p in each])
        return whole

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw whole shots to hold out, `(1, 2, coils, shots, samples)`, at least three.

        Single samples would be told by those next to them. Of fewer than six shots segments of
        them are drawn, outside the centre of k-space.
        """
        numbers = self._units()
        known = numbers[numbers >= 0].unique()
        count = min(max(HELD, round(fraction * len(known))), len(known) // 2)
        chosen = known[torch.randperm(len(known), generator=generator)[:count]]
        return torch.isin(numbers, chosen).expand(1, *y.shape[1:]).to(y.device)

    def importance(self, y: Tensor, held: Tensor) -> Tensor | None:
        """Weigh measurements by the cells of k-space that each stands for, `(B, 1, 1, ...)`.

        The density compensation is the area around a sample: where that is more than one cell of
        the grid of an FFT, the sample measures one of them, and the others nobody does. A fitted
        sample counts for its own cell, a held-out one also for its share of those that were not
        measured. The answer is what is added to the weight 1 of fitted and 0 of held-out samples.

        None, and the held-out samples alone decide, where three quarters of the cells or more are
        measured (see `MRI.importance`), or without density compensation.
        """
        points = self.trajectory.double().flatten(0, 1).cpu().numpy()
        cells = self.weights.double() * _hull_area(points)
        missing = (cells - 1).clamp_min(0)
        if not self.compensated or 4 * float(missing.sum()) <= float(cells.sum()):
            return None
        own = 1 / cells.clamp_min(1)
        hidden = held[0, 0, 0].to(cells.device)
        others = self.weights.numel() / max(1, int(hidden.sum()))
        weight = torch.where(hidden, own + (1 - own) * others, own - 1)
        return weight.to(y)[None, None, None].expand(len(y), 1, 1, -1, -1)

    def units(self, y: Tensor) -> Tensor:
        """Number what `holdout` draws, `(1, 1, 1, shots, samples)`; -1 is always fitted."""
        return self._units().to(y.device)[None, None, None]

    def _units(self) -> Tensor:
        shots, samples = self.weights.shape
        if shots >= LEAST_SHOTS:
            return torch.arange(shots)[:, None].expand(shots, samples)
        each = -(-SEGMENTS // shots)
        along = torch.arange(samples) * each // samples
        numbers = torch.arange(shots)[:, None] * each + along
        outside = self.trajectory.cpu().norm(dim=-1) > CENTRE
        return numbers.where(outside, torch.tensor(-1))

    def _maps_for(self, value: Tensor) -> Tensor:
        maps = torch.view_as_complex(self._maps.to(value.dtype))
        if maps.shape[0] not in (1, value.shape[0]):
            raise UserError(
                f"NonCartesianMRI: the maps are for {maps.shape[0]} images, got a batch of "
                f"{value.shape[0]}"
            )
        return maps


def _hull_area(points: np.ndarray) -> float:
    """Compute the share of k-space, the unit square, that lies between points `(M, 2)`."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(points).volume)
    except (QhullError, ValueError):  # on a line
        return 1.0


def is_radial(trajectory: Tensor) -> bool:
    """Tell whether every shot of `(shots, samples, 2)` is a straight line near the centre."""
    points = trajectory.double()
    along = points[:, -1] - points[:, 0]
    length = along.norm(dim=-1, keepdim=True)
    if points.shape[1] < 3 or not bool((length > 0.1).all()):
        return False
    along = along / length
    from_start = points - points[:, :1]
    off = from_start[..., 0] * along[:, 1:] - from_start[..., 1] * along[:, :1]
    near = points.norm(dim=-1).amin(1)
    return bool(off.abs().max() < 0.01) and bool(near.max() < 0.05)


def _checked_trajectory(trajectory: Tensor | np.ndarray) -> Tensor:
    points = as_tensor(trajectory)
    if points.ndim != 3 or points.shape[-1] != 2 or points.is_complex():
        raise UserError(
            "trajectory must be real (shots, samples, 2), kx and ky in cycles per pixel; got "
            f"{tuple(points.shape)} {points.dtype}"
        )
    points = points.double()
    if not bool(points.isfinite().all()):
        raise UserError("trajectory holds NaN or infinite values")
    largest = float(points.abs().max())
    if largest > 0.51:
        raise UserError(
            f"trajectory reaches {largest:.4g}; it must be in cycles per pixel, within +-0.5: "
            "divide radians per pixel by 2 pi, cycles per field of view by the matrix size"
        )
    return points


def _image_size(maps: Tensor | None, x_shape: tuple[int, int, int] | None) -> tuple[int, int]:
    own = None if maps is None else (int(maps.shape[-2]), int(maps.shape[-1]))
    asked = None if x_shape is None else (int(x_shape[-2]), int(x_shape[-1]))
    if own is None and asked is None:
        raise UserError("a trajectory does not say how large the image is: give maps or x_shape")
    if own is not None and asked is not None and own != asked:
        raise UserError(
            f"the maps are for images of {own[0]}x{own[1]}, but x_shape says {asked[0]}x{asked[1]}"
        )
    return own or asked  # type: ignore[return-value]


def _checked_weights(
    weights: Tensor | np.ndarray | float | None, points: Tensor, size: tuple[int, int]
) -> Tensor:
    """Bring weights to `(shots, samples)` of sum H W."""
    shape = points.shape[:2]
    if weights is None:
        return density_weights(points.flatten(0, 1), size).reshape(shape)
    values = as_tensor(weights) if not isinstance(weights, int | float) else torch.tensor(weights)
    values = values.double()
    values = values.expand(shape) if values.ndim == 0 else values
    if values.shape != shape:
        raise UserError(
            f"weights have the shape {tuple(values.shape)}, but the trajectory has "
            f"{shape[0]} shots of {shape[1]} samples"
        )
    if not bool(values.isfinite().all()) or float(values.min()) < 0 or not float(values.sum()) > 0:
        raise UserError("weights of samples must be finite, not negative, and not all zero")
    return values * (size[0] * size[1] / float(values.sum()))
