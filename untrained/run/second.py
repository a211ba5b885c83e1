"""The second stage of a fit with an unknown operator: the image anew, with the operator found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from untrained.classical.kernel_place import placed
from untrained.core.watch import Watch
from untrained.folder import WORK
from untrained.problem import Problem
from untrained.run.plan import Plan
from untrained.solver.fit import Fit, joined_columns
from untrained.uncertainty.ensemble import solve_ensemble

SHARE = 0.7
"""Share of the residual of a fit with an unknown blur that counts as noise: the rest is what its
network could not draw (docs/blind.md)."""


def solve_known(
    then: Plan,
    problems: Sequence[Problem],
    found: Sequence[Fit],
    *,
    seed: int,
    device: str,
    watch: Sequence[Watch],
    run_dir: str | Path | None,
) -> list[Fit]:
    """Fit every image with what the first stage found; first fits that are unfinished stay.

    Args:
        then: the plan of this stage, a network's.
        problems: of one image each, with the unknown operator.
        found: their first fits, with a settled `theta`.
        seed: names all randomness; the recipe may ask for further seeds.
        device, watch, run_dir: as of `untrained.solve`.
    """
    if not all(one.finished for one in found):
        return list(found)
    assert then.recipe is not None
    thetas = [_placed(p, one.theta) for p, one in zip(problems, found, strict=True)]
    known = [
        problem.knowing(theta, _left(problem, one))
        for problem, one, theta in zip(problems, found, thetas, strict=True)
    ]
    second = solve_ensemble(
        then.recipe,
        known,
        seeds=range(seed, seed + then.seeds(1)),
        start=None,
        data=[then.digest(problem) for problem in known],
        device=device,
        watch=watch,
        run_dir=None if run_dir is None else Path(run_dir) / WORK / "known-0",
    )
    return [
        _joined(replace(one, theta=theta), last)
        for one, theta, last in zip(found, thetas, second, strict=True)
    ]


def _placed(problem: Problem, theta: dict[str, Tensor]) -> dict[str, Tensor]:
    """Move an unknown blur kernel to where it explains the picture's border best."""
    if "kernel" not in theta:
        return theta
    return theta | {"kernel": placed(problem, theta["kernel"][0])[None]}


def _left(problem: Problem, found: Fit) -> float:
    """Compute the noise level of the second stage: what the first leaves unexplained.

    Of a blur, it is SHARE of that. It stands for noise and the error of the operator. A smaller
    noise level would let a classical answer fit that error.
    """
    known = problem.knowing(found.theta)
    left = float(known.residual_mean_square(known.from_units(found.image)).sqrt())
    share = SHARE if "kernel" in found.theta else 1.0
    return max(share * left, problem.sigma or 0.0)


def _joined(found: Fit, last: Fit) -> Fit:
    """Join the two fits of an image: the second's image, the first's recipe and history."""
    # numbers of one name that mean the same in both stay one column
    apart = found.history.keys() - {"phase", "step", "psnr", "psnr_output"}
    second = {f"{n} (second)" if n in apart else n: v for n, v in last.history.items()}
    second["phase"] = [f"second {phase}" for phase in last.history["phase"]]
    history = joined_columns(found.history, second)
    before = found.stop[0]
    more = f"then {last.steps} steps with what was found: {last.stop[0].reason}"
    return replace(
        last,
        recipe=found.recipe,
        candidate=found.candidate,
        theta=found.theta,
        variables=found.variables,
        history=history,
        origins=found.origins | {n: o for n, o in last.origins.items() if n not in apart},
        stop=(replace(before, reason=f"{before.reason}; {more}"),) if last.finished else last.stop,
        resumed_from=(*found.resumed_from, *last.resumed_from),
        std=None,
    ).with_cost_of(found)
