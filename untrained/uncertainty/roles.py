"""Divide measurements into those to fit, to stop by, to calibrate with and to test on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.problem import Problem

SHARE = 0.1
"""Share of the units that calibrates, and of those that test."""

LEAST, MOST = 3, 500
"""Fewest and most units of each: three lines of k-space or views; with 500 pixels the coverage of
an interval at 90 % varies by 1.3 % between draws, and few pixels are lost to the fit."""

FEWEST = 4 * LEAST
"""Fewest units that can be divided in four."""


@dataclass(frozen=True)
class Roles:
    """Hold a problem's measurements in four disjoint parts, each of whole units.

    A unit is what only tells something together (`Physics.units`): a pixel, a line of k-space, a
    view. All parts are in the units of `fit`, whose scale was found from itself alone.

    Attributes:
        rest: fit and stop together, as they go to a run, whose stop rule parts them alike.
        fit: what a method fits.
        stop: what chose its step; also what the scale of the spread is found on.
        calibrate: what the width of the intervals is found on.
        test: what tells the coverage, and serves nothing else.
        units: the number of the unit of each measurement, int64, shaped like one measurement.
    """

    rest: Problem
    fit: Problem
    stop: Problem
    calibrate: Problem
    test: Problem
    units: Tensor

    def counts(self) -> dict[str, int]:
        """Count the units that calibrate and that test."""
        parts = {"calibrate": self.calibrate, "test": self.test}
        return {name: len(self.units_of(part).unique()) for name, part in parts.items()}

    def units_of(self, part: Problem) -> Tensor:
        """Return the unit of each measurement of a part, in the order of `entries`."""
        return self.units[visible(part)]

    def entries(self, part: Problem, values: Tensor) -> Tensor:
        """Pick a part's entries of values `(1, ...)` in the space of measurements, `(m,)`."""
        return values[0][visible(part)]


def visible(part: Problem) -> Tensor:
    """Return which entries of one measurement a part sees, bool, shaped like a measurement."""
    seen = torch.ones_like(part.y[0], dtype=torch.bool)
    for mask in (part.physics.sampling_mask(part.y), part.keep):
        seen = seen if mask is None else seen & (mask[0] > 0)
    return seen


def draw_seed(seed: int, name: str) -> int:
    """Derive the seed of a draw by name.

    Noise that was simulated with a seed and positions drawn with the same one are not independent:
    both come from the same uniform numbers.
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def divide(problem: Problem, stop_share: float, seed: int) -> Roles:
    """Divide the measurements of one image.

    The units that calibrate and those that test are drawn at random without any order, so that the
    two are exchangeable, which is what the promise of the intervals stands on. What the stop rule
    holds out is drawn afterwards as the operator likes it (`Problem.split`).

    Args:
        problem: of one image.
        stop_share: share that the stop rule holds out; where it holds none out, a share is kept
            back all the same, since the scale of the spread is found on it.
        seed: names the draw.

    Raises:
        UserError: there are fewer than FEWEST units.
    """
    numbers = problem.physics.units(problem.y).expand(1, *problem.y.shape[1:])[0]
    numbers = numbers.where(visible(problem), -1)
    units = numbers[numbers >= 0].unique()
    if len(units) < FEWEST:
        raise UserError(
            f"calibrated error bars need at least {FEWEST} units of measurements (pixels, lines of "
            f"k-space outside the centre, views), of which some are kept for calibrating and "
            f"testing; this measurement has {len(units)}: leave --uncertainty out (uncertainty= in "
            "Python), and take --seeds for an uncalibrated spread"
        )
    generator = torch.Generator().manual_seed(draw_seed(seed, "roles"))
    drawn = units[torch.randperm(len(units), generator=generator).to(units.device)]
    count = min(max(LEAST, round(SHARE * len(units))), MOST, len(units) // 4)
    calibrate, test = (
        torch.isin(numbers, some)[None] for some in (drawn[:count], drawn[count : 2 * count])
    )
    rest = problem.keeping(~(calibrate | test))
    fit, stop = rest.split(stop_share or 0.05, draw_seed(seed, "stop"))
    # In the units of `fit`, whose scale knows nothing of the others.
    return Roles(
        rest,
        fit,
        stop,
        problem.keeping(calibrate, like=fit),
        problem.keeping(test, like=fit),
        numbers,
    )
