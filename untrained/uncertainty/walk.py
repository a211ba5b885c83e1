"""Draw images by stochastic gradient Langevin dynamics about the fit of any method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Never
from untrained.core.state import State
from untrained.problem import Problem
from untrained.rules import Posterior
from untrained.uncertainty.settings import SGLD

RATE = 0.1
"""Learning rate of the walk over the first of the fit, whose own has fallen when it ends."""

SHORTEST = 100


@dataclass(frozen=True)
class Walk(Method):
    r"""The steps of a method, each followed by noise on the convolution kernels.

    .. math:: \theta_{t+1} = \mathrm{step}(\theta_t) + \tau\,\xi_t, \qquad \xi_t \sim N(0, I)

    with tau = `noise` times the learning rate, as in `untrained.methods.sgld`, which see for how
    that differs from the textbook.

    Args:
        method: whose objective and updates they are.
        steps: how many.
        noise: tau over the learning rate.
    """

    name: ClassVar[str] = "walk"
    method: Method
    steps: int
    noise: float
    inner: int = 1

    @property
    def rounds(self) -> int:  # type: ignore[override]
        """Number of steps."""
        return self.steps

    @property
    def nonlinear(self) -> bool:  # type: ignore[override]
        """Whether the method accepts nonlinear physics."""
        return self.method.nonlinear

    @property
    def copies(self) -> int:  # type: ignore[override]
        """Networks side by side, the method's."""
        return self.method.copies

    @property
    def restarts(self) -> bool:  # type: ignore[override]
        """Whether the method's optimiser forgets its moments after every round."""
        return self.method.restarts

    @property
    def differentiates(self) -> bool:  # type: ignore[override]
        """Whether the method asks the gradient of its pre-trained network."""
        return self.method.differentiates

    def input_channels(self, image_channels: int) -> int:
        """Return the method's number of input channels."""
        return self.method.input_channels(image_channels)

    def channels_of_input(self, x_shape: tuple[int, ...]) -> int:
        """Return the method's number of input channels for images of that shape."""
        return self.method.channels_of_input(x_shape)

    @property
    def coordinates(self) -> bool:  # type: ignore[override]
        """Whether the method gives its network coordinates."""
        return self.method.coordinates

    def output_channels(self, problem: Problem) -> int:
        """Return the method's number of output channels."""
        return self.method.output_channels(problem)

    def start(self, s: State) -> None:
        """Do what the method does."""
        self.method.start(s)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the method's objective."""
        return self.method.loss(s)

    def advance(self, s: State) -> None:
        """Do what the method does after its N steps; then add noise to every trained kernel."""
        if s.step % self.method.inner == 0:
            self.method.advance(s)
        kernel_axes = 3 + len(s.input_sides)  # the problem's, two of channels, the spatial ones
        for name, weight in s.weights.items():
            if f"net/{name}" in s.rates and weight.ndim == kernel_axes:
                with torch.no_grad():
                    noise = s.noise(f"langevin/{name}", weight.shape[1:])
                    weight.add_(noise, alpha=self.noise * s.rate)


def walk_recipe(final: Recipe, way: SGLD, taken: int) -> Recipe:
    """Return the recipe of the walk that follows a fit.

    Args:
        final: of the fit, its candidate chosen.
        way: the settings.
        taken: steps of the fit.
    """
    steps = way.steps or max(SHORTEST, taken)
    burn_in = int(way.burn_in * steps)
    every = max(1, (steps - burn_in) // way.keep)
    engine: Engine = replace(final.engine.gentler(RATE), schedule="constant", warmup=0)
    return replace(
        final,
        method=Walk(final.method, steps, way.noise),
        engine=engine,
        stop=Never(),
        output=Posterior(burn_in=burn_in, every=every, keep=way.keep),
        guard=None,
        steps=steps,
        alternative=None,
    )
