"""Double Deep Image Prior: one network for the magnitude, one for the phase."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.inputs import uniform_input
from untrained.methods.presets import fast
from untrained.nets import SKIP
from untrained.problem import Problem
from untrained.rules import Average


@dataclass(frozen=True)
class DoubleDIP(Method):
    r"""Zhuang, Yang, Hofmann, Barmherzig, Sun: Practical phase retrieval using double deep image
    priors (Electronic Imaging 2023, arXiv 2211.00799).

    .. math:: \min_{\theta_1, \theta_2} \bigl\| |F P x| - y \bigr\|^2, \qquad
              x = f_{\theta_1}(z_1) \odot e^{i f_{\theta_2}(z_2)}

    Magnitude and phase of an object are simple images each, where its real and imaginary part mix
    both. Two networks draw them, of the same design but with weights, inputs and rates of their
    own. The magnitude passes a sigmoid; the phase, in radians, is free, and starts near zero.

    A real image has one of two phases: x = f_1(z_1) cos f_2(z_2).

    No code was released; the rates and the number of steps are ours.

    Args:
        rounds: K, optimiser steps (N = 1).
        channels: depth of each z.
        amplitude: z is uniform on [0, amplitude).
        phase_rate: learning rate of the phase's network over that of the magnitude's.
    """

    name: ClassVar[str] = "doubledip"
    nonlinear: ClassVar[bool] = True
    copies: ClassVar[int] = 2
    rounds: int = 5000
    inner: int = 1
    channels: int = 32
    amplitude: float = 0.1
    phase_rate: float = 0.5

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z_1 and of z_2."""
        return self.channels

    def output_channels(self, problem: Problem) -> int:
        """Count one magnitude and one phase; a real image has as many of each as channels."""
        return 1 if problem.complex_image else problem.x_shape[0]

    def start(self, s: State) -> None:
        """z_1 and z_2 ~ U(0, amplitude), fixed, side by side; every weight is trained."""
        s["z"] = uniform_input(s, 2 * self.channels, self.amplitude)
        s.train_net(only=[name for name in s.weights if name.startswith("copies.0.")])
        phase = [name for name in s.weights if name.startswith("copies.1.")]
        s.train_net(self.phase_rate, only=phase)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute || |F P x| - y ||^2 with x = f_1(z_1) exp(i f_2(z_2))."""
        magnitude, phase = s.net(s["z"]).chunk(2, dim=1)
        magnitude = magnitude.sigmoid()
        x = magnitude * phase.cos()
        if s.problem.complex_image:
            x = torch.cat((x, magnitude * phase.sin()), dim=1)
        return x, {"data": s.problem.misfit(x)}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset`; `paper` has the network and engine of DIP."""
    net = replace(SKIP, sigmoid=False)
    if preset != "paper":
        made = fast(DoubleDIP(), task, preset, "double DIP with the fast engine")
        # Muon ends at a larger misfit here; the objective has many minima and wants more steps
        engine = Engine("adam", lr=3e-3, warmup=10, schedule="cosine", final=0.02)
        small = replace(made.net, sigmoid=False)  # type: ignore[type-var]
        return replace(made, net=small, engine=engine, steps=5 * made.steps)
    return Recipe(
        method=DoubleDIP(),
        net=net,
        engine=Engine("adam", lr=0.01, precision="fp32"),
        output=Average(decay=0.99, keep_best=False),
        source="Zhuang et al. 2023; network and engine of DIP",
    )


CARD = Card(
    name="doubledip",
    title="double DIP: one network for the magnitude, one for the phase",
    source="Zhuang, Yang, Hofmann, Barmherzig, Sun, Electronic Imaging 2023",
    family=REPARAMETERISATION,
    tasks=("phase",),
    optimises="two networks",
    recipe=recipe,
)
