"""What a stop, output or guard rule keeps from step to step: named tensors in the checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor


class Memory:
    """Hold the named tensors of one rule: those of `State.tensors` under its own prefix."""

    def __init__(self, store: dict[str, Tensor], prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self._store[self._prefix + name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        assign(self._store, self._prefix + name, value)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._store

    def get(self, name: str, default: Tensor) -> Tensor:
        """Return a tensor by name, or `default` where there is none yet."""
        return self._store.get(self._prefix + name, default)

    def sub(self, name: str) -> Memory:
        """Return the memory of a rule inside this rule, under the prefix `name`."""
        return Memory(self._store, f"{self._prefix}{name}/")


def assign(store: dict[str, Tensor], name: str, value: Tensor) -> None:
    """Store a tensor by name; one that is there is overwritten in place, and keeps its shape."""
    old = store.get(name)
    with torch.no_grad():
        if old is None:
            store[name] = value.detach().clone(memory_format=torch.contiguous_format)
        elif old.shape == value.shape and old.dtype == value.dtype:
            old.copy_(value)
        else:
            raise ValueError(
                f"'{name}' is {tuple(old.shape)} {old.dtype} in the state and cannot become "
                f"{tuple(value.shape)} {value.dtype}"
            )
