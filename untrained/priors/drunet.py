"""DRUNet (Zhang et al., TPAMI 2022), in the layout of DPIR's and deepinv's files."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.priors.base import Provenance
from untrained.priors.diffusion import VEDenoiser
from untrained.priors.extra import library
from untrained.priors.fitting import load_exactly

MOST = 50 / 255
"""Largest noise level that the released networks were trained on."""


def is_drunet(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of this layout."""
    return {"m_head.weight", "m_tail.weight", "m_body.0.res.0.weight"} <= tensors.keys()


def build_drunet(tensors: Mapping[str, Tensor], provenance: Provenance) -> VEDenoiser:
    """Build deepinv's network of the sizes that the tensors tell.

    Raises:
        UserError: tensors that make no such network, or deepinv cannot be imported.
    """
    head, tail = tensors["m_head.weight"], tensors["m_tail.weight"]
    if head.ndim != 4 or head.shape[1] != tail.shape[0] + 1:
        raise UserError(
            f"its first kernel is {tuple(head.shape)}; an image of {len(tail)} channels and its "
            "noise level are expected"
        )
    widths = [len(head)]
    for level in (1, 2, 3):  # the last layer of each level halves the sides
        names = [n for n in tensors if re.fullmatch(rf"m_down{level}\.\d+\.weight", n)]
        widths += [len(tensors[name]) for name in names[:1]]
    blocks = len({n.split(".")[1] for n in tensors if n.startswith("m_body.")})
    with torch.device("meta"):
        network = library("deepinv.models").DRUNet(
            in_channels=len(tail),
            out_channels=len(tail),
            nc=tuple(widths),
            nb=blocks,
            pretrained=None,
        )
    load_exactly(network, tensors)
    return VEDenoiser(network, provenance, levels=(0.0, MOST), channels=len(tail), multiple=8)
