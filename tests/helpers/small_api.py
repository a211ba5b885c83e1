"""A small picture with missing pixels, and `reconstruct` in a few steps."""

import torch
from torch import Tensor

import untrained as ut

FAST = ["net.widths=8,16"]


def measured() -> tuple[Tensor, Tensor, ut.physics.Inpaint]:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 23), indexing="ij")
    truth = (0.5 + 0.4 * torch.sin(5 * x) * torch.cos(4 * y))[None, None]
    mask = torch.rand(20, 23, generator=torch.Generator().manual_seed(0)) < 0.6
    physics = ut.physics.Inpaint(mask, x_shape=(1, 20, 23))
    return physics.A(truth), truth, physics


def reconstruct(y: Tensor, physics, **more) -> ut.Result:
    return ut.reconstruct(y, physics, steps=10, settings=FAST, progress=False, **more)
