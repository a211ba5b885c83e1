"""Reference-guided Deep Image Prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.card import CLEAN_IMAGES, LOW_DATA, Card
from untrained.methods.inputs import nearest_guide
from untrained.methods.presets import fast
from untrained.nets import SKIP
from untrained.rules import Average
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class RefGuided(Method):
    r"""Reference-driven DIP (Zhao, Zhao, Gan, Sensors 20, 2020).

    .. math:: \min_\theta \|A f_\theta(z) - y\|^2, \qquad z = x_{ref}\ \text{fixed}

    The network turns a known image of similar content, say another slice or another patient, into
    this one, which takes fewer changes than noise does. Of several references the one nearest
    (in the Euclidean norm) to A^H y is taken, as aSeqDIP's baseline does (App. C.6).

    The data term is divided by the operator's mean squared singular value (see `Problem`), which
    changes nothing, since it stands alone.

    No official code is known. Unlike DIP's, the input is not perturbed: it is an image.

    Args:
        rounds: K, optimiser steps (N = 1).
    """

    name: ClassVar[str] = "refguided"
    nonlinear: ClassVar[bool] = True
    rounds: int = 4000
    inner: int = 1

    def start(self, s: State) -> None:
        """z = the nearest reference, fixed; every weight of f is trained."""
        s["z"] = nearest_guide(s, self.name)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(x_ref) - y||^2."""
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` is the baseline of aSeqDIP with DIP's network.
    """
    if preset != "paper":
        return fast(RefGuided(), task, preset, "reference-guided DIP with the fast engine")
    return Recipe(
        method=RefGuided(),
        net=SKIP if find_task(task).unit_range else replace(SKIP, sigmoid=False),
        engine=Engine("adam", lr=0.01, precision="fp32"),
        output=Average(decay=0.99, keep_best=False),
        source="baseline of aSeqDIP, App. C.6: 4,000 steps; DIP's network and rate",
    )


CARD = Card(
    name="refguided",
    title="reference-guided DIP: the input is a known, similar image",
    source="Zhao, Zhao, Gan, Sensors 2020",
    family=LOW_DATA,
    tasks=ALL_TASKS,
    optimises="the network",
    recipe=recipe,
    needs=CLEAN_IMAGES,
)
