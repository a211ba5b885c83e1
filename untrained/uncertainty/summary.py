"""Say of an image how sure it is: intervals, and what held-out measurements say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

Value = float | int | bool | str | None


@dataclass(frozen=True)
class Uncertainty:
    """Hold how an error bar was found and what became of it.

    Attributes:
        method: `ensemble`, `sgld` or `linearised`.
        level: the nominal coverage of the intervals.
        factor: c, the scale of the method's standard deviation.
        quantile: q, half the interval's width in calibrated standard deviations.
        noise: sigma that was used, in the units of the measurements.
        guaranteed: whether the conformal promise holds for the data space; False where there were
            too few units, and the plain quantile was taken.
        coverage_heldout: share of test measurements within their interval.
        coverage_raw: the same for plus or minus z c0 s without any calibration: factor 1, the
            Gaussian quantile of the level.
        chi_square: mean of r^2 / s^2 over the test measurements, calibrated; 1 is right.
        chi_square_fit: mean of r^2 / sigma^2 over what was fitted; below 1 it fits noise.
        measured_share: share of the image's variance that the measurements speak to, see
            `measured.measured_part`; None for a nonlinear operator.
        units: how many units calibrated and tested.
        reference: coverage against the reference, where there is one; see `against`.
        settings: of the method.
        facts: what it found itself.
    """

    method: str
    level: float
    factor: float
    quantile: float
    noise: float
    guaranteed: bool
    coverage_heldout: float
    coverage_raw: float
    chi_square: float
    chi_square_fit: float | None
    measured_share: float | None
    units: Mapping[str, int] = field(default_factory=dict)
    reference: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Value] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `result.json`."""
        return {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in vars(self).items()
        }


def gaussian_quantile(level: float) -> float:
    """Return z with P(|N(0, 1)| <= z) = level."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))


def join(each: Sequence[Uncertainty | None]) -> Uncertainty | None:
    """Average what several images were told; None where one of them has none."""
    known = [one for one in each if one is not None]
    if not known or len(known) < len(each):
        return None
    if len(known) == 1:
        return known[0]

    def mean(values: Sequence[float | None]) -> float | None:
        found = [value for value in values if value is not None]
        return sum(found) / len(found) if len(found) == len(values) else None

    numbers = (
        *("factor", "quantile", "noise", "coverage_heldout", "coverage_raw", "chi_square"),
        *("chi_square_fit", "measured_share"),
    )
    changed: dict[str, Any] = {n: mean([getattr(one, n) for one in known]) for n in numbers}
    for table in ("units", "reference", "facts"):
        rows = [getattr(one, table) for one in known]
        changed[table] = {
            name: sum(row.get(name, math.nan) for row in rows) / len(rows) for name in rows[0]
        }
    return replace(known[0], guaranteed=all(one.guaranteed for one in known), **changed)


def against(
    truth: Tensor, image: Tensor, std: Tensor, half: Tensor, level: float
) -> dict[str, float]:
    """Compute the coverage of a reference before and after calibration.

    Args:
        truth, image: `(G, C, ...)`; NaN in the truth is left out, and so is what has no spread.
        std: the method's own, uncalibrated.
        half: half of the calibrated interval's width.
        level: nominal.

    Returns:
        `before`, `after`: shares of the entries within the interval.
    """
    counted = truth.isfinite() & (std > 0)
    error = (image - truth).abs()[counted]
    z = gaussian_quantile(level)
    return {
        "before": float((error <= z * std[counted]).double().mean()),
        "after": float((error <= half[counted]).double().mean()),
    }
