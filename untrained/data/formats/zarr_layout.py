"""Metadata of a Zarr store, versions 2 and 3, checked before anything is decoded.

Nothing but numbers and codecs that only compress is let through: no pickled objects, no codec that
an installed package might register, no links out of the store.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from untrained.data.formats.base import reporting_damage
from untrained.errors import UserError
from untrained.machine import float_bytes

MOST_ENTRIES = 2**20  # files of a store
MOST_TEXT = 2**22  # bytes of a metadata document
MOST_AXES = 32
META_2, META_3 = ".zarray", "zarr.json"
CODECS_2 = frozenset({"blosc", "zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "shuffle", "delta"})
CODECS_3 = frozenset({"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed"})
TYPES_3 = frozenset(
    {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
    | {"float16", "float32", "float64", "complex64", "complex128"}
)


@dataclass(frozen=True)
class Layout:
    """What the metadata of one array says.

    Attributes:
        version: of the format, 2 or 3.
        shape, chunks: of the array, and of the part that is decoded at once.
        dtype: of its numbers.
        stored: bytes of its chunks on the disk.
        trouble: why it is not read; "" where it is.
    """

    version: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    stored: int
    trouble: str = ""

    @property
    def nbytes(self) -> int:
        """Count the bytes of the whole array, at least those of single precision."""
        return float_bytes(self.shape, self.dtype)


def read_layouts(path: Path) -> dict[str, Layout]:
    """Read the metadata of all arrays of a store by their path inside it; "" is the root.

    Args:
        path: a directory, or a zip archive.

    Raises:
        UserError: links, too many files, or metadata that is no JSON.
    """
    with reporting_damage(path, None):
        if path.is_dir():
            return _layouts(path, _entries(path), lambda name: (path / name).read_bytes())
        with zipfile.ZipFile(path) as archive:
            sizes = {one.filename: one.compress_size for one in archive.infolist()}
            return _layouts(path, sizes, archive.read)


def _entries(path: Path) -> dict[str, int]:
    """List the files of a directory with their sizes, refusing links."""
    found: dict[str, int] = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            place = Path(folder, name)
            if place.is_symlink() or not (place.is_dir() or place.is_file()):
                raise UserError(
                    f"{path} holds {name}, a link or a device: its files must lie inside it; copy "
                    "them there"
                )
            if place.is_file():
                found[place.relative_to(path).as_posix()] = place.stat().st_size
        if len(found) > MOST_ENTRIES:
            raise UserError(f"{path} holds more than {MOST_ENTRIES} files; save larger chunks")
    return found


def _layouts(path: Path, sizes: dict[str, int], load: Callable[[str], bytes]) -> dict[str, Layout]:
    documents: dict[str, dict[str, Any]] = {}
    for name, size in sorted(sizes.items()):
        folder, _, file = name.rpartition("/")
        if file not in (META_2, META_3) or folder in documents:
            continue
        if size > MOST_TEXT:
            raise UserError(f"{path}: {name} has {size} bytes, more than metadata ever has")
        document = _parsed(load(name), f"{name} in {path}")
        if file == META_2 or document.get("node_type") == "array":
            documents[folder] = document
    stored = dict.fromkeys(documents, 0)
    for name, size in sizes.items():
        owner = _owner(name, documents)
        if owner is not None:
            stored[owner] += size
    return {place: _layout(text, stored[place]) for place, text in documents.items()}


def _owner(name: str, arrays: dict[str, Any]) -> str | None:
    """Find the array that a file is a chunk of."""
    folder, _, file = name.rpartition("/")
    if file.startswith(".") or file == META_3:
        return None
    while True:
        if folder in arrays:
            return folder
        if not folder:
            return None
        folder = folder.rpartition("/")[0]


def _parsed(text: bytes, label: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{label} is no JSON: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise UserError(f"{label} is {type(found).__name__} where metadata is expected")
    return found


def _layout(document: dict[str, Any], stored: int) -> Layout:
    """Take a document of metadata apart; what is wrong with it is said only when it is read."""
    version = 3 if "node_type" in document else 2
    nothing = Layout(version, (), (), np.dtype(bool), stored)
    try:
        shape = _sizes(document["shape"], 0)
        if version == 2:
            dtype, chunks = _type_2(document["dtype"]), _sizes(document["chunks"], 1)
            named = [document.get("compressor"), *(document.get("filters") or ())]
            codecs = [(one["id"], CODECS_2) for one in named if one is not None]
        else:
            dtype = _type_3(document["data_type"])
            chunks = _sizes(document["chunk_grid"]["configuration"]["chunk_shape"], 1)
            codecs = [(name, CODECS_3) for name in _names_3(document["codecs"])]
            if document.get("storage_transformers"):
                raise ValueError("storage transformers")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        return Layout(**{**vars(nothing), "trouble": f"its metadata is not read: {error}"[:300]})
    for name, known in codecs:
        if name not in known:
            trouble = (
                f"it is stored by the codec {str(name)[:40]!r}, which is not read (pickled objects "
                f"never are); known: {', '.join(sorted(known))}"
            )
            return Layout(version, shape, chunks, dtype, stored, trouble)
    if len(chunks) != len(shape) or math.prod(shape) * dtype.itemsize >= 2**62:
        return Layout(version, shape, chunks, dtype, stored, "its shape and chunks are impossible")
    return Layout(version, shape, chunks, dtype, stored)


def _sizes(values: Any, least: int) -> tuple[int, ...]:
    whole = all(type(n) is int and least <= n < 2**62 for n in values)
    if not whole or len(values) > MOST_AXES:
        raise ValueError(f"sizes {str(values)[:60]}")
    return tuple(values)


def _type_2(name: Any) -> np.dtype:
    if not isinstance(name, str) or len(name) > 8:
        raise ValueError("records, of which no array of numbers is made")
    dtype = np.dtype(name)
    if dtype.kind not in "biufc":
        raise ValueError(f"the type {name}, which is none of numbers")
    return dtype


def _type_3(name: Any) -> np.dtype:
    if not isinstance(name, str) or name not in TYPES_3:
        raise ValueError(f"the type {str(name)[:40]}, which is none of numbers")
    return np.dtype(name)


def _names_3(codecs: Any) -> list[str]:
    """List the names of codecs, those inside shards as well."""
    names: list[str] = []
    for codec in codecs:
        names.append(codec["name"] if isinstance(codec, dict) else codec)
        inside = codec.get("configuration") or {} if isinstance(codec, dict) else {}
        for key in ("codecs", "index_codecs"):
            names += _names_3(inside.get(key, ()))
    return names
