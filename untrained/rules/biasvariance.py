"""The stop rule that follows bias and variance of a linearised run, from y alone."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import jvp, vjp

from untrained.core.rule import Frame, Memory, Stop
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import per_problem, sum_squares
from untrained.rules.minimum import (
    full,
    improved,
    no_decrease,
    see_minimum,
    start_minimum,
    waited,
)

WRONG = 0.5
"""Relative error of the first predicted step above which the run is not the one assumed."""


@dataclass(frozen=True)
class BiasVariance(Stop):
    r"""Bias and variance of A x_t, estimated from y by Mallows' C_p (SURE of a linear filter).

    .. math:: \widehat R_t = \tfrac1m\left(\|A x_t - y\|^2 + 2\sigma^2\,\mathrm{tr}(I - S_t)
              - m\sigma^2\right),\qquad S_{t+1} = (I - \eta_t K_t) S_t,\quad
              K_t = \tfrac{2}{c}\, A J_t J_t^T A^T

    Theorem 3 of the tutorial (Alkhouri et al.) gives bias and variance of gradient descent on a
    network that stays linear in its weights: x_t is a linear filter of y, whose variance is what
    it fits of the noise. R_t is an unbiased estimate of E ||A (x_t - x)||^2 / m, without x: the
    first term falls with the bias, the second, 2 sigma^2 times the degrees of freedom, rises. The
    trace is followed along the run, with the Jacobian J_t that the network has by then, by
    Hutchinson's estimate: a few random signs b obey the recursion of S_t, and tr S_t is about
    <b, S_t b>. c is the data term's divisor. The run ends `patience` steps after the minimum.

    What lies in the null space of A leaves no trace in y: R_t judges A x_t and nothing else. Where
    A is the identity that is the image itself.

    Needs the noise level sigma, a linear operator, white noise, and plain gradient descent on the
    data term alone (`engine.optimiser=sgd`, a method such as dip with jitter=0): the change of the
    image at the first step is compared with the predicted one, and another optimiser is refused.
    Each probe costs one more gradient and one forward-mode pass a step.

    Args:
        probes: random signs b.
        patience: steps without a new minimum before the run ends.
        seed: of the signs.
    """

    name: ClassVar[str] = "biasvariance"
    probes: int = 2
    patience: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for field, least in (("probes", 1), ("patience", 1), ("seed", 0)):
            if getattr(self, field) < least:
                raise UserError(
                    f"stop.{field} must be at least {least}, got {getattr(self, field)}"
                )

    @property
    def earliest(self) -> float:
        """First step that can end a run: `patience` steps after the first."""
        return 1 + self.patience

    def start(self, s: State, m: Memory) -> None:
        """Check what the rule needs; draw the probes; no minimum yet."""
        problem = s.problem
        if problem.sigma is None or problem.sigma <= 0:
            raise UserError(
                "the biasvariance stop needs the noise level: give --sigma or store it in the file "
                "(in Python sigma=), or use another rule, for example --stop heldout"
            )
        if not problem.linear:
            raise UserError(
                "the biasvariance stop needs a linear operator, and this one is not; use another "
                "rule, for example --stop heldout"
            )
        others = [name for name in s.rates if not name.startswith("net/")]
        if others or "z" not in s.tensors or any(len(w) != s.size for w in s.weights.values()):
            found = others[0] if others else "no fixed input z, or shared weights"
            raise UserError(
                "the biasvariance stop follows a network's own weights at a fixed input z; this "
                f"method has {found}; use --method dip, or another rule"
            )
        start_minimum(s, m)
        generator = torch.Generator().manual_seed(self.seed)
        shape = problem.y.shape[1:]
        signs = (torch.randint(2, (self.probes, *shape), generator=generator) * 2 - 1).to(problem.y)
        seen = problem.visible(torch.ones_like(problem.y))
        mask = problem.physics.sampling_mask(problem.y)
        seen = seen if mask is None else seen * (mask != 0)
        m["probes"] = signs.unsqueeze(0) * seen.unsqueeze(1)
        m["rest"] = m["probes"]
        m["freedom"] = full(s, 0.0)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Estimate the risk of this step's image, then let the probes take the same step."""
        problem = s.problem
        if set(frame.terms) != {"data"}:
            raise UserError(
                "the biasvariance stop needs a method whose objective is the data term alone; this "
                f"one's terms are {', '.join(frame.terms)}; use --method dip, or another rule"
            )
        assert problem.sigma is not None
        residual = problem.A(frame.x) - problem.y
        if frame.step == 2:
            self._check(m["change"], residual - m["residual"])
        count = m["probes"].flatten(2).square().sum(2).mean(1)  # visible measurements, (G,)
        left = (m["probes"] * m["rest"]).flatten(2).sum(2).mean(1)
        m["freedom"] = count - left
        noise = problem.sigma**2
        value = sum_squares(residual) + noise * (2 * m["freedom"] - count)
        see_minimum(m, frame.step, value / count)
        moves = [m["rest"][:, i] for i in range(self.probes)]
        if frame.step == 1:
            moves.append(residual)
        steps = _descend(s, moves)
        m["rest"] = m["rest"] - torch.stack(steps[: self.probes], 1)
        if frame.step == 1:
            m["residual"], m["change"] = residual, -steps[-1]

    def _check(self, predicted: Tensor, found: Tensor) -> None:
        """Refuse a run whose first step is not the one that gradient descent takes."""
        error = (sum_squares(found - predicted) / sum_squares(predicted).clamp_min(1e-30)).sqrt()
        if not bool((error <= WRONG).all()):
            raise UserError(
                "the biasvariance stop needs plain gradient descent at a fixed input, and the "
                f"first step moved the image {100 * float(error.max()):.0f} % away from that: "
                "set engine.optimiser=sgd and jitter=0 (--set engine.optimiser=sgd --set "
                "jitter=0), or a smaller engine.lr; or use another rule"
            )

    def done(self, m: Memory) -> Tensor:
        """Return whether `patience` steps went by without a new minimum, bool `(G,)`."""
        return waited(m, self.patience)

    def improved(self, m: Memory) -> Tensor | None:
        """Return whether this step is a new minimum, bool `(G,)`; None before the first one."""
        return improved(m)

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the estimated risk of A x_t, and the degrees of freedom that are fitted."""
        return {"estimated risk": m["value"], "degrees of freedom": m["freedom"]}

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the step and the value of the minimum."""
        return no_decrease(m, "the estimated risk of the measured part", self.patience)


def _descend(s: State, residuals: list[Tensor]) -> list[Tensor]:
    """Return eta K r for residuals `(G, *y)`: what a gradient step takes off each of them."""
    problem, z = s.problem, s["z"]
    rates = {name: s.rates.get(f"net/{name}", 0.0) for name in s.weights}
    weights = {name: w.detach() for name, w in s.weights.items()}

    def image(own: dict[str, Tensor]) -> Tensor:
        return s.net(z, own)

    steps = []
    with _nothing_twice(s.module), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, at its first jvp
        pull = vjp(image, weights)[1]
        for r in residuals:
            whitened = problem.whiten(r)
            squares, cost = sum_squares(whitened), problem.cost(r)
            factor = torch.where(squares > 0, 2 * cost / squares.clamp_min(1e-30), 0 * cost)
            back = problem.A_adjoint(problem.whiten(whitened)) * per_problem(factor, z)
            gradient = pull(back)[0]
            move = {n: s.rate * rates[n] * g for n, g in gradient.items()}
            steps.append(problem.A(jvp(image, (weights,), (move,))[1]))
    return steps


@contextlib.contextmanager
def _nothing_twice(module: nn.Module) -> Iterator[None]:
    """Have no block computed twice to save memory: functional transforms do not follow that."""
    lean = [part for part in module.modules() if getattr(part, "lean", False)]
    for part in lean:
        part.lean = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for part in lean:
            part.lean = True  # type: ignore[assignment]
