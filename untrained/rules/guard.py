"""Guards: return to an earlier state when a run goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.rule import Guard, Memory
from untrained.core.state import State


@dataclass(frozen=True)
class Rollback(Guard):
    """The rollback of DIP, SGLD and Rethinking-DIP: undo a sudden fall of the fit.

    If the data term's PSNR (to the measurements, never to a reference) falls by more than
    `drop` dB below the last stored one, the weights return to the stored ones; otherwise they are
    stored, every `every` steps. The optimiser's own memory is left alone, as in the authors'
    code.

    Args:
        drop: fall in dB that counts as a failure.
        every: steps between two looks.
    """

    name: ClassVar[str] = "rollback"
    drop: float = 5.0
    every: int = 1

    def start(self, s: State, m: Memory) -> None:
        """Set the stored data term to infinity: no weights are stored yet."""
        m["level"] = torch.full((s.size,), float("inf"), device=s.device)

    def see(self, s: State, m: Memory, terms: dict[str, Tensor]) -> None:
        """Store the weights, or restore the stored ones where the data term rose too much.

        The data term is that of the weights as they are, before the optimiser's update.
        """
        if (s.step + 1) % self.every:
            return
        data = terms["data"]
        failed = data > m["level"] * 10 ** (self.drop / 10)
        for name, weight in s.weights.items():
            if f"w/{name}" not in m:
                m[f"w/{name}"] = weight
                continue
            stored = m[f"w/{name}"]
            bad = _like(failed, weight)
            with torch.no_grad():
                kept = torch.where(bad, stored, weight)
                weight.copy_(kept)
                if weight.grad is not None:  # of the weights that failed
                    weight.grad.masked_fill_(bad, 0.0)
            m[f"w/{name}"] = kept
        m["level"] = torch.where(failed, m["level"], data)


def _like(flag: Tensor, tensor: Tensor) -> Tensor:
    return flag.reshape(-1, *[1] * (tensor.ndim - 1))
