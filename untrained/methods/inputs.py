"""Network inputs that several papers share."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import sum_squares


def uniform_input(s: State, channels: int, amplitude: float) -> Tensor:
    """z ~ U(0, amplitude) of the input's size, `(G, channels, ...)`: DIP's fixed noise."""
    return amplitude * s.noise("z", (channels, *s.input_sides), "uniform")


def jittered(s: State, size: float) -> Tensor:
    """z + size * eps_t with fresh standard normal eps_t at every step."""
    z = s["z"]
    return z if size == 0 else z + size * s.noise("jitter", tuple(z.shape[1:]))


def guides(s: State, method: str) -> Tensor:
    """The clean images of similar content that came with the problem, `(G, M, C, ...)`.

    Raises:
        UserError: there are none.
    """
    guide = s.problem.guide
    if guide is None:
        raise UserError(
            f"{method} needs clean images of similar content: give --guide FILE, or guide= in "
            "Python"
        )
    return guide.expand(s.size, *guide.shape)


def nearest_guide(s: State, method: str) -> Tensor:
    """Of the guides the one nearest to the scaled A^H y, `(G, C, ...)`; raises as `guides`."""
    given, estimate = guides(s, method), s.problem.estimate()
    apart = [sum_squares(given[:, i] - estimate) for i in range(given.shape[1])]
    nearest = torch.stack(apart, dim=1).argmin(1)
    return given[torch.arange(s.size, device=given.device), nearest]
