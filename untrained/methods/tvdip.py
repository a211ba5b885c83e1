"""Deep Image Prior with total variation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.maths import tv
from untrained.methods.card import REGULARISATION, Card
from untrained.methods.inputs import jittered, uniform_input
from untrained.methods.presets import fast
from untrained.nets import SKIP
from untrained.rules import Last
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class TVDIP(Method):
    r"""TV-regularised DIP (Liu, Sun, Xu, Kamilov, ICASSP 2019, arXiv 1810.12864), Eq. 6.

    .. math:: \min_\theta \|A f_\theta(z + \sigma_p\varepsilon_t) - y\|^2
              + \lambda\,\mathrm{TV}(f_\theta(z + \sigma_p\varepsilon_t))

    with the anisotropic :math:`\mathrm{TV}(x) = \sum |\partial_1 x| + |\partial_2 x|`. Both terms
    are divided by the number of image entries here. The data term is divided by ||A||^2, the
    largest squared singular value, and not by the mean one as a paper's lambda would ask for:
    lambda is ours, was set per task at that scale, and is relative to the level of A^H y
    (`Problem.adjoint_level`, 1 but for CT).

    No official code is known. Re-uses differ in the reduction of TV (sums, means, a dropped last
    row); none is followed.

    Args:
        rounds: K, optimiser steps (N = 1).
        lam: lambda.
        jitter, channels, amplitude: of the input, as in DIP.
    """

    name: ClassVar[str] = "tvdip"
    nonlinear: ClassVar[bool] = True
    rounds: int = 4000
    inner: int = 1
    lam: float = 0.01
    jitter: float = 1 / 30
    channels: int = 32
    amplitude: float = 0.1

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels

    def start(self, s: State) -> None:
        """z ~ U(0, amplitude), fixed; every weight of f is trained."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(z) - y||^2 + lambda TV(f(z))."""
        x = s.net(jittered(s, self.jitter))
        weight = self.lam * s.problem.adjoint_level
        return x, {"data": s.problem.misfit(x, "norm"), "tv": weight * tv(x)}


WEIGHTS = {"denoise": 0.05, "superres": 0.02, "inpaint": 0.01, "deblur": 0.002}
"""lambda per task where the papers' values cannot be read; 0.01 for MRI, CT and other operators."""


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    aSeqDIP (App. C.6) gives this baseline lambda = 1 and 4,000 steps without saying what is
    summed and what averaged; with sums on both sides lambda = 1 flattens any image in [0, 1], so
    lambda is ours, per task.
    """
    method = TVDIP(4000, lam=WEIGHTS.get(task, 0.01))
    if preset != "paper":
        return fast(method, task, preset, "TV-DIP's equations with the fast engine")
    return Recipe(
        method=method,
        net=SKIP if find_task(task).unit_range else replace(SKIP, sigmoid=False),
        engine=Engine("adam", lr=0.01, precision="fp32"),
        output=Last(),
        source="aSeqDIP App. C.6: 4,000 steps, DIP's network, Adam 0.01; lambda ours (see docs)",
    )


CARD = Card(
    name="tvdip",
    title="Deep Image Prior with total variation",
    source="Liu, Sun, Xu, Kamilov, ICASSP 2019",
    family=REGULARISATION,
    tasks=ALL_TASKS,
    optimises="the network",
    recipe=recipe,
)
