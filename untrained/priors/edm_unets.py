"""NCSN++, DDPM++ and ADM networks with EDM's preconditioning, as EDM and InverseBench name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.priors.base import Provenance
from untrained.priors.diffusion import PLAIN, SYMMETRIC, VEDenoiser
from untrained.priors.extra import library
from untrained.priors.fitting import load_exactly

LEVELS = (0.002, 80.0)
DEVIATION = 0.5
"""Noise levels and standard deviation of the data in EDM's settings, which stand in no file."""
CONV = re.compile(r"enc\.(\d+)x\1_conv\.weight")
PREFIX = "model."


class _Ranged(nn.Module):
    """Ask a network of deepinv in its own range of values."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inside = network

    def forward(self, v: Tensor, sigma: Tensor) -> Tensor:
        clean: Tensor = self.inside(v, sigma, input_in_minus_one_one=True)
        return clean


def is_ncsnpp(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether these are NCSN++ or DDPM++: the decoder ends inside `dec`."""
    names = _plain(tensors)
    return _begins(names) and any(name.endswith("_aux_conv.weight") for name in names)


def is_admunet(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether this is ADM's network with EDM's names: it ends with `out_conv`."""
    names = _plain(tensors)
    return _begins(names) and "out_conv.weight" in names


def build_ncsnpp(tensors: Mapping[str, Tensor], provenance: Provenance) -> VEDenoiser:
    """Build deepinv's NCSNpp of the sizes that the tensors tell.

    Raises:
        UserError: tensors that make no such network, or deepinv cannot be imported.
    """
    plain = _plain(tensors)
    sizes = _sizes(plain)
    last = next(one for name, one in plain.items() if name.endswith("_aux_conv.weight"))
    kind = "ncsn" if any("aux_residual" in name for name in plain) else "ddpm"
    with torch.device("meta"):
        network = library("deepinv.models").NCSNpp(model_type=kind, out_channels=len(last), **sizes)
    return _denoiser(network, plain, provenance, sizes)


def build_admunet(tensors: Mapping[str, Tensor], provenance: Provenance) -> VEDenoiser:
    """Build deepinv's ADMUNet of the sizes that the tensors tell; raises as `build_ncsnpp`."""
    plain = _plain(tensors)
    sizes = _sizes(plain)
    with torch.device("meta"):
        network = library("deepinv.models").ADMUNet(
            out_channels=len(plain["out_conv.weight"]), **sizes
        )
    return _denoiser(network, plain, provenance, sizes)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the prefix of the preconditioning around the network."""
    inside = all(name.startswith(PREFIX) for name in tensors)
    return {name.removeprefix(PREFIX) if inside else name: one for name, one in tensors.items()}


def _begins(names: Mapping[str, Tensor]) -> bool:
    return "map_layer0.weight" in names and any(CONV.fullmatch(name) for name in names)


def _sizes(plain: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments that both networks have off names and shapes."""
    first = next(name for name in plain if CONV.fullmatch(name))
    side = int(CONV.fullmatch(first)[1])  # type: ignore[index]
    width, inputs = plain[first].shape[:2]
    if "map_label.weight" in plain:
        raise UserError("it is told the class of an image, which is not known here")
    blocks = {
        (int(found[1]), int(found[2]))
        for found in (re.match(r"enc\.(\d+)x\d+_block(\d+)\.", name) for name in plain)
        if found
    }
    sides = sorted({level for level, _ in blocks}, reverse=True)
    if sides != [side >> level for level in range(len(sides))]:
        raise UserError(f"the sides of its levels are {sides}, and each is half of the one before")
    count = sum(level == side for level, _ in blocks)
    outputs = [len(plain[f"enc.{s}x{s}_block0.conv0.weight"]) for s in sides]
    return {
        "img_resolution": side,
        "in_channels": inputs,
        "model_channels": width,
        "channel_mult": tuple(n // width for n in outputs),
        "channel_mult_emb": len(plain["map_layer0.weight"]) // width,
        "num_blocks": count,
        "attn_resolutions": tuple(s for s in sides if f"enc.{s}x{s}_block0.qkv.weight" in plain),
        "augment_dim": plain["map_augment.weight"].shape[1] if "map_augment.weight" in plain else 0,
        "dropout": 0.0,
        "pretrained": None,
        "pixel_std": DEVIATION,
        "_was_trained_on_minus_one_one": True,
    }


def _denoiser(
    network: nn.Module, plain: Mapping[str, Tensor], provenance: Provenance, sizes: dict[str, Any]
) -> VEDenoiser:
    """Load the weights; complex images are in units of their own, others in [-1, 1]."""
    load_exactly(network, plain)
    channels = int(sizes["in_channels"])
    return VEDenoiser(
        _Ranged(network),
        provenance,
        levels=LEVELS,
        channels=channels,
        units=PLAIN if channels == 2 else SYMMETRIC,
        multiple=2 ** (len(sizes["channel_mult"]) - 1),
    )
