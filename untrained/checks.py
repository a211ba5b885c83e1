"""Whether measurements, operator and data weighting of a problem agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError

BEYOND_PHOTOGRAPH = 4.0  # [0, 1] plus noise of standard deviation 1 stays below
WEIGHTINGS = ("uniform", "ramp", "half-ramp")


def check_measurements(y: Tensor) -> None:
    """Refuse what is no batch of finite real measurements."""
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
        raise UserError(f"y holds {bad} values that are NaN or infinite; clean it first")


def check_sigma(sigma: float | None) -> float | None:
    """The standard deviation of the noise, if it is one."""
    if sigma is None:
        return None
    try:
        level = math.nan if isinstance(sigma, str) else float(sigma)
    except (TypeError, ValueError, RuntimeError):  # no number, or several
        level = math.nan
    if not 0 <= level < math.inf:
        raise UserError(f"sigma must be a standard deviation, 0 or more, got {sigma}")
    return level


def check_consistent(y: Tensor, physics: Any, x_shape: tuple[int, ...]) -> None:
    """Refuse measurements of another shape than the operator's."""
    probe = torch.zeros(len(y), *x_shape, device=y.device)
    with torch.no_grad():
        got = tuple(_real(physics, "A", physics.A(probe)).shape[1:])
        if getattr(physics, "linear", True):
            _real(physics, "A_adjoint", physics.A_adjoint(torch.zeros_like(y)))
    if got != tuple(y.shape[1:]):
        raise UserError(
            f"y has shape {tuple(y.shape)} but {type(physics).__name__}.A maps an image of shape "
            f"(B, {', '.join(map(str, x_shape))}) to (B, {', '.join(map(str, got))}); "
            "check the operator's settings or the measurement's layout"
        )


def beyond_photograph(sizes: np.ndarray) -> bool:
    """Whether more than a hundredth of these magnitudes lie far outside [0, 1]; noise does not."""
    return float(np.quantile(sizes, 0.99)) > BEYOND_PHOTOGRAPH


def check_unit_range(y: Tensor, task: str) -> None:
    """Refuse photographs whose values lie far outside [0, 1], where they are taken to live."""
    if task not in ("denoise", "inpaint", "superres", "deblur"):
        return
    sizes = y.abs().cpu().numpy()
    if beyond_photograph(sizes):
        raise UserError(
            "photographs are expected in [0, 1], and these reach "
            f"{sizes.max():.4g}; divide them by 255 (8 bit), 65535 (16 bit) or their largest "
            "value, and sigma with them"
        )


def check_weighting(weighting: str, physics: Any) -> str:
    """The weighting, if there is one of that name and the physics can do it."""
    if weighting not in WEIGHTINGS:
        raise UserError(f"unknown data weighting '{weighting}'; known: {', '.join(WEIGHTINGS)}")
    if weighting != "uniform" and not hasattr(physics, "weight"):
        raise UserError(
            f"data weighting '{weighting}' needs a physics with weight(r, name); "
            f"{type(physics).__name__} has none; use weighting='uniform'"
        )
    return weighting


def _real(physics: Any, name: str, values: Any) -> Tensor:
    """What an operator returned, if it is a tensor of real floating values."""
    if isinstance(values, Tensor) and values.is_floating_point():
        return values
    found = f"{values.dtype} values" if isinstance(values, Tensor) else type(values).__name__
    owner = type(getattr(physics, "source", physics)).__name__
    raise UserError(
        f"{owner}.{name} must return a torch tensor of real floating values, got "
        f"{found}; complex values travel as two real channels (untrained.maths.to_channels)"
    )
