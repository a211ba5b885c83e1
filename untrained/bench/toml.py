"""Read TOML files: every key of a table is known, and every value of the right kind."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from untrained.errors import UserError, shown
from untrained.files import read_text_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_TEXT = 2**20  # bytes; a hundred runs take a few kilobytes
Kinds = tuple[type, ...]
NUMBER: Kinds = (int, float)
TEXT: Kinds = (str,)
WHOLE: Kinds = (int,)
LIST: Kinds = (list,)
TABLE: Kinds = (dict,)
_NAMES = {int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a table"}
_BY_HINT = {"int": int, "float": float, "str": str, "Path": str, "bool": bool}


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        what: it is, for messages.

    Raises:
        UserError: unreadable, too long, or no TOML.
    """
    text = read_text_file(path, what, MOST_TEXT)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise UserError(f"{path} is not a TOML file: {error}") from error


def read_table(table: Any, known: dict[str, Kinds], where: str) -> dict[str, Any]:
    """Check a table's keys and the kinds of their values.

    Args:
        table: what the file holds.
        known: key -> the kinds its value may have.
        where: names the table in messages, for example `[[runs]] 2`.

    Raises:
        UserError: not a table, an unknown key (with a close match), a value of another kind.
    """
    if not isinstance(table, dict):
        raise UserError(f"{where}: expected a table, got {shown(table)}")
    for name, value in table.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise UserError(f"{where}: unknown key '{name}'; known: {', '.join(known)}{hint}")
        _check_kind(value, known[name], f"{where}: {name}")
    return table


def read_texts(value: Any, where: str) -> tuple[str, ...]:
    """Read one text, or a list of texts, as a tuple.

    Raises:
        UserError: anything else, or an empty list.
    """
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(v, str) for v in values):
        raise UserError(f"{where}: expected a text or a list of texts, got {shown(value)}")
    return tuple(values)


def read_counts(value: Any, where: str) -> tuple[int, ...]:
    """Read a list of different whole numbers >= 0 as a tuple.

    Raises:
        UserError: anything else, or an empty list.
    """
    values = value if isinstance(value, list) else [value]
    good = all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values)
    if not values or not good or len(set(values)) < len(values):
        raise UserError(f"{where}: expected different whole numbers >= 0, got {shown(value)}")
    return tuple(values)


def require_positive(value: float, where: str) -> float:
    """Require a number above 0.

    Raises:
        UserError: it is not positive and finite.
    """
    if not 0 < value < float("inf"):
        raise UserError(f"{where}: expected a number above 0, got {shown(value)}")
    return value


def keywords(function: Callable[..., Any], without: tuple[str, ...] = ()) -> dict[str, Kinds]:
    """List a function's keyword-only arguments, with the kinds that their annotations allow."""
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: _kinds(str(p.annotation))
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name not in without
    }


def _kinds(annotation: str) -> Kinds:
    if annotation.startswith("tuple"):
        return LIST
    return tuple(kind for hint, kind in _BY_HINT.items() if hint in annotation)


def _check_kind(value: Any, kinds: Kinds, where: str) -> None:
    whole_for_float = float in kinds and isinstance(value, int)
    fits = isinstance(value, kinds) or whole_for_float
    if not fits or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join(dict.fromkeys(_NAMES.get(kind, kind.__name__) for kind in kinds))
        raise UserError(f"{where}: expected {expected}, got {shown(value)}")
