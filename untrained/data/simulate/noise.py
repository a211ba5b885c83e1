"""Noise for pictures: Gaussian, impulse, Poisson and speckle, each with one level."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from untrained.data.parameters import check_seed
from untrained.errors import UserError

LEVELS = {"gaussian": 25.0, "impulse": 0.1, "poisson": 30.0, "speckle": 0.2}
"""The kinds of noise, and the level of each where none is given."""

MOST_PHOTONS = 1e9  # counts stay exact integers in double precision, and noise below 8 bits


def add_noise(x: Tensor, kind: str, level: float, seed: int) -> Tensor:
    """Add noise to a picture, never clipped.

    Args:
        x: picture in [0, 1].
        kind, level: `gaussian`: white noise, level its standard deviation on the 0..255 scale.
            `impulse`: salt and pepper; level is the fraction of values, each channel's on their
            own, that are replaced by 0 or 1 with equal probability. `poisson`: photon counts
            divided by level, the mean count of a white pixel; values below 0 count as 0.
            `speckle`: x (1 + level n) with standard normal n.
        seed: the same seed gives the same noise.

    Raises:
        UserError: an unknown kind, or a level outside its range.
    """
    check_level(kind, level)
    if kind == "gaussian":
        return add_white_noise(x, level / 255, seed)
    draw = np.random.default_rng(check_seed(seed))
    shape = tuple(x.shape)
    if kind == "impulse":
        hit, white = (torch.from_numpy(draw.random(shape)) for _ in range(2))
        return torch.where(hit < level, (white < 0.5).to(x.dtype), x)
    if kind == "poisson":
        counts = draw.poisson(level * x.double().clamp_min(0).numpy())
        return torch.from_numpy(counts / level).to(x.dtype)
    normal = torch.from_numpy(draw.standard_normal(shape)).to(x.dtype)
    return _in_range(x * (1 + level * normal), level)


def add_photon_noise(x: Tensor, photons: float, read_noise: float, seed: int) -> Tensor:
    """Count photons: y = (n + r) / N, n Poisson of mean N x, r normal; x below 0 counts as 0.

    Args:
        x: picture whose white is 1, after the operator.
        photons: N, > 0.
        read_noise: standard deviation of r in photons.
        seed: the same seed gives the same noise.
    """
    draw = np.random.default_rng(check_seed(seed))
    counts = draw.poisson(photons * x.double().clamp_min(0).numpy())
    read = read_noise * draw.standard_normal(tuple(x.shape))
    return torch.from_numpy((counts + read) / photons).to(x.dtype)


def add_white_noise(y: Tensor, level: float, seed: int) -> Tensor:
    """Add white noise of standard deviation `level`, in the units of y."""
    noise = np.random.default_rng(check_seed(seed)).standard_normal(tuple(y.shape))
    return _in_range(y + level * torch.from_numpy(noise).to(y.dtype), level)


def check_level(kind: str, level: float) -> None:
    """Raise a UserError for an unknown kind of noise or a level it cannot have."""
    if kind not in LEVELS:
        raise UserError(f"--noise must be one of {', '.join(LEVELS)}, got '{kind}'")
    meaning, fits = {
        "gaussian": ("a standard deviation >= 0 on the 0..255 scale", 0 <= level < math.inf),
        "impulse": ("a fraction of the values, from 0 to 1", 0 <= level <= 1),
        "poisson": ("the photon count of a white pixel, > 0 to 1e9", 0 < level <= MOST_PHOTONS),
        "speckle": ("a relative standard deviation >= 0", 0 <= level < math.inf),
    }[kind]
    if not fits:
        raise UserError(f"--level of {kind} noise is {meaning}; got {level:g}")


def _in_range(y: Tensor, level: float) -> Tensor:
    if not bool(y.isfinite().all()):
        raise UserError(f"noise of standard deviation {level:g} exceeds single precision")
    return y
