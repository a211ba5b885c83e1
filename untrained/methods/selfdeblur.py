"""SelfDeblur: one network for the image, one for the kernel that blurred it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained.classical.blur_kernel import kernel_from_edges
from untrained.classical.fill import fill_gaps
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import tv
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.inputs import jittered, uniform_input
from untrained.nets import SKIP, Compact
from untrained.rules import Average, HeldOut

OURS = ("first=edges", "lam=0.06", "switch=1", "kernel_rate=0")
"""Settings with which `auto` runs it on an unknown kernel (docs/blind.md): the kernel of the edges
stays, since the networks made it worse."""

LAYERS = ("first", "second")
FIRST = ("noise", "edges")
FAINT = 1e-5
"""Least value of a tap of the first kernel, so that its logarithm can still grow."""
WINDOW, WIDTH = 11, 1.5
"""Side and standard deviation of SSIM's Gaussian window, in pixels."""


@dataclass(frozen=True)
class SelfDeblur(Method):
    r"""Ren, Zhang, Wang, Hu, Zuo: Neural blind deconvolution using deep priors (CVPR 2020, arXiv
    1908.02197), Alg. 1 (joint optimisation).

    .. math:: \min_{\theta_x, \theta_k} \ell\bigl(k * x,\ y\bigr) + \lambda\,\mathrm{TV}(x), \qquad
              x = G_x(z_x + \sigma_p \varepsilon_t), \quad
              k = \mathrm{softmax}\bigl(W_2\,\mathrm{ReLU6}(W_1 z_k + b_1) + b_2\bigr)

    G_x ends in a sigmoid, k is not negative and has sum 1, and z_x and z_k are fixed noise. As in
    the released code l is the mean squared error at first (`switch`) and 1 - SSIM after it. Both
    networks learn together, the kernel's at a rate of its own.

    Pixels that are held out take the value of k * x: they cost nothing.

    Differs from the released code: the image has the size of y and continues as its mirror image
    (`BlindBlur`), where the code fits a larger one and cuts the middle out.

    Args:
        rounds: K, optimiser steps (N = 1).
        lam: lambda; TV is `maths.tv`.
        switch: share of the steps with the squared error.
        kernel_rate: learning rate of the kernel's network over that of the image's.
        first: the kernel that its network begins with: `noise` (the paper: what random weights
            draw, about flat), or `edges`, ours: the one that `kernel_from_edges` finds, put into
            b_2. With `kernel_rate` 0 it stays as it is.
        hidden, noise: width of the kernel's hidden layer, and of its input z_k.
        jitter: sigma_p.
        channels, amplitude: of z_x; z_k ~ U(0, amplitude), too.
    """

    name: ClassVar[str] = "selfdeblur"
    fits: ClassVar[tuple[str, ...]] = ("kernel",)
    rounds: int = 5000
    inner: int = 1
    lam: float = 0.0
    switch: float = 0.2
    kernel_rate: float = 0.01
    first: str = "noise"
    hidden: int = 1000
    noise: int = 200
    jitter: float = 0.001
    channels: int = 8
    amplitude: float = 0.1

    def __post_init__(self) -> None:
        if self.first not in FIRST:
            raise UserError(f"first must be {' or '.join(FIRST)}, got '{self.first}'")

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z_x."""
        return self.channels

    def within(self, steps: int) -> SelfDeblur:
        """Take so many steps; `switch` is a share of them."""
        return replace(self, rounds=steps)

    def start(self, s: State) -> None:
        """z_x, z_k ~ U(0, amplitude), fixed; every weight of both networks is trained."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.train_net()
        s["kernel/z"] = self.amplitude * s.noise("kernel z", (self.noise,), "uniform")
        taps = math.prod(s["theta/kernel"].shape[1:])
        for layer, rows, columns in zip(
            LAYERS, (self.hidden, taps), (self.noise, self.hidden), strict=True
        ):
            bound = columns**-0.5  # as torch draws a linear layer
            for part, shape in (("weight", (rows, columns)), ("bias", (rows,))):
                name = f"kernel/{layer}.{part}"
                s[name] = bound * (2 * s.noise(name, shape, "uniform") - 1)
                s.train(name, self.kernel_rate)
        if self.first == "edges":
            self._begin_at_edges(s)

    def _begin_at_edges(self, s: State) -> None:
        """Set b_2 so that the first kernel is the one that the edges of y tell."""
        sides = tuple(s["theta/kernel"].shape[1:])
        y, keep = s.problem.y, s.problem.keep
        if keep is not None:  # pixels that are held out
            y = fill_gaps(y, keep.expand_as(y))
        planes = y.mean(1).double().cpu().numpy()
        kernels = [kernel_from_edges(plane, (sides[0], sides[1])) for plane in planes]
        wanted = torch.from_numpy(np.stack(kernels)).to(s["kernel/z"]).clamp_min(FAINT).log()
        hidden = functional.relu6(_linear(s, "first", s["kernel/z"]))
        drawn = torch.einsum("gmn,gn->gm", s["kernel/second.weight"], hidden)
        s["kernel/second.bias"] = wanted.flatten(1) - drawn

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute l(k * x, y) + lambda TV(x)."""
        kernel = self.kernel(s)
        s["theta/kernel"] = kernel  # what the rules see; the gradient goes through `kernel`
        problem = s.problem.at(kernel=kernel)
        x = s.net(jittered(s, self.jitter))
        blurred = problem.physics.A(x)
        if s.step < self.switch * self.rounds:
            data = problem.cost(problem.visible(blurred) - problem.y)
        else:
            keep = problem.keep
            seen = problem.y if keep is None else problem.y + (1 - keep) * blurred
            data = 1 - ssim(blurred, seen)
        return x, {"data": data, "tv": self.lam * tv(x)}

    def kernel(self, s: State) -> Tensor:
        """Compute k, `(G, h, w)`."""
        hidden = functional.relu6(_linear(s, "first", s["kernel/z"]))
        taps = _linear(s, "second", hidden).softmax(1)
        return taps.reshape(s["theta/kernel"].shape)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Compute the mean structural similarity of images in [0, 1] with gradients, `(G,)`.

    Args:
        a, b: `(G, C, H, W)`, sides of at least 11 pixels.
    """
    axis = torch.arange(WINDOW, device=a.device) - WINDOW // 2
    line = torch.exp(-0.5 * (axis / WIDTH).square()).to(a.dtype)
    window = (line[:, None] * line / line.sum().square())[None, None]

    def mean(x: Tensor) -> Tensor:
        return functional.conv2d(x.flatten(0, 1)[:, None], window).reshape(len(a), -1)

    mean_a, mean_b = mean(a), mean(b)
    square_a, square_b = mean(a * a) - mean_a.square(), mean(b * b) - mean_b.square()
    both = mean(a * b) - mean_a * mean_b
    similar = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
    different = (mean_a.square() + mean_b.square() + 1e-4) * (square_a + square_b + 9e-4)
    return (similar / different).mean(1)


def _linear(s: State, layer: str, x: Tensor) -> Tensor:
    """Apply a layer of each problem's kernel network, `(G, n)` -> `(G, m)`."""
    weight, bias = s[f"kernel/{layer}.weight"], s[f"kernel/{layer}.bias"]
    return torch.einsum("gmn,gn->gm", weight, x) + bias


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset`."""
    if preset == "paper":
        return Recipe(
            method=SelfDeblur(),
            net=replace(SKIP, skip=(16,) * 5),
            engine=Engine(
                "adam", lr=0.01, schedule="steps", drop=0.5, every=1000, precision="fp32"
            ),
            output=Average(decay=0.0, keep_best=False),
            source="Ren et al. 2020 and its code for Levin's pictures: 5,000 steps",
        )
    wide = preset == "best"
    steps = {"fast": 250, "best": 1000}[preset]
    return Recipe(
        method=SelfDeblur(steps, kernel_rate=0.1),
        net=Compact(widths=(32 if wide else 16, 32, 64, 128, 128), skip=16, sigmoid=True),
        engine=Engine("adam", lr=0.01, warmup=10, schedule="cosine", final=0.02),
        stop=HeldOut(fraction=0.05, patience=250, skip=50, slack=0.03),
        output=Average(decay=0.95),
        steps=steps,
        source="SelfDeblur's equations with a compact network",
    )


CARD = Card(
    name="selfdeblur",
    title="blind deblurring: a second network draws the kernel",
    source="Ren, Zhang, Wang, Hu, Zuo, CVPR 2020",
    family=REPARAMETERISATION,
    tasks=("deblur",),
    optimises="a network for the image and one for the kernel",
    recipe=recipe,
)
