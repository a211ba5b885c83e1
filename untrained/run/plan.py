"""Names and settings -> a plan: which method with which recipe on which task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace

from untrained.checks import whole
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Output, Stop
from untrained.core.start import StartWeights
from untrained.errors import UserError
from untrained.methods import METHODS, Card, find_recipe
from untrained.methods.find import AUTO, FILLIN, find_card
from untrained.methods.own import own_card
from untrained.methods.presets import check_preset
from untrained.methods.selfdeblur import OURS
from untrained.pretrain import Weights
from untrained.priors import Prior, Reconstructor
from untrained.problem import Problem
from untrained.problem.digest import data_digest
from untrained.rules import Average, Blend, Closing, Last, PriorBlend, parse_stop
from untrained.run.refusals import (
    check_given,
    check_prior,
    check_refines,
    check_unknown,
    check_weights,
    refuse_network_options,
    refuse_prior,
)

MOST_STEPS = 10**9
MOST_SEEDS = 10_000
MIXING = (AUTO, FILLIN)
"""Methods that mix a prior's image in, see `PriorBlend`; others ask it themselves."""
OUTPUTS = ("auto", "last", "average", "best")


@dataclass(frozen=True)
class Plan:
    """Describe what will be run: a method's card, and for a network method its recipe.

    `weights` are those that a pre-trained method starts from, `prior` the pre-trained network that
    a method asks. `unknown` names what is unknown of the operator, `then` is what is run afterwards
    with the operator found.
    """

    card: Card
    task: str
    preset: str
    recipe: Recipe | None
    weights: Weights | None = None
    prior: Prior | None = None
    unknown: tuple[str, ...] = ()
    then: Plan | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that hold for any image of this plan."""
        if self.card.note:
            return (self.card.note,)
        if self.then is not None:
            return (
                f"unknown of the operator: {', '.join(self.unknown)}, estimated by {self.card.name}"
                f"; the image is then made by {self.then.card.name} with what was found",
            )
        if self.card.classical and self.unknown:
            return (
                f"the {' and '.join(self.unknown)} is unknown, and {self.card.name} takes a guess "
                "for it (a Gaussian): leave --method out to have it estimated",
            )
        learned = self.card.control_of
        if not learned:
            return ()
        return (
            f"no --weights were given (weights= in Python), and so this is {self.card.title}: it "
            f"shows what learning is worth; for {learned} itself learn an encoder first: untrained "
            f"pretrain {learned} {self.task} INPUT... --out FILE, and give it with --weights FILE",
        )

    def start(self, problem: Problem) -> StartWeights | None:
        """Return what was learned elsewhere for the run of a problem: weights, a prior, or None."""
        start = None if self.weights is None else self.weights.start(problem)
        if self.prior is None:
            return start
        return replace(start or StartWeights(), prior=self.prior)

    def digest(self, problem: Problem) -> str:
        """Compute a hash of what a run depends on beside its settings: data, weights, prior."""
        file = "" if self.prior is None else self.prior.provenance.sha256
        return data_digest(problem, {} if self.weights is None else self.weights.tensors, file)

    def seeds(self, asked: int) -> int:
        """Return the number of runs that are averaged.

        As many as asked for, and not fewer than the preset does.

        Raises:
            UserError: fewer than one, or several of a method that draws nothing.
        """
        asked = whole("seeds", asked, least=1, most=MOST_SEEDS)
        if asked > 1 and self.unknown:
            raise UserError(
                f"every seed finds its own {' and '.join(self.unknown)}, and images of "
                "different ones are not averaged: leave seeds out"
            )
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
        if asked > 1 and isinstance(self.prior, Reconstructor):
            raise UserError(
                f"'{self.card.name}' applies a trained network and draws nothing at random: every "
                "seed gives the same image; leave seeds out"
            )
        return 1 if self.recipe is None else max(asked, self.recipe.seeds)

    def check_guide(self, given: bool) -> None:
        """Refuse clean images that the method does not use.

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
    method: str | Method = "auto",
    preset: str = "fast",
    settings: Sequence[str] = (),
    steps: int = 0,
    stop: str | Stop = "auto",
    output: str | Output = "auto",
    weights: Weights | None = None,
    prior: Prior | None = None,
    unknown: Sequence[str] = (),
) -> Plan:
    """Turn names and settings into what will be run.

    Args:
        task: a task's name.
        method, preset: names; `auto` is the method our evidence supports. A class of your own is
            `FILE.py:Class` or `MODULE:Class`, whose code is run. A `Method` in place of its name is
            run with the network, engine and rules of its preset, or of those of `dip` where it is
            none of ours, for as many steps as its own `rounds` and `inner` say, or the preset's
            where those are as its class has them.
        settings: `FIELD=VALUE` assignments, see `Recipe.with_settings`.
        steps: budget in optimiser steps, 0 = the preset's; what a method does before its first
            image that counts (training, search, burn-in) keeps its share of it.
        stop: `auto` (the recipe's), `none`, or a rule (its text, see `parse_stop`, or a `Stop`),
            whose best step is then returned unless `output` says otherwise.
        output: `auto` (the recipe's), `last`, `average`, `best`, or an `Output`.
        weights: what a pre-trained method starts from; its network takes the place of the
            recipe's. With the method `auto`, the method that they were learned for. Without them
            `ugodit` is its control, a random encoder, never trained, and the others are refused.
        prior: the pre-trained network that the method asks.
        unknown: names of what is unknown of the operator (`Physics.unknowns`). With the method
            `auto` the plan has two stages: `selfdeblur` finds a kernel, `tvdip` coil maps, and then
            comes what `auto` is with known ones.

    Raises:
        UserError: an unknown name or setting, a method that does not do the task, weights or a
            prior that are missing, not asked for, or of another method, task or kind.
    """
    if isinstance(settings, str):
        raise UserError(f"settings must be a list of FIELD=VALUE, got the text '{settings}'")
    steps = whole("steps", steps, least=0, most=MOST_STEPS)
    refuse_prior(weights)
    if weights is not None and method == "auto":
        method = weights.method
    check_given("method", method, Method, "untrained.Method")
    check_given("stop", stop, Stop, "untrained.rules.Stop")
    check_given("output", output, Output, "untrained.rules.Output")
    card = _card_of(method, task, unknown)
    check_weights(card, task, weights)
    check_prior(card, prior)
    if weights is None and card.control is not None:
        card = card.control
    check_preset(preset)
    if card.classical:
        refuse_network_options(card, settings, steps, stop, output)
        check_unknown(card, None, unknown)
        return Plan(card, task, preset, None, unknown=tuple(unknown))
    recipe = find_recipe(card, task, preset)
    check_unknown(card, recipe.method, unknown)
    blind = method == "auto" and bool(unknown)
    if blind and recipe.method.fits:
        ours = f"{recipe.source}, with {' '.join(OURS)}"
        recipe = replace(recipe.with_settings(OURS), source=ours)
    if isinstance(method, Method) and _is_ours(method):
        recipe = _with_method(recipe, method)
    if weights is not None:
        recipe = replace(recipe, net=weights.net)
    if steps:
        recipe = recipe.with_steps(steps)
    if stop != "auto":
        rule = parse_stop(stop) if isinstance(stop, str) else stop
        recipe = replace(recipe, stop=rule, output=_at_the_best(recipe.output))
    chosen = _output(recipe, output) if isinstance(output, str) else output
    recipe = replace(recipe, output=chosen)
    if prior is not None and card.name in MIXING:
        recipe = replace(recipe, output=_with_prior(recipe.output, card))
    recipe = recipe.with_settings(settings)
    if unknown:  # images that go with different operators are not averaged
        check_refines(card, recipe, unknown)
        recipe = replace(recipe, seeds=1)
    recipe.check()
    then = plan(task, preset=preset) if blind else None
    return Plan(card, task, preset, recipe, weights, prior, tuple(unknown), then)


def _card_of(method: str | Method, task: str, unknown: Sequence[str] = ()) -> Card:
    """Find the card of a name or an object, and check that it does the task.

    Raises:
        UserError: an unknown name, or a method that does not do the task.
    """
    if isinstance(method, str):
        card = find_card(method, task, unknown)
    elif _is_ours(method):
        card = METHODS[method.name]
    else:
        return own_card(method)  # the task is checked with its operator
    if task not in card.tasks:
        able = [c.name for c in METHODS.values() if task in c.tasks]
        raise UserError(f"method '{card.name}' does not do {task}; these do: {', '.join(able)}")
    return card


def _is_ours(method: Method) -> bool:
    """Return whether a method is this library's, not a user's class that may have its name."""
    return method.name in METHODS and type(method).__module__.startswith("untrained.methods.")


def _with_method(recipe: Recipe, method: Method) -> Recipe:
    """Return the recipe of a method of ours with this method in it, and the steps that it sets."""
    fields = {f.name: f.default for f in dataclasses.fields(method)}  # type: ignore[arg-type]
    if isinstance(recipe.method, type(method)):  # of a control, with the same settings
        method = type(recipe.method)(**{name: getattr(method, name) for name in fields})
    ours = type(method) is type(recipe.method)
    usual = all(fields.get(name) == getattr(method, name) for name in ("rounds", "inner"))
    return replace(
        recipe,
        method=method,
        steps=recipe.budget if ours and usual else 0,
        alternative=recipe.alternative if method == recipe.method else None,
        source=recipe.source if ours else f"{type(method).__name__} in a recipe of {method.name}",
    )


def _with_prior(output: Output, card: Card) -> Output:
    """Let the mixture of our own method take the prior's image in.

    Raises:
        UserError: an output that mixes nothing, and so would ask the prior nothing.
    """
    if not isinstance(output, Blend):
        raise UserError(
            f"'{card.name}' asks a prior for an image to mix with, and this output rule mixes none "
            "(--output): leave --output or --prior out"
        )
    return PriorBlend.of(output)


def _at_the_best(output: Output) -> Output:
    """Return the output rule with `keep_best`: a stop rule that was named chooses the image."""
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
