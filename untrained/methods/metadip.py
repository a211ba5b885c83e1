"""MetaDIP: DIP from a meta-learned initialisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Never
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.inputs import learned_level, uniform_input
from untrained.methods.presets import PHOTOGRAPHS, fast
from untrained.nets import SKIP
from untrained.rules import Average, Last


@dataclass(frozen=True)
class MetaDIPTraining(Method):
    r"""Meta-learning for MetaDIP (Zhang et al., arXiv 2209.08452), by Reptile.

    .. math:: \theta_i = \text{N steps on}\ \|f_{\theta}(z) - x_i\|^2\ \text{from}\ \theta, \qquad
              \theta \leftarrow \theta + \epsilon\, \tfrac1M \sum_i (\theta_i - \theta)

    A start from which a few steps lead to any of M clean images, and so to one of their kind; the
    input z, fixed noise as in DIP, belongs to it. K outer steps.

    The paper published neither code nor settings, and learns the hyper-parameters too. The outer
    step here is first-order (Nichol, Achiam, Schulman 2018), which needs no second derivatives;
    epsilon falls linearly, to a K-th of the first at the last outer step; settings are ours.

    Args:
        rounds: K.
        inner: N.
        epsilon: first outer step.
        channels: depth of z.
        amplitude: z is uniform on [0, amplitude).
    """

    name: ClassVar[str] = "metadip-training"
    rounds: int = 200
    inner: int = 10
    epsilon: float = 0.5
    channels: int = 32
    amplitude: float = 0.1

    def input_channels(self, image_channels: int) -> int:
        """Depth of z."""
        return self.channels

    def within(self, steps: int) -> MetaDIPTraining:
        """epsilon falls over these steps.

        Raises:
            UserError: no whole number of outer steps; what follows the last would be of one image.
        """
        rounds, rest = divmod(steps, self.inner)
        if rest or not rounds:
            raise UserError(
                f"metadip learns in rounds of {self.inner} steps (inner): give a multiple of that "
                f"in place of {steps} steps"
            )
        return replace(self, rounds=rounds)

    def start(self, s: State) -> None:
        """One z and one theta for all images; each trains a copy of theta."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        for name, weight in s.weights.items():
            s[f"theta/{name}"] = weight
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """||f_i(z) - x_i||^2."""
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}

    def advance(self, s: State) -> None:
        """theta <- theta + epsilon mean(theta_i - theta); every copy starts from it again."""
        epsilon = self.epsilon * (1 - (s.step // self.inner - 1) / self.rounds)
        for name, weight in s.weights.items():
            theta = s[f"theta/{name}"]
            s[f"theta/{name}"] = theta + epsilon * (weight - theta).mean(0, keepdim=True)
        s.take_weights({name: s[f"theta/{name}"] for name in s.weights})


@dataclass(frozen=True)
class MetaDIP(Method):
    r"""DIP from a meta-learned start (Zhang et al., arXiv 2209.08452).

    .. math:: \min_\theta \|A\, c f_\theta(z) - y\|^2 \quad\text{from}\ \theta^*\ \text{of
              `MetaDIPTraining`, with its}\ z

    c, found once, is the brightness of the first image that fits y best (`learned_level`; 1 for
    photographs): what was learned from had levels of its own.

    Args:
        rounds: K, optimiser steps.
        channels, amplitude: of z, as in the training.
    """

    name: ClassVar[str] = "metadip"
    nonlinear: ClassVar[bool] = True
    rounds: int = 1000
    inner: int = 1
    channels: int = 32
    amplitude: float = 0.1

    def input_channels(self, image_channels: int) -> int:
        """Depth of z."""
        return self.channels

    def start(self, s: State) -> None:
        """z is that of the training, and c; every weight is trained."""
        s["z"] = s.given_input(uniform_input(s, self.channels, self.amplitude))
        s.train_net()
        s["c"] = learned_level(s)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """||A c f(z) - y||^2."""
        x = s["c"] * s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}


def recipe(task: str, preset: str) -> Recipe:
    """The settings of `preset` on `task`, all ours: the network and rate of DIP."""
    if preset != "paper":
        made = fast(MetaDIP(), task, preset, "DIP from a meta-learned start; settings ours")
        return replace(made, engine=Engine("adam", lr=2e-3, schedule="cosine", final=0.02))
    return Recipe(
        method=MetaDIP(),
        net=SKIP if task in PHOTOGRAPHS else replace(SKIP, sigmoid=False),
        engine=Engine("adam", lr=0.01, precision="fp32"),
        output=Average(decay=0.99, keep_best=False),
        source="Zhang et al. 2022 published no settings: DIP's network and rate, steps ours",
    )


def training(task: str, preset: str) -> Recipe:
    """The settings of the meta-learning, all ours; with the network of `recipe`."""
    made = recipe(task, preset)
    return replace(
        made,
        method=MetaDIPTraining(rounds={"fast": 60}.get(preset, 200)),
        engine=Engine("adam", lr=2e-3 if preset != "paper" else 0.01),
        stop=Never(),
        output=Last(),
        steps=0,
    )
