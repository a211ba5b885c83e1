"""A folder that results are written into: what this program made there, and nothing else, changes.

A finished folder proves what was made by `result.json`: it lists every other file with its hash and
carries a hash of itself. While a run is under way, or was interrupted, the folder holds a
sub-folder `.untrained` with a list of the same kind, a lock, and files that are not yet in place. A
file that is on neither list, or was changed since, belongs to somebody else and is never replaced
or removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from untrained.errors import UserError
from untrained.files import (
    atomic_write,
    holds,
    is_regular,
    is_sealed,
    make_directory,
    remove_stale_parts,
    sha256,
)

RESULT = "result.json"
STATE = "state.pt"
WORK = ".untrained"
LIST, LOCK, NEW, ASIDE = "list.json", "lock", "new", "aside"
STATES = re.compile(r"(slice|seeds|bootstrap|walk|tile|known)-\d+")
"""Sub-folders of `.untrained` that hold states of parts of a run."""
PART = r"\..+\.untrained-[0-9a-f]{6}-[0-9]+-[0-9a-f]{8}\.part"
"""Files that `atomic_write` has not ended."""

COMPANIONS = (".tif", ".nii", ".dcm", ".cfl", ".hdr", ".zarr.zip")
"""Suffixes of what is written in the format of the input."""

FILES = (
    *("reconstruction.npy", "reconstruction.png", "classical.npy", "classical.png"),
    *("std.npy", "lower.npy", "upper.npy"),
    *(f"{name}{end}" for name in ("reconstruction", "classical") for end in COMPANIONS),
    "elements.npz",
    *("kernel.npy", "kernel.png", "maps.npy", "maps.png"),
    *("history.csv", "report.html", RESULT),
)
"""The names that a result may have; see `report.save` for what is in them."""

Write = Callable[[IO[bytes]], object]


class Folder:
    """A folder held by this process alone; see `hold`.

    Args:
        path: where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / WORK

    # what is there ----------------------------------------------------------------------------
    def made(self) -> dict[str, set[str]]:
        """Read which files this program wrote here: name -> hashes that it may have."""
        known: dict[str, set[str]] = {}
        facts = read_facts(self.path / RESULT)
        if facts is not None:
            known[RESULT] = {sha256(self.path / RESULT)}
            for name, digest in facts["files"].items():
                known[name] = {digest}
        for name, digests in self._listed().items():
            known.setdefault(name, set()).update(digests)
        return known

    def foreign(self, names: Collection[str]) -> list[str]:
        """Find those of the names that stand for something this program did not make."""
        known = self.made()
        found = [n for n in names if self._there(n) and not self._is_own(n, known.get(n, set()))]
        if STATE in names and STATE in found and is_sealed(self.path / STATE):
            found.remove(STATE)
        return found

    def require_own(self, names: Collection[str]) -> None:
        """Refuse to go on where a file of one of the names is somebody else's.

        Raises:
            UserError: names them.
        """
        found = self.foreign(names)
        if found:
            lost = ""
            if STATE in found:
                lost = f" (if {STATE} was written by this program it is damaged, and its work lost)"
            raise UserError(
                f"{self.path} holds files that this program did not write, or that were changed "
                f"since: {', '.join(found)}{lost}; nothing was touched: choose another folder, or "
                "move them away"
            )

    @property
    def finished(self) -> bool:
        """Tell whether a finished result of this program is there."""
        return read_facts(self.path / RESULT) is not None

    @property
    def unfinished(self) -> bool:
        """Tell whether a run can be taken up again."""
        return is_sealed(self.path / STATE) or any(self._states())

    def _states(self) -> Iterator[Path]:
        """Iterate over the states of parts of a run."""
        for folder in self._parts():
            yield from folder.rglob(STATE)

    def _parts(self) -> list[Path]:
        """List the sub-folders for parts of a run."""
        if not self.work.is_dir():
            return []
        return [p for p in self.work.iterdir() if STATES.fullmatch(p.name) and not p.is_symlink()]

    def _there(self, name: str) -> bool:
        return os.path.lexists(self.path / name)

    def _is_own(self, name: str, digests: Collection[str]) -> bool:
        return holds(self.path / name, digests)

    # what a run notes -------------------------------------------------------------------------
    def note(self, name: str, value: str) -> None:
        """Keep a text until the run has finished: what made the folder, what it is to replace."""
        self._write_list(self._listed(), {**self._notes(), name: value})

    def noted(self, name: str) -> str | None:
        """Return a text that `note` kept, in this process or an earlier one."""
        return self._notes().get(name)

    def _listed(self) -> dict[str, list[str]]:
        return dict(_read_json(self.work / LIST).get("files", {}))

    def _notes(self) -> dict[str, str]:
        return dict(_read_json(self.work / LIST).get("notes", {}))

    def _write_list(self, files: Mapping[str, Collection[str]], notes: Mapping[str, str]) -> None:
        content = {"files": {n: sorted(h) for n, h in files.items()}, "notes": dict(notes)}
        with atomic_write(self.work / LIST, "w") as stream:
            stream.write(json.dumps(content))

    def adopt(self, name: str) -> None:
        """Count a file as ours as it is now, because the user asked to replace it.

        Args:
            name: relative to the folder; `../NAME` stands beside it.
        """
        if is_regular(self.path / name):
            known = {**self._listed(), name: [sha256(self.path / name)]}
            self._write_list(known, self._notes())

    # what changes -----------------------------------------------------------------------------
    def publish(self, files: Mapping[str, Write], facts: Mapping[str, Any] | None) -> None:
        """Put files in the place of those that an earlier run left here.

        They are all written before the first one is put in place, so that until then the old
        result is whole. After a kill in between, the next `hold` puts the rest in place.

        Args:
            files: name -> what writes its contents into a stream; `../NAME` stands beside the
                folder, and is replaced only as `adopt` found it.
            facts: contents of `result.json`, plain JSON values; None where the run is unfinished
                and none is to be written.

        Raises:
            UserError: one of the names stands for somebody else's file, or a full disk.
        """
        self.require_own([*files, RESULT])
        new = self.work / NEW
        _remove(new)
        make_directory(new)
        for name, write in files.items():
            with atomic_write(self._staged(name)) as stream:
                write(stream)
        hashes = {name: sha256(self._staged(name)) for name in files}
        if facts is not None:
            with atomic_write(new / RESULT) as stream:
                stream.write(signed({**facts, "files": hashes}))
            hashes[RESULT] = sha256(new / RESULT)
        with atomic_write(new / LIST, "w") as stream:  # last: what is on it is complete
            stream.write(json.dumps(hashes))
        self._put_in_place()

    def _put_in_place(self) -> None:
        """Move what `publish` wrote to its place; can be repeated after a kill at any moment."""
        new = self.work / NEW
        wanted: dict[str, str] = _read_json(new / LIST)
        if not wanted:  # it was not complete
            _remove(new)
            return
        self.require_own([name for name in (*wanted, RESULT) if not self._is(name, wanted)])
        # While files change, this list alone proves which are ours, the old and the new ones.
        known = self.made()
        for name, digest in wanted.items():
            known.setdefault(name, set()).add(digest)
        self._write_list(known, self._notes())
        if not self._is(RESULT, wanted):
            (self.path / RESULT).unlink(missing_ok=True)  # no mixture looks finished
        for name in known.keys() - wanted.keys():
            if "/" not in name and self._is_own(name, known[name]):
                (self.path / name).unlink()
        for name in sorted(wanted, key=lambda name: name == RESULT):  # result.json last
            if self._staged(name).exists():
                self._staged(name).replace(self.path / name)
        self._write_list({name: [digest] for name, digest in wanted.items()}, self._notes())
        _remove(new)

    def _staged(self, name: str) -> Path:
        """Return where a file stands before it is put in place."""
        return self.work / NEW / Path(name).name

    def _is(self, name: str, wanted: Mapping[str, str]) -> bool:
        return name in wanted and self._is_own(name, [wanted[name]])

    def set_aside(self) -> None:
        """Move the states of an unfinished run out of the way of a new one."""
        aside = make_directory(self.work / ASIDE)
        if is_sealed(self.path / STATE):
            (self.path / STATE).replace(aside / STATE)
        for folder in self._parts():
            folder.replace(aside / folder.name)

    def bring_back(self) -> None:
        """Undo `set_aside`; where a new state has come since, remove the old ones."""
        aside = self.work / ASIDE
        if aside.is_dir() and not self.unfinished:
            if self._there(STATE):  # somebody else's came meanwhile
                return
            for path in aside.iterdir():
                home = self.path if path.name == STATE else self.work
                path.replace(home / path.name)
        _remove(aside)

    def forget_states(self) -> None:
        """Remove what only an unfinished run needs."""
        if is_sealed(self.path / STATE):
            (self.path / STATE).unlink()
        for folder in (*self._parts(), self.work / ASIDE):
            _remove(folder)

    def _recover(self) -> None:
        """Put right what a killed process left."""
        remove_stale_parts(self.path / STATE)
        for path in self.work.iterdir():
            if re.fullmatch(PART, path.name):
                path.unlink(missing_ok=True)
        self._put_in_place()
        self.bring_back()

    def _tidy(self) -> None:
        """Remove `.untrained` where nobody needs it any more."""
        if not self.unfinished and not any((self.work / n).exists() for n in (NEW, ASIDE)):
            if self.finished or not self._listed():
                (self.work / LIST).unlink(missing_ok=True)
            (self.work / LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.work.rmdir()


@contextlib.contextmanager
def hold(path: str | Path) -> Iterator[Folder]:
    """Hold a folder for writing, made if missing; one process at a time.

    What a killed process left half done is put right first.

    Raises:
        UserError: another process holds it, a file or somebody else's `.untrained` is in the way,
            or it cannot be written.
    """
    from filelock import FileLock, Timeout

    path = make_directory(path)
    folder = Folder(path)
    require_own_work(path)
    make_directory(folder.work)
    lock = FileLock(folder.work / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process is writing {path}; wait for it, or choose another folder"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}; choose another folder"
        ) from error
    try:
        folder._recover()
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder._tidy()
        lock.release()


def signed(facts: Mapping[str, Any]) -> bytes:
    """Return facts as the text of a `result.json` that proves itself: `signature` is its hash."""
    content = {**facts, "signature": _signature(facts)}
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode(errors="backslashreplace")  # names of files need not be text


def read_facts(path: Path) -> dict[str, Any] | None:
    """Read a `result.json`; None where it is missing, changed since, or not of this program."""
    if not is_regular(path):
        return None
    facts = _read_json(path)
    signature = facts.get("signature")
    rest = {name: value for name, value in facts.items() if name != "signature"}
    if signature != _signature(rest) or not isinstance(facts.get("files"), dict):
        return None
    return facts


def _signature(facts: Mapping[str, Any]) -> str:
    plain = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"untrained {plain}".encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file; an empty one where there is none."""
    if not is_regular(path):  # a pipe would be waited for
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def require_own_work(path: Path) -> None:
    """Refuse a result folder whose `.untrained` holds anything that this program did not make.

    Raises:
        UserError: names it.
    """
    work = path / WORK
    if os.path.lexists(work):
        _require_own(work, work)


def _require_own(place: Path, work: Path) -> None:
    """Look at a folder and all below it: no links, pipes or devices, and no other names."""
    if place.is_dir() and not place.is_symlink():
        for inner in place.iterdir():
            _require_own(inner, work)
        known = place in (work, work / NEW, work / ASIDE) or place.name == WORK
        own = known or STATES.fullmatch(place.name) is not None
    else:
        own = is_regular(place) and _may_stand(place, work)
    if not own:
        raise UserError(
            f"{place} is in the way, and this program did not make it; nothing was touched: move "
            "it away, or choose another folder"
        )


def _may_stand(file: Path, work: Path) -> bool:
    """Tell whether `.untrained` may hold a file of this name there."""
    if re.fullmatch(PART, file.name):
        return True
    if file.parent == work / NEW:
        return _is_list_of_hashes(file) if file.name == LIST else _is_staged(file)
    if file.name == STATE:
        return is_sealed(file)
    return file.parent == work and file.name in (LIST, LOCK) and _is_own_text(file)


def _is_staged(file: Path) -> bool:
    """Tell whether a file, written and not yet put in place, could be one of a result's."""
    return file.name in FILES or file.suffix == ".safetensors"


def _is_list_of_hashes(file: Path) -> bool:
    values = list(_read_json(file).values())
    return bool(values) and all(re.fullmatch("[0-9a-f]{64}", str(value)) for value in values)


def _is_own_text(file: Path) -> bool:
    """Tell whether a list is one of ours, and a lock is empty."""
    if file.name == LOCK:
        return file.stat().st_size == 0
    return _read_json(file).keys() == {"files", "notes"}


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
