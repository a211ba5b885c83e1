"""Sequential diffusion-guided Deep Image Prior: aSeqDIP whose input a diffusion model purifies."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import mse
from untrained.methods.card import HYBRID, PRIOR, Card
from untrained.methods.diffusion import denoised
from untrained.methods.presets import sequential
from untrained.nets import MEDIUM_UNET, SHALLOW_UNET
from untrained.priors import DENOISER
from untrained.rules import Last
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class UDiGDIP(Method):
    r"""uDiG-DIP of Liang, Alkhouri, Qu, Wang, Ravishankar (ICASSP 2025).

    .. math:: \min_\theta \|A f_\theta(z_{k-1}) - y\|^2
              + \lambda \|f_\theta(z_{k-1}) - z_{k-1}\|^2, \qquad
              z_k = \mathrm{DM}(f_\theta(z_{k-1})), \qquad z_0 = A^H y

    N optimiser steps per update of z, K updates, as in aSeqDIP; DM is a pre-trained diffusion model
    that purifies: noise up to a level, then the model's way back from there,

    .. math:: v_0 = f + \sigma_0 n, \qquad
              v_{j+1} = D(v_j, \sigma_j) + \sigma_{j+1} \frac{v_j - D(v_j, \sigma_j)}{\sigma_j},
              \qquad \sigma_j = (1 - j / J)\, \sigma_0, \qquad \mathrm{DM}(f) = v_J .

    One step (J = 1) is Tweedie's estimate D(f + sigma_0 n, sigma_0). Without noise DM is the
    identity, and the method is aSeqDIP.

    Symbols: K `rounds`, N `inner`, lambda `lam`, sigma_0 `level` in the image's units (photographs
    [0, 1]), J `jumps`. Both terms are divided as in `ASeqDIP`. A level that the prior does not know
    is brought to the nearest that it does.

    Differs from the released code, which samples with DDS once and then runs a loop without DM
    whose variables are undefined. The level is in neither: 0.05 is ours.
    """

    name: ClassVar[str] = "udig"
    nonlinear: ClassVar[bool] = True
    rounds: int = 2000
    inner: int = 2
    lam: float = 1.0
    level: float = 0.05
    jumps: int = 1

    def __post_init__(self) -> None:
        if not self.level >= 0 or self.jumps < 1:
            raise UserError(
                f"level must not be negative and jumps be at least 1, got {self.level:g} and "
                f"{self.jumps}"
            )

    def levels_asked(self) -> tuple[float, ...]:
        """Give the level of the purification."""
        return (self.level,) if self.level else ()

    def start(self, s: State) -> None:
        """z <- y for deblurring, else A^H y, as in aSeqDIP; every weight of f is trained."""
        problem, _ = s.problem, s.denoiser
        whole = problem.task == "deblur" and problem.keep is None
        s["z"] = problem.y if whole else problem.estimate()
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(z) - y||^2 + lambda ||f(z) - z||^2."""
        z = s["z"]
        x = s.net(z)
        return x, {"data": s.problem.misfit(x), "autoencoding": self.lam * mse(x, z)}

    def advance(self, s: State) -> None:
        """z <- DM(f(z))."""
        s["z"] = self._purified(s, s.net(s["z"]))

    def _purified(self, s: State, x: Tensor) -> Tensor:
        """DM(x); what no measurement sees stays zero."""
        if not self.level:
            return x
        least, greatest = s.denoiser.levels
        first = min(max(self.level, least), greatest)
        levels = [first * (1 - j / self.jumps) for j in range(self.jumps)] + [0.0]
        x = x + first * s.noise("purify", s.problem.x_shape)
        for sigma, lower in pairwise(levels):
            clean = denoised(s, x, sigma)
            x = clean + lower / sigma * (x - clean)
        return s.problem.supported(x)


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` has K = 2000, N = 2, lambda = 1, Adam 1e-4 and the networks of aSeqDIP.
    """
    if preset != "paper":
        inner, why = (10, "; N = 10 as in aSeqDIP's released code") if task == "ct" else (2, "")
        source = f"uDiG-DIP with the fast engine{why}"
        return sequential(UDiGDIP(inner=inner), task, preset, source)
    return Recipe(
        method=UDiGDIP(),
        net=SHALLOW_UNET if find_task(task).unit_range else MEDIUM_UNET,
        engine=Engine("adam", lr=1e-4, precision="fp32"),
        output=Last(),
        source="Liang et al. 2025, which takes over aSeqDIP's settings; the level is ours",
    )


CARD = Card(
    name="udig",
    title="uDiG-DIP: aSeqDIP whose input a diffusion model purifies",
    source="Liang, Alkhouri, Qu, Wang, Ravishankar, ICASSP 2025",
    family=HYBRID,
    tasks=ALL_TASKS,
    optimises="the network, with input updates",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
