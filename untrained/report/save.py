"""The result directory. `result.json` is written last: its presence means finished."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from untrained._version import versions
from untrained.about import About
from untrained.data.formats.npz import write_arrays
from untrained.data.formats.tiff import typed
from untrained.errors import UserError
from untrained.folder import FILES, RESULT, Folder, Write, hold
from untrained.report.arrays import (
    axes_of,
    contact_sheet,
    display_plane,
    frame_planes,
    is_series,
    saved_array,
    saved_spread,
)
from untrained.report.deep import png_of
from untrained.report.found import found_plane
from untrained.report.page import render_page
from untrained.report.pictures import Window, image_window, in_window, png, shown_pixels
from untrained.report.words import method_name
from untrained.solver.fit import Fit


def save_result(
    fit: Fit, about: About, directory: str | Path, *, overwrite: bool = False, finished: bool = True
) -> Path:
    """Write a result's files into a folder.

    See `write_result` for the files. The old result stays whole until all new files are written.

    Args:
        fit, about: what to write.
        directory: where to; made if missing.
        overwrite: replace a finished result of this program.
        finished: False for an interrupted run: everything but `result.json`, which is left out
            for a result with `finished=False` in any case.

    Returns:
        The directory.

    Raises:
        UserError: it holds a finished result and `overwrite` is False, or files that this program
            did not write, or cannot be written.
    """
    place = Path(directory)
    if (place / RESULT).exists() and not overwrite:
        raise UserError(
            f"{place} holds a finished result ({RESULT}); give overwrite=True to replace it, or "
            "another directory"
        )
    if place.is_dir():  # before anything is written there
        _require_replaceable(Folder(place), overwrite)
    with hold(place) as folder:
        _require_replaceable(folder, overwrite)
        write_result(fit, about, folder, finished=finished)
        if overwrite:
            folder.forget_states()  # a run that was not finished would replace this one
    return place


def _require_replaceable(folder: Folder, overwrite: bool) -> None:
    """Refuse a folder with files of others, or with an unfinished run without `overwrite`."""
    folder.require_own(FILES)
    if folder.unfinished and not overwrite:
        raise UserError(
            f"{folder.path} holds an unfinished run; give overwrite=True to give up its work, or "
            "choose another directory"
        )


def write_result(fit: Fit, about: About, folder: Folder, *, finished: bool = True) -> None:
    """Write a result's files into a folder that is held.

    `reconstruction.npy` (see `arrays.axes_of`), `reconstruction.png` (of 16 bits where the input
    was such a PNG; of a time series a sheet of its frames), the format of the input once more
    where that is TIFF, NIfTI, DICOM or BART, `classical` likewise, and `std.npy` where there are
    such, with an error bar `lower.npy` and `upper.npy`, of what was estimated of the operator
    `kernel.npy` and `.png` or `maps.npy` and `.png`, `history.csv`, `report.html`, and at the
    very end `result.json`, which lists the others with their hashes.

    Args:
        fit, about: what to write.
        folder: where to.
        finished: as for `save_result`.

    Raises:
        UserError: the folder holds files of such names that this program did not write.
    """
    if not finished:
        fit = dataclasses.replace(fit, finished=False)
    page, history = (
        render_page(fit, about).encode(errors="backslashreplace"),
        history_csv(fit.history),
    )
    files = {
        **_images(fit, about),
        "history.csv": lambda stream: stream.write(history),
        "report.html": lambda stream: stream.write(page),
    }
    folder.publish(files, summary(fit, about) if fit.finished else None)


def summary(fit: Fit, about: About) -> dict[str, Any]:
    """Return the contents of `result.json`, plain JSON values; what is not finite is null."""
    classical = None
    if about.classical is not None:
        classical = {"method": about.classical_name, "metrics": about.classical_metrics}
    facts = {
        "method": method_name(fit, about),
        "preset": about.preset,
        "task": about.task,
        "recipe": None if fit.recipe is None else fit.recipe.to_dict(),
        "seed": fit.seed,
        "seeds": about.seeds,
        "device": fit.device,
        "precision": fit.precision,
        "threads": fit.threads,
        "versions": versions(),
        "steps": fit.steps,
        "stop": dataclasses.asdict(fit.stop[0]),
        "seconds": fit.seconds,
        "cpu_seconds": fit.cpu_seconds,
        "peak_memory_mb": fit.peak_memory_mb,
        "resumed_from": fit.resumed_from,
        "weights": about.weights,
        "prior": about.prior,
        "axes": axes_of(fit.image, about.task, about.axes),
        "metrics": about.metrics,
        "classical": classical,
        "mixture": None if about.mixture is None else about.mixture.to_dict(),
        "uncertainty": None if about.uncertainty is None else about.uncertainty.to_dict(),
        "tiles": about.tiles,
        "estimated": sorted(about.found),
        "notes": about.notes,
        "source": about.source,
        "data": about.data,
        "reference": about.reference_data,
        "command": about.command,
    }
    return {name: plain_values(value) for name, value in facts.items()}


def history_csv(history: dict[str, list[float | str]]) -> bytes:
    """Write one row per step, `phase` and `step` first; NaN is an empty field.

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


def _images(fit: Fit, about: About) -> dict[str, Write]:
    """Return the functions that write the arrays and pictures, by file name."""
    plane = display_plane(fit.image, about.task)
    reference = None if about.reference is None else display_plane(about.reference, about.task)
    window = image_window(about.task, plane, reference)
    images = {"reconstruction": fit.image}
    if about.classical is not None:
        images["classical"] = about.classical
    files: dict[str, Write] = {}
    for name, image in images.items():
        array = saved_array(image, about.task, about.axes)
        files[f"{name}.npy"] = _array(array)
        shown = display_plane(image, about.task)
        if is_series(about.axes):
            shown = contact_sheet(frame_planes(image, about.task))
        files[f"{name}.png"] = _picture(shown, window, about.deep)
        if about.companion is not None:
            axes = axes_of(image, about.task, about.axes)
            values = about.units.offset + about.units.factor * array
            for suffix, content in about.companion.encode(values, axes).items():
                files[f"{name}{suffix}"] = _bytes(content)
    if fit.std is not None:
        files["std.npy"] = _array(saved_spread(fit.std, about.task, about.axes))
    if about.mesh:
        files["elements.npz"] = lambda stream: write_arrays(stream, about.mesh)
    for name, array in about.found.items():
        files[f"{name}.npy"] = _array(array)
        files[f"{name}.png"] = _bytes(png(shown_pixels(*found_plane(array))))
    if about.half is not None:
        for name, bound in (("lower", fit.image - about.half), ("upper", fit.image + about.half)):
            files[f"{name}.npy"] = _array(saved_array(bound, about.task, about.axes))
    return files


def _array(array: np.ndarray) -> Callable[[IO[bytes]], object]:
    return lambda stream: np.save(stream, array, allow_pickle=False)


def _bytes(content: bytes) -> Callable[[IO[bytes]], object]:
    return lambda stream: stream.write(content)


def _picture(plane: np.ndarray, window: Window, deep: bool) -> Callable[[IO[bytes]], object]:
    if deep:
        return lambda stream: stream.write(png_of(typed(in_window(plane, window), "uint16")))
    return lambda stream: stream.write(png(shown_pixels(plane, window)))


def plain_values(value: Any) -> Any:
    """Convert values to those of JSON: NaN and infinity become null, unknown types their text."""
    if isinstance(value, dict):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
