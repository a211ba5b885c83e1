"""Untrained networks: frozen descriptions with `build(in_channels, out_channels, dim)`."""

from __future__ import annotations

from typing import Any

from untrained.errors import UserError
from untrained.nets.attention import AttentionUNet
from untrained.nets.compact import Compact
from untrained.nets.decoder import ConvDecoder, DeepDecoder
from untrained.nets.edip import EdipUNet
from untrained.nets.initialise import initialise
from untrained.nets.known import KnownNet
from untrained.nets.no_net import NoNet
from untrained.nets.noise_unet import NoiseUNet
from untrained.nets.randomness import DrawnFrom
from untrained.nets.s2s import S2SNet
from untrained.nets.side_by_side import SideBySide
from untrained.nets.siren import Siren
from untrained.nets.skip import (
    SKIP,
    SKIP_JPEG,
    SKIP_LARGE_HOLE,
    SKIP_LIBRARY,
    SKIP_OES,
    SKIP_SHARED,
    SKIP_TEXT,
    SkipNet,
)
from untrained.nets.surgery import normalisations
from untrained.nets.timenet import TimeNet
from untrained.nets.unet import EXTRA_DEEP_UNET, MEDIUM_UNET, SHALLOW_UNET, UNet
from untrained.nets.unrolled import ModlNet, VarNetNet
from untrained.nets.vcn import VCN
from untrained.nets.wire import Wire

NETS: dict[str, Any] = {
    "skip": SkipNet,
    "unet": UNet,
    "compact": Compact,
    "deepdecoder": DeepDecoder,
    "convdecoder": ConvDecoder,
    "s2s": S2SNet,
    "siren": Siren,
    "wire": Wire,
    "attention_unet": AttentionUNet,
    "edip": EdipUNet,
    "vcn": VCN,
}
"""Name -> description class; its fields are what `--set net.FIELD=VALUE` sets."""


def net_from_dict(values: dict[str, Any]) -> Any:
    """Build a network's description from the dict that `Recipe.to_dict` made of it.

    Raises:
        UserError: an unknown network, or a field that it does not have.
    """
    known = {
        kind.__name__: kind
        for kind in (*NETS.values(), NoiseUNet, ModlNet, VarNetNet, TimeNet, KnownNet)
    }
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "name"}
    if values.get("name") not in known:
        raise UserError(f"unknown network {values.get('name')!r}; known: {', '.join(known)}")
    try:
        return known[values["name"]](**fields)
    except TypeError as error:
        raise UserError(f"the network {values['name']} cannot be made: {error}") from error


__all__ = [
    "EXTRA_DEEP_UNET",
    "MEDIUM_UNET",
    "NETS",
    "SHALLOW_UNET",
    "SKIP",
    "SKIP_JPEG",
    "SKIP_LARGE_HOLE",
    "SKIP_LIBRARY",
    "SKIP_OES",
    "SKIP_SHARED",
    "SKIP_TEXT",
    "VCN",
    "AttentionUNet",
    "Compact",
    "ConvDecoder",
    "DeepDecoder",
    "DrawnFrom",
    "EdipUNet",
    "KnownNet",
    "ModlNet",
    "NoNet",
    "NoiseUNet",
    "S2SNet",
    "SideBySide",
    "Siren",
    "SkipNet",
    "TimeNet",
    "UNet",
    "VarNetNet",
    "Wire",
    "initialise",
    "net_from_dict",
    "normalisations",
]
