"""What fitting a network to measurements leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from untrained.core.history import row_of
from untrained.core.rule import Stopped

Columns = dict[str, list[float | str]]
"""A history: column name -> one entry per optimiser step."""


@dataclass(frozen=True)
class Fit:
    """Hold the image of a finished, or interrupted, fit and the record of how it was found.

    Attributes:
        image: `(G, C, ...)` in the units of the measurements.
        history: column name -> list, one entry per optimiser step: `phase`, `step`, each term of
            the objective, the stop rule's statistic, and what the watchers add.
        origins: column of the history -> `objective`, `stop`, `output` or `watch`: whose number
            it is.
        stop: why it ended, per problem.
        steps: optimiser steps taken.
        seconds, cpu_seconds: what they took, those before an interruption included.
        finished: False when it was interrupted and can be resumed.
        weights, z: the network's weights and input at the end, each `(G, ...)`.
        candidate: which of the recipe's candidates was run, per problem, counted from 0.
        dropped: why a fit of all measurements, or a further seed, was not used; empty if none was.
        guide: the classical image that the image is mixed with, where it is, `(G, C, ...)`.
    """

    image: Tensor
    history: Columns
    origins: dict[str, str]
    stop: tuple[Stopped, ...]
    steps: int
    seconds: float
    cpu_seconds: float
    finished: bool
    weights: dict[str, Tensor]
    z: Tensor | None
    candidate: tuple[int, ...] = (0,)
    dropped: str = ""
    guide: Tensor | None = None

    def chosen_row(self) -> dict[str, float]:
        """Return the history's row of the chosen step (of the first problem)."""
        return row_of(self.history, self.stop[0].step)

    def with_columns(self, columns: dict[str, float]) -> Fit:
        """Add constant columns to the history, those of the output rule."""
        constant: Columns = {
            name: [value] * len(self.history["step"]) for name, value in columns.items()
        }
        return replace(
            self,
            history=self.history | constant,
            origins=self.origins | dict.fromkeys(columns, "output"),
        )

    def with_cost_of(self, *others: Fit) -> Fit:
        """Add the steps and seconds of other fits that were made on the way to this one."""
        return replace(
            self,
            steps=self.steps + sum(one.steps for one in others),
            seconds=self.seconds + sum(one.seconds for one in others),
            cpu_seconds=self.cpu_seconds + sum(one.cpu_seconds for one in others),
        )

    def with_reason(self, *more: str) -> Fit:
        """Add clauses to the reason why it ended (of the first problem)."""
        first = self.stop[0]
        reason = "; ".join([first.reason, *more])
        return replace(self, stop=(replace(first, reason=reason), *self.stop[1:]))

    def to_plain(self) -> dict[str, Any]:
        """Return tensors and plain values only, for the checkpoint, which holds no code."""
        return {**vars(self), "stop": [dict(vars(one)) for one in self.stop]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any], device: torch.device) -> Fit:
        """Return the fit that `to_plain` was asked of, with its tensors on `device`."""
        z, guide = plain["z"], plain["guide"]
        read = {
            "image": plain["image"].to(device),
            "weights": {name: weight.to(device) for name, weight in plain["weights"].items()},
            "z": None if z is None else z.to(device),
            "guide": None if guide is None else guide.to(device),
            "stop": tuple(Stopped(**one) for one in plain["stop"]),
        }
        return cls(**{**plain, **read})


def joined_columns(first: Columns, second: Columns) -> Columns:
    """Put two histories one after the other; a column that one lacks is NaN there."""
    counts = len(first["step"]), len(second["step"])
    nan = float("nan")
    return {
        name: first.get(name, [nan] * counts[0]) + second.get(name, [nan] * counts[1])
        for name in {**first, **second}
    }
