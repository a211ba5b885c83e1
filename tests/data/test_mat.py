"""MAT files, read as scipy reads them, and refused where they are damaged or made to harm."""

import random
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io

from untrained.data.formats.mat import open_mat
from untrained.errors import UserError

RNG = np.random.default_rng(0)
ARRAYS = {
    "doubles": RNG.standard_normal((3, 5)),
    "singles": RNG.standard_normal((2, 2)).astype(np.float32),
    "small": np.arange(6, dtype=np.int16).reshape(2, 3),
    "bytes": np.arange(3, dtype=np.uint8)[None],
    "wide": RNG.integers(0, 2**60, (4, 1)).astype(np.uint64),
    "complex": RNG.standard_normal((2, 3)) + 1j,
    "stack": RNG.standard_normal((2, 3, 4)),
    "empty": np.zeros((1, 0)),
    "yes": np.array([[True, False]]),
}


def write(path, compress=True, **more):
    cells = np.empty((1, 3), object)
    cells[0] = [np.array([[1.0, 2]]), np.array([[3.0, 4], [5, 6]]), np.zeros((0, 0))]
    scipy.io.savemat(
        path,
        {**ARRAYS, "cells": cells, "record": {"a": 1.0}, "text": "abc", **more},
        do_compression=compress,
    )
    return path


@pytest.mark.parametrize("compress", [False, True])
def test_numbers_and_cells_are_read_as_scipy_does(tmp_path, compress):
    path = write(tmp_path / "a.mat", compress)
    known = scipy.io.loadmat(path)
    with open_mat(path) as file:
        assert set(file.keys) == {*ARRAYS, "cells"}, "records and text are passed over"
        for name in ARRAYS:
            assert file.shape(name) == known[name].shape
            assert np.array_equal(file.read(name), known[name]), name
        assert file.read("small").dtype == np.int16
        assert np.array_equal(file.read("stack", 1), known["stack"][1])
        cells = file.read_cells("cells")
    assert [one.tolist() for one in cells] == [one.tolist() for one in known["cells"][0]]


def test_the_other_byte_order_is_read(tmp_path):
    body = b"".join(
        struct.pack(">" + form, *values)
        for form, values in (
            ("II8s", (6, 8, b"\0\0\0\x06\0\0\0\0")),
            ("IIii", (5, 8, 1, 2)),
            ("II8s", (1, 1, b"x")),
            ("IIdd", (9, 16, 1.5, -2.0)),
        )
    )
    head = b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + struct.pack(">II", 14, len(body))
    (tmp_path / "a.mat").write_bytes(head + body)
    with open_mat(tmp_path / "a.mat") as file:
        assert file.read("x").tolist() == [[1.5, -2.0]]


def test_cells_within_cells_end_no_process(tmp_path):
    """scipy follows them until its stack is full."""
    inner = b""
    for _ in range(3_000):
        flags = struct.pack("<IIIIIIiiII", 6, 8, 1, 0, 5, 8, 1, 1, 1, 0)
        inner = struct.pack("<II", 14, len(flags + inner)) + flags + inner
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + inner)
    with open_mat(tmp_path / "a.mat") as file, pytest.raises(UserError, match="a.mat"):
        file.read_cells("")


@pytest.mark.parametrize("compress", [False, True])
def test_damage_is_read_or_refused_by_the_name_of_the_file(tmp_path, compress):
    whole, draw, noticed = write(tmp_path / "b.mat", compress).read_bytes(), random.Random(0), 0
    path = tmp_path / "a.mat"
    for trial in range(300):
        broken = bytearray(whole)
        if trial % 3:
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        else:
            del broken[draw.randrange(len(broken)) :]
        path.write_bytes(broken or b"0")
        try:
            with open_mat(path) as file:
                for key in file.keys:
                    file.read_cells(key) if file.holds_cells(key) else file.read(key)
        except UserError as error:
            assert "a.mat" in str(error)
            noticed += 1
    assert noticed > 100


def test_a_bomb_is_not_unpacked(tmp_path):
    """The tag inside says how much would come out of it."""
    flags = struct.pack("<IIIIIIiiII4s4x", 6, 8, 6, 0, 5, 8, 2**27, 2, 1, 4, b"bomb")
    packed = zlib.compress(struct.pack("<II", 14, 2**31) + flags + bytes(2**16))
    whole = struct.pack("<II", 15, len(packed)) + packed
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + whole)
    with open_mat(tmp_path / "a.mat") as file, pytest.raises(UserError, match="zip bomb"):
        file.read("bomb")


def test_other_levels_are_named(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["x"] = np.zeros(3)
    with pytest.raises(UserError, match="-v7"), open_mat(tmp_path / "a.mat"):
        pass
    (tmp_path / "a.mat").write_bytes(b"\0" * 200)
    with pytest.raises(UserError, match="level 5"), open_mat(tmp_path / "a.mat"):
        pass


def test_keys_and_kinds_are_checked(tmp_path):
    with open_mat(write(tmp_path / "a.mat")) as file:
        with pytest.raises(UserError, match="it holds .*'doubles'"):
            file.read("nothing")
        with pytest.raises(UserError, match="cell array"):
            file.read("cells")
        with pytest.raises(UserError, match="cell array is expected"):
            file.read_cells("small")
