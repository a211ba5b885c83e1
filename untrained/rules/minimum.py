"""Functions that stop rules share which wait for the minimum of a number.

The memory holds the number of this step (`value`), its minimum (`best`) and where that was (`best
step`), whether this step is a new one (`improved`), and the step; each `(G,)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.core.rule_memory import Memory
from untrained.core.state import State


def full(s: State, value: float) -> Tensor:
    """Return a tensor `(G,)` that holds `value` for every problem."""
    return torch.full((s.size,), value, device=s.device)


def start_minimum(s: State, m: Memory) -> None:
    """Initialise the memory: the minimum is infinite, and its step 0."""
    m["value"] = full(s, float("nan"))
    m["best"] = full(s, float("inf"))
    m["best step"] = full(s, 0.0)
    m["improved"] = torch.zeros(s.size, dtype=torch.bool, device=s.device)
    m["step"] = full(s, 0.0)


def see_minimum(m: Memory, step: int, value: Tensor, slack: float = 0.0) -> None:
    """Record the number of `step`, and whether it is a new minimum.

    It counts as one if it is below the minimum so far times 1 + `slack`.
    """
    value = value.float()
    good = value < m["best"] * (1 + slack)
    m["value"] = value
    m["improved"] = good
    m["best"] = torch.fmin(m["best"], value)  # a NaN is no minimum
    m["best step"] = torch.where(good, torch.full_like(m["step"], step), m["best step"])
    m["step"] = torch.full_like(m["step"], step)


def improved(m: Memory) -> Tensor | None:
    """Return whether this step is a new minimum, bool `(G,)`; None before there is a first one.

    Until then every step counts as the best, so that a run that ends early returns its newest
    image, not its first.
    """
    seen = torch.isfinite(m["best"])
    return m["improved"] | ~seen if bool(seen.any()) else None


def waited(m: Memory, patience: int) -> Tensor:
    """Return whether `patience` steps have passed since the last new minimum, bool `(G,)`."""
    seen = torch.isfinite(m["best"])
    return seen & (m["step"] - m["best step"] >= patience)


def no_decrease(m: Memory, what: str, patience: int, slack: float = 0.0) -> str:
    """Return the reason for the end: the minimum, its step, and the patience."""
    best, step = float(m["best"][0]), int(m["best step"][0])
    if slack:
        return (
            f"{what} was within {100 * slack:.3g} % of its minimum ({best:.3g}) at step {step} for "
            f"the last time, and not for {patience} steps after it"
        )
    return f"{what} was smallest ({best:.3g}) at step {step} and did not fall for {patience} steps"
