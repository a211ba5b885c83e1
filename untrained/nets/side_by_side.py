"""Several networks as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SideBySide(nn.Module):
    """Networks that share nothing: each gets its part of the channels, the outputs are joined."""

    def __init__(self, copies: Sequence[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        if hasattr(copies[0], "input_sides"):  # a decoder's coarse input
            self.input_sides = copies[0].input_sides

    def forward(self, z: Tensor) -> Tensor:
        """Map `(B, n C, ...)` to `(B, n C', ...)`, each network its part of the channels."""
        parts = zip(self.copies, z.chunk(len(self.copies), dim=1), strict=True)
        return torch.cat([network(part) for network, part in parts], dim=1)
