"""MCG: manifold constrained gradients, and a projection onto the measurements at each level."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.classical.linear import require_linear
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
    project,
    shown,
    sigma_of,
    span,
    to_image,
    to_paper,
)
from untrained.priors import DENOISER
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class MCG(Method):
    r"""Eqs. 15 and 16 of Chung, Sim, Ryu, Ye (NeurIPS 2022, arXiv 2206.00941).

    .. math:: x'_{i-1} &= f(x_i, s_\theta) + g(x_i) z
                  - \alpha \nabla_{x_i} \|W (y - H \hat x_0(x_i))\|_2^2 \\
              x_{i-1} &= (I - H^+ H)\, x'_{i-1} + H^+ y_{i-1}, \qquad
              y_i = \sqrt{\bar\alpha_i}\, y + \sqrt{1 - \bar\alpha_i}\, H z

    with the unconditional step f + g z of DDPM, :math:`\hat x_0` by Tweedie's formula, and
    :math:`\alpha = \alpha' / \|y - H \hat x_0\|`. For missing pixels H^+ H is the mask and the
    second line puts the measured pixels, with noise of the level, in place.

    Symbols: `rounds` the number of levels, alpha' `alpha`; W = I. H^+ is that of conjugate
    gradients, `cg` steps at most. Elsewhere than for photographs the length of the residual is
    relative to ||H||. Image of a step: that of the two lines if the level were the last.

    Differs from the paper: its CT and colorisation use a variance-exploding prior and
    predictor-corrector steps, here every prior goes through the same chain.

    Args:
        rounds: noise levels.
        alpha: alpha'.
        normalised: False for a constant alpha = alpha'.
        cg: most steps of conjugate gradients of H^+.
    """

    name: ClassVar[str] = "mcg"
    differentiates: ClassVar[bool] = True
    rounds: int = 1000
    inner: int = 1
    alpha: float = 1.0
    normalised: bool = True
    cg: int = 20

    def within(self, steps: int) -> MCG:
        """Go through as many levels as there are steps."""
        return replace(self, rounds=steps)

    def start(self, s: State) -> None:
        """x_N ~ N(0, I)."""
        require_linear(s.problem, self.name)
        s["x"] = begin(s, levels_for(s, self.rounds)[0])

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Tweedie's estimate and its gradient; the image is that of a last level."""
        now, _ = at(levels_for(s, self.rounds), s.step)
        x0, gradient = guided(s, now, self.alpha, self.normalised)
        s["x0"], s["gradient"] = x0, gradient
        return shown(s, project(s.problem, to_image(s.problem, x0 - gradient), self.cg))

    def advance(self, s: State) -> None:
        """Eqs. 15 and 16."""
        levels = at(levels_for(s, self.rounds), s.step - 1)
        mean, noise = ddim(s, s["x"], s["x0"], levels, ancestral(levels))
        s["x"] = self._with_measurements(s, mean + noise - s["gradient"], levels[1])

    def _with_measurements(self, s: State, x: Tensor, alpha_bar: float) -> Tensor:
        """Eq. 16, of x over sqrt(alpha_bar): an image with noise sigma z, z taken off and back."""
        problem, root = s.problem, math.sqrt(alpha_bar)
        z = s.noise("measurements", problem.x_shape) * (sigma_of(alpha_bar) / span(problem))
        image = project(problem, to_image(problem, x / root) - z, self.cg) + z
        return root * to_paper(problem, image)


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`: 1000 levels as in the paper's inpainting."""
    if preset == "fast":
        return no_network(MCG(200), "Eqs. 15 and 16 with 200 of the 1000 levels")
    source = "Chung et al. 2022, Eqs. 15 and 16, 1000 levels; alpha' = 1 on every task"
    return no_network(MCG(), source, seeds=4 if preset == "best" else 1)


CARD = Card(
    name="mcg",
    title="manifold constrained gradients with projections",
    source="Chung, Sim, Ryu, Ye, NeurIPS 2022",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="nothing: samples by a diffusion prior",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
