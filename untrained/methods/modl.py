"""MoDL: a trained denoiser and conjugate gradients in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.card import PRETRAINED, PRIOR, Card
from untrained.methods.trained import applied, apply_network
from untrained.priors import RECONSTRUCTOR
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class MoDL(Method):
    r"""Aggarwal, Mani, Jacob: MoDL (IEEE TMI 2019, arXiv 1712.02862): a trained network, applied.

    .. math:: z_k = D_w(x_k), \qquad x_{k+1} = (A^H A + \lambda I)^{-1} (A^H y + \lambda z_k)

    K = 10 times from A^H y, with the weights w and lambda of the file.

    Args:
        rounds, inner: one step; more of them repeat the image.
    """

    name: ClassVar[str] = "modl"
    rounds: int = 1
    inner: int = 1

    def start(self, s: State) -> None:
        """Apply the network; nothing is trained."""
        apply_network(s)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Show the image, and its misfit for the record."""
        return s["x"], {"data": s.problem.misfit(s["x"])}


def recipe(task: str, preset: str) -> Recipe:
    """Return the one recipe: the network is applied once."""
    return applied(MoDL(), preset, "MoDL: a trained denoiser and conjugate gradients in turn")


CARD = Card(
    name="modl",
    title="MoDL: a trained denoiser and conjugate gradients in turn",
    source="Aggarwal, Mani, Jacob, IEEE TMI 2019",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="nothing: a trained network is applied",
    needs=PRIOR,
    prior=RECONSTRUCTOR,
    recipe=recipe,
)
