"""Output rules: which image is returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from untrained.core.rule import Memory, Output
from untrained.core.state import State


@dataclass(frozen=True)
class Average(Output):
    r"""Exponential average of the images, :math:`\bar x_t = d\,\bar x_{t-1} + (1-d)\,x_t`.

    The start is bias-corrected: until 1/(1-d) steps have passed it is the plain mean, so that a
    short run is not pulled towards its first image. It averages away the jitter of the input and
    the noise of the optimiser, and costs nothing.

    Args:
        decay: d in [0, 1).
        keep_best: return the average at the stop rule's best step instead of the newest one.
    """

    name: ClassVar[str] = "average"
    decay: float = 0.95
    keep_best: bool = True

    def start(self, s: State, m: Memory) -> None:
        """Nothing until the first image."""

    def see(self, s: State, m: Memory, x: Tensor) -> Tensor:
        """The average, this image included."""
        share = max(1.0 - self.decay, 1.0 / (s.step + 1))
        m["mean"] = x if "mean" not in m else m["mean"].lerp(x, share)
        return m["mean"]
