"""What a lab of learned starts needs: spectra along a run, similarity of layers, frozen parts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.core.rule import Frame
from untrained.core.start import StartWeights
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.lab.jacobian import Jacobian
from untrained.methods.edip import EDIP
from untrained.methods.ugodit import features
from untrained.problem import Problem
from untrained.solver.fit import Fit

Array = np.ndarray


class Spectra(Watch):
    """Keep the largest singular values of A J, J the network's Jacobian, at some steps of a run.

    Args:
        steps: after which it looks.
        count: singular values.

    Attributes:
        found: step -> singular values `(count,)`, largest first.
    """

    def __init__(self, steps: Collection[int], count: int) -> None:
        self._steps, self._count = frozenset(steps), count
        self.found: dict[int, Array] = {}

    def look(self, s: State, step: int) -> None:
        """Keep the spectrum of the weights that the state has now."""
        J = Jacobian.of_state(s).measured(s.problem)
        self.found[step] = J.svd(self._count, tolerance=0.02).values.double().numpy()

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Look where it was asked to; the weights are those after the step. No columns."""
        if frame.step in self._steps:
            self.look(s, frame.step)
        return {}


@dataclass(frozen=True)
class OtherInput(EDIP):
    """EDIP whose network is given something else than the scan's own first image.

    Args:
        source: `own`; `noise`: standard normal noise of the first image's mean square; `turned`:
            the first image upside down and transposed, as of another object.
        frozen: whether the encoder rests.
    """

    name: ClassVar[str] = "edip-other-input"
    source: str = "own"
    frozen: bool = False

    def start(self, s: State) -> None:
        """Set z as EDIP does, then replace it; the level c stays that of the scan."""
        super().start(s)
        z = s["z"]
        if self.source == "noise":
            s["z"] = s.noise("foreign", z.shape[1:]) * z.square().mean().sqrt()
        elif self.source == "turned":
            s["z"] = z.flip(-2).transpose(-1, -2)
        if self.frozen:
            encoder = set(s.part("encoder"))
            s.rates.clear()
            s.train_net(only=[name for name in s.weights if name not in encoder])


def first_state(recipe: Recipe, problem: Problem, start: StartWeights | None) -> State:
    """Return the state of a run before its first step."""
    s = State(problem, recipe.build(problem), 0, start=start)
    with torch.no_grad():
        recipe.method.start(s)
    return s


def last_state(recipe: Recipe, problem: Problem, fit: Fit) -> State:
    """Return the state of a finished run, at its last weights and input."""
    s = first_state(recipe, problem, None)
    s.take_weights(fit.weights)
    return s


def layers(s: State) -> list[Tensor]:
    """Return the maps of every layer of the encoder and the output at the state's input."""
    return [one.detach() for one in features(s, s["z"])]


def similarity(a: Tensor, b: Tensor) -> float:
    r"""Compute the linear centred kernel alignment of two layers' maps `(1, C, H, W)`.

    .. math:: \frac{\|X^T Y\|_F^2}{\|X^T X\|_F\,\|Y^T Y\|_F}

    with pixels as samples and channels as features, centred (Kornblith et al., ICML 2019). 1 for
    maps that are equal up to a rotation, a scale and an offset of the channels.
    """
    x, y = (one[0].flatten(1).T.double() for one in (a, b))
    x, y = x - x.mean(0), y - y.mean(0)
    size = (x.T @ x).norm() * (y.T @ y).norm()
    return float((x.T @ y).square().sum() / size.clamp_min(1e-300))


def drift(before: Array, after: Array) -> tuple[float, float]:
    """Return how far singular values moved: rms of the change of their logarithm.

    Returns:
        In all; and without the part that all have in common, a change of the spectrum's shape.
    """
    change = np.log(np.maximum(after, 1e-30)) - np.log(np.maximum(before, 1e-30))
    return float(np.sqrt((change**2).mean())), float(change.std())
