"""Reading arrays from files that may be damaged, oversized or hostile."""

from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from untrained import files, machine
from untrained.data.arrays import read_number, read_one, read_optional, require_finite
from untrained.data.formats import open_arrays
from untrained.data.formats.npy import read_npy, write_npy
from untrained.data.formats.npz import write_npz
from untrained.errors import UserError


class Payload:
    """Unpickling this creates a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def forged(shape: tuple[int, ...], body: bytes) -> bytes:
    """An NPY stream whose header promises float64 of `shape` before `body`."""
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + body


def write_member(path: Path, name: str, data: bytes, compress: bool = True) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else 0) as archive:
        archive.writestr(f"{name}.npy", data)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "complex64", "<U8"])
def test_npz_round_trip(tmp_path, dtype):
    array = (np.arange(6).reshape(2, 3) % 2).astype(dtype)
    write_npz(tmp_path / "a.npz", {"a": array, "file": np.asarray(3.5)})
    with open_arrays(tmp_path / "a.npz") as file:
        assert file.keys == ("a", "file")
        assert file.shape("a") == (2, 3)
        assert np.array_equal(file.read("a"), array)
        assert file.read("a").dtype == array.dtype
        assert np.array_equal(file.read("a", 1), array[1])
        assert read_number(file, "file") == 3.5
        assert read_optional(file, "b") is None


def test_fortran_order_and_version_2_are_read(tmp_path):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=(2, 0))
    assert np.array_equal(read_npy(tmp_path / "a.npy"), array)


def test_h5_reads_one_slice_and_lists_only_own_datasets(tmp_path):
    stack = np.arange(24.0).reshape(4, 3, 2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["stack"] = stack
        file["note"] = "text"
        file.create_group("group")["inside"] = 1.0
        file["link"] = h5py.ExternalLink("other.h5", "/secret")
    with open_arrays(tmp_path / "a.h5") as file:
        assert set(file.keys) == {"stack", "note"}
        assert np.array_equal(file.read("stack", 2), stack[2])
        with pytest.raises(UserError, match=r"'note'.*numeric"):
            file.read("note")
        with pytest.raises(UserError, match=r"lacks 'kspace'; it holds .*'stack'"):
            file.read("kspace")


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.npy"])
def test_missing_empty_truncated_and_foreign_files(tmp_path, name):
    path = tmp_path / name
    read = read_npy if name.endswith("npy") else lambda p: read_one(p, "input")
    with pytest.raises(UserError, match="there is no file"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        read(path)
    path.write_bytes(b"this is not what the suffix says, whatever it is" * 10)
    with pytest.raises(UserError, match=name):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="is a folder, and a file is expected"):
        read(path)


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.npy"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_truncation_is_noticed(tmp_path, name, kept):
    path = tmp_path / name
    array = np.random.default_rng(0).standard_normal((40, 40))
    if name.endswith("npz"):
        write_npz(path, {"a": array})
    elif name.endswith("npy"):
        write_npy(path, array)
    else:
        with h5py.File(path, "w") as file:
            file["a"] = array
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(UserError, match=r"truncated|damaged"):
        read_one(path, "input")


def test_damaged_bytes_inside_an_archive_are_noticed(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"a": np.zeros(100)})
    data = bytearray(path.read_bytes())
    data[400] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged"):
        read_one(path, "input")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_nothing_is_ever_unpickled(tmp_path, name):
    victim = tmp_path / "created"
    array = np.empty(1, dtype=object)
    array[0] = Payload(victim)
    path = tmp_path / name
    np.savez(path, a=array) if name.endswith("npz") else np.save(path, array, allow_pickle=True)
    with pytest.raises(UserError, match=r"pickled.*save plain numbers"):
        read_one(path, "input")
    assert not victim.exists()
    np.load(path, allow_pickle=True)["a" if name.endswith("npz") else ...]
    assert victim.exists(), "the payload must work, or this test proves nothing"


def test_a_bare_pickle_under_an_array_name_is_refused(tmp_path):
    victim = tmp_path / "created"
    for name in ("a.npy", "a.npz", "a.h5"):
        (tmp_path / name).write_bytes(pickle.dumps(Payload(victim)))
        with pytest.raises(UserError):
            read_one(tmp_path / name, "input")
    assert not victim.exists()


def test_record_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(2, dtype=[("x", "f4"), ("y", "f4")]))
    with pytest.raises(UserError, match="record array"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(10**6, 10**6), (3,), (-4,), (10**30,)])
def test_header_must_agree_with_the_file_before_anything_is_allocated(tmp_path, shape):
    body = b"\0" * 64
    (tmp_path / "a.npy").write_bytes(forged(shape, body))
    write_member(tmp_path / "a.npz", "a", forged(shape, body))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(UserError, match=r"header promises|damaged"):
            read_one(tmp_path / name, "input")


def test_zip_bomb_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "SUSPICIOUS_BYTES", 8 * 2**20)
    size = 9 * 2**20
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(forged((size // 8,), b""))
        for _ in range(size // 2**20):
            stream.write(b"\0" * 2**20)
    monkeypatch.setattr(np.lib.format, "read_array", None)  # reading would fail loudly
    with pytest.raises(UserError, match="zip bomb"):
        read_one(path, "input")


def test_a_size_the_directory_lies_about_is_noticed(tmp_path):
    path = tmp_path / "a.npz"
    write_member(path, "a", npy_bytes(np.zeros(1000)))
    data = path.read_bytes()
    entry = data.rindex(b"PK\x01\x02")
    lied = data[: entry + 24] + (128 + 80).to_bytes(4, "little") + data[entry + 28 :]
    path.write_bytes(lied)
    with pytest.raises(UserError, match="damaged"):
        read_one(path, "input")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
def test_arrays_beyond_memory_are_refused(tmp_path, monkeypatch, name):
    path = tmp_path / name
    array = np.zeros((100, 100))
    if name.endswith("h5"):
        with h5py.File(path, "w") as file:
            file["a"] = array
    else:
        write_npz(path, {"a": array}) if name.endswith("npz") else write_npy(path, array)
    monkeypatch.setattr(machine, "available_memory", lambda: 100_000)
    with pytest.raises(UserError, match="more memory"):
        read_one(path, "input")


def test_unwritten_h5_dataset_is_not_allocated(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", shape=(2**28,), dtype="f4", chunks=(2**20,))
    with pytest.raises(UserError, match="was never written"):
        read_one(tmp_path / "a.h5", "input")


def test_available_memory_is_plausible():
    assert 2**20 < machine.available_memory() < 2**50


def test_read_one_prefers_then_takes_the_only_key_else_lists(tmp_path):
    write_npz(tmp_path / "a.npz", {"mask": np.ones(2), "other": np.zeros(3)})
    assert np.array_equal(read_one(tmp_path / "a.npz", "--mask", ("mask",)), np.ones(2))
    with pytest.raises(UserError, match=r"--kernel: .* holds 'mask', 'other'; expected 'kernel'"):
        read_one(tmp_path / "a.npz", "--kernel", ("kernel",))
    write_npz(tmp_path / "b.npz", {"k0": np.ones(2)})
    assert np.array_equal(read_one(tmp_path / "b.npz", "--kernel", ("kernel",)), np.ones(2))


def test_numbers_must_be_single_and_finite(tmp_path):
    write_npz(tmp_path / "a.npz", {"two": np.ones(2), "nan": np.asarray(np.nan)})
    with open_arrays(tmp_path / "a.npz") as file:
        for key in ("two", "nan"):
            with pytest.raises(UserError, match="one finite number"):
                read_number(file, key)


def test_require_finite_says_how_many_and_where():
    bad = np.ones((3, 4))
    bad[1, 2], bad[2, 0] = np.nan, -np.inf
    with pytest.raises(UserError, match=r"y holds 2 values NaN or infinite \(nan .*\(1, 2\)\)"):
        require_finite(bad, "y")
    with pytest.raises(UserError, match="empty"):
        require_finite(np.zeros((0, 3)), "y")
    with pytest.raises(UserError, match="numeric"):
        require_finite(np.array(["a"]), "y")


def test_write_refuses_other_suffixes_directories_and_devices(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.npz"):
        write_npz(tmp_path / "a.npy", {"a": np.ones(1)})
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(UserError, match="directory"):
        write_npz(tmp_path / "d.npz", {"a": np.ones(1)})
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="file"):
        write_npz(tmp_path / "file" / "a.npz", {"a": np.ones(1)})
    with pytest.raises(ValueError, match="object array"):
        write_npz(tmp_path / "o.npz", {"a": np.array([None])})


def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write_npz(path, {"a": np.ones(3)})
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.npz"):
        write_npz(path, {"a": np.zeros(300)})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_unwritable_directory_is_named(tmp_path, monkeypatch):
    def denied(*_args, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", denied)  # root may write everywhere
    with pytest.raises(UserError, match=r"a\.npz cannot be written: Permission denied"):
        write_npz(tmp_path / "a.npz", {"a": np.ones(1)})


def test_h5_data_in_other_files_is_refused(tmp_path):
    (tmp_path / "secret.bin").write_bytes(b"\0" * 64)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        place = [(str(tmp_path / "secret.bin"), 0, 64)]
        file.create_dataset("a", shape=(8,), dtype="f8", external=place)
    with pytest.raises(UserError, match="stored in other files"):
        read_one(tmp_path / "a.h5", "input")


def test_unreadable_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    write_npy(path, np.ones(2))
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # root may read everything
    with pytest.raises(UserError, match=r"a\.npy may not be read"):
        read_npy(path)
