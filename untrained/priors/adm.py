"""ADM (Dhariwal and Nichol 2021) in the layout of guided diffusion: FFHQ, ImageNet, DDS's MRI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.priors.base import Provenance
from untrained.priors.diffusion import PLAIN, SYMMETRIC, VPDenoiser, linear_schedule
from untrained.priors.extra import library
from untrained.priors.fitting import load_exactly

FIRST, LAST = "input_blocks.0.0.weight", "out.2.weight"
SIDE = 1024  # of an image, which the network's layers do not depend on
HEAD = 64
"""Channels of an attention head in all of the public unconditional files; shapes do not tell it."""


def is_adm(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of guided diffusion."""
    return {FIRST, LAST, "time_embed.0.weight", "middle_block.0.in_layers.0.weight"} <= set(tensors)


def build_adm(tensors: Mapping[str, Tensor], provenance: Provenance) -> VPDenoiser:
    """Build azula's copy of the network, of the sizes that the tensors tell.

    Raises:
        UserError: tensors that make no such network, one that is told the class of an image, or
            azula cannot be imported.
    """
    if "label_emb.weight" in tensors:
        raise UserError(
            "it is told the class of an image, which is not known here; take the unconditional one"
        )
    sizes = _sizes(tensors)
    channels = int(sizes["image_channels"])
    with torch.device("meta"):
        network: nn.Module = library("azula.plugins.adm").make_model(**sizes).backbone
    load_exactly(network, tensors)
    return VPDenoiser(
        network,
        provenance,
        schedule=linear_schedule(1e-4, 0.02, 1000),
        channels=channels,
        units=PLAIN if channels == 2 else SYMMETRIC,
        multiple=2 ** (len(sizes["channel_mult"]) - 1),
    )


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments off names and shapes.

    Where the sides double, an output block has a layer more; so many blocks belong to a level.
    """
    first, last = tensors[FIRST], tensors[LAST]
    width, channels = first.shape[:2]
    if len(last) not in (channels, 2 * channels):
        raise UserError(f"it takes {channels} channels and gives {len(last)}")
    doubling = [i for i in range(_count(tensors, "output_blocks")) if _doubles(tensors, i)]
    if not doubling:
        raise UserError("no block of it doubles the sides, as every such network has")
    blocks, levels = doubling[0], len(doubling) + 1
    steps = blocks + 1  # input blocks of a level, with the one that halves the sides
    starts = [1 + level * steps for level in range(levels)]
    outputs = [len(tensors[f"input_blocks.{i}.0.in_layers.2.weight"]) for i in starts]
    scales = [n / width for n in outputs]
    embedding = tensors["input_blocks.1.0.emb_layers.1.weight"]
    return {
        "image_channels": channels,
        "image_size": SIDE,
        "num_channels": width,
        "channel_mult": tuple(int(s) if s == int(s) else s for s in scales),
        "num_res_blocks": blocks,
        "attention_resolutions": tuple(
            SIDE // 2**level
            for level, i in enumerate(starts)
            if f"input_blocks.{i}.1.qkv.weight" in tensors
        ),
        "learn_var": len(last) == 2 * channels,
        "num_head_channels": HEAD if outputs[-1] % HEAD == 0 else outputs[-1],
        "resblock_updown": f"input_blocks.{steps}.0.op.weight" not in tensors,
        "use_scale_shift_norm": len(embedding) == 2 * outputs[0],
    }


def _count(tensors: Mapping[str, Tensor], part: str) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith(f"{part}.")})


def _doubles(tensors: Mapping[str, Tensor], block: int) -> bool:
    """Tell whether the sides double after an output block: a second residual block, or a conv."""
    inside = re.compile(rf"output_blocks\.{block}\.[12]\.(in_layers\.0|conv)\.weight")
    return any(inside.fullmatch(name) for name in tensors)
