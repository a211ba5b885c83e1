"""Constrained Diffusion-Driven Deep Image Prior: a DIP fitted at every step of a sampler."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.card import HYBRID, PRIOR, Card
from untrained.methods.diffusion import denoised, first_image, vp_levels, within_steps
from untrained.methods.presets import fast
from untrained.nets import MEDIUM_UNET
from untrained.priors import DENOISER
from untrained.rules import Last
from untrained.tasks import ALL_TASKS


@dataclass(frozen=True)
class CDDIP(Method):
    r"""CDDIP of Goyes-Penafiel, Kamilov, Arguello (arXiv 2407.17402).

    At every noise level t of the reverse process, the model's estimate is the input of a network,
    which N steps fit to the measurements; noise of the next level is added to what it draws:

    .. math:: \hat x_t = D(x_t), \qquad \min_\theta \|A f_\theta(\hat x_t) - y\|^2, \qquad
              x_{t-1} = f_\theta(\hat x_t) + \sigma_{t-1}\, n

    in the VE view (`methods.diffusion`; the paper has sqrt(abar) f + sqrt(1 - abar) n). theta goes
    on from level to level; the optimiser begins anew at each. The levels are those of the cosine
    schedule. The image is f.

    Symbols: number of levels `rounds`, N `inner`.

    Differs from the released code, which divides f by its largest magnitude; there A leaves out
    traces (columns), and the image is a section of three equal channels. Here f keeps its units,
    and A is any operator.
    """

    name: ClassVar[str] = "cddip"
    nonlinear: ClassVar[bool] = True
    restarts: ClassVar[bool] = True
    rounds: int = 25
    inner: int = 50

    def within(self, steps: int) -> CDDIP:
        """Keep the levels where the budget allows, with fewer steps at each."""
        rounds, inner = within_steps(self.rounds, self.inner, steps)
        return replace(self, rounds=rounds, inner=inner)

    def start(self, s: State) -> None:
        """z <- D(x_T), x_T being noise; every weight of f is trained."""
        sigma = self._levels(s)[0]
        s["z"] = self._estimate(s, first_image(s, sigma), sigma)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(z) - y||^2, z being x-hat."""
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}

    def advance(self, s: State) -> None:
        """z <- D(f(z) + sigma n); after the last level nothing moves."""
        k = s.step // self.inner
        if k < self.rounds:
            sigma = self._levels(s)[k]
            noise = s.noise("again", s.problem.x_shape)
            s["z"] = self._estimate(s, s.net(s["z"]) + sigma * noise, sigma)

    def _levels(self, s: State) -> list[float]:
        known = s.denoiser.levels
        return vp_levels("cosine", self.rounds, known, unit_range=s.problem.unit_range)

    def _estimate(self, s: State, x: Tensor, sigma: float) -> Tensor:
        """x-hat = D(x), cut to the range of photographs where the image is one."""
        clean = s.problem.supported(denoised(s, x, sigma))
        return clean.clamp(0, 1) if s.problem.unit_range else clean


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` has 25 levels with 50 steps of AdamW at 1e-3 each, `fast` 8 levels.
    """
    if preset != "paper":
        method = CDDIP(rounds=8) if preset == "fast" else CDDIP()
        made = fast(method, task, preset, "CDDIP with the fast engine; fast has 8 levels")
        return replace(made, steps=0)
    return Recipe(
        method=CDDIP(),
        net=MEDIUM_UNET,
        engine=Engine("adamw", lr=1e-3, weight_decay=0.01, precision="fp32"),
        output=Last(),
        source="Goyes-Penafiel et al. 2024, and the released code for the optimiser",
    )


CARD = Card(
    name="cddip",
    title="CDDIP: a network fitted to the measurements at every step of a sampler",
    source="Goyes-Penafiel, Kamilov, Arguello, arXiv 2407.17402, 2024",
    family=HYBRID,
    tasks=ALL_TASKS,
    optimises="the network, with input updates",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
