"""STRAINER: a coordinate network whose first layers were learned on similar images."""

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


@dataclass(frozen=True)
class StrainerTraining(Method):
    r"""Training of Vyas et al. (NeurIPS 2024), "Learning transferable features for INRs".

    .. math:: \min_{\phi, \psi_1..\psi_k} \sum_{i=1}^k \|g_{\psi_i}(h_\phi(r)) - x_i\|^2

    with pixel coordinates r, k clean images x_i, sine layers h for all and a linear head g for
    each.

    The official code was not at hand. UGoDIT (App. I) gives this baseline 6 sine layers, the sum
    of the heads' errors and Adam at 1e-3; width, omega and Adam at 1e-4 are those of public
    re-uses. At 1e-3 our sine layers learn next to nothing (an error of 0.055 after 150 steps on
    three faces, against 0.0003 at 3e-4 and 0.0007 at 1e-4), so that `paper` takes 1e-4.
    """

    name: ClassVar[str] = "strainer-training"
    coordinates: ClassVar[bool] = True
    rounds: int = 2000
    inner: int = 1

    def input_channels(self, image_channels: int) -> int:
        """Count one per axis of the image."""
        return 2

    def start(self, s: State) -> None:
        """z = r, the same for all; the sine layers exist once, a head for each image."""
        s["z"] = pixel_coordinates(s, "strainer", -1.0, 1.0)[:1]
        s.share(s.part("encoder"))
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||g_i(h(r)) - x_i||^2."""
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}


@dataclass(frozen=True)
class Strainer(Method):
    r"""A new image with learned sine layers (Vyas et al., NeurIPS 2024).

    .. math:: \min_{\phi, \psi} \|A g_\psi(h_\phi(r)) - y\|^2

    h starts from `StrainerTraining`, the head g anew; both are trained. Where the head is learned
    too, its image is multiplied by the brightness c that fits y best (`learned_level`); a random
    head has no brightness to go by.
    """

    name: ClassVar[str] = "strainer"
    nonlinear: ClassVar[bool] = True
    coordinates: ClassVar[bool] = True
    rounds: int = 2000
    inner: int = 1

    def input_channels(self, image_channels: int) -> int:
        """Count one per axis of the image."""
        return 2

    def start(self, s: State) -> None:
        """z = r; everything is trained."""
        s["z"] = pixel_coordinates(s, "strainer", -1.0, 1.0)
        s.train_net()
        s["c"] = learned_level(s)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A c g(h(r)) - y||^2."""
        x = s["c"] * s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}


STEPS = {"fast": 500, "best": 2000, "paper": 2000}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`: UGoDIT's; `fast` and `best` stop by themselves."""
    return Recipe(
        method=Strainer(STEPS[preset]),
        net=Siren(),
        engine=Engine("adam", lr=1e-4, precision="fp32"),
        stop=Never() if preset == "paper" else HeldOut(fraction=0.05, patience=250, skip=20),
        output=Last() if preset == "paper" else Last(keep_best=True),
        source="Vyas et al. 2024 as used by UGoDIT, App. I",
    )


def training(task: str, preset: str) -> Recipe:
    """Return the settings of the training; `paper` as in public re-uses, see `StrainerTraining`."""
    return Recipe(
        method=StrainerTraining(STEPS[preset]),
        net=Siren(),
        engine=Engine("adam", lr=1e-4 if preset == "paper" else 3e-4, precision="fp32"),
        output=Last(),
        source="UGoDIT, App. I: 6 sine layers, 2000 steps; rates of public re-uses",
    )


CARD = Card(
    name="strainer",
    title="a coordinate network whose first layers were learned",
    source="Vyas et al., NeurIPS 2024",
    family=LOW_DATA,
    tasks=ALL_TASKS,
    optimises="the network",
    recipe=recipe,
    needs=WEIGHTS,
    training=Training(
        title="the first layers of a coordinate network, from clean images",
        learns_from=CLEAN_IMAGES,
        recipe=training,
        encoder=True,
    ),
)
