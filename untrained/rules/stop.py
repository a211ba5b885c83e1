"""Stop rules. Each says when to end, by what number, and which step was best by that number.

None of them can see a reference image.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.rule import Frame, Memory, Stop
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import sum_squares
from untrained.problem import Problem
from untrained.rules.minimum import (
    full,
    improved,
    no_decrease,
    see_minimum,
    start_minimum,
    waited,
)

HELD_OUT_ERROR = "held-out error"
"""Name of the column of the history that holds the error on the held-out measurements."""


@dataclass(frozen=True)
class TimeLimit(Stop):
    """Ends after `seconds` of wall time, what an interrupted run had used included."""

    name: ClassVar[str] = "time"
    seconds: float = 600.0

    def start(self, s: State, m: Memory) -> None:
        """Start the clock; no time is used yet."""
        m["used"] = torch.zeros(s.size, dtype=torch.float64)
        m["last"] = torch.full((s.size,), time.monotonic(), dtype=torch.float64)
        m["process"] = torch.full((s.size,), os.getpid())
        m["done"] = torch.zeros(s.size, dtype=torch.bool, device=s.device)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Add the wall time since the last step."""
        now = torch.full_like(m["last"], time.monotonic())
        if int(m["process"][0]) == os.getpid():
            m["used"] = m["used"] + (now - m["last"])
        m["last"] = now
        # After a resume the stored reading was another process's: the pause is not counted.
        m["process"] = torch.full_like(m["process"], os.getpid())
        m["done"] = (m["used"] >= self.seconds).to(m["done"].device)

    def done(self, m: Memory) -> Tensor:
        """Return whether the time is used up, bool `(G,)`."""
        return m["done"]

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the limit in seconds."""
        return f"the time limit of {self.seconds:g} s was reached"


@dataclass(frozen=True)
class Lowest(Stop):
    """Never ends a run, and finds the step of the lowest objective best (EDIP's released code)."""

    name: ClassVar[str] = "lowest"

    @property
    def earliest(self) -> float:
        """Infinity: the rule never ends a run."""
        return math.inf

    def start(self, s: State, m: Memory) -> None:
        """Initialise the memory: no minimum yet."""
        start_minimum(s, m)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Record the objective, the sum of its terms, and whether it is a new minimum."""
        see_minimum(m, frame.step, torch.stack(list(frame.terms.values())).sum(0))

    def done(self, m: Memory) -> Tensor:
        """Return False for every problem, bool `(G,)`."""
        return torch.zeros_like(m["improved"])

    def improved(self, m: Memory) -> Tensor | None:
        """Return whether this step is a new minimum, bool `(G,)`; None before the first one."""
        return improved(m)

    def reason(self, m: Memory) -> str:
        """Return what the rule looks for, since it never ends a run."""
        return "the step of the lowest objective was sought"


@dataclass(frozen=True)
class WMV(Stop):
    r"""ES-WMV: the windowed moving variance of the iterates (Wang et al., TMLR 2023, Alg. 1).

    .. math:: \mathrm{VAR}(t) = \frac1W \sum_{w<W} \|x_{t+w} - \bar x_{t:t+W}\|^2 / n

    The run ends when VAR has not fallen below its minimum for `patience` steps; the step of the
    minimum is the last of its window, as in the authors' code (which neither stops nor keeps the
    image; here both happen). Memory: `window` images.

    Args:
        window: W, iterates in the window.
        patience: P, steps without a new minimum.
    """

    name: ClassVar[str] = "wmv"
    window: int = 100
    patience: int = 1000

    @property
    def ignored(self) -> int:
        """Number of steps before the window is full, which cannot be the best."""
        return self.window - 1

    @property
    def earliest(self) -> float:
        """First step that can end a run: `patience` steps after the earliest possible minimum."""
        return self.window + self.patience

    def start(self, s: State, m: Memory) -> None:
        """Initialise the memory: no minimum yet, and an empty window."""
        start_minimum(s, m)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Put the image into the window; once it is full, compute the variance."""
        x = frame.x.flatten(1)
        if "ring" not in m:
            m["ring"] = x.new_zeros(len(x), self.window, x.shape[1])
        m["ring"][:, (frame.step - 1) % self.window].copy_(x)
        if frame.step < self.window:
            return
        ring = m["ring"]
        variance = (ring - ring.mean(1, keepdim=True)).square().mean(dim=(1, 2))
        see_minimum(m, frame.step, variance)

    def done(self, m: Memory) -> Tensor:
        """Return whether `patience` steps went by without a new minimum, bool `(G,)`."""
        return waited(m, self.patience)

    def improved(self, m: Memory) -> Tensor | None:
        """Return whether this step is a new minimum, bool `(G,)`; None before the first one."""
        return improved(m)

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the windowed moving variance VAR, `(G,)`; NaN before the window is full."""
        return {"moving variance": m["value"]}

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the step and the value of the minimum."""
        return no_decrease(m, "the moving variance of the images", self.patience)


@dataclass(frozen=True)
class EMV(Stop):
    r"""ES-EMV: exponentially weighted moving variance (Wang et al., TMLR 2023, Sec. 3).

    .. math:: m_1 = x_1,\quad V_1 = 0,\qquad d_t = x_t - m_{t-1},\quad
              m_t = m_{t-1} + \alpha d_t,\quad V_t = (1-\alpha)(V_{t-1} + \alpha \|d_t\|^2 / n)

    One image of memory instead of W. The first `skip` steps are not considered. The authors' code
    clips the mean m_t of photographs to [0, 1] and returns it; here the output rule says what is
    returned.

    Args:
        alpha: the forgetting rate.
        skip: steps ignored at the start.
        patience: steps without a new minimum.
    """

    name: ClassVar[str] = "emv"
    alpha: float = 0.1
    skip: int = 100
    patience: int = 1000

    @property
    def ignored(self) -> int:
        """Number of steps at the start that cannot be the best: `skip`."""
        return self.skip

    @property
    def earliest(self) -> float:
        """First step that can end a run: `patience` steps after the earliest possible minimum."""
        return self.skip + 1 + self.patience

    def start(self, s: State, m: Memory) -> None:
        """Initialise the memory: no minimum yet, and variance 0."""
        start_minimum(s, m)
        m["variance"] = full(s, 0.0)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Update mean and variance by this step's image; the first image is the first mean."""
        if "mean" not in m:
            m["mean"] = frame.x
        d = frame.x - m["mean"]
        m["mean"] = m["mean"] + self.alpha * d
        change = sum_squares(d) / d[0].numel()
        m["variance"] = (1 - self.alpha) * (m["variance"] + self.alpha * change)
        if frame.step > self.skip:
            see_minimum(m, frame.step, m["variance"])

    def done(self, m: Memory) -> Tensor:
        """Return whether `patience` steps went by without a new minimum, bool `(G,)`."""
        return waited(m, self.patience)

    def improved(self, m: Memory) -> Tensor | None:
        """Return whether this step is a new minimum, bool `(G,)`; None before the first one."""
        return improved(m)

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the exponential moving variance V, `(G,)`; NaN for the first `skip` steps."""
        return {"moving variance": m["value"]}

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the step and the value of the minimum."""
        return no_decrease(m, "the exponential moving variance of the images", self.patience)


def _how_to_say_sigma(problem: Problem) -> str:
    """Describe where the noise level is given for this problem: file or option, and its unit."""
    if not problem.traits.sigma_in_file:
        return f"on {problem.task} no file says it"
    scale = "on the 0..255 scale" if problem.unit_range else "in the units of the measurements"
    option = "give --sigma, or " if problem.traits.sigma_option else ""
    return f"{option}store it in the file as 'sigma', {scale}"


@dataclass(frozen=True)
class Discrepancy(Stop):
    r"""Morozov's discrepancy principle: end once mean |A x - y|^2 <= tau sigma^2.

    Needs the noise level; the residual of a network that starts to fit noise passes below it.

    Args:
        tau: safety factor; 1 ends exactly at the noise level.
    """

    name: ClassVar[str] = "discrepancy"
    tau: float = 1.0

    def start(self, s: State, m: Memory) -> None:
        """Check that the noise level is known; the ratio is infinite before the first step."""
        if s.problem.sigma is None or s.problem.sigma <= 0:
            raise UserError(
                f"the discrepancy stop needs the noise level: {_how_to_say_sigma(s.problem)} (in "
                "Python sigma=), or use another rule, for example --stop heldout"
            )
        m["ratio"] = full(s, float("inf"))
        m["step"] = full(s, 0.0)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Compute the mean squared residual of the output image over sigma^2."""
        assert s.problem.sigma is not None
        m["ratio"] = s.problem.residual_mean_square(frame.out) / s.problem.sigma**2
        m["step"] = torch.full_like(m["step"], frame.step)

    def done(self, m: Memory) -> Tensor:
        """Return whether mean squared residual over sigma^2 is at most tau, bool `(G,)`."""
        return m["ratio"] <= self.tau

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the mean squared residual over sigma^2, `(G,)`."""
        return {"discrepancy": m["ratio"]}

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the ratio that was reached, and the step."""
        return (
            f"the residual reached the noise level: mean |Ax-y|^2 / sigma^2 = "
            f"{float(m['ratio'][0]):.3f} <= {self.tau:g} at step {int(m['step'][0])}"
        )


@dataclass(frozen=True)
class HeldOut(Stop):
    """Held-out measurements: choose the step whose output image predicts them best.

    The run ends `patience` steps after it, where the budget has that many. A fraction of the
    measurements (pixels; k-space samples outside the calibration block; whole CT views) is split
    off before the method sees anything. Fitting noise helps to explain the measurements that are
    fitted and nothing else, so the error on the others turns up when overfitting begins. Needs no
    noise level. For a physics with `importance` (MRI) the error on all measurements is estimated
    instead, see `Problem.expected_misfit`.

    Args:
        fraction: share of the measurements held out.
        patience: steps without a new minimum before the run ends.
        skip: steps ignored at the start.
        slack: a step whose error is within this fraction of the minimum counts as one. The error
            on few held-out measurements is itself noisy; with a falling learning rate the later
            of two equal steps is the better one.
        again: afterwards fit all measurements for the chosen number of steps.
        more: the warm refit. Where the last step was the best, the fit of all measurements starts
            from its weights, for this fraction of the steps; 0 = it always starts anew.
    """

    name: ClassVar[str] = "heldout"
    fraction: float = 0.05
    patience: int = 200
    skip: int = 50
    slack: float = 0.0
    again: bool = False
    more: float = 0.0

    def __post_init__(self) -> None:
        for field, least in (("patience", 1), ("skip", 0), ("more", 0)):
            value = getattr(self, field)
            if not value >= least:
                raise UserError(f"stop.{field} must be at least {least}, got {value}")

    @property
    def holdout(self) -> float:
        """Fraction of the measurements that is held out."""
        return self.fraction

    @property
    def refit(self) -> bool:
        """Whether all measurements are fitted afterwards, for the chosen number of steps."""
        return self.again

    @property
    def warm_refit(self) -> float:
        """Steps of a refit that starts from the last weights, as a fraction of those before it."""
        return self.more

    def without_refit(self) -> HeldOut:
        """Return the same rule with `again` off."""
        return replace(self, again=False)

    @property
    def ignored(self) -> int:
        """Number of steps at the start that cannot be the best: `skip`."""
        return self.skip

    @property
    def tolerance(self) -> float:
        """Fraction above the minimum within which a step still counts as best: `slack`."""
        return self.slack

    @property
    def earliest(self) -> float:
        """First step that can end a run: `patience` steps after the earliest possible minimum."""
        return self.skip + 1 + self.patience

    def start(self, s: State, m: Memory) -> None:
        """Initialise the memory: no minimum yet."""
        start_minimum(s, m)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Compute the error of the output image on the held-out measurements."""
        if frame.held is None:
            raise ValueError("the held-out rule was run without held-out measurements")
        error = s.problem.expected_misfit(frame.out, frame.held)
        if frame.step > self.skip:
            see_minimum(m, frame.step, error, self.slack)
        else:
            m["value"] = error

    def done(self, m: Memory) -> Tensor:
        """Return whether `patience` steps went by without a new minimum, bool `(G,)`."""
        return waited(m, self.patience)

    def improved(self, m: Memory) -> Tensor | None:
        """Return whether this step is a new minimum, bool `(G,)`; None before the first one."""
        return improved(m)

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the error on the held-out measurements, `(G,)`."""
        return {HELD_OUT_ERROR: m["value"]}

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the step and the value of the minimum."""
        return no_decrease(m, "the error on the held-out measurements", self.patience, self.slack)
