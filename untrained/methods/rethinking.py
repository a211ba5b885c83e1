"""Rethinking Deep Image Prior: Stein's unbiased risk estimate as the objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import REGULARISATION, Card
from untrained.nets import Compact, S2SNet
from untrained.rules import Average, Rollback, ZeroCrossing

NOISES = ("gaussian", "poisson")


@dataclass(frozen=True)
class Rethinking(Method):
    r"""Jo, Chun, Choi: Rethinking Deep Image Prior for Denoising (ICCV 2021, arXiv 2108.12841).

    .. math:: \min_\theta \tfrac1n \|f_\theta(y + \gamma) - y\|^2
              + \tfrac{2\sigma^2}{n} \mathrm{div}_y f_\theta(y + \gamma) - \sigma^2, \qquad
              \gamma \sim N(0, s^2 I),\quad s \sim U(0, \sigma / 2)

    The input is the noisy image, and the sum is an unbiased estimate of the error to the clean one
    (SURE). The divergence is estimated by one probe, b^T J b with b ~ N(0, I), at the price of a
    second differentiation. The run ends by itself where the estimate crosses zero, since no error
    is negative (`ZeroCrossing`), and the images are averaged (STE).

    For Poisson noise, y = k / peak with k ~ Poisson(peak x), the estimate is PURE to first order
    in 1 / peak: 2 / (peak n) (b * y)^T J b - mean(y) / peak; the input is y itself.

    The noise level must be known. Differs from the code: images are RGB, not BGR; the average is
    not reset at steps 10 and 200, where it compares with the truth; for Poisson noise the code has
    finite differences along random signs b where the derivative is taken here.

    Args:
        rounds: K, optimiser steps (N = 1).
        noise: `gaussian` or `poisson`.
        peak: of Poisson noise, in counts at brightness 1.
        spread: s is uniform on [0, spread sigma); None for the authors' values: 0.5 for colour, 0.3
            for grey (one channel), 0 for Poisson noise.
    """

    name: ClassVar[str] = "rethinking"
    rounds: int = 3000
    inner: int = 1
    noise: str = "gaussian"
    peak: float = 0.0
    spread: float | None = None

    def __post_init__(self) -> None:
        if self.noise not in NOISES:
            raise UserError(f"noise={self.noise!r} is unknown; known: {', '.join(NOISES)}")
        if self.noise == "poisson" and not self.peak > 0:
            raise UserError("Poisson noise needs peak, the counts at brightness 1: --set peak=30")

    def start(self, s: State) -> None:
        """z = y; every weight of f is trained."""
        s["z"] = s.problem.y
        s["sigma"] = self._level(s)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """SURE (or PURE) of f at y."""
        y, n = s.problem.y, s.problem.n_image
        z = self._noisier(s).requires_grad_()
        x = s.net(z)
        b = s.noise("probe", y.shape[1:])
        weighed = b * y if self.noise == "poisson" else b
        (backward,) = torch.autograd.grad((weighed * x).sum(), z, create_graph=True)
        divergence = (b * backward).flatten(1).sum(1) / n
        if self.noise == "poisson":
            risk = (2 * divergence - y.flatten(1).mean(1)) / self.peak
        else:
            variance = s["sigma"].flatten().square()
            risk = variance * (2 * divergence - 1)
        return x, {"data": s.problem.misfit(x), "divergence": risk}

    def _noisier(self, s: State) -> Tensor:
        """y + gamma."""
        y, spread = s.problem.y, self.spread
        if spread is None:
            grey = y.shape[1] == 1
            spread = 0.0 if self.noise == "poisson" else 0.3 if grey else 0.5
        if spread == 0:
            return y.clone()
        level = spread * s["sigma"] * s.noise("level", (1,) * (y.ndim - 1), "uniform")
        return y + level * s.noise("gamma", y.shape[1:])

    def _level(self, s: State) -> Tensor:
        y = s.problem.y
        if self.noise == "poisson":
            typical = (y.flatten(1).mean(1).clamp_min(0) / self.peak).sqrt()
        elif s.problem.sigma is not None:
            typical = torch.full((s.size,), s.problem.sigma, device=y.device)
        else:
            raise UserError(
                "rethinking needs the noise level: give --sigma (0..255), or --sigma auto"
            )
        return typical.reshape(-1, *[1] * (y.ndim - 1))


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset`; `paper` is the authors' configuration."""
    if preset != "paper":
        steps = {"fast": 300, "best": 1000}[preset]
        return Recipe(
            method=Rethinking(steps),
            net=Compact(widths=(16, 32, 64, 128, 128), skip=16),
            engine=Engine("muon", lr=0.02, warmup=10, schedule="cosine", final=0.02),
            stop=ZeroCrossing(),
            output=Average(decay=0.95, keep_best=False),
            source="SURE with the fast engine",
        )
    return Recipe(
        method=Rethinking(),
        net=S2SNet(),
        engine=Engine("radam", lr=0.1, schedule="steps", precision="fp32"),
        stop=ZeroCrossing(decay=0.0),
        output=Average(decay=0.99, keep_best=False),
        guard=Rollback(),
        source="authors' code: RAdam 0.1, times 0.9 every 300 of 3,000 steps, average 0.99",
    )


CARD = Card(
    name="rethinking",
    title="DIP on Stein's unbiased risk estimate, stops by itself",
    source="Jo, Chun, Choi, ICCV 2021",
    family=REGULARISATION,
    tasks=("denoise",),
    optimises="the network",
    recipe=recipe,
)
