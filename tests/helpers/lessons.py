"""Small trainings: what they learn from, their settings, and the weights that they leave."""

from functools import cache

import torch
from torch import Tensor

from untrained import METHODS, Problem, nets
from untrained.core.engine import Engine
from untrained.methods.card import CLEAN_IMAGES
from untrained.physics import Inpaint
from untrained.pretrain import Weights, clean_problem, train

SMALL = nets.Compact(widths=(4, 6), skip=2)
ADAM = Engine("adam", lr=0.01, precision="fp32")
SHRINK = {
    "ugodit": ("net.widths=4,6", "net.skip=2"),
    "edip": ("net.widths=4,6", "net.skip=2"),
    "metadip": ("net.widths=4,6", "net.skip=2", "adapt=3"),
    "strainer": ("net.width=8", "net.layers=2"),
    "nerp": ("net.width=8", "net.layers=2", "net.features=4"),
}
NAMES = sorted(name for name, card in METHODS.items() if card.training)
FROM_IMAGES = [n for n in NAMES if METHODS[n].training.learns_from == CLEAN_IMAGES]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def hole(index: int) -> Problem:
    """An image of its own with a mask of its own."""
    mask = draw(9, 11, seed=50 + index) < 0.7
    physics = Inpaint(mask.float(), (1, 9, 11))
    return Problem(physics.A(draw(1, 1, 9, 11, seed=index)), physics)


def inputs(name: str, count: int = 2) -> list[Problem]:
    if name in FROM_IMAGES:
        return [clean_problem(draw(1, 1, 9, 11, seed=i)) for i in range(count)]
    return [hole(i) for i in range(1 if name == "edip" else count)]


@cache
def learned(name: str, steps: int = 6) -> Weights:
    """Learn once for all tests and return the weights, which must not be changed."""
    return learn(name, steps)


def learn(name: str, steps: int = 6, **options: object) -> Weights:
    weights, _ = train(
        name, inputs(name), task="inpaint", settings=SHRINK[name], steps=steps, **options
    )  # type: ignore[arg-type]
    return weights
