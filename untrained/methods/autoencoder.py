"""A trained autoencoder as reconstructor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.maths import mse
from untrained.methods.card import CLEAN_IMAGES, LOW_DATA, Card
from untrained.methods.inputs import guides
from untrained.methods.lambdas import Lam, number, with_each_lambda
from untrained.nets import MEDIUM_UNET, SHALLOW_UNET, Compact
from untrained.rules import Last
from untrained.tasks import LINEAR_TASKS, find_task


@dataclass(frozen=True)
class Autoencoder(Method):
    r"""Appendix B of aSeqDIP (Alkhouri, Liang et al., NeurIPS 2024), Eqs. 17 and 18.

    .. math:: (17)\ \min_\theta \frac1M \sum_i \|g_\theta(x_i) - x_i\|^2, \qquad
              (18)\ \min_z \|A g_\theta(z) - y\|^2 + \lambda \|g_\theta(z) - z\|^2

    with clean images x_i, in turn one a step; then the weights rest, z starts at A^H y and is
    optimised. It shows what the autoencoding term is worth with a network that has seen clean
    data: lambda matters less, since g(z) = z holds nearly everywhere.

    The clean images are given as guide. The terms of (18) are scaled as in `ASeqDIP`: the data term
    is divided by the operator's mean squared singular value (see `Problem`). The paper trains on
    3,000 scans and gives neither network, rates nor steps; these are aSeqDIP's, and ours.

    Args:
        rounds: K, optimiser steps of (17) and (18) together (N = 1).
        training: those of (17).
        lam: lambda.
        rate: of z, relative to that of theta.
    """

    name: ClassVar[str] = "autoencoder"
    rounds: int = 6000
    inner: int = 1
    training: int = 4000
    lam: Lam = 1.0
    rate: float = 10.0

    @property
    def description(self) -> str:
        """Give the name and lambda."""
        return f"lambda {self.lam:g}" if self.lam != "auto" else self.name

    def candidates(self) -> tuple[Autoencoder, ...]:
        """Return the method with each lambda to be tried."""
        return with_each_lambda(self)

    def within(self, steps: int) -> Autoencoder:
        """(17) keeps its share of the steps."""
        return replace(self, training=steps * self.training // self.rounds)

    def start(self, s: State) -> None:
        """z <- A^H y; theta is trained first, then z."""
        guides(s, self.name)
        s["z"] = s.problem.estimate()
        s.train_net()
        s.train("z", self.rate)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """(17), whose image is still A^H y, then (18)."""
        z = s["z"]
        if s.step < self.training:
            x = guides(s, self.name)[:, s.step % len(guides(s, self.name)[0])]
            start = z.detach()
            fixed = s.problem.misfit(start)
            return start, {"data": fixed, "autoencoding": mse(s.net(x), x)}
        x = s.net(z, {name: weight.detach() for name, weight in s.weights.items()})
        return x, {"data": s.problem.misfit(x), "autoencoding": number(self.lam) * mse(x, z)}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`; all are ours, since the paper gives none."""
    if preset != "paper":
        steps = {"fast": 400, "best": 2000}[preset]
        return Recipe(
            method=Autoencoder(2 * steps, training=steps),
            net=Compact(widths=(16, 32, 64, 128, 128), skip=16),
            engine=Engine("adam", lr=0.005, warmup=10),
            output=Last(),
            source="Eqs. 17 and 18 with a compact network; settings ours",
        )
    return Recipe(
        method=Autoencoder(),
        net=SHALLOW_UNET if find_task(task).unit_range else MEDIUM_UNET,
        engine=Engine("adam", lr=1e-4, precision="fp32"),
        output=Last(),
        source="Alkhouri et al. 2024, App. B; rates and steps ours (the paper gives none)",
    )


CARD = Card(
    name="autoencoder",
    title="a network trained on clean images, then its input",
    source="Alkhouri, Liang et al., NeurIPS 2024, App. B",
    family=LOW_DATA,
    tasks=LINEAR_TASKS,
    optimises="the network on clean images, then its input",
    recipe=recipe,
    needs=CLEAN_IMAGES,
)
