"""Notice a fit that has left the track: its data term has grown and stays far too large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from untrained.core.state import State

FACTOR = 2.0
"""A step is off the track if its data term is more than this many times the least so far, or
that of an earlier fit at the same step."""

PATIENCE = 20
"""Number of consecutive steps off the track that end a fit."""

FLOOR = 1e-4
"""Data terms below this fraction of the first step's are treated as noise of the optimiser."""

Track = Sequence[float]
"""The data term at each step of an earlier fit of the same problem."""


def off_track(s: State, data: Tensor, tracks: Mapping[int, Track]) -> Tensor:
    """Count the consecutive steps off the track; return whether they are too many, `(G,)`.

    Methods that follow their own output jump now and then: the data term grows tenfold within a few
    steps, the image loses several decibels, and nothing becomes NaN.

    Args:
        s: the state; the count is kept in it, and with it in a checkpoint.
        data: the data term of this step, `(G,)`.
        tracks: the caller's number of a problem -> its track. A problem without one is compared
            with its own smallest data term so far, once that is half of the first one: a network
            that was learned elsewhere may begin near the answer, and leave it to come back.

    Returns:
        `(G,)` bool.
    """
    m = s.memory("track")
    if "first" not in m:
        m["first"], m["lowest"], m["off"] = data, data, torch.zeros_like(data)
    own, first = m["lowest"], m["first"]
    given = torch.tensor([row in tracks for row in s.rows], device=data.device)
    earlier = data.new_tensor([_at(tracks.get(row, [0.0]), s.step) for row in s.rows])
    limit = torch.where(given, earlier, own)
    off = (data > FACTOR * limit + FLOOR * first) & (given | (own < first / 2))
    m["off"] = torch.where(off, m["off"] + 1, 0.0)
    m["lowest"] = torch.minimum(own, data)
    return m["off"] >= PATIENCE


def _at(track: Track, step: int) -> float:
    """Return the track's value at a step (from 0); beyond its end, the last value."""
    return float(track[min(step, len(track) - 1)])
