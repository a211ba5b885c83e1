"""What rules share that wait for a number to have had its minimum.

The memory holds the number of this step (`value`), its minimum (`best`) and where that was (`best
step`), whether this step is a new one (`improved`), and the step; each `(G,)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.core.rule_memory import Memory
from untrained.core.state import State


def full(s: State, value: float) -> Tensor:
    """`value` for every problem, `(G,)`."""
    return torch.full((s.size,), value, device=s.device)


def start_minimum(s: State, m: Memory) -> None:
    """No minimum yet."""
    m["value"] = full(s, float("nan"))
    m["best"] = full(s, float("inf"))
    m["best step"] = full(s, 0.0)
    m["improved"] = torch.zeros(s.size, dtype=torch.bool, device=s.device)
    m["step"] = full(s, 0.0)


def see_minimum(m: Memory, step: int, value: Tensor, slack: float = 0.0) -> None:
    """Take in the number of `step`; within the fraction `slack` of the minimum it is a new one."""
    value = value.float()
    good = value < m["best"] * (1 + slack)
    m["value"] = value
    m["improved"] = good
    m["best"] = torch.fmin(m["best"], value)  # a NaN is no minimum
    m["best step"] = torch.where(good, torch.full_like(m["step"], step), m["best step"])
    m["step"] = torch.full_like(m["step"], step)


def improved(m: Memory) -> Tensor | None:
    """Whether this step is a new minimum; None before there is a first one.

    A run that ends before its rule had an opinion returns its newest image, not its first.
    """
    seen = torch.isfinite(m["best"])
    return m["improved"] | ~seen if bool(seen.any()) else None


def waited(m: Memory, patience: int) -> Tensor:
    """Whether there was a minimum and `patience` steps went by without a new one."""
    seen = torch.isfinite(m["best"])
    return seen & (m["step"] - m["best step"] >= patience)


def no_decrease(m: Memory, what: str, patience: int, slack: float = 0.0) -> str:
    """The reason: where the minimum was, and how long was waited."""
    best, step = float(m["best"][0]), int(m["best step"][0])
    if slack:
        return (
            f"{what} was within {100 * slack:.3g} % of its minimum ({best:.3g}) at step {step} for "
            f"the last time, and not for {patience} steps after it"
        )
    return f"{what} was smallest ({best:.3g}) at step {step} and did not fall for {patience} steps"
