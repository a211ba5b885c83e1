"""No network: for methods that fit none, such as samplers of a pre-trained one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class NoNet:
    """Build a network without weights that returns its input, for a method that fits none."""

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        """Return the identity."""
        return nn.Identity()
