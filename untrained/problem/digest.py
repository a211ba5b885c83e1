"""Hash measurements and operator: `--resume` refuses a run of another hash (`checkpoint.py`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.problem.problem import Problem


def data_digest(problem: Problem, also: Mapping[str, Tensor] | None = None, text: str = "") -> str:
    """Hash the measurements, the noise level and all that the operator is.

    Args:
        problem: the problem.
        also: further tensors that the answer depends on.
        text: the hash of a file that it depends on, too.
    """
    digest = hashlib.sha256((repr(problem.sigma) + text).encode())
    for value in (problem.y, problem.guide, dict(also or {}), problem.physics):
        _digest(digest, value, seen=set())
    return digest.hexdigest()[:16]


def reference_digests(reference: Tensor | None) -> tuple[str, ...]:
    """Hash each image of a reference `(G, C, ...)`, to tell later whether it is another one."""
    return () if reference is None else tuple(_one(image) for image in reference.detach().float())


def _one(image: Tensor) -> str:
    digest = hashlib.sha256()
    _digest(digest, image, seen=set())
    return digest.hexdigest()[:16]


def _digest(digest: Any, value: Any, seen: set[int]) -> None:
    """Hash tensors, arrays and plain values, and those that an object or a container is made of."""
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        value = value.detach().cpu()
        if value.layout == torch.sparse_coo:
            value = value.coalesce()
        stored = value if value.layout == torch.strided else value.values()
        plain = stored.resolve_conj().resolve_neg().contiguous().flatten()
        digest.update(plain.view(torch.uint8).numpy())
    elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, bool | int | float | complex | str | bytes | None):
        digest.update(repr(value).encode())
    elif id(value) not in seen:
        seen.add(id(value))
        digest.update(type(value).__qualname__.encode())
        inner = vars(value) if hasattr(value, "__dict__") else value
        if isinstance(inner, Mapping):
            inner = [part for name in inner for part in (str(name), inner[name])]
        for part in inner if isinstance(inner, list | tuple) else ():
            _digest(digest, part, seen)
