"""The result directory before a run: new, unfinished or finished; and one process at a time."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrained.core.checkpoint import FILE as STATE
from untrained.errors import UserError
from untrained.files import make_directory

RESULT = "result.json"
LOCK = ".lock"
ASIDE = ".replaced.json"
SHOWN = {"method", "task", "recipe", "seed", "steps", "stop", "seconds", "metrics", "classical"}


@dataclass(frozen=True)
class Directory:
    """A result directory that this process may write.

    Attributes:
        path: where.
        finished: the facts of a finished result found there and asked for with `--resume`.
    """

    path: Path
    finished: dict[str, Any] | None = None


def require_same(facts: dict[str, Any], wanted: dict[str, Any], whose: str) -> None:
    """A finished result is only shown for the settings it was made with.

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
def open_directory(path: Path, *, resume: bool, overwrite: bool) -> Iterator[Directory]:
    """Take hold of `path` for a run.

    Raises:
        UserError: another process has it; it holds a finished result and neither flag was
            given; it holds an unfinished one without `--resume`; it cannot be written.
    """
    from filelock import FileLock, Timeout

    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other; give one of them")
    if resume and _finished(path):
        yield Directory(path, finished=_read(path / RESULT))  # only read: needs no lock
        return
    make_directory(path)
    lock = FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process is writing {path}; wait for it, or choose another --out"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}; choose another --out"
        ) from error
    try:
        yield _inspect(path, resume, overwrite)
    finally:
        lock.release()
        for name in (LOCK, ASIDE):
            with contextlib.suppress(OSError):
                (path / name).unlink(missing_ok=True)


@contextlib.contextmanager
def kept_if_refused(path: Path) -> Iterator[None]:
    """A command refused before its first step gives back the result it was to replace."""
    try:
        yield
    except UserError:
        if (path / ASIDE).exists() and not (path / STATE).exists():
            (path / ASIDE).replace(path / RESULT)
        raise


def clear_state(path: Path) -> None:
    """Remove what only an unfinished run needs."""
    (path / STATE).unlink(missing_ok=True)
    for folder in (*path.glob("seed-*"), *path.glob("slice-*")):
        shutil.rmtree(folder, ignore_errors=True)


def has_state(path: Path) -> bool:
    """Whether an unfinished run can be taken up there."""
    return any(path.glob(STATE)) or any(path.glob(f"slice-*/{STATE}"))


def _inspect(path: Path, resume: bool, overwrite: bool) -> Directory:
    if overwrite:
        _clear(path)
        return Directory(path)
    unfinished = has_state(path)
    if _finished(path):
        raise UserError(
            f"{path} holds a finished result, which is never overwritten unasked; add "
            "--overwrite to replace it, --resume to show it, or choose another --out"
        )
    if unfinished and not resume:
        raise UserError(
            f"{path} holds an unfinished run; add --resume to go on with it, --overwrite to "
            "start again, or choose another --out"
        )
    return Directory(path)


def _clear(path: Path) -> None:
    """Take what is to be replaced out of the way."""
    result = path / RESULT
    try:
        if result.is_file():
            result.replace(path / ASIDE)
        result.unlink(missing_ok=True)
        clear_state(path)
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be replaced: {error.strerror}; choose another --out"
        ) from error


def _finished(path: Path) -> bool:
    return (path / RESULT).exists() and not has_state(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}; start again with --overwrite") from error
    if not isinstance(facts, dict) or not facts.keys() >= SHOWN:
        raise UserError(
            f"{path} is not what this program writes: it is damaged or belongs to something "
            "else; start again with --overwrite, or choose another --out"
        )
    return facts
