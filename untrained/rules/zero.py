"""The zero-crossing stop of methods that minimise an estimate of their own risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.rule import Frame, Memory, Stop
from untrained.core.state import State
from untrained.errors import UserError
from untrained.rules.minimum import full

NEEDED = "divergence"


@dataclass(frozen=True)
class ZeroCrossing(Stop):
    r"""Zero crossing of SURE: end when the estimated risk is negative (Jo et al., ICCV 2021).

    .. math:: \mathrm{SURE}(t) = \tfrac1m \|f(y) - y\|^2 + \tfrac{2\sigma^2}{m}\,
              \mathrm{div}_y f(y) - \sigma^2 \qquad (\text{its running mean}) < 0

    An unbiased estimate of a mean squared error is positive on average. A network that minimises
    the estimate itself drives it below zero in the end, and what it gains there is no longer the
    image's. The rule needs a method whose objective is SURE, that is, one with a term
    `divergence`; it adds up all terms, and smooths the sum since the divergence is a Monte-Carlo
    estimate.

    It is not a rule for every method, and there is no SURE rule for every method here. SURE needs
    the divergence of the whole map from y to the image. Where the input does not hold y (DIP),
    the image depends on y through the weights only, over all steps of the optimiser; no rule can
    differentiate that from the images it sees. The general estimate, a twin run on y plus a
    little noise with the same seed, is a second reconstruction.

    Memory: one number.

    Args:
        decay: of the running mean, which starts as the plain mean; 0 looks at each step alone, as
            the paper does.
    """

    name: ClassVar[str] = "zero"
    decay: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise UserError(f"stop.decay must be at least 0 and below 1, got {self.decay}")

    def start(self, s: State, m: Memory) -> None:
        """Initialise the memory: the mean is infinite before the first step."""
        m["mean"] = full(s, float("inf"))
        m["step"] = full(s, 0.0)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Update the running mean of SURE, the sum of the objective's terms, by this step."""
        if NEEDED not in frame.terms:
            raise UserError(
                "the zero-crossing stop needs a method that minimises SURE, with a term "
                f"'{NEEDED}'; this one's terms are {', '.join(frame.terms)}; use another rule, "
                "for example --stop heldout"
            )
        value = torch.stack(list(frame.terms.values())).sum(0)
        share = max(1.0 - self.decay, 1.0 / frame.step)
        m["mean"] = value if frame.step == 1 else m["mean"].lerp(value, share)
        m["step"] = torch.full_like(m["step"], frame.step)

    def done(self, m: Memory) -> Tensor:
        """Return whether the running mean is below zero, bool `(G,)`."""
        return m["mean"] < 0

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the running mean of SURE, `(G,)`."""
        return {"mean of SURE": m["mean"]}

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the mean below zero, and the step."""
        return (
            f"the estimated risk fell below zero ({float(m['mean'][0]):.3g}) at step "
            f"{int(m['step'][0])}"
        )
