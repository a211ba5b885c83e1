"""Theorems 2.1 and 2.2 of ES-DIP: the windowed moving variance of a linearised run."""

from __future__ import annotations

from typing import Any

import numpy as np

from untrained.lab.generator import gaussian_taps, singular_values, trigonometric_basis
from untrained.lab.result import Finding, Lab, LabResult
from untrained.lab.signals import square_signal

Array = np.ndarray
SIGMA = 0.2


def es_dip(seed: int, full: bool) -> LabResult:
    r"""Theorems 2.1 and 2.2 of Wang et al. (TMLR 2023), of the linearised network.

    With singular vectors w_i and values s_i of J, c_i = <w_i, y - f_0> and
    r_i = 1 - eta s_i^2, component i of the image is c_i (1 - r_i^t) (f_0 left out), and the
    variance of a window of W iterates from t on is

    .. math:: \mathrm{VAR}(t) = \sum_i c_i^2 r_i^{2t} C_i,\qquad
              C_i = \frac{1 - r_i^{2W}}{W (1 - r_i^2)}
                    - \Big(\frac{1 - r_i^W}{W (1 - r_i)}\Big)^2 \ge 0

    (2.1) For eta <= 1 / s_max^2 it falls monotonically in t. So a run whose moving variance turns
    up again has left the linear regime: on a linearised network ES-WMV never ends.

    (2.2) For y = x + n, x in the span of the p leading vectors, a network within epsilon of its
    linearisation,

    .. math:: \mathrm{VAR} \le \frac{12}{W}\|x\|^2
              \frac{(1 - \eta s_p^2)^{2t}}{1 - (1 - \eta s_p^2)^2}
              + 12 \sum_i \big((1 - \eta s_i^2)^{t+W-1} - 1\big)^2 \langle w_i, n\rangle^2
              + 12\,\epsilon^2 \|y\|^2

    Here epsilon = 0. Checked on noisy signals: the closed form against the variance of iterates
    made one after the other, monotony, and the bound, over trials of another signal, noise and
    kernel. The bound is far from tight: how far is reported.
    """
    n, trials, steps = (64, 100, 600) if full else (32, 10, 200)
    generator = np.random.default_rng(seed)
    windows = (5, 20, 100) if full else (5, 20)
    gaps, rises, ratios = [], [], []
    curves: dict[str, Array] = {"step": np.arange(steps)}
    for trial in range(trials):
        s = singular_values(gaussian_taps(n, generator.uniform(1.0, 4.0)))
        basis = trigonometric_basis(n)
        p = int(generator.integers(4, n // 2))
        x = _low_rank(basis, s, p, np.roll(square_signal(n), int(generator.integers(n))))
        noise = SIGMA * generator.standard_normal(n)
        eta = generator.uniform(0.2, 1.0) / s.max() ** 2
        c = basis.T @ (x + noise)
        for W in windows:
            found = moving_variance(iterates(c, s, eta, steps + W), W)[:steps]
            predicted = variance(c, s, eta, W, np.arange(steps))
            above = bound(x, basis.T @ noise, s, p, eta, W, np.arange(steps))
            gaps.append(np.abs(found - predicted).max() / predicted.max())
            rises.append(np.diff(found).max() / found.max())
            ratios.append((found / above).max())
            if trial == 0:
                curves |= {f"variance, W={W}": found, f"bound, W={W}": above}
    findings = [
        Finding("closed form against iterates, relative gap", max(gaps), "<=", 1e-9),
        Finding("largest rise of the variance, relative", max(max(rises), 0.0), "<=", 1e-12),
        Finding(
            "share of trials within the bound", float(np.mean(np.array(ratios) <= 1)), ">=", 1.0
        ),
        Finding("variance / bound, largest", max(ratios), "<=", 1.0),
        Finding("  median of the runs' largest", float(np.median(ratios))),
    ]

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        for W in windows:
            (line,) = axes[0].semilogy(curves[f"variance, W={W}"], label=f"W = {W}")
            axes[0].semilogy(curves[f"bound, W={W}"], "--", color=line.get_color())
        axes[0].set(
            xlabel="first step of the window", title="moving variance and its bound (dashed)"
        )
        axes[0].legend(fontsize=8)
        axes[1].hist(np.log10(ratios), bins=20)
        axes[1].set(xlabel="log10 of variance / bound", title="closest approach of each run")

    arrays = {"gaps": np.array(gaps), "rises": np.array(rises), "ratios": np.array(ratios)}
    return LabResult(findings, arrays, curves, draw)


def _low_rank(basis: Array, s: Array, p: int, x: Array) -> Array:
    """Project x onto the span of the p vectors of the largest singular values."""
    leading = basis[:, np.argsort(-s)[:p]]
    return leading @ (leading.T @ x)


def iterates(c: Array, s: Array, eta: float, steps: int) -> Array:
    """Return the coefficients of x_t, t = 0 ... steps - 1, by the recursion, `(steps, n)`."""
    x, path = np.zeros_like(c), np.empty((steps, len(c)))
    for t in range(steps):
        path[t] = x
        x = x + eta * s**2 * (c - x)
    return path


def moving_variance(path: Array, W: int) -> Array:
    """Return 1/W sum |x_(t+w) - mean|^2 for each window of W rows."""
    windows = np.lib.stride_tricks.sliding_window_view(path, W, axis=0)
    found: Array = ((windows - windows.mean(-1, keepdims=True)) ** 2).sum(1).mean(-1)
    return found


def variance(c: Array, s: Array, eta: float, W: int, t: Array) -> Array:
    """Return VAR(t) in closed form (Theorem 2.1)."""
    r = 1 - eta * s**2
    # sums instead of the quotients, which are 0 / 0 where a component does not move
    powers = r ** np.arange(W)[:, None]
    C = (powers**2).mean(0) - powers.mean(0) ** 2
    found: Array = (c**2 * C * r ** (2 * t[:, None])).sum(1)
    return found


def bound(x: Array, noise: Array, s: Array, p: int, eta: float, W: int, t: Array) -> Array:
    """Return the right-hand side of Theorem 2.2 with epsilon = 0; `noise`: its coefficients."""
    least = np.sort(s)[::-1][p - 1]
    r = 1 - eta * least**2
    signal = 12 / W * (x @ x) * r ** (2 * t) / (1 - r**2)
    fitted = ((1 - eta * s**2) ** (t[:, None] + W - 1) - 1) ** 2
    found: Array = signal + 12 * (fitted * noise**2).sum(1)
    return found


LAB = Lab(
    "es-dip",
    "The moving variance of ES-WMV: monotone on a linear network, and bounded",
    "Wang et al., TMLR 2023, Theorems 2.1 and 2.2",
    es_dip,
)
