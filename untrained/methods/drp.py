"""Deep Random Projector."""

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
from untrained.maths import tv
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.inputs import coordinates
from untrained.nets import SkipNet, normalisations
from untrained.rules import Average, Last
from untrained.tasks import ALL_TASKS, find_task

SEEDS = ("noise", "grid")


@dataclass(frozen=True)
class DRP(Method):
    r"""Li, Wang, Zhuang, Sun: Deep Random Projector (CVPR 2023).

    .. math:: \min_{z, \gamma, \beta} \sqrt{\|A f_{\gamma, \beta}(\mathrm{BN}(z)) - y\|^2}
              + \lambda\,\mathrm{TV}(f_{\gamma, \beta}(\mathrm{BN}(z)))

    The convolutions keep their random weights; trained are the input z and the gains and offsets
    of the normalisations, one of z itself included. One scale instead of five is enough, which
    with the few trained weights is where the speed comes from.

    The data term is the root of the mean square, for operators other than the identity divided by
    ||A||, the largest singular value; TV is the mean over entries, as in the code.

    Args:
        rounds: K, optimiser steps (N = 1).
        lam: lambda.
        channels: of z.
        seed: z starts as `noise` N(0, 0.1^2), or as the coordinates (`grid`, one channel an axis).
        walk: standard deviation of the noise that every frozen kernel gets at every step.
    """

    name: ClassVar[str] = "drp"
    nonlinear: ClassVar[bool] = True
    rounds: int = 5000
    inner: int = 1
    lam: float = 0.45
    channels: int = 3
    seed: str = "noise"
    walk: float = 0.0

    def __post_init__(self) -> None:
        if self.seed not in SEEDS:
            raise UserError(f"seed={self.seed!r} is unknown; known: {', '.join(SEEDS)}")

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels

    def start(self, s: State) -> None:
        """z, the gains and the offsets are trained; all else keeps its random values."""
        s["z"] = self._coordinates(s) if self.seed == "grid" else self._noise(s)
        s["gain"] = torch.ones(s.size, self.channels, device=s.device)
        s["offset"] = torch.zeros_like(s["gain"])
        for name in ("z", "gain", "offset"):
            s.train(name)
        s.train_net(only=normalisations(s.module))

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """sqrt(||A f(BN(z)) - y||^2) + lambda TV(f(BN(z)))."""
        x = s.net(_normalised(s["z"], s["gain"], s["offset"]))
        data = s.problem.misfit(x, "norm").clamp_min(1e-12).sqrt()
        return x, {"data": data, "tv": self.lam * tv(x)}

    def advance(self, s: State) -> None:
        """Move the frozen kernels by a step of their random walk."""
        if not self.walk:
            return
        for name, weight in s.weights.items():
            if not weight.requires_grad and weight.ndim > 2:
                weight.add_(s.noise(f"walk/{name}", weight.shape[1:]), alpha=self.walk)

    def _noise(self, s: State) -> Tensor:
        return 0.1 * s.noise("z", (self.channels, *s.input_sides))

    def _coordinates(self, s: State) -> Tensor:
        """0 to 1 along every axis."""
        if self.channels != len(s.input_sides):
            raise UserError(
                f"seed=grid has one channel an axis: set channels={len(s.input_sides)}, "
                f"not {self.channels}"
            )
        return coordinates(s, 0.0, 1.0)


def _normalised(z: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    axes = tuple(range(2, z.ndim))
    centred = z - z.mean(axes, keepdim=True)
    unit = centred / (centred.square().mean(axes, keepdim=True) + 1e-5).sqrt()
    shape = (*gain.shape, *[1] * len(axes))
    return unit * gain.reshape(shape) + offset.reshape(shape)


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    Tasks that the paper has not take those of denoising.
    """
    width, skip, rate, method = {
        "superres": (128, 4, 0.5, DRP(lam=0.75, channels=1)),
        "inpaint": (128, 128, 0.05, DRP(lam=0.01, channels=2, seed="grid", walk=1e-3)),
    }.get(task, (64, 4, 0.1, DRP()))
    net = SkipNet(down=(width,), up=(width,), skip=(skip,), sigmoid=find_task(task).unit_range)
    paper = preset == "paper"
    fewer = {"paper": 0, "fast": 500, "best": 2000}[preset]
    return Recipe(
        method=method,
        net=net,
        engine=Engine("adam", lr=rate, precision="fp32" if paper else "auto")
        if paper
        else Engine("adam", lr=rate, warmup=10, schedule="cosine", final=0.02),
        output=Last() if paper else Average(decay=0.95, keep_best=False),
        steps=fewer,
        source="authors' code: width, rate and lambda per task, at most 5,000 steps"
        + ("" if paper else "; fewer steps, falling rate"),
    )


CARD = Card(
    name="drp",
    title="Deep Random Projector: the input and the normalisations only",
    source="Li, Wang, Zhuang, Sun, CVPR 2023",
    family=REPARAMETERISATION,
    tasks=ALL_TASKS,
    optimises="the input and the normalisations",
    recipe=recipe,
)
