"""Rules of a fit: stop rules end it, output rules choose the image, guards restore weights.

A rule is a frozen dataclass of settings; what it remembers lives in the `Memory` it is handed,
and so in the checkpoint. Answers are per problem, `(G,)`. Settings in which the problems of a run
may differ (the steps of a refit, the share of a mixture) are put into the memory at the start and
read there. Stop rules combine: `a | b` ends when either does, `a & b` when both have.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.rule_memory import Memory
from untrained.core.state import State
from untrained.problem import Problem


@dataclass(frozen=True)
class Stopped:
    """Hold the reason and the step at which a run ended.

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
    """Hold what a rule sees of one step.

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
    """Decide when a run ends, and which step was best so far by the rule's own statistic."""

    name: ClassVar[str]

    @property
    def holdout(self) -> float:
        """Fraction of the measurements to hold out before anything else; 0 = none."""
        return 0.0

    @property
    def refit(self) -> bool:
        """Whether all measurements are fitted afterwards, for the chosen number of steps."""
        return False

    @property
    def warm_refit(self) -> float:
        """Steps of a refit that starts from the last weights, as a fraction of those before it.

        0: it starts anew, as it does where the chosen step was not the last.
        """
        return 0.0

    def without_refit(self) -> Stop:
        """Return the same rule, after which nothing is refitted."""
        return self

    @property
    def limit(self) -> int | None:
        """The step at which it certainly ends a run; None where that is not known beforehand."""
        return None

    @property
    def earliest(self) -> float:
        """The first step at which it may end a run; infinite for a rule that ends none."""
        return 1

    @property
    def chooses(self) -> bool:
        """Whether the rule has a statistic by which one step is the best."""
        return type(self).improved is not Stop.improved

    @property
    def ignored(self) -> int:
        """Number of steps at the start that cannot be the best."""
        return 0

    @property
    def tolerance(self) -> float:
        """Fraction above the minimum of its statistic within which a step still counts as best."""
        return 0.0

    @abstractmethod
    def start(self, s: State, m: Memory) -> None:
        """Create the tensors of the memory."""

    @abstractmethod
    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Update the memory by one step."""

    @abstractmethod
    def done(self, m: Memory) -> Tensor:
        """Return whether each problem should end now, bool `(G,)`."""

    def improved(self, m: Memory) -> Tensor | None:
        """Return whether this step is the best yet, bool `(G,)`; None without a statistic."""
        return None

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the numbers behind the decision, for the history, each `(G,)`."""
        return {}

    @abstractmethod
    def reason(self, m: Memory) -> str:
        """Return one sentence that says why it ended (problem 0)."""

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

    def without_refit(self) -> Stop:
        return replace(self, left=self.left.without_refit(), right=self.right.without_refit())

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
        """Return the left rule's answer if it has one, else the right rule's."""
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
    """Decide which image a solve returns."""

    name: ClassVar[str]
    keep_best: bool = False

    @abstractmethod
    def start(self, s: State, m: Memory) -> None:
        """Create the tensors of the memory."""

    @abstractmethod
    def see(self, s: State, m: Memory, x: Tensor, held: Problem | None) -> Tensor:
        """Update the memory by the image of this step; return the image to be returned now."""

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return numbers for the history, each `(G,)`."""
        return {}

    def classical_image(self, m: Memory) -> Tensor | None:
        """Return the classical image that is part of the mixture; None where nothing is mixed."""
        return None

    def samples(self, m: Memory) -> tuple[Tensor, Tensor] | None:
        """Return images of the network that the spread of an error bar is taken of.

        Returns:
            The last ones `(G, S, C, ...)` of a method that draws samples, or the newest one of a
            mixture, and the standard deviation over all `(G, C, ...)`; None where the image itself
            is the network's and nothing is drawn.
        """
        return None

    def choose_on_held_out(self, fit: Problem, image: Tensor, held: Problem) -> dict[str, float]:
        """Choose numbers for the image of the chosen step on held-out measurements, once.

        They are written into every row of that fit's history, where `with_choices_fixed` finds
        them.
        """
        return {}

    def finish(self, problem: Problem, image: Tensor) -> Tensor:
        """Return the final image for the image of the chosen step; called once."""
        return image

    def within(self, steps: int, budget: int) -> Output:
        """Return the rule for a budget of `steps` instead of `budget`."""
        return self

    def with_choices_fixed(self, row: dict[str, float]) -> Output:
        """Return the rule with the values that were chosen on held-out data, for the refit.

        Args:
            row: the history's row of the chosen step.
        """
        return self


class Guard(ABC):
    """Restore earlier weights when a run goes wrong."""

    name: ClassVar[str]

    @abstractmethod
    def start(self, s: State, m: Memory) -> None:
        """Create the tensors of the memory."""

    @abstractmethod
    def see(self, s: State, m: Memory, terms: dict[str, Tensor]) -> None:
        """Look at the objective's terms before the update; the weights may be overwritten in place.

        The terms are those of the weights as they are, which the optimiser has not moved yet.
        """


@dataclass(frozen=True)
class Never(Stop):
    """Never ends a run before its budget (`--stop none`)."""

    name: ClassVar[str] = "none"

    @property
    def earliest(self) -> float:
        """Infinity: the rule never ends a run."""
        return math.inf

    def start(self, s: State, m: Memory) -> None:
        """Store False for every problem."""
        m["done"] = torch.zeros(s.size, dtype=torch.bool, device=s.device)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Do nothing: the answer is the same at every step."""

    def done(self, m: Memory) -> Tensor:
        """Return False for every problem, bool `(G,)`."""
        return m["done"]

    def reason(self, m: Memory) -> str:
        """Return that there is no rule, since it never ends a run."""
        return "no stop rule was asked for"


@dataclass(frozen=True)
class MaxSteps(Stop):
    """Ends after `steps` optimiser steps; the schedule stays that of the budget."""

    name: ClassVar[str] = "steps"
    steps: int = 1000

    @property
    def limit(self) -> int:
        """The step at which it ends a run: `steps`."""
        return self.steps

    @property
    def earliest(self) -> float:
        """The first step at which it may end a run: `steps`."""
        return self.steps

    def start(self, s: State, m: Memory) -> None:
        """Store the step 0, and the limit, in which problems side by side may differ."""
        m["step"] = torch.zeros(s.size, device=s.device)
        m["limit"] = torch.full_like(m["step"], self.steps)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Store the number of this step."""
        m["step"] = torch.full_like(m["step"], frame.step)

    def done(self, m: Memory) -> Tensor:
        """Return True from step `steps` on, bool `(G,)`."""
        return m["step"] >= m["limit"]

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the number of steps."""
        return f"the {int(m['limit'][0])} steps asked for were taken"


@dataclass(frozen=True)
class Last(Output):
    """The image of the last step; with `keep_best`, of the stop rule's best step."""

    name: ClassVar[str] = "last"
    keep_best: bool = False

    def start(self, s: State, m: Memory) -> None:
        """Do nothing: the rule needs no memory."""

    def see(self, s: State, m: Memory, x: Tensor, held: Problem | None) -> Tensor:
        """Return the image of this step."""
        return x
