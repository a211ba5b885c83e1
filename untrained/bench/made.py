"""An experiment's folder: what this program made in it, and what is somebody else's."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from untrained.bench.work import read_json, write_json
from untrained.errors import UserError
from untrained.files import atomic_write, holds, sha256

GRID, JOBS, DATA = "grid.json", "jobs", "data"
MADE = "made"
"""In `grid.json`: the hashes of tables and reports, by name."""
FACTS = {"name", "small", "time_limit", "jobs"}


def read_own_grid(out: Path) -> dict[str, Any] | None:
    """Read what `open_grid` noted in an experiment's folder; None where the folder is new.

    Raises:
        UserError: a `grid.json`, or a folder by one of our names, is somebody else's.
    """
    if not os.path.lexists(out / GRID):
        found = [name for name in (JOBS, DATA) if os.path.lexists(out / name)]
        if found:
            raise UserError(
                f"{out} holds {' and '.join(found)}, which this program did not make; nothing was "
                "touched: choose another --out"
            )
        return None
    with contextlib.suppress(UserError):
        facts = read_json(out / GRID)
        if facts.keys() >= FACTS:
            return facts
    raise UserError(
        f"{out / GRID} is no list of jobs that this program wrote, or it is damaged; nothing was "
        "touched: choose another --out"
    )


def write_output(out: Path, name: str, content: bytes) -> Path:
    """Write a table or report into an experiment's folder, in place of an earlier one of its own.

    Raises:
        UserError: the file there is somebody else's, or was changed since.
    """
    facts = read_own_grid(out) or {}
    made: dict[str, list[str]] = facts.get(MADE, {})
    path, new = out / name, hashlib.sha256(content).hexdigest()
    before = made.get(name, [])
    if os.path.lexists(path) and not holds(path, before):
        raise UserError(
            f"{path} was not written by this program, or was changed since; it was not touched: "
            "move it away, or name another file with --out"
        )
    before = [sha256(path)] if path.exists() else []
    # first, so that a kill in between leaves no file of unknown origin
    write_json(out / GRID, {**facts, MADE: {**made, name: [*before, new]}})
    with atomic_write(path) as stream:
        stream.write(content)
    return path
