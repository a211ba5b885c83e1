"""A pre-trained denoiser of a few weights, for tests of methods that ask one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from untrained.priors import Denoiser, Provenance


class SmallPrior(Denoiser):
    """Shrink the image towards a smooth one, the more the noisier it is: two convolutions."""

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.reshape(-1, 1, 1, 1)
        return (x + level * self.network(x / (1 + level))) / (1 + level.square())


def small_prior(levels: tuple[float, float] = (0.01, 100.0)) -> SmallPrior:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    return SmallPrior(network, Provenance("small"), channels=1, levels=levels)
