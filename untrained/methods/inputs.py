"""Network inputs that several papers share."""

from __future__ import annotations

from torch import Tensor

from untrained.core.state import State


def uniform_input(s: State, channels: int, amplitude: float) -> Tensor:
    """z ~ U(0, amplitude) of the image's size, `(G, channels, ...)`: DIP's fixed noise."""
    return amplitude * s.noise("z", (channels, *s.problem.x_shape[1:]), "uniform")


def jittered(s: State, size: float) -> Tensor:
    """z + size * eps_t with fresh standard normal eps_t at every step."""
    z = s["z"]
    return z if size == 0 else z + size * s.noise("jitter", tuple(z.shape[1:]))
