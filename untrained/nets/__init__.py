"""Untrained networks: frozen descriptions with `build(in_channels, out_channels, dim)`."""

from __future__ import annotations

from untrained.nets.compact import Compact
from untrained.nets.initialise import initialise
from untrained.nets.skip import (
    SKIP,
    SKIP_JPEG,
    SKIP_LARGE_HOLE,
    SKIP_LIBRARY,
    SKIP_SHARED,
    SKIP_TEXT,
    SkipNet,
)
from untrained.nets.unet import EXTRA_DEEP_UNET, MEDIUM_UNET, SHALLOW_UNET, UNet

NETS: dict[str, type[SkipNet] | type[UNet] | type[Compact]] = {
    "skip": SkipNet,
    "unet": UNet,
    "compact": Compact,
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
    "SKIP_SHARED",
    "SKIP_TEXT",
    "Compact",
    "SkipNet",
    "UNet",
    "initialise",
]
