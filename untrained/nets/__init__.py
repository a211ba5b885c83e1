"""Untrained networks: frozen descriptions with `build(in_channels, out_channels, dim)`."""

from __future__ import annotations

from typing import Any

from untrained.nets.compact import Compact
from untrained.nets.decoder import ConvDecoder, DeepDecoder
from untrained.nets.initialise import initialise
from untrained.nets.s2s import S2SNet
from untrained.nets.side_by_side import SideBySide
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
from untrained.nets.unet import EXTRA_DEEP_UNET, MEDIUM_UNET, SHALLOW_UNET, UNet

NETS: dict[str, Any] = {
    "skip": SkipNet,
    "unet": UNet,
    "compact": Compact,
    "deepdecoder": DeepDecoder,
    "convdecoder": ConvDecoder,
    "s2s": S2SNet,
}
"""Name -> description class; its fields are what `--set net.FIELD=VALUE` sets."""

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
    "Compact",
    "ConvDecoder",
    "DeepDecoder",
    "S2SNet",
    "SideBySide",
    "SkipNet",
    "UNet",
    "initialise",
    "normalisations",
]
