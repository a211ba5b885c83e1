"""Refusals of what a method cannot do with: settings, weights, priors and unknowns of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Output, Stop
from untrained.errors import UserError, shown
from untrained.methods import METHODS, PRIOR, Card
from untrained.methods.find import BLIND
from untrained.pretrain import TRAINABLE, Weights
from untrained.priors import Prior, Reconstructor


def check_unknown(card: Card, method: Method | None, unknown: Sequence[str]) -> None:
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


def check_refines(card: Card, recipe: Recipe, unknown: Sequence[str]) -> None:
    """Refuse a method that takes no gradient steps where something is to be refined by them."""
    if recipe.engine.optimiser == "none":
        raise UserError(
            f"'{card.name}' takes no gradient steps, which refine the {' and '.join(unknown)}: "
            "leave --method out, or take a method that fits a network, such as dip"
        )


def check_given(name: str, value: Any, kind: type, public: str) -> None:
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


def refuse_prior(weights: Weights | None) -> None:
    """Refuse the weights of a prior, which methods ask, and do not start from."""
    card = None if weights is None else TRAINABLE.get(weights.method)
    if card is not None and card.prior:
        raise UserError(
            f"these are the weights of {card.title}, which methods ask and "
            "do not start from: give the file as --prior (prior= in Python)"
        )


def check_weights(card: Card, task: str, weights: Weights | None) -> None:
    """Refuse learned weights that are missing, of another method, or that nothing starts from."""
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


def check_prior(card: Card, prior: Prior | None) -> None:
    """Refuse a prior of the wrong kind, one that is missing, or one that nothing would ask."""
    if prior is None:
        if card.needs == PRIOR:
            raise UserError(
                f"'{card.name}' asks {card.prior} that was trained elsewhere: give --prior FILE "
                "(prior= in Python)"
            )
        return
    if not isinstance(prior, Prior):
        raise UserError(
            f"prior= takes the file of a pre-trained network, or what load_prior returns; got "
            f"{type(prior).__name__}. Weights of `pretrain.train` are saved first: "
            'weights.save("prior.safetensors"), then prior="prior.safetensors"'
        )
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


def refuse_network_options(
    card: Card, settings: Sequence[str], steps: int, stop: str | Stop, output: str | Output
) -> None:
    """Refuse what only methods with optimiser steps know: settings, steps, stop and output."""
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
