"""A `[[cases]]` table of a grid -> measurement files, simulated where it asks for that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from untrained.bench.job import Case, file_digest
from untrained.bench.score import REGIONS
from untrained.bench.toml import LIST, TABLE, TEXT, WHOLE, keywords, read_table, read_texts
from untrained.data import TASKS
from untrained.errors import UserError, shown
from untrained.files import make_directory
from untrained.tasks import find_task

KEYS = {
    "task": TEXT,
    "file": TEXT,
    "clean": TEXT,
    "simulate": TABLE,
    "seed": WHOLE,
    "options": TABLE,
    "guide": TEXT + LIST,
    "setting": TEXT,
    "region": TEXT,
}


@dataclass(frozen=True)
class CaseEntry:
    """One `[[cases]]` table.

    Attributes:
        task: a task's name.
        files: the measurements, or the clean images to simulate from.
        simulate: keywords of the task's `simulate`; None where `files` are measurements.
        seed: of the simulation.
        options: keywords of the task's loader.
        setting: see `Case`.
        region: see `Score`.
        guides: of each file, see `Case`.
    """

    task: str
    files: tuple[Path, ...]
    simulate: dict[str, Any] | None = None
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    setting: str = ""
    region: str = "all"
    guides: tuple[tuple[Path, ...], ...] = ()


def read_entry(table: Any, folder: Path, where: str) -> CaseEntry:
    """Check a `[[cases]]` table; relative paths start at `folder`.

    Raises:
        UserError: an unknown key, task or option, or no file.
    """
    values = read_table(table, KEYS, where)
    task = values.get("task")
    if task not in TASKS:
        raise UserError(f"{where}: task is {task!r}; known: {', '.join(TASKS)}")
    if ("file" in values) == ("clean" in values):
        raise UserError(
            f"{where}: give either file (a measurement) or clean (an image to simulate it from)"
        )
    simulate = _simulation(values, task, where)
    options = read_table(values.get("options", {}), keywords(TASKS[task].load), f"{where} options")
    region = values.get("region", "disc" if find_task(task).measures == "views" else "all")
    if region not in REGIONS:
        raise UserError(f"{where}: region is {region!r}; known: {', '.join(REGIONS)}")
    pattern = values["file"] if "file" in values else values["clean"]
    files = _find(folder, pattern, where)
    wanted = read_texts(values["guide"], f"{where}: guide") if "guide" in values else ()
    return CaseEntry(
        task=task,
        files=files,
        simulate=None if simulate is None else _absolute_paths(simulate, folder),
        seed=values.get("seed", 0),
        options=_absolute_paths(options, folder),
        setting=values.get("setting", _describe_options({**(simulate or {}), **options})),
        region=region,
        guides=tuple(_guides(folder, wanted, file.stem, where) for file in files),
    )


def make_cases(entry: CaseEntry, data: Path) -> list[Case]:
    """List the cases of an entry; what has to be simulated is written into `data`, once.

    Raises:
        UserError: a file that cannot be read or simulated from.
    """
    attached = tuple((name, _content(value)) for name, value in entry.options.items())
    return [
        Case(
            task=entry.task,
            image=source.stem,
            setting=entry.setting,
            file=str(file),
            digest=file_digest(file),
            options=json.dumps(entry.options, sort_keys=True),
            attached=tuple((name, content) for name, content in attached if content),
            region=entry.region,
            guides=tuple((str(path), file_digest(path)) for path in guides),
        )
        for source, guides in zip(entry.files, entry.guides, strict=True)
        for file in [source if entry.simulate is None else _measured(entry, source, data)]
    ]


def _simulation(values: dict[str, Any], task: str, where: str) -> dict[str, Any] | None:
    if "clean" not in values:
        for name in ("simulate", "seed"):
            if name in values:
                raise UserError(f"{where}: {name} goes with clean, not with file")
        return None
    make = TASKS[task].simulate
    if make is None:
        raise UserError(f"{where}: {task} cannot be simulated; give a measurement with file")
    return read_table(
        values.get("simulate", {}), keywords(make, without=("seed",)), f"{where} simulate"
    )


def _find(folder: Path, pattern: str, where: str) -> tuple[Path, ...]:
    """Find the file of that name, or those that match."""
    if not pattern:
        raise UserError(f"{where}: the name of the file is empty")
    try:
        if (folder / pattern).is_file():
            return ((folder / pattern).resolve(),)
        root = Path(pattern).anchor
        found = Path(root).glob(pattern[len(root) :]) if root else folder.glob(pattern)
        files = tuple(sorted(p.resolve() for p in found if p.is_file()))
    except (OSError, ValueError, NotImplementedError) as error:  # no text for a path or pattern
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{where}: {shown(pattern)} is no name of a file: {reason}") from error
    if not files:
        raise UserError(f"{where}: no file {folder / pattern}; paths are relative to the grid file")
    return files


def _guides(folder: Path, patterns: Sequence[str], image: str, where: str) -> tuple[Path, ...]:
    """List the files that the patterns name for an image; `{image}` in them is its name."""
    found = [_find(folder, p.replace("{image}", image), f"{where}: guide") for p in patterns]
    return tuple(path for paths in found for path in paths)


def _absolute_paths(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Replace options that name a file (or `file.py:callable`) beside the grid by full paths."""
    located = dict(options)
    for name, value in options.items():
        file, callable_of = _parts(value)
        if file and (folder / file).is_file():
            located[name] = f"{(folder / file).resolve()}{callable_of}"
    return located


def _parts(value: Any) -> tuple[str, str]:
    """Split an option into (file, `:callable`); a value that is no text names no file."""
    if not isinstance(value, str):
        return "", ""
    file, colon, name = value.rpartition(":")
    return (file, f":{name}") if colon and file.endswith(".py") else (value, "")


def _content(value: Any) -> str:
    """Hash the file that an option names; empty where it names none."""
    file, callable_of = _parts(value)
    return f"{file_digest(file)}{callable_of}" if file and Path(file).is_file() else ""


def _describe_options(options: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={Path(value).stem if isinstance(value, str) else value}"
        for name, value in options.items()
    )


def _measured(entry: CaseEntry, clean: Path, data: Path) -> Path:
    """Simulate the measurement of a clean image; the file's name tells what it was made from."""
    assert entry.simulate is not None
    attached = [_content(value) for value in entry.simulate.values()]
    key = [entry.task, file_digest(clean), entry.simulate, attached, entry.seed]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:10]
    out = make_directory(data) / f"{entry.task}-{clean.stem}-{digest}.npz"
    if not out.exists():
        make = TASKS[entry.task].simulate
        assert make is not None
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.simulate.items()}
        make(clean, out, seed=entry.seed, **given)
    return out
