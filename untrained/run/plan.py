"""Names and settings -> a plan: which method with which recipe on which task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from untrained.checks import whole
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Output, Stop
from untrained.core.start import StartWeights
from untrained.errors import UserError, shown
from untrained.methods import METHODS, PRIOR, Card, find_recipe
from untrained.methods.find import AUTO, BLIND, FILLIN, find_card
from untrained.methods.own import own_card
from untrained.methods.presets import check_preset
from untrained.methods.selfdeblur import OURS
from untrained.pretrain import TRAINABLE, Weights
from untrained.priors import Prior, Reconstructor
from untrained.problem import Problem
from untrained.problem.digest import data_digest
from untrained.rules import Average, Blend, Closing, Last, PriorBlend, parse_stop

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
                f"the {' and '.join(self.unknown)} is estimated by {self.card.name}; the image is "
                f"then made by {self.then.card.name} with what was found",
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
                f"every seed finds a {' and '.join(self.unknown)} of its own, and images of "
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
            `auto` and an unknown kernel the plan has two stages: `selfdeblur` finds the kernel,
            and then comes what `auto` is with a known one.

    Raises:
        UserError: an unknown name or setting, a method that does not do the task, weights or a
            prior that are missing, not asked for, or of another method, task or kind.
    """
    if isinstance(settings, str):
        raise UserError(f"settings must be a list of FIELD=VALUE, got the text '{settings}'")
    steps = whole("steps", steps, least=0, most=MOST_STEPS)
    _refuse_prior(weights)
    if weights is not None and method == "auto":
        method = weights.method
    _check_given("method", method, Method, "untrained.Method")
    _check_given("stop", stop, Stop, "untrained.rules.Stop")
    _check_given("output", output, Output, "untrained.rules.Output")
    card = _card_of(method, task, unknown)
    _check_weights(card, task, weights)
    _check_prior(card, prior)
    if weights is None and card.control is not None:
        card = card.control
    check_preset(preset)
    if card.classical:
        _refuse_network_options(card, settings, steps, stop, output)
        _check_unknown(card, None, unknown)
        return Plan(card, task, preset, None, unknown=tuple(unknown))
    recipe = find_recipe(card, task, preset)
    _check_unknown(card, recipe.method, unknown)
    blind = method == "auto" and bool(recipe.method.fits)
    if blind:
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
    recipe.check()
    then = plan(task, preset=preset) if blind else None
    return Plan(card, task, preset, recipe, weights, prior, tuple(unknown), then)


def _check_unknown(card: Card, method: Method | None, unknown: Sequence[str]) -> None:
    """Refuse a method that cannot do with what is unknown of the operator, or has nothing to find.

    Args:
        card: the method's.
        method: itself; None for a classical one.
        unknown: names of what is unknown.
    """
    fits = () if method is None else method.fits
    lacking = [name for name in fits if name not in unknown]
    if lacking:
        raise UserError(
            f"'{card.name}' estimates the {lacking[0]}, and it is known here: give --kernel "
            "estimate (in Python untrained.physics.BlindBlur), or take another method"
        )
    for name in unknown:
        if name in BLIND and name not in fits and method is not None:
            raise UserError(
                f"'{card.name}' needs a known {name}: leave --method out, which estimates it by "
                f"{BLIND[name]} first, or take a classical method, which works with a guess"
            )
        if name not in BLIND and method is None:
            raise UserError(
                f"'{card.name}' is a classical method and refines no {name}: leave --method out"
            )


def _check_given(name: str, value: Any, kind: type, public: str) -> None:
    """Refuse what is neither a name nor an object of that kind.

    Raises:
        UserError: says what was given; of a class, how to make an object of it.
    """
    if isinstance(value, (str, kind)):
        return
    hint = ""
    if isinstance(value, type) and issubclass(value, kind):
        hint = f"; give an object of it: {value.__name__}()"
    raise UserError(f"{name} must be a text or an object of {public}, got {shown(value)}{hint}")


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


def _refuse_prior(weights: Weights | None) -> None:
    """Refuse the weights of a prior, which methods ask, and do not start from."""
    card = None if weights is None else TRAINABLE.get(weights.method)
    if card is not None and card.prior:
        raise UserError(
            f"these are the weights of {card.title}, which methods ask and "
            "do not start from: give the file as --prior (prior= in Python)"
        )


def _check_weights(card: Card, task: str, weights: Weights | None) -> None:
    if weights is not None and not card.pretrained:
        users = [c.name for c in METHODS.values() if c.pretrained]
        raise UserError(
            f"'{card.name}' starts from random weights; those given serve {', '.join(users)} "
            "(--method); leave --weights out"
        )
    if card.pretrained and weights is None and card.control is None:
        raise UserError(
            f"'{card.name}' starts from learned weights: give --weights FILE (weights= in "
            f"Python), made by: untrained pretrain {card.name} {task} INPUT... --out FILE"
        )
    if weights is not None:
        weights.check(card.name, task)


def _check_prior(card: Card, prior: Prior | None) -> None:
    """Refuse a prior of the wrong kind, one that is missing, or one that nothing would ask."""
    if prior is None:
        if card.needs == PRIOR:
            raise UserError(
                f"'{card.name}' asks {card.prior} that was trained elsewhere: give --prior FILE "
                "(prior= in Python)"
            )
        return
    if not card.prior:
        users = [one.name for one in METHODS.values() if one.prior == prior.kind]
        raise UserError(
            f"'{card.name}' asks no pre-trained network; {prior.kind} serves "
            f"{', '.join(users) or 'no method'} (--method); leave --prior out"
        )
    if card.prior != prior.kind:
        raise UserError(
            f"'{card.name}' asks {card.prior}, and --prior is {prior.kind} "
            f"({prior.provenance.architecture})"
        )
    if isinstance(prior, Reconstructor) and prior.method != card.name:
        raise UserError(
            f"'{card.name}' applies a network of its own kind, and --prior is "
            f"{prior.provenance.architecture}: that is --method {prior.method}"
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


def _refuse_network_options(
    card: Card, settings: Sequence[str], steps: int, stop: str | Stop, output: str | Output
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
