"""Load a user's own method, `FILE.py:Class`, and give it a card."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.errors import UserError, shown
from untrained.methods import DIP, METHODS, Card
from untrained.methods.card import RecipeOf
from untrained.own_code import call, load_callable
from untrained.tasks import ALL_TASKS, LINEAR_TASKS

KIND = "method"


def own_card(method: Method) -> Card:
    """Return a card for a method object that is none of ours, with the recipes of `dip`."""
    return _card(method, method.name, f"a method of your own; the rest is that of {DIP.name}")


def _card(method: Method, name: str, source: str, note: str = "") -> Card:
    """Return a card whose recipes are those of `dip` around another method."""

    def recipe(task: str, preset: str) -> Recipe:
        usual = _recipe_of_dip(task, preset)
        # steps=0: as many as the method's own `rounds` and `inner` say
        return replace(usual, method=method, steps=0, alternative=None, source=source)

    tasks = ALL_TASKS if method.nonlinear else LINEAR_TASKS
    return Card(name, "a method of your own", source, "", tasks, "", recipe, note=note)


def _recipe_of_dip(task: str, preset: str) -> Recipe:
    made = METHODS[DIP.name].recipe
    assert made is not None
    return made(task, preset)


def load_card(spec: str) -> Card:
    """Return a card for the class that `FILE.py:Class` or `MODULE:Class` names.

    Raises:
        UserError: it cannot be loaded, or is no method.
    """
    found, module = load_callable(spec, KIND)
    method = _made(found, spec)
    code = f"{Path(spec).name}, {_file_hash(module)}"
    name = spec if method.name in METHODS else method.name
    theirs = getattr(module, "recipe", None)
    if callable(theirs):
        return replace(
            _card(method, name, f"a method of your own ({code}), with a recipe of its own"),
            recipe=_checked(theirs, type(method), spec, code),
        )
    return _card(
        method,
        name,
        f"a method of your own ({code}); the rest is that of {DIP.name}",
        f"{spec} is run with the network, engine, stop rule and output of {DIP.name}, and with its "
        "own rounds x inner steps unless --steps says otherwise; a function recipe(task, preset) "
        "beside the class gives others",
    )


def _made(found: Callable[..., Any], spec: str) -> Method:
    """Make the method with its default settings, and check that it is one."""
    if isinstance(found, type) and not issubclass(found, Method):
        raise UserError(
            f"method {spec} is a class, but not one of untrained.Method: write "
            f"class {found.__name__}(untrained.Method)"
        )
    made = call(found, spec, KIND)
    if not isinstance(made, Method):
        raise UserError(f"method {spec} must give an object of untrained.Method, got {shown(made)}")
    fields: list[str] = []
    if dataclasses.is_dataclass(made):
        fields = [f.name for f in dataclasses.fields(made)]
    lacking = [name for name in ("rounds", "inner") if name not in fields]
    if lacking:
        raise UserError(
            f"method {spec} has no field {' and no field '.join(lacking)}: write "
            "@dataclass(frozen=True) above the class, and rounds: int = 300, inner: int = 1 in it"
        )
    return made


def _checked(theirs: RecipeOf, kind: type[Method], spec: str, code: str) -> RecipeOf:
    """Return the user's `recipe`, with a sentence where it gives something else."""

    def recipe(task: str, preset: str) -> Recipe:
        made = call(theirs, f"{spec}, recipe({task!r}, {preset!r}),", KIND, task, preset)
        if not isinstance(made, Recipe) or not isinstance(made.method, kind):
            raise UserError(
                f"method {spec}: recipe({task!r}, {preset!r}) must give an untrained.Recipe whose "
                f"method is a {kind.__name__}, got {shown(made)}"
            )
        source = f"{made.source}; " if made.source else ""
        return replace(made, source=f"{source}a method of your own ({code})")

    return recipe


def _file_hash(module: ModuleType) -> str:
    """Name the state of the user's file, so that a run is not gone on with by other code."""
    if module.__file__ is None:
        return "no file"
    digest = hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest()
    return f"sha256 {digest[:12]}"
