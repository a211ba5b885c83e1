"""Output rules: which image is returned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from untrained.classical import baseline, closed, data_step, flat_shares
from untrained.core.rule import Memory, Output
from untrained.core.state import State
from untrained.errors import UserError
from untrained.problem import Problem

CLOSINGS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Weights mu of the closing step that are tried, from hardly any step to nearly all data."""

CLASSICAL_ERROR = "held-out error of the classical image"
"""Name of the column of the history that holds the held-out error of the classical image x_c."""

MARGIN = 0.99  # an error that is lower by less is no reason for a step


@dataclass(frozen=True)
class Closing(Output):
    r"""An output rule that moves its image towards the measurements once, at the end.

    .. math:: \hat x = \arg\min_u \|W^{1/2}(A u - y)\|^2 / \|W^{1/2} A\|^2 + \mu \|u - x\|^2

    by `data_step`: a network of a few hundred steps leaves some of the data unfitted. Held-out
    measurements know how much of that is noise: an image that fits their neighbours better predicts
    them better, unless what it fits is noise. Noisy pixels beside missing ones are not put back
    (`classical.closed`). A nonlinear physics has no such step.

    Args:
        decay: of the average of the images, see `Average`.
        keep_best: return the image of the stop rule's best step instead of the newest one.
        mu: its weight; 0 leaves the step out, or to `ask`.
        ask: where mu is 0, take the weight, or none, that predicts held-out measurements best.

    Raises:
        UserError: mu is negative or not finite, or decay not in [0, 1).
    """

    decay: float = 0.95
    keep_best: bool = True
    mu: float = field(default=0.0, kw_only=True)
    ask: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.mu < math.inf:
            raise UserError(f"output.mu must be a finite number of at least 0, got {self.mu}")
        if not 0 <= self.decay < 1:
            raise UserError(f"output.decay must be at least 0 and below 1, got {self.decay}")

    def choose_on_held_out(self, fit: Problem, image: Tensor, held: Problem) -> dict[str, float]:
        """Choose the mu of the smallest held-out error; 0 where no step lowers the error by 1 %."""
        if self.mu or not (self.ask and fit.linear):
            return {}
        errors = {mu: float(held.misfit(data_step(fit, image, mu))) for mu in CLOSINGS}
        best = min(errors, key=errors.__getitem__)
        enough = errors[best] < MARGIN * float(held.misfit(image))
        return {"closing mu": best if enough else 0.0}

    def finish(self, problem: Problem, image: Tensor) -> Tensor:
        """Return the image after the closing step, in the shape of `image`."""
        if not (self.mu and problem.linear):
            return image
        nearer = data_step(problem, image, self.mu)
        parts = zip(problem.each(), image.split(1), nearer.split(1), strict=True)
        return torch.cat([closed(one, x, z) for one, x, z in parts])

    def with_choices_fixed(self, row: dict[str, float]) -> Closing:
        """Return the rule with the weight mu that was chosen, if one was."""
        return replace(self, **_asked(row))


@dataclass(frozen=True)
class Average(Closing):
    r"""Exponential average of the images, :math:`\bar x_t = d\,\bar x_{t-1} + (1-d)\,x_t`.

    The start is bias-corrected: until 1/(1-d) steps have passed it is the plain mean, so that a
    short run is not pulled towards its first image. It averages away the jitter of the input and
    the noise of the optimiser, and costs nothing.

    Args:
        decay: d in [0, 1).
        keep_best: return the average at the stop rule's best step instead of the newest one.
    """

    name: ClassVar[str] = "average"

    def start(self, s: State, m: Memory) -> None:
        """Leave the memory empty: the average starts at the first image."""

    def see(self, s: State, m: Memory, x: Tensor, held: Problem | None) -> Tensor:
        """Return the average of the images up to this one."""
        return _average(s, m, x, self.decay)


@dataclass(frozen=True)
class Nearer(Closing):
    r"""`Average`, or the newest image where that predicts the held-out measurements better.

    An average lags behind a run that is still getting better; one that jitters is better averaged.

    Args:
        decay: of the average.
        newest: what is returned where nothing is held out: 0 the average, 1 the newest image.
        keep_best: return the image of the stop rule's best step.
    """

    name: ClassVar[str] = "nearer"
    newest: float = 0.0

    def start(self, s: State, m: Memory) -> None:
        """Store the choice `newest`, which holds where nothing is held out."""
        m["newest"] = torch.full((s.size,), self.newest, device=s.device)

    def see(self, s: State, m: Memory, x: Tensor, held: Problem | None) -> Tensor:
        """Return the average or the newest image, whichever has the smaller error on `held`."""
        average = _average(s, m, x, self.decay)
        if held is not None:
            m["newest"] = (held.misfit(x) < held.misfit(average)).float()
        return average + _like(m["newest"], x) * (x - average)

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return whether the newest image was taken (1) or the average (0), `(G,)`."""
        return {"newest": m["newest"]}

    def with_choices_fixed(self, row: dict[str, float]) -> Nearer:
        """Return the rule with the choice, newest or average, that was made at the chosen step."""
        return replace(self, newest=row["newest"], **_asked(row))


@dataclass(frozen=True)
class Blend(Closing):
    r"""The average of the images, mixed with the classical image x_c of `classical.baseline`.

    .. math:: x_\alpha = \alpha \bar x_t + (1 - \alpha)\, x_c, \qquad
              \alpha = \arg\min_{[0, 1]} \|A_h x_\alpha - y_h\|^2_W

    over the held-out measurements h, in closed form at every step. The errors of a network and of
    a convex prior are far from parallel, so that a mixture beats both; and where the network adds
    nothing, alpha says so. Without held-out measurements alpha is `share`.

    A few columns of k-space or views of a scan judge two similar images poorly, since their errors
    are far from independent. With the weight `prior` = k,

    .. math:: \alpha = \arg\min_{[0, 1]} \|A_h x_\alpha - y_h\|^2_W + k\, m\, (\alpha - share)^2

    m being the smallest held-out error of any mixture: k = 1 counts all of them as one
    observation. Images that differ by much more than m are still told apart.

    Where total variation has a share s in x_c because the object is of flat pieces, held-out
    measurements have been seen to misjudge (`classical.flat_pieces`), and alpha is multiplied by
    1 - s.

    Args:
        decay: of the average, see `Average`.
        share: alpha where nothing is held out, in [0, 1].
        prior: k >= 0.
        keep_best: return the mixture at the stop rule's best step.
        mu, ask: see `Closing`.
    """

    name: ClassVar[str] = "blend"
    share: float = 0.5
    prior: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.share <= 1 and self.prior >= 0):
            raise UserError(
                f"output.share must lie in [0, 1] and output.prior be at least 0, got {self.share} "
                f"and {self.prior}"
            )

    def start(self, s: State, m: Memory) -> None:
        """Store alpha = `share`; the average and x_c are computed with the first image."""
        m["share"] = torch.full((s.size,), self.share, device=s.device)

    def see(self, s: State, m: Memory, x: Tensor, held: Problem | None) -> Tensor:
        """Return the mixture x_alpha of the average and x_c, this image included in the average."""
        if "classical" not in m:
            self.begin(s, m, held)
        average, base = _average(s, m, x, self.decay), self.base(m)
        difference = average - base
        if held is not None:
            step = whitened(held, _step(held, base, average))
            found = drawn_share(step, m["unexplained"], self.share, self.prior)
            m["share"] = found * m["trust"].to(found)
        return base + _like(m["share"], x) * difference

    def begin(self, s: State, m: Memory, held: Problem | None) -> None:
        """Compute x_c, and its error on what is held out."""
        m["classical"] = baseline(s.problem)
        if held is not None:
            m["unexplained"] = whitened(held, held.y - held.A(m["classical"]))
            m["trust"] = 1 - flat_shares(s.problem)
            m["classical error"] = s.problem.expected_misfit(m["classical"], held)

    def base(self, m: Memory) -> Tensor:
        """Return the image that the network's is mixed with: x_c."""
        return m["classical"]

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the network's share alpha, and the held-out error of the classical image alone."""
        known = {CLASSICAL_ERROR: m["classical error"]} if "classical error" in m else {}
        return {"network share": m["share"], **known}

    def classical_image(self, m: Memory) -> Tensor | None:
        """Return the classical image x_c; None before the first step."""
        if "classical" not in m:
            return None
        return m["classical"]

    def samples(self, m: Memory) -> tuple[Tensor, Tensor] | None:
        """Return the network's own average, without x_c, as the one sample `(G, 1, C, ...)`."""
        if "mean" not in m:
            return None
        return m["mean"][:, None], torch.zeros_like(m["mean"])

    def with_choices_fixed(self, row: dict[str, float]) -> Blend:
        """Return the rule with the share alpha of the chosen step."""
        return replace(self, share=row["network share"], **_asked(row))


@dataclass(frozen=True)
class Posterior(Output):
    r"""The mean of every `every`-th image after `burn_in` steps, of a method that samples.

    Until the first of them, the image itself. Beside the mean goes the second moment, by Welford's
    update, :math:`M_k = M_{k-1} + (x_k - \bar x_{k-1})(x_k - \bar x_k)`, for the spread
    :math:`\sqrt{M_k / (k - 1)}`.

    Args:
        burn_in: steps that do not count.
        every: steps between two images that do.
        keep: most of these images that are kept, the newest; 0 = neither image nor spread.
    """

    name: ClassVar[str] = "posterior"
    burn_in: int = 7000
    every: int = 50
    keep: int = 0

    def within(self, steps: int, budget: int) -> Posterior:
        """Scale the burn-in by steps / budget."""
        return replace(self, burn_in=steps * self.burn_in // budget)

    def start(self, s: State, m: Memory) -> None:
        """Set the number of samples to zero."""
        m["count"] = torch.zeros(s.size, device=s.device)

    def see(self, s: State, m: Memory, x: Tensor, held: Problem | None) -> Tensor:
        """Return the mean of the samples so far, this image included if it is one of them."""
        after = s.step + 1 - self.burn_in
        if after > 0 and (after - 1) % self.every == 0:
            m["count"] = m["count"] + 1
            share = _like(1 / m["count"], x)
            before = m.get("mean", x).clone()  # the mean is overwritten in place
            m["mean"] = x if "mean" not in m else m["mean"] + share * (x - m["mean"])
            if self.keep:
                self._keep(m, x, before)
        return m.get("mean", x)

    def _keep(self, m: Memory, x: Tensor, before: Tensor) -> None:
        """Add an image to the second moment and to those kept; `before`: the mean without it."""
        if "square" not in m:
            m["square"] = torch.zeros_like(x)
            m["images"] = x.new_zeros(len(x), self.keep, *x.shape[1:])
        m["square"] = m["square"] + (x - before) * (x - m["mean"])
        m["images"][:, (int(m["count"][0]) - 1) % self.keep].copy_(x)

    def samples(self, m: Memory) -> tuple[Tensor, Tensor] | None:
        """Return the images kept `(G, S, C, ...)` and the standard deviation over all of them."""
        if "square" not in m:
            return None
        count = int(m["count"][0])
        return m["images"][:, :count], (m["square"] / max(1, count - 1)).sqrt()


def _average(s: State, m: Memory, x: Tensor, decay: float) -> Tensor:
    share = max(1.0 - decay, 1.0 / (s.step + 1))
    m["mean"] = x if "mean" not in m else m["mean"].lerp(x, share)
    return m["mean"]


def _asked(row: dict[str, float]) -> dict[str, Any]:
    """Return the fields of a `Closing` whose weight mu was chosen; empty where none was."""
    return {"mu": row["closing mu"], "ask": False} if "closing mu" in row else {}


def _step(held: Problem, start: Tensor, end: Tensor) -> Tensor:
    """Compute the change A(end) - A(start) of the held-out measurements between two images."""
    return held.A(end - start) if held.linear else held.A(end) - held.A(start)


def whitened(held: Problem, residual: Tensor) -> Tensor:
    """Weigh a residual in measurement space as the data term does, `(G, M)`."""
    return held.whiten(residual).flatten(1)


def drawn_share(step: Tensor, wanted: Tensor, share: float, prior: float) -> Tensor:
    """Compute the alpha that minimises the held-out error of a mixture, in closed form (`Blend`).

    Args:
        step: change of the held-out measurements from one image to the other, whitened, `(G, M)`.
        wanted: held-out residual of the first, whitened, `(G, M)`.
        share, prior: what alpha is drawn to, and k.

    Returns:
        alpha in [0, 1], the share of the other image, `(G,)`.
    """
    along, size = (step * wanted).sum(1), step.square().sum(1).clamp_min(1e-30)
    left = wanted.square().sum(1) - along.square() / size
    known = prior * left.clamp_min(0)
    return ((along + known * share) / (size + known)).clamp(0, 1)


def _like(value: Tensor, image: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (image.ndim - 1))
