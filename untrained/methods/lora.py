"""Low-rank adapters of a frozen network, kept in the state: one for each problem."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from untrained.core.state import State
from untrained.errors import UserError
from untrained.priors import Denoiser

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class _Asked(nn.Module):
    """Give a denoiser the call that `functional_call` makes."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: Tensor, sigma: float) -> Tensor:
        """Return D(x, sigma)."""
        return self.denoiser.denoise(x, sigma)


class Adapter:
    r"""Low-rank changes of the kernels of a run's prior (LoRA; Hu et al., ICLR 2022).

    .. math:: W \to W + B A, \qquad B \in R^{out \times r}, \quad A \in R^{r \times in}

    for every convolution and linear layer (a kernel is a matrix, one row per output channel). B
    begins at 0, A at N(0, 1/r^2). A and B are variables of the state, `(G, ...)`: each problem has
    its own, a checkpoint holds them, and the prior itself never changes.

    Args:
        s: the state; its prior is asked.
        rank: r; a layer with fewer rows or columns has fewer.

    Raises:
        UserError: the prior has no such layer.
    """

    def __init__(self, s: State, rank: int) -> None:
        self.asked = _Asked(s.denoiser)
        self.rank = rank
        self.layers = {
            f"{name}.weight": layer.weight
            for name, layer in self.asked.named_modules()
            if isinstance(layer, LAYERS)
        }
        if not self.layers:
            raise UserError(
                "the prior has no convolution and no linear layer whose weights could be adapted; "
                "take a network, or a sampler that adapts nothing (dds)"
            )

    def start(self, s: State) -> None:
        """Draw A, set B to zero, and optimise both."""
        for name, weight in self.layers.items():
            rows, columns = len(weight), weight[0].numel()
            rank = min(self.rank, rows, columns)
            s[_down(name)] = s.noise(_down(name), (rank, columns)) / rank
            s[_up(name)] = torch.zeros(s.size, rows, rank, device=s.device)
            s.train(_down(name))
            s.train(_up(name))

    def denoise(self, s: State, x: Tensor, sigma: float, g: int) -> Tensor:
        """D(x, sigma) of pictures `(B, C, H, W)` by the prior as problem g has adapted it."""
        changed = {
            name: weight + (s[_up(name)][g] @ s[_down(name)][g]).reshape(weight.shape)
            for name, weight in self.layers.items()
        }
        made: Tensor = functional_call(self.asked, changed, (x, sigma))
        return made


def _down(name: str) -> str:
    return f"lora/{name.removeprefix('denoiser.')}/A"


def _up(name: str) -> str:
    return f"lora/{name.removeprefix('denoiser.')}/B"
