r"""Split-conformal calibration: intervals whose width is found on measurements never fitted.

A residual of measurement j is what the image predicts minus what was measured,
:math:`r_j = (A \hat x - y)_j`; its spread is :math:`s_j^2 = c^2 v_j + \sigma^2`, v_j the variance
that a method gives the prediction, sigma the noise and c a factor. Two steps, on two sets:

1. `fit_scale` finds c on what chose the step. sigma, where it is not known, is the root mean
   square of what the fit leaves of its own measurements.
2. `conformal_factor` finds q, the quantile of :math:`|r_j| / s_j` on what calibrates.

The interval :math:`\hat y_j \pm q s_j` then holds a new measurement with the stated probability, if
its unit and those that calibrated are exchangeable, whatever method, network or noise (Vovk,
Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005; Lei et al., "Distribution-Free
Predictive Inference for Regression", JASA 2018). The same c and q scale the spread of the image,
for which there is no such guarantee.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

SMALLEST, LARGEST = 1e-2, 1e3
"""Bounds of the factor c: a spread that says nothing cannot be blown up without end."""


@dataclass(frozen=True)
class Scale:
    """Hold what turns a method's spread into that of a residual.

    Attributes:
        factor: c, of the method's standard deviation.
        noise: sigma, of the measurements, in their units.
    """

    factor: float
    noise: float

    def spread(self, variance: Tensor) -> Tensor:
        """Compute s = sqrt(c^2 v + sigma^2) of residuals from the method's variances v."""
        return (self.factor**2 * variance + self.noise**2).sqrt()


@dataclass(frozen=True, eq=False)
class Groups:
    """Hold squares of Gaussian numbers with their variances up to two unknowns.

    Attributes:
        squares: mean square of each group, `(k,)`.
        variances: v of each group, `(k,)`.
        counts: how many numbers are in each, `(k,)`.
    """

    squares: Tensor
    variances: Tensor
    counts: Tensor


def most_likely(groups: Groups, noise: float | None) -> tuple[float, float]:
    r"""Find (w, sigma) by maximum likelihood: the numbers are :math:`N(0, w v_j + \sigma^2)`.

    Args:
        groups: the numbers; their squares are not all zero, nor are the v.
        noise: sigma where it is known; None: found as well.
    """
    r2, v, n = (t.double().cpu().numpy() for t in (groups.squares, groups.variances, groups.counts))
    total, mean = (float((one * n).sum() / n.sum()) for one in (r2, v))

    def cost(parameters: np.ndarray) -> float:
        # beyond these the likelihood is flat, and the search would run away
        p = np.clip(parameters, middle - 60, None)
        spread = np.exp(p[0]) * v + (np.exp(p[1] - shift) if noise is None else noise**2)
        spread = np.maximum(spread, 1e-12 * total)
        return float((n * (np.log(spread) + r2 / spread)).sum() / n.sum())

    middle, level = math.log(total / mean), math.log(total)
    shift = middle - level
    starts = [[middle + step] for step in (0.0, -3.0, 3.0)]
    if noise is None:
        starts = [[middle + a, middle + b] for a, b in ((0, -3), (-3, 0), (-0.7, -0.7), (3, -6))]
    options = {"xatol": 1e-4, "fatol": 1e-9, "maxiter": 2000}
    found = [minimize(cost, x, method="Nelder-Mead", options=options) for x in starts]
    best = min(found, key=lambda one: one.fun).x
    sigma = math.exp((best[1] - shift) / 2) if noise is None else noise
    return math.exp(max(best[0], middle - 60)), sigma


def fit_scale(residual: Tensor, variance: Tensor, units: Tensor, noise: float) -> Scale:
    r"""Find c so that the mean square of residuals is what the spread says.

    .. math:: c^2\, \overline{v} + \sigma^2 = \overline{r^2} + \mathrm{se}(\overline{r^2})

    One standard error is added, so that noise which happens to be small does not pass for a good
    image: where sigma is most of the residual, little can be told of the image's share.

    Args:
        residual: `(m,)`, of measurements that no fit saw.
        variance: v, `(m,)`.
        units: the unit of each, `(m,)`; what goes together counts once for the standard error.
        noise: sigma.
    """
    _, place, counts = torch.unique(units, return_inverse=True, return_counts=True)
    squares = residual.double().square()
    each = torch.zeros(len(counts), dtype=squares.dtype, device=squares.device)
    each = each.index_add(0, place, squares) / counts
    error = float(each.std()) / math.sqrt(len(each)) if len(each) > 1 else 0.0
    left = max(0.0, float(squares.mean()) + error - noise**2)
    mean = float(variance.double().mean())
    factor = math.sqrt(left / mean) if mean > 0 else 1.0
    return Scale(min(max(factor, SMALLEST), LARGEST), noise)


def conformal_factor(scores: Tensor, units: Tensor, level: float) -> tuple[float, bool]:
    r"""Find q: the quantile of the scores |r| / s that makes intervals hold at the level.

    With K units of n_k scores each, every score weighs :math:`1 / ((K + 1) n_k)` and infinity
    :math:`1 / (K + 1)`, for the unit to come; q is the quantile at the level of that distribution.
    With single scores as units it is the usual one, the :math:`\lceil (K + 1)\,level \rceil`-th
    smallest, which holds with a probability of at least `level` and below
    `level` + 1 / (K + 1). Units of several scores that depend on each other: Lee, Barber, Willett,
    "Distribution-free inference with hierarchical data" (2023).

    With so few units that infinity alone weighs more than 1 - level, no finite interval is
    guaranteed; then the plain quantile of the scores is taken, and the answer says so.

    Args:
        scores: `(m,)`, at least 0.
        units: the unit of each, `(m,)`.
        level: in (0, 1).

    Returns:
        q, and whether its coverage is guaranteed.
    """
    _, place, counts = torch.unique(units, return_inverse=True, return_counts=True)
    count = len(counts)
    weights = 1.0 / counts.double()[place]
    ordered, order = scores.double().sort()
    reached = weights[order].cumsum(0)
    exact = math.floor((count + 1) * (1 - level) + 1e-9) >= 1
    wanted = (count + 1) * level if exact else count * level
    index = int((reached < wanted - 1e-9).sum())
    return float(ordered[min(index, len(ordered) - 1)]), exact


def coverage(scores: Tensor, factor: float) -> float:
    """Compute the share of scores |r| / s within the interval: at most `factor`."""
    return float((scores <= factor).double().mean())
