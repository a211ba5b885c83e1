"""Small files of weights in the layouts that are read, and hostile ones."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Tensors = dict[str, Tensor]


def draw(*shape: int, seed: int = 0, scale: float = 0.1) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return scale * torch.randn(*shape, generator=generator)


def kair(channels: int = 1, width: int = 8) -> Tensors:
    sizes = [(width, channels), (width, width), (channels, width)]
    found = {}
    for i, (outputs, inputs) in enumerate(sizes):
        found[f"model.{2 * i}.weight"] = draw(outputs, inputs, 3, 3, seed=i)
        found[f"model.{2 * i}.bias"] = draw(outputs, seed=i)
    return found


def scico(inputs: int = 2, width: int = 6, blocks: int = 2) -> Tensors:
    """Kernels as flax has them, (H, W, in, out)."""
    found = {
        "params/conv_start/kernel": draw(3, 3, inputs, width),
        "params/conv_end/kernel": draw(3, 3, width, inputs),
    }
    for i in range(blocks):
        block = f"ConvBNBlock_{i}"
        found |= {
            f"params/{block}/Conv_0/kernel": draw(3, 3, width, width, seed=i),
            f"params/{block}/BatchNorm_0/scale": 1 + draw(width, seed=i),
            f"params/{block}/BatchNorm_0/bias": draw(width, seed=i + 9),
            f"batch_stats/{block}/BatchNorm_0/mean": draw(width, seed=i + 19),
            f"batch_stats/{block}/BatchNorm_0/var": 1 + draw(width, seed=i + 29),
        }
    return found


def mnist(side: int = 8, width: int = 4, steps: int = 50) -> Tensors:
    betas = torch.linspace(1e-4, 0.2, steps + 1)
    found = {
        "beta_t": betas,
        "alpha_t": (1 - betas).cumprod(0),
        "gt.frequencies": torch.arange(3.0),
    }
    inputs = 1
    for i in range(2):
        found |= {
            f"gt.blocks.{i}.net.0.weight": draw(width, inputs, 7, 7, seed=i),
            f"gt.blocks.{i}.net.0.bias": draw(width, seed=i),
            f"gt.blocks.{i}.net.1.weight": 1 + draw(width, side, side, seed=i),
            f"gt.blocks.{i}.net.1.bias": draw(width, side, side, seed=i + 5),
        }
        inputs = width
    found |= {"gt.blocks.2.weight": draw(1, width, 3, 3), "gt.blocks.2.bias": draw(1)}
    sizes = [(5, 6), (5, 5), (5, 5), (width, 5)]
    for i, (outputs, inputs) in enumerate(sizes):
        found |= {
            f"gt.time_embed.{2 * i}.weight": draw(outputs, inputs, seed=i),
            f"gt.time_embed.{2 * i}.bias": draw(outputs, seed=i),
        }
    return found


def write_mpk(path: Path, tensors: Tensors) -> Path:
    """Write a tree of arrays as flax does."""
    import msgpack

    tree: dict[str, Any] = {}
    for name, one in tensors.items():
        *folders, last = name.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        array = one.numpy()
        packed = msgpack.packb((array.shape, array.dtype.name, array.tobytes()))
        place[last] = msgpack.ExtType(1, packed)
    path.write_bytes(msgpack.packb(tree))
    return path


def write_torch(path: Path, tensors: Any, **options: Any) -> Path:
    torch.save(tensors, path, **options)
    return path


# hostile ---------------------------------------------------------------------------------------
MARKER = "executed"


class Code:
    """A pickle of it makes a folder when it is loaded in the ordinary way."""

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, (MARKER,)


def safetensors_file(header: Any, body: bytes = b"\0" * 64, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def zip_file(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def saved(thing: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(thing, stream, **options)
    return stream.getvalue()


def with_size(content: bytes, old: bytes, new: bytes) -> bytes:
    """Change what the pickle of a torch archive says of a size."""
    members = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            members[info.filename] = archive.read(info)
    name = next(n for n in members if n.endswith("data.pkl"))
    assert old in members[name]
    members[name] = members[name].replace(old, new)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, part in members.items():
            archive.writestr(name, part)
    return stream.getvalue()


def npy_claiming(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + b"\0" * 64


HUGE = b"J" + struct.pack("<i", 2**31 - 1)  # the pickle's instruction for a number of 32 bits
SMALL = b"K\x4d"  # the same for 77


def _state() -> OrderedDict[str, Tensor]:
    return OrderedDict(kair())


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "random bytes": (lambda: bytes(range(7, 250)), "no file of weights"),
    "text": (lambda: b"not found: 404 page\n" * 9, "no file of weights"),
    "torch cut short": (lambda: saved(_state())[:-600], "damaged|no file of weights"),
    "old torch cut short": (
        lambda: saved(_state(), _use_new_zipfile_serialization=False)[:-600],
        "claim|damaged",
    ),
    "code": (lambda: saved({"model": _state(), "who": Code()}), "holds code.*state_dict"),
    "old code": (
        lambda: saved({"who": Code()}, _use_new_zipfile_serialization=False),
        "holds code.*safetensors",
    ),
    "plain pickle of code": (lambda: pickle.dumps(Code()), "holds code"),
    "plain pickle": (lambda: pickle.dumps({"a": 1}), "no state_dict of torch"),
    "a whole module": (lambda: saved(torch.nn.Conv2d(1, 1, 3)), "holds code"),
    "NaN": (lambda: saved({**kair(), "model.2.bias": torch.full((8,), float("nan"))}), "NaN"),
    "no tensors": (lambda: saved({"epoch": 3}), "no tensors"),
    "a list": (lambda: saved([torch.ones(3)]), "no tensors"),
    "wrong shapes": (
        lambda: saved({**kair(), "model.2.weight": torch.ones(8, 8, 5, 5)}),
        "no chain of 3x3 convolutions",
    ),
    "a storage that claims gigabytes": (
        lambda: with_size(saved({"w": torch.ones(77)}), SMALL, HUGE),
        "claim 8,589,934,588 bytes",
    ),
    "a tensor larger than its storage": (
        lambda: with_size(saved({"w": torch.ones(77)[None, :]}), SMALL + b"\x86", HUGE + b"\x86"),
        "damaged",
    ),
    "one number as millions": (
        lambda: saved({"w": torch.ones(1).expand(10**9)}),
        "1 numbers; it is damaged",
    ),
    "an archive that grows": (
        lambda: zip_file({"archive/data.pkl": b"\0" * 2**24}),
        "claims 16,777,216 bytes",
    ),
    "safetensors header of 10 GB": (
        lambda: safetensors_file({}, length=10**10),
        "damaged",
    ),
    "safetensors tensor of 10 GB": (
        lambda: safetensors_file(
            {"w": {"dtype": "F32", "shape": [50_000, 50_000], "data_offsets": [0, 10**10]}}
        ),
        "damaged",
    ),
    "npz array of 10 GB": (
        lambda: zip_file({"arr_0.npy": npy_claiming((50_000, 50_000))}),
        "claims 10,000,000,000 bytes",
    ),
    "npz of objects": (
        lambda: zip_file({"arr_0.npy": _object_array()}),
        "damaged|code",
    ),
    "msgpack of 4 GB": (lambda: b"\x81\xa1a\xc9\xff\xff\xff\xff\x01" + b"\0" * 64, "damaged"),
    "msgpack array that claims": (lambda: _claiming_msgpack(), "claims 10,000,000,000 bytes"),
    "deep msgpack": (lambda: b"\x81\xa1a" * 5000 + b"\xc0", "damaged"),
}
"""Name -> (its bytes, what the message says)."""


def _object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Code()], dtype=object), allow_pickle=True)
    return stream.getvalue()


def _claiming_msgpack() -> bytes:
    import msgpack

    packed = msgpack.packb(((50_000, 50_000), "float32", b"\0" * 64))
    return msgpack.packb({"params": {"kernel": msgpack.ExtType(1, packed)}})


# trained reconstructors ------------------------------------------------------------------------


def hammernik(stages: int = 2, filters: int = 3, side: int = 5, gaussians: int = 7) -> Tensors:
    found = {}
    for i in range(stages):
        found |= {
            f"cell_list.{i}.conv_kernel": draw(filters, 1, side, side, 2, seed=i),
            f"cell_list.{i}.lamb": torch.tensor(0.5 + 0.1 * i),
            f"cell_list.{i}.activation.w": draw(1, filters, 1, 1, gaussians, seed=i),
        }
    return found


def d5c5(parts: int = 2, width: int = 4) -> Tensors:
    found = {}
    for i in range(parts):
        sizes = [2, width, width, 2]
        for j in range(3):
            kernel = draw(sizes[j + 1], sizes[j], 3, 3, seed=5 * i + j)
            found[f"arr_{len(found)}"] = kernel
            found[f"arr_{len(found)}"] = draw(sizes[j + 1], seed=5 * i + j)
    return found


def modl(layers: int = 3, width: int = 4, *, normalised: bool = True) -> Tensors:
    found: Tensors = {"dc.lam": torch.tensor([0.3])}
    sizes = [2, *[width] * (layers - 1), 2]
    step = 3 if normalised else 2
    for i in range(layers):
        inputs, outputs = sizes[i], sizes[i + 1]
        found[f"dw.nw.{step * i}.weight"] = draw(outputs, inputs, 3, 3, seed=i)
        found[f"dw.nw.{step * i}.bias"] = draw(outputs, seed=i)
        if normalised:
            found |= {
                f"dw.nw.{step * i + 1}.weight": 1 + draw(outputs, seed=i),
                f"dw.nw.{step * i + 1}.bias": draw(outputs, seed=i + 3),
                f"dw.nw.{step * i + 1}.running_mean": draw(outputs, seed=i + 5),
                f"dw.nw.{step * i + 1}.running_var": 1 + draw(outputs, seed=i + 7),
                f"dw.nw.{step * i + 1}.num_batches_tracked": torch.tensor(5),
            }
    return found


APPLIED = {"cascade": "d5c5", "modl": "modl", "varnet": "hammernik"}
"""Methods that apply a trained network, with a layout of theirs."""


def trained(name: str, tensors: Tensors | None = None) -> Any:
    """Build the small reconstructor of a layout."""
    from untrained.priors import ARCHITECTURES, Provenance

    layout = {"hammernik": hammernik, "d5c5": d5c5, "modl": modl}[name]
    return ARCHITECTURES[name].build(layout() if tensors is None else tensors, Provenance(name))
