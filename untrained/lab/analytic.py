"""Analytic Deep Image Prior: fitting an operator inside a regularised solution."""

from __future__ import annotations

from typing import Any

import numpy as np

from untrained.lab.result import Finding, Lab, LabResult

Array = np.ndarray


def analytic(seed: int, full: bool) -> LabResult:
    r"""Analytic DIP (Dittmer, Kluth, Maass and Otero Baguer, JMIV 2020; Arndt, Inverse Prob. 2022).

    A network of many equal layers that unroll a proximal gradient method solves, in the limit,
    min_x ||B x - y||^2 / 2 + alpha R(x); its weights are the matrix B. DIP then fits B:

    .. math:: \min_B \|A\,x(B) - y\|^2,\qquad
              x(B) = \arg\min_x \tfrac12 \|B x - y\|^2 + \tfrac\alpha2 \|x\|^2

    Two limits are known. (1) Where y lies along one singular vector u of A, gradient descent from
    B = A moves that singular value b of B alone, and as max_b b / (b^2 + alpha) is
    1 / (2 sqrt(alpha)), at b = sqrt(alpha), it ends at

    .. math:: x = \min\Big(\frac{1}{\sigma}, \frac{1}{2\sqrt\alpha}\Big)\langle u, y\rangle\,v

    the "soft TSVD": exact inversion where sigma >= 2 sqrt(alpha), and no more than
    1 / (2 sqrt(alpha)) below, although nothing but the data term is minimised over B. At the start
    it is Tikhonov's filter sigma / (sigma^2 + alpha).

    (2) For any y the images x(B) of all matrices B are those of norm at most
    ||y|| / (2 sqrt(alpha)), so that the minimum over B is Ivanov's regularisation (Arndt)

    .. math:: \min_x \|A x - y\|^2 \quad\text{subject to}\quad
              \|x\| \le \frac{\|y\|}{2\sqrt\alpha}

    which is Tikhonov's solution for another parameter, the one at which the norm is met.

    Checked by gradient descent on the whole matrix B, by derivatives of x(B) that know nothing of
    singular values; Ivanov's solution is found by bisection of Tikhonov's parameter.
    """
    n, steps, trials = (16, 20000, 10) if full else (8, 4000, 2)
    generator, alpha = np.random.default_rng(seed), 0.01
    A = _operator(n, generator)
    U, s, Vt = np.linalg.svd(A)
    paths = [descend(A, U[:, i], alpha, steps if full else 1000) @ Vt[i] for i in range(n)]
    filters = np.stack(paths, axis=1)
    tikhonov, soft = s / (s**2 + alpha), np.minimum(1 / s, 1 / (2 * alpha**0.5))
    gaps, sizes = [], []
    for _ in range(trials):
        y = A @ generator.standard_normal(n) + 0.3 * generator.standard_normal(n)
        limit = np.linalg.norm(y) / (2 * alpha**0.5)
        path = descend(A, y, alpha, steps)
        gaps.append(_distance(path[-1], ivanov(A, y, limit)))
        sizes.append(float(np.linalg.norm(path, axis=1).max() / limit))
    findings = [
        Finding(
            "along a singular vector: start and Tikhonov",
            _distance(filters[0], tikhonov),
            "<=",
            1e-9,
        ),
        Finding(
            "  end and soft TSVD, worst component",
            float(np.abs(filters[-1] / soft - 1).max()),
            "<=",
            0.05,
        ),
        Finding("any y: end and Ivanov's solution, worst", max(gaps), "<=", 0.05),
        Finding("  largest |x| * 2 sqrt(alpha) / |y| of a run", max(sizes), "<=", 1.0 + 1e-9),
    ]
    curves = {
        "singular value": s,
        "filter at the start": filters[0],
        "filter at the end": filters[-1],
        "Tikhonov": tikhonov,
        "soft TSVD": soft,
    }

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        for name, style in (
            ("filter at the start", "o"),
            ("filter at the end", "s"),
            ("Tikhonov", "-"),
            ("soft TSVD", "--"),
        ):
            axes[0].loglog(s, curves[name], style, ms=4, label=name)
        axes[0].set(xlabel="singular value of A", ylabel="amplification", title="filters")
        axes[0].legend(fontsize=8)
        axes[1].plot(filters)
        axes[1].set(xlabel="record (steps, logarithmic)", title="each component over the run")

    return LabResult(findings, {"filters": filters, "A": A}, curves, draw)


def ivanov(A: Array, y: Array, limit: float) -> Array:
    """Return argmin ||A x - y|| subject to ||x|| <= limit, by bisection of Tikhonov's parameter."""
    low, high = -60.0, 20.0  # logarithms
    x = solve(A, y, np.exp(low))
    if np.linalg.norm(x) <= limit:
        return x
    for _ in range(200):
        middle = (low + high) / 2
        x = solve(A, y, np.exp(middle))
        low, high = (middle, high) if np.linalg.norm(x) > limit else (low, middle)
    return x


def _operator(n: int, generator: np.random.Generator) -> Array:
    """Draw a matrix `(n, n)` with singular values from 1 down to 0.05."""
    U, _, Vt = np.linalg.svd(generator.standard_normal((n, n)))
    return (U * np.geomspace(1, 0.05, n)) @ Vt


def solve(B: Array, y: Array, alpha: float) -> Array:
    """Return x(B) = (B^T B + alpha I)^-1 B^T y."""
    found: Array = np.linalg.solve(B.T @ B + alpha * np.eye(B.shape[1]), B.T @ y)
    return found


def descend(A: Array, y: Array, alpha: float, steps: int) -> Array:
    """Minimise ||A x(B) - y||^2 / 2 over B from B = A; return x(B) at about 60 steps, the last too.

    dx = M^-1 (dB^T (y - B x) - B^T dB x), M = B^T B + alpha I, so that the gradient by B is
    (y - B x) p^T - B p x^T with p = M^-1 A^T (A x - y). The step is halved where the objective
    would rise, and grows otherwise.
    """
    B, step, kept = A.copy(), 1.0, []
    eye = alpha * np.eye(A.shape[1])
    records = set(np.unique(np.geomspace(1, steps, 60).astype(int)) - 1)
    x = solve(B, y, alpha)
    value = float(((A @ x - y) ** 2).sum())
    for t in range(steps):
        if t in records:
            kept.append(x)
        p = np.linalg.solve(B.T @ B + eye, A.T @ (A @ x - y))
        gradient = np.outer(y - B @ x, p) - np.outer(B @ p, x)
        while True:
            trial = B - step * gradient
            moved = solve(trial, y, alpha)
            found = float(((A @ moved - y) ** 2).sum())
            if found <= value or step < 1e-12:
                break
            step /= 2
        B, x, value, step = trial, moved, found, 1.5 * step
    return np.array([*kept, x])


def _distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


LAB = Lab(
    "analytic-dip",
    "Analytic DIP: from Tikhonov's filter to the soft TSVD, and to Ivanov's regularisation",
    "Dittmer et al., JMIV 2020; Arndt, Inverse Problems 2022",
    analytic,
)
