"""INR: the image as a network of its coordinates alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Never
from untrained.core.state import State
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.inputs import coordinates
from untrained.methods.presets import SLACK
from untrained.nets import Siren
from untrained.rules import Average, HeldOut, Last
from untrained.tasks import ALL_TASKS

FREQUENCIES = "frequencies"


@dataclass(frozen=True)
class INR(Method):
    r"""An implicit neural representation (Sitzmann et al., NeurIPS 2020, arXiv 2006.09661).

    .. math:: \min_\theta \|A\,x_\theta - y\|^2, \qquad x_\theta(r) = \Phi_\theta(r)
              \quad\text{or}\quad \tfrac12 (1 + \Phi_\theta(r)), \qquad r \in [-1, 1]^d

    with the coordinates r of every pixel or voxel and a network Phi of one pixel: no pixel sees its
    neighbours, and the frequencies that Phi can draw (omega) are the prior. The second form is that
    of images in [0, 1], since the paper's networks draw images in [-1, 1]. Complex images have two
    channels. Networks: `siren` (sines) and `wire` (Gabor wavelets, Saragadam et al., CVPR 2023),
    either behind Gaussian Fourier features (`net.features`), which are not trained.

    Args:
        rounds: optimiser steps.
    """

    name: ClassVar[str] = "inr"
    nonlinear: ClassVar[bool] = True
    coordinates: ClassVar[bool] = True
    of_coordinates_only: ClassVar[bool] = True
    rounds: int = 10000
    inner: int = 1

    def input_channels(self, image_channels: int) -> int:
        """Count the axes of a picture."""
        return 2

    def channels_of_input(self, x_shape: tuple[int, ...]) -> int:
        """Count one for each axis of the image: 1 of a signal, 2 of a picture, 3 of a volume."""
        return len(x_shape) - 1

    def start(self, s: State) -> None:
        """z = r; all layers are trained, the frequencies of Fourier features are not."""
        s["z"] = coordinates(s, -1.0, 1.0)
        s.train_net(only=[name for name in s.weights if FREQUENCIES not in name])

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A x - y||^2."""
        x = s.net(s["z"])
        if s.problem.unit_range:
            x = 0.5 * (1 + x)
        return x, {"data": s.problem.misfit(x)}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper`: the authors' image fit, three hidden layers of 256 behind a first one, omega 30, Adam
    1e-4, 10,000 steps. `fast` and `best` take ten times the rate, fewer steps and a lower omega.
    """
    if preset == "paper":
        return Recipe(
            method=INR(10000),
            net=Siren(layers=4),
            engine=Engine("adam", lr=1e-4, precision="fp32"),
            stop=Never(),
            output=Last(),
            source="Sitzmann et al. 2020, authors' configuration of image fitting",
        )
    best = preset == "best"
    return Recipe(
        method=INR(1500 if best else 500),
        net=Siren(width=256 if best else 128, layers=4, omega=OMEGA),
        engine=Engine("adam", lr=1e-3, schedule="cosine", precision="fp32"),
        stop=HeldOut(fraction=0.05, patience=250, skip=20, slack=SLACK.get(task, 0.03), again=True),
        output=Average(decay=0.95),
        source="Sitzmann et al. 2020 with the engine and the held-out stop of this library",
    )


OMEGA = 10.0
"""Frequency of `fast` and `best`: at the authors' 30 the network draws noise within 40 steps."""

CARD = Card(
    name="inr",
    title="a network of coordinates (SIREN, WIRE)",
    source="Sitzmann et al., NeurIPS 2020",
    family=REPARAMETERISATION,
    tasks=ALL_TASKS,
    optimises="a network of one pixel",
    recipe=recipe,
)
