"""Theorem 1: compressed sensing with the two-layer generator, without early stopping."""

from __future__ import annotations

from typing import Any

import numpy as np

from untrained.lab.deep_decoder import decoded
from untrained.lab.generator import (
    Generator,
    dual_kernel,
    gaussian_taps,
    singular_values,
    trigonometric_basis,
)
from untrained.lab.result import Finding, Lab, LabResult

Array = np.ndarray


def compressed(seed: int, full: bool) -> LabResult:
    r"""Theorem 1 of the tutorial: Heckel and Soltanolkotabi, ICML 2020.

    The generator G(C) = ReLU(U C) v has, for many channels k, a Jacobian whose left singular
    vectors w_i are the trigonometric functions, and whose singular values are

    .. math:: \sigma_i = \|u\| \sqrt{\big|F g(u \star u / \|u\|^2)\big|_i},\qquad
              g(z) = \tfrac12 (1 - \arccos(z)/\pi)\, z

    For A `(m, n)` with entries N(0, 1/m), m >= 12, y = A x, gradient descent to convergence from a
    small start gives, with probability 1 - 3 exp(-m/2) over A,

    .. math:: \|G(C_\infty) - x\|^2 \le C \Big(\sum_i \sigma_i^{-2} \langle w_i, x\rangle^2\Big)
              \sum_{i > 2m/3} \sigma_i^2 + \xi^2 \|x\|^2,\qquad k \ge C_u\, m / \xi^8

    For the linear generator x = J c the second term is absent, and the error is
    J (I - P) c with P the projector onto R(J^T A^T).

    Checked: the basis and the values, exactly for the dual kernel and against drawn generators; the
    linear bound over random A, filters and signals, with the constant C fitted on half of the
    trials; trained generators of several widths within the bound with xi = (m / k)^(1/8). The
    theorem bounds from above and claims no rate, nor is one tested. A deep decoder in two
    dimensions, for which nothing is proven, is held against the same bound with the singular
    vectors and values of its own Jacobian and x - f_0 in place of x, and against the limit of its
    linearisation.
    """
    n, trials = (64, 100) if full else (32, 24)
    generator = np.random.default_rng(seed)
    u = gaussian_taps(n, 2.0)
    s, basis, theta = singular_values(u), trigonometric_basis(n), dual_kernel(u)
    exact = np.linalg.norm(theta - (basis * s**2) @ basis.T) / np.linalg.norm(theta)
    widths = (64, 256, 1024) if full else (64, 512)
    drawn = [Generator.draw(u, k, 1.0, generator).kernel() for k in widths]
    apart = np.array([np.linalg.norm(one - theta) / np.linalg.norm(theta) for one in drawn])
    ratios = np.array([linear_ratio(n, generator) for _ in range(trials)])
    C = float(ratios[: trials // 2].max())
    rest = ratios[trials // 2 :]
    repeats, steps = (5, 1500) if full else (2, 400)
    m = n // 2
    errors = np.array(
        [[trained(u, m, k, steps, generator) for _ in range(repeats)] for k in widths]
    )  # (widths, repeats, 2): squared error / |x|^2, bound without C / |x|^2
    xi = np.minimum(1.0, (m / np.array(widths)) ** 0.125)
    within = errors[..., 0] <= C * errors[..., 1] + xi[:, None] ** 2
    findings = [
        Finding("dual kernel and trigonometric basis: distance", float(exact), "<=", 1e-10),
        Finding(f"kernel of {widths[0]} channels and dual one", float(apart[0])),
        Finding(f"  of {widths[-1]} channels", float(apart[-1]), "<=", 0.05 if full else 0.1),
        Finding("C fitted on half of the trials", C),
        Finding("share of the others within that bound", float((rest <= C).mean()), ">=", 0.9),
        Finding("trained generators within the bound", float(within.mean()), ">=", 0.9),
        Finding("  relative error, widest, median", float(np.median(errors[-1, :, 0]) ** 0.5)),
        Finding("  relative error, narrowest, median", float(np.median(errors[0, :, 0]) ** 0.5)),
    ]
    side, channels, more = (16, (32, 128), 1000) if full else (8, (16,), 100)
    for k in channels:
        one = decoded(side, k, more, seed)
        name = f"deep decoder, {k} channels"
        findings += [
            Finding(f"{name}: error^2 / |x|^2", one.error, "<=", C * one.bound),
            Finding("  of the limit of its linearisation", one.linear),
            Finding("  misfit / |y|^2 after the last step", one.misfit),
        ]
    arrays = {"ratios": ratios, "errors": errors, "singular values": s, "widths": np.array(widths)}

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 3)
        order = np.argsort(-s)
        axes[0].semilogy(s[order], label="dual kernel")
        values = np.linalg.eigvalsh(drawn[-1])[::-1]
        axes[0].semilogy(np.sqrt(np.maximum(values, 1e-12)), ".", ms=3, label=f"k = {widths[-1]}")
        axes[0].set(title="singular values", xlabel="index")
        axes[0].legend(fontsize=8)
        axes[1].hist(np.log10(ratios), bins=20)
        axes[1].axvline(np.log10(C), color="k", lw=1)
        axes[1].set(xlabel="log10 of error / bound", title="linear generator; line: C")
        axes[2].loglog(widths, np.median(errors[..., 0], 1), "o-", label="found")
        axes[2].loglog(widths, C * np.median(errors[..., 1], 1) + xi**2, "--", label="bound")
        axes[2].set(xlabel="channels k", title="trained: error^2 / |x|^2")
        axes[2].legend(fontsize=8)

    curves = {"index": np.arange(n), "singular value": s}
    return LabResult(findings, arrays, curves, draw)


def bound(s: Array, basis: Array, x: Array, m: int) -> float:
    """Return (sum s^-2 <w, x>^2) (sum_(i > 2m/3) s^2), s sorted downwards."""
    inside = float(((basis.T @ x) ** 2 / s**2).sum())
    tail = np.sort(s)[::-1][int(np.floor(2 * m / 3)) :]
    return inside * float((tail**2).sum())


def linear_ratio(n: int, generator: np.random.Generator) -> float:
    """Return squared error / bound of the linear generator for random A, filter and signal."""
    s = singular_values(gaussian_taps(n, generator.uniform(0.5, 2.5)))
    basis = trigonometric_basis(n)
    m = int(generator.integers(12, n - 2))
    A = generator.standard_normal((m, n)) / m**0.5
    x = basis @ (s * generator.standard_normal(n))  # x = J c of a random c
    theta = (basis * s**2) @ basis.T
    found = theta @ A.T @ np.linalg.pinv(A @ theta @ A.T, rcond=1e-13) @ (A @ x)
    return float(((found - x) ** 2).sum()) / bound(s, basis, x, m)


def trained(
    u: Array, m: int, k: int, steps: int, generator: np.random.Generator
) -> tuple[float, float]:
    """Train the generator on y = A x by gradient descent; return error and bound over |x|^2."""
    n = len(u)
    s, basis = singular_values(u), trigonometric_basis(n)
    A = generator.standard_normal((m, n)) / m**0.5
    x = basis @ (s**2 * generator.standard_normal(n))
    y, size = A @ x, float(x @ x)
    net = Generator.draw(u, k, 0.1 * np.linalg.norm(y) / n**0.5, generator)
    eta = 0.5 / float(np.linalg.eigvalsh(A @ net.kernel() @ A.T)[-1])
    for _ in range(steps):
        net = Generator(net.U, net.C - eta * net.adjoint(A.T @ (A @ net.image() - y)))
    error = float(((net.image() - x) ** 2).sum())
    return error / size, bound(s, basis, x, m) / size


LAB = Lab(
    "theorem-1",
    "Compressed sensing with a two-layer generator: spectrum, bound, widths",
    "Heckel and Soltanolkotabi, ICML 2020; tutorial, Theorem 1",
    compressed,
)
