"""Deep Image Prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.methods.inputs import jittered, uniform_input
from untrained.methods.presets import PHOTOGRAPHS, fast
from untrained.nets import SKIP
from untrained.rules import Average, Rollback


@dataclass(frozen=True)
class DIP(Method):
    r"""Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018, arXiv 1711.10925), Eq. 2.

    .. math:: \min_\theta \|A f_\theta(z + \sigma_p\varepsilon_t) - y\|^2, \qquad z \sim
              \tfrac1{10} U(0,1)\ \text{fixed},\quad \varepsilon_t \sim N(0, I)

    The network fits natural structure before it fits noise, so the run is ended early and the
    outputs are averaged.

    Differs from the released code: the data term is divided by the operator's mean squared
    singular value (see `Problem`; for denoising it is the code's mean squared error); the code's
    super-resolution uses a Lanczos operator that differs from the one that made its data, here
    the physics is the caller's; the input is padded inside the network instead of cropping the
    image.

    Args:
        rounds: K, optimiser steps (N = 1).
        jitter: sigma_p, the standard deviation of the input's perturbation at each step.
        channels: depth of z.
        amplitude: z is uniform on [0, amplitude).
    """

    name: ClassVar[str] = "dip"
    nonlinear: ClassVar[bool] = True
    rounds: int = 3000
    inner: int = 1
    jitter: float = 1 / 30
    channels: int = 32
    amplitude: float = 0.1

    def input_channels(self, image_channels: int) -> int:
        """Depth of z."""
        return self.channels

    def start(self, s: State) -> None:
        """z ~ U(0, amplitude), fixed; every weight of f is trained."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """||A f(z + sigma_p eps) - y||^2."""
        x = s.net(jittered(s, self.jitter))
        return x, {"data": s.problem.misfit(x)}


def recipe(task: str, preset: str) -> Recipe:
    """The settings of `preset` on `task`.

    `paper` is the notebooks' for photographs and, where the paper has no such task (deblurring,
    MRI, CT), the 4,000 steps that aSeqDIP (App. C.6) gives this baseline, with a linear head.
    """
    method, source = {
        "denoise": (DIP(3000), "denoising notebook, sigma 25: 3,000 steps, jitter 1/30"),
        "superres": (DIP(2000, jitter=0.03), "super-resolution notebook, x4: 2,000 steps"),
        "inpaint": (DIP(11000, jitter=0.03), "restoration notebook, 50% missing: 11,000 steps"),
    }.get(task, (DIP(4000), "baseline of aSeqDIP, App. C.6: 4,000 steps"))
    if preset != "paper":
        return fast(method, task, preset, "DIP's equations with the fast engine")
    return Recipe(
        method=method,
        net=SKIP if task in PHOTOGRAPHS else replace(SKIP, sigmoid=False),
        engine=Engine("adam", lr=0.001 if task == "inpaint" else 0.01, precision="fp32"),
        output=Average(decay=0.99, keep_best=False),
        guard=Rollback() if task == "denoise" else None,
        source=f"Ulyanov et al. 2018, {source}",
    )
