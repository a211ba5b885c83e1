"""Theorem 3: bias and variance of gradient descent, and the stop rule that they give."""

from __future__ import annotations

from typing import Any

import numpy as np

from untrained.lab.linear import Array, Linearised, null_projector
from untrained.lab.result import Finding, Lab, LabResult
from untrained.lab.signals import square_signal

SIGMA = 0.2


def bias_variance(seed: int, full: bool) -> LabResult:
    r"""Theorem 3 of the tutorial (Alkhouri et al.; Liang et al., TCI 2025), and when to stop.

    y = A x + n, n ~ N(0, sigma^2 I), A of full row rank, Theta the kernel, f_0 = 0 and
    B = I - eta Theta A^T A. The iterate of Eq. (6) is x_t = (I - B^t) A^+ y, and

    .. math:: E\,\|x_t - x\|^2 = \|B^t x\|^2 + \sigma^2 \sum_i \nu_i(t)^2

    with nu_i(t) the singular values of (I - B^t) A^+: the bias falls, the variance rises. The part
    of B^t x that N(A) holds, B^t P_N(A) x = P_N(A) x, never falls.

    From y alone. A x_t = F y with F = A (I - B^t) A^+, so that

    .. math:: \widehat R_t = \|A x_t - y\|^2 + 2 \sigma^2\,\mathrm{tr} F - m \sigma^2,\qquad
              E \widehat R_t = E\,\|A (x_t - x)\|^2

    (Mallows' C_p, Stein's SURE of a linear filter). Its minimum is the stopping time that the rule
    `biasvariance` looks for in a real run, where the trace is estimated along the way. y says
    nothing of what N(A) hides: where A is the identity this is the error of the image, elsewhere
    that of its measured part.

    Checked: the formula against Monte Carlo over the noise; the C_p stop against the oracle of the
    same run, which knows x; on denoising, on a moving average and on random measurements. The
    kernel is a smooth one, of the two-layer generator of Theorem 1.
    """
    n, draws, trials = (256, 2000, 100) if full else (256, 300, 16)
    truth = square_signal(n)
    generator = np.random.default_rng(seed)
    theta = smooth_kernel(n)
    times = np.unique(np.geomspace(1, 1e5, 100 if full else 60).astype(int))
    findings: list[Finding] = []
    curves: dict[str, Array] = {"step": times}
    arrays: dict[str, Array] = {"truth": truth, "steps": times}
    regrets: dict[str, Array] = {}
    for name, A in operators(n, generator).items():
        model = Linearised(A, theta)
        predicted = np.array([sum(mean_square(model, truth, t)) for t in times])
        some = np.linspace(0, len(times) - 1, 12 if full else 4).astype(int)
        found = np.full(len(times), np.nan)
        found[some] = monte_carlo(model, truth, times[some], draws, generator)
        worst = float((np.abs(found - predicted) / predicted)[some].max())
        findings.append(
            Finding(f"{name}: formula against {draws} draws, relative", worst, "<=", 0.05)
        )
        regret = np.array([stop_regret(model, truth, times, generator) for _ in range(trials)])
        regrets[name] = regret
        findings.append(Finding("  C_p stop below the oracle, mean dB", regret.mean(), "<=", 0.3))
        findings.append(Finding("  90 % of the runs, dB", float(np.quantile(regret, 0.9))))
        hidden = null_projector(A) @ truth
        floor = float(hidden @ hidden / (truth @ truth))
        findings.append(Finding("  share of |x|^2 that y cannot see", floor))
        curves |= {f"{name}, predicted": predicted, f"{name}, found": found}
        arrays |= {f"{name}, regret in dB": regret}
    curves |= _parts(n, theta, truth, times)

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 3)
        for label in ("bias", "variance", "denoise, predicted"):
            axes[0].loglog(times, curves[label], label=label)
        axes[0].loglog(times, curves["denoise, found"], "k.", ms=3, label="Monte Carlo")
        axes[0].set(xlabel="step", title="denoising: E |x_t - x|^2")
        for name in regrets:
            axes[1].loglog(times, curves[f"{name}, predicted"], label=name)
        axes[1].set(xlabel="step", title="three operators")
        axes[2].boxplot(list(regrets.values()), whis=(5, 95))
        axes[2].set_xticklabels(list(regrets))
        axes[2].set(ylabel="dB below the oracle", title="stop from y alone")
        for one in axes[:2]:
            one.legend(fontsize=7)

    notes = ("what N(A) hides is in neither estimate: the stop judges A x_t only",)
    return LabResult(findings, arrays, curves, draw, notes)


def smooth_kernel(n: int, width: float = 3.0) -> Array:
    """Return the dual kernel of the two-layer generator with a Gaussian filter u, `(n, n)`.

    Circulant; its eigenvalues are n-point Fourier coefficients of g(u * u), see the lab
    `theorem-1`.
    """
    from untrained.lab.generator import dual_kernel, gaussian_taps

    return dual_kernel(gaussian_taps(n, width))


def operators(n: int, generator: np.random.Generator) -> dict[str, Array]:
    """Return the operators of the lab by name: identity, moving average, random measurements."""
    average = np.array([np.roll(np.eye(n)[0], k) for k in range(-2, 3)]).mean(0)
    blur = np.array([np.roll(average, i) for i in range(n)])[::3]
    m = n // 2
    gaussian = generator.standard_normal((m, n)) / m**0.5
    return {"denoise": np.eye(n), "average": blur, "random": gaussian}


def mean_square(model: Linearised, x: Array, t: float) -> tuple[float, float]:
    """Return bias ||B^t x||^2 and variance sigma^2 sum nu^2 of x_t."""
    F = model.filter(t)
    bias = x - F @ (model.A @ x)
    return float(bias @ bias), SIGMA**2 * float((F**2).sum())


def monte_carlo(
    model: Linearised, x: Array, times: Array, draws: int, generator: np.random.Generator
) -> Array:
    """Return the mean of |x_t - x|^2 over noise, a number a step, from powers of B itself."""
    A, n = model.A, len(x)
    B = np.eye(n) - model.eta * model.theta @ A.T @ A
    y = A @ x + SIGMA * generator.standard_normal((draws, len(A)))
    start = np.linalg.pinv(A) @ y.T
    found = []
    for t in times:
        images = start - np.linalg.matrix_power(B, int(t)) @ start
        found.append(((images - x[:, None]) ** 2).sum(0).mean())
    return np.array(found)


def stop_regret(model: Linearised, x: Array, times: Array, generator: np.random.Generator) -> float:
    """Return how many dB the C_p stop of one noisy run loses to the oracle that knows x."""
    clean = model.A @ x
    y = clean + SIGMA * generator.standard_normal(len(clean))
    fitted = np.array([model.factors(t) for t in times])
    seen = (fitted * (model.U.T @ y)) @ model.U.T  # A x_t, a row a step
    errors = ((seen - clean) ** 2).sum(1)
    risks = ((seen - y) ** 2).sum(1) + 2 * SIGMA**2 * fitted.sum(1)
    return float(10 * np.log10(errors[int(np.argmin(risks))] / errors.min()))


def _parts(n: int, theta: Array, truth: Array, times: Array) -> dict[str, Array]:
    model = Linearised(np.eye(n), theta)
    both = np.array([mean_square(model, truth, t) for t in times])
    return {"bias": both[:, 0], "variance": both[:, 1]}


LAB = Lab(
    "theorem-3",
    "Bias, variance, and a stopping time from the measurements alone",
    "tutorial, Theorem 3; Liang et al., TCI 2025; Mallows 1973",
    bias_variance,
)
