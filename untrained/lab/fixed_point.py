"""aSeqDIP's remark on its limit: the fixed point z = f(z), and whether it solves Eq. (6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.data.phantoms import brain
from untrained.lab.result import Finding, Lab, LabResult
from untrained.methods.aseqdip import ASeqDIP
from untrained.methods.dip import DIP
from untrained.nets import Compact
from untrained.physics import Denoise
from untrained.problem import Problem
from untrained.rules.watch import Reference
from untrained.solver.procedure import solve_recipe

Array = np.ndarray
SIGMA = 0.15
LAM = 1.0


def fixed_point(seed: int, full: bool) -> LabResult:
    r"""Remark 3.1 of aSeqDIP (Alkhouri, Liang et al., NeurIPS 2024), and what holds of it.

    theta_k minimises ||A f(z_{k-1}) - y||^2 + lambda ||f(z_{k-1}) - z_{k-1}||^2, then z_k is
    f(z_{k-1}). The remark says: if z_k and theta_k converge, the limit has z* = f(z*) and solves

    .. math:: \min_\theta \|A f_\theta(z) - y\|^2 \quad\text{subject to}\quad z = f_\theta(z)
              \tag{6}

    The first half follows from continuity. The second does not. At a fixed point the gradient of
    the autoencoding term is 0, so that what is left of the inner problem is

    .. math:: J^T A^T (A z^* - y) = 0, \qquad J = \partial_\theta f_\theta(z^*),

    while a minimum of (6), where z moves with theta by (I - d_z f)^{-1} J, needs

    .. math:: J^T (I - \partial_z f)^{-T} A^T (A z^* - y) = 0.

    The two agree where J has full row rank: then A^T (A z* - y) = 0, the misfit is the least of
    all, and with it the noise is fitted: for such a network a limit is the end of the overfitting,
    not a guard against it. Elsewhere a limit need not solve (6).

    Checked exactly on f(z) = U a + b D z, D a smoothing matrix, two columns U and three weights,
    with inner problems solved to the end: draws that converge, their two conditions, and the misfit
    of the limit over the least misfit of (6), found by another solver. On f(z) = theta + z / 2,
    whose J has full rank, the limit fits y. Then on a convolutional network by Adam, noise removal:
    ||f(z) - z|| and the misfit against k, beside lambda = 0 and DIP, and the steps after which the
    best PSNR is lost by 1 dB. The paper says nothing of a rate; none is claimed.
    """
    draws = 40 if full else 2
    limits = [Limit.draw(np.random.default_rng([seed, i])) for i in range(draws)]
    there = [one for one in limits if one.converged]
    small = [one for one in there if one.gradient < 1e-3]
    ratios = np.array([one.ratio for one in there])
    fits = free_limit(np.random.default_rng(seed))
    size, steps = (48, 4000) if full else (16, 30)
    runs = real_runs(size, steps, seed)
    sequential = runs[f"aSeqDIP, lambda {LAM:g}"]
    distance, misfit = sequential["distance"], sequential["misfit"]
    lost = {name: steps_to_lose(columns["psnr"]) for name, columns in runs.items()}
    findings = [
        Finding("share of draws that converge", len(there) / draws),
        Finding("limits: |f(z) - z| / |z|, worst", max(one.distance for one in there), "<=", 1e-8),
        Finding("  |J^T A^T r| / |J| |A^T r|, worst", max(o.inner for o in there), "<=", 1e-6),
        Finding("  share with a gradient of Eq. (6) below 1e-3", len(small) / len(there)),
        Finding("  misfit over the least of Eq. (6), least", float(ratios.min()), ">=", 0.999),
        Finding("  the same, median", float(np.median(ratios))),
        Finding("J of full rank: misfit of the limit / |y|^2", fits, "<=", 1e-8),
        Finding("network: |f(z) - z| / |z| after the first step", float(distance[0])),
        Finding("  after the last", float(distance[-1]), "<=", float(distance[0])),
        Finding("  misfit / noise energy after the last", float(misfit[-1])),
    ]
    for name, columns in runs.items():
        findings.append(
            Finding(f"{name}: step of the best PSNR", float(columns["psnr"].argmax() + 1))
        )
        findings.append(Finding("  best PSNR", float(columns["psnr"].max())))
        findings.append(Finding("  steps until 1 dB is lost (0: not lost)", float(lost[name])))
    if lost["DIP"] and full:
        slower = (lost[f"aSeqDIP, lambda {LAM:g}"] or steps) / lost["DIP"]
        findings.append(Finding("aSeqDIP loses 1 dB later than DIP, times (at least)", slower))

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 3)
        axes[0].hist(np.log10(np.maximum(ratios, 1.0)), bins=15)
        axes[0].set(xlabel="log10 misfit of the limit / least of Eq. (6)", title="exact cases")
        axes[1].loglog(range(1, steps + 1), distance, label="|f(z) - z| / |z|")
        axes[1].loglog(range(1, steps + 1), misfit, label="misfit / noise energy")
        axes[1].set(xlabel="step", title="aSeqDIP on a network")
        axes[1].legend(fontsize=8)
        for name, columns in runs.items():
            axes[2].semilogx(range(1, steps + 1), columns["psnr"], label=name)
        axes[2].set(xlabel="step", title="PSNR, dB")
        axes[2].legend(fontsize=8)

    curves = {"step": np.arange(1, steps + 1)} | {
        f"{name}: {column}": values
        for name, columns in runs.items()
        for column, values in columns.items()
    }
    return LabResult(findings, {"misfit ratio": ratios}, curves, draw)


@dataclass(frozen=True)
class Limit:
    """Hold what became of aSeqDIP on f(z) = U a + b D z.

    Attributes:
        converged: whether z_k came to rest.
        distance: |f(z) - z| / |z|.
        inner: |J^T A^T r| / (|J| |A^T r|), r = A z - y.
        gradient: the same with (I - b D)^{-1} J: of Eq. (6).
        ratio: the misfit over the least misfit of Eq. (6).
    """

    converged: bool
    distance: float
    inner: float
    gradient: float
    ratio: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Limit:
        """Draw A, U and y, iterate to the end, and compare with Eq. (6)."""
        n, m = 24, 12
        A = generator.standard_normal((m, n)) / m**0.5
        D, U = smoothing(n), generator.standard_normal((n, 2))
        phase = 2 * np.pi * np.arange(n) / n
        y = A @ (np.sin(2 * phase) + 0.5 * np.cos(phase)) + 0.1 * generator.standard_normal(m)
        z, weights, converged = A.T @ y, np.zeros(3), False
        for _ in range(5000):
            J = np.column_stack([U, D @ z])
            both = np.vstack([A @ J, LAM**0.5 * J]), np.concatenate([y, LAM**0.5 * z])
            weights = np.linalg.lstsq(*both, rcond=None)[0]
            new = J @ weights
            converged = bool(np.linalg.norm(new - z) <= 1e-11 * np.linalg.norm(z))
            z = new
            if converged:
                break
        J, r = np.column_stack([U, D @ z]), A.T @ (A @ z - y)
        moved = np.linalg.solve(np.eye(n) - weights[2] * D, J)
        distance = np.linalg.norm(J @ weights - z) / np.linalg.norm(z)
        best = least_misfit(A, U, D, y, weights)
        ratio = float(((A @ z - y) ** 2).sum()) / best
        return cls(converged, float(distance), _along(J, r), _along(moved, r), ratio)


def _along(J: Array, r: Array) -> float:
    """Return |J^T r| / (|J| |r|), spectral norms."""
    return float(np.linalg.norm(J.T @ r) / (np.linalg.norm(J, 2) * np.linalg.norm(r)))


def smoothing(n: int) -> Array:
    """Return a circulant matrix of a Gaussian of one sample, rows of sum 1, `(n, n)`."""
    distance = np.minimum(np.arange(n), n - np.arange(n))
    first = np.exp(-0.5 * distance**2)
    first /= first.sum()
    return np.stack([np.roll(first, i) for i in range(n)])


def least_misfit(A: Array, U: Array, D: Array, y: Array, limit: Array) -> float:
    """Return the least misfit of Eq. (6) on f(z) = U a + b D z that is found, from several starts.

    For fixed b the constraint gives z = (I - b D)^{-1} U a, linear in a: one number is searched.
    """
    eye = np.eye(len(D))

    def misfit(b: Array) -> float:
        shown = A @ np.linalg.solve(eye - b[0] * D, U)
        a = np.linalg.lstsq(shown, y, rcond=None)[0]
        return float(((shown @ a - y) ** 2).sum())

    starts = [limit[2], -0.9, 0.0, 0.5, 0.9, 1.1]
    return min(float(minimize(misfit, [b], method="Nelder-Mead").fun) for b in starts)


def free_limit(generator: np.random.Generator) -> float:
    """Return the misfit over |y|^2 of the limit of aSeqDIP on f(z) = theta + z / 2."""
    n, m = 16, 8
    A = generator.standard_normal((m, n)) / m**0.5
    y = generator.standard_normal(m)
    z = A.T @ y
    for _ in range(2000):  # each f(z) is free: the minimiser of |A f - y|^2 + lambda |f - z|^2
        z = np.linalg.solve(A.T @ A + LAM * np.eye(n), A.T @ y + LAM * z)
    return float(((A @ z - y) ** 2).sum() / (y @ y))


def real_runs(size: int, steps: int, seed: int) -> dict[str, dict[str, Array]]:
    """Remove noise from a phantom by aSeqDIP, with lambda = 0 and by DIP; columns at every step.

    Returns:
        Run -> `psnr` in dB, `misfit` over the noise's energy, and of aSeqDIP `distance`,
        |f(z) - z| / |z|.
    """
    x = np.abs(brain(size)).astype(np.float32)
    noise = SIGMA * np.random.default_rng(seed).standard_normal(x.shape).astype(np.float32)
    y = torch.from_numpy(x + noise)[None, None]
    problem = Problem(y, Denoise((1, size, size)))
    truth = torch.from_numpy(x)[None, None]
    methods: dict[str, Method] = {
        "DIP": DIP(steps, jitter=0.0),
        "aSeqDIP, lambda 0": ASeqDIP(steps // 2, 2, 0.0),
        f"aSeqDIP, lambda {LAM:g}": ASeqDIP(steps // 2, 2, LAM),
    }
    energy = float((noise**2).mean())
    scale = float(problem.from_units(y).square().mean() / y.square().mean())
    found: dict[str, dict[str, Array]] = {}
    for name, method in methods.items():
        recipe = Recipe(method, Compact(widths=(16, 32, 32)), Engine("adam", lr=0.003))
        fit = solve_recipe(recipe, problem, seed=seed, watch=[Reference(truth, 1.0)])
        history = {
            key: np.array(values, float) for key, values in fit.history.items() if key != "phase"
        }
        found[name] = {"psnr": history["psnr"], "misfit": history["data"] / scale / energy}
        if name == f"aSeqDIP, lambda {LAM:g}":
            size_of_z = float(problem.from_units(fit.image).square().mean())
            found[name]["distance"] = np.sqrt(history["autoencoding"] / LAM / size_of_z)
    return found


def steps_to_lose(values: Array, loss: float = 1.0) -> int:
    """Return the first step from 1 at which the best so far is lost by `loss` dB; 0 = never."""
    below = np.flatnonzero(values <= np.maximum.accumulate(values) - loss)
    late = below[below > values.argmax()]
    return int(late[0]) + 1 if len(late) else 0


LAB = Lab(
    "aseqdip-limit",
    "What the limit of aSeqDIP solves: its fixed point, Eq. (6), and when it overfits",
    "aSeqDIP: Alkhouri, Liang et al., NeurIPS 2024, Remark 3.1",
    fixed_point,
)
