"""Theorem 2: when gradient descent on a linearised network recovers the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from untrained.lab.linear import Array, null_projector, root
from untrained.lab.result import Finding, Lab, LabResult

M, N = 8, 20
"""Measurements and image entries of the cases."""
CASES = ("non-singular", "singular", "singular, x in range")


def regimes(seed: int, full: bool) -> LabResult:
    r"""Theorem 2 (Liang et al., TCI 2025; the tutorial's Theorem 2), with its exact conditions.

    A `(m, n)` of full row rank, Theta = J J^T the kernel, f_0 = 0, y = A x without noise, and
    0 < eta < 2 / ||Theta^(1/2) A^T A Theta^(1/2)||. Gradient descent on the weights converges to

    .. math:: x_\infty = \Theta A^T (A \Theta A^T)^+ y = \Theta^{1/2} (A \Theta^{1/2})^+ y

    1. Theta non-singular: A x_inf = y, so that x_inf - x lies in N(A); x_inf = x exactly where x
       lies in R(Theta A^T). (The paper states a non-zero error where P_N(A) x is not 0; that is
       neither needed nor enough: x in R(Theta A^T) may have such a part and is recovered.)
    2. Theta singular and N(A), R(Theta) meeting in 0 alone: the error depends on the part
       x_N = P_N(Theta) x alone,

       .. math:: x_\infty - x = \Theta^{1/2} (A \Theta^{1/2})^+ A x_N - x_N,\qquad
                 \|x_\infty - x\| \le (1 + \|\Theta^{1/2} (A \Theta^{1/2})^+ A\|)\,\|x_N\|
    3. and x_N = 0 besides: x_inf = x.

    Each case is drawn with random A, J and x, anew where A J is so badly conditioned that the steps
    taken would not reach the limit. Plain gradient descent on the weights of x = J c is run, and
    its end compared with the closed form and with what each case predicts.
    """
    trials, steps = (100, 2500) if full else (6, 1000)
    generator = np.random.default_rng(seed)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*CASES, "in R(Theta A^T)")}
    for _ in range(trials):
        for name in found:
            found[name].append(_trial(name, generator, steps))
    errors = {name: np.array([one["errors"] for one in rows]) for name, rows in found.items()}

    def worst(name: str, key: str) -> float:
        return max(float(one[key]) for one in found[name])

    single = "non-singular"
    findings = [
        Finding(f"{single}: |x_t - closed form| / |x|", worst(single, "limit"), "<=", 1e-3),
        Finding("  part of the error outside N(A) / |x|", worst(single, "outside"), "<=", 1e-3),
        Finding("  least error / |P_N(A) x|, x generic", _least(found[single]), ">=", 1e-3),
        Finding("x in R(Theta A^T): error / |x|", worst("in R(Theta A^T)", "end"), "<=", 1e-3),
        Finding("  although |P_N(A) x| / |x| is at least", _hidden(found), ">=", 1e-3),
        Finding("singular: error / predicted error", _ratio(found["singular"]), "=", 1.0),
        Finding("  other x of the same x_N: change", worst("singular", "change"), "<=", 1e-3),
        Finding("  error / bound, largest", worst("singular", "bound"), "<=", 1.0),
        Finding("x_N = 0 besides: error / |x|", worst(CASES[2], "end"), "<=", 1e-3),
    ]
    times = np.unique(np.geomspace(1, steps, 120).astype(int))
    curves = {"step": times} | {
        f"error, {name}": errors[name][:, times - 1].mean(0) for name in found
    }

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        for name in found:
            axes[0].loglog(times, curves[f"error, {name}"], label=name)
        axes[0].set(xlabel="step", ylabel="|x_t - x| / |x|", title="four cases, means")
        axes[0].legend(fontsize=8)
        rows = found["singular"]
        axes[1].scatter([r["predicted"] for r in rows], [r["end"] for r in rows], s=12)
        axes[1].axline((0, 0), slope=1, color="grey", lw=0.8)
        axes[1].set(xlabel="predicted from x_N alone", ylabel="found", title="singular kernel")

    arrays = {f"errors of {name}": values for name, values in errors.items()}
    return LabResult(findings, arrays, curves, draw)


def _trial(name: str, generator: np.random.Generator, steps: int) -> dict[str, Any]:
    """Draw a case, run gradient descent on the weights, and measure what the case predicts."""
    A, J = _draw(M - 2 if name.startswith("singular") else N, generator)
    theta = J @ J.T
    x = generator.standard_normal(N)
    if name == "in R(Theta A^T)":
        x = theta @ A.T @ generator.standard_normal(M)
    inside = np.eye(N) - null_projector(theta)
    if name == CASES[2]:
        x = inside @ x
    recover = root(theta) @ np.linalg.pinv(A @ root(theta), rcond=1e-8)
    closed = recover @ A @ x
    hidden = x - inside @ x
    predicted = recover @ A @ hidden - hidden
    path = descend(A, J, A @ x, steps)
    size, end = np.linalg.norm(x), path[-1]
    other = x + inside @ generator.standard_normal(N)  # of the same part in N(Theta)
    change = (recover @ A @ other - other) - (recover @ A @ x - x)
    bound = (1 + np.linalg.norm(recover @ A, 2)) * np.linalg.norm(hidden)
    error = end - x
    return {
        "errors": np.linalg.norm(path - x, axis=1) / size,
        "end": np.linalg.norm(error) / size,
        "limit": np.linalg.norm(end - closed) / size,
        "outside": np.linalg.norm(error - null_projector(A) @ error) / size,
        "unseen": np.linalg.norm(null_projector(A) @ x) / size,
        "predicted": np.linalg.norm(predicted) / size,
        "change": np.linalg.norm(change) / size,
        "bound": np.linalg.norm(error) / bound if np.linalg.norm(hidden) > 1e-9 * size else 0.0,
    }


def _draw(rank: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Draw A `(m, n)` and J `(n, 2 n)` of some rank until A J has a condition number below 9."""
    while True:
        A = _conditioned(generator.standard_normal((M, N)))
        J = _conditioned(generator.standard_normal((N, rank))) @ _conditioned(
            generator.standard_normal((rank, 2 * N))
        )
        values = np.linalg.svd(A @ J, compute_uv=False)[: min(M, rank)]
        if values[0] < 9 * values[-1]:
            return A, J


def _conditioned(matrix: Array) -> Array:
    """Return the matrix with its singular values moved into [1, 2], so that descent is quick."""
    U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
    return (U * np.linspace(2, 1, len(s))) @ Vt


def descend(A: Array, J: Array, y: Array, steps: int) -> Array:
    """Run gradient descent on ||A J c - y||^2 / 2 from c = 0; return x_t = J c_t, `(steps, n)`."""
    operator = A @ J
    eta = 1.9 / np.linalg.norm(operator, 2) ** 2
    c, path = np.zeros(J.shape[1]), np.empty((steps, J.shape[0]))
    for t in range(steps):
        c = c - eta * operator.T @ (operator @ c - y)
        path[t] = J @ c
    return path


def _least(rows: list[dict[str, Any]]) -> float:
    return min(float(one["end"] / one["unseen"]) for one in rows)


def _hidden(found: dict[str, list[dict[str, Any]]]) -> float:
    return min(float(one["unseen"]) for one in found["in R(Theta A^T)"])


def _ratio(rows: list[dict[str, Any]]) -> float:
    """Return the ratio found / predicted that is furthest from 1."""
    ratios = np.array([one["end"] / one["predicted"] for one in rows])
    return float(ratios[np.argmax(np.abs(ratios - 1))])


LAB = Lab(
    "theorem-2",
    "Three regimes of exact recovery, and the error that the kernel's null space leaves",
    "Liang et al., TCI 2025; tutorial, Theorem 2, corrected",
    regimes,
)
