"""Deep Video Prior: one network on all frames makes a video consistent."""

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
from untrained.methods.card import EARLY_STOPPING, Card
from untrained.nets import VCN
from untrained.physics.processed import Processed

FRAMES = 80
EPOCHS = 25
"""Of the paper; its videos (DAVIS) have about 80 frames."""
SMALLEST = 32  # least side at which half of the pixels are left out in both directions


@dataclass(frozen=True)
class DVP(Method):
    r"""Deep Video Prior (Lei, Xing, Chen, NeurIPS 2020, arXiv 2010.11838).

    .. math:: \min_\theta \sum_t \|f_\theta(I_t) - P_t\|_1

    I_t are the input frames, P_t what was made of each on its own; a step takes one frame, in
    their order. The network sees the same content in all frames and learns what they have in
    common before it learns how they differ, so the run is short.

    With `irt` (iteratively reweighted training), for processing that has several modes, the
    network draws two videos, main and minor, and every pixel is asked of the one that is nearer:

    .. math:: \|C \odot (f^{main} - P)\|_1 + \|(1 - C) \odot (f^{minor} - P)\|_1, \qquad
              C = 1\ \text{where}\ d^{main} < d^{minor}, \quad
              d = \max_{channels} |f - P| / (I + 0.1)

    after the first fifth of the steps, which fit both to the first frame,
    :math:`\|f^{main} - P_1\|_1 + 0.9 \|f^{minor} - P_1\|_1`. The main video is the answer.

    For the first four fifths of the steps every second pixel is left out in both directions
    (coarse to fine), a quarter of the time; not where a side would be below 16 pixels.

    Differs from the paper: the loss is L1 (the paper's perceptual loss needs the weights of VGG,
    which saw millions of images; its released code has L1 as an option); the released code defines
    the reweighted loss, and its loop minimises the first one throughout.

    Args:
        rounds: optimiser steps, one frame each; the paper's are 25 passes over the video (the
            command line takes 25 times the number of frames unless told).
        irt: iteratively reweighted training.
        coarse: share of the steps at half of the pixels a side.
        first: share of the steps on the first frame, of `irt`.
    """

    name: ClassVar[str] = "dvp"
    framewise: ClassVar[bool] = True
    rounds: int = EPOCHS * FRAMES
    inner: int = 1
    irt: bool = False
    coarse: float = 0.8
    first: float = 0.2

    def __post_init__(self) -> None:
        for field in ("coarse", "first"):
            if not 0 <= getattr(self, field) <= 1:
                raise UserError(f"{field} must lie in [0, 1], got {getattr(self, field):g}")

    def within(self, steps: int) -> DVP:
        """Scale the shares of the run to another number of steps."""
        return replace(self, rounds=steps)

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of the input frames: those of the video."""
        return image_channels

    def output_channels(self, problem: object) -> int:
        """Count those of one video, or of main and minor."""
        channels: int = problem.x_shape[0]  # type: ignore[attr-defined]
        return channels * (2 if self.irt else 1)

    def start(self, s: State) -> None:
        """z = the input frames; the video is the processed one until the network has drawn it."""
        physics = s.problem.physics
        if not isinstance(physics, Processed):
            raise UserError(
                "dvp makes processed frames consistent and needs those before: it is for "
                "`reconstruct video INPUT --processed FOLDER` (physics.Processed in Python)"
            )
        frames = physics.frames.to(s.problem.y)
        channels = s.problem.x_shape[0]
        if frames.shape[1] == 1:
            frames = frames.expand(1, channels, *frames.shape[2:])
        s["z"] = frames.expand(s.size, *frames.shape[1:]).clone()
        s["video"] = s.problem.y.clone()
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the L1 error of one frame.

        The video holds the latest drawing of every frame at full size, and until there is one the
        processed frame; at the last step all are drawn anew.
        """
        count = s.problem.x_shape[1]
        begins = self.irt and s.step < self.first * self.rounds
        t = 0 if begins else s.step % count
        given, wanted = s["z"][:, :, t], s.problem.y[:, :, t]
        halved = s.step < self.coarse * self.rounds and min(wanted.shape[-2:]) >= SMALLEST
        if halved:
            given, wanted = given[..., ::2, ::2], wanted[..., ::2, ::2]
        main, minor = self._drawn(s, given)
        off = (main - wanted).abs()
        error = off.flatten(1).mean(1)
        if minor is not None:
            other = (minor - wanted).abs()
            if begins:
                error = error + 0.9 * other.flatten(1).mean(1)
            else:
                near, far = ((d / (given + 0.1)).amax(1, keepdim=True) for d in (off, other))
                confident = (near < far).to(off)
                error = (confident * off + (1 - confident) * other).flatten(1).mean(1)
        with torch.no_grad():
            if s.step >= self.rounds - 1:
                s["video"] = self._all_frames(s)
            elif not halved:
                s["video"][:, :, t] = main.clamp(0, 1)
        return s["video"], {"data": error}

    def _drawn(self, s: State, given: Tensor) -> tuple[Tensor, Tensor | None]:
        """Draw the main frame, and the minor one of `irt`."""
        drawn = s.net(given, cut=False)
        if not self.irt:
            return drawn, None
        main, minor = drawn.chunk(2, dim=1)
        return main, minor

    def _all_frames(self, s: State) -> Tensor:
        """Draw every frame anew, so that all of the answer is by the same weights."""
        frames = [self._drawn(s, frame)[0] for frame in s["z"].unbind(2)]
        return torch.stack(frames, dim=2).clamp(0, 1)


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset`: Adam 1e-4, VCN of width 32, 25 passes over the frames.

    `fast` has half the width and three times the rate: a quarter of the time.
    """
    fast = preset == "fast"
    return Recipe(
        method=DVP(),
        net=VCN(width=16 if fast else 32),
        engine=Engine("adam", lr=3e-4 if fast else 1e-4, precision="fp32"),
        output=Last(),
        source="Lei, Xing, Chen 2020, with L1 in place of the perceptual loss"
        + (", half the width and three times the rate" if fast else ""),
    )


CARD = Card(
    name="dvp",
    title="Deep Video Prior: one network on all frames makes a processed video consistent",
    source="Lei, Xing, Chen, NeurIPS 2020",
    family=EARLY_STOPPING,
    tasks=("video",),
    optimises="the network",
    recipe=recipe,
)
