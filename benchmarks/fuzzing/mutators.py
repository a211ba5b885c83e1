"""How a file of each format is mutated: damaged bytes, or odd values in a whole file."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import tifffile

from fuzzing.mutate import Arrays, mutate_array, mutate_arrays, mutate_bytes, mutate_text
from untrained.files import SEAL_LENGTH, sealed_write


def as_bytes(file: Path, draw: random.Random) -> bytes:
    """Damaged bytes of a file of any format."""
    return mutate_bytes(file.read_bytes(), draw)


def as_text(file: Path, draw: random.Random) -> bytes:
    """A changed text."""
    return mutate_text(file.read_text(encoding="utf-8"), draw)


def as_npz(file: Path, draw: random.Random) -> bytes:
    """Half damaged archives, half whole ones that hold odd arrays."""
    if draw.random() < 0.5:
        return as_bytes(file, draw)
    with np.load(file) as stored:
        arrays: Arrays = dict(stored)
    buffer = io.BytesIO()
    save: Callable[..., None] = np.savez if draw.random() < 0.5 else np.savez_compressed
    try:
        save(buffer, **mutate_arrays(arrays, draw))
    except (ValueError, OverflowError, RuntimeError):  # a name that no archive can hold
        return as_bytes(file, draw)
    return buffer.getvalue()


def as_h5(file: Path, draw: random.Random) -> bytes:
    """Mostly damaged files: HDF5 has no checksums. The rest hold odd arrays."""
    if draw.random() < 0.6:
        return as_bytes(file, draw)
    with h5py.File(file) as stored:
        arrays: Arrays = {key: stored[key][()] for key in stored}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as made:
        for key, value in mutate_arrays(arrays, draw).items():
            try:
                made[key] = value
            except (ValueError, TypeError, OSError, RuntimeError):  # not storable, or named so
                continue
    return buffer.getvalue()


def as_mat(file: Path, draw: random.Random) -> bytes:
    """Half damaged files, half odd arrays; compressed or not."""
    if draw.random() < 0.5:
        return as_bytes(file, draw)
    arrays: Arrays = {k: v for k, v in scipy.io.loadmat(file).items() if not k.startswith("__")}
    cells = {name: value for name, value in arrays.items() if value.dtype == object}
    plain = {name: value for name, value in arrays.items() if name not in cells}
    buffer = io.BytesIO()
    try:
        changed = {**cells, **mutate_arrays(plain, draw)}
        scipy.io.savemat(buffer, changed, do_compression=draw.random() < 0.5)
    except Exception:  # an array or a name that no MAT file holds
        return as_bytes(file, draw)
    return buffer.getvalue()


def as_npy(file: Path, draw: random.Random) -> bytes:
    """Half damaged files, half odd arrays."""
    if draw.random() < 0.5:
        return as_bytes(file, draw)
    buffer = io.BytesIO()
    np.save(buffer, mutate_array(np.load(file), draw))
    return buffer.getvalue()


def as_tiff(file: Path, draw: random.Random) -> bytes:
    """Mostly damaged files, and some with odd floats."""
    if draw.random() < 0.7:
        return as_bytes(file, draw)
    buffer = io.BytesIO()
    try:
        tifffile.imwrite(buffer, mutate_array(tifffile.imread(file), draw))
    except Exception:  # an array that no TIFF holds
        return as_bytes(file, draw)
    return buffer.getvalue()


def as_weights(file: Path, draw: random.Random) -> bytes:
    """Damaged bytes, or another number or word in the header, its length set right."""
    data = file.read_bytes()
    if draw.random() < 0.4:
        return mutate_bytes(data, draw)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = header.get("__metadata__", {})
    if draw.random() < 0.6 and about:
        key = next(iter(about))
        about[key] = mutate_text(about[key], draw).decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = mutate_text(json.dumps(header), draw)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def as_state(file: Path, draw: random.Random) -> bytes:
    """Damaged bytes, half of them sealed anew: what someone wrote on purpose."""
    data = file.read_bytes()
    if draw.random() < 0.5:
        return mutate_bytes(data, draw)
    again = file.with_name(f"again-{draw.randrange(2**40)}.pt")
    with sealed_write(again) as stream:
        stream.write(mutate_bytes(data[:-SEAL_LENGTH], draw))
    sealed = again.read_bytes()
    again.unlink()
    return sealed
