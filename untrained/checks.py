"""Check values given in Python: finite numbers, shapes, ranges, options that fit each other."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError, shown

BEYOND_PHOTOGRAPH = 4.0  # [0, 1] plus noise of standard deviation 1 stays below
WILD = 10.0
LEAST_NOISE, MOST_NOISE = 1e-12, 1e6
LARGEST_RATIO = 1e8
SAMPLED = 1_000_000  # a percentile of this many values is precise enough


def whole(name: str, value: float, least: int, most: int | None = None) -> int:
    """Return `value` as an integer from `least` to `most`; UserError naming `name` otherwise."""
    try:
        number = math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        number = False
    if not number or int(value) != value or value < least:
        raise UserError(f"{name} must be a whole number of at least {least}, got {shown(value)}")
    if most is not None and value > most:
        raise UserError(f"{name} must be at most {most:,}, got {shown(int(value))}")
    return int(value)


def check_measurements(y: Tensor) -> None:
    """Refuse a y that is not a batch `(B, ...)` of finite real measurements."""
    if not isinstance(y, Tensor):
        raise UserError(
            f"y must be a torch tensor with a batch axis, got {type(y).__name__}; "
            "convert an array with torch.from_numpy(y)"
        )
    if y.is_complex():
        raise UserError(
            "y is complex: complex measurements travel as two real channels (B, 2, ...); "
            "convert with untrained.maths.to_channels(y)"
        )
    if y.ndim < 2 or y.numel() == 0:
        raise UserError(f"y must be (B, ...) with at least one measurement, got {tuple(y.shape)}")
    bad = int((~torch.isfinite(y)).sum())
    if bad:
        raise UserError(
            f"y holds {bad} values that are NaN or infinite; replace them, or leave them "
            "out by a mask (of a picture: `physics.Inpaint`)"
        )


def check_contents(y: Tensor) -> None:
    """Refuse measurements that are all zero, or of which a few dwarf all others.

    Single precision holds seven digits: beside a value LARGEST_RATIO times as large as 99 % of
    the rest, the rest is lost to rounding, and squares may overflow. Such a value marks missing
    data, or is a bad sample.

    Raises:
        UserError: names the problem of the batch, or the value and its index.
    """
    for index, one in enumerate(y):
        if not bool(one.any()):
            which = f" of problem {index}" if len(y) > 1 else ""
            raise UserError(
                f"the measurements{which} are zero everywhere: there is nothing to reconstruct from"
            )
    sizes = y.abs().flatten()
    sample = sizes[:: max(1, sizes.numel() // SAMPLED)]
    sample = sample[sample > 0]
    if not sample.numel():
        return
    usual = float(sample.kthvalue(max(1, math.ceil(0.99 * sample.numel()))).values)
    largest = int(sizes.argmax())
    # without the exceptions themselves, where there are few numbers
    usual = min(usual, float(sample.median()) * LARGEST_RATIO)
    if float(sizes[largest]) > LARGEST_RATIO * usual:
        at = tuple(int(i) for i in np.unravel_index(largest, tuple(y.shape)))
        count = int((sizes > LARGEST_RATIO * usual).sum())
        raise UserError(
            f"{count} measurement{'s are' if count > 1 else ' is'} over {LARGEST_RATIO:.0e} times "
            f"as large as the rest ({float(y.flatten()[largest]):.3g} at index {at}, the rest up "
            f"to {usual:.3g}), as values for missing data are; leave them out or replace them"
        )


def wild(values: np.ndarray) -> np.ndarray:
    """Mark invalid values of a photograph: NaN, infinite, or far outside [0, 1].

    Noise stays: up to 10, and up to eight times what 99 % of the values stay below. Hot pixels and
    the values that stand for missing data do not.

    Returns:
        bool, of the same shape.
    """
    with np.errstate(invalid="ignore"):
        sizes = np.abs(values)
        finite = np.isfinite(sizes)
        usual = float(np.quantile(sizes[finite], 0.99)) if finite.any() else 0.0
        usual = min(usual, BEYOND_PHOTOGRAPH)
        return ~finite | (sizes > max(WILD, 8 * usual))


def require_tame(values: np.ndarray, label: str, offer: str) -> None:
    """Refuse a photograph with values far outside [0, 1]; say where, and what can be done.

    Raises:
        UserError: `label`, how many, the first of them and its index, and `offer`.
    """
    bad = wild(values)
    count = int(bad.sum())
    if not count:
        return
    first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    raise UserError(
        f"{label} holds {count} value{'s' if count > 1 else ''} far outside [0, 1] "
        f"({values[first]:.3g} first, at index {first}), as hot pixels and values for missing data "
        f"are; {offer}"
    )


def check_sigma(sigma: float | None) -> float | None:
    """Return `sigma`, a standard deviation, as a float; None stays None.

    Raises:
        UserError: it is negative, infinite or no number.
    """
    if sigma is None:
        return None
    try:
        level = math.nan if isinstance(sigma, str) else float(sigma)
    except (TypeError, ValueError, RuntimeError):  # no number, or several
        level = math.nan
    if not 0 <= level < math.inf:
        raise UserError(f"sigma must be a standard deviation, 0 or more, got {shown(sigma)}")
    return level


def relative_sigma(sigma: float, scale: float) -> float:
    """Divide a noise level by `scale`, as the measurements are.

    Raises:
        UserError: it is out of all proportion to the measurements, or cannot be told from 0.
    """
    level = sigma / scale
    if level > MOST_NOISE or 0 < level < LEAST_NOISE:
        raise UserError(
            f"sigma is {sigma:g}, {level:.1e} times the level of the measurements; it is a "
            "standard deviation in their units (on the command line 0..255 for photographs): "
            f"expected 0, or {LEAST_NOISE:g} to {MOST_NOISE:g} times their level"
        )
    return level


def beyond_photograph(sizes: np.ndarray) -> bool:
    """Return whether over 1 % of the magnitudes lie far outside [0, 1], further than noise does."""
    return float(np.quantile(sizes, 0.99)) > BEYOND_PHOTOGRAPH


def check_unit_range(y: Tensor) -> None:
    """Refuse photographs whose values lie far outside [0, 1], the range expected of them."""
    sizes = y.abs().cpu().numpy()
    if beyond_photograph(sizes):
        raise UserError(
            "photographs are expected in [0, 1], and these reach "
            f"{sizes.max():.4g}; divide them by 255 (8 bit), 65535 (16 bit) or their largest "
            "value, and sigma with them"
        )
    require_tame(
        y.cpu().numpy(), "y", "clip them, or take them for missing (`physics.Inpaint` with a mask)"
    )


def check_guide(guide: Tensor, x_shape: tuple[int, ...]) -> Tensor:
    """Check clean images of similar content, and give a magnitude its second channel.

    Args:
        guide: `(M, C, ...)`; `(M, 1, ...)` will do where images have two channels.
        x_shape: shape of an image without the batch axis.

    Returns:
        `(1, M, C, ...)`, in the units that they came in.

    Raises:
        UserError: another shape than the image's, or values that are not finite.
    """
    if x_shape[0] == 2 and guide.ndim == len(x_shape) + 1 and guide.shape[1] == 1:
        guide = torch.cat([guide, torch.zeros_like(guide)], dim=1)
    if guide.ndim != len(x_shape) + 1 or tuple(guide.shape[1:]) != x_shape:
        raise UserError(
            f"the guide has shape {tuple(guide.shape)}, but the image is {x_shape}; give "
            "clean images (M, C, ...) of the very size of the reconstruction"
        )
    if not bool(guide.isfinite().all()):
        raise UserError("the guide holds NaN or infinite values; clean it first")
    return guide.float()[None]
