"""Zarr: arrays with names in a directory or a zip archive, decoded by the package zarr."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.formats.base import (
    Companion,
    NamedArraysFormat,
    reporting_damage,
    require_keys,
    to_native,
)
from untrained.data.formats.zarr_layout import META_2, Layout, read_layouts
from untrained.errors import UserError
from untrained.machine import check_size, float_bytes

ROOT = "array"
"""Name of the one array of a store that has no groups."""
MOST_LISTED = 6
MOST_UNWRITTEN = 2**16  # bytes; small arrays of the fill value are left out by some writers
INSTALL = "install it with: pip install 'untrained[zarr]'"


class ZarrFile:
    """The arrays of a store; those inside groups by their whole path."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        found = read_layouts(path)
        if not found:
            raise UserError(f"{path} holds no array of Zarr: neither {META_2} nor zarr.json")
        self._arrays = {name or ROOT: layout for name, layout in found.items()}
        self._places = {name or ROOT: name for name in found}
        self.keys = tuple(name for name in self._arrays if "/" not in name)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its metadata alone."""
        return self._layout(key).shape

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis, of which alone chunks are decoded."""
        layout, label = self._layout(key), self.label(key)
        if not np.prod(layout.shape):
            raise UserError(
                f"{label} has shape {layout.shape}; an array with at least one entry is expected"
            )
        if not layout.stored and layout.nbytes > MOST_UNWRITTEN:
            raise UserError(f"{label} was never written: all of it is its fill value")
        parts = 1 if index is None else layout.shape[0]
        check_size(layout.nbytes // parts, layout.stored // parts, label)
        check_size(float_bytes(layout.chunks, layout.dtype), layout.stored, f"a chunk of {label}")
        place = self._places[key]
        with reporting_damage(self.path, key), _opened(self.path, place, layout.version) as array:
            return to_native(np.asarray(array[...] if index is None else array[index]))

    def nested(self) -> tuple[str, ...]:
        """Name the first arrays in groups, which are read by their whole path only."""
        return tuple(name for name in self._arrays if "/" in name)[:MOST_LISTED]

    def offer(self, key: str) -> None:
        """Add an array inside groups, `group/name`, to the keys."""
        if key in self._arrays and key not in self.keys:
            self.keys = (*self.keys, key)

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return f"'{key}' in {self.path}"

    def reversed_axes(self, key: str) -> bool:
        """Tell whether the array was written with its last axis first: never in this format."""
        return False

    def _layout(self, key: str) -> Layout:
        require_keys(self, key)
        layout = self._arrays[key]
        if layout.trouble:
            raise UserError(f"{self.label(key)} cannot be read: {layout.trouble}")
        return layout


@contextmanager
def _opened(path: Path, place: str, version: int) -> Iterator[Any]:
    """Open an array; its own metadata count, and not those gathered for the whole store."""
    import zarr

    options: dict[str, Any] = {"path": place, "mode": "r"}
    if int(zarr.__version__.partition(".")[0]) >= 3:
        options["zarr_format"] = version
    elif version == 3:
        raise UserError(
            f"{path} is of version 3 of Zarr, which zarr {zarr.__version__} does not read: version "
            "3 needs Python 3.11 or newer"
        )
    if path.is_dir():
        yield zarr.open_array(store=str(path), **options)
        return
    archive = zarr.storage.ZipStore(str(path), mode="r")
    try:
        yield zarr.open_array(store=archive, **options)
    finally:
        archive.close()


@contextmanager
def open_zarr(file: Path, what: str) -> Iterator[ZarrFile]:
    """Open a store; `what` names the argument in messages."""
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{what}: {file} is Zarr, which the package zarr reads; {INSTALL}"
        ) from error
    yield ZarrFile(file)


def encode_zarr(array: np.ndarray, axes: str) -> dict[str, bytes]:
    """Encode an image as a zip archive of Zarr, version 2: one chunk, and the names of its axes."""
    values = np.ascontiguousarray(array)
    values = values.astype(values.dtype.newbyteorder("<"))
    about = {
        "zarr_format": 2,
        "shape": list(values.shape),
        "chunks": list(values.shape),
        "dtype": values.dtype.str,
        "compressor": None,
        "fill_value": None,  # every chunk is there
        "order": "C",
        "filters": None,
    }
    names = {"_ARRAY_DIMENSIONS": [axis.lower() for axis in axes]}  # as xarray reads them
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:  # no times, so that equal images give equal bytes
        for name, content in (
            (META_2, json.dumps(about).encode()),
            (".zattrs", json.dumps(names).encode()),
            (".".join("0" * values.ndim), values.tobytes()),
        ):
            archive.writestr(zipfile.ZipInfo(name), content)
    return {".zarr.zip": stream.getvalue()}


def zarr_companion(path: Path) -> Companion:
    """Write a result as a zip archive of Zarr, too."""
    return Companion(encode_zarr)


ZARR = NamedArraysFormat(
    "Zarr",
    (".zarr",),
    "a directory of arrays, versions 2 and 3; the result as .zarr.zip, too",
    open_zarr,
    directory=True,
    companion=zarr_companion,
)

ZARR_ZIP = NamedArraysFormat(
    "Zarr, zip", (".zarr.zip",), "the same in one file", open_zarr, companion=zarr_companion
)
