"""Learned weights that a network starts from, sorted by kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.priors import Prior

INPUT = "input"
"""Name, among learned tensors, of the network's input z that the weights were learned with."""

CHOICE = "@"
"""Mark in the names `WEIGHT@0`, `WEIGHT@1`, ... of learned tensors: several learned values of
one weight, to choose from."""

LOG_RATE = "log rate/"
"""Prefix, in the names of learned tensors, of the natural logarithm of the learning rate that
was learned for the layer named behind it."""


@dataclass(frozen=True)
class StartWeights:
    """Hold weights learned elsewhere, each without the axis G of problems.

    Attributes:
        network: all of the network's weights, or all of its encoder's, by name; empty where a
            network starts at random.
        decoders: values of the other weights, learned from one image each, of which a problem may
            take those that explain its measurements best.
        input: the network's input that belongs to the weights, if there is one.
        log_rates: natural logarithm of the learning rate that was learned for a layer, by name.
        prior: a frozen pre-trained network that the method may ask; it is no start of weights.
    """

    network: dict[str, Tensor] = field(default_factory=dict)
    decoders: tuple[dict[str, Tensor], ...] = ()
    input: Tensor | None = None
    log_rates: dict[str, Tensor] = field(default_factory=dict)
    prior: Prior | None = None

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> StartWeights:
        """Sort the tensors of a file of weights by their names."""
        network: dict[str, Tensor] = {}
        decoders: dict[str, dict[str, Tensor]] = {}
        log_rates: dict[str, Tensor] = {}
        for name, value in tensors.items():
            weight, choice, which = name.partition(CHOICE)
            if choice:
                decoders.setdefault(which, {})[weight] = value
            elif name.startswith(LOG_RATE):
                log_rates[name.removeprefix(LOG_RATE)] = value
            elif name != INPUT:
                network[name] = value
        return cls(network, tuple(decoders.values()), tensors.get(INPUT), log_rates)

    def to(self, device: torch.device | str) -> StartWeights:
        """Return the same weights on a device."""

        def moved(some: Mapping[str, Tensor]) -> dict[str, Any]:
            return {name: value.to(device) for name, value in some.items()}

        return replace(
            self,
            network=moved(self.network),
            decoders=tuple(moved(one) for one in self.decoders),
            input=None if self.input is None else self.input.to(device),
            log_rates=moved(self.log_rates),
            prior=None if self.prior is None else self.prior.to(device),
        )


def check_learned(tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Check that learned weights are all of a network's, or all of its encoder's.

    Args:
        tensors: the learned ones by name, without the axis G of problems.
        weights: the network's, with it.

    Raises:
        UserError: a name or shape that the network does not have, or one that is missing.
    """
    for name, value in tensors.items():
        own = weights.get(name)
        if own is None or own.shape[1:] != value.shape:
            has = "no such weight" if own is None else f"{tuple(own.shape[1:])} there"
            raise UserError(
                f"the pre-trained weights do not fit the network: '{name}' is "
                f"{tuple(value.shape)} in them, and the network has {has}; use the network "
                "and the number of channels that they were trained with"
            )
    encoder = {name for name in weights if name.startswith("encoder.")}
    lacking = (encoder if tensors.keys() <= encoder else weights.keys()) - tensors.keys()
    if tensors and lacking:
        raise UserError(
            f"the pre-trained weights lack {len(lacking)} of the network's, '{min(lacking)}' "
            "among them: the file is damaged, or of another network; learn them anew"
        )
