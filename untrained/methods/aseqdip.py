"""Autoencoding sequential Deep Image Prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.maths import mse
from untrained.methods.card import REGULARISATION, Card
from untrained.methods.lambdas import Lam, number, with_each_lambda
from untrained.methods.presets import sequential
from untrained.nets import MEDIUM_UNET, SHALLOW_UNET
from untrained.rules import Last
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class ASeqDIP(Method):
    r"""Algorithm 1 of Alkhouri, Liang, Bell, Qu, Wang, Ravishankar (NeurIPS 2024).

    .. math:: \min_\theta \|A f_\theta(z_{k-1}) - y\|^2
              + \lambda \|f_\theta(z_{k-1}) - z_{k-1}\|^2, \qquad z_k = f_\theta(z_{k-1}),
              \qquad z_0 = A^H y

    N optimiser steps per update of z, K updates; weights and the optimiser's memory carry over,
    z is not differentiated through.

    Symbols: K `rounds`, N `inner`, lambda `lam`. Both terms are sums of squares divided by the
    number of image entries, the data term also by the operator's mean squared singular value
    (see `Problem`), so that lambda weighs them as in the paper's denoising, where that is one;
    z_0 is A^H y times the scalar that fits y best (Sec. 3.2: y itself for denoising, inpainting
    and deblurring; a blurred image of which pixels are held out begins at A^H y too). A nonlinear
    operator begins at its own `initial(y)`, for non-linear deblurring y.

    `lam="auto"`, which no preset has, tries a few values on held-out measurements first
    (`Recipe.candidates`); that is ours.

    Differs from the released code. MRI: there z is not f(z) but the image of the predicted
    k-space with the measured lines put back, N = 10, K = 6000, norms are not squared, the
    autoencoding term subtracts a complex image from a two-channel one and broadcasts, and z is
    never scaled to the output's units. CT: unsquared norms, N = 10, z_0 is a min-max normalised
    FBP. Inpainting: another network, lr 3e-4, K = 200, the hole is filled with grey and fitted.
    Deblurring: lambda 5, K = 5000, a linear kernel. The notebook's loss lost its autoencoding
    term to a line break. Here z_k is a fresh forward after the N-th step, as in the paper.
    """

    name: ClassVar[str] = "aseqdip"
    nonlinear: ClassVar[bool] = True
    rounds: int = 2000
    inner: int = 2
    lam: Lam = 1.0

    @property
    def description(self) -> str:
        """Give the name and lambda."""
        return f"lambda {self.lam:g}" if self.lam != "auto" else self.name

    def candidates(self) -> tuple[ASeqDIP, ...]:
        """Return the method with each lambda to be tried."""
        return with_each_lambda(self)

    def start(self, s: State) -> None:
        """Line 1: z <- y for deblurring, else A^H y; every weight of f is trained."""
        problem = s.problem
        whole = problem.task == "deblur" and problem.keep is None
        # an operator that leaves the border out, as deepinv's, has a smaller y
        whole = whole and tuple(problem.y.shape[1:]) == problem.x_shape
        s["z"] = problem.y if whole else problem.estimate()
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Line 4: ||A f(z) - y||^2 + lambda ||f(z) - z||^2."""
        z = s["z"]
        x = s.net(z)
        return x, {"data": s.problem.misfit(x), "autoencoding": number(self.lam) * mse(x, z)}

    def advance(self, s: State) -> None:
        """Line 5: z <- f(z)."""
        s["z"] = s.net(s["z"])


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` is Sec. 4.1 for all tasks: K = 2000, N = 2,
    lambda = 1, Adam 1e-4, and the network that the authors name for the task.
    """
    if preset != "paper":
        inner, why = (10, "; N = 10 as in the released code") if task == "ct" else (2, "")
        source = f"Algorithm 1 with the fast engine{why}"
        return sequential(ASeqDIP(inner=inner), task, preset, source)
    return Recipe(
        method=ASeqDIP(),
        net=SHALLOW_UNET if find_task(task).unit_range else MEDIUM_UNET,
        engine=Engine("adam", lr=1e-4, precision="fp32"),
        output=Last(),
        source="Alkhouri et al. 2024, Sec. 4.1; networks from the authors' README",
    )


CARD = Card(
    name="aseqdip",
    title="autoencoding sequential Deep Image Prior",
    source="Alkhouri, Liang, Bell, Qu, Wang, Ravishankar, NeurIPS 2024",
    family=REGULARISATION,
    tasks=ALL_TASKS,
    optimises="the network, with input updates",
    recipe=recipe,
)
