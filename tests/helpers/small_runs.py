"""Small problems and runs for tests of methods, and a network whose Jacobian is known."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from untrained import Problem, nets
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.physics import Denoise
from untrained.result import Result
from untrained.solver.procedure import solve_recipe

SMALL = nets.Compact(widths=(4, 6, 8), skip=2)
ADAM = Engine("adam", lr=0.01, precision="fp32")


def run(method, problem: Problem, net: object = SMALL, engine: Engine = ADAM, **more) -> Result:
    return solve_recipe(Recipe(method=method, net=net, engine=engine, **more), problem)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture(height: int = 17, width: int = 14) -> Problem:
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    image = 0.5 + 0.3 * (x + y).sin()[None, None] + 0.05 * noise(1, 1, height, width)
    return Problem(image, Denoise((1, height, width)), sigma=0.05)


@dataclass(frozen=True)
class Gain:
    """A network that multiplies its input by one number: its Jacobian is known."""

    value: float = 0.5

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        return GainNet(self.value)


class GainNet(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.gain = nn.Parameter(torch.tensor([value]))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gain, self.value)

    def forward(self, z: Tensor) -> Tensor:
        return self.gain * z
