"""Theorem A.1 of aSeqDIP: what a residual network's input means for denoising."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from untrained.lab.jacobian import Jacobian
from untrained.lab.ntk_filter import filter_path
from untrained.lab.result import Finding, Lab, LabResult
from untrained.lab.signals import ReLUNet
from untrained.nets import DrawnFrom

Array = np.ndarray
RATE = 1e-4
"""Gradient descent's rate. The paper's 5e-4 diverges here for the input y, with a sum of squares
and He's initialisation; whether its loss is a sum or a mean is not said."""


def residual(seed: int, full: bool) -> LabResult:
    r"""Theorem A.1 and Fig. 6 of aSeqDIP (Alkhouri, Liang et al., NeurIPS 2024).

    f(z) = z + g(z), g a wide ReLU CNN with He's initialisation, trained by gradient descent with
    the step beta on ||f(z) - y||^2 / 2. In expectation over the initialisation, in the limit of
    infinite width,

    .. math:: f_t(z) = y - (I - \beta\Theta)^t (y - z)

    So the input z = y gives y at every step (no denoising), and z = x is perfect at t = 0 and fits
    the noise later. Fig. 6: a sinusoid of 100 samples, noise N(0, I), five layers, 3 taps, 64
    channels, the same weights for the inputs x, y and N(0, I). The paper reports that x
    needs about 25 times more steps than noise to fit y completely.

    Checked: for one draw the closed form from that draw's own g_0(z) (Eq. 16) against training; the
    mean of g_0, which is 0 over the pairs of a draw and its mirror image (the last layer with the
    other sign, as likely as it) and so in expectation; and the steps until half of the noise's
    energy is fitted, |f_t - y|^2 <= |x - y|^2 / 2, for x and for noise as inputs. The full runs are
    shorter than the paper's 10^5 steps: a ratio may be a lower bound, and says so. f is what the
    theorem is about: aSeqDIP's own networks have no such sum.
    """
    n, width, draws = (100, 64, 40) if full else (32, 32, 12)
    steps = 6000 if full else 100
    generator = np.random.default_rng(seed)
    x = np.sin(4 * np.pi * np.arange(n) / n)
    y = x + generator.standard_normal(n)
    inputs = {"x": x, "y": y, "noise": generator.standard_normal(n)}
    runs, curves = {}, {"step": np.unique(np.geomspace(1, steps, 200).astype(int))}
    for name, z in inputs.items():
        runs[name] = train(draw(width, seed), z, y, steps)
        at = curves["step"] - 1
        curves[f"error, input {name}"] = ((runs[name][at] - x) ** 2).mean(1)
        curves[f"misfit, input {name}"] = ((runs[name][at] - y) ** 2).mean(1)
    few = min(steps, 150)
    theta, first, rate = kernel(4 * width, seed, inputs["noise"])
    trained = train(draw(4 * width, seed), inputs["noise"], y, few, rate)
    closed = filter_path(theta, y, first, rate, few)[:few]
    gap = np.linalg.norm(trained - closed, axis=1) / np.linalg.norm(y - first)
    starts = np.stack([output(draw(width, 1000 + i), y) for i in range(draws)]) - y
    error = starts.mean(0) / (starts.std(0) / draws**0.5)
    mirrored = [
        0.5 * (output(draw(width, i), y) + output(mirror(draw(width, i)), y)) for i in range(4)
    ]
    pairs = max(_apart(found, y, x) for found in mirrored)
    flat = np.stack([train(draw(width, 2000 + i), y, y, 60)[-1] for i in range(draws // 4)])
    findings = [
        Finding("closed form of Eq. (16) and training, relative", float(gap.max()), "<=", 0.05),
        Finding("input y: |mean of a pair's f_0 - y| / |y - x|", pairs, "<=", 1e-9),
        Finding("  mean of g_0 over draws, in standard errors (rms)", _rms(error)),
        Finding("input y: |f_t - y| / |y - x| at the last step", _apart(runs["y"][-1], y, x)),
        Finding("  of the mean over draws, 60 steps", _apart(flat.mean(0), y, x)),
        Finding("input x: error at t = 0, of |y - x|", _apart(runs["x"][0], x, y)),
        Finding("  input noise: the same", _apart(runs["noise"][0], x, y)),
    ]
    needed = {name: steps_to_fit(runs[name], x, y) for name in ("x", "noise")}
    if needed["noise"] > 0:
        slower = (needed["x"] or steps) / needed["noise"]
        note = "" if needed["x"] else ", at least"
        findings.append(
            Finding(f"x fits the noise slower than noise does{note}, times", slower, ">=", 1.0)
        )

    def draw_picture(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        axes[0].plot(x, label="x")
        axes[0].plot(y, ".", ms=4, label="y")
        axes[0].set(title="signal and measurements")
        for name in inputs:
            axes[1].loglog(curves["step"], curves[f"error, input {name}"], label=f"input {name}")
        axes[1].set(xlabel="gradient steps", ylabel="mean squared error", title="as Fig. 6")
        for one in axes:
            one.legend(fontsize=8)

    arrays = {"x": x, "y": y, "g_0": starts, "gap": gap}
    return LabResult(findings, arrays, curves, draw_picture)


def draw(width: int, seed: int) -> ReLUNet:
    """Draw the residual network of five layers."""
    with DrawnFrom(seed):
        net = ReLUNet(1, width, 5, residual=True).double()
        net.reset_parameters()
    return net


def output(net: ReLUNet, z: Array) -> Array:
    """Return f(z), `(n,)`."""
    with torch.no_grad():
        found: Array = net(torch.as_tensor(z).reshape(1, 1, -1)).flatten().numpy()
    return found


def train(net: ReLUNet, z: Array, y: Array, steps: int, rate: float = RATE) -> Array:
    """Train by gradient descent on ||f(z) - y||^2 / 2; return f at t = 0 ... steps - 1."""
    given, target = torch.as_tensor(z).reshape(1, 1, -1), torch.as_tensor(y)
    optimiser = torch.optim.SGD(net.parameters(), lr=rate)
    path = np.empty((steps, len(y)))
    for t in range(steps):
        found = net(given).flatten()
        path[t] = found.detach().numpy()
        optimiser.zero_grad()
        (0.5 * (found - target).square().sum()).backward()
        optimiser.step()
    return path


def kernel(width: int, seed: int, z: Array) -> tuple[Array, Array, float]:
    """Return the kernel of the drawn network at z, its output, and a rate of 0.1 / s_max."""
    net = draw(width, seed)
    given = torch.as_tensor(z).reshape(1, 1, -1)
    theta = Jacobian.of_network(net, dict(net.named_parameters()), given).ntk().numpy()
    return theta, output(net, z), 0.1 / float(np.linalg.eigvalsh(theta)[-1])


def steps_to_fit(path: Array, x: Array, y: Array) -> int:
    """Return the first step at which half of the noise's energy is fitted; 0 = none."""
    misfit = ((path - y) ** 2).sum(1)
    there = np.flatnonzero(misfit <= 0.5 * ((x - y) ** 2).sum())
    return int(there[0]) + 1 if len(there) else 0


def mirror(net: ReLUNet) -> ReLUNet:
    """Return the network with the other sign of its last layer."""
    with torch.no_grad():
        for weight in net.convs[-1].parameters():
            weight.neg_()
    return net


def _apart(found: Array, target: Array, other: Array) -> float:
    return float(np.linalg.norm(found - target) / np.linalg.norm(other - target))


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))


LAB = Lab(
    "aseqdip-a1",
    "A residual network's input decides what is denoised: Theorem A.1, Fig. 6",
    "aSeqDIP: Alkhouri, Liang et al., NeurIPS 2024, App. A",
    residual,
)
