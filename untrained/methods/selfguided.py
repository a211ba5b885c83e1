"""Self-Guided Deep Image Prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.maths import mse
from untrained.methods.card import REGULARISATION, Card
from untrained.methods.inputs import uniform_input
from untrained.methods.presets import fast
from untrained.nets import EXTRA_DEEP_UNET
from untrained.rules import Average
from untrained.tasks import ALL_TASKS


@dataclass(frozen=True)
class SelfGuided(Method):
    r"""Liang, Bell, Qu, Wang, Ravishankar (IEEE TCI 2025, arXiv 2402.04097).

    .. math:: \min_{\theta, z} \|A\,E_\eta f_\theta(z + \eta) - y\|^2
              + \alpha \|E_\eta f_\theta(z + \eta) - z\|^2, \qquad
              \hat x = E_\eta f_\theta(\hat z + \eta)

    The input is optimised with the network and so becomes the reference that reference-guided DIP
    has to be given. E is the mean of J draws, eta_j ~ U(0, max z / 2).

    Both terms are divided by the number of image entries, the data term also by the operator's
    mean squared singular value (see `Problem`).

    Differs from the released notebook: norms are squared, as in the paper (the notebook takes
    their roots); the regulariser compares two-channel images with each other (the notebook
    subtracts a complex image from a two-channel one and broadcasts); the scale comes from the
    measured data (there from the fully sampled ones); eta's range is read from public code that
    follows the notebook, whose own is not legible.

    Args:
        rounds: K, optimiser steps (N = 1).
        alpha: weight of the self-guidance.
        draws: J.
        spread: eta is uniform on [0, spread max z).
        rate: of z, relative to that of theta (0.1 / 3e-4 in the notebook).
    """

    name: ClassVar[str] = "selfguided"
    nonlinear: ClassVar[bool] = True
    rounds: int = 4000
    inner: int = 1
    alpha: float = 2.0
    draws: int = 3
    spread: float = 0.5
    rate: float = 0.1 / 3e-4

    def start(self, s: State) -> None:
        """z ~ U(0, 1), trained beside every weight of f."""
        s["z"] = uniform_input(s, s.problem.x_shape[0], 1.0)
        s.train_net()
        s.train("z", self.rate)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A E f(z + eta) - y||^2 + alpha ||E f(z + eta) - z||^2."""
        z = s["z"]
        size = self.spread * z.detach().flatten(1).amax(1).reshape(-1, *[1] * (z.ndim - 1))
        eta = s.noise("eta", (self.draws, *z.shape[1:]), "uniform")
        x = torch.stack([s.net(z + size * eta[:, j]) for j in range(self.draws)]).mean(0)
        return x, {"data": s.problem.misfit(x), "guidance": self.alpha * mse(x, z)}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` is the authors' notebook on MRI for all tasks.
    """
    if preset != "paper":
        made = fast(SelfGuided(), task, preset, "Self-Guided DIP with the fast engine")
        # Muon fits the random input before z has moved; ten times the notebook's rate of f does not
        engine = Engine("adam", lr=3e-3, warmup=10, schedule="cosine", final=0.02)
        return replace(made, method=SelfGuided(rate=0.1 / 3e-3), engine=engine)
    return Recipe(
        method=SelfGuided(),
        net=EXTRA_DEEP_UNET,
        engine=Engine("adam", lr=3e-4, precision="fp32"),
        output=Average(decay=0.99, keep_best=False),
        source="authors' notebook: Adam 3e-4, input 0.1, alpha 2, 4,000 steps; average 0.99 ours",
    )


CARD = Card(
    name="selfguided",
    title="Self-Guided DIP: the input is trained with the network",
    source="Liang, Bell, Qu, Wang, Ravishankar, IEEE TCI 2025",
    family=REGULARISATION,
    tasks=ALL_TASKS,
    optimises="the network and its input",
    recipe=recipe,
)
