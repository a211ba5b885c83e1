"""Which files the INPUT arguments of `reconstruct` name: one, several, folders, patterns."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from untrained.cli.measured import Load
from untrained.cli.options import Options
from untrained.data.formats import find_format, has_one_slice
from untrained.errors import UserError
from untrained.tasks import CUSTOM, find_task

PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Inputs:
    """The files to be reconstructed.

    Attributes:
        files: their paths, each once; folders in natural order (slice2 before slice10).
        many: whether each is a job of its own, in a directory of its own. False for one file.
        passed_over: entries of folders that are no input of the task.
        stem: what the default name of the result directory ends in.
    """

    files: tuple[str, ...]
    many: bool = False
    passed_over: tuple[str, ...] = ()
    stem: str = ""


def find_inputs(task: str, paths: Sequence[str], beside: Iterable[str | None] = ()) -> Inputs:
    """Find the files that the arguments name.

    Args:
        task: decides which formats of a folder count; files that are named one by one all do.
        paths: files, folders, and patterns with `*`, `?` or `[` where the shell left them.
        beside: files that options name; in a folder they are no inputs.

    Raises:
        UserError: a folder or pattern without an input, or one of several files is missing.
    """
    if len(paths) == 1 and not _is_folder(paths[0]) and not _is_pattern(paths[0]):
        return Inputs((paths[0],))
    given = {os.path.realpath(one) for one in beside if one and os.path.lexists(one)}
    files: list[str] = []
    passed_over: list[str] = []
    for path in paths:
        for entry in _matches(path):
            if _is_folder(entry):
                found, others = _of_folder(task, Path(entry), given)
                files, passed_over = files + found, passed_over + others
            else:
                files.append(entry)
    unique = list({os.path.realpath(file): file for file in reversed(files)}.values())[::-1]
    missing = [file for file in unique if not Path(file).exists()]
    if missing:
        raise UserError(f"input: there is no file {missing[0]}; check the path, nothing was begun")
    return Inputs(tuple(unique), True, tuple(passed_over), _stem(paths))


def _is_folder(path: str) -> bool:
    """Tell whether a path is a folder of inputs; a store of one format is an input itself."""
    found = find_format(path)
    return os.path.isdir(path) and not (found and found.directory)  # noqa: PTH112, any text


def _is_pattern(path: str) -> bool:
    return PATTERN.search(path) is not None and not os.path.lexists(path)


def _matches(path: str) -> list[str]:
    """List what a pattern stands for, or the path itself."""
    if not _is_pattern(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True), key=natural)  # noqa: PTH207, relative as given
    if not found:
        raise UserError(f"input: no file matches {path}; check the pattern")
    return found


def _of_folder(task: str, folder: Path, given: set[str]) -> tuple[list[str], list[str]]:
    """Sort the entries of a folder into inputs of the task and others; hidden ones are neither."""
    inputs: list[str] = []
    others: list[str] = []
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: natural(entry.name))
    except OSError as error:
        raise UserError(f"input: {folder} cannot be read: {error.strerror or error}") from error
    for entry in entries:
        if entry.name.startswith(".") or os.path.realpath(entry) in given:
            continue
        (inputs if is_input(task, entry) else others).append(str(entry))
    if not inputs:
        found = (
            f"; it holds {len(others)} other(s), such as {Path(others[0]).name}" if others else ""
        )
        raise UserError(
            f"input: {folder} is a folder without a file that {task} reads{found}; see "
            "`untrained list formats`, or give a file"
        )
    return inputs, others


def is_input(task: str, path: Path) -> bool:
    """Tell by the suffix whether an entry of a folder is one of the task's inputs."""
    found = find_format(path)
    if found is None or found.directory != path.is_dir():
        return False
    first = path.with_suffix(found.suffixes[0])
    if found.pair and path.suffix.lower() != found.suffixes[0] and first.exists():
        return False  # its pair counts
    return _takes_pictures(task) or not has_one_slice(path)


def _takes_pictures(task: str) -> bool:
    row = find_task(task)
    return row.name == CUSTOM or (row.unit_range and row.measures in ("pixels", "other"))


def _stem(paths: Sequence[str]) -> str:
    """Name the lot after the folder, or the folder that the first file is in."""
    first = Path(paths[0])
    folder = first if first.is_dir() else first.parent
    return PATTERN.sub("", folder.resolve().name) or "files"


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers inside names by their value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p.casefold()) for p in parts]


def directory_names(files: Sequence[str]) -> list[str]:
    """Name a result directory for each file: its stem, or its name where two stems agree."""
    stems = [Path(file).stem for file in files]
    count = Counter(stem.casefold() for stem in stems)
    taken: set[str] = set()
    unique = []
    for file, stem in zip(files, stems, strict=True):
        name = stem if count[stem.casefold()] == 1 else Path(file).name
        own, number = name, 2
        while own.casefold() in taken:  # of files of one name in several folders
            own, number = f"{name}-{number}", number + 1
        taken.add(own.casefold())
        unique.append(own)
    return unique


def for_file(file: str, options: Options, load: Load) -> tuple[Options, Load]:
    """Take the file's own partner from every folder that an option names.

    `--reference FOLDER`, `--mask FOLDER` and so on hold a file of the same stem for each input.
    A reference may be missing.

    Raises:
        UserError: there is no such file, or several.
    """
    values = dict(load.keywords)
    for name, value in load.keywords.items():
        if name != "key" and isinstance(value, str) and _is_folder(value):
            values[name] = _partner(file, value, f"--{name.replace('_', '-')}")
    if options.reference and _is_folder(options.reference):
        found = _partners(file, options.reference)
        reference = _partner(file, options.reference, "--reference") if found else None
        options = replace(options, reference=reference)
    return options, partial(load.func, **values)


def _partners(file: str, folder: str) -> list[Path]:
    stem = Path(file).stem
    return sorted(p for p in Path(folder).iterdir() if p.stem == stem and find_format(p))


def _partner(file: str, folder: str, option: str) -> str:
    found = _partners(file, folder)
    if len(found) != 1:
        several = f"{len(found)} files" if found else "no file"
        raise UserError(
            f"{option}: {folder} holds {several} by the name {Path(file).stem}, that of {file}; "
            "one is expected"
        )
    return str(found[0])
