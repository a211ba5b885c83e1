"""`untrained list methods|nets|tasks|presets|rules|formats|labs`."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import click

from untrained.methods import METHODS, PRESETS, PRIOR
from untrained.methods.card import FAMILIES, Card
from untrained.methods.find import AUTO, FILLIN
from untrained.tasks import ALL_TASKS, LINEAR_TASKS

WHAT = ("methods", "nets", "tasks", "presets", "rules", "formats", "labs")


@click.command("list")
@click.argument("what", type=click.Choice(WHAT))
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects with `name`.")
def listing(what: str, as_json: bool) -> None:
    """Show what there is: methods, nets, tasks, presets, rules, formats or labs."""
    rows = _ROWS[what]()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows) + 2
    family = ""
    for row in rows:
        if row.get("family", "") != family:
            family = row["family"]
            click.echo("\n" + click.style(_wrapped(_heading(family), 0), bold=True))
        _show(row, width)


def _show(row: dict[str, Any], width: int) -> None:
    facts = [
        value if isinstance(value, str) else _listed(value)
        for key, value in row.items()
        if key not in ("name", "family")
    ]
    first, *more = [fact for fact in facts if fact]
    click.echo(f"{row['name']:<{width}}{_wrapped(first, width)}")
    for line in more:
        click.echo(" " * width + click.style(_wrapped(line, width), dim=True))


def _listed(names: list[str]) -> str:
    if names == list(ALL_TASKS):
        return "every task"
    if names == list(LINEAR_TASKS):
        return "every task with a linear operator"
    return ", ".join(names)


def _heading(family: str) -> str:
    return f"{family.upper()}: {FAMILIES[family]}"


def _wrapped(text: str, indent: int) -> str:
    return click.wrap_text(text, width=79 - indent).replace("\n", "\n" + " " * indent)


def _methods() -> list[dict[str, Any]]:
    """List one row a method, those of a family together; `auto` first."""
    auto = {
        "name": "auto",
        "family": "",
        "title": f"the method our evidence supports: {AUTO}, and {FILLIN} on inpaint",
        "source": "",
        "tasks": [],
        "optimises": "",
        "needs": "",
    }
    cards = [
        {
            "name": card.name,
            "family": card.family,
            "title": card.title,
            "source": card.source,
            "tasks": list(card.tasks),
            "optimises": f"optimises {card.optimises}",
            "needs": _needs(card),
        }
        for family in FAMILIES
        for card in METHODS.values()
        if card.family == family
    ]
    return [auto, *cards]


def _needs(card: Card) -> str:
    """Say what a method needs beside the measurements, and how it is given; "" for nothing."""
    if card.needs == PRIOR:
        return f"needs {card.prior} that was trained elsewhere (--prior)"
    if card.training is not None:
        return f"needs {card.needs} (--weights), from {card.training.learns_from}"
    return "needs similar clean images (--guide)" if card.guided else ""


def _nets() -> list[dict[str, Any]]:
    from untrained.nets import NETS

    return [
        {"name": name, "description": _first_line(net), "fields": _fields(net)}
        for name, net in NETS.items()
    ]


def _tasks() -> list[dict[str, Any]]:
    from untrained.data import TASKS

    return [{"name": t.name, "description": t.description} for t in TASKS.values()]


def _presets() -> list[dict[str, Any]]:
    return [{"name": name, "description": text} for name, text in PRESETS.items()]


def _rules() -> list[dict[str, Any]]:
    from untrained.core.role import role_anywhere
    from untrained.rules import RULES

    return [
        {
            "name": name,
            "description": _first_line(rule),
            "fields": _fields(rule),
            "role": role_anywhere(rule()),
        }
        for name, rule in RULES.items()
    ]


def _formats() -> list[dict[str, Any]]:
    from untrained.data import FORMATS

    return [
        {"name": f.name, "suffixes": f.suffixes, "description": f.description}
        for f in FORMATS.values()
    ]


def _labs() -> list[dict[str, Any]]:
    from untrained.lab import LABS

    return [{"name": one.name, "title": one.title, "source": one.source} for one in LABS.values()]


def _first_line(thing: Any) -> str:
    text = inspect.getdoc(thing) or ""
    return " ".join(text.split("\n\n")[0].split())


def _fields(thing: Any) -> list[str]:
    return [f"{f.name}={f.default!r}" for f in dataclasses.fields(thing)]


_ROWS = {
    "methods": _methods,
    "nets": _nets,
    "tasks": _tasks,
    "presets": _presets,
    "rules": _rules,
    "formats": _formats,
    "labs": _labs,
}
