"""Theorem 1's bound for a deep decoder: its own singular vectors, a trained and a linear one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from untrained.data.phantoms import brain
from untrained.lab.jacobian import Jacobian
from untrained.nets import DeepDecoder, DrawnFrom

Array = np.ndarray


@dataclass(frozen=True)
class Decoded:
    """Hold what became of compressed sensing with a deep decoder, relative to |x|^2.

    Attributes:
        error: of the trained network, squared.
        linear: of the limit of its linearisation at the drawn weights, squared.
        bound: (sum_i s_i^-2 <w_i, x - f_0>^2) sum_(i > 2m/3) s_i^2, without the constant.
        misfit: |A f - y|^2 / |y|^2 after the last step.
        values: singular values of the Jacobian at the drawn weights, largest first.
    """

    error: float
    linear: float
    bound: float
    misfit: float
    values: Array


def decoded(side: int, width: int, steps: int, seed: int) -> Decoded:
    """Measure half as many Gaussian combinations as pixels of a phantom; fit without stopping.

    Args:
        side: of the image, a multiple of 4: two doublings.
        width: channels of every layer and of the input.
        steps: of gradient descent on ||A f - y||^2 / 2, half the largest stable rate.
        seed: of network, input and A.
    """
    n, m = side**2, side**2 // 2
    x = np.abs(brain(side)).flatten().astype(float)
    A = np.random.default_rng(seed).standard_normal((m, n)) / m**0.5
    with DrawnFrom(seed):
        description = DeepDecoder(channels=width, depth=2, sigmoid=False, sides=(side, side))
        net = description.build(width, 1).double()
        z = torch.rand(1, width, *net.input_sides, dtype=torch.float64)
    weights = dict(net.named_parameters())
    dense = Jacobian.of_network(net, weights, z).dense().numpy()
    W, s, _ = np.linalg.svd(dense, full_matrices=False)
    first = net(z).detach().numpy().flatten()
    y = A @ x
    theta = dense @ dense.T
    seen = A @ theta @ A.T
    linear = first + theta @ A.T @ np.linalg.pinv(seen, rcond=1e-10) @ (y - A @ first)
    target, matrix = torch.as_tensor(y), torch.as_tensor(A)
    optimiser = torch.optim.SGD(net.parameters(), lr=float(1.0 / np.linalg.eigvalsh(seen)[-1]))
    for _ in range(steps):
        optimiser.zero_grad()
        misfit = (matrix @ net(z).flatten() - target).square().sum()
        (misfit / 2).backward()
        optimiser.step()
    found = net(z).detach().numpy().flatten()
    size, kept = float(x @ x), s > 1e-10 * s[0]
    inside = float(((W.T @ (x - first))[kept] ** 2 / s[kept] ** 2).sum())
    tail = float((s[int(np.floor(2 * m / 3)) :] ** 2).sum())
    return Decoded(
        error=float(((found - x) ** 2).sum()) / size,
        linear=float(((linear - x) ** 2).sum()) / size,
        bound=inside * tail / size,
        misfit=float(((A @ found - y) ** 2).sum() / (y @ y)),
        values=s,
    )
