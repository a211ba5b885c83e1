"""Find electrodes whose order differs between currents, voltages and the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from untrained.errors import UserError
from untrained.physics.eit import EIT

BETTER = 1.5
"""Times that 1 - correlation^2 must fall to take another order for the right one (docs/eit.md)."""
POOR = 0.8
"""Correlation with a homogeneous body below which voltages are doubted."""
OPPOSITE = -0.5
"""Correlation below which they are those of a body, of opposite sign."""
REFUSED = 0.5
"""Correlation below which another order that fits is no longer a note but an error."""

SIGN = (
    "the voltages have the opposite sign of a conducting body's: currents are positive where they "
    "enter it, and a voltage is the first electrode's minus the second's; turn the sign of "
    "injections or of patterns"
)
NO_BODY = (
    "the voltages are not those of a conducting body on this mesh: their correlation with a "
    "homogeneous one is {:.2f}; the rows of injections, the rows of patterns and the electrodes of "
    "the mesh must be in the same order, and the columns of the voltages in that of the injections"
)
OTHER_ORDER = (
    "{}: with {} the correlation of the voltages with those of a homogeneous body is {:.3f}, as "
    "they are it is {:.3f}; injections, patterns and mesh must have the electrodes in one order"
)
DOUBTED = (
    "the correlation of the voltages with those of a homogeneous body is {:.2f} only; check the "
    "mesh, the order of the electrodes, and whether each has contact"
)
APART = "the rows of injections and of patterns seem to be in different orders"
SEEM = {
    "both": "the rows of injections and of patterns seem to be in another order than the mesh's",
    "injections": APART,
    "patterns": APART,
}


class Order(NamedTuple):
    """Another order of some rows: which ones, in words, and its correlation."""

    rows: str
    change: str
    fit: float


def check_order(physics: EIT, values: np.ndarray) -> tuple[str, ...]:
    """Compare voltages `(M, I)` with those of a homogeneous body, in this order and in others.

    Returns:
        A note where another order fits clearly better, or none fits well.

    Raises:
        UserError: they are of opposite sign, or of no body on this mesh in this order.
    """
    seen = np.ones(values.shape, bool)
    if physics.mask is not None:
        seen = physics.mask[0, 0].numpy() > 0
    fit = correlation(physics.voltages(np.ones(len(physics.mesh.elements))), values, seen)
    other = best_order(physics, values, seen)
    if other.fit > POOR and 1 - fit * abs(fit) > BETTER * (1 - other.fit**2):
        change = other.change if other.rows == "both" else f"{other.change} in {other.rows}"
        found = OTHER_ORDER.format(SEEM[other.rows], change, other.fit, fit)
        if fit < REFUSED:
            raise UserError(found)
        return (found,)
    if fit <= OPPOSITE:
        raise UserError(SIGN)
    if fit <= 0:
        raise UserError(NO_BODY.format(fit))
    return (DOUBTED.format(fit),) if fit < POOR else ()


def best_order(physics: EIT, values: np.ndarray, seen: np.ndarray) -> Order:
    """Find the order of rows whose homogeneous body is nearest to voltages `(M, I)`.

    Tried are two electrodes exchanged, all moved by some places, and all in reverse: of injections,
    of patterns or of both.
    """
    count = len(physics.mesh.electrodes)
    # voltages of all electrodes for a unit current into each that leaves at the last
    transfer = np.zeros((count, count))
    transfer[:-1, :-1] = physics.fields(np.ones(len(physics.mesh.elements))).voltages
    weights = physics.patterns - physics.patterns.mean(axis=0)
    best = Order("both", "", -1.0)
    for change, order in _orders(count):
        for rows in SEEM:
            currents = physics.injections if rows == "patterns" else physics.injections[order]
            probed = weights if rows == "injections" else weights[order]
            fit = correlation(probed.T @ transfer @ currents, values, seen)
            if fit > best.fit:
                best = Order(rows, change, fit)
    return best


def _orders(count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield orders of electrodes other than 0 to count - 1, in words and as indices."""
    plain = np.arange(count)
    for a, b in combinations(range(count), 2):
        order = plain.copy()
        order[[a, b]] = b, a
        yield f"electrodes {a + 1} and {b + 1} exchanged", order
    for turn in range(1, count):
        yield f"all moved by {turn}", np.roll(plain, turn)
    for turn in range(count):
        moved = f", then moved by {turn}" if turn else ""
        yield f"their order reversed{moved}", np.roll(plain[::-1], turn)


def correlation(model: np.ndarray, values: np.ndarray, seen: np.ndarray) -> float:
    """Compute <u, v> / (||u|| ||v||) over the entries that are `seen`, all `(M, I)`."""
    u, v = model[seen], values[seen]
    size = float(np.sqrt((u * u).sum() * (v * v).sum()))
    return float((u * v).sum()) / size if size > 0 else 0.0
