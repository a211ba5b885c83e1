"""Masks: read or drawn for simulation, and gaps of pictures. 1 (True) always means measured."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained.errors import UserError


def as_tensor(values: Tensor | np.ndarray) -> Tensor:
    """Return a tensor as it is, an array copied: torch takes no flipped or read-only ones."""
    return values if isinstance(values, Tensor) else torch.as_tensor(np.array(values))


def as_mask(mask: Tensor | np.ndarray, name: str = "mask") -> Tensor:
    """Turn a mask of 0 and 1 (any dtype, any shape) into a bool tensor.

    Raises:
        UserError: a value other than 0 and 1, or nothing measured at all.
    """
    values = as_tensor(mask)
    if values.is_complex():
        raise UserError(f"{name} is complex; it must hold only 0 (missing) and 1 (measured)")
    if values.dtype != torch.bool:
        odd = (values != 0) & (values != 1)
        if bool(odd.any()):
            raise UserError(
                f"{name} must hold only 0 (missing) and 1 (measured), but holds "
                f"{values[odd].flatten()[0].item()!r}. Threshold it first, e.g. `{name} > 0`."
            )
    measured = values.bool()
    if not bool(measured.any()):
        raise UserError(
            f"{name} marks nothing as measured. 1 means measured here; if yours means missing, "
            f"pass `1 - {name}`."
        )
    return measured


def plane_mask(
    mask: Tensor, size: tuple[int, int], name: str, pattern: Tensor | None = None
) -> tuple[Tensor, str]:
    """Bring a mask of k-space to the shape of an image, from any shape that has one meaning.

    Args:
        mask: bool `(H, W)`; `(W,)` or `(1, W)` for whole columns; `(H, 1)` for whole rows, or
            `(W, 1)` for columns; `(coils, H, W)`, the same for all coils; axes of length 1 in
            front of any of these do not count, nor does one behind `(coils or 1, H, W)`.
        size: `(H, W)`.
        name: what it is called in a message.
        pattern: bool `(H, W)`, where k-space is not zero: decides whether `(n, 1)` of a square
            image marks rows or columns; None, or a pattern that fits both alike: columns.

    Returns:
        The mask, bool `(H, W)`, and how a shape other than `(H, W)` and `(W,)` was read, or "".

    Raises:
        UserError: another shape, or masks that differ between the coils.
    """
    found, was = mask, tuple(mask.shape)
    while found.ndim > 2 and len(found) == 1:
        found = found[0]
    if found.ndim > 2 and found.shape[-1] == 1 and found.shape[-2] != 1:
        found = found[..., 0]
    if found.ndim == 3:
        if bool((found != found[:1]).any()):
            raise UserError(
                f"{name} of shape {was} differs between its planes: one mask (H, W) holds for all "
                "coils; give what every coil measured, mask.all(0)"
            )
        found = found[0]
    if found.ndim == 2 and found.shape[1] == 1 and size[1] != 1:
        rows = found.expand(size) if len(found) == size[0] else None
        columns = found[:, 0].expand(size) if len(found) == size[1] else None
        chosen, meant = _rows_or_columns(rows, columns, pattern)
        if chosen is not None:
            return chosen, f"{name} of shape {was} was read as whole {meant}"
    elif found.ndim in (1, 2) and found.shape[-1] == size[1] and found.numel() == size[1]:
        read = "" if mask.ndim == 1 else f"{name} of shape {was} was read as whole columns"
        return found.reshape(1, -1).expand(size), read
    if tuple(found.shape) != size:
        raise UserError(
            f"{name} has shape {was}, but k-space is {size[0]}x{size[1]}: expected {size}, or "
            f"({size[1]},) for columns"
        )
    return found, "" if mask.ndim == 2 else f"{name} of shape {was} was read as one mask (H, W)"


def _rows_or_columns(
    rows: Tensor | None, columns: Tensor | None, pattern: Tensor | None
) -> tuple[Tensor | None, str]:
    """Choose what `(n, 1)` means: what fits, or of both what fits the measured pattern better."""
    if rows is None or columns is None:
        return (columns, "columns") if rows is None else (rows, "rows")
    if pattern is not None and int((rows ^ pattern).sum()) < int((columns ^ pattern).sum()):
        return rows, "rows"
    return columns, "columns"


def vdrs_mask(
    ny: int, acceleration: float = 4.0, center_fraction: float = 0.08, seed: int = 0
) -> Tensor:
    """Draw variable-density columns, the mask of Liang et al. (Self-Guided DIP) and aSeqDIP.

    Of `int(ny / acceleration)` columns, `int(center_fraction * ny)` are the fully sampled centre;
    the rest are drawn without replacement, as many on the left as on the right (an odd one is
    dropped: ny = 368 gives 29 + 2 x 31 = 91 columns).

    Returns:
        bool `(ny,)`, the same for the same seed.
    """
    _check_columns(ny, acceleration, center_fraction)
    lines, centre = int(ny / acceleration), int(center_fraction * ny)
    low, high = (ny - centre) // 2, (ny + centre) // 2
    each_side = (lines - centre) // 2
    if each_side < 0:
        raise UserError(
            f"acceleration {acceleration:g} keeps {lines} of {ny} columns, fewer than the "
            f"{centre} that center_fraction {center_fraction:g} asks for; lower one of the two."
        )
    draw = np.random.default_rng(seed)
    mask = torch.zeros(ny, dtype=torch.bool)
    mask[low:high] = True
    mask[torch.from_numpy(draw.choice(low, each_side, replace=False))] = True
    mask[torch.from_numpy(high + draw.choice(ny - high, each_side, replace=False))] = True
    return mask


def random_mask_columns(
    ny: int, acceleration: float = 4.0, center_fraction: float = 0.08, seed: int = 0
) -> Tensor:
    """Draw uniform columns around a full centre, fastMRI's random mask (Zbontar et al. 2018).

    Every column outside the centre of `round(ny * center_fraction)` is kept with the probability
    that makes the expected number of columns `ny / acceleration`.

    Returns:
        bool `(ny,)`, the same for the same seed.
    """
    _check_columns(ny, acceleration, center_fraction)
    centre = round(ny * center_fraction)
    keep = (ny / acceleration - centre) / max(ny - centre, 1)
    if keep < 0:
        raise UserError(
            f"acceleration {acceleration:g} keeps {ny / acceleration:.0f} of {ny} columns, fewer "
            f"than the {centre} that center_fraction {center_fraction:g} asks for; lower one."
        )
    mask = torch.from_numpy(np.random.default_rng(seed).random(ny) < keep)
    start = (ny - centre + 1) // 2
    mask[start : start + centre] = True
    return mask


def _check_columns(ny: int, acceleration: float, center_fraction: float) -> None:
    if acceleration < 1 or not 0 < center_fraction <= 1 or ny < 2:
        raise UserError(
            "a column mask needs at least 2 columns, acceleration >= 1 and 0 < center_fraction "
            f"<= 1; got ny={ny}, acceleration={acceleration:g}, "
            f"center_fraction={center_fraction:g}."
        )


def sampling_pattern(kspace: Tensor | np.ndarray) -> Tensor:
    """Find the positions where any coil is non-zero: `(..., H, W)` k-space -> bool `(H, W)`.

    Raises:
        UserError: fewer than two axes, or k-space that is zero everywhere.
    """
    data = as_tensor(kspace)
    if data.ndim < 2:
        raise UserError(f"kspace must be (..., H, W), got shape {tuple(data.shape)}.")
    pattern = (data != 0).reshape(-1, *data.shape[-2:]).any(0)
    if not bool(pattern.any()):
        raise UserError("kspace is zero everywhere: there is nothing to reconstruct from.")
    return pattern


def calibration_block(mask: Tensor | np.ndarray) -> tuple[int, int]:
    """Find the size `(rows, columns)` of the largest sampled rectangle around the centre.

    The block of size n along an axis of size N covers `N // 2 - n // 2` up to that plus n, so it
    stays centred where the FFT has its zero frequency. `(0, 0)` if the centre is not sampled.
    For a mask of columns the block has all rows.
    """
    sampled = as_mask(mask)
    if sampled.ndim != 2:
        raise ValueError(f"calibration_block: mask must be (H, W), got {tuple(sampled.shape)}")
    height, width = sampled.shape
    best, n_columns = (0, 0), width
    for n_rows in range(1, height + 1):
        while n_columns and not bool(
            sampled[centre_crop((height, width), (n_rows, n_columns))].all()
        ):
            n_columns -= 1
        if n_rows * n_columns > best[0] * best[1]:
            best = (n_rows, n_columns)
    return best


def one_sided(mask: Tensor) -> tuple[int, int, int] | None:
    """Recognise partial Fourier: k-space that ends early on one side of its centre.

    It does where what is missing at that end is more than an eighth of half the axis and more than
    twice the widest gap elsewhere, so that random masks are none.

    Args:
        mask: bool `(H, W)`.

    Returns:
        The axis (0 rows, 1 columns), and how many positions there are on its shorter and its longer
        side; None where both sides are alike.
    """
    for axis in (0, 1):
        places = mask.any(1 - axis).nonzero().flatten()
        middle, count = mask.shape[axis] // 2, mask.shape[axis]
        if len(places) < 2:
            continue
        sides = sorted((middle - int(places[0]), int(places[-1]) - middle + (count + 1) % 2))
        gap = int(places.diff().max()) - 1
        if sides[1] - sides[0] > max(2 * gap, count // 16) and sides[0] >= 0:
            return axis, sides[0], sides[1]
    return None


def centre_crop(size: tuple[int, int], block: tuple[int, int]) -> tuple[slice, slice]:
    """Make the slices that cut the centred `block` out of an array of `size`."""
    rows, columns = (
        slice(n // 2 - b // 2, n // 2 - b // 2 + b) for n, b in zip(size, block, strict=True)
    )
    return rows, columns


def in_patches(measured: Tensor) -> Tensor:
    """Tell whether pixels are missing in patches and not one by one, a bool of no axes.

    They are where many more of them lie 3 pixels or more from any measured one (5x5 pixels, all
    missing) than if each had been drawn alone.

    Args:
        measured: `(1, *sides)`, 1 or 0.
    """
    axes = measured.ndim - 1
    pool = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}[axes]
    missing = 1 - measured
    inside = missing * (1 - pool(measured[None], 5, 1, 2)[0])
    share = missing.mean()
    return inside.sum() > (share ** (5**axes - 1) + 0.1) * missing.sum()


def moved_patches(measured: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Draw measured pixels that would be missing if the gaps lay elsewhere, a bool `(*sides)`.

    At most `fraction` of the measured pixels: those nearest to one of them, so that what is held
    out is compact where the gaps are.

    Args:
        measured: `(*sides)`, 1 or 0.
        fraction: in (0, 1).
        generator: draws the place.
    """
    shifts = [int(torch.randint(side, (1,), generator=generator)) for side in measured.shape]
    moved = measured.roll(shifts, dims=list(range(measured.ndim)))
    candidates = ((measured > 0) & (moved == 0)).nonzero()
    if len(candidates) == 0:
        return torch.zeros_like(measured, dtype=torch.bool)
    centre = candidates[int(torch.randint(len(candidates), (1,), generator=generator))]
    distance = (candidates - centre).square().sum(1)
    count = max(1, int(fraction * float(measured.sum())))
    held = torch.zeros_like(measured, dtype=torch.bool)
    held[tuple(candidates[distance.argsort(stable=True)[:count]].T)] = True
    return held


def all_along(mask: Tensor) -> tuple[int, ...]:
    """Find the axes along which a mask `(H, W)` does not change."""
    return tuple(i for i in (0, 1) if bool((mask == mask.narrow(i, 0, 1)).all()))


def along_lines(mask: Tensor) -> int | None:
    """Find the axis along which whole lines are measured: 0 of columns, 1 of rows, else None."""
    return next(iter(all_along(mask)), None)
