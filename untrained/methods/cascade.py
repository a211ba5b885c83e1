"""D5C5: a cascade of trained networks with data consistency between them."""

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


@dataclass(frozen=True)
class Cascade(Method):
    r"""Schlemper et al. (IEEE TMI 2018, arXiv 1704.02422): a trained cascade, applied to one coil.

    .. math:: u \leftarrow u + C_k(u), \qquad \text{then } F u \leftarrow y \text{ where measured}

    The networks C_k and their number are those of the file.

    Args:
        rounds, inner: one step; more of them repeat the image.
    """

    name: ClassVar[str] = "cascade"
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
    return applied(Cascade(), preset, "D5C5: trained networks with data consistency between them")


CARD = Card(
    name="cascade",
    title="D5C5: trained networks with data consistency between them",
    source="Schlemper et al., IEEE TMI 2018",
    family=PRETRAINED,
    tasks=("mri",),
    optimises="nothing: a trained network is applied",
    needs=PRIOR,
    prior=RECONSTRUCTOR,
    recipe=recipe,
)
