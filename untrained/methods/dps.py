"""DPS: Diffusion Posterior Sampling by the gradient of the measurements through the prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.card import PRETRAINED, PRIOR, Card
from untrained.methods.presets import no_network
from untrained.methods.sampling import (
    ancestral,
    at,
    begin,
    ddim,
    guided,
    levels_for,
    shown,
    to_image,
)
from untrained.priors import DENOISER
from untrained.tasks import ALL_TASKS


@dataclass(frozen=True)
class DPS(Method):
    r"""Algorithm 1 of Chung, Kim, Mccann, Klasky, Ye (ICLR 2023, arXiv 2209.14687).

    From :math:`x_N \sim N(0, I)`, for i = N - 1 ... 0

    .. math:: \hat x_0 &= \tfrac{1}{\sqrt{\bar\alpha_i}}
                  \big(x_i + (1 - \bar\alpha_i)\, s_\theta(x_i, i)\big) \\
              x'_{i-1} &= \tfrac{\sqrt{\alpha_i}(1 - \bar\alpha_{i-1})}{1 - \bar\alpha_i} x_i
                  + \tfrac{\sqrt{\bar\alpha_{i-1}}\beta_i}{1 - \bar\alpha_i} \hat x_0
                  + \tilde\sigma_i z \\
              x_{i-1} &= x'_{i-1} - \zeta_i \nabla_{x_i} \|y - A(\hat x_0)\|_2^2

    with :math:`\zeta_i = \zeta' / \|y - A(\hat x_0)\|`. The gradient goes through the prior. The
    operator may be nonlinear. Image of a step: :math:`\hat x_0` minus its gradient step, which at
    the last level, where :math:`\bar\alpha_{i-1} = 1`, is x_0.

    Symbols: N `rounds`, zeta' `zeta`. Elsewhere than for photographs A and y are divided by ||A||.

    Differs from the released code: there the step is :math:`\zeta \nabla \|y - A \hat x_0\|`, half
    as long for the same number, each estimate of the image is clipped to [-1, 1], and the variance
    of a step is the one that the network learned.

    Args:
        rounds: N, noise levels.
        zeta: zeta'.
        normalised: False for a constant step, zeta_i = zeta'.
    """

    name: ClassVar[str] = "dps"
    differentiates: ClassVar[bool] = True
    nonlinear: ClassVar[bool] = True
    rounds: int = 1000
    inner: int = 1
    zeta: float = 1.0
    normalised: bool = True

    def within(self, steps: int) -> DPS:
        """Go through as many levels as there are steps."""
        return replace(self, rounds=steps)

    def start(self, s: State) -> None:
        """Line 1: x_N ~ N(0, I)."""
        s["x"] = begin(s, levels_for(s, self.rounds)[0])

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Lines 3 to 4, and the gradient of line 7."""
        now, _ = at(levels_for(s, self.rounds), s.step)
        x0, gradient = guided(s, now, self.zeta, self.normalised)
        s["x0"], s["gradient"] = x0, gradient
        return shown(s, to_image(s.problem, x0 - gradient))

    def advance(self, s: State) -> None:
        """Lines 5 to 7."""
        levels = at(levels_for(s, self.rounds), s.step - 1)
        mean, noise = ddim(s, s["x"], s["x0"], levels, ancestral(levels))
        s["x"] = mean + noise - s["gradient"]


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    The paper's: 1000 levels; zeta' = 1 on faces, 0.4 for phase retrieval (Appendix D).
    """
    zeta = 0.4 if task == "phase" else 1.0
    if preset == "fast":
        return no_network(DPS(200, zeta=zeta), "Algorithm 1 with 200 of its 1000 levels")
    source = "Chung et al. 2023, Algorithm 1 and Appendix D; zeta' of faces for every linear task"
    return no_network(DPS(zeta=zeta), source, seeds=4 if preset == "best" else 1)


CARD = Card(
    name="dps",
    title="Diffusion Posterior Sampling",
    source="Chung, Kim, Mccann, Klasky, Ye, ICLR 2023",
    family=PRETRAINED,
    tasks=ALL_TASKS,
    optimises="nothing: samples by a diffusion prior",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
