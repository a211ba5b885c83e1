"""Our own method: DIP that starts at a classical image and is mixed with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.classical import baseline
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.maths import tv
from untrained.methods.aseqdip import ASeqDIP
from untrained.methods.card import HYBRID, Card
from untrained.methods.inputs import jittered, uniform_input
from untrained.methods.presets import SLACK, sequential
from untrained.nets import Compact
from untrained.priors import DENOISER
from untrained.rules import Blend, HeldOut
from untrained.tasks import ALL_TASKS, find_task


@dataclass(frozen=True)
class House(Method):
    r"""A Deep Image Prior that starts from the classical answer and is mixed with it.

    .. math:: \min_\theta \|W^{1/2}(A f_\theta(z + \sigma_p \varepsilon_t) - y)\|^2
              + \lambda\,\mathrm{TV}(f_\theta(z + \sigma_p \varepsilon_t)), \qquad
              z = (u,\ x_c),\quad u \sim U(0, a)

    z holds channels of fixed noise, as in DIP, and the classical image of the measurements that
    may be seen (`classical.baseline`, another for every task): the noise lets the network draw what
    that image lacks, the image spares it hundreds of steps. The recipe's output rule mixes the
    averaged images with the classical one by their error on held-out measurements (see `Blend`),
    so that the answer follows it where the network adds nothing; few CT views leave too little to
    judge by. The learning rate falls to almost nothing, which makes the last image the best or
    nearly.

    The data term is divided by ||W^(1/2) A||^2, the largest squared singular value, and lambda is
    relative to the level of A^H y (`Problem.adjoint_level`): there it was set.

    A nonlinear physics without a Jacobian has no classical image: its `initial(y)` takes that
    place.

    Sources: the parts are Ulyanov et al. 2018 (noise input, jitter), Liu et al. 2019 (TV term);
    their combination, settings and evidence are this library's (docs/methods/house.md).

    Args:
        rounds: optimiser steps.
        lam: lambda; TV is `maths.tv`, the mean of the absolute differences.
        jitter: sigma_p.
        channels: noise channels.
        amplitude: a.
        guided: whether z holds the classical image.
    """

    name: ClassVar[str] = "house"
    nonlinear: ClassVar[bool] = True
    rounds: int = 250
    inner: int = 1
    lam: float = 0.002
    jitter: float = 0.03
    channels: int = 32
    amplitude: float = 0.1
    guided: bool = True

    def input_channels(self, image_channels: int) -> int:
        """Count the noise channels and those of the classical image."""
        return self.channels + (image_channels if self.guided else 0)

    def start(self, s: State) -> None:
        """z = (noise, classical image), fixed; every weight of f is trained."""
        z = uniform_input(s, self.channels, self.amplitude)
        if self.guided:
            z = torch.cat([z, baseline(s.problem)], dim=1)
        s["z"] = z
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||W^(1/2) (A f(z) - y)||^2 + lambda TV(f(z))."""
        x = s.net(jittered(s, self.jitter))
        weight = self.lam * s.problem.adjoint_level
        return x, {"data": s.problem.misfit(x, "norm"), "tv": weight * tv(x)}


@dataclass(frozen=True)
class Unguided(ASeqDIP):
    """`aseqdip` as the network of `house`: it does not see the classical image it is mixed with."""

    name: ClassVar[str] = "house"


@dataclass(frozen=True)
class Settings:
    """What one task sets.

    Args:
        steps: optimiser steps of `fast` and of `best`.
        lam: lambda.
        guided: whether z holds the classical image.
        output: how the answer is mixed from the network's images and the classical one.
        held_out: fraction of the measurements that is held out.
        skip: first steps of `fast` and of `best` that the stop rule does not consider.
        more: the fit of all measurements goes on from the first fit for this fraction of its
            steps; 0 = it starts anew.
        weighting: of the residuals.
    """

    steps: tuple[int, int] = (250, 500)
    lam: float = 0.002
    guided: bool = True
    # many pixels are held out, and decide alone
    output: Blend = field(default_factory=Blend)
    held_out: float = 0.05
    skip: tuple[int, int] = (20, 20)
    more: float = 0.0
    weighting: str = "uniform"


SETTINGS = {
    # after more steps the network draws noise. Held-out noisy pixels judge how an image fills gaps,
    # where the classical one is poor, and not how it denoises: the share is drawn to 0.15
    "denoise": Settings(steps=(150, 150), lam=0.025, output=Blend(share=0.15, prior=1.0), more=0.2),
    "inpaint": Settings(output=Blend(mu=0.1), more=0.2),
    # a coarse measurement says little more than its classical image, in which the network gets
    # stuck if it is given
    "superres": Settings(steps=(100, 200), lam=0.06, guided=False, more=0.2),
    # the network adds little to the classical image, soon
    "deblur": Settings(steps=(80, 250), lam=0.0005, more=0.2),
    # likewise; a tenth of the network cost 0.2 dB on half of the columns without adding elsewhere
    "mri": Settings(steps=(80, 250), output=Blend(share=0.0, prior=3.0), skip=(50, 100), more=0.2),
    # a network that is guided by the classical image adds nothing; two views of thirty are few to
    # mix images by
    "ct": Settings(
        steps=(60, 60),
        lam=0.03,
        output=Blend(share=0.0, prior=3.0),
        held_out=0.15,
        more=0.2,
        weighting="half-ramp",
    ),
    # a few injections judge, and a network was below the classical image on every body measured
    "eit": Settings(steps=(150, 300), output=Blend(share=0.0, prior=10.0), held_out=0.15, more=0.2),
}
"""A row a task; the defaults of `Settings` elsewhere. The slack of the stop rule is SLACK's."""


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`; there is no paper, so `paper` is `best`.

    `best` on CT mixes the classical image with `aseqdip` in its `fast` preset, which is not guided
    by it and therefore errs in other places.
    """
    best = preset != "fast"
    if best and task == "ct":
        made = sequential(Unguided(inner=10), task, "fast", "this library; docs/methods/house.md")
        return replace(made, output=Blend(share=0.0, prior=1.0), seeds=3)
    row = SETTINGS.get(task, Settings())
    return Recipe(
        method=House(rounds=row.steps[best], lam=row.lam, guided=row.guided),
        net=Compact(
            widths=(32 if best else 16, 32, 64, 128, 128), skip=16, sigmoid=find_task(task).bounded
        ),
        engine=Engine("muon", lr=0.02, warmup=10, schedule="cosine", final=0.02),
        stop=HeldOut(
            fraction=row.held_out,
            patience=250,
            skip=row.skip[best],
            slack=SLACK.get(task, 0.03),
            again=True,
            more=row.more,
        ),
        output=row.output,
        weighting=row.weighting,
        seeds=3 if best else 1,
        source="this library; evidence in docs/results.md",
    )


CARD = Card(
    name="house",
    title="our own: DIP made fast and stable, mixed with a classical image",
    source="this library",
    family=HYBRID,
    tasks=ALL_TASKS,
    optimises="the network",
    prior=DENOISER,
    recipe=recipe,
)
