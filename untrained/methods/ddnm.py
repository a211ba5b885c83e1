"""DDNM: the null space by a diffusion prior, the range space by the measurements."""

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
    ancestral,
    at,
    begin,
    ddim,
    ddim_weights,
    levels_for,
    noise_level,
    project,
    shown,
    to_image,
    to_paper,
    tweedie,
)
from untrained.priors import DENOISER
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class DDNM(Method):
    r"""Wang, Yu, Zhang (ICLR 2023, arXiv 2212.00490): Algorithm 1, and Algorithm 2 (DDNM+).

    .. math:: x_{0|t} &= \text{Tweedie}(x_t) \\
              \hat x_{0|t} &= A^+ y + (I - A^+ A)\, x_{0|t} \\
              x_{t-1} &\sim p(x_{t-1} \mid x_t, \hat x_{0|t})

    so that without noise each estimate agrees with the measurements exactly. With noise of the
    level sigma_y in y (DDNM+, Eqs. 17 to 19 with scalar Sigma_t and Phi_t)

    .. math:: \hat x_{0|t} = x_{0|t} - \lambda_t A^+ (A x_{0|t} - y), \qquad
              \lambda_t = \min(1, \sigma_t / (a_t \sigma_y)), \qquad
              \gamma_t = \sigma_t^2 - (a_t \lambda_t \sigma_y)^2

    where sigma_t is the spread of the step, a_t what it multiplies :math:`\hat x_0` by, and gamma_t
    the variance of the noise that is still to be added. *Time travel* (Algorithm 2): each stretch
    of l levels is gone through r times, :math:`x_{t+l} \sim q(x_{t+l} \mid x_t)` between.

    Symbols: r `travel`, l `stretch`, levels `rounds` / r. `eta` is DDIM's: 1 is Algorithm 1, the
    paper's experiments take 0.85. A^+ is that of conjugate gradients, `cg` steps at most, where the
    paper has a formula or a singular value decomposition of each operator; few steps leave the
    directions out that hardly anything is measured of, as its threshold of singular values does.

    Differs from the released code: there the step goes in the direction of the network's own
    noise, here in that which belongs to x_t and :math:`\hat x_{0|t}`, as in Algorithm 1. DDNM+
    by singular values (Appendix I) is left out.

    Args:
        rounds: noise levels times `travel`.
        eta: 0 (no noise is added) to 1 (DDPM).
        noisy: whether a known noise level counts (DDNM+).
        travel: r; 1 = no time travel.
        stretch: l; the number of levels is to be a multiple of it where r > 1.
        cg: most steps of conjugate gradients of A^+.
    """

    name: ClassVar[str] = "ddnm"
    rounds: int = 100
    inner: int = 1
    eta: float = 0.85
    noisy: bool = True
    travel: int = 1
    stretch: int = 20
    cg: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta={self.eta:g} is DDIM's share of noise, 0 to 1")
        if self.travel < 1 or self.stretch < 1:
            raise UserError(f"travel={self.travel}, stretch={self.stretch}: give 1 or more")
        if self.travel > 1 and self.rounds % (self.travel * self.stretch):
            raise UserError(
                f"rounds={self.rounds} are no multiple of travel * stretch = "
                f"{self.travel * self.stretch}: each stretch is gone through {self.travel} times"
            )

    def within(self, steps: int) -> DDNM:
        """Go through as many levels as there are steps; a rest that fills no stretch is left."""
        whole = self.travel * self.stretch if self.travel > 1 else 1
        return replace(self, rounds=max(whole, steps // whole * whole))

    def start(self, s: State) -> None:
        """x_T ~ N(0, I)."""
        require_linear(s.problem, self.name)
        s["x"] = begin(s, self._levels(s, 0)[0])

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Lines 3 and 4: both estimates; the image is the second."""
        problem, levels = s.problem, self._levels(s, s.step)
        x0 = to_image(problem, tweedie(s, s["x"], levels[0]))
        image = x0 + self._share(s, levels) * (project(problem, x0, self.cg) - x0)
        s["x0"] = to_paper(problem, image)
        return shown(s, image)

    def advance(self, s: State) -> None:
        """Line 5, and the way back of time travel."""
        k = s.step - 1
        levels = self._levels(s, k)
        spread = self._spread(levels)
        mean, noise = ddim(s, s["x"], s["x0"], levels, spread)
        known = self._clean(levels) * self._share(s, levels) * self._sigma(s)
        left = math.sqrt(max(0.0, spread**2 - known**2))
        x = mean + noise * (left / spread if spread else 0.0)
        if self._goes_back(k):
            first, _ = self._levels(s, k + 1)
            keep = first / levels[1]
            again = s.noise("again", s.problem.x_shape)
            x = math.sqrt(keep) * x + math.sqrt(1.0 - keep) * again
        s["x"] = x

    # a step's numbers -------------------------------------------------------------------------
    def _spread(self, levels: tuple[float, float]) -> float:
        """sigma_t."""
        return self.eta * ancestral(levels)

    def _clean(self, levels: tuple[float, float]) -> float:
        """a_t."""
        return ddim_weights(levels, self._spread(levels))[0]

    def _sigma(self, s: State) -> float:
        """sigma_y, 0 where it is not known."""
        return noise_level(s.problem, 0.0) if self.noisy else 0.0

    def _share(self, s: State, levels: tuple[float, float]) -> float:
        """lambda_t."""
        noise = self._clean(levels) * self._sigma(s)
        return min(1.0, self._spread(levels) / noise) if noise else 1.0

    # which level -------------------------------------------------------------------------------
    def _levels(self, s: State, k: int) -> tuple[float, float]:
        """alpha_bar of round k and of the level behind it."""
        k = min(k, self.rounds - 1)
        if self.travel > 1:
            segment, inside = divmod(k, self.travel * self.stretch)
            k = segment * self.stretch + inside % self.stretch
        return at(levels_for(s, self.rounds // self.travel), k)

    def _goes_back(self, k: int) -> bool:
        """Whether round k ends a stretch that is gone through again."""
        inside = k % (self.travel * self.stretch)
        last = inside >= (self.travel - 1) * self.stretch
        return self.travel > 1 and not last and (inside + 1) % self.stretch == 0


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    The paper's: 100 steps with eta = 0.85, without time travel.
    """
    if preset == "fast":
        return no_network(DDNM(50), "Algorithm 1 with 50 levels")
    source = "Wang et al. 2023, Sec. 4: 100 levels, eta = 0.85"
    return no_network(DDNM(), source, seeds=4 if preset == "best" else 1)


CARD = Card(
    name="ddnm",
    title="denoising diffusion null-space model, and DDNM+ for noise",
    source="Wang, Yu, Zhang, ICLR 2023",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="nothing: samples by a diffusion prior",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
