"""Eq. (6): gradient descent on a wide network is a fixed linear filter of the measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from untrained.lab.jacobian import Jacobian
from untrained.lab.result import Finding, Lab, LabResult
from untrained.lab.signals import Fitted, psnr, square_signal

Array = np.ndarray
SIGMA = 0.2
SMOOTH = 3.0
"""Standard deviation, in samples, of the Gaussian that the input's noise passes."""


def ntk_filter(seed: int, full: bool) -> LabResult:
    r"""Eq. (6) and Fig. 4 of the tutorial (Alkhouri et al.); Tachella, Tang and Davies, CVPR 2021.

    Where the Jacobian J stays what it is at the initialisation, gradient descent on
    ||f_theta(z) - y||^2 / 2 with the step eta moves the output along the kernel Theta = J J^T:

    .. math:: f_{t+1} = f_t - \eta\,\Theta (f_t - y),\qquad
              f_t = y - (I - \eta\Theta)^t (y - f_0)

    Component i along an eigenvector of Theta is fitted like 1 - (1 - eta s_i)^t: smooth parts
    first. To apply the filter I - (I - eta Theta)^t is the "twicing" of classical filters, and the
    rows of Theta are compared with the weights of non-local means. A fixed diagonal preconditioner
    D, such as Adam's 1 / (sqrt(v) + eps) where v has settled, replaces Theta by J D J^T.

    As in Fig. 4 a 1-D square signal with noise is fitted by a network of three convolutional
    layers, 256 channels and ReLU, and the PSNR of network and filter are compared; then the
    kernel's condition number at depth 3 and 15. The tutorial does not say what its input was. Here
    it is noise of 256 channels: smoothed over 3 samples for the curves, which gives the kernel the
    decay that denoises; white for the depths. For a smooth input the deeper kernel is the *better*
    conditioned one, which is reported too.
    """
    n, width, steps = (100, 256, 1200) if full else (16, 192, 60)
    seeds = 10 if full else 2
    truth = square_signal(n)
    y = truth + SIGMA * np.random.default_rng(seed).standard_normal(n)
    fitted = smooth_input(Fitted.draw(n, width, 3, seed))
    J = fitted.jacobian()
    theta = J.ntk().numpy()
    values = np.linalg.eigvalsh(theta)[::-1]
    first, eta = fitted.image(), 0.2 / values[0]
    filtered = filter_path(theta, y, first, eta, steps)
    network = fitted.descend(y, eta, steps)
    curves = {
        "step": np.arange(steps + 1),
        "PSNR of the filter": quality(filtered, truth),
        "PSNR of the network": quality(network, truth),
    }
    best = int(curves["PSNR of the network"].argmax())
    gap = np.abs(curves["PSNR of the network"] - curves["PSNR of the filter"])[: best + 1]
    scaled, adam_gap = preconditioned(n, width, seed, y, truth, min(steps, 200))
    shallow, deep = conditions(n, 64 if full else 16, seeds, seed, 0.0)
    smooth_shallow, smooth_deep = conditions(n, 64 if full else 16, 2, seed, SMOOTH)
    rows, weights, correlation = beside_non_local_means(y, seed, 256 if full else 64)
    findings = [
        Finding("gap of the PSNR curves up to the best, dB", float(gap.max()), "<=", 0.5),
        Finding("best PSNR of the network, dB", float(curves["PSNR of the network"].max())),
        Finding("  of the filter", float(curves["PSNR of the filter"].max())),
        Finding("  of the noisy signal", psnr(y, truth)),
        Finding("fixed diagonal preconditioner: gap, dB", scaled, "<=", 0.5),
        Finding("Adam and its filter, D of the last step: gap, dB", adam_gap),
        Finding("condition number of this kernel", float(values[0] / values[-1])),
        Finding("  white input, depth 3, median", float(np.median(shallow))),
        Finding("  white input, depth 15, median", float(np.median(deep))),
        Finding("seeds where depth 15 is the worse", float((deep > shallow).mean()), ">=", 1.0),
        Finding("  smooth input, depth 3", float(np.median(smooth_shallow))),
        Finding("  smooth input, depth 15", float(np.median(smooth_deep))),
        Finding("rows of the kernel and non-local means: correlation", correlation),
    ]
    arrays = {"truth": truth, "y": y, "network": network, "filter": filtered}
    arrays |= {"eigenvalues": values, "kernel": theta, "kernel of y": rows, "weights": weights}
    arrays |= {"condition, depth 3": shallow, "condition, depth 15": deep}

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 3)
        axes[0].plot(truth, color="grey", lw=1)
        axes[0].plot(y, ".", ms=3, color="grey")
        axes[0].plot(network[best], label="network, best step")
        axes[0].plot(filtered[best], "--", label="filter, same step")
        axes[0].set(title="1-D square signal")
        for name in ("PSNR of the network", "PSNR of the filter"):
            axes[1].semilogx(curves["step"][1:], curves[name][1:], label=name.split(" the ")[1])
        axes[1].set(xlabel="gradient steps", ylabel="PSNR (dB)", title="curves of Eq. (6)")
        axes[2].semilogy(values / values[0])
        axes[2].set(xlabel="index", title="eigenvalues of the kernel / largest")
        axes[0].legend(fontsize=7)
        axes[1].legend(fontsize=7)

    return LabResult(findings, arrays, curves, draw)


def smooth_input(fitted: Fitted, width: float = SMOOTH) -> Fitted:
    """Pass the input's noise through a Gaussian of so many samples, to unit variance again."""
    if not width:
        return fitted
    z = gaussian_filter1d(fitted.z.numpy(), width, axis=-1)
    return Fitted(fitted.net, torch.as_tensor(z / z.std()))


def filter_path(theta: Array, y: Array, first: Array, eta: float, steps: int) -> Array:
    """Return f_t of Eq. (6) in closed form for t = 0 ... steps, `(steps + 1, n)`."""
    values, vectors = np.linalg.eigh(theta)
    left = (1 - eta * values) ** np.arange(steps + 1)[:, None]
    return y - (left * (vectors.T @ (y - first))) @ vectors.T


def quality(path: Array, truth: Array) -> Array:
    """Compute the PSNR of each row, in dB."""
    return np.array([psnr(row, truth) for row in path])


def preconditioned(
    n: int, width: int, seed: int, y: Array, truth: Array, steps: int
) -> tuple[float, float]:
    """Compare a preconditioned filter with training by it, and with Adam itself.

    D is Adam's 1 / (sqrt(v) + eps) at the end of a run of Adam on the same signal, eps being the
    largest sqrt(v): with Adam's own 1e-8 the weights that have almost no gradient would take the
    longest steps and leave the range in which the network is linear. Training by
    theta <- theta - eta D grad with this fixed D is what the filter describes; Adam's own D
    changes from step to step.

    Returns:
        The largest gap of the PSNR curves up to the best, for the fixed D and for Adam.
    """
    fitted = smooth_input(Fitted.draw(n, width, 3, seed))
    parameters = list(fitted.net.parameters())
    lr = 1e-4
    adam = torch.optim.Adam(parameters, lr=lr)
    own = fitted.train(y, adam, steps)
    roots = [adam.state[w]["exp_avg_sq"].sqrt() for w in parameters]
    eps = torch.cat([root.flatten() for root in roots]).max()
    D = [1 / (root + eps) for root in roots]
    fresh = smooth_input(Fitted.draw(n, width, 3, seed))
    J = fresh.jacobian()
    theta = J.scaled(torch.cat([d.flatten() for d in D]).sqrt()).ntk().numpy()
    eta = 0.2 / float(np.linalg.eigvalsh(theta)[-1])
    fresh_image = fresh.image()
    filtered = quality(filter_path(theta, y, fresh_image, eta, steps), truth)
    trained = quality(_descend_scaled(fresh, D, y, eta, steps), truth)
    beside = quality(filter_path(theta, y, fresh_image, lr, steps), truth)
    return _gap(trained, filtered), _gap(quality(own, truth), beside)


def _descend_scaled(fitted: Fitted, D: list[Any], y: Array, eta: float, steps: int) -> Array:
    """Train by theta <- theta - eta D grad; return the outputs from t = 0 on."""
    parameters, target = list(fitted.net.parameters()), torch.as_tensor(y)
    path = np.empty((steps + 1, len(y)))
    for t in range(steps + 1):
        output = fitted.net(fitted.z).flatten()
        path[t] = output.detach().numpy()
        gradients = torch.autograd.grad(0.5 * (output - target).square().sum(), parameters)
        with torch.no_grad():
            for w, d, g in zip(parameters, D, gradients, strict=True):
                w.sub_(eta * d * g)
    return path


def _gap(curve: Array, other: Array) -> float:
    return float(np.abs(curve - other)[: int(curve.argmax()) + 1].max())


def conditions(n: int, width: int, seeds: int, seed: int, smooth: float) -> tuple[Array, Array]:
    """Return condition numbers of the kernel, a seed each, at depth 3 and at depth 15."""
    found = []
    for layers in (3, 15):
        nets = (smooth_input(Fitted.draw(n, width, layers, seed + i), smooth) for i in range(seeds))
        found.append(np.array([one.jacobian().condition().number for one in nets]))
    return found[0], found[1]


def beside_non_local_means(y: Array, seed: int, width: int) -> tuple[Array, Array, float]:
    """Compare the kernel of a network whose input is y with the weights of non-local means.

    Of two layers and patches of 5 samples. The weights are exp(-|P_i - P_j|^2 / h^2) of patches
    with h^2 twice the noise power of a patch.

    Returns:
        Kernel and weights, `(n, n)`, and the correlation of their entries off the diagonal.
    """
    taps = 5
    fitted = Fitted.draw(len(y), width, 2, seed, taps, inputs=1)
    z = torch.as_tensor((y - y.mean()) / y.std()).reshape(1, 1, -1)
    weights = dict(fitted.net.named_parameters())
    theta = Jacobian.of_network(fitted.net, weights, z).ntk().numpy()
    padded = np.pad(y, taps // 2)
    patches = np.lib.stride_tricks.sliding_window_view(padded, taps)
    distances = ((patches[:, None] - patches[None]) ** 2).sum(-1)
    similar = np.exp(-distances / (2 * taps * SIGMA**2))
    off = ~np.eye(len(y), dtype=bool)
    return theta, similar, float(np.corrcoef(theta[off], similar[off])[0, 1])


LAB = Lab(
    "ntk-filter",
    "Training a wide network is a fixed linear filter: Eq. (6) and Fig. 4",
    "tutorial, Eq. (6), Fig. 4; Tachella et al., CVPR 2021",
    ntk_filter,
)
