"""Rules of a fit: stop rules say when it ends, output rules what it returns, guards undo.

A rule is a frozen dataclass of settings; what it remembers lives in the `Memory` it is handed,
and so in the checkpoint. Answers are per problem, `(G,)`. Settings in which the problems of a run
may differ (the steps of a refit, the share of a mixture) are put into the memory at the start and
read there. Stop rules combine: `a | b` ends when
either does, `a & b` when both have.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.rule_memory import Memory
from untrained.core.state import State
from untrained.problem import Problem


@dataclass(frozen=True)
class Stopped:
    """Why and where a run ended.

    Attributes:
        rule: the rule's name; `budget` when every step was taken; `interrupted`, `time limit` or
            `diverged`.
        step: the step whose image is returned (the rule's best, where the output keeps it).
        reason: one sentence.
    """

    rule: str
    step: int
    reason: str


@dataclass(frozen=True)
class Frame:
    """What a rule sees of one step.

    Attributes:
        step: the number of this step, from 1.
        x: the image of this step `(G, C, ...)`, before the update of the weights.
        out: the output rule's image at this step (x, or an average).
        terms: the objective's terms, each `(G,)`.
        held: the measurements held out, if any; no method ever sees them.
    """

    step: int
    x: Tensor
    out: Tensor
    terms: dict[str, Tensor]
    held: Problem | None


class Stop(ABC):
    """When to end, and which step was best so far by the rule's own statistic."""

    name: ClassVar[str]

    @property
    def holdout(self) -> float:
        """Fraction of the measurements to hold out before anything else; 0 = none."""
        return 0.0

    @property
    def refit(self) -> bool:
        """Whether to fit everything again for the chosen number of steps afterwards."""
        return False

    @property
    def warm_refit(self) -> float:
        """Return the share of the chosen steps for which the refit goes on from the first fit.

        0: it starts anew, as it does where the chosen step was not the last.
        """
        return 0.0

    @property
    def limit(self) -> int | None:
        """The step at which it ends a run for certain, where it knows."""
        return None

    @property
    def earliest(self) -> float:
        """The first step at which it may end a run; infinite for a rule that ends none."""
        return 1

    @property
    def chooses(self) -> bool:
        """Whether it says which step was best."""
        return type(self).improved is not Stop.improved

    @property
    def ignored(self) -> int:
        """Steps at the start of which none can be its best."""
        return 0

    @property
    def tolerance(self) -> float:
        """The fraction above the minimum of its statistic at which a step still counts as best."""
        return 0.0

    @abstractmethod
    def start(self, s: State, m: Memory) -> None:
        """Make the memory."""

    @abstractmethod
    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Take in one step."""

    @abstractmethod
    def done(self, m: Memory) -> Tensor:
        """Whether each problem should end now, bool `(G,)`."""

    def improved(self, m: Memory) -> Tensor | None:
        """Whether this step is the best yet, bool `(G,)`; None for a rule without a statistic."""
        return None

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """The numbers behind the decision, for the history, each `(G,)`."""
        return {}

    @abstractmethod
    def reason(self, m: Memory) -> str:
        """One sentence of why it ended (problem 0)."""

    def __or__(self, other: Stop) -> Stop:
        return Either(self, other)

    def __and__(self, other: Stop) -> Stop:
        return Both(self, other)


@dataclass(frozen=True)
class _Pair(Stop):
    left: Stop
    right: Stop

    @property
    def holdout(self) -> float:
        return max(self.left.holdout, self.right.holdout)

    @property
    def refit(self) -> bool:
        return self.left.refit or self.right.refit

    @property
    def warm_refit(self) -> float:
        return max(self.left.warm_refit, self.right.warm_refit)

    @property
    def _chooser(self) -> Stop:
        return self.left if self.left.chooses else self.right

    @property
    def chooses(self) -> bool:
        return self._chooser.chooses

    @property
    def ignored(self) -> int:
        return self._chooser.ignored

    @property
    def tolerance(self) -> float:
        return self._chooser.tolerance

    def start(self, s: State, m: Memory) -> None:
        self.left.start(s, m.sub("left"))
        self.right.start(s, m.sub("right"))

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        self.left.see(s, m.sub("left"), frame)
        self.right.see(s, m.sub("right"), frame)

    def improved(self, m: Memory) -> Tensor | None:
        """The left rule's answer if it has one, else the right's."""
        left = self.left.improved(m.sub("left"))
        return self.right.improved(m.sub("right")) if left is None else left

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        return {**self.right.statistic(m.sub("right")), **self.left.statistic(m.sub("left"))}


@dataclass(frozen=True)
class Either(_Pair):
    """Ends when one of the two rules does."""

    name: ClassVar[str] = "either"

    @property
    def earliest(self) -> float:
        return min(self.left.earliest, self.right.earliest)

    def done(self, m: Memory) -> Tensor:
        return self.left.done(m.sub("left")) | self.right.done(m.sub("right"))

    def reason(self, m: Memory) -> str:
        first = bool(self.left.done(m.sub("left"))[0])
        return self.left.reason(m.sub("left")) if first else self.right.reason(m.sub("right"))

    def __str__(self) -> str:
        return f"({self.left} | {self.right})"


@dataclass(frozen=True)
class Both(_Pair):
    """Ends when both rules have ended, not necessarily at the same step."""

    name: ClassVar[str] = "both"

    @property
    def earliest(self) -> float:
        return max(self.left.earliest, self.right.earliest)

    def start(self, s: State, m: Memory) -> None:
        super().start(s, m)
        for side in ("left", "right"):
            m[f"{side} done"] = torch.zeros(s.size, dtype=torch.bool, device=s.device)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        super().see(s, m, frame)
        m["left done"] = m["left done"] | self.left.done(m.sub("left"))
        m["right done"] = m["right done"] | self.right.done(m.sub("right"))

    def done(self, m: Memory) -> Tensor:
        return m["left done"] & m["right done"]

    def reason(self, m: Memory) -> str:
        return f"{self.left.reason(m.sub('left'))}; and {self.right.reason(m.sub('right'))}"

    def __str__(self) -> str:
        return f"({self.left} & {self.right})"


class Output(ABC):
    """Which image a solve returns."""

    name: ClassVar[str]
    keep_best: bool = False

    @abstractmethod
    def start(self, s: State, m: Memory) -> None:
        """Make the memory."""

    @abstractmethod
    def see(self, s: State, m: Memory, x: Tensor, held: Problem | None) -> Tensor:
        """Take in the image of this step; return the image that would be returned now."""

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Numbers for the history, each `(G,)`."""
        return {}

    def classical_image(self, m: Memory) -> Tensor | None:
        """Return the classical image that the returned one is mixed with, if it is."""
        return None

    def choose_on_held_out(self, fit: Problem, image: Tensor, held: Problem) -> dict[str, float]:
        """Choose numbers for the image of the chosen step by what was held out, once.

        They are written into every row of that fit's history, where `with_choices_fixed` finds
        them.
        """
        return {}

    def finish(self, problem: Problem, image: Tensor) -> Tensor:
        """Called once, on the image of the chosen step: what is returned in its place."""
        return image

    def within(self, steps: int, budget: int) -> Output:
        """The rule for a budget of `steps` instead of `budget`."""
        return self

    def with_choices_fixed(self, row: dict[str, float]) -> Output:
        """Fix the values chosen on held-out data, for the refit.

        Args:
            row: the history's row of the chosen step.
        """
        return self


class Guard(ABC):
    """May ask for a return to an earlier snapshot."""

    name: ClassVar[str]

    @abstractmethod
    def start(self, s: State, m: Memory) -> None:
        """Make the memory."""

    @abstractmethod
    def see(self, s: State, m: Memory, terms: dict[str, Tensor]) -> None:
        """Take in the objective's terms for the weights as they are, before the optimiser moves
        them; may overwrite them in place.
        """


@dataclass(frozen=True)
class Never(Stop):
    """Never ends a run before its budget (`--stop none`)."""

    name: ClassVar[str] = "none"

    @property
    def earliest(self) -> float:
        """Never."""
        return math.inf

    def start(self, s: State, m: Memory) -> None:
        """Remember only how many problems there are."""
        m["done"] = torch.zeros(s.size, dtype=torch.bool, device=s.device)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Nothing to see."""

    def done(self, m: Memory) -> Tensor:
        """False."""
        return m["done"]

    def reason(self, m: Memory) -> str:
        """It never ends a run, so it has none."""
        return "no stop rule was asked for"


@dataclass(frozen=True)
class MaxSteps(Stop):
    """Ends after `steps` optimiser steps; the schedule stays that of the budget."""

    name: ClassVar[str] = "steps"
    steps: int = 1000

    @property
    def limit(self) -> int:
        """That number."""
        return self.steps

    @property
    def earliest(self) -> float:
        """That number, too."""
        return self.steps

    def start(self, s: State, m: Memory) -> None:
        """Count from zero."""
        m["step"] = torch.zeros(s.size, device=s.device)
        m["limit"] = torch.full_like(m["step"], self.steps)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Count."""
        m["step"] = torch.full_like(m["step"], frame.step)

    def done(self, m: Memory) -> Tensor:
        """True from step `steps` on."""
        return m["step"] >= m["limit"]

    def reason(self, m: Memory) -> str:
        """The number of steps."""
        return f"the {int(m['limit'][0])} steps asked for were taken"


@dataclass(frozen=True)
class Last(Output):
    """The image of the last step; with `keep_best`, of the stop rule's best step."""

    name: ClassVar[str] = "last"
    keep_best: bool = False

    def start(self, s: State, m: Memory) -> None:
        """Nothing to remember."""

    def see(self, s: State, m: Memory, x: Tensor, held: Problem | None) -> Tensor:
        """The image itself."""
        return x
