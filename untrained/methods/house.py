"""Our own method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.maths import tv
from untrained.methods.inputs import jittered, uniform_input
from untrained.methods.presets import fast


@dataclass(frozen=True)
class House(Method):
    name: ClassVar[str] = "house"
    nonlinear: ClassVar[bool] = True
    rounds: int = 700
    inner: int = 1
    lam: float = 0.0
    jitter: float = 0.03
    channels: int = 32
    amplitude: float = 0.1

    def input_channels(self, image_channels: int) -> int:
        """Depth of z."""
        return self.channels

    def start(self, s: State) -> None:
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        x = s.net(jittered(s, self.jitter))
        terms = {"data": s.problem.misfit(x)}
        if self.lam:
            terms["tv"] = self.lam * tv(x)
        return x, terms


def recipe(task: str, preset: str) -> Recipe:
    return fast(House(), task, preset, "x")
