"""ConvDecoder: accelerated MRI without coil maps in the network's way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.inputs import uniform_input
from untrained.nets import ConvDecoder
from untrained.physics import MRI
from untrained.problem import Problem
from untrained.rules import Average, Last


@dataclass(frozen=True)
class ConvDecoderFit(Method):
    r"""Darestani & Heckel: Accelerated MRI with un-trained neural networks (IEEE TCI 2021).

    .. math:: \min_\theta \sum_c \|M F f_\theta(z)_c - y_c\|^2, \qquad z \sim U(0, 1)
              \text{ fixed, coarse}

    The network draws one complex image per coil. At every step the measured samples take the place
    of the predicted ones, and the coil images are combined.

    Differs from the paper: coils are combined with the maps, sum_c conj(S_c) x_c, where the paper
    takes the root of the sum of squares, because the answer here is a complex image; the data are
    scaled by the 99.9th percentile of the adjoint image instead of the untrained network's norm.
    The code returns the weights of the smallest training loss, here they are the last.

    Args:
        rounds: K, optimiser steps (N = 1).
        channels: of the input and of every layer.
    """

    name: ClassVar[str] = "convdecoder"
    rounds: int = 20000
    inner: int = 1
    channels: int = 256

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels

    def output_channels(self, problem: Problem) -> int:
        """Real and imaginary part of every coil."""
        if not isinstance(problem.physics, MRI):
            raise UserError(
                "convdecoder is made for multi-coil MRI (untrained.physics.MRI), got "
                f"{problem.physics.class_name()}; deepdecoder takes any operator"
            )
        return 2 * problem.y.shape[2]

    def start(self, s: State) -> None:
        """z ~ U(0, 1), fixed and coarse; every weight of f is trained."""
        s["z"] = uniform_input(s, self.channels, 1.0)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """sum_c ||M F f(z)_c - y_c||^2; the image is the data-consistent combination."""
        p, physics = s.problem, s.problem.physics
        assert isinstance(physics, MRI)  # refused otherwise in `output_channels`
        coils = s.net(s["z"], cut=False).unflatten(1, (2, -1))
        residual = p.visible(physics.sampled(coils)) - p.y
        with torch.no_grad():
            # replacing measured samples by y subtracts the residual's inverse transform
            x = physics.combine(coils - physics.coil_images(residual))
        return x, {"data": p.cost(residual)}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset`.

    The network is the method and only gets narrower in `fast`.
    """
    if preset != "paper":
        wide = preset == "best"
        return Recipe(
            method=ConvDecoderFit(2000 if wide else 500, channels=128 if wide else 64),
            net=ConvDecoder(channels=128 if wide else 64),
            engine=Engine("adam", lr=0.016, warmup=10, schedule="cosine", final=0.02),
            output=Average(decay=0.95, keep_best=False),
            source="a narrower ConvDecoder with the fast engine",
        )
    return Recipe(
        method=ConvDecoderFit(),
        net=ConvDecoder(),
        engine=Engine("adam", lr=0.008, precision="fp32"),
        output=Last(),
        source="authors' notebook: 7 layers of 256, Adam 0.008, 20,000 steps from scratch",
    )


CARD = Card(
    name="convdecoder",
    title="ConvDecoder: one image per coil, no maps in the way",
    source="Darestani, Heckel, IEEE TCI 2021",
    family=REPARAMETERISATION,
    tasks=("mri",),
    optimises="the network",
    recipe=recipe,
)
