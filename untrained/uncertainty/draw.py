"""Fit an image and draw what else it might be: the three ways to an error bar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.core.start import StartWeights
from untrained.core.watch import Watch
from untrained.folder import WORK
from untrained.problem import Problem
from untrained.rules import Posterior
from untrained.solver.fit import Fit
from untrained.solver.procedure import go_on, solve_each
from untrained.solver.snapshot import Snapshots
from untrained.solver.stage import DIVERGED, OFF_TRACK
from untrained.uncertainty.drawn import Drawn, centred, variance_of
from untrained.uncertainty.image_map import image_jacobian
from untrained.uncertainty.linearised import DataSpace, draw_low_rank, draw_samples, find_prior
from untrained.uncertainty.roles import Roles, draw_seed
from untrained.uncertainty.settings import SGLD, Ensemble, Linearised, Way
from untrained.uncertainty.walk import walk_recipe

LOST = (OFF_TRACK, DIVERGED)
"""Names of the ends after which a member's image is not used."""


@dataclass(frozen=True, eq=False)
class Task:
    """Hold what a way to an error bar needs of a call.

    Attributes:
        recipe: what is fitted; it refits nothing.
        roles: the measurements of one image.
        seeds: of an ensemble's members.
        start, device, watch: as of `untrained.solve`.
        settings: what must agree for a resume.
        run_dir: where the state is kept; None = nowhere.
    """

    recipe: Recipe
    roles: Roles
    seeds: Sequence[int]
    start: StartWeights | None
    settings: dict[str, Any]
    device: str
    watch: Sequence[Watch]
    run_dir: Path | None

    def fit(
        self,
        seeds: Sequence[int],
        watch: Sequence[Watch],
        folder: str = "",
        y: Tensor | None = None,
    ) -> list[Fit]:
        """Fit the image once a seed; `y` in place of the measurements to fit, in network units."""
        # The stop rule parts `rest` as `Roles` did; without one `fit` is all that may be seen.
        problem = self.roles.rest if self.recipe.stop.holdout else self.roles.fit
        if y is not None:
            problem = _with(problem, y)
        return solve_each(
            self.recipe,
            [problem] * len(seeds),
            seeds=seeds,
            split=draw_seed(self.seeds[0], "stop"),
            watch=watch,
            device=self.device,
            run_dir=self.place(folder),
            settings=self.settings,
            start=self.start,
        )

    def place(self, folder: str) -> Path | None:
        """Return where a part of the work keeps its state."""
        if self.run_dir is None or not folder:
            return self.run_dir
        return self.run_dir / WORK / folder

    def paused(self) -> bool:
        """Return whether a watcher wants the run to pause."""
        return any(one.interrupted() is not None for one in self.watch)


def as_run(recipe: Recipe, way: Way) -> Recipe:
    """Return the recipe as it is run for an error bar: nothing is refitted, samples are kept."""
    output = recipe.output
    if isinstance(way, SGLD) and isinstance(output, Posterior):
        output = replace(output, keep=way.keep)
    return replace(recipe, stop=recipe.stop.without_refit(), output=output)


def draw(way: Way, task: Task) -> Drawn:
    """Fit the image and draw samples about it in the way asked for."""
    if isinstance(way, Ensemble):
        return _ensemble(way, task)
    return _walk(way, task) if isinstance(way, SGLD) else _linearised(way, task)


def _ensemble(way: Ensemble, task: Task) -> Drawn:
    """Average the members, or with bootstrap draw them about the first."""
    if way.bootstrap:
        return _bootstrap(task)
    members = task.fit(task.seeds, task.watch)
    return _members(members[0], members, members, task.roles)


def _members(first: Fit, members: Sequence[Fit], all_fits: Sequence[Fit], roles: Roles) -> Drawn:
    """Take the spread of the members' images; the image is their mean if the first is one."""
    made = replace(first, weights={}, z=None)
    made = made.with_cost_of(*[one for one in all_fits if one is not first])
    if not all(one.finished for one in all_fits):
        return Drawn(replace(made, finished=False))
    done = [one for one in members if one is first or one.stop[0].rule not in LOST]
    images = torch.cat([roles.fit.from_units(one.image) for one in done])
    if first is members[0]:
        made = replace(made, image=roles.fit.to_units(images.mean(0, keepdim=True)))
    lost = [str(one.seed) for one in members if one is not first and one.stop[0].rule in LOST]
    if lost:
        made = replace(made, dropped=f"seed {', '.join(lost)} was dropped: its fit failed")
    # of a mixture with a classical image, which varies little, the networks' own images
    own = [one.image if one.samples is None else one.samples[0] for one in done]
    samples = centred(torch.cat([roles.fit.from_units(one) for one in own]))
    return Drawn(made, samples, variance_of(samples).sqrt()[None], {"members": float(len(done))})


def _bootstrap(task: Task) -> Drawn:
    """Fit the measurements, and then, once a further seed, measurements drawn about that fit."""
    (first,) = task.fit(task.seeds[:1], task.watch)
    if not first.finished:
        return Drawn(first)
    problem = task.roles.rest if task.recipe.stop.holdout else task.roles.fit
    image = problem.from_units(first.image)
    predicted = problem.A(image)
    members = []
    for number, seed in enumerate(task.seeds[1:], 1):
        # of each unit one sign, so that errors which go together stay so
        signs = _signs(task.roles.units, seed, number)
        y = problem.visible(predicted + signs * (problem.y - predicted))
        members += task.fit([seed], task.watch, f"bootstrap-{number}", y)
        if not members[-1].finished:
            break
    return _members(first, members, [first, *members], task.roles)


def _signs(units: Tensor, seed: int, number: int) -> Tensor:
    """Draw a sign for each unit, `(1, ...)`; where there is no unit, for each entry."""
    generator = torch.Generator().manual_seed(draw_seed(seed, f"signs {number}"))
    labels = units.cpu()
    lone = torch.arange(labels.numel()).reshape(labels.shape) + int(labels.max()) + 1
    labels = labels.where(labels >= 0, lone)
    drawn = torch.randint(2, (int(labels.max()) + 1,), generator=generator) * 2.0 - 1
    return drawn[labels][None].to(units.device)


def _with(problem: Problem, y: Tensor) -> Problem:
    """Replace the measurements of one image, in its own units."""
    other = problem.with_measurements(y)
    other.scale, other.adjoint_level = problem.scale, problem.adjoint_level
    return other


def _walk(way: SGLD, task: Task) -> Drawn:
    """Walk about the fit; a method that samples gives its own walk."""
    roles = task.roles
    if isinstance(task.recipe.output, Posterior):
        (fit,) = task.fit(task.seeds[:1], task.watch)
        return _sampled(fit, fit, roles)
    snapshots = Snapshots()
    (fit,) = task.fit(task.seeds[:1], [*task.watch, snapshots])
    if not fit.finished:
        return Drawn(fit)
    assert snapshots.best is not None
    walked = go_on(
        walk_recipe(fit.final_recipe(), way, fit.stop[0].step),
        roles.fit,
        snapshots.best,
        seed=task.seeds[0],
        watch=task.watch,
        device=task.device,
        run_dir=task.place("walk"),
        settings=task.settings,
        start=task.start,
    )
    return _sampled(fit, walked, roles)


def _sampled(fit: Fit, walked: Fit, roles: Roles) -> Drawn:
    """Take the samples of a walk about its own mean; the image stays the fit's."""
    made = fit if walked is fit else fit.with_cost_of(walked)
    if not walked.finished or walked.samples is None or walked.spread is None:
        return Drawn(replace(made, finished=False))
    images = roles.fit.from_units(walked.samples[0])
    std = roles.fit.from_units(walked.spread)
    return Drawn(made, centred(images), std, {"samples": float(len(images))})


def _linearised(way: Linearised, task: Task) -> Drawn:
    """Linearise the network at its fit; draw from the Gaussian posterior."""
    snapshots, roles = Snapshots(), task.roles
    (fit,) = task.fit(task.seeds[:1], [*task.watch, snapshots])
    if not fit.finished:
        return Drawn(fit)
    assert snapshots.best is not None
    began, cpu = time.perf_counter(), time.process_time()
    recipe, seed = fit.final_recipe(), task.seeds[0]
    jacobian = image_jacobian(recipe, roles.fit, snapshots.best, seed=seed, start=task.start)
    space = DataSpace(jacobian, roles.fit)
    prior = find_prior(space, way, roles.fit.sigma, seed)
    facts = prior.facts()
    if way.rank:
        samples, std, held = draw_low_rank(space, prior, way, seed)
        facts["prior_variance_held"] = held
    else:
        drawn = draw_samples(space, prior, way, seed, task.paused)
        if drawn is None:
            return Drawn(replace(fit, finished=False))
        samples, std = drawn, variance_of(drawn).sqrt()
    made = replace(
        fit,
        seconds=fit.seconds + time.perf_counter() - began,
        cpu_seconds=fit.cpu_seconds + time.process_time() - cpu,
    )
    return Drawn(made, centred(samples), std[None], facts)
