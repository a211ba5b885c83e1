"""Deep Image Prior by stochastic gradient Langevin dynamics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.card import REGULARISATION, Card
from untrained.methods.inputs import jittered, uniform_input
from untrained.nets import SKIP, Compact
from untrained.rules import Posterior, Rollback
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class SGLD(Method):
    r"""Cheng, Gadelha, Maji, Sheldon: A Bayesian perspective on the DIP (CVPR 2019).

    .. math:: \theta_{t+1} = \mathrm{Adam}(\theta_t,\ \nabla \|A f_\theta(z + \sigma_p
              \varepsilon_t) - y\|^2) + \tau\,\xi_t, \qquad \xi_t \sim N(0, I), \qquad
              \hat x = \frac1T \sum_t f_{\theta_t}(z)

    The noise keeps the weights moving about the posterior instead of settling on the noise in y,
    and the mean over the walk after a burn-in is the answer; it needs no early stop.

    The noise is the authors' and not the textbook's: the same for every convolution kernel (biases
    and normalisations have none), not preconditioned by Adam's metric, of standard deviation
    tau = 2 lr (0.02 in the notebook) where theory has sqrt(2 lr). Weight decay 5e-8, beside a data
    term divided by ||A||^2, the largest squared singular value.

    Args:
        rounds: K, optimiser steps (N = 1).
        noise: tau over the learning rate.
        jitter, channels, amplitude: of the input, as in DIP.
    """

    name: ClassVar[str] = "sgld"
    nonlinear: ClassVar[bool] = True
    rounds: int = 20000
    inner: int = 1
    noise: float = 2.0
    jitter: float = 1 / 30
    channels: int = 32
    amplitude: float = 0.1

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels

    def start(self, s: State) -> None:
        """z ~ U(0, amplitude), fixed; every weight of f is trained."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(z + sigma_p eps) - y||^2."""
        x = s.net(jittered(s, self.jitter))
        return x, {"data": s.problem.misfit(x, "norm")}

    def advance(self, s: State) -> None:
        """theta <- theta + tau xi, convolution kernels only."""
        kernel_axes = 3 + len(s.input_sides)  # the problem's, two of channels, the spatial ones
        for name, weight in s.weights.items():
            if weight.ndim == kernel_axes:
                with torch.no_grad():
                    weight.add_(
                        s.noise(f"langevin/{name}", weight.shape[1:]), alpha=self.noise * s.rate
                    )


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` is the authors' denoising notebook everywhere.

    `fast` and `best` keep Adam at a constant rate, a smaller one, so that the walk stays near.
    """
    if preset != "paper":
        steps = {"fast": 1000, "best": 4000}[preset]
        return Recipe(
            method=SGLD(steps),
            net=Compact(widths=(16, 32, 64, 128, 128), skip=16),
            engine=Engine("adam", lr=0.003),
            output=Posterior(burn_in=steps * 2 // 5, every=5),
            source="SGLD with a compact network and a shorter walk",
        )
    return Recipe(
        method=SGLD(),
        net=SKIP if find_task(task).unit_range else replace(SKIP, sigmoid=False),
        engine=Engine("adam", lr=0.01, weight_decay=5e-8, precision="fp32"),
        output=Posterior(burn_in=7000, every=50),
        guard=Rollback(),
        source="authors' denoising notebook: 20,000 steps, burn-in 7,000, mean of every 50th",
    )


CARD = Card(
    name="sgld",
    title="DIP by Langevin dynamics, the mean of many samples",
    source="Cheng, Gadelha, Maji, Sheldon, CVPR 2019",
    family=REGULARISATION,
    tasks=ALL_TASKS,
    optimises="the network",
    recipe=recipe,
)
