"""DeepRED: Deep Image Prior with a denoiser as regulariser, by splitting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from untrained.classical import find_denoiser
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import mse
from untrained.methods.card import HYBRID, Card
from untrained.methods.inputs import jittered, uniform_input
from untrained.methods.presets import fast
from untrained.nets import SKIP
from untrained.priors import DENOISER
from untrained.rules import Average
from untrained.tasks import LINEAR_TASKS, find_task

SCHEMES = ("red", "admm", "hqs")
ANSWERS = ("f", "x", "x-u")


@dataclass(frozen=True)
class DeepRED(Method):
    r"""Mataev, Milanfar, Elad: DeepRED (ICCV workshops 2019, arXiv 1903.10176), Alg. 1.

    .. math:: \min_{\theta, x} \tfrac12\|A f_\theta(z) - y\|^2 + \tfrac\beta2 x^T (x - D(x)) \quad
              \text{s.t. } x = f_\theta(z)

    by ADMM with the scaled dual u. Every N steps on
    :math:`\|A f - y\|^2 + \mu \|f - (x - u)\|^2`,

    .. math:: x \leftarrow \frac{\beta D(x) + \mu (f + u)}{\beta + \mu}, \qquad
              u \leftarrow u + f - x .

    D is a denoiser that is never differentiated. Two other splittings share the loop:
    `scheme=admm` is plug-and-play ADMM, x <- D(f + u); `scheme=hqs` is half-quadratic splitting,
    x <- D(f) with u = 0. Both take beta as unused.

    The data term is divided by ||A||^2, the largest squared singular value, and both terms by the
    number of image entries.

    Differs from the released code, whose order is `inner=1, cache=10, fresh=false`: x and u move
    at every optimiser step, from that step's own output with its jitter, and D(x) is made anew at
    every 10th (a first x that no denoiser saw stands in for D(x) until then). There it comes from a
    thread, some steps late and never twice the same; here it is in step with the network. The
    code's super-resolution returns `answer=x-u`, its denoising the averaged f. NLM takes all
    channels together, there one by one; super-resolution's D was BM3D in Matlab, and its operator
    is the caller's here; the schedule that raises beta and mu once f comes near to y is left out.

    Args:
        rounds: K, updates of x.
        inner: N, optimiser steps between them.
        beta: weight of the denoiser (the paper's lambda).
        mu: of the splitting.
        strength: standard deviation of the noise that D removes, in the image's units, > 0.
        denoiser: `nlm`, `tv`, `dct`, `lowrank`, `nlbayes`, or `package.module:function` (image
            `(C, H, W)`, strength -> image). A pre-trained one (`--prior`) takes its place;
            a strength that it was not trained on is brought
            to the nearest level that it was, and a note says so.
        scheme: `red`, `admm` or `hqs`.
        cache: updates of x for which one D(x) is kept; 1 = it is made for each (`red` only).
        fresh: whether x and u move by a new f(z), or by the output of the step before.
        answer: the image of a step, `f`, `x` or `x-u`; x and u are those before its update.
        jitter, channels, amplitude: of the input, as in DIP.
    """

    name: ClassVar[str] = "deepred"
    rounds: int = 600
    inner: int = 10
    beta: float = 0.5
    mu: float = 0.5
    strength: float = 3 / 255
    denoiser: str = "nlm"
    scheme: str = "red"
    cache: int = 1
    fresh: bool = True
    answer: str = "f"
    jitter: float = 0.033
    channels: int = 32
    amplitude: float = 0.1

    def __post_init__(self) -> None:
        for field, known in (("scheme", SCHEMES), ("answer", ANSWERS)):
            if getattr(self, field) not in known:
                raise UserError(
                    f"{field}={getattr(self, field)!r} is unknown; known: {', '.join(known)}"
                )
        if self.cache < 1 or (self.cache > 1 and self.scheme != "red"):
            raise UserError(
                f"cache={self.cache}: D(x) is kept for 1 update or more, and by scheme=red only"
            )
        if not self.strength > 0:
            raise UserError(f"strength must be positive, got {self.strength}")
        find_denoiser(self.denoiser)

    def levels_asked(self) -> tuple[float, ...]:
        """Give the strength."""
        return (self.strength,)

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels

    def start(self, s: State) -> None:
        """z ~ U(0, amplitude), x <- A^H y, u <- 0; every weight of f is trained."""
        if len(s.problem.x_shape) != 3:
            raise UserError(f"deepred's denoisers take 2-D images, not {s.problem.x_shape}")
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s["x"] = s.problem.estimate()
        s["u"] = s["x"] * 0
        if self.cache > 1:
            s["D(x)"] = s["x"]
        if not self.fresh:
            s["f"] = s["x"]
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A f - y||^2 + mu ||f - (x - u)||^2."""
        f, x, u = s.net(jittered(s, self.jitter)), s["x"], s["u"]
        if not self.fresh:
            s["f"] = f
        terms = {"data": s.problem.misfit(f, "norm"), "splitting": self.mu * mse(f, x - u)}
        return {"f": f, "x": x, "x-u": x - u}[self.answer], terms

    def advance(self, s: State) -> None:
        """Update x and u."""
        f, x, u = s.net(s["z"]) if self.fresh else s["f"], s["x"], s["u"]
        if self.scheme == "red":
            x = (self.beta * self._denoised(s) + self.mu * (f + u)) / (self.beta + self.mu)
        else:
            x = self._denoise(s, f + u)
        if s.problem.unit_range:
            x = x.clamp(0, 1)
        s["x"] = x
        if self.scheme != "hqs":
            s["u"] = u + f - x

    def _denoised(self, s: State) -> Tensor:
        """D(x), new or kept."""
        if s.step // self.inner % self.cache:
            return s["D(x)"]
        denoised = self._denoise(s, s["x"])
        if self.cache > 1:
            s["D(x)"] = denoised
        return denoised

    def _denoise(self, s: State, x: Tensor) -> Tensor:
        """D(x): of the pre-trained denoiser where the run was given one."""
        if s.start.prior is not None:
            return s.denoiser.denoise(x, self.strength)
        return find_denoiser(self.denoiser)(x, self.strength)


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    What the paper has not takes those of deblurring.
    """
    method, rate = {
        "denoise": (DeepRED(), 0.008),
        "superres": (
            DeepRED(200, beta=0.05, mu=0.06, strength=5 / 255, jitter=0.02),
            0.001,
        ),
    }.get(task, (DeepRED(3000, beta=0.02, mu=0.04, jitter=0.01), 0.004))
    if preset != "paper":
        return fast(method, task, preset, "DeepRED with the fast engine")
    deblur = task not in ("denoise", "superres")
    return Recipe(
        method=method,
        net=SKIP if find_task(task).unit_range else replace(SKIP, sigmoid=False),
        engine=Engine("adam", lr=rate, precision="fp32")
        if not deblur
        else Engine("adam", lr=rate, schedule="steps", every=1000, drop=0.9, precision="fp32"),
        output=Average(decay=0.99, keep_best=False),
        source="authors' notebooks: denoising 6,000 steps, x4 2,000, deblurring 30,000",
    )


CARD = Card(
    name="deepred",
    title="DeepRED: DIP with a denoiser as regulariser, by splitting",
    source="Mataev, Milanfar, Elad, ICCV workshops 2019",
    family=HYBRID,
    tasks=LINEAR_TASKS,
    optimises="the network, with updates of the image",
    prior=DENOISER,
    recipe=recipe,
)
