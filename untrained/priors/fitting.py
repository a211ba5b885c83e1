"""Put the tensors of a file into a network that was built on torch's meta device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from untrained.errors import UserError


def load_exactly(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set all weights and buffers of a network to tensors, which are not copied.

    A network on the meta device has taken no memory before, so that a file whose shapes claim
    more than it holds is refused before anything is allocated.

    Raises:
        UserError: a name that one side lacks, or shapes that differ; names the first.
    """
    wanted = network.state_dict()
    lacking = wanted.keys() - tensors.keys()
    if lacking:
        raise UserError(f"it lacks '{min(lacking)}', which such a file has")
    strange = tensors.keys() - wanted.keys()
    if strange:
        raise UserError(
            f"it has '{min(strange)}' and {len(strange) - 1} more that such a file has not"
        )
    for name, one in wanted.items():
        if one.shape != tensors[name].shape:
            raise UserError(
                f"its '{name}' is {tuple(tensors[name].shape)}, where {tuple(one.shape)} would fit "
                "the others"
            )
    plain = {
        name: one if not one.is_floating_point() else one.to(torch.float32)
        for name, one in tensors.items()
    }
    network.load_state_dict({name: plain[name] for name in wanted}, assign=True)
