"""Educated DIP: supervised pre-training on synthetic images, then DIP with total variation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.classical import filtered
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Never
from untrained.core.state import State
from untrained.maths import level, mse, tv
from untrained.methods.card import GEOMETRY, LOW_DATA, WEIGHTS, Card, Training
from untrained.methods.phantoms import phantoms
from untrained.methods.presets import fast
from untrained.nets import Compact, EdipUNet
from untrained.problem import Problem
from untrained.rules import Last, Lowest
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class EDIPTraining(Method):
    r"""Supervised pre-training of Barbano et al. (IEEE TCI 2022, arXiv 2111.11926).

    .. math:: \min_\theta \mathbb{E} \|f_\theta(A^\dagger y / c) - x / c\|^2, \qquad
              y = A x + \text{noise}

    with c the 99.9th percentile of :math:`|A^\dagger y|`, over random ellipses and rectangles x,
    drawn anew at every step, measured as the scan is. A^dagger is filtered backprojection for CT,
    the scaled adjoint elsewhere.

    Differs from the released code: rectangles beside ellipses, for edges that are straight;
    the noise is relative to the mean size of A x, as there; c takes the place of its affine layers,
    which hold the mean and deviation of the training set, and of a factor per scan set by hand.
    Normalisations see one image each.

    Args:
        rounds: steps.
        batch: images a step; the problem is a group of as many, all of one geometry.
        noise: standard deviation of the noise relative to the mean of |A x|.
    """

    name: ClassVar[str] = "edip-training"
    rounds: int = 100_000
    inner: int = 1
    batch: int = 32
    noise: float = 0.05

    def start(self, s: State) -> None:
        """Share one network among all images."""
        s.share(list(s.weights))
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||f(A^dagger y) - x||^2."""
        scan = s.problem.select(0)
        with torch.no_grad():
            x = scan.supported(phantoms(s, complex_image=scan.complex_image))
            y = scan.physics.A(x)
            sigma = self.noise * y.abs().flatten(1).mean(1)
            sigma = sigma.reshape(-1, *[1] * (y.ndim - 1))
            noise = [s.noise(f"noise {g}", y.shape[1:])[:1] for g in range(s.size)]
            z = first_image(scan.with_measurements(y + sigma * torch.cat(noise)))
            c = level_of(z)
        out = s.net(z / c)
        return c * out, {"data": mse(out, x / c)}


@dataclass(frozen=True)
class EDIP(Method):
    r"""Fine-tuning of Barbano et al. (IEEE TCI 2022).

    .. math:: \min_\theta \|A x - y\|^2 + \gamma\,\mathrm{TV}(x), \qquad
              x = c f_\theta(z / c),\quad z = A^\dagger y,\quad
              \text{from}\ \theta\ \text{of `EDIPTraining`}

    Both terms are divided by the number of image entries and the data term by ||A||^2, the largest
    squared singular value, as in `TVDIP`; the paper's gamma (1e-4 for a mean over measurements and
    a sum over pixels) depends on the scan's units, so gamma is ours. The released code also clamps
    every parameter to [-1000, 1000] after each step, which never acted in our runs.

    Args:
        rounds: steps.
        gamma: of the total variation.
    """

    name: ClassVar[str] = "edip"
    rounds: int = 10_000
    inner: int = 1
    gamma: float = 0.001

    def start(self, s: State) -> None:
        """z = A^dagger y, fixed, and its level c; every weight is trained."""
        z = first_image(s.problem)
        s["c"] = level_of(z)
        s["z"] = z / s["c"]
        s.train_net()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A x - y||^2 + gamma TV(x), x = c f(z / c), in units of A^H y's level."""
        x = s["c"] * s.net(s["z"])
        unit = s.problem.adjoint_level
        data = s.problem.misfit(x, "norm") / unit.square()
        return x, {"data": data, "tv": self.gamma * tv(x) / unit}


def first_image(problem: Problem) -> Tensor:
    """A^dagger y: filtered backprojection for CT, else the scaled adjoint."""
    return filtered(problem) if problem.task == "ct" else problem.estimate()


def level_of(image: Tensor) -> Tensor:
    """99.9th percentile of the magnitudes of each image, `(G, 1, ...)`; 1 for one of zeros."""
    return level(image.abs()).reshape(-1, *[1] * (image.ndim - 1))


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`; `paper` is the authors' configuration."""
    if preset != "paper":
        made = fast(EDIP(), task, preset, "fine-tuning with the fast engine")
        assert isinstance(made.net, Compact)
        return replace(
            made,
            # the authors' side branches are silent too: streaks of the first image pass by them
            net=replace(made.net, skip=0),
            # larger steps forget what was learned, and Adam's leave the data unfitted
            engine=Engine("muon", lr=0.005, schedule="cosine", final=0.02),
        )
    return Recipe(
        method=EDIP(),
        net=EdipUNet(),
        engine=Engine("adam", lr=1e-4, clip=1.0, precision="fp32"),
        stop=Lowest(),
        output=Last(keep_best=True),
        source="Barbano et al. 2022, authors' configuration; gamma ours",
    )


def training(task: str, preset: str) -> Recipe:
    """Return the settings of the pre-training.

    `fast` takes 1,000 steps with the network of `recipe`.
    """
    made = recipe(task, preset)
    paper = preset == "paper"
    return replace(
        made,
        method=EDIPTraining()
        if paper
        else EDIPTraining(1000 if preset == "fast" else 5000, batch=4),
        engine=Engine(
            "adam", lr=5e-4, weight_decay=1e-5, schedule="cosine", final=0.01, precision="fp32"
        )
        if paper
        else Engine("adam", lr=2e-3, warmup=20, schedule="cosine", final=0.01),
        stop=Never(),
        output=Last(),
        steps=0,
        source="Barbano et al. 2022: 32,000 images x 100 epochs"
        if paper
        else "the authors' pre-training, shorter",
    )


CARD = Card(
    name="edip",
    title="Educated DIP: a network trained on random shapes, then TV-DIP",
    source="Barbano et al., IEEE TCI 2022",
    family=LOW_DATA,
    tasks=LINEAR_TASKS,
    optimises="the network",
    recipe=recipe,
    needs=WEIGHTS,
    training=Training(
        title="a network that turns back-projections of random shapes into the shapes",
        learns_from=GEOMETRY,
        recipe=training,
        drawn=True,
    ),
)
