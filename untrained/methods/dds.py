"""DDS: decomposed diffusion sampling, a few conjugate gradients at each denoised image."""

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
from untrained.methods.diffusion import conjugate_gradients
from untrained.methods.presets import no_network
from untrained.methods.sampling import (
    ancestral,
    at,
    begin,
    ddim,
    levels_for,
    shown,
    to_image,
    to_paper,
    tweedie,
)
from untrained.priors import DENOISER
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class DDS(Method):
    r"""Chung, Lee, Ye (ICLR 2024, arXiv 2303.05754): Algorithms 2 and 3 (variance preserving).

    .. math:: \hat x_t &= \text{Tweedie}(x_t), \qquad
              \hat\epsilon_t = (x_t - \sqrt{\bar\alpha_t} \hat x_t) / \sqrt{1 - \bar\alpha_t} \\
              \hat x'_t &= \mathrm{CG}(A^* A,\; A^* y,\; \hat x_t,\; M) \\
              x_{t-1} &= \sqrt{\bar\alpha_{t-1}} \hat x'_t
                  + \sqrt{1 - \bar\alpha_{t-1} - \eta^2 \tilde\beta_t^2}\; \hat\epsilon_t
                  + \eta \tilde\beta_t z

    CG(B, b, x, M) are M steps of conjugate gradients on B x = b from x. With noise the second
    line solves :math:`(\gamma A^* A + I)\, x = \hat x_t + \gamma A^* y`, the proximal point of
    :math:`\tfrac\gamma2 \|y - A x\|^2`, in the same way (Eq. 17).

    Symbols: M `cg`, eta `eta`, gamma `gamma`; `gamma=0` takes the system without noise. gamma is
    relative to ||A||^2, which is 1 for the paper's MRI. Image of a step: :math:`\hat x'_t`.

    Differs from the paper: volumes are sampled slice by slice, without its total variation across
    them. The released code gives the noise the spread :math:`\eta \sqrt{1 - \bar\alpha_{t-1}}`,
    which is more of it.

    Args:
        rounds: noise levels.
        cg: M.
        gamma: weight of the data against the denoised image; 0 = the data alone.
        eta: 0 (no noise is added) to 1 (DDPM).
    """

    name: ClassVar[str] = "dds"
    rounds: int = 99
    inner: int = 1
    cg: int = 5
    gamma: float = 5.0
    eta: float = 0.85

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta={self.eta:g} is DDIM's share of noise, 0 to 1")
        if self.gamma < 0:
            raise UserError(f"gamma={self.gamma:g} is a weight, 0 or more")

    def within(self, steps: int) -> DDS:
        """Go through as many levels as there are steps."""
        return replace(self, rounds=steps)

    def start(self, s: State) -> None:
        """x_T ~ N(0, I)."""
        require_linear(s.problem, self.name)
        s["x"] = begin(s, levels_for(s, self.rounds)[0])

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Tweedie's estimate, and M conjugate gradients from there."""
        now, _ = at(levels_for(s, self.rounds), s.step)
        x0 = tweedie(s, s["x"], now)
        image = conjugate_gradients(s.problem, to_image(s.problem, x0), self.cg, self.gamma)
        s["x0"], s["moved"] = x0, to_paper(s.problem, image) - x0
        return shown(s, image)

    def advance(self, s: State) -> None:
        """Take the DDIM step, with the noise that the network saw."""
        levels = at(levels_for(s, self.rounds), s.step - 1)
        mean, noise = ddim(s, s["x"], s["x0"], levels, self.eta * ancestral(levels))
        s["x"] = mean + noise + math.sqrt(levels[1]) * s["moved"]


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`: 99 levels (paper), 49 in `fast`, as it has both.

    M = 5, gamma = 5 and eta = 0.85 on every task.
    """
    source = "Chung, Lee, Ye 2024: 99 levels, M = 5, gamma = 5, eta = 0.85"
    if preset == "fast":
        return no_network(DDS(49), source.replace("99", "49"))
    return no_network(DDS(), source, seeds=4 if preset == "best" else 1)


CARD = Card(
    name="dds",
    title="decomposed diffusion sampling",
    source="Chung, Lee, Ye, ICLR 2024",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="nothing: samples by a diffusion prior",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
