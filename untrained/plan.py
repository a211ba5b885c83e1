"""Names and settings -> a plan: which method with which recipe on which task."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from untrained.core.recipe import Recipe
from untrained.core.rule import Output
from untrained.errors import UserError
from untrained.methods import AUTO, METHODS, PRESETS, Card, find_recipe
from untrained.physics.footprint import whole
from untrained.pretrain import Weights
from untrained.problem import Problem
from untrained.rules import Average, Closing, Last, parse_stop

MOST_STEPS = 10**9
MOST_SEEDS = 10_000
OUTPUTS = ("auto", "last", "average", "best")


@dataclass(frozen=True)
class Plan:
    """What will be run: a method's card, and for a network method its recipe.

    `weights` are those that a pre-trained method starts from.
    """

    card: Card
    task: str
    preset: str
    recipe: Recipe | None
    weights: Weights | None = None

    def start(self, problem: Problem) -> Problem:
        """The problem, with the weights that the plan starts from."""
        return problem if self.weights is None else self.weights.start(problem)

    def seeds(self, asked: int) -> int:
        """How many runs are averaged: as many as asked for, and not fewer than the preset does.

        Raises:
            UserError: fewer than one, or several of a method that draws nothing.
        """
        asked = whole("seeds", asked, least=1, most=MOST_SEEDS)
        if self.recipe is None and asked > 1:
            raise UserError(
                f"'{self.card.name}' is a classical method, of which every run is the same: leave "
                "seeds out"
            )
        if asked > 1 and self.weights is not None and self.weights.whole:
            raise UserError(
                f"'{self.card.name}' starts from learned weights and draws nothing at random: "
                "every seed gives the same image; leave seeds out"
            )
        return 1 if self.recipe is None else max(asked, self.recipe.seeds)

    def check_guide(self, given: bool) -> None:
        """Whether clean images of similar content are of use.

        Raises:
            UserError: they are given, and the method takes no notice of them.
        """
        if given and not self.card.guided:
            able = [card.name for card in METHODS.values() if card.guided]
            raise UserError(
                f"'{self.card.name}' takes no notice of --guide (guide= in Python); "
                f"{' and '.join(able)} do; leave it out"
            )


def plan(
    task: str,
    *,
    method: str = "auto",
    preset: str = "fast",
    settings: Sequence[str] = (),
    steps: int = 0,
    stop: str = "auto",
    output: str = "auto",
    weights: Weights | None = None,
) -> Plan:
    """Names and settings -> what will be run.

    Args:
        task: a task's name.
        method, preset: names; `auto` is the method our evidence supports.
        settings: `FIELD=VALUE` assignments, see `Recipe.with_settings`.
        steps: budget in optimiser steps, 0 = the preset's; what a method does before its first
            image that counts (training, search, burn-in) keeps its share of it.
        stop: `auto` (the recipe's), `none`, or a rule (see `parse_stop`), whose best step is then
            returned unless `output` says otherwise.
        output: `auto` (the recipe's), `last`, `average`, `best`.
        weights: what a pre-trained method starts from; its network takes the place of the
            recipe's. With the method `auto`, the method that they were learned for.

    Raises:
        UserError: an unknown name or setting, a method that does not do the task, weights that
            are missing, not asked for, or of another method or task.
    """
    if isinstance(settings, str):
        raise UserError(f"settings must be a list of FIELD=VALUE, got the text '{settings}'")
    steps = whole("steps", steps, least=0, most=MOST_STEPS)
    if weights is not None and method == "auto":
        method = weights.method
    card = _find_card(method, task)
    _check_weights(card, task, weights)
    if preset not in PRESETS:
        raise UserError(f"unknown preset '{preset}'; known: {', '.join(PRESETS)}")
    if card.classical:
        _refuse_network_options(card, settings, steps, stop, output)
        return Plan(card, task, preset, None)
    recipe = find_recipe(card, task, preset)
    if weights is not None:
        recipe = replace(recipe, net=weights.net)
    if steps:
        recipe = recipe.with_steps(steps)
    if stop != "auto":
        recipe = replace(recipe, stop=parse_stop(stop), output=_at_the_best(recipe.output))
    recipe = replace(recipe, output=_output(recipe, output))
    recipe = recipe.with_settings(settings)
    return Plan(card, task, preset, recipe, weights)


def _check_weights(card: Card, task: str, weights: Weights | None) -> None:
    if weights is not None and not card.pretrained:
        users = [c.name for c in METHODS.values() if c.pretrained]
        raise UserError(
            f"'{card.name}' starts from random weights; those given serve {', '.join(users)} "
            "(--method); leave --weights out"
        )
    if card.pretrained and weights is None:
        raise UserError(
            f"'{card.name}' starts from learned weights: give --weights FILE (weights= in "
            f"Python), made by: untrained pretrain {card.name} {task} INPUT... --out FILE"
        )
    if weights is not None:
        weights.check(card.name, task)


def _find_card(method: str, task: str) -> Card:
    name = AUTO if method == "auto" else method
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UserError(f"unknown method '{name}'; known: auto, {', '.join(METHODS)}{hint}")
    card = METHODS[name]
    if task not in card.tasks:
        able = [c.name for c in METHODS.values() if task in c.tasks]
        raise UserError(f"method '{name}' does not do {task}; these do: {', '.join(able)}")
    return card


def _refuse_network_options(
    card: Card, settings: Sequence[str], steps: int, stop: str, output: str
) -> None:
    given = [
        name
        for name, is_given in (
            (f"--set {' '.join(settings)}", bool(settings)),
            ("--steps", bool(steps)),
            ("--stop", stop not in ("auto", "none")),
            ("--output", output != "auto"),
        )
        if is_given
    ]
    if given:
        raise UserError(
            f"'{card.name}' is a classical method without optimiser steps; {given[0]} does not "
            "apply to it; leave it out"
        )


def _at_the_best(output: Output) -> Output:
    """Who asks for a rule wants the image that it finds best."""
    if isinstance(output, (Closing, Last)):
        return replace(output, keep_best=True)
    return output


def _output(recipe: Recipe, name: str) -> Output:
    if name not in OUTPUTS:
        raise UserError(f"unknown output '{name}'; known: {', '.join(OUTPUTS)}")
    if name == "auto":
        return recipe.output
    if name == "last":
        return Last(keep_best=False)
    average = recipe.output if isinstance(recipe.output, Average) else Average()
    if isinstance(recipe.output, Closing):
        average = replace(average, mu=recipe.output.mu, ask=recipe.output.ask)
    return replace(average, keep_best=name == "best")
