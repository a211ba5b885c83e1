"""Draw from a generator of one's own where code asks for torch's global one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from untrained.errors import UserError


class DrawnFrom(TorchDispatchMode):
    """Context in which every random number that this thread asks of torch comes from `seed`.

    On a CPU these are the numbers that `torch.manual_seed(seed)` would give. The global generators
    are neither read nor written, and other threads are not concerned: what two threads build and
    initialise at once is what each would get alone. It reaches any layer's constructor and
    `reset_parameters`, and what `torch.nn.init` does for them.

    Args:
        seed: determines the numbers.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call an operation; give one that draws the generator of its device."""
        named = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or named.get("generator") is not None:
            return func(*args, **named)
        device = _device_of(args, named)
        if device.type == "meta":  # has no numbers
            return func(*args, **named)
        return _drawing(func)(*args, **{**named, "generator": self._generator(device)})

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def _device_of(args: tuple[Any, ...], named: dict[str, Any]) -> torch.device:
    """Find the device that an operation draws on: its tensor's, or that of the new tensor."""
    tensor = next((value for value in args if isinstance(value, Tensor)), None)
    return torch.device(named.get("device") or "cpu") if tensor is None else tensor.device


@functools.cache
def _drawing(func: Any) -> Callable[..., Any]:
    """Find the overload of an operation that takes a generator, such as `rand` has.

    Raises:
        UserError: there is none.
    """
    names = {a.name for a in func._schema.arguments}
    if "generator" in names:
        taken: Callable[..., Any] = func
        return taken
    packet = func.overloadpacket
    for overload in (getattr(packet, name) for name in packet.overloads()):
        if {a.name for a in overload._schema.arguments} == names | {"generator"}:
            chosen: Callable[..., Any] = overload
            return chosen
    raise UserError(
        f"a network draws its weights by {packet}, which takes no random generator, so that they "
        "would not be named by the seed: draw them by torch.nn.init in reset_parameters()"
    )
