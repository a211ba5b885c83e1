"""Score-MRI: predictor-corrector sampling with data consistency after each of the two."""

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
from untrained.maths import norm, per_problem
from untrained.methods.card import PRETRAINED, PRIOR, Card
from untrained.methods.diffusion import denoised
from untrained.methods.presets import no_network
from untrained.methods.sampling import FAR, at, first_image, shown, ve_levels
from untrained.priors import DENOISER
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class ScoreMRI(Method):
    r"""Algorithm 1 of Chung, Ye (Medical Image Analysis 2022, arXiv 2110.05243), on any prior.

    The noise of the chain explodes (VE): :math:`x_N \sim N(0, \sigma_{\max}^2 I)`, and for
    i = N - 1 ... 0, with g the score

    .. math:: x &\leftarrow x + (\sigma_{i+1}^2 - \sigma_i^2)\, g(x, \sigma_{i+1})
                  + \sqrt{\sigma_{i+1}^2 - \sigma_i^2}\; z \\
              x &\leftarrow x + \lambda A^* (y - A x) \\
              x &\leftarrow x + \epsilon_i\, g(x, \sigma_i) + \sqrt{2 \epsilon_i}\; z, \qquad
                  \epsilon_i = 2 \big(r \|z\| / \|g\|\big)^2 \\
              x &\leftarrow x + \lambda A^* (y - A x)

    the first line the predictor, the third the corrector, M times. Levels are geometric. A and y
    are divided by ||A||; lambda = 1 puts the measured lines of one coil in place.

    Symbols: N `rounds`, M `corrections`, r `r`, lambda `lam`. Image of a step: the first two lines
    to sigma = 0 without noise, as the code's last step; after the last level nothing else follows,
    so that its correction at sigma_0 = 0.01 is left out.

    Differs from the paper: coils are joined by their maps in A, where it samples every coil by
    itself (SSOS) or maps and coils in turn (hybrid); images need not be those of MRI. Levels that
    the prior does not know are left out.

    Args:
        rounds: noise levels.
        corrections: M.
        r: signal-to-noise ratio of the corrector.
        lam: step towards the measurements, 0 to 2.
        least, greatest: sigma_min and sigma_max, of images O(1).
        constant: 0, or what the corrector's step is in place of the rule above, times sigma_i^2.
    """

    name: ClassVar[str] = "scoremri"
    rounds: int = 2000
    inner: int = 1
    corrections: int = 1
    r: float = 0.16
    lam: float = 1.0
    least: float = 0.01
    greatest: float = 378.0
    constant: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.least < self.greatest:
            raise UserError(f"least={self.least:g} must lie between 0 and {self.greatest:g}")
        if not 0 <= self.lam <= 2:
            raise UserError(f"lam={self.lam:g}: a step of more than 2 leads away from the data")
        if self.corrections < 0:
            raise UserError(f"corrections={self.corrections} is a number of steps, 0 or more")

    def within(self, steps: int) -> ScoreMRI:
        """Go through as many levels as there are steps."""
        return replace(self, rounds=steps)

    def start(self, s: State) -> None:
        """x_N ~ N(0, sigma_max^2 I); from a first image where the prior knows no such level."""
        require_linear(s.problem, self.name)
        sigma = self._levels(s)[0]
        x = sigma * s.noise("start", s.problem.x_shape)
        s["x"] = x if sigma >= FAR else first_image(s.problem) + x

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the predictor's score; the image is that of a last level."""
        sigma, _ = at(self._levels(s), s.step)
        s["x0"] = denoised(s, s["x"], sigma)
        return shown(s, self._consistent(s, s["x0"]))

    def advance(self, s: State) -> None:
        """Predict, put the data in; correct, put the data in."""
        sigma, after = at(self._levels(s), s.step - 1)
        shape = s.problem.x_shape
        fall = sigma**2 - after**2
        x = s["x"] + fall / sigma**2 * (s["x0"] - s["x"])
        x = self._consistent(s, x + math.sqrt(fall) * s.noise("predictor", shape))
        for m in range(self.corrections if after else 0):
            z, score = s.noise(f"corrector {m}", shape), (denoised(s, x, after) - x) / after**2
            step = 2 * (self.r * norm(z) / norm(score).clamp_min(1e-12)) ** 2
            if self.constant:
                step = step * 0 + self.constant * after**2
            step = per_problem(step, x)
            x = self._consistent(s, x + step * score + (2 * step).sqrt() * z)
        s["x"] = x

    def _consistent(self, s: State, x: Tensor) -> Tensor:
        """x + lambda A^* (y - A x), relative to ||A||."""
        problem = s.problem
        back = problem.descent(x)
        return x + self.lam / problem.norm_squared * back

    def _levels(self, s: State) -> tuple[float, ...]:
        """sigma of the levels that the prior knows, and 0 behind them."""
        least, greatest = s.denoiser.levels
        least, greatest = max(least, self.least), min(greatest, self.greatest)
        if not least < greatest:
            raise UserError(
                f"a sampler goes down through noise levels, and this prior knows those from "
                f"{s.denoiser.levels[0]:g} to {s.denoiser.levels[1]:g} only; take a "
                "noise-conditional one, or --method pnp or red, which ask one level"
            )
        return ve_levels(self.rounds, least, greatest)


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`: N = 2000, M = 1, r = 0.16 and lambda = 1."""
    if preset == "fast":
        return no_network(ScoreMRI(200), "Algorithm 1 with 200 of its 2000 levels")
    source = "Chung, Ye 2022: N = 2000, M = 1, r = 0.16, lambda = 1"
    return no_network(ScoreMRI(), source, seeds=4 if preset == "best" else 1)


CARD = Card(
    name="scoremri",
    title="predictor-corrector sampling with data consistency",
    source="Chung, Ye, Medical Image Analysis 2022",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="nothing: samples by a diffusion prior",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
