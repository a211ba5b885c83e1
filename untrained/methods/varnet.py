"""Variational networks: unrolled gradient descent whose regulariser was trained."""

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
class VarNet(Method):
    r"""Hammernik et al. (MRM 2018); Sriram et al. (MICCAI 2020): a trained network, applied.

    .. math:: u^{t+1} = u^t - \nabla R_t(u^t) - \lambda^t A^H (A u^t - y), \qquad x = u^T

    The regularisers R_t, their number T and the steps lambda are those of the file: filters with
    influence functions (`hammernik`), or U-Nets on multi-coil k-space with a network for the coil
    maps (`e2e`), which takes no maps.

    Args:
        rounds, inner: one step; more of them repeat the image.
    """

    name: ClassVar[str] = "varnet"
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
    return applied(VarNet(), preset, "variational network: unrolled gradient descent, trained")


CARD = Card(
    name="varnet",
    title="variational network: unrolled gradient descent, trained",
    source="Hammernik et al., MRM 2018; Sriram et al., MICCAI 2020",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="nothing: a trained network is applied",
    needs=PRIOR,
    prior=RECONSTRUCTOR,
    recipe=recipe,
)
