"""Choose between methods by short trials on measurements that were held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.problem import Problem
from untrained.solver.batching import Member, members_stage
from untrained.solver.context import RunContext
from untrained.solver.fit import Fit
from untrained.solver.loop import run_stage


@dataclass(frozen=True)
class Trials:
    """Hold the short fits of every candidate, for some problems side by side.

    Attributes:
        candidates: the methods that were tried.
        fits: of each candidate, the fits of all problems.
    """

    candidates: tuple[Method, ...]
    fits: tuple[tuple[Fit, ...], ...]

    @property
    def finished(self) -> bool:
        """Return whether no trial was interrupted."""
        return all(one.finished for fits in self.fits for one in fits)

    def choose(self, index: int) -> int:
        """Return the number of the candidate that predicts the held-out measurements best."""
        errors = self._errors(index)
        return errors.index(min(errors))

    def record(self, index: int, fit: Fit) -> Fit:
        """Add the reason and the cost of the trials to the fit of a problem that followed them."""
        errors, chosen = self._errors(index), self.choose(index)
        others = ", ".join(
            f"{method.description} ({error:.3g})"
            for number, (method, error) in enumerate(zip(self.candidates, errors, strict=True))
            if number != chosen
        )
        own = [fits[index] for fits in self.fits]
        why = (
            f"before, trials of {own[0].steps} steps had shown that "
            f"{self.candidates[chosen].description} predicts held-out measurements best (error "
            f"{errors[chosen]:.3g}), not {others}"
        )
        return replace(fit.with_reason(why), candidate=(chosen,)).with_cost_of(*own)

    def _errors(self, index: int) -> list[float]:
        return [_least_error(fits[index]) for fits in self.fits]


def try_candidates(
    context: RunContext, recipe: Recipe, members: Sequence[Member], fit: Problem, held: Problem
) -> Trials:
    """Fit every candidate for the steps of a trial; stop at the first that is interrupted.

    Args:
        context: of the call.
        recipe: says the candidates and the steps.
        members: the problems, as the caller numbers them.
        fit, held: what is fitted of them, and what is held out, side by side.
    """
    done: list[tuple[Fit, ...]] = []
    for number, method in enumerate(recipe.candidates):
        alone = replace(recipe, method=method, alternative=None).with_steps(recipe.trial)
        stage = members_stage(f"trial {number}", members, [alone] * len(members), fit)
        done.append(tuple(run_stage(context, replace(stage, held=held))))
        if not all(one.finished for one in done[-1]):
            break
    return Trials(recipe.candidates[: len(done)], tuple(done))


def _least_error(trial: Fit) -> float:
    """Return the least held-out error of a trial; infinite for a trial that diverged."""
    errors = [float(error) for error in trial.history["held-out error"]]
    return min((error for error in errors if math.isfinite(error)), default=math.inf)
