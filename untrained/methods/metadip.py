"""MetaDIP: DIP from a meta-learned start, with meta-learned rates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Never
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import CLEAN_IMAGES, LOW_DATA, WEIGHTS, Card, Training
from untrained.methods.inputs import learned_level, uniform_input
from untrained.methods.presets import fast
from untrained.nets import SKIP
from untrained.rules import Average, Last
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class MetaDIPTraining(Method):
    r"""Meta-learning for MetaDIP (Zhang et al., arXiv 2209.08452).

    .. math:: \min_{\theta, \alpha} \sum_{i=1}^M \|f_{\theta_i^N}(z) - x_i\|^2, \qquad
              \theta_i^0 = \theta, \quad \theta_i^{j+1} = \theta_i^j - \alpha_\ell\,
              \nabla_\theta \|f_{\theta_i^j}(z) - x_i\|^2

    A start theta from which N steps of gradient descent lead to any of M clean images, and so to
    one of their kind, and with it the rate alpha_l of every layer l (a kernel with its offsets),
    learned by the optimiser of the recipe in K outer steps. The input z, fixed noise as in DIP,
    belongs to them.

    The paper published neither code nor settings; they are ours. The gradients of the inner steps
    count as constants in the outer one (first-order MAML, Finn, Abbeel, Levine 2017), which keeps
    one inner step in memory in place of N; `second=true` differentiates them too. What is learned
    of alpha is its logarithm, so that it stays positive.

    Args:
        rounds: K.
        adapt: N.
        first: alpha of every layer at the beginning.
        ratio: rate of log alpha relative to that of theta.
        second: whether the gradients of the inner steps are differentiated.
        channels: depth of z.
        amplitude: z is uniform on [0, amplitude).
    """

    name: ClassVar[str] = "metadip-training"
    rounds: int = 200
    inner: int = 1
    adapt: int = 10
    first: float = 0.02
    ratio: float = 10.0
    second: bool = False
    channels: int = 32
    amplitude: float = 0.1

    def __post_init__(self) -> None:
        if self.adapt < 1 or not self.first > 0 or not self.ratio >= 0:
            raise UserError(
                "metadip learns with adapt of at least 1, first above 0 and ratio of at least 0, "
                f"got {self.adapt}, {self.first} and {self.ratio}"
            )

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels

    def start(self, s: State) -> None:
        """Share one z, one theta and one alpha among all images."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.share(list(s.weights))
        s.train_net()
        s.learn_rates(self.first, self.ratio)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||f_i(z) - x_i||^2 after the N inner steps of every image."""
        alpha = s.learned_rates()
        theta = {n: s.weights[n].expand(s.size, *s.weights[n].shape[1:]) for n in alpha}
        for _ in range(self.adapt):
            cost = s.problem.misfit(s.net(s["z"], theta)).sum()
            gradient = torch.autograd.grad(cost, list(theta.values()), create_graph=self.second)
            theta = {n: w - alpha[n] * g for (n, w), g in zip(theta.items(), gradient, strict=True)}
        x = s.net(s["z"], theta)
        return x, {"data": s.problem.misfit(x)}


@dataclass(frozen=True)
class MetaDIP(Method):
    r"""DIP from a meta-learned start (Zhang et al., arXiv 2209.08452).

    .. math:: \min_\theta \|A\, c f_\theta(z) - y\|^2 / c^2 \quad\text{by}\quad \theta \leftarrow
              \theta - \alpha_\ell\, \nabla_\theta \|A\, c f_\theta(z) - y\|^2 / c^2, \qquad
              \theta, \alpha, z\ \text{of `MetaDIPTraining`}

    The engine is gradient descent (`sgd`) whose rate, 1, is multiplied by alpha_l in every layer l:
    on one of the images learned from, the first N steps are those of the training. The data term is
    divided by ||A||^2, so that no operator asks for smaller steps than the identity learned with.

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
        """Count the channels of z."""
        return self.channels

    def start(self, s: State) -> None:
        """z is that of the training, and c; every weight is trained, at the rate of its layer."""
        s["z"] = s.given_input(uniform_input(s, self.channels, self.amplitude))
        for weight, rate in s.given_rates().items():
            s.train_net(rate, only=[weight])
        s["c"] = learned_level(s)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A c f(z) - y||^2 / c^2."""
        x = s["c"] * s.net(s["z"])
        return x, {"data": s.problem.misfit(x, "norm") / s["c"].flatten().square()}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    All ours: the network of DIP, and rates as learned.
    """
    if preset != "paper":
        made = fast(MetaDIP(), task, preset, "the learned start and rates; settings ours")
        return replace(made, engine=Engine("sgd", lr=1.0))
    return Recipe(
        method=MetaDIP(),
        net=SKIP if find_task(task).unit_range else replace(SKIP, sigmoid=False),
        engine=Engine("sgd", lr=1.0, precision="fp32"),
        output=Average(decay=0.99, keep_best=False),
        source="Zhang et al. 2022 published no settings: DIP's network, learned rates, our steps",
    )


def training(task: str, preset: str) -> Recipe:
    """Return the settings of the meta-learning, all ours; with the network of `recipe`."""
    paper = preset == "paper"
    return replace(
        recipe(task, preset),
        # larger steps for the compact network; without its sigmoid, DIP's diverges at 0.05
        method=MetaDIPTraining(60 if preset == "fast" else 200, first=0.02 if paper else 0.05),
        engine=Engine("adam", lr=1e-3, precision="fp32") if paper else Engine("adam", lr=2e-3),
        stop=Never(),
        output=Last(),
        steps=0,
    )


CARD = Card(
    name="metadip",
    title="DIP from a meta-learned start",
    source="Zhang et al., arXiv 2209.08452",
    family=LOW_DATA,
    tasks=ALL_TASKS,
    optimises="the network",
    recipe=recipe,
    needs=WEIGHTS,
    training=Training(
        title="a start from which DIP needs few steps, from clean images",
        learns_from=CLEAN_IMAGES,
        recipe=training,
        input=True,
    ),
)
