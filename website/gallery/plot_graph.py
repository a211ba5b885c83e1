"""A signal on a graph
===================

A temperature is measured, with noise, at a third of 300 stations. Graph convolutions (Kipf and
Welling, ICLR 2017) mix each station with its neighbours, twice a layer; plain ones mix those of
near numbers; a third network looks at single stations. All have as many weights.
"""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import nn

import untrained as ut

N, generator = 300, torch.Generator().manual_seed(0)
place, number = torch.rand(N, 2, generator=generator), torch.arange(N)
clean = (0.5 + 0.3 * (6 * place[:, 0]).sin() + 0.2 * (9 * place[:, 1]).cos())[None, None]
near = torch.cdist(place, place).argsort(1).argsort(1) <= 6  # six neighbours and itself
links = {"graph": near | near.T, "plain": (number[:, None] - number).abs() <= 3}
links["alone"] = torch.eye(N)
links = {name: j / (j.sum(0) * j.sum(0)[:, None]) ** 0.5 for name, j in links.items()}


# %%
# A network of one's own is a frozen description with ``build``, an operator anything with ``A``.
@dataclass(frozen=True)
class GraphNet:
    """Layers that mix stations by their links, then channels, with a ReLU between them."""

    links: str

    def build(self, inputs: int, outputs: int, dim: int = 1) -> nn.Module:
        mix = links[self.links] @ links[self.links]
        layers = [nn.Conv1d(a, b, 1) for a, b in ((inputs, 48), (48, 48), (48, 48), (48, outputs))]
        for layer in layers:
            layer.register_forward_pre_hook(lambda _, z: z[0] @ mix)
        return nn.Sequential(*[part for one in layers for part in (one, nn.ReLU())][:-1])


class Stations:
    """Measurements at a third of the stations."""

    x_shape, kept = (1, N), torch.randperm(N, generator=generator)[: N // 3]

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., self.kept]


# %%
# Where nothing was measured, only the graph tells.
y = Stations().A(clean) + 0.05 * torch.randn(1, 1, N // 3, generator=generator)
problem, method, engine = ut.Problem(y, Stations()), ut.methods.DIP(300), ut.Engine(lr=0.005)
figure = Figure(figsize=(9, 3))
for axes, name in zip(figure.subplots(1, 3), links, strict=True):
    result = ut.solve(method, problem, net=GraphNet(name), engine=engine)
    axes.scatter(*place.T, c=result.image[0, 0], s=12, vmin=0, vmax=1)
    axes.set_title(f"{name}: {ut.metrics.psnr(result.image, clean, data_range=1.0):.1f} dB")
