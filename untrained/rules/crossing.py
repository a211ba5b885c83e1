"""Zero crossing of an unbiased risk estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.rule import Frame, Memory, Stop
from untrained.core.state import State


@dataclass(frozen=True)
class ZeroCrossing(Stop):
    """Ends when the objective falls below zero (Jo, Chun, Choi, ICCV 2021).

    For an objective that estimates the error without bias (SURE), zero means that the estimate can
    no longer be trusted: the network has begun to fit it. Other objectives never get there.

    Args:
        skip: first steps that are not looked at.
    """

    name: ClassVar[str] = "zero"
    skip: int = 20

    def start(self, s: State, m: Memory) -> None:
        """Not yet."""
        m["value"] = torch.full((s.size,), float("nan"), device=s.problem.y.device)
        m["step"] = torch.zeros(s.size, device=s.problem.y.device)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """The sum of the terms."""
        m["value"] = torch.stack(list(frame.terms.values())).sum(0)
        m["step"] = torch.full_like(m["step"], frame.step)

    def done(self, m: Memory) -> Tensor:
        """A sum below zero."""
        return (m["value"] < 0) & (m["step"] > self.skip)

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """The sum."""
        return {"risk estimate": m["value"]}

    def reason(self, m: Memory) -> str:
        """The step."""
        return f"the risk estimate fell below zero at step {int(m['step'][0])}"
