"""Read the tensors of a file of weights: nothing in it is executed, and no more is allocated.

What a file is, its first bytes tell, not its suffix.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.priors.pickled import check_pickled

CONTAINERS = ("ema", "params_ema", "model_ema", "net", "model", "params", "state_dict")
"""Under what names a training's checkpoint keeps the weights; the averaged ones come first."""
PREFIXES = ("module.", "_orig_mod.")
"""What wrappers of torch put before every name."""
GROWTH = 20.0
"""Most that a compressed member of an archive of weights may grow: weights hardly compress."""
DEEPEST = 32
WAY_OUT = (
    "a file that needs code to be read is never loaded: where it was made, save the network's "
    "state_dict() alone, as .safetensors"
)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name, of .safetensors, .pt/.pth, .npz and .mpk files.

    The weights of a checkpoint are taken out of it (`CONTAINERS`), and the names lose what
    wrappers put before them (`PREFIXES`).

    Raises:
        UserError: it is damaged, holds code, other things than tensors, or values that are not
            finite.
    """
    with file.open("rb") as stream:
        start = stream.read(16)
    try:
        tree = _reader(start, file)(file)
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"there is not enough memory to read it: {error}") from error
    except Exception as error:  # each library raises many kinds of its own
        raise UserError(f"it is damaged, or no file of weights: {_first_line(error)}") from error
    tensors = _without_prefixes(_flat(_weights_of(tree)))
    if not tensors:
        raise UserError("it holds no tensors with names (a state_dict)")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(f"it is damaged: '{name}' holds NaN or infinite values")
    return tensors


def read_licence(file: Path) -> str:
    """Return what a .safetensors file says of its licence, one line; "" elsewhere."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt") as opened:
            told = opened.metadata() or {}
    except (SafetensorError, OSError):
        return ""
    text = told.get("licence", told.get("license", ""))
    return " ".join(text.split())[:200]


def _reader(start: bytes, file: Path) -> Any:
    """Choose the reader of a file by its first bytes."""
    if start.startswith(b"PK\x03\x04"):
        return _read_zip
    if start.startswith(b"\x80") and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _read_torch
    if start[8:9] == b"{":
        return _read_safetensors
    if 0x81 <= start[0] <= 0x8F or start[0] in (0xDE, 0xDF):
        return _read_msgpack
    raise UserError(
        f"{file.name} is no file of weights that can be read: those of torch (.pt, .pth), "
        ".safetensors, .npz and flax (.mpk) can"
    )


def _read_zip(file: Path) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    # the sizes that an archive claims are trusted by those who read it
    for one in members:
        if one.file_size > max(GROWTH * one.compress_size, 1024.0):
            raise UserError(
                f"'{one.filename}' in it claims {one.file_size:,} bytes, and has "
                f"{one.compress_size:,}"
            )
    if any(one.filename.endswith("data.pkl") for one in members):
        return _read_torch(file)
    return _read_npz(file, members)


def _read_torch(file: Path) -> Any:
    check_pickled(file, WAY_OUT)
    return torch.load(file, map_location="cpu", weights_only=True)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def _read_npz(file: Path, members: list[zipfile.ZipInfo]) -> dict[str, Tensor]:
    found = {}
    with zipfile.ZipFile(file) as archive:
        for one in members:
            with archive.open(one) as stream:
                version = np.lib.format.read_magic(stream)
                reader = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = reader(stream)
            _check_claim(one.filename, math.prod(shape) * dtype.itemsize, one.file_size)
            with archive.open(one) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
            found[one.filename.removesuffix(".npy")] = torch.from_numpy(array)
    return found


def _read_msgpack(file: Path) -> Any:
    try:
        import msgpack
    except ImportError as error:
        raise UserError(
            "flax's files (.mpk) are read by the package msgpack: pip install untrained[priors]"
        ) from error

    def array(code: int, content: bytes) -> Any:
        if code != 1:
            raise UserError(f"it holds an extension of kind {code}; arrays are kind 1")
        shape, kind, buffer = msgpack.unpackb(content, raw=False)
        dtype = np.dtype(kind)
        _check_claim("an array", math.prod(shape) * dtype.itemsize, len(buffer))
        return torch.from_numpy(np.frombuffer(buffer, dtype).reshape(shape).copy())

    return msgpack.unpackb(file.read_bytes(), ext_hook=array, raw=False)


def _check_claim(name: str, claimed: int, held: int) -> None:
    if claimed > held:
        raise UserError(f"'{name}' in it claims {claimed:,} bytes, and has {held:,}")


def _weights_of(tree: Any) -> Any:
    """Take the weights out of a training's checkpoint, also out of one inside another."""
    for _ in range(DEEPEST):
        if not isinstance(tree, Mapping):
            return {}
        inner = [
            tree[name]
            for name in CONTAINERS
            if isinstance(tree.get(name), Mapping) and _holds_tensors(tree[name])
        ]
        if not inner or any(isinstance(one, Tensor) for one in tree.values()):
            return tree
        if "batch_stats" in tree:  # flax: the statistics stand beside the params
            return tree
        tree = inner[0]
    return {}


def _holds_tensors(tree: Any, depth: int = DEEPEST) -> bool:
    if isinstance(tree, Tensor):
        return True
    return (
        depth > 0
        and isinstance(tree, Mapping)
        and any(_holds_tensors(one, depth - 1) for one in tree.values())
    )


def _flat(tree: Mapping[Any, Any], before: str = "", depth: int = DEEPEST) -> dict[str, Tensor]:
    """List the tensors of a tree by path; everything else in it is left out."""
    found = {}
    for name, value in tree.items() if depth else ():
        if isinstance(value, Tensor):
            found[f"{before}{name}"] = value
        elif isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}/", depth - 1)
    return found


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while tensors:
        found = [p for p in PREFIXES if all(name.startswith(p) for name in tensors)]
        if not found:
            return tensors
        tensors = {name.removeprefix(found[0]): one for name, one in tensors.items()}
    return tensors


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
