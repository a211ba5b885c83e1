"""Double over-parameterisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.inputs import jittered, uniform_input
from untrained.nets import SKIP, Compact
from untrained.rules import Average, Last
from untrained.tasks import LINEAR_TASKS, find_task


@dataclass(frozen=True)
class DOP(Method):
    r"""You, Zhu, Qu, Ma: Robust recovery via implicit bias of discrepant learning rates for double
    over-parameterization (NeurIPS 2020, arXiv 2006.08857), Eq. 6.

    .. math:: \min_{\theta, g, h} \|A f_\theta(z + \sigma_p \varepsilon_t)
              + g \odot g - h \odot h - y\|^2

    by plain gradient descent. g and h start near zero and learn alpha times faster than theta: the
    implicit bias is that of minimising the l1 norm of the corruption s = g*g - h*h with weight
    1 / alpha. Impulses go into s, the image into f, and no stop is needed. The data term is divided
    by ||A||^2, the largest squared singular value: a step of length 1 is stable then.

    Args:
        rounds: K, optimiser steps (N = 1).
        ratio: alpha, rate of g and h relative to that of theta.
        first: standard deviation of g and h at the start.
        jitter, channels, amplitude: of the input, as in DIP.
    """

    name: ClassVar[str] = "dop"
    rounds: int = 150000
    inner: int = 1
    ratio: float = 500.0
    first: float = 1e-5
    jitter: float = 1 / 30
    channels: int = 32
    amplitude: float = 0.1

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels

    def start(self, s: State) -> None:
        """z ~ U(0, amplitude), fixed; g, h ~ N(0, first^2); theta, g and h are trained."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.train_net()
        for name in ("g", "h"):
            s[name] = self.first * s.noise(name, s.problem.y.shape[1:])
            s.train(name, self.ratio)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(z + sigma_p eps) + g*g - h*h - y||^2."""
        p = s.problem
        x = s.net(jittered(s, self.jitter))
        corruption = p.visible(s["g"].square() - s["h"].square())
        return x, {"data": p.cost(p.A(x) + corruption - p.y, "norm")}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`; gradient descent is the method and stays."""
    head = find_task(task).unit_range
    if preset != "paper":
        return Recipe(
            method=DOP({"fast": 3000, "best": 20000}[preset]),
            net=Compact(widths=(16, 32, 64, 128, 128), skip=16, sigmoid=head),
            engine=Engine("sgd", lr=1.0),
            output=Average(decay=0.99, keep_best=False),
            source="DOP with a compact network and a shorter run",
        )
    return Recipe(
        method=DOP(),
        net=replace(SKIP, sigmoid=head),
        engine=Engine("sgd", lr=1.0, precision="fp32"),
        output=Last(),
        source="authors' code: SGD 1 and 500 on the mean squared error, 150,000 steps",
    )


CARD = Card(
    name="dop",
    title="double over-parameterisation: impulses are told from the image",
    source="You, Zhu, Qu, Ma, NeurIPS 2020",
    family=REPARAMETERISATION,
    tasks=LINEAR_TASKS,
    optimises="the network and the corruption",
    recipe=recipe,
)
