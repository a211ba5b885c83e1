"""Coil sensitivity maps from the fully sampled centre of k-space."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.maths import ifft2c
from untrained.physics.masks import (
    as_mask,
    as_tensor,
    calibration_block,
    centre_crop,
    sampling_pattern,
)

How = Literal["espirit", "lowres"]

_ESPIRIT_LINES = 7
_LOWRES_LINES = 4
_PATCH = 6  # largest side of an ESPIRiT patch
_NULL_SPACE = 0.05  # singular values below this share of the largest are noise
_NULL_SPACE_NARROW = 0.02  # the same for patches of 3 columns or fewer, where signal is small, too
_POWER_STEPS = 40
_MARGIN = 2  # pixels around the object that belong to it
_BORDER = 1 / 16  # share of each side where a border that cuts the object spoils the maps


def estimate_maps(
    kspace: Tensor | np.ndarray,
    mask: Tensor | np.ndarray | None = None,
    how: Literal["auto", "espirit", "lowres"] = "auto",
    sets: int = 1,
) -> tuple[Tensor, How]:
    """Estimate coil maps by the best method at hand; return them and the method's name.

    `auto` takes ESPIRiT where the centre block is large enough for it, otherwise low-resolution
    maps.

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.
        mask: `(H, W)` or `(W,)`; None takes the non-zero pattern.
        how: `auto`, `espirit` or `lowres`.
        sets: number of sets of maps, see `espirit_maps`; more than one takes ESPIRiT.

    Returns:
        (maps, how_used): maps as of `espirit_maps` or `lowres_maps`.

    Raises:
        UserError: an unknown `how`, several sets of low-resolution maps, or no usable centre block.
    """
    if how not in ("auto", "espirit", "lowres"):
        raise UserError(f"maps must be 'auto', 'espirit' or 'lowres', got {how!r}.")
    if sets > 1:
        if how == "lowres":
            raise UserError(
                f"low-resolution maps are one set, and {sets} were asked for: take ESPIRiT maps"
            )
        return espirit_maps(kspace, mask, sets=sets), "espirit"
    if how == "auto":
        *_, block = _data_and_block(kspace, mask)
        how = "espirit" if min(block) >= _ESPIRIT_LINES else "lowres"
    if how == "espirit":
        return espirit_maps(kspace, mask), "espirit"
    return lowres_maps(kspace, mask), "lowres"


def lowres_maps(
    kspace: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None, width: int = 24
) -> Tensor:
    """Divide low-resolution coil images by their root sum of squares.

    The centre block, at most `width` x `width`, is weighted by a Hann window and transformed.
    Outside the object, where the quotient is noise, the maps continue smoothly from inside.
    At the border they repeat those further in (see `espirit_maps`). sum_c |S_c|^2 = 1 everywhere.
    The maps carry the low-resolution phase of the object, so an image combined with them is nearly
    real.

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.
        mask: `(H, W)` or `(W,)`; None takes the non-zero pattern.
        width: largest side of the block used.

    Returns:
        complex64 torch tensor `(coils, H, W)` on the CPU.

    Raises:
        UserError: k-space of another shape, or fewer than 4 fully sampled central lines.
    """
    data, _, block = _data_and_block(kspace, mask)
    _check_lines(block, _LOWRES_LINES, "low-resolution maps")
    block = (min(block[0], width), min(block[1], width))
    size = (data.shape[-2], data.shape[-1])
    crop = centre_crop(size, block)
    window = [torch.hann_window(n + 2, periodic=False)[1:-1] for n in block]
    centre = torch.zeros_like(data)
    centre[:, crop[0], crop[1]] = data[:, crop[0], crop[1]] * window[0][:, None] * window[1]
    images = ifft2c(centre)
    strength = images.abs().square().sum(0).sqrt()
    if not float(strength.max()) > 0:
        raise UserError("the centre of k-space is zero in every coil, so it shows no coil maps.")
    inside = strength > 0.1 * torch.quantile(strength.flatten(), 0.99)
    return _to_the_border(_extended(images / strength.clamp_min(1e-20), inside))


def _extended(maps: Tensor, inside: Tensor) -> Tensor:
    """Continue the maps outside `inside` by averages over ever wider Gaussian windows."""
    known = inside.to(maps.real.dtype)
    values = maps * known
    filled, weight, sigma = values, known, 2.0
    while sigma < max(known.shape):
        window = _gaussian_spectrum(known, sigma)
        share = torch.fft.ifft2(torch.fft.fft2(known) * window).real.clamp_min(1e-12)
        average = torch.fft.ifft2(torch.fft.fft2(values) * window) / share
        add = (1 - weight) * (share / 0.2).clamp_max(1)
        filled, weight = filled + add * average, weight + add
        sigma *= 2
    return filled / filled.abs().square().sum(0).sqrt().clamp_min(1e-20)


def _gaussian_spectrum(like: Tensor, sigma: float) -> Tensor:
    rows, columns = (
        torch.exp(-2 * (math.pi * sigma * torch.fft.fftfreq(n)).square()) for n in like.shape
    )
    return rows[:, None] * columns


def espirit_maps(
    kspace: Tensor | np.ndarray,
    mask: Tensor | np.ndarray | None = None,
    width: int = 24,
    crop: float = 0.95,
    sets: int = 1,
) -> Tensor:
    r"""Estimate ESPIRiT maps, one set or more (Uecker et al., MRM 71, 2014).

    The patches of calibrated k-space (6 rows by up to 6 columns, all coils) span a small space
    V. A k-space all of whose patches lie in V is unchanged by :math:`\mathcal W`, the average of
    the projections of its patches; at an image pixel r that reads :math:`G(r) S(r) = S(r)`,

    .. math:: G(r) = \frac{1}{n}\sum_k \hat v_k(r)\, \hat v_k(r)^H

    with v_k an orthonormal basis of V and n the positions of a patch. The map is the principal
    eigenvector. Its eigenvalue is 1 where there is signal and falls outside the object; the maps
    are zero where it is below `crop`, but for a margin of two pixels and for holes: an image that
    no coil sees there is one the data need not explain (0.1 to 0.8 dB for total variation on
    measured brains).

    k-space samples repeat the image periodically: where the border cuts the object, maps jump from
    one side to the other, which no small patch can follow. There an image may explain wrong maps
    by ever brighter pixels, so the outermost maps are taken from further in, and the support as
    well where it fills that side (0.1 to 7 dB on simulated scans of which it is true).

    The block may be a rectangle, which is why this is not sigpy's: a mask of columns calibrates
    all rows, and of 24x7 samples a square of 7x7 would waste two thirds. A narrow block has
    narrow patches, three sevenths of its width; wider ones leave V no room to be small.

    ESPIRiT leaves one phase per pixel open; it is taken from `lowres_maps`, so that an image is
    nearly real here too (the phase of any one coil has singularities).

    Several sets. Where the field of view is smaller than the object, two parts of it share a pixel,
    G has two eigenvalues of 1 there, and their eigenvectors span what the coils may see: a set of
    maps for each (soft-SENSE). The basis of that span is free. The first set is where repeated G
    takes the low-resolution maps, which are smooth; the others are orthogonal to it. A set is zero
    where its eigenvalue is below `crop`, but for the margin; nothing is done at the border, where
    the object really goes on at the other side.

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.
        mask: `(H, W)` or `(W,)`; None takes the non-zero pattern.
        width: largest side of the block used; smaller if less is fully sampled.
        crop: smallest eigenvalue of a pixel with signal; 0 leaves the maps whole.
        sets: number of sets of maps, at most that of the coils.

    Returns:
        complex64 torch tensor `(coils, H, W)` on the CPU, `(sets, coils, H, W)` of several sets;
        sum_c |S_c|^2 is 1 or 0, and at no pixel are two sets alike: they are orthogonal.

    Raises:
        UserError: k-space of another shape, fewer than 7 fully sampled central lines, or more sets
            than coils.
    """
    data, sampled, block = _data_and_block(kspace, mask)
    if not 1 <= sets <= len(data):
        raise UserError(f"sets of maps must be 1 to {len(data)}, the number of coils, got {sets}.")
    _check_lines(block, _ESPIRIT_LINES, "ESPIRiT maps")
    sides = (min(block[0], width), min(block[1], width))
    rows, columns = centre_crop((data.shape[-2], data.shape[-1]), sides)
    basis = _patch_basis(data[:, rows, columns])
    projections = _projections(basis, (data.shape[-2], data.shape[-1]))
    if sets > 1:
        several, values = _leading(projections, lowres_maps(data, sampled, width), sets)
        return (several * _supports(values, crop)).to(torch.complex64)
    maps, eigenvalue = _principal(projections)
    agreement = (maps.conj() * lowres_maps(data, sampled, width)).sum(0)
    maps = maps * torch.polar(torch.ones_like(agreement.real), agreement.angle())
    return (_to_the_border(maps) * _support(eigenvalue, crop)).to(torch.complex64)


def _patch_basis(block: Tensor) -> Tensor:
    """Find orthonormal patches `(K, coils, rows, columns)` that span those of the block."""
    sides = [max(2, min(_PATCH, n * 3 // 7)) for n in block.shape[-2:]]
    patches = block.unfold(1, sides[0], 1).unfold(2, sides[1], 1)
    coils, down, across = patches.shape[:3]
    matrix = patches.permute(1, 2, 0, 3, 4).reshape(down * across, -1)
    _, values, basis = torch.linalg.svd(matrix, full_matrices=False)
    least = _NULL_SPACE if min(sides) > 3 else _NULL_SPACE_NARROW
    return basis[values > least * values[0]].reshape(-1, coils, *sides)


def _projections(basis: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute G `(H, W, coils, coils)` from correlations of the basis with itself in k-space."""
    _, coils, rows, columns = basis.shape
    lags = (2 * rows - 1, 2 * columns - 1)
    spectrum = torch.fft.fft2(basis, s=lags)
    correlation = torch.fft.ifft2(torch.einsum("kchw,kdhw->cdhw", spectrum, spectrum.conj()))
    padded = torch.zeros(coils * coils, *size, dtype=basis.dtype)
    down, across = (
        slice(n // 2 - m // 2, n // 2 + m // 2 + 1) for n, m in zip(size, lags, strict=True)
    )
    padded[:, down, across] = torch.fft.fftshift(correlation, dim=(-2, -1)).flatten(0, 1)
    images = ifft2c(padded) * (math.sqrt(size[0] * size[1]) / (rows * columns))
    return images.reshape(coils, coils, *size).permute(2, 3, 0, 1)


def _principal(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Find eigenvectors `(coils, H, W)` of the largest eigenvalues `(H, W)`, by power iteration."""
    draw = torch.Generator().manual_seed(0)
    vector = torch.randn(*matrices.shape[:-1], 1, dtype=matrices.dtype, generator=draw)
    value = torch.zeros(matrices.shape[:2])
    for _ in range(_POWER_STEPS):
        vector = matrices @ vector
        value = torch.linalg.vector_norm(vector, dim=(-2, -1))
        vector = vector / value.clamp_min(1e-20)[..., None, None]
    return vector[..., 0].permute(2, 0, 1), value


def _leading(matrices: Tensor, start: Tensor, sets: int) -> tuple[Tensor, Tensor]:
    """Find orthonormal maps of the largest eigenvalues, smooth where these are equal.

    Args:
        matrices: G `(H, W, coils, coils)`.
        start: smooth maps `(coils, H, W)`, which the first set is to be near.
        sets: how many.

    Returns:
        Maps `(sets, coils, H, W)`, eigenvalues `(sets, H, W)`, falling.
    """
    values, vectors = torch.linalg.eigh(matrices)
    values, vectors = values.flip(-1)[..., :sets], vectors.flip(-1)[..., :sets]
    # G^n of the start, by its part along each eigenvector: only equal eigenvalues survive
    along = vectors.mH @ start.permute(1, 2, 0).to(vectors.dtype)[..., None]
    along = along * (values.clamp_min(0) / values[..., :1]).pow(_POWER_STEPS)[..., None]
    turn = torch.zeros(*values.shape, sets, dtype=vectors.dtype)
    turn[..., :1] = along
    turn[..., 1:] = torch.eye(sets, dtype=vectors.dtype)[:, 1:]
    # the first column of Q is `along` to a phase, the others are orthogonal to it
    basis, rest = torch.linalg.qr(turn)
    phase = torch.diagonal(rest, dim1=-2, dim2=-1)
    turned = vectors @ (basis * torch.sgn(phase)[..., None, :])
    return turned.permute(3, 2, 0, 1), values.permute(2, 0, 1)


def _supports(eigenvalues: Tensor, crop: float) -> Tensor:
    """Find where each set is seen, with a margin: `(sets, 1, H, W)` of 0 and 1.

    Beyond the border an image goes on at its other side, and so does the margin. Holes are filled
    in the first set alone: others surround the object.
    """
    from scipy import ndimage

    wide = [np.pad(one >= crop, _MARGIN, mode="wrap") for one in eigenvalues.numpy()]
    grown = [ndimage.binary_dilation(one, iterations=_MARGIN) for one in wide]
    inner = np.stack([one[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] for one in grown])
    inner[0] = ndimage.binary_fill_holes(inner[0])
    return torch.from_numpy(inner).float()[:, None]


def _support(eigenvalue: Tensor, crop: float) -> Tensor:
    """Find where the object is, with a margin and without holes, `(H, W)` of 0 and 1.

    On the sides that it fills for the most part it goes on to the border.
    """
    from scipy import ndimage

    inside = ndimage.binary_dilation((eigenvalue >= crop).numpy(), iterations=_MARGIN)
    found = torch.from_numpy(ndimage.binary_fill_holes(inside)).float()
    return _to_the_border(found, least=0.5)


def _to_the_border(planes: Tensor, least: float = 0.0) -> Tensor:
    """`(..., H, W)`, whose outermost sixteenth on each side repeats the line next to it.

    Only on the sides where the mean size of that line is `least` or more.
    """
    planes = planes.clone()
    for axis in (-2, -1):
        lines = planes.movedim(axis, 0)
        width = round(_BORDER * len(lines))
        for band, line in ((lines[:width], lines[width]), (lines[-width:], lines[-width - 1])):
            if width and line.abs().mean() >= least:
                band.copy_(line.expand_as(band))
    return planes


def _data_and_block(
    kspace: Tensor | np.ndarray, mask: Tensor | np.ndarray | None
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Return k-space as complex64 on the CPU, its mask (H, W), the size of its sampled centre."""
    data = as_tensor(kspace).cpu()
    if data.ndim != 3 or not data.is_complex():
        raise UserError(
            "coil maps are estimated from complex k-space (coils, H, W), got "
            f"{tuple(data.shape)} {data.dtype}."
        )
    size = tuple(data.shape[-2:])
    sampled = sampling_pattern(data) if mask is None else as_mask(mask).cpu()
    if sampled.ndim == 1:
        sampled = sampled.expand(size[0], -1)
    if tuple(sampled.shape) != size:
        raise UserError(f"mask has shape {tuple(sampled.shape)}, but k-space is {size} per coil.")
    return data.to(torch.complex64), sampled, calibration_block(sampled)


def _check_lines(block: tuple[int, int], needed: int, what: str) -> None:
    if min(block) < needed:
        raise UserError(
            f"{what} need a fully sampled centre of at least {needed}x{needed}, but this k-space "
            f"has {block[0]}x{block[1]}. Give coil maps in a file, or acquire a calibration block."
        )
