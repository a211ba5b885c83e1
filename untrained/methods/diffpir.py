"""DiffPIR: plug-and-play restoration along a diffusion chain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.classical.linear import require_linear
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import PRETRAINED, PRIOR, Card
from untrained.methods.presets import no_network
from untrained.methods.sampling import (
    at,
    begin,
    ddim,
    levels_for,
    noise_level,
    proximal,
    shown,
    sigma_of,
    to_image,
    to_paper,
    tweedie,
)
from untrained.priors import DENOISER
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class DiffPIR(Method):
    r"""Algorithm 1 of Zhu, Zhang, Liang, Cao, Wen, Timofte, Van Gool (NTIRE 2023, 2305.08995).

    With :math:`\rho_t = \lambda \sigma_n^2 / \bar\sigma_t^2`,
    :math:`\bar\sigma_t^2 = (1 - \bar\alpha_t) / \bar\alpha_t`

    .. math:: x_0^{(t)} &= \text{Tweedie}(x_t) \\
              \hat x_0^{(t)} &= \arg\min_x \|y - H x\|^2 + \rho_t \|x - x_0^{(t)}\|^2 \\
              \hat\epsilon &= (x_t - \sqrt{\bar\alpha_t}\, \hat x_0^{(t)}) / \sqrt{1 - \bar\alpha_t}
                  \\
              x_{t-1} &= \sqrt{\bar\alpha_{t-1}}\, \hat x_0^{(t)} + \sqrt{1 - \bar\alpha_{t-1}}
                  \big(\sqrt{1 - \zeta}\, \hat\epsilon + \sqrt\zeta\, \epsilon_t\big)

    Symbols: lambda `lam`, zeta `zeta`. sigma_n is the noise of y, `least` where it is not known or
    smaller. The second line is solved by conjugate gradients, `cg` steps at most, where the paper
    has formulas for its operators. Levels are spaced as in the released code, t = T sqrt(i / n).
    Image of a step: :math:`\hat x_0^{(t)}`.

    Differs from the released code: there sigma_n is in units of [0, 1] and the chain in those of
    [-1, 1]; here both are in the latter, so that its lambda is a quarter of ours.

    Args:
        rounds: noise levels.
        lam: weight of the prior.
        zeta: share of new noise, 0 to 1.
        least: smallest noise level that the data are taken to have, in the paper's units.
        cg: most steps of conjugate gradients.
    """

    name: ClassVar[str] = "diffpir"
    rounds: int = 100
    inner: int = 1
    lam: float = 1.0
    zeta: float = 0.1
    least: float = 0.01
    cg: int = 30

    def __post_init__(self) -> None:
        if not 0 <= self.zeta <= 1:
            raise UserError(f"zeta={self.zeta:g} is the share of new noise, 0 to 1")
        if not (self.lam > 0 and self.least > 0):
            raise UserError(f"lam={self.lam:g} and least={self.least:g} must be positive")

    def within(self, steps: int) -> DiffPIR:
        """Go through as many levels as there are steps."""
        return replace(self, rounds=steps)

    def start(self, s: State) -> None:
        """x_T ~ N(0, I)."""
        require_linear(s.problem, self.name)
        s["x"] = begin(s, levels_for(s, self.rounds, "quadratic")[0])

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Lines 3 and 4: the denoised image, and the proximal point of the data there."""
        now, _ = at(levels_for(s, self.rounds, "quadratic"), s.step)
        rho = self.lam * (noise_level(s.problem, self.least) / sigma_of(now)) ** 2
        x0 = to_image(s.problem, tweedie(s, s["x"], now))
        image = proximal(s.problem, x0, rho, self.cg)
        s["x0"] = to_paper(s.problem, image)
        return shown(s, image)

    def advance(self, s: State) -> None:
        """Lines 5 to 7."""
        levels = at(levels_for(s, self.rounds, "quadratic"), s.step - 1)
        spread = math.sqrt(self.zeta * (1.0 - levels[1]))
        mean, noise = ddim(s, s["x"], s["x0"], levels, spread)
        s["x"] = mean + noise


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`: 100 or 20 evaluations, the paper has both.

    lambda = 1 and zeta = 0.1 are those of the released configuration for deblurring; the paper
    tunes both for each task and noise level.
    """
    if preset == "fast":
        return no_network(DiffPIR(20), "Algorithm 1 with 20 evaluations, as in the paper")
    source = "Zhu et al. 2023, 100 evaluations; lambda and zeta of the released configuration"
    return no_network(DiffPIR(), source, seeds=4 if preset == "best" else 1)


CARD = Card(
    name="diffpir",
    title="plug-and-play restoration along a diffusion chain",
    source="Zhu, Zhang, Liang, Cao, Wen, Timofte, Van Gool, NTIRE 2023",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="nothing: samples by a diffusion prior",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
