"""What fitting a network to measurements leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.core.rule import Stopped
from untrained.solver.history import row_of

FitKind = TypeVar("FitKind", bound="Fit")

Columns = dict[str, list[float | str]]
"""A history: column name -> one entry per optimiser step."""


@dataclass(frozen=True, repr=False)
class Fit:
    """Hold the image of a finished, or interrupted, fit and the record of how it was found.

    Attributes:
        image: `(G, C, ...)` in the units of the measurements.
        history: column name -> list, one entry per optimiser step: `phase`, `step`, each term of
            the objective, the stop rule's statistic, and `psnr`/`psnr_output` when a reference
            was given for the record.
        stop: why it ended, per problem.
        steps: optimiser steps taken, over all stages of problem 0.
        seconds, cpu_seconds: what they took, those before an interruption included.
        recipe: what was run; None for a classical method, and before the whole call has ended.
        seed: the seed.
        device, precision, threads: where and how it ran.
        resumed_from: steps at which the run was taken up again.
        finished: False when it was interrupted and can be resumed.
        origins: column of the history -> `objective`, `stop`, `output` or `watch`: whose number
            it is.
        weights, z: the network's weights and input at the end, each `(G, ...)`.
        variables: the method's trained variables at the end by name, each `(G, ...)`.
        theta: what was unknown of the operator, as found, each `(G, ...)`; see `Physics.settle`.
        candidate: which of the recipe's candidates was run, per problem, counted from 0.
        dropped: why a fit of all measurements, or a further seed, was not used; empty if none was.
        guide: the classical image that the image is mixed with, where it is, `(G, C, ...)`.
        std: standard deviation over seeds, or of an error bar, where asked for.
        samples, spread: images of the network `(G, S, C, ...)` and their standard deviation
            `(G, C, ...)`, where the output rule keeps any, see `Output.samples`.
        peak_memory_mb: peak of the process in MiB (GPU: reserved), None where unknown.
    """

    image: Tensor
    history: Columns
    stop: tuple[Stopped, ...]
    steps: int
    seconds: float
    cpu_seconds: float
    recipe: Recipe | None = None
    seed: int = 0
    device: str = ""
    precision: str = ""
    threads: int = 0
    resumed_from: tuple[int, ...] = ()
    finished: bool = True
    origins: dict[str, str] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    z: Tensor | None = None
    variables: dict[str, Tensor] = field(default_factory=dict)
    theta: dict[str, Tensor] = field(default_factory=dict)
    candidate: tuple[int, ...] = (0,)
    dropped: str = ""
    guide: Tensor | None = None
    std: Tensor | None = None
    samples: Tensor | None = None
    spread: Tensor | None = None
    peak_memory_mb: float | None = None

    def final_recipe(self) -> Recipe:
        """Return the recipe as it was run: candidate and output's choices are fixed (problem 0).

        Raises:
            ValueError: a classical answer, which has no recipe.
        """
        if self.recipe is None:
            raise ValueError("a classical answer has no recipe")
        method = self.recipe.candidates[self.candidate[0]]
        output = self.recipe.output.with_choices_fixed(self.chosen_row())
        return replace(self.recipe, output=output, method=method, alternative=None)

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
        plain = {name: getattr(self, name) for name in STORED}
        return {**plain, "stop": [dict(vars(one)) for one in self.stop]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any], device: torch.device) -> Fit:
        """Return the fit that `to_plain` turned into plain values, with its tensors on `device`."""
        tensors = {name: plain[name] for name in ("z", "guide", "samples", "spread")}
        kept = {part: plain[part] for part in ("weights", "variables", "theta")}
        read = {
            "image": plain["image"].to(device),
            **{part: {n: t.to(device) for n, t in named.items()} for part, named in kept.items()},
            **{name: None if t is None else t.to(device) for name, t in tensors.items()},
            "stop": tuple(Stopped(**one) for one in plain["stop"]),
        }
        return cls(**{**plain, **read})


STORED = (
    *("image", "history", "origins", "steps", "seconds", "cpu_seconds", "finished"),
    *("weights", "z", "variables", "theta", "candidate", "dropped", "guide", "samples", "spread"),
)
"""Fields of the fit of a stage that are stored, beside `stop`; the others belong to the whole
call."""


def stack_fits(each: Sequence[FitKind]) -> FitKind:
    """Stack the fits of several images into one, with the history of the first."""
    first = each[0]
    if len(each) == 1:
        return first
    stds = [one.std for one in each if one.std is not None]  # none of what was interrupted
    guides = [one.guide for one in each if one.guide is not None]
    return replace(
        first,
        image=torch.cat([one.image for one in each]),
        guide=torch.cat(guides) if len(guides) == len(each) else None,
        stop=tuple(stop for one in each for stop in one.stop),
        seconds=sum(one.seconds for one in each),
        cpu_seconds=sum(one.cpu_seconds for one in each),
        finished=all(one.finished for one in each),
        candidate=tuple(chosen for one in each for chosen in one.candidate),
        std=torch.cat(stds) if len(stds) == len(each) else None,
        weights={n: torch.cat([one.weights[n] for one in each]) for n in first.weights},
        z=None if first.z is None else torch.cat([one.z for one in each if one.z is not None]),
        variables={n: torch.cat([one.variables[n] for one in each]) for n in first.variables},
        theta={n: torch.cat([one.theta[n] for one in each]) for n in first.theta},
    )


def joined_columns(first: Columns, second: Columns) -> Columns:
    """Append the second history to the first; a column that one lacks is NaN there."""
    counts = len(first["step"]), len(second["step"])
    nan = float("nan")
    return {
        name: first.get(name, [nan] * counts[0]) + second.get(name, [nan] * counts[1])
        for name in {**first, **second}
    }
