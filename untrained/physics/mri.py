"""Cartesian MRI with one coil or many: A, its adjoint, and which columns are held out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.maths import fft2c, ifft2c, to_channels, to_complex
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
from untrained.physics.hybrid import Hybrid
from untrained.physics.kinds import LinearPhysics
from untrained.physics.masks import (
    all_along,
    along_lines,
    as_mask,
    as_tensor,
    calibration_block,
    centre_crop,
    one_sided,
    plane_mask,
)
from untrained.physics.positions import number_positions
from untrained.physics.residuals import Picture, kspace_picture

_LINES = 3  # fewest columns or rows worth holding out


class MRI(LinearPhysics):
    r"""y_c = M F (S_c x): coil maps S, centred orthonormal FFT F, sampling mask M.

    Images are two real channels (real, imaginary), `(B, 2, H, W)`; k-space is
    `(B, 2, coils, H, W)` with the zero frequency at `(H // 2, W // 2)`.

    The centring shifts of F are the phases exp(2 pi i c n / N) before and after a plain FFT
    (c = N // 2); they are multiplied into the maps and the mask once, which halves the time of a
    step against shifting every coil back and forth.

    `support`, `(1 or B, 1, H, W)`, is 1 where some coil sees the image, and None where that is
    everywhere: what no coil sees is no part of an image (`Problem.supported`).

    With S sets of maps (soft-SENSE, M. Uecker et al., Magn. Reson. Med. 71 (2014) 990) an image has
    S complex values at each pixel, :math:`y_c = M F \sum_s S_{sc} x_s`, and is `(B, 2 S, H, W)`: a
    real and an imaginary part for each set in turn. Where the field of view is smaller than the
    object two parts of it share a pixel, which one set cannot explain.

    Args:
        mask: `(H, W)`, or `(W,)` for whole columns, or another shape that `plane_mask` knows, as
            `(coils, H, W)`; 1 = measured.
        maps: complex coil maps `(coils, H, W)` or `(1 or B, coils, H, W)`; of several sets
            `(1 or B, S, coils, H, W)`; None is one coil with map 1.
        x_shape: `(2 S, H, W)`; needed only where a mask of columns comes without maps.

    Raises:
        UserError: a mask or maps of the wrong shape or content, or no way to know the height.
    """

    task = "mri"
    mask: Tensor
    support: Tensor | None
    _before: Tensor
    _after: Tensor

    def __init__(
        self,
        mask: Tensor | np.ndarray,
        maps: Tensor | np.ndarray | None = None,
        x_shape: tuple[int, int, int] | None = None,
    ) -> None:
        coil_maps = None if maps is None else checked_maps(maps)
        sampled = _full_mask(as_mask(mask), coil_maps, x_shape)
        size = (sampled.shape[0], sampled.shape[1])
        if coil_maps is None:
            coil_maps = torch.complex(torch.ones(1, 1, *size), torch.zeros(1, 1, *size))
        super().__init__((2 * sets_of(coil_maps), *size), (2, coil_maps.shape[-3], *size))
        inner, outer = _shift_phases(size)
        kind = coil_maps.dtype
        # Complex buffers would lose their imaginary part in `.to(torch.float64)`.
        self.register_buffer("mask", sampled.to(coil_maps.real.dtype)[None, None, None])
        self.register_buffer("_before", torch.view_as_real((coil_maps * inner).to(kind)))
        self.register_buffer("_after", torch.view_as_real((sampled * outer).to(kind)))
        self.register_buffer("support", support_of(coil_maps))

    @property
    def maps(self) -> Tensor:
        """Return the coil maps, complex `(1 or B, coils, H, W)`, `(1 or B, S, ...)` of sets."""
        inner, _ = _shift_phases((self.mask.shape[-2], self.mask.shape[-1]))
        before = torch.view_as_complex(self._before)
        return before * inner.conj().to(before.device, before.dtype)

    def centred(self, maps: Tensor) -> Tensor:
        """Multiply maps, complex `(B, coils, H, W)`, by the phase before a plain FFT."""
        inner, _ = _shift_phases((self.mask.shape[-2], self.mask.shape[-1]))
        return maps * inner.to(maps.device, maps.dtype)

    def A(self, x: Tensor) -> Tensor:
        """Map images `(B, 2 S, H, W)` to k-space `(B, 2, coils, H, W)`, zero where not sampled."""
        self._check_x(x)
        before, after = self._constants(x)
        kspace = torch.fft.fft2(see_coils(x, before), norm="ortho")
        return to_channels(kspace * after)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Map k-space `(B, 2, coils, H, W)` to images `(B, 2 S, H, W)` combined over coils."""
        self._check_y(y)
        before, after = self._constants(y)
        coils = torch.fft.ifft2(to_complex(y) * after.conj(), norm="ortho")
        return sum_coils(coils, before)

    def hybrid(self, keep: Tensor | None = None) -> Hybrid | None:
        """Return the same operator with less to compute, where whole lines are measured, and kept.

        None for any other mask, or where `keep`, `(1, 2, coils, H, W)`, is no such mask.
        """
        mask = self.mask[0, 0, 0]
        along = along_lines(mask)
        if along is None or (keep is not None and along not in all_along(keep[0, 0, 0])):
            return None
        before, after = (torch.view_as_complex(c) for c in (self._before, self._after))
        lines = mask.select(along, 0).nonzero().flatten()
        return Hybrid(before, after, lines, across=-1 - along, support=self.support)

    def mean_squared_singular_value(self, weighting: str = "uniform") -> Tensor:
        """Give the sampled share of k-space times the mean of sum_c |S_c|^2 on the support.

        Float64 `(1 or B,)`: one for each image that has maps of its own.
        """
        share = int(self.mask.count_nonzero()) / self.mask.numel()
        return share * mean_of_maps(torch.view_as_complex(self._before), self.support)

    def sampled(self, coils: Tensor) -> Tensor:
        """Apply M F: coil images `(B, 2, coils, H, W)` -> k-space, zero where not sampled."""
        return to_channels(fft2c(to_complex(coils))) * self.mask.to(coils.dtype)

    def coil_images(self, kspace: Tensor) -> Tensor:
        """Apply F^-1: k-space `(B, 2, coils, H, W)` -> coil images."""
        return to_channels(ifft2c(to_complex(kspace)))

    def combine(self, coils: Tensor) -> Tensor:
        """Sum conj(S_c) x_c over coils: `(B, 2, coils, H, W)` -> images `(B, 2 S, H, W)`."""
        images = to_complex(coils)
        return sum_coils(images, self.maps.to(images.dtype))

    def weighing(self, weights: Tensor) -> MRI:
        """Return the same operator with each coil's measurements times a weight, `(coils,)`."""
        other = twin(self)
        each = weights.to(self._before)[:, None, None, None]
        other._before = self._before * each
        return other

    def described(self) -> str:
        """Say what is measured, in a few words: coils, size and rate of undersampling."""
        coils, height, width = self.y_shape[1:]  # type: ignore[index]
        mask = self.mask[0, 0, 0].bool()
        rate = mask.numel() / int(mask.sum())
        along = along_lines(mask)
        of = "" if rate == 1 or along is None else f" of whole {('columns', 'rows')[along]}"
        share = "fully sampled" if rate == 1 else f"{rate:.3g}x undersampled{of}"
        sets = said_sets(self.x_shape)
        half = one_sided(mask)
        if half is not None:
            name = ("rows", "columns")[half[0]]
            share += f", partial Fourier ({half[1]} {name} on one side of the centre, {half[2]} on "
            share += "the other)"
        return (
            f"{coils} coil{'s' if coils > 1 else ''}, {height} x {width}, Cartesian, {share}{sets}"
        )

    def rescaled(self, gain: float) -> MRI:
        """Return the same operator divided by `gain`: its maps are."""
        other = twin(self)
        other._before = self._before / gain
        return other

    def among(self, images: slice) -> MRI:
        """Return the operator of some images of a batch."""
        return self if len(self._before) == 1 else among(self, images, "_before", "support")

    def joined(self, others: Sequence[Physics]) -> MRI | None:
        """Return one operator for a batch of images, each seen through maps of its own.

        None where the masks or the numbers of coils differ.
        """
        each = [one for one in (self, *others) if isinstance(one, MRI)]
        if len(each) <= len(others) or not all(
            torch.equal(self.mask, one.mask) and self._before.shape[1:] == one._before.shape[1:]
            for one in each[1:]
        ):
            return None
        whole = twin(self)
        whole._before = torch.cat([one._before for one in each])
        if any(one.support is not None for one in each):
            plain = self.mask.new_ones(1, 1, *self.x_shape[1:])  # type: ignore[index]
            whole.support = torch.cat([plain if p.support is None else p.support for p in each])
        return whole

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw samples to hold out, `(1, 2, coils, H, W)`: positions of k-space, for all coils.

        They lie outside the fully sampled centre block, which decides brightness and contrast. A
        mask of columns (or rows) gives up whole ones, at least three: what is missing there are
        columns too, and single samples, which their neighbours in the column tell, would favour
        whatever is smooth. Any other mask gives up single positions. Where most samples lie in
        the block (fully sampled data), only its central 24x24 positions are kept back.
        """
        outside = self._outside_centre()
        along = along_lines(self.mask[0, 0, 0])
        lines = outside.any(along or 0).nonzero().flatten()
        if along is None or len(lines) < 2 * _LINES:
            return super().holdout(y, fraction, generator) & outside.to(y.device)
        count = max(_LINES, round(fraction * len(lines)))
        chosen = lines[torch.randperm(len(lines), generator=generator)[:count]]
        drawn = torch.zeros_like(outside).index_fill_(1 - along, chosen, True)
        return (drawn & outside).expand(1, *y.shape[1:]).to(y.device)

    def lines_outside(self) -> tuple[Tensor, int] | None:
        """List the lines measured outside the centre block, and their axis of y; else None."""
        along = along_lines(self.mask[0, 0, 0])
        if along is None:
            return None
        return self._outside_centre().any(along).nonzero().flatten(), -1 - along

    def units(self, y: Tensor) -> Tensor:
        """Number what `holdout` draws, `(1, 1, 1, H, W)`: lines, or positions; -1 in the centre."""
        outside = self._outside_centre()
        along = along_lines(self.mask[0, 0, 0])
        if along is None or int(outside.any(along).sum()) < 2 * _LINES:
            numbers = number_positions(y, 2)[0, 0, 0]
        else:
            lines = torch.arange(outside.shape[1 - along])
            numbers = lines.unsqueeze(along).expand(outside.shape)
        return numbers.to(y.device).where(outside.to(y.device), -1)[None, None, None]

    def importance(self, y: Tensor, held: Tensor) -> Tensor | None:
        r"""Weigh held-out samples by the k-space that each stands for, `(B, 1, 1, H, W)`; else 0.

        A sample that was never measured is taken to be in error like the held-out one nearest to
        it in :math:`\log r`, r the distance from the centre (of a line: of whole lines), and in
        proportion to the energy there. Energy is the power law :math:`r^{-p}` fitted to the
        measured samples outside the centre. Every held-out sample also stands for itself.

        None, and the held-out samples alone decide, where three quarters of k-space or more are
        measured. There most of what is fitted in the end is noise, and a better fit no better
        image.
        """
        mask, hidden = self.mask[0, 0, 0].bool(), held[0, 0, 0]
        energy = y.square().sum(dim=(1, 2))
        along = along_lines(mask)
        if along is not None:
            energy = energy.sum(1 + along, keepdim=True).expand_as(energy)
        # padded with zeros, or held out before: a mask may call measured what is not
        sampled = mask & (energy > 0).all(0)
        if 4 * int(sampled.sum()) >= 3 * sampled.numel():
            return None
        radius = _log_radius(mask).to(y.device)
        known = self._outside_centre() & sampled
        slope = _slope(radius[known], energy[:, known].log())
        near, place = radius[hidden].unique(return_inverse=True)
        nearest = torch.bucketize(radius[~sampled], (near[1:] + near[:-1]) / 2)
        relative = (slope[:, None] * (radius[~sampled] - near[nearest])).exp()
        share = energy.new_zeros(len(y), len(near)).index_add_(1, nearest, relative)
        weight = energy.new_zeros(energy.shape)
        weight[:, hidden] = 1 + (share / place.bincount())[:, place]
        return weight[:, None, None]

    def residual_picture(self, residual: Tensor) -> Picture | None:
        """Draw the residual of k-space."""
        return kspace_picture(residual)

    def _outside_centre(self) -> Tensor:
        sampled = self.mask[0, 0, 0].bool()
        size = (sampled.shape[0], sampled.shape[1])
        block = calibration_block(sampled)
        if 2 * block[0] * block[1] > int(sampled.sum()):
            block = (min(block[0], 24), min(block[1], 24))
        outside = sampled.clone()
        outside[centre_crop(size, block)] = False
        return outside

    def _constants(self, value: Tensor) -> tuple[Tensor, Tensor]:
        before = torch.view_as_complex(self._before.to(value.dtype))
        if before.shape[0] not in (1, value.shape[0]):
            raise UserError(
                f"MRI: the maps are for {before.shape[0]} images, got a batch of {value.shape[0]}"
            )
        return before, torch.view_as_complex(self._after.to(value.dtype))


def _log_radius(sampled: Tensor) -> Tensor:
    """Compute the log distance from the centre of k-space; of a mask of lines, that of the line."""
    places = [torch.arange(n) - n // 2 + 0.0 for n in sampled.shape]
    along = along_lines(sampled)
    if along is not None:
        places[along].zero_()
    return torch.hypot(places[0][:, None], places[1]).clamp_min(0.5).log()


def _slope(x: Tensor, y: Tensor) -> Tensor:
    """Compute the slope of the line through (x, y), for every row of y."""
    centred = x - x.mean()
    return (y * centred).sum(1) / centred.square().sum().clamp_min(1e-30)


def checked_maps(maps: Tensor | np.ndarray) -> Tensor:
    """Return coil maps as complex `(1 or B, coils, H, W)`, of sets `(1 or B, S, coils, H, W)`.

    Raises:
        UserError: maps of another shape, real or not finite ones.
    """
    values = as_tensor(maps)
    if values.ndim == 3:
        values = values[None]
    if values.ndim not in (4, 5) or not values.is_complex():
        raise UserError(
            "maps must be complex (coils, H, W), (B, coils, H, W) or, of several sets, "
            f"(B, sets, coils, H, W), got {tuple(values.shape)} {values.dtype}."
        )
    if not bool(torch.view_as_real(values).isfinite().all()):
        raise UserError("maps hold NaN or infinite values; set them to zero outside the object.")
    return values


def _full_mask(mask: Tensor, maps: Tensor | None, x_shape: tuple[int, int, int] | None) -> Tensor:
    """Bring the mask to `(H, W)`, agreeing with the maps and `x_shape`."""
    sizes = [(maps.shape[-2], maps.shape[-1])] if maps is not None else []
    if x_shape is not None:
        channels = 2 if maps is None else 2 * sets_of(maps)
        if len(x_shape) != 3 or x_shape[0] != channels:
            raise UserError(f"x_shape of MRI must be ({channels}, H, W), got {tuple(x_shape)}.")
        sizes.append((x_shape[-2], x_shape[-1]))
    if mask.ndim == 0:
        raise UserError("mask must be (H, W), or (W,) for columns, got a single number.")
    if mask.ndim == 1 and not sizes:
        raise UserError(
            "a mask of columns (W,) does not say how high the image is: give maps or "
            "x_shape=(2, H, W), or a mask (H, W)."
        )
    if not sizes and mask.ndim != 2:
        raise UserError(f"mask must be (H, W), or (W,) for columns, got {tuple(mask.shape)}.")
    if len(set(sizes)) > 1:
        raise UserError(
            f"the maps are for images of {sizes[0][0]}x{sizes[0][1]}, but x_shape says "
            f"{sizes[1][0]}x{sizes[1][1]}."
        )
    return plane_mask(mask, sizes[0], "mask")[0] if sizes else mask


def _shift_phases(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Compute the factors `(H, W)` before and after a plain FFT that make it the centred one."""
    axes = [_axis_phases(n) for n in size]
    before = axes[0][0][:, None] * axes[1][0]
    after = axes[0][1][:, None] * axes[1][1]
    return before, after


def _axis_phases(n: int) -> tuple[Tensor, Tensor]:
    centre = n // 2
    turns = centre * torch.arange(n)
    return _unit(turns, n), _unit(turns - centre * centre, n)


def _unit(turns: Tensor, n: int) -> Tensor:
    """Compute exp(2 pi i turns / n), exact where the angle is a multiple of pi."""
    angle = 2 * math.pi * (turns % n).double() / n
    return torch.polar(torch.ones_like(angle), angle)
