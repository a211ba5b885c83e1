"""How far samplers are from the posterior when the prior is exact: `gaussian_samplers.py OUT.json`.

With a normal prior N(mu, C) and its exact denoiser every step of a sampler is affine in its state,
as long as its step length is constant and its inner system solved exactly. So mean and covariance
of what it returns follow in closed form, and so does the posterior that it is meant to sample.
`tests/methods/test_gaussian_samplers.py` holds the code against these recursions.

They are written from the papers in the variance-exploding view u = x / sqrt(alpha_bar), where the
code follows the variance-preserving one, so that a slip in one does not hide in the other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained import methods as m

Array = NDArray[Any]
Normal = tuple[Array, Array]
"""Mean and covariance."""


@dataclass(frozen=True)
class Setting:
    """Prior N(mu, C), measurements y = A x + noise of the level sigma."""

    A: Array
    y: Array
    mu: Array
    C: Array
    sigma: float = 0.0

    def denoiser(self, level: float) -> tuple[Array, Array]:
        """D(u) = K u + k."""
        eye = np.eye(len(self.mu))
        K = self.C @ np.linalg.inv(self.C + level**2 * eye)
        return K, (eye - K) @ self.mu

    @property
    def norm(self) -> float:
        """||A||^2."""
        return float(np.linalg.norm(self.A, 2) ** 2)

    def posterior(self) -> Normal:
        """Return the posterior of x given y; without noise its limit."""
        noise = max(self.sigma, 1e-6) ** 2 * np.eye(len(self.y))
        gain = self.C @ self.A.T @ np.linalg.inv(self.A @ self.C @ self.A.T + noise)
        return self.mu + gain @ (self.y - self.A @ self.mu), self.C - gain @ self.A @ self.C


def levels(count: int, spacing: str = "even") -> list[float]:
    """Sigmas of DDPM's linear schedule, falling, and 0."""
    share = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    times = [i * 1000 // count for i in range(count)]
    if spacing == "quadratic":
        times = [int(999 * np.sqrt(i / max(1, count - 1))) for i in range(count)]
    return [float(np.sqrt(1 / share[t] - 1)) for t in reversed(times)] + [0.0]


Map = tuple[Array, Array]
"""u -> F u + f."""

Step = tuple[Map, Map, list[Array]]
"""Of a level: what is shown if it is the last, the next state, the factors of its noises."""


def spread(now: float, after: float) -> float:
    """DDPM's noise, of the VE view."""
    return after * float(np.sqrt(now**2 - after**2)) / now


def then(outer: Map, inner: Map) -> Map:
    """Compose two maps."""
    return outer[0] @ inner[0], outer[0] @ inner[1] + outer[1]


def mixed(a: float, one: Map, b: float, other: Map) -> Map:
    """a one + b other."""
    return a * one[0] + b * other[0], a * one[1] + b * other[1]


def stepped(now: float, after: float, clean: Map, noisy: Map, s: float) -> Map:
    """DDIM's mean: `clean` at the next level, in the direction of u - `noisy`."""
    eye: Map = (np.eye(len(clean[1])), np.zeros(len(clean[1])))
    keep = float(np.sqrt(max(0.0, after**2 - s**2))) / now
    return mixed(1.0, clean, keep, mixed(1.0, eye, -1.0, noisy))


def guided_step(method: m.DPS | m.MCG, a: Setting, now: float, after: float) -> Step:
    """DPS with a constant step; MCG projects."""
    D, A, eye = a.denoiser(now), a.A, np.eye(len(a.mu))
    length = method.zeta if isinstance(method, m.DPS) else method.alpha
    back = 2 * length / a.norm * D[0] @ A.T
    gradient = then((back @ A, -back @ a.y), D)
    s = spread(now, after)
    last = mixed(1.0, D, -np.sqrt(1 + now**2), gradient)
    factor = float(np.sqrt((1 + now**2) * (1 + after**2)))
    u = mixed(1.0, stepped(now, after, D, D, s), -factor, gradient)
    if isinstance(method, m.DPS):
        return last, u, [s * eye]
    inverse = np.linalg.pinv(A)
    put: Map = (eye - inverse @ A, inverse @ a.y)
    return then(put, last), then(put, u), [s * put[0], after * inverse @ A]


def ddnm_step(method: m.DDNM, a: Setting, now: float, after: float) -> Step:
    """DDNM, and DDNM+ where sigma is not 0."""
    D, inverse, eye = a.denoiser(now), np.linalg.pinv(a.A), np.eye(len(a.mu))
    s = method.eta * spread(now, after)
    clean = 1 - float(np.sqrt(max(0.0, after**2 - s**2))) / now
    share = min(1.0, s / (clean * a.sigma)) if a.sigma else 1.0
    put: Map = (eye - share * inverse @ a.A, share * inverse @ a.y)
    shown = then(put, D)
    left = float(np.sqrt(max(0.0, s**2 - (clean * share * a.sigma) ** 2)))
    return shown, stepped(now, after, shown, shown, s), [left * eye]


def dds_step(method: m.DDS, a: Setting, now: float, after: float) -> Step:
    """DDS with its inner system solved exactly."""
    D, eye = a.denoiser(now), np.eye(len(a.mu))
    g = method.gamma / a.norm
    solve = np.linalg.inv(eye + g * a.A.T @ a.A)
    shown = then((solve, g * solve @ a.A.T @ a.y), D)
    s = method.eta * spread(now, after)
    return shown, stepped(now, after, shown, D, s), [s * eye]


def diffpir_step(method: m.DiffPIR, a: Setting, now: float, after: float) -> Step:
    """DiffPIR."""
    D, eye = a.denoiser(now), np.eye(len(a.mu))
    rho = method.lam * (max(a.sigma, method.least) / now) ** 2
    solve = np.linalg.inv(a.A.T @ a.A + rho * eye)
    shown = then((rho * solve, solve @ a.A.T @ a.y), D)
    s = float(np.sqrt(method.zeta)) * after
    return shown, stepped(now, after, shown, shown, s), [s * eye]


def sitcom_step(method: m.SITCOM, a: Setting, now: float, after: float) -> Step:
    """SITCOM with its inner minimum found exactly; the data over the mean square m of A."""
    D, eye = a.denoiser(now), np.eye(len(a.mu))
    mean = float((a.A**2).sum()) / len(a.mu)
    near = method.lam / (1 + now**2)
    J = a.A @ D[0]
    solve = np.linalg.inv(J.T @ J / mean + near * eye)
    v: Map = (near * solve, solve @ J.T @ (a.y - a.A @ D[1]) / mean)
    shown = then(D, v)
    return shown, shown, [after * eye]


def score_step(method: m.ScoreMRI, a: Setting, now: float, after: float) -> Step:
    """Score-MRI with a constant corrector."""
    n = len(a.mu)
    D, eye = a.denoiser(now), np.eye(n)
    put: Map = (eye - method.lam / a.norm * a.A.T @ a.A, method.lam / a.norm * a.A.T @ a.y)
    fall = now**2 - after**2
    same: Map = (eye, np.zeros(n))
    u = then(put, mixed(1 - fall / now**2, same, fall / now**2, D))
    noises = [np.sqrt(fall) * put[0]]
    for _ in range(method.corrections if after else 0):
        c = method.constant
        fix = then(put, mixed(1 - c, same, c, a.denoiser(after)))
        u = then(fix, u)
        noises = [fix[0] @ one for one in noises] + [np.sqrt(2 * c) * after * put[0]]
    return then(put, D), u, noises


STEPS: dict[type, Callable[[Any, Setting, float, float], Step]] = {
    m.DPS: guided_step,
    m.MCG: guided_step,
    m.DDNM: ddnm_step,
    m.DDS: dds_step,
    m.DiffPIR: diffpir_step,
    m.SITCOM: sitcom_step,
    m.ScoreMRI: score_step,
}


def closed_form(method: Any, a: Setting) -> Normal:
    """Mean and covariance of the image that a sampler returns."""
    if isinstance(method, m.ScoreMRI):
        sigmas = [*np.geomspace(method.greatest, method.least, method.rounds), 0.0]
        first = sigmas[0]
    else:
        spacing = "quadratic" if isinstance(method, m.DiffPIR) else "even"
        sigmas = levels(method.rounds, spacing)
        first = float(np.sqrt(1 + sigmas[0] ** 2))
    n = len(a.mu)
    mean, cov = np.zeros(n), first**2 * np.eye(n)
    for now, after in pairwise(sigmas):
        shown, (F, f), noises = STEPS[type(method)](method, a, now, after)
        if after == 0:
            return shown[0] @ mean + shown[1], shown[0] @ cov @ shown[0].T
        mean, cov = F @ mean + f, F @ cov @ F.T + sum(N @ N.T for N in noises)
    raise AssertionError


def root(P: Array) -> Array:
    """The symmetric square root."""
    values, vectors = np.linalg.eigh(P)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def distance(one: Normal, other: Normal) -> float:
    """Wasserstein's distance of two normal distributions."""
    half = root(other[1])
    cross = root(half @ one[1] @ half)
    apart = float(((one[0] - other[0]) ** 2).sum() + np.trace(one[1] + other[1] - 2 * cross))
    return float(np.sqrt(max(0.0, apart)))


def example(sigma: float, n: int = 32, seed: int = 0) -> Setting:
    """A smooth random signal of n samples: blurred, and every fourth sample is missing."""
    rng = np.random.default_rng(seed)
    place = np.arange(n)
    C = np.exp(-np.abs(place[:, None] - place) / 6) * 0.25
    mu = 0.3 * np.sin(place / 5)
    blur = np.exp(-0.5 * ((place[:, None] - place) / 0.6) ** 2)
    A = (blur / blur.sum(1, keepdims=True))[place % 4 != 3]
    x = mu + root(C) @ rng.standard_normal(n)
    return Setting(A, A @ x + sigma * rng.standard_normal(len(A)), mu, C, sigma)


def constant(method: Any) -> Any:
    """The same with a constant step, where the published one depends on the state."""
    if isinstance(method, (m.DPS, m.MCG)):
        return replace(method, normalised=False)
    return replace(method, constant=0.05) if isinstance(method, m.ScoreMRI) else method


SHOWN = (
    m.DPS(zeta=0.3),
    m.MCG(alpha=0.3),
    m.ScoreMRI(),
    m.DDNM(),
    m.DDNM(eta=1.0),
    m.DDS(),
    m.DiffPIR(),
    m.SITCOM(),
)


def rows() -> list[dict[str, Any]]:
    """Distance to the posterior by method, noise and number of levels."""
    made = []
    for sigma in (0.0, 0.1):
        a = example(sigma)
        true = a.posterior()
        width = float(np.sqrt(np.trace(true[1])))
        for method in SHOWN:
            for rounds in (20, 100, 1000):
                found = closed_form(constant(replace(method, rounds=rounds)), a)
                made.append(
                    {
                        "method": method.name,
                        "settings": str(constant(method)),
                        "sigma": sigma,
                        "levels": rounds,
                        "distance": distance(found, true) / width,
                        "mean": float(np.linalg.norm(found[0] - true[0])) / width,
                        "spread": float(np.sqrt(np.trace(found[1]))) / width,
                    }
                )
    return made


if __name__ == "__main__":
    table = rows()
    Path(sys.argv[1]).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    for row in table:
        print(
            *(f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items() if k != "settings")
        )
