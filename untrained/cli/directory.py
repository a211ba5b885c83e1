"""The result directory before a run: new, unfinished or finished; and one process at a time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrained.errors import UserError
from untrained.files import holds, is_regular, require_not_input
from untrained.folder import (
    FILES,
    RESULT,
    STATE,
    WORK,
    Folder,
    hold,
    read_facts,
    require_own_work,
)

SHOWN = {"method", "task", "recipe", "seed", "steps", "stop", "seconds", "metrics", "classical"}
COMMAND, RUN = "command", "run"
"""Notes of a folder: which command made it, and what is being run there."""
JOBS = "jobs"
"""Note and fact of a folder of many results: what is known of each."""


@dataclass(frozen=True)
class Directory:
    """A result directory that this process may write.

    Attributes:
        folder: where, held for writing (only read where `finished` is set).
        finished: the facts of a finished result found there and asked for with `--resume`.
        old: whether a finished result stands there that the run is to replace or improve.
    """

    folder: Folder
    finished: dict[str, Any] | None = None
    old: bool = False

    @property
    def path(self) -> Path:
        """Return the path of the folder."""
        return self.folder.path


def require_same(facts: dict[str, Any], wanted: dict[str, Any], whose: str) -> None:
    """Show a finished result only for the settings it was made with.

    Args:
        facts: those of the finished result.
        wanted: some of them, as a new run would have them.
        whose: the beginning of the sentence that ends in "other settings".

    Raises:
        UserError: they differ; names which.
    """
    now = json.loads(json.dumps(wanted))  # as it was stored: tuples are lists
    changed = [name for name, value in now.items() if facts.get(name) != value]
    if changed:
        raise UserError(
            f"{whose} other settings ({', '.join(changed)} differ); use --overwrite to replace "
            "that, or another --out"
        )


@contextlib.contextmanager
def open_directory(
    path: Path,
    *,
    resume: bool,
    overwrite: bool,
    inputs: Iterable[str | Path | None],
    command: str,
    run: str,
) -> Iterator[Directory]:
    """Hold `path` for a run.

    With `overwrite` the finished result there stays whole until the new one is; a command that is
    refused before its first step leaves everything as it was.

    Args:
        path: where.
        resume, overwrite: whether these flags were given.
        inputs: the files that the command reads, which are never written.
        command: the command, to tell later who made the folder.
        run: what must agree for an unfinished run to be gone on with, beside what its state says.

    Raises:
        UserError: another process has it; it holds files of other origin by names of ours, or an
            input; it holds a finished result and neither flag was given; it holds an unfinished
            one without `--resume`; it cannot be written.
    """
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other; give one of them")
    if resume and _only_finished(path):
        _require_one_run(path)
        yield Directory(Folder(path), finished=_read(path))  # only read: needs no lock
        return
    given = list(inputs)
    require_not_input([path / name for name in (*FILES, STATE)], given)
    _require_outside(path / WORK, given)
    if path.is_dir():  # before anything is written there
        require_own_work(path)
        _require_allowed(Folder(path), resume, overwrite, run)
    with hold(path) as folder:
        _require_allowed(folder, resume, overwrite, run)
        if resume and folder.finished and not folder.unfinished:  # nothing is left to go on with
            yield Directory(folder, finished=_read(path))
            return
        folder.note(COMMAND, command)
        folder.note(RUN, run)
        if overwrite:
            folder.set_aside()
        try:
            yield Directory(folder, old=folder.finished)
        except UserError:
            folder.bring_back()
            raise


def made_by(path: Path) -> str | None:
    """Tell which command made a result directory, finished or not; None where that is unknown."""
    noted = Folder(path).noted(COMMAND)
    return noted or (read_facts(path / RESULT) or {}).get("command")


def _require_outside(work: Path, inputs: Iterable[str | Path | None]) -> None:
    """Refuse an input inside the folder that is cleared at the end of a run.

    Raises:
        UserError: names it.
    """
    for one in inputs:
        if one is not None and work.exists() and Path(one).resolve().is_relative_to(work.resolve()):
            raise UserError(f"{one} lies in {work}, which this program clears; move it elsewhere")


def _require_allowed(folder: Folder, resume: bool, overwrite: bool, run: str) -> None:
    path = folder.path
    _require_one_run(path)
    if not (resume or overwrite) and (path / RESULT).exists() and not folder.unfinished:
        raise UserError(
            f"{path} holds a finished result, which is never overwritten unasked; add "
            "--overwrite to replace it, --resume to show it, or choose another --out"
        )
    folder.require_own([*FILES, STATE])
    if folder.unfinished and not (resume or overwrite):
        raise UserError(
            f"{path} holds an unfinished run; add --resume to go on with it, --overwrite to "
            "start again, or choose another --out"
        )
    before = folder.noted(RUN)
    if folder.unfinished and resume and before not in (None, run):
        raise UserError(
            f"{path} holds an unfinished run of another kind ({before}, not {run}); the work in it "
            f"is kept: resume with its command ({folder.noted(COMMAND)}), start again with "
            "--overwrite, or choose another --out"
        )


def _require_one_run(path: Path) -> None:
    """Refuse the directory of a command that was given many files.

    Raises:
        UserError: it is one.
    """
    if JOBS in (read_facts(path / RESULT) or {}) or Folder(path).noted(JOBS) is not None:
        raise UserError(
            f"{path} holds the results of many files, each in a directory of its own; choose "
            "another --out, or go on with its command and --resume"
        )


def finished_facts(path: Path) -> dict[str, Any] | None:
    """Read the facts of a finished result whose files are all there; None where it is not."""
    try:
        return _read(path) if _only_finished(path) else None
    except UserError:
        return None


def _only_finished(path: Path) -> bool:
    """Tell whether a finished result is there, and nothing that a run left to be done."""
    return is_regular(path / RESULT) and not (path / STATE).exists() and not (path / WORK).exists()


def _read(path: Path) -> dict[str, Any]:
    """Read the facts of a finished result whose files are all there.

    Raises:
        UserError: they are damaged, or a file is missing or was changed since.
    """
    facts = read_facts(path / RESULT)
    if facts is None or not facts.keys() >= SHOWN:
        raise UserError(
            f"{path / RESULT} is not what this version writes, or was changed since; choose "
            "another --out"
        )
    for name, digest in facts["files"].items():
        if not holds(path / name, [digest]):
            wrong = "was changed since" if (path / name).exists() else "is gone"
            raise UserError(
                f"{path} holds a finished result, and its {name} {wrong}; bring it back, or make "
                "the result anew in another --out"
            )
    return facts
