"""Our own method for missing pixels: the network draws only what was not measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.classical import baseline, kept_noise
from untrained.classical.fill import fill_gaps
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods import house
from untrained.methods.card import REGULARISATION, Card
from untrained.physics.masks import in_patches
from untrained.priors import DENOISER
from untrained.problem import Problem


@dataclass(frozen=True)
class FillIn(Method):
    r"""A network that learns from one picture to predict pixels it is not shown.

    At every step a random part b_t of the measured pixels m is shown, and the network is asked for
    the others:

    .. math:: x_t = b_t \odot y + (1 - b_t) \odot f_\theta(F(b_t \odot y),\, b_t), \qquad
              \min_\theta\ \mathbb{E}_{b_t} \|m \odot (x_t - y)\|^2 / \|m \odot (1 - b_t)\|^2

    b_t leaves out single pixels, and where pixels are missing in patches (see `in_patches`) at
    every second step those patches, moved somewhere else. F fills the gaps by local averages
    (`fill_gaps`). The missing pixels are predicted like those that were asked for, and
    their mean over the last steps is the answer. The network cannot learn the picture by heart:
    the pixels that it is asked for are never in its input. Where the measured pixels are noisy
    (`classical.kept_noise`) the answer shows those of the classical image in their place.

    Sources: predicting random pixels of the one image from the rest is Quan et al., "Self2Self
    with dropout", CVPR 2020; without its dropout, partial convolutions and 150,000 steps, and
    with F. Settings and evidence are this library's (docs/methods/fillin.md).

    Args:
        rounds: optimiser steps.
        shown: share of the measured pixels that is shown, in (0, 1).
    """

    name: ClassVar[str] = "fillin"
    rounds: int = 250
    inner: int = 1
    shown: float = 0.7

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of the filled image and of what is shown of it."""
        return 2 * image_channels

    def start(self, s: State) -> None:
        """Train every weight of f."""
        measured = s.problem.A(torch.ones_like(s.problem.y))
        s["measured"] = measured
        s["kept"] = torch.cat([_kept(one) for one in s.problem.each()])
        s["patches"] = torch.stack([in_patches(one[:1]) for one in measured])
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||m (x - y)||^2, x being y where it is shown."""
        y, measured = s.problem.y, s["measured"]
        shown = measured * self._pattern(s)
        filled = s.net(torch.cat([fill_gaps(y, shown), shown], dim=1))
        drawn = (1 - shown) * filled
        asked = (measured * (1 - shown)).flatten(1).mean(1).clamp_min(1 / y[0].numel())
        data = s.problem.misfit(shown * y + drawn, "norm") / asked
        return shown * s["kept"] + drawn, {"data": data}

    def _pattern(self, s: State) -> Tensor:
        """Draw what may be shown at this step, 1 or 0."""
        sides = s.problem.y.shape[2:]
        drawn = (s.noise("shown", (1, *sides), "uniform") < self.shown).float()
        if s.step % 2 == 0 or not bool(s["patches"].any()):
            return drawn
        place = s.noise("place", (len(sides),), "uniform")[0].tolist()
        shifts = [int(part * side) for part, side in zip(place, sides, strict=True)]
        moved = s["measured"].roll(shifts, dims=list(range(2, 2 + len(sides))))
        return torch.where(s["patches"].reshape(-1, *[1] * (moved.ndim - 1)), moved, drawn)


def _kept(problem: Problem) -> Tensor:
    """Return the kept pixels as the answer shows them: those of the baseline where y is noisy."""
    return problem.A(baseline(problem)) if kept_noise(problem) else problem.y


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `house` on missing pixels, with this method in its place."""
    made = house.recipe(task, preset)
    return replace(made, method=FillIn(rounds=made.method.rounds))


CARD = Card(
    name="fillin",
    title="our own: a network that learns to predict measured pixels it is not shown",
    source="this library; Quan et al., CVPR 2020",
    family=REGULARISATION,
    tasks=("inpaint",),
    optimises="the network",
    prior=DENOISER,
    recipe=recipe,
)
