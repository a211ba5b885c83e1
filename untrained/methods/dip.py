"""Deep Image Prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import EARLY_STOPPING, Card
from untrained.methods.inputs import jittered, pixel_coordinates, uniform_input
from untrained.methods.presets import fast
from untrained.nets import SKIP
from untrained.rules import Average, Rollback
from untrained.tasks import ALL_TASKS, find_task

INPUTS = ("noise", "meshgrid")


@dataclass(frozen=True)
class DIP(Method):
    r"""Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018, arXiv 1711.10925), Eq. 2.

    .. math:: \min_\theta \|A f_\theta(z + \sigma_p\varepsilon_t) - y\|^2, \qquad z \sim
              \tfrac1{10} U(0,1)\ \text{fixed},\quad \varepsilon_t \sim N(0, I)

    The network fits natural structure before it fits noise, so the run is ended early and the
    outputs are averaged. For large holes z is the mesh grid, the coordinates (x, y) of every pixel
    in [0, 1]; for text every kernel w of theta takes a random step after every step,

    .. math:: w \leftarrow w + \rho\, \mathrm{std}(w)\, \xi, \qquad \xi \sim N(0, I), \quad
              \rho = \tfrac1{50}

    Differs from the released code: the data term is divided by the operator's mean squared
    singular value (see `Problem`; for denoising it is the code's mean squared error); the code's
    super-resolution uses a Lanczos operator that differs from the one that made its data, here
    the physics is the caller's; the input is padded inside the network instead of cropping the
    image; the code's line of the random step (`param_noise`) makes new tensors and changes no
    weight, here the weights move.

    Args:
        rounds: K, optimiser steps (N = 1).
        jitter: sigma_p, the standard deviation of the input's perturbation at each step.
        channels: depth of z, where it is noise.
        amplitude: z is uniform on [0, amplitude).
        input: `noise`, or `meshgrid` for images of two axes.
        walk: rho, of the random steps of the kernels; 0 = none.
    """

    name: ClassVar[str] = "dip"
    nonlinear: ClassVar[bool] = True
    rounds: int = 3000
    inner: int = 1
    jitter: float = 1 / 30
    channels: int = 32
    amplitude: float = 0.1
    input: str = "noise"
    walk: float = 0.0

    def __post_init__(self) -> None:
        if self.input not in INPUTS:
            raise UserError(f"input={self.input!r} is unknown; known: {', '.join(INPUTS)}")

    @property
    def coordinates(self) -> bool:  # type: ignore[override]
        """Whether z is the mesh grid."""
        return self.input == "meshgrid"

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels if self.input == "noise" else 2

    def start(self, s: State) -> None:
        """z ~ U(0, amplitude) or the mesh grid, fixed; every weight of f is trained."""
        if self.input == "noise":
            s["z"] = uniform_input(s, self.channels, self.amplitude)
        else:
            s["z"] = pixel_coordinates(s, "dip with input=meshgrid", 0.0, 1.0).flip(1)
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f(z + sigma_p eps) - y||^2."""
        x = s.net(jittered(s, self.jitter))
        return x, {"data": s.problem.misfit(x)}

    def advance(self, s: State) -> None:
        """w <- w + rho std(w) xi, convolution kernels only."""
        if not self.walk:
            return
        kernel_axes = 3 + len(s.input_sides)  # the problem's, two of channels, the spatial ones
        for name, w in s.weights.items():
            if w.ndim == kernel_axes:
                size = w.std(tuple(range(1, w.ndim)), keepdim=True)
                w.add_(self.walk * size * s.noise(f"walk/{name}", w.shape[1:]))


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

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
        net=SKIP if find_task(task).unit_range else replace(SKIP, sigmoid=False),
        engine=Engine("adam", lr=0.001 if task == "inpaint" else 0.01, precision="fp32"),
        output=Average(decay=0.99, keep_best=False),
        guard=Rollback() if task == "denoise" else None,
        source=f"Ulyanov et al. 2018, {source}",
    )


CARD = Card(
    name="dip",
    title="Deep Image Prior",
    source="Ulyanov, Vedaldi, Lempitsky, CVPR 2018",
    family=EARLY_STOPPING,
    tasks=ALL_TASKS,
    optimises="the network",
    recipe=recipe,
)
