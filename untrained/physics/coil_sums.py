"""What coils see of an image, through one set of sensitivity maps or through several."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.maths import from_components, to_channels, to_complex, to_components


def sets_of(maps: Tensor) -> int:
    """Count the sets of maps `(B, coils, H, W)` or `(B, S, coils, H, W)`."""
    return maps.shape[1] if maps.ndim == 5 else 1


def said_sets(x_shape: tuple[int, ...] | None) -> str:
    """Say how many sets of maps images `(2 S, H, W)` are seen through; "" for one."""
    count = (x_shape or (2,))[0] // 2
    return f", {count} sets of coil maps" if count > 1 else ""


def see_coils(x: Tensor, maps: Tensor) -> Tensor:
    """Compute sum_s S_sc x_s: images `(B, 2 S, H, W)` -> complex `(B, coils, H, W)`."""
    if maps.ndim == 4:
        return to_complex(x)[:, None] * maps
    return (to_components(x)[:, :, None] * maps).sum(1)


def sum_coils(coils: Tensor, maps: Tensor) -> Tensor:
    """Compute sum_c conj(S_sc) x_c: complex `(B, coils, H, W)` -> images `(B, 2 S, H, W)`."""
    if maps.ndim == 4:
        return to_channels((coils * maps.conj()).sum(1))
    return from_components((coils[:, None] * maps.conj()).sum(2))


def support_of(maps: Tensor) -> Tensor | None:
    """Find where coils see the image: 1 or 0, real; None where that is everywhere.

    Args:
        maps: complex `(B, coils, H, W)`, or `(B, S, coils, H, W)`.

    Returns:
        `(B, 1, H, W)`; of several sets `(B, 2 S, H, W)`, since each sees its own part.
    """
    seen = (maps != 0).any(-3)
    found = seen[:, None] if maps.ndim == 4 else seen.repeat_interleave(2, dim=1)
    return None if bool(found.all()) else found.to(maps.real.dtype)


def mean_of_maps(maps: Tensor, support: Tensor | None) -> Tensor:
    """Average sum_c |S_c|^2 over the pixels that some coil sees, for the maps of every image.

    Args:
        maps: complex `(1 or B, coils, H, W)`, zero outside the support; phases do not matter. Of
            several sets `(1 or B, S, coils, H, W)`: the average is over all of them.
        support: as `support_of` found it.

    Returns:
        float64 `(1 or B,)`; 0 where nothing is seen.
    """
    energy = [float(torch.view_as_real(one).double().square().sum()) for one in maps]
    size, sets = maps.shape[-2] * maps.shape[-1], sets_of(maps)
    seen = [size * sets] * len(maps)
    if support is not None:
        seen = [int(one.sum()) * sets // len(one) for one in support]
    means = [e / max(n, 1) for e, n in zip(energy, seen, strict=True)]
    return torch.tensor(means, dtype=torch.float64)
