"""What one stage of a fit is given: problems, recipes and what to start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.problem import Problem
from untrained.problem.group import Group
from untrained.solver.track import Track

FIRST, REFIT = "fit", "refit"
"""Labels of the first fit and of the fit of all measurements after it; trials have others."""


@dataclass(frozen=True)
class StageInput:
    """Describe what a stage fits, and how.

    Attributes:
        name: its name in the checkpoint; what follows the last `/` is its label.
        recipes: one for each problem; they may differ in the numbers of stop and output rule.
        problem: what is fitted.
        seeds: one for each problem, or one for all.
        held: the measurements held out.
        rows: which of the caller's problems these are; counted from 0 if not given.
        weights: what the networks start from; None = drawn from the seeds.
        variables: likewise the method's variables by name; None = as its `start` makes them.
        tracks: by row, the data term of an earlier fit that this one's is compared with, to end
            a fit that goes wrong (without one: with its own least so far), see `off_track`;
            None = no comparison.
    """

    name: str
    recipes: Sequence[Recipe]
    problem: Problem | Group
    seeds: Sequence[int]
    held: Problem | None = None
    rows: Sequence[int] | None = None
    weights: dict[str, Tensor] | None = None
    variables: dict[str, Tensor] | None = None
    tracks: Mapping[int, Track] | None = None

    @property
    def label(self) -> str:
        """Return the stage's name in the history's column `phase`."""
        return self.name.rpartition("/")[2]

    @property
    def is_last(self) -> bool:
        """Return whether its image is returned: no refit replaces it, and it is no trial."""
        return not self.recipes[0].stop.refit if self.label == FIRST else self.label == REFIT
