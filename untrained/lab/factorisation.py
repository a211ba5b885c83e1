"""Theorem 4 and double over-parameterisation: small starts make small nuclear norms."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import linprog

from untrained.lab.result import Finding, Lab, LabResult

Array = np.ndarray


def factorisation(seed: int, full: bool) -> LabResult:
    r"""Theorem 4 of the tutorial (after Gunasekar et al.; Ding et al.), and DOP (You et al., 2020).

    Symmetric A_i that commute, A(X)_i = <A_i, X>, and gradient flow on ||A(U U^T) - y||^2 / 4 from
    U_0 = alpha I. With s_t = -int (A(X) - y), A*(s) = sum_i s_i A_i,

    .. math:: X_t = U_t U_t^T = \alpha^2 \exp(2 A^*(s_t)),

    and as alpha -> 0 the limit solves

    .. math:: \min_{X \succeq 0} \|X\|_* \quad\text{subject to}\quad A(X) = y,

    since nu = s_inf / log(1/alpha) tends to a dual certificate: lambda_k(A*(nu)) -> 1 where the
    limit has an eigenvalue, <= 1 elsewhere. The approach is slow, like 1 / log(1/alpha).

    DOP: min ||U U^T + g o g - h o h - Y||^2 / 4, U with the rate tau_X, g and h with tau_s, from
    alpha. By the same exponentials the limit solves (Eq. 19 of the tutorial)

    .. math:: \min_{X \succeq 0,\,S} \|X\|_* + \lambda \|S\|_1
              \quad\text{subject to}\quad X + S = Y,\qquad \lambda = \tau_X / \tau_s

    Checked by following the flow with small steps, and DOP by gradient descent. The convex programs
    are solved by other means: a linear program over eigenvalues (scipy), and ADMM. Theorem 4 does
    not cover DOP, whose measurements are all entries of X: those matrices do not commute. For
    lambda of 0.4 and more the program's solution was found on every draw; at 0.3 a quarter of the
    draws ends elsewhere. That is no want of steps: run to the end (833,448 steps, misfit 1e-4) one
    of them stays 0.19 away, its objective half a per cent above the least.
    """
    trials = 30 if full else 2
    alphas = (1e-2, 1e-4, 1e-8, 1e-16) if full else (1e-2, 1e-8)
    generator = np.random.default_rng(seed)
    excess = np.zeros((trials, len(alphas)))
    exponentials, certificates, on_support = [], [], []
    for trial in range(trials):
        matrices, y, Q, spectra = commuting(generator)
        least = least_trace(spectra, y)
        for k, alpha in enumerate(alphas):
            X, s = flow(matrices, y, alpha, 0.025 if full else 0.05)
            excess[trial, k] = np.trace(X) / least - 1
        exponent = np.diag(Q.T @ np.tensordot(s, matrices, 1) @ Q)
        eigenvalues = np.diag(Q.T @ X @ Q)
        large = eigenvalues > 0.1 * eigenvalues.max()
        closed = 2 * np.log(alpha) + 2 * exponent[large]
        exponentials.append(np.abs(closed - np.log(eigenvalues[large])).max())
        nu = exponent / np.log(1 / alpha)
        certificates.append(nu.max())
        on_support.append(np.abs(nu[large] - 1).max())
    ratios = np.array([0.3, 0.4, 0.5, 0.6] if full else [0.4, 0.5])
    draws = 12 if full else 1
    apart = np.array(
        [
            [dop_gap(lam, np.random.default_rng(seed + i), 1e-12) for i in range(draws)]
            for lam in ratios
        ]
    )  # (ratios, draws)
    covered = apart[ratios > 0.35]
    findings = [
        Finding("X_t and alpha^2 exp(2 A*(s)): gap of logarithms", max(exponentials), "<=", 0.05),
        Finding(
            "trace above the least, smallest alpha, median",
            float(np.median(excess[:, -1])),
            "<=",
            0.05,
        ),
        Finding("  90 % of the trials", float(np.quantile(excess[:, -1], 0.9))),
        Finding("  largest alpha, median", float(np.median(excess[:, 0]))),
        Finding("certificate: largest eigenvalue, worst trial", max(certificates), "=", 1.0),
        Finding("  |eigenvalue - 1| on the support, worst", max(on_support), "<=", 0.1),
        Finding(
            "DOP and the convex program, lambda >= 0.4: relative distance of X, worst",
            float(covered.max()),
            "<=",
            0.05,
        ),
        *(
            Finding(f"  share of draws within 0.05, lambda {lam:g}", float((gaps <= 0.05).mean()))
            for lam, gaps in zip(ratios, apart, strict=True)
        ),
    ]

    curves = {"alpha": np.array(alphas), "median excess": np.median(excess, 0)}
    drawn = partial(_draw, alphas=np.array(alphas), excess=excess, ratios=ratios, apart=apart)
    return LabResult(findings, {"excess": excess, "dop": apart}, curves, drawn)


def _draw(figure: Any, alphas: Array, excess: Array, ratios: Array, apart: Array) -> None:
    """Draw the trace above the least against alpha, and the distance of DOP against lambda."""
    axes = figure.subplots(1, 2)
    slow = 1 / np.log(1 / alphas)
    axes[0].plot(slow, np.maximum(excess, 0).T, color="grey", lw=0.4)
    axes[0].plot(slow, np.median(excess, 0), "o-", label="median")
    axes[0].set(xlabel="1 / log(1 / alpha)", ylabel="trace above the least, relative")
    axes[0].legend(fontsize=8)
    axes[1].plot(ratios, apart, "o", color="C0", alpha=0.5)
    axes[1].set(xlabel="lambda = tau_X / tau_s", ylabel="|X - X*| / |X*|", title="DOP")
    axes[1].set_ylim(0)


def commuting(generator: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """Draw commuting symmetric A_i, y of a matrix of rank 1, and their common eigenbasis.

    Returns:
        A_i `(m, d, d)`, y `(m,)`, the basis Q, and the eigenvalues of each A_i `(m, d)`.
    """
    d, m = 7, 3
    Q = np.linalg.qr(generator.standard_normal((d, d)))[0]
    spectra = generator.uniform(0.2, 1.0, (m, d))
    matrices = np.einsum("ik,mk,jk->mij", Q, spectra, Q)
    truth = np.zeros(d)
    truth[int(generator.integers(d))] = 1.0
    return matrices, spectra @ truth, Q, spectra


def least_trace(spectra: Array, y: Array) -> float:
    """Return the least trace of X >= 0 with A(X) = y: a linear program over eigenvalues.

    The measurements see the diagonal of Q^T X Q alone, and its sum is the trace.
    """
    found = linprog(np.ones(spectra.shape[1]), A_eq=spectra, b_eq=y, bounds=(0, None))
    return float(found.fun)


def flow(matrices: Array, y: Array, alpha: float, step: float) -> tuple[Array, Array]:
    """Follow the gradient flow on U from alpha I until y is met to 1e-4; return X and s.

    The residual is kept fixed during a step, and the linear flow of U taken by the trapezoidal
    rule: plain descent would lose a factor exp(-step |r| ...) over the long way up from alpha.
    """
    d = matrices.shape[1]
    eye, s = np.eye(d), np.zeros(len(y))
    U = alpha * eye
    flat = matrices.reshape(len(y), -1)
    for _ in range(80_000):
        r = flat @ (U @ U.T).ravel() - y
        if np.linalg.norm(r) < 1e-4 * np.linalg.norm(y):
            break
        s = s - step * r
        half = step / 2 * (r @ flat).reshape(d, d)
        U = np.linalg.solve(eye + half, U - half @ U)
    return U @ U.T, s


def dop_gap(lam: float, generator: np.random.Generator, alpha: float) -> float:
    """Return |X - X*| / |X*| of DOP's limit and of the convex program, for a random Y."""
    d = 10
    u = generator.standard_normal(d)
    u /= np.linalg.norm(u)
    sparse = np.triu(generator.random((d, d)) < 0.06, 1) * generator.choice([-1.0, 1.0], (d, d))
    Y = np.outer(u, u) + sparse + sparse.T
    X = dop(Y, lam, alpha)
    best = low_rank_and_sparse(Y, lam)
    return float(np.linalg.norm(X - best) / np.linalg.norm(best))


def dop(Y: Array, lam: float, alpha: float, step: float = 0.02) -> Array:
    """Fit Y by U U^T + g o g - h o h with the rates tau_X = lam, tau_s = 1; return U U^T."""
    U = alpha * np.eye(len(Y))
    g = np.full_like(Y, alpha)
    h = g.copy()
    for _ in range(60_000):
        R = U @ U.T + g * g - h * h - Y
        if np.abs(R).max() < 1e-4:
            break
        U = U - step * lam * R @ U
        g, h = g * (1 - step * R), h * (1 + step * R)
    return U @ U.T


def low_rank_and_sparse(Y: Array, lam: float, rounds: int = 4000) -> Array:
    """Solve min tr X + lam ||S||_1, X >= 0, X + S = Y by ADMM; return X."""
    S, dual, rho = np.zeros_like(Y), np.zeros_like(Y), 1.0
    for _ in range(rounds):
        values, vectors = np.linalg.eigh(Y - S - dual)
        X = (vectors * np.maximum(values - 1 / rho, 0)) @ vectors.T
        rest = Y - X - dual
        S = np.sign(rest) * np.maximum(np.abs(rest) - lam / rho, 0)
        change = X + S - Y
        dual = dual + change
        if np.abs(change).max() < 1e-7:
            break
    return X


LAB = Lab(
    "theorem-4",
    "Small starts lead to the least nuclear norm; low rank and sparse by two rates",
    "tutorial, Theorem 4 and Eq. (19); You et al., NeurIPS 2020",
    factorisation,
)
