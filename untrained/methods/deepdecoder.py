"""Deep decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.inputs import uniform_input
from untrained.nets import DeepDecoder
from untrained.rules import Average, Last
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class DeepDecoderFit(Method):
    r"""Heckel & Hand: Deep Decoder, concise image representations (ICLR 2019, arXiv 1810.03982).

    .. math:: \min_\theta \|A f_\theta(z) - y\|^2, \qquad z \sim U(0, a)\ \text{fixed, coarse}

    The network (`nets.DeepDecoder`) has fewer weights than the image has pixels, so that it cannot
    fit noise: no early stop, no regulariser.

    Differs from the code: the last weights are returned instead of those of the smallest training
    loss; the optional decaying noise on z is left out, as in the paper's denoising.

    Args:
        rounds: K, optimiser steps (N = 1).
        channels: k, of the input and of every layer of the network.
        amplitude: a.
    """

    name: ClassVar[str] = "deepdecoder"
    nonlinear: ClassVar[bool] = True
    rounds: int = 1900
    inner: int = 1
    channels: int = 128
    amplitude: float = 0.1

    def input_channels(self, image_channels: int) -> int:
        """k."""
        return self.channels

    def start(self, s: State) -> None:
        """z ~ U(0, a), fixed and coarse; every weight of f is trained."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(z) - y||^2."""
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    The network is the method and stays in every preset.

    `cs` is the over-parameterised decoder of Heckel & Soltanolkotabi (ICML 2020): from 16x16,
    256 channels, Adam 0.005, without the cap of 100,000 steps that they allow.
    """
    head = find_task(task).unit_range
    if preset != "paper":
        steps = {"fast": 500, "best": 2000}[preset]
        return Recipe(
            method=DeepDecoderFit(steps),
            net=DeepDecoder(sigmoid=head),
            engine=Engine("adam", lr=0.02, warmup=10, schedule="cosine", final=0.02),
            output=Average(decay=0.95, keep_best=False),
            source="deep decoder with the fast engine; no stop is needed",
        )
    if task == "cs":
        return Recipe(
            method=DeepDecoderFit(20000, channels=256),
            net=DeepDecoder(256, start=16),
            engine=Engine("adam", lr=0.005, precision="fp32"),
            output=Last(),
            source="Heckel & Soltanolkotabi 2020, compressed-sensing notebook; 20,000 steps",
        )
    return Recipe(
        method=DeepDecoderFit(1900 if task == "denoise" else 5000),
        net=replace(DeepDecoder(), sigmoid=head),
        engine=Engine("adam", lr=0.01, precision="fp32"),
        output=Last(),
        source="Heckel & Hand 2019, denoising notebook: k = 128, Adam 0.01, 1,900 steps; "
        "5,000 on other tasks are ours",
    )


CARD = Card(
    name="deepdecoder",
    title="Deep Decoder: fewer weights than pixels",
    source="Heckel, Hand, ICLR 2019",
    family=REPARAMETERISATION,
    tasks=ALL_TASKS,
    optimises="the network",
    recipe=recipe,
)
