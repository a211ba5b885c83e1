"""Coil sensitivity maps from the fully sampled centre of k-space."""

from __future__ import annotations

import math
from importlib.util import find_spec
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

# Below 8 lines ESPIRiT fits the data worse than low-resolution maps (measured on brain data).
_ESPIRIT_LINES = 8
_LOWRES_LINES = 4


def estimate_maps(
    kspace: Tensor | np.ndarray,
    mask: Tensor | np.ndarray | None = None,
    how: Literal["auto", "espirit", "lowres"] = "auto",
) -> tuple[Tensor, How]:
    """Maps by the best method at hand, and which one it was.

    `auto` takes ESPIRiT where sigpy is installed and the centre block is large enough for it,
    otherwise low-resolution maps.

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.
        mask: `(H, W)` or `(W,)`; None takes the non-zero pattern.
        how: `auto`, `espirit` or `lowres`.

    Returns:
        (maps, how_used): maps as of `espirit_maps` or `lowres_maps`.

    Raises:
        UserError: an unknown `how`, no usable centre block, or sigpy asked for and missing.
    """
    if how not in ("auto", "espirit", "lowres"):
        raise UserError(f"maps must be 'auto', 'espirit' or 'lowres', got {how!r}.")
    if how == "auto":
        *_, block = _data_and_block(kspace, mask)
        fits = min(block) >= _ESPIRIT_LINES and find_spec("sigpy") is not None
        how = "espirit" if fits else "lowres"
    if how == "espirit":
        return espirit_maps(kspace, mask), "espirit"
    return lowres_maps(kspace, mask), "lowres"


def lowres_maps(
    kspace: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None, width: int = 24
) -> Tensor:
    """Low-resolution coil images divided by their root sum of squares.

    The centre block, at most `width` x `width`, is weighted by a Hann window and transformed.
    Outside the object, where the quotient is noise, the maps continue smoothly from inside.
    sum_c |S_c|^2 = 1 everywhere. The maps carry the low-resolution phase of the object, so an
    image combined with them is nearly real.

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
    return _extended(images / strength.clamp_min(1e-20), inside)


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
    kspace: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None, width: int = 24
) -> Tensor:
    """ESPIRiT maps (Uecker et al., MRM 71, 2014), one set, computed by sigpy.

    sum_c |S_c|^2 = 1 everywhere: nothing is cut off outside the object, where an image would
    otherwise be free. ESPIRiT leaves one phase per pixel open; it is taken from `lowres_maps`, so
    that an image is nearly real here too (the phase of any one coil has singularities).

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.
        mask: `(H, W)` or `(W,)`; None takes the non-zero pattern.
        width: largest side of the square block used; smaller if less is fully sampled.

    Returns:
        complex64 torch tensor `(coils, H, W)` on the CPU.

    Raises:
        UserError: sigpy is missing, k-space of another shape, or fewer than 8 fully sampled
            central lines.
    """
    try:
        from sigpy.mri.app import EspiritCalib
    except ImportError as error:
        raise UserError(
            "ESPIRiT coil maps need sigpy, which is not installed: "
            "pip install 'untrained[mri]', or take maps='lowres'."
        ) from error
    data, sampled, block = _data_and_block(kspace, mask)
    lines = min(*block, width)
    _check_lines(block, _ESPIRIT_LINES, "ESPIRiT maps")
    crop = centre_crop((data.shape[-2], data.shape[-1]), (lines, lines))
    # sigpy divides by the first coil's map: the principal coil cannot be a dead one.
    components, _, _ = torch.linalg.svd(data[:, crop[0], crop[1]].flatten(1), full_matrices=False)
    virtual = torch.einsum("cv,chw->vhw", components.conj(), data)
    app = EspiritCalib(
        virtual.numpy(),
        calib_width=lines,
        kernel_width=min(6, lines // 2),
        crop=0,
        max_iter=30,
        show_pbar=False,
    )
    maps = torch.einsum("cv,vhw->chw", components, torch.from_numpy(app.run()))
    if not bool(torch.view_as_real(maps).isfinite().all()):
        raise UserError(
            "ESPIRiT found no coil maps in the centre of this k-space (is it empty or constant?); "
            "try maps='lowres'."
        )
    agreement = (maps.conj() * lowres_maps(data, sampled, width)).sum(0)
    return (maps * torch.polar(torch.ones_like(agreement.real), agreement.angle())).to(
        torch.complex64
    )


def _data_and_block(
    kspace: Tensor | np.ndarray, mask: Tensor | np.ndarray | None
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """k-space as complex64 on the CPU, its mask (H, W), the size of its fully sampled centre."""
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
