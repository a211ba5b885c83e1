"""MAT: arrays and cell arrays with names, as MATLAB saves them with `-v7` or `-v6`.

The format is that of "MAT-File Format" (MathWorks), level 5: a header of 128 bytes, then elements,
each a tag (type, number of bytes) and its data; an element of type 15 is another one, compressed
by zlib. A matrix is an element of type 14 whose parts are its class, its sides, its name and its
numbers, the first axis fastest; the parts of a cell array are matrices.

Numbers and cells of numbers are read; records, text and sparse matrices are passed over. scipy
reads them all, and a file of cells within cells, made on purpose, ends its process; here nothing
is read on trust.

`matlab.py` is the row of `FORMATS`, with the axes in reverse; eit reads the axes as they are here.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from untrained.data.formats.base import list_names, reporting_damage
from untrained.errors import UserError
from untrained.files import existing_file
from untrained.machine import check_size, float_bytes

MAT_SUFFIX = ".mat"
HEADER = 128
AHEAD = 4096  # bytes of a compressed matrix that hold its name and sides
MOST_AXES, LONGEST_NAME = 8, 512
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
NUMBERS |= {13: "u8"}
MATRIX, COMPRESSED, CELL, COMPLEX = 14, 15, 1, 0x0800
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8"}
CLASSES |= {15: "u8"}
"""Classes of numeric matrices and the type that their numbers have in MATLAB."""


@dataclass(frozen=True)
class _Header:
    """What comes before the numbers of a matrix."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str
    end: int


@dataclass(frozen=True)
class _Stored:
    """Where a matrix stands in the file: its bytes after the tag, compressed or not."""

    header: _Header
    start: int
    size: int
    compressed: bool


class MatFile:
    """The numeric arrays and cell arrays of a MAT file."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self._content = content
        self._order = "<" if content[126:128] == b"IM" else ">"
        with reporting_damage(path, None):
            found = {one.header.name: one for one in self._matrices()}
        readable = {CELL, *CLASSES}
        self._stored = {name: one for name, one in found.items() if one.header.kind in readable}
        self.keys = tuple(self._stored)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of an array, from its header alone."""
        return self._find(key).header.shape

    def read(self, key: str, index: int | None = None) -> np.ndarray:
        """Read the numeric array, or entry `index` of its first axis."""
        stored = self._find(key)
        if stored.header.kind == CELL:
            raise UserError(f"{self.label(key)} is a cell array; an array of numbers is expected")
        with reporting_damage(self.path, key):
            values = self._numbers(self._unpacked(stored), key)
        return values if index is None else values[index]

    def read_cells(self, key: str) -> list[np.ndarray]:
        """Read a cell array of numeric arrays, its cells in MATLAB's order."""
        stored = self._find(key)
        if stored.header.kind != CELL:
            raise UserError(f"{self.label(key)} is an array; a cell array is expected")
        with reporting_damage(self.path, key):
            data = self._unpacked(stored)
            header = self._header(data)
            place, cells = header.end, []
            for _ in range(math.prod(header.shape)):
                kind, start, size, place = self._tag(data, place)
                if kind != MATRIX:
                    raise ValueError(f"a cell of type {kind}")
                cells.append(self._numbers(data[start : start + size], key))
        return cells

    def holds_cells(self, key: str) -> bool:
        """Tell whether an array is a cell array."""
        return self._find(key).header.kind == CELL

    def nested(self) -> tuple[str, ...]:
        """Name arrays in groups, of which this format has none."""
        return ()

    def offer(self, key: str) -> None:
        """Leave the keys as they are: this format has no groups."""

    def label(self, key: str) -> str:
        """Name an array for a message."""
        return f"'{key}' in {self.path}"

    def reversed_axes(self, key: str) -> bool:
        """Tell whether the array was written with its last axis first: never in this format."""
        return False

    def _find(self, key: str) -> _Stored:
        if key not in self._stored:
            raise UserError(f"{self.path} lacks '{key}'; it holds {list_names(self.keys)}")
        return self._stored[key]

    def _matrices(self) -> Iterator[_Stored]:
        """List the matrices of the file, their numbers unread."""
        place = HEADER
        while place + 8 <= len(self._content):
            kind, start, size, place = self._tag(self._content, place, padded=False)
            if kind == COMPRESSED:
                packed = self._content[start : start + size]
                ahead = zlib.decompressobj().decompress(packed, AHEAD)
                if self._word(ahead, 0) == MATRIX:
                    yield _Stored(self._header(ahead[8:]), start, size, compressed=True)
            elif kind == MATRIX:
                head = self._content[start : start + min(size, AHEAD)]
                yield _Stored(self._header(head), start, size, compressed=False)

    def _unpacked(self, stored: _Stored) -> bytes:
        """Return the bytes of a matrix after its tag, within the size that its tag gives."""
        data = self._content[stored.start : stored.start + stored.size]
        if not stored.compressed:
            return data
        head = zlib.decompressobj().decompress(data, 8)
        size = self._word(head, 4)
        check_size(size, stored.size, self.label(stored.header.name))
        unpacking = zlib.decompressobj()
        whole = unpacking.decompress(data, size + 8)
        unpacking.decompress(unpacking.unconsumed_tail, 1)  # its checksum is looked at now
        if not unpacking.eof or len(whole) < size + 8:
            raise ValueError("its compressed bytes are cut short or longer than they say")
        return whole[8:]

    def _header(self, data: bytes) -> _Header:
        """Read class, sides and name of a matrix."""
        if not data:  # an empty matrix is written without any of them
            return _Header(6, False, (0, 0), "", 0)
        _, start, size, place = self._tag(data, 0)
        flags = self._word(data, start)
        kind, start, size, place = self._tag(data, place)
        if kind != 5 or not 8 <= size <= 4 * MOST_AXES:
            raise ValueError(f"a matrix with {size // 4} sides of type {kind}")
        sides = np.frombuffer(data, f"{self._order}i4", size // 4, start)
        if sides.min() < 0:
            raise ValueError(f"a matrix with sides {sides.tolist()}")
        _, start, size, place = self._tag(data, place)
        name = data[start : start + min(size, LONGEST_NAME)].decode("ascii", "replace")
        shape = tuple(int(n) for n in sides)
        return _Header(flags & 0xFF, bool(flags & COMPLEX), shape, name, place)

    def _numbers(self, data: bytes, key: str) -> np.ndarray:
        """Read the numbers of a matrix whose bytes are `data`."""
        header = self._header(data)
        if header.kind not in CLASSES:
            raise ValueError(f"a part that is no array of numbers (class {header.kind})")
        dtype = np.dtype(CLASSES[header.kind])
        count = math.prod(header.shape)
        check_size(float_bytes(header.shape, dtype), len(data), self.label(key))
        values, place = self._part(data, header.end, count)
        whole = values.astype(dtype)
        if header.is_complex:
            imaginary, _ = self._part(data, place, count)
            whole = whole + 1j * imaginary
        return whole.reshape(header.shape, order="F")

    def _part(self, data: bytes, place: int, count: int) -> tuple[np.ndarray, int]:
        """Read `count` numbers at a tag, which may be of a smaller type than their matrix."""
        if not count:
            return np.zeros(0), place
        kind, start, size, place = self._tag(data, place)
        if kind not in NUMBERS:
            raise ValueError(f"numbers of type {kind}")
        dtype = np.dtype(self._order + NUMBERS[kind])
        if size != count * dtype.itemsize:
            raise ValueError(f"{size} bytes for {count} numbers of {dtype.itemsize}")
        return np.frombuffer(data, dtype, count, start), place

    def _tag(self, data: bytes, place: int, padded: bool = True) -> tuple[int, int, int, int]:
        """Read a tag: type, where its data begin, how many bytes they have, and the next place."""
        first = self._word(data, place)
        if first >> 16:  # four bytes or fewer stand in the tag itself
            kind, size, start, end = first & 0xFFFF, first >> 16, place + 4, place + 8
        else:
            kind, size, start = first, self._word(data, place + 4), place + 8
            end = start + size + (-size % 8 if padded and kind != COMPRESSED else 0)
        if size > len(data) - start:
            raise ValueError(f"it ends {start + size - len(data)} bytes early")
        return kind, start, size, end

    def _word(self, data: bytes, place: int) -> int:
        """Read an unsigned number of four bytes."""
        if place + 4 > len(data):
            raise ValueError("it ends early")
        return int(np.frombuffer(data, f"{self._order}u4", 1, place)[0])


@contextmanager
def open_mat(path: str | Path, what: str = "input") -> Iterator[MatFile]:
    """Open a MAT file of level 5; `what` names the argument in messages.

    Raises:
        UserError: no such file, of another level (with what to type in MATLAB), damaged, or larger
            than the memory holds.
    """
    file = existing_file(path, what)
    size = file.stat().st_size
    check_size(size, size, f"{what}: {file}")
    content = file.read_bytes()
    if content[:8] == b"\x89HDF\r\n\x1a\n" or content[512:520] == b"\x89HDF\r\n\x1a\n":
        raise UserError(
            f"{what}: {file} was saved by MATLAB with -v7.3, which is HDF5 inside; save it with "
            "-v7 (save('file.mat', '-v7')), or as .npz"
        )
    if len(content) < HEADER + 8 or content[126:128] not in (b"IM", b"MI"):
        raise UserError(
            f"{what}: {file} is no MAT file of level 5, what MATLAB saves with -v7; it may be "
            "damaged, cut short, or of another format"
        )
    yield MatFile(file, content)
