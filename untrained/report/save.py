"""The result directory. `result.json` is written last: its presence means finished."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from untrained.core.result import Result, versions
from untrained.errors import UserError
from untrained.files import atomic_write, make_directory
from untrained.report.arrays import axes_of, display_plane, saved_array, saved_spread
from untrained.report.page import render_page
from untrained.report.pictures import Window, grey_levels, image_window, png
from untrained.report.words import method_name

FINISHED = "result.json"
OPTIONAL = ("classical.npy", "classical.png", "std.npy")


def save_result(
    result: Result, directory: str | Path, *, overwrite: bool = False, finished: bool = True
) -> Path:
    """Write a result's files, each atomically.

    `reconstruction.npy` (see `arrays.axes_of`), `reconstruction.png`, `classical.npy/.png` and
    `std.npy` where there are such, `history.csv`, `report.html`, and at the very end
    `result.json`.

    Args:
        result: what to write.
        directory: where to; made if missing.
        overwrite: replace a finished result; it stops counting as finished before anything else
            changes, so that a kill in between leaves no mixture that looks complete.
        finished: False for an interrupted run: everything but `result.json`, which is left out
            for a result with `finished=False` in any case.

    Returns:
        The directory.

    Raises:
        UserError: it holds a finished result and `overwrite` is False, or cannot be written.
    """
    directory = make_directory(directory)
    if (directory / FINISHED).exists() and not overwrite:
        raise UserError(
            f"{directory} holds a finished result ({FINISHED}); give --overwrite to replace it, "
            "or choose another directory with --out"
        )
    if not finished:
        result = dataclasses.replace(result, finished=False)
    for name in (FINISHED, *OPTIONAL):
        _remove(directory / name)
    _write_images(result, directory)
    _write(directory / "history.csv", history_csv(result.history))
    _write(directory / "report.html", render_page(result).encode())
    if result.finished:
        text = json.dumps(summary(result), indent=2, allow_nan=False, ensure_ascii=False)
        _write(directory / FINISHED, (text + "\n").encode())
    return directory


def summary(result: Result) -> dict[str, Any]:
    """The contents of `result.json`, plain JSON values; what is not finite is null."""
    about = result.about
    classical = None
    if about.classical is not None:
        classical = {"method": about.classical_name, "metrics": about.classical_metrics}
    facts = {
        "method": method_name(result),
        "preset": about.preset,
        "task": about.task,
        "recipe": None if result.recipe is None else result.recipe.to_dict(),
        "seed": result.seed,
        "device": result.device,
        "precision": result.precision,
        "threads": result.threads,
        "versions": versions(),
        "steps": result.steps,
        "stop": dataclasses.asdict(result.stop[0]),
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "resumed_from": result.resumed_from,
        "weights": about.weights,
        "axes": axes_of(result.image, about.task, about.axes),
        "metrics": about.metrics,
        "classical": classical,
        "notes": about.notes,
        "source": about.source,
        "data": about.data,
        "command": about.command,
    }
    return {name: _plain(value) for name, value in facts.items()}


def history_csv(history: dict[str, list[float | str]]) -> bytes:
    """One row per step, `phase` and `step` first; NaN is an empty field.

    Numbers are written by `repr`, the shortest text that reads back as the same float64, so that
    equal histories give equal bytes.
    """
    names = ["phase", "step", *(n for n in history if n not in ("phase", "step"))]
    present = [n for n in names if n in history]
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(present)
    table.writerows(
        [_cell(name, value) for name, value in zip(present, row, strict=True)]
        for row in zip(*(history[n] for n in present), strict=True)
    )
    return stream.getvalue().encode()


def _cell(name: str, value: float | str) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return ""
    return str(int(value)) if name == "step" else repr(float(value))


def _write_images(result: Result, directory: Path) -> None:
    about = result.about
    plane = display_plane(result.image, about.task)
    reference = None if about.reference is None else display_plane(about.reference, about.task)
    window = image_window(about.task, plane, reference)
    _write_array(
        directory / "reconstruction.npy", saved_array(result.image, about.task, about.axes)
    )
    _write_picture(directory / "reconstruction.png", plane, window)
    if about.classical is not None:
        classical = saved_array(about.classical, about.task, about.axes)
        _write_array(directory / "classical.npy", classical)
        shown = display_plane(about.classical, about.task)
        _write_picture(directory / "classical.png", shown, window)
    if result.std is not None:
        _write_array(directory / "std.npy", saved_spread(result.std, about.task, about.axes))


def _write_array(path: Path, array: np.ndarray) -> None:
    with atomic_write(path) as stream:
        np.save(stream, array, allow_pickle=False)


def _write_picture(path: Path, plane: np.ndarray, window: Window) -> None:
    _write(path, png(grey_levels(plane, window)))


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as stream:
        stream.write(content)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"{path} cannot be replaced: {reason}; choose another place with --out"
        ) from error


def _plain(value: Any) -> Any:
    """JSON values only: NaN and infinity become null, anything unknown its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
