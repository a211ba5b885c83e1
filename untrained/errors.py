"""The one error a user is meant to read."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import reprlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec

LONGEST = 1000
"""Characters of a message; what a file or a library of others says may be of any length."""


class UserError(ValueError):
    """Bad input: the message names the culprit, what was found, what was expected, what to do.

    The command line prints it as one paragraph and exits with status 2; from Python it is a
    plain `ValueError`. Whatever names of keys and texts of files put into it, the message has one
    line, LONGEST characters at most and no control character.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_paragraph(message))


class Note(UserWarning):
    """A decision made on the user's behalf, or a doubt about the input.

    Each note of `Result.notes` is also given as one warning of this category;
    `warnings.simplefilter("ignore", untrained.Note)` silences them.
    """


class Doubt(str):
    """A note that says what looks wrong in the input, not one on a decision that was made."""

    __slots__ = ()


P = ParamSpec("P")


def doubting(find: Callable[P, tuple[str, ...]]) -> Callable[P, tuple[str, ...]]:
    """Make a function that returns notes return each of them as a `Doubt`."""

    @functools.wraps(find)
    def found(*given: P.args, **named: P.kwargs) -> tuple[str, ...]:
        return tuple(Doubt(note) for note in find(*given, **named))

    return found


class Diverged(RuntimeError):
    """The objective became infinite or NaN before any image could be kept."""


def one_paragraph(message: object) -> str:
    """Put a text on one line that is safe to print: escape control characters, cut the middle.

    Args:
        message: any text, or what `str` makes one of.
    """
    text = re.sub(r"\s*[\t\n\v\f\r]\s*", " ", str(message)).strip()
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escaped(c) for c in text)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 300]} [...] {text[-290:]}"
    return text


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def shown(value: Any) -> str:
    """Describe a value that came from outside, whatever its size or depth.

    Arrays of more than a few entries are told by type and shape, texts and lists are cut.
    """
    shape = getattr(value, "shape", None)
    if shape and getattr(value, "size", 0) != 1:
        return f"{value.dtype} of shape {tuple(shape)}"
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxlist, brief.maxtuple, brief.maxdict = 2, 4, 4, 4
    brief.maxstring = brief.maxlong = brief.maxother = 60
    plain = value.item() if shape is not None and value.size == 1 else value
    return one_paragraph(brief.repr(plain))


@contextlib.contextmanager
def from_file(*paths: str | Path | None) -> Iterator[None]:
    """Prefix UserErrors raised inside with the files' names, unless they name one of them.

    Args:
        paths: the file that the values inside came from, and others that may be to blame; values
            that are no files are passed over.
    """
    try:
        yield
    except UserError as error:
        first, *others = dict.fromkeys(str(path) for path in paths if path)
        beside = [other for other in others if os.path.isfile(other)]  # noqa: PTH113, any text
        names = [first, *beside, *(other for other in others if Path(other).suffix)]
        if any(one_paragraph(name) in str(error) for name in names):
            raise
        where = f"{first} with {', '.join(beside)}" if beside else first
        raise UserError(f"{where}: {error}") from error
