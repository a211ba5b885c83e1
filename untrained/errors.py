"""The one error a user is meant to read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class UserError(ValueError):
    """Bad input: the message names the culprit, what was found, what was expected, what to do.

    The command line prints it as one paragraph and exits with status 2; from Python it is a
    plain `ValueError`.
    """


class Note(UserWarning):
    """A decision made on the user's behalf, or a doubt about the input.

    Each note of `Result.notes` is also given as one warning of this category;
    `warnings.simplefilter("ignore", untrained.Note)` silences them.
    """


class Diverged(RuntimeError):
    """The objective became infinite or NaN before any image could be kept."""


@contextlib.contextmanager
def from_file(path: str | Path) -> Iterator[None]:
    """What is wrong with values that came from a file is said with the file's name in front."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
