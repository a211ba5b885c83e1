"""Denoisers that a splitting method may plug in; they are never differentiated."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from untrained.classical.block_matching import match_blocks
from untrained.classical.low_rank import BLOCKS, shrink_groups
from untrained.classical.nonlocal_bayes import bayes_denoise
from untrained.classical.nonlocal_means import non_local_means
from untrained.classical.sliding_dct import dct_denoise
from untrained.errors import UserError

Denoiser = Callable[[np.ndarray, float], np.ndarray]
"""Image `(C, H, W)` float32 and the standard deviation of its noise -> image."""


def tv_denoiser(image: np.ndarray, strength: float) -> np.ndarray:
    """Denoise by total variation, joint over the channels (Chambolle 2004, scikit-image).

    Its weight is the noise's standard deviation, which suits natural images within a factor of
    two.
    """
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(image, weight=strength, channel_axis=0)


def nlm_denoiser(image: np.ndarray, strength: float) -> np.ndarray:
    """Denoise by non-local means (Buades et al. 2005, scikit-image), with the settings of DeepRED.

    Patches of 5x5 pixels, distance 6, h = 0.6 strength.
    """
    return non_local_means(image, strength, distance=6, share=0.6)


def lowrank_denoiser(image: Tensor, strength: float) -> Tensor:
    """Denoise one image `(1, C, H, W)` by `shrink_groups`, blocks matched in the image itself."""
    return shrink_groups(image, match_blocks(image, BLOCKS), strength)


DENOISERS: dict[str, Denoiser] = {"nlm": nlm_denoiser, "tv": tv_denoiser}
"""Name -> denoiser; add your own, or name it as `package.module:function`."""

OURS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "dct": dct_denoise,
    "lowrank": lowrank_denoiser,
    "nlbayes": bayes_denoise,
}
"""Those behind our classical answers: one image `(1, C, H, W)`, which stays on its device."""


def find_denoiser(name: str) -> Callable[[Tensor, float], Tensor]:
    """Find a denoiser of images `(G, C, H, W)` by its name.

    Raises:
        UserError: an unknown name, or a module or function that cannot be found.
    """
    if name in OURS:
        ours = OURS[name]
        return lambda images, strength: torch.cat(
            [ours(one, strength) for one in images.detach().split(1)]
        )
    function = DENOISERS.get(name) or _imported(name)

    def denoise(images: Tensor, strength: float) -> Tensor:
        found = [function(one.cpu().numpy(), strength) for one in images.detach()]
        return torch.from_numpy(np.stack(found).astype(np.float32)).to(images.device)

    return denoise


def _imported(name: str) -> Denoiser:
    module, colon, function = name.partition(":")
    if not colon:
        raise UserError(
            f"unknown denoiser '{name}'; known: {', '.join([*DENOISERS, *OURS])}, or "
            "package.module:function"
        )
    try:
        found: Denoiser = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"denoiser '{name}' cannot be imported: {error}") from error
    return found
