"""A network that was trained elsewhere, as the start of a further training."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from untrained.errors import UserError


@dataclass(frozen=True)
class KnownNet:
    """Describe a network that exists already; `of` makes one, and `build` copies it.

    Args:
        architecture: what it is.
        parameters: how many weights it has.
    """

    architecture: str
    parameters: int

    @classmethod
    def of(cls, module: nn.Module, architecture: str) -> KnownNet:
        """Describe a module; its weights are what a training starts from."""
        made = cls(architecture, sum(one.numel() for one in module.parameters()))
        object.__setattr__(made, "_module", module)
        return made

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        """Copy the network; nothing of it is drawn (see `initialise`).

        Raises:
            UserError: this is the description alone, as a file of weights has it.
        """
        module = getattr(self, "_module", None)
        if module is None:
            raise UserError(f"the network {self.architecture} is described, and not there")
        copied: nn.Module = copy.deepcopy(module).requires_grad_(True)
        copied.drawn_elsewhere = True  # type: ignore[assignment]
        # to be counted only (see solver/memory.py)
        return copied.to("meta") if torch.get_default_device().type == "meta" else copied
