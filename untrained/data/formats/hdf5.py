"""HDF5: arrays with names, also in groups; fastMRI's k-space, MATLAB v7.3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.formats.base import (
    ArrayFile,
    NamedArraysFormat,
    complex_fields,
    reporting_damage,
    require_keys,
    to_native,
)
from untrained.data.formats.ismrmrd_scan import IsmrmrdFile
from untrained.errors import UserError
from untrained.machine import check_size, float_bytes

MOST_LISTED = 6
MOST_UNWRITTEN = 2**16  # bytes; a small array of zeros is sometimes left to the fill value


class H5File:
    """The top-level datasets of an HDF5 file."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, handle: Any) -> None:
        import h5py

        self.path = path
        self._handle = handle
        # Soft and external links are left out: they may point at other files of the machine.
        with reporting_damage(path, None):
            self.keys = tuple(
                name
                for name in handle
                if isinstance(handle.get(name, getlink=True), h5py.HardLink)
                and isinstance(handle[name], h5py.Dataset)
            )

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        require_keys(self, key)
        with reporting_damage(self.path, key):
            return tuple(self._handle[key].shape or ())

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return f"'{key}' in {self.path}"

    def offer(self, key: str) -> None:
        """Add an array inside groups, `group/name`, to the keys, if no link leads to it."""
        import h5py

        parts = [part for part in key.split("/") if part]
        place = self._handle
        with reporting_damage(self.path, key):
            for part in parts:
                link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
                if not isinstance(link, h5py.HardLink):
                    return
                place = place[part]
        if isinstance(place, h5py.Dataset) and key not in self.keys:
            self.keys = (*self.keys, key)

    def nested(self) -> tuple[str, ...]:
        """Name the first arrays in groups, which are read by their whole path only."""
        import h5py

        found: list[str] = []

        def visit(name: str, item: Any) -> bool | None:
            if "/" in name and isinstance(item, h5py.Dataset):
                found.append(name)
            return True if len(found) == MOST_LISTED else None

        with reporting_damage(self.path, None):
            self._handle.visititems(visit)
        return tuple(found)

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the array, or entry `index` of its first axis."""
        require_keys(self, key)
        label = f"'{key}' in {self.path}"
        with reporting_damage(self.path, key):
            dataset = self._handle[key]
            pair = complex_fields(dataset.dtype)
            _require_readable(dataset, label)
            parts = 1 if index is None else dataset.shape[0]
            stored = dataset.id.get_storage_size()
            if not stored and dataset.nbytes > MOST_UNWRITTEN:
                raise UserError(f"{label} was never written: all of it is the file's fill value")
            size = float_bytes(dataset.shape, dataset.dtype) // parts
            check_size(size, stored // parts, label)
            if dataset.chunks:  # a chunk is unpacked whole, however little of it is asked for
                chunk = float_bytes(dataset.chunks, dataset.dtype)
                check_size(chunk, stored, f"a chunk of {label}")
            values = np.asarray(dataset[()] if index is None else dataset[index])
        return to_native(values[pair[0]] + 1j * values[pair[1]] if pair else values)

    def read_plane(self, key: str, row: int) -> np.ndarray:
        """Read entry `row` of the second axis of an array of three axes."""
        require_keys(self, key)
        label = f"'{key}' in {self.path}"
        with reporting_damage(self.path, key):
            dataset = self._handle[key]
            _require_readable(dataset, label)
            size = float_bytes(dataset.shape, dataset.dtype) // dataset.shape[1]
            check_size(size, dataset.id.get_storage_size(), label)
            return to_native(np.asarray(dataset[:, row]))

    def reversed_axes(self, key: str) -> bool:
        """Tell whether MATLAB wrote the array, which stores the last axis first."""
        with reporting_damage(self.path, key):
            dataset = self._handle[key]
            return "MATLAB_class" in dataset.attrs or bool(complex_fields(dataset.dtype))


def _require_readable(dataset: Any, label: str) -> None:
    """Refuse a dataset that is not numeric, is empty, or is stored in other files."""
    numeric = dataset.dtype.kind in "biufc" or complex_fields(dataset.dtype)
    if not numeric or not dataset.size:
        kind = "of records" if dataset.dtype.names else str(dataset.dtype)
        raise UserError(
            f"{label} is {kind} of shape {dataset.shape}; "
            "a numeric array with at least one entry is expected"
        )
    if dataset.is_virtual or dataset.external:
        raise UserError(f"{label} is stored in other files; copy it into one file")


@contextmanager
def open_hdf5(file: Path, what: str) -> Iterator[ArrayFile]:
    """Open an HDF5 file, ISMRMRD known by its contents; `what` names the argument in messages."""
    import h5py

    try:
        handle = h5py.File(file, "r")
    except OSError as error:
        raise UserError(
            f"{what}: {file} is not a complete HDF5 file ({error}); it may be truncated or "
            "of another format"
        ) from error
    with handle:
        raw = _raw_data(file, handle)
        yield H5File(file, handle) if raw is None else IsmrmrdFile(file, raw)


def _raw_data(path: Path, handle: Any) -> Any:
    """Find the group that holds the readouts of ISMRMRD, no link followed; None where none does."""
    import h5py

    with reporting_damage(path, None):
        for name in ("dataset", *(name for name in handle if name != "dataset")):
            if not isinstance(handle.get(name, getlink=True), h5py.HardLink):
                continue
            group = handle[name]
            if not isinstance(group, h5py.Group):
                continue
            parts = [group.get(part, getlink=True) for part in ("xml", "data")]
            if all(isinstance(part, h5py.HardLink) for part in parts):
                data, text = group["data"], group["xml"]
                records = isinstance(data, h5py.Dataset) and {"head", "data"} <= set(
                    data.dtype.names or ()
                )
                if records and isinstance(text, h5py.Dataset) and not data.external:
                    return group
    return None


HDF5 = NamedArraysFormat(
    "HDF5", (".h5", ".hdf5", ".hdf"), "fastMRI-style k-space, sinograms", open_hdf5
)
