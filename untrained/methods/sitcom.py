"""SITCOM: step-wise triple-consistent sampling, which optimises the prior's input at each level."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import mse, per_problem
from untrained.methods.card import PRETRAINED, PRIOR, Card
from untrained.methods.presets import no_network
from untrained.methods.sampling import (
    at,
    begin,
    ddim,
    levels_for,
    span,
    to_image,
    to_paper,
    tweedie,
)
from untrained.priors import DENOISER
from untrained.tasks import ALL_TASKS


@dataclass(frozen=True)
class SITCOM(Method):
    r"""Algorithm 1 of Alkhouri, Liang, Huang, Dai, Qu, Ravishankar, Wang (ICML 2025, 2410.04479).

    With f(v) the prior's estimate of the clean image of v at level i, from x_N ~ N(0, I), for
    i = N ... 1

    .. math:: \hat v_i &= \arg\min_v \|A(f(v)) - y\|_2^2 + \lambda \|x_i - v\|_2^2 \\
              x_{i-1} &= \sqrt{\bar\alpha_{i-1}}\, f(\hat v_i) + \sqrt{1 - \bar\alpha_{i-1}}\; z

    by K steps of Adam from v = x_i, which end early where the data term is below delta^2. The
    three consistencies are those with the measurements, with the prior's own denoising (f), and
    with the forward diffusion (z). The operator may be nonlinear.

    Symbols: N `rounds`, K = `inner` - 1, lambda `lam`; delta^2 is `delta` times the expected square
    of the noise, sigma^2 times the number of measurements, where sigma is known. The last step of a
    round moves nothing and makes f(v_i), the image; each step takes the image before its update.
    Adam forgets its moments after each round. The terms are divided by the number of image entries
    and the data term also by the operator's mean squared singular value (see `Problem`).

    Differs from the released code: it has other rates and numbers of steps from script to script.

    Args:
        rounds: N.
        inner: K + 1.
        lam: weight of the distance from x_i.
        delta: relative square of the residual at which a round has fitted y; 0 = never.
    """

    name: ClassVar[str] = "sitcom"
    differentiates: ClassVar[bool] = True
    nonlinear: ClassVar[bool] = True
    restarts: ClassVar[bool] = True
    rounds: int = 20
    inner: int = 21
    lam: float = 1.0
    delta: float = 1.0

    def __post_init__(self) -> None:
        if self.inner < 2:
            raise UserError(f"inner={self.inner}: give 2 or more, one step and the image it makes")
        if self.lam < 0 or self.delta < 0:
            raise UserError(f"lam={self.lam:g} and delta={self.delta:g} must not be negative")

    def within(self, steps: int) -> SITCOM:
        """Go through as many levels as the steps allow."""
        return replace(self, rounds=max(1, steps // self.inner))

    def start(self, s: State) -> None:
        """x_N ~ N(0, I); v is trained."""
        s["x"] = begin(s, levels_for(s, self.rounds)[0])
        s["v"] = s["x"]
        s["image"] = to_image(s.problem, s["x"])
        s["fitted"] = torch.zeros(s.size, device=s.device)
        s.train("v")

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(v) - y||^2 + lambda ||x_i - v||^2; without gradient once y is fitted."""
        problem, done = s.problem, s["fitted"] > 0
        if bool(done.all()):  # no step is left to take, and so the prior is not asked
            return s["image"].clone(), {
                "data": problem.misfit(s["image"]),
                "distance": 0 * s["fitted"],
            }
        now, _ = at(levels_for(s, self.rounds), s.step // self.inner)
        # the last step of a round makes the image and moves nothing
        with torch.set_grad_enabled(s.step % self.inner < self.inner - 1):
            image = problem.supported(to_image(problem, tweedie(s, s["v"], now)))
            data = problem.misfit(image)
            near = self.lam * mse(s["v"], s["x"]) / span(problem) ** 2
        s["image"] = torch.where(per_problem(done, image), s["image"], image.detach())
        if self.delta and problem.sigma:
            squares = problem.residual_mean_square(s["image"])
            s["fitted"] = torch.maximum(
                s["fitted"], (squares < self.delta * problem.sigma**2).float()
            )
        return s["image"].clone(), {"data": data, "distance": near}

    def advance(self, s: State) -> None:
        """x_{i-1}: the image with the noise of the next level."""
        levels = at(levels_for(s, self.rounds), s.step // self.inner - 1)
        spread = math.sqrt(1.0 - levels[1])
        mean, noise = ddim(s, s["x"], to_paper(s.problem, s["image"]), levels, spread)
        s["x"] = mean + noise
        s["v"] = s["x"]
        s["fitted"] = s["fitted"] * 0


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    The paper's: N = 20, K = 20, Adam 0.01, lambda = 1; MRI N = 50, K = 10, lambda = 0 (SITCOM-MRI
    as the UGoDIT paper runs it).
    """
    if task == "mri":
        method, source = (
            SITCOM(50, 11, lam=0.0),
            "SITCOM-MRI: N = 50, K = 10, lambda = 0, Adam 0.01",
        )
    else:
        method, source = SITCOM(), "Alkhouri et al. 2025: N = 20, K = 20, lambda = 1, Adam 0.01"
    if preset == "fast":
        method, source = replace(method, rounds=10), "Algorithm 1 with N = 10"
    made = no_network(method, source, seeds=4 if preset == "best" else 1)
    return replace(made, engine=Engine("adam", lr=0.01, precision="fp32"))


CARD = Card(
    name="sitcom",
    title="step-wise triple-consistent sampling",
    source="Alkhouri, Liang, Huang, Dai, Qu, Ravishankar, Wang, ICML 2025",
    family=PRETRAINED,
    tasks=ALL_TASKS,
    optimises="the prior's input at each noise level",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
