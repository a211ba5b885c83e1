"""Time-dependent Deep Image Prior: a 2-D network whose input says the time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Last
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.presets import fast
from untrained.nets import TimeNet
from untrained.nets.timenet import helix
from untrained.tasks import SERIES_TASKS, find_task

INPUTS = ("helix", "line", "walk")


@dataclass(frozen=True)
class TDDIP(Method):
    r"""Time-dependent DIP (Yoo, Jin, Gupta, Yerly, Stuber, Unser, IEEE TMI 2021, arXiv 1910.01684).

    .. math:: \min_\theta \sum_t \|A_t f_\theta(z_t) - y_t\|^2, \qquad x_t = f_\theta(z_t)

    One network draws every frame from a point z_t in time. Points that are near each other give
    frames that are alike, and all frames share the weights: what the measurements of one leave
    open, those of the others tell. f is a small fully connected mapping of z_t to a coarse picture,
    and a convolutional generator (`TimeNet`).

    Inputs: `helix`, (cos, sin) of `cycles` turns and the time itself, for what repeats; `line`, the
    straight line between two random points; `walk`, a random walk with steps of standard deviation
    `step`, which knows neighbours and no period.

    Differs from the released code: all frames are fitted at every step, where it takes one frame
    at random (`frames` takes so many); the operator is the caller's, where it is radial MRI.

    Args:
        rounds: optimiser steps.
        input: what the points are.
        cycles: turns of the helix over the series; heart beats of a cine.
        step: of the walk.
        frames: frames fitted at a step, drawn anew at each; 0 = all.
    """

    name: ClassVar[str] = "tddip"
    framewise: ClassVar[bool] = True
    rounds: int = 10000
    inner: int = 1
    input: str = "helix"
    cycles: float = 1.0
    step: float = 0.3
    frames: int = 0

    def __post_init__(self) -> None:
        if self.input not in INPUTS:
            raise UserError(f"input={self.input!r} is unknown; known: {', '.join(INPUTS)}")
        if self.frames < 0:
            raise UserError(f"frames must be at least 0, got {self.frames}")

    def input_channels(self, image_channels: int) -> int:
        """Count the numbers of a point z_t."""
        return 3

    def start(self, s: State) -> None:
        """Place a point for each frame; every weight of f is trained."""
        if not s.problem.physics.is_series:
            raise UserError(
                "tddip reconstructs a time series (C, T, H, W): give the frames with --series (in "
                "Python: physics.Series), or take dip"
            )
        s["z"] = self._points(s)
        s["x"] = s.problem.estimate().clone()
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute sum_t ||A_t f(z_t) - y_t||^2, of all frames or of some."""
        count = s.problem.x_shape[1]
        if not self.frames or self.frames >= count:
            x = self._drawn(s, s["z"])
            return x, {"data": s.problem.misfit(x)}
        drawn = s.noise("frames", (count,), "uniform")[0].argsort()[: self.frames]
        if s.step >= self.rounds - 1:
            drawn = torch.arange(count, device=s.device)
        some = self._drawn(s, s["z"][:, drawn])
        x = s["x"].clone()
        x[:, :, drawn] = some
        s["x"] = x.detach()
        return x, {"data": s.problem.misfit(x)}

    def _points(self, s: State) -> Tensor:
        """Return z, `(G, T, 3)`."""
        count = s.problem.x_shape[1]
        if self.input == "helix":
            return helix(count, self.cycles, s.problem.y).expand(s.size, count, 3).clone()
        if self.input == "line":
            ends = s.noise("ends", (2, 3))
            share = torch.linspace(0, 1, count, device=s.device)[None, :, None]
            return torch.lerp(ends[:, :1], ends[:, 1:], share)
        steps = self.step * s.noise("walk", (count, 3))
        return steps.cumsum(1)

    def _drawn(self, s: State, z: Tensor) -> Tensor:
        """Draw frames `(G, C, T', H, W)` at points `(G, T', 3)`."""
        each = []
        for g in range(s.size):
            weights = {n: w[g if len(w) > 1 else 0] for n, w in s.weights.items()}
            with torch.autocast(z.device.type, torch.bfloat16, enabled=s.half):
                frames = torch.func.functional_call(s.module, weights, (z[g],))
            each.append(frames.float().movedim(1, 0))
        return (
            s.problem.supported(torch.stack(each))
            if len(z[0]) == s.problem.x_shape[1]
            else (torch.stack(each))
        )


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` is the released code's: 10,000 steps of Adam from 1e-3, a network of 128 channels. There
    a step fits one frame and the rate is halved every 2,000 steps; here it fits all, as in the
    other presets (`method.frames=1` takes one), and the rate falls as a cosine.
    """
    bounded = find_task(task).bounded
    if preset != "paper":
        made = fast(TDDIP(), task, preset, "TD-DIP's equations with the fast engine")
        width = 64 if preset == "best" else 32
        return replace(made, net=TimeNet(width=width, hidden=256, sigmoid=bounded))
    return Recipe(
        method=TDDIP(),
        net=TimeNet(sigmoid=bounded),
        engine=Engine("adam", lr=1e-3, schedule="cosine", final=0.03, precision="fp32"),
        output=Last(),
        source="Yoo et al. 2021, released code; all frames a step, any operator",
    )


CARD = Card(
    name="tddip",
    title="time-dependent Deep Image Prior: one 2-D network draws all frames of a series",
    source="Yoo et al., IEEE TMI 2021",
    family=REPARAMETERISATION,
    tasks=SERIES_TASKS,
    optimises="the network",
    recipe=recipe,
)
