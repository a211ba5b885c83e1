"""NeRP: a coordinate network that knows an earlier image of the same object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Never
from untrained.core.state import State
from untrained.methods.card import CLEAN_IMAGES, LOW_DATA, WEIGHTS, Card, Training
from untrained.methods.inputs import learned_level, pixel_coordinates
from untrained.nets import Siren
from untrained.rules import HeldOut, Last
from untrained.tasks import ALL_TASKS

FREQUENCIES = "frequencies"


@dataclass(frozen=True)
class NeRPTraining(Method):
    r"""Prior embedding of Shen, Pauly, Xing (IEEE TNNLS 2022, arXiv 2108.10991), Eq. 4.

    .. math:: \theta^* = \arg\min_\theta \|M_\theta(\gamma(r)) - x_{prior}\|^2, \qquad
              \gamma(r) = (\cos 2\pi B r, \sin 2\pi B r)

    with pixel coordinates r in [0, 1], a fixed Gaussian B and an earlier image of the same
    object, another phase or contrast, say. Given several images, their mean error is fitted.
    """

    name: ClassVar[str] = "nerp-training"
    coordinates: ClassVar[bool] = True
    rounds: int = 1000
    inner: int = 1

    def input_channels(self, image_channels: int) -> int:
        """Count one per axis of the image."""
        return 2

    def start(self, s: State) -> None:
        """z = r; all layers are trained, B is not."""
        s["z"] = pixel_coordinates(s, "nerp", 0.0, 1.0)
        s.share(list(s.weights))
        s.train_net(only=[name for name in s.weights if FREQUENCIES not in name])

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||M(gamma(r)) - x_prior||^2."""
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}


@dataclass(frozen=True)
class NeRP(Method):
    r"""Reconstruction of Shen, Pauly, Xing (IEEE TNNLS 2022), Eq. 5.

    .. math:: \min_\theta \|A\, c M_\theta(\gamma(r)) - y\|^2 \quad\text{from}\ \theta^*

    The prior was learned at a level of its own; c, found once, is the brightness of the first
    image that fits y best (`learned_level`). Ours: the paper's images share their units. The small
    rate and the few steps are the regulariser: they keep the image near the prior.
    """

    name: ClassVar[str] = "nerp"
    nonlinear: ClassVar[bool] = True
    coordinates: ClassVar[bool] = True
    rounds: int = 1000
    inner: int = 1

    def input_channels(self, image_channels: int) -> int:
        """Count one per axis of the image."""
        return 2

    def start(self, s: State) -> None:
        """z = r, and c; all layers are trained, B is not."""
        s["z"] = pixel_coordinates(s, "nerp", 0.0, 1.0)
        s.train_net(only=[name for name in s.weights if FREQUENCIES not in name])
        s["c"] = learned_level(s)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A c M(gamma(r)) - y||^2."""
        x = s["c"] * s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}


NET = Siren(layers=7, features=256, scale=4.0)
"""The authors' MLP: depth 8, width 256, 256 Gaussian features of standard deviation 4."""


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    The authors', Adam 1e-5 and 1,000 steps; `fast` and
    `best` stop by themselves.
    """
    paper = preset == "paper"
    return Recipe(
        method=NeRP({"fast": 500}.get(preset, 1000)),
        net=NET,
        engine=Engine("adam", lr=1e-5, precision="fp32"),
        stop=Never() if paper else HeldOut(fraction=0.05, patience=250, skip=20),
        output=Last(keep_best=not paper),
        source="Shen, Pauly, Xing 2022, authors' configuration of 2-D CT",
    )


def training(task: str, preset: str) -> Recipe:
    """Return the settings of the prior embedding: Adam 1e-4, weight decay 1e-4, 1,000 steps."""
    return Recipe(
        method=NeRPTraining({"fast": 500}.get(preset, 1000)),
        net=NET,
        engine=Engine("adam", lr=1e-4, weight_decay=1e-4, precision="fp32"),
        output=Last(),
        source="Shen, Pauly, Xing 2022, authors' configuration of image regression",
    )


CARD = Card(
    name="nerp",
    title="a coordinate network that knows an earlier image",
    source="Shen, Pauly, Xing, IEEE TNNLS 2022",
    family=LOW_DATA,
    tasks=ALL_TASKS,
    optimises="the network",
    recipe=recipe,
    needs=WEIGHTS,
    training=Training(
        title="a coordinate network of an earlier image of the same object",
        learns_from=CLEAN_IMAGES,
        recipe=training,
    ),
)
