"""The variational network of Hammernik et al., in the layout of its PyTorch files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import UserError
from untrained.priors.base import Provenance, Reconstructor
from untrained.priors.coils import UnitCoils
from untrained.priors.fitting import load_exactly
from untrained.problem import Problem

BORDER = 11
CHUNK = 4096  # pixels at a time, with all Gaussians, fit into a processor's cache
SMALLEST_EXPONENT = -80.0  # of exp, below which single precision is slow


class VariationalNetwork(Reconstructor):
    r"""Hammernik et al. (MRM 2018): T gradient steps with learned filters and influence functions.

    .. math:: u^{t+1} = u^t - \frac1F \sum_{i=1}^F \bar k_i * \phi_i(k_i * u^t)
              - \lambda^t A^H (A u^t - f)

    k_i filters the real and the imaginary part and adds the two, k̄_i is its transpose, phi_i a sum
    of Gaussians. The first image is A^H f, its largest magnitude 1; the border is mirrored.

    Differs from the paper: the sum is divided by the number of filters F, as the public code does.
    """

    method: ClassVar[str] = "varnet"

    def pass_through(self, x: Tensor) -> Tensor:
        """Take every stage of x, without the data term."""
        for cell in self.network.get_submodule("cell_list").children():
            x = cell(x, torch.zeros_like(x))
        return x

    def reconstruct(self, problem: Problem) -> Tensor:
        """Unroll all stages; raises UserError for another operator than Cartesian MRI."""
        name = self.provenance.file or self.provenance.architecture
        coils = UnitCoils.of(problem, name)
        if min(problem.x_shape[1:]) <= BORDER:
            raise UserError(f"{name} takes images of more than {BORDER} pixels a side")

        def unroll(u: Tensor, f: Tensor) -> Tensor:
            for cell in self.network.get_submodule("cell_list").children():
                u = cell(u, coils.gradient(u, f))
            return u

        return coils.solve(unroll)


class Stages(nn.Module):
    """The stages of a variational network.

    Args:
        stages, filters, side, gaussians: their number; filters and Gaussians of each stage, and the
            side of a filter.
    """

    def __init__(self, stages: int, filters: int, side: int, gaussians: int) -> None:
        super().__init__()
        self.cell_list = nn.ModuleList(_Stage(filters, side, gaussians) for _ in range(stages))


class _Stage(nn.Module):
    def __init__(self, filters: int, side: int, gaussians: int) -> None:
        super().__init__()
        self.conv_kernel = nn.Parameter(torch.zeros(filters, 1, side, side, 2))
        self.lamb = nn.Parameter(torch.zeros(()))
        self.activation = _Gaussians(filters, gaussians)

    def forward(self, u: Tensor, gradient: Tensor) -> Tensor:
        """Take the step of an image `(B, 2, H, W)` whose data term has this gradient."""
        kernel = self.conv_kernel[:, 0].permute(0, 3, 1, 2)  # (F, 2, side, side)
        same = kernel.shape[-1] // 2
        wide = functional.pad(u, (BORDER,) * 4, mode="reflect")
        influence = self.activation(functional.conv2d(wide, kernel, padding=same))
        back = functional.conv_transpose2d(influence, kernel, padding=same) / len(kernel)
        return u - back[..., BORDER:-BORDER, BORDER:-BORDER] - self.lamb * gradient


class _Gaussians(nn.Module):
    """phi_i(v) = sum_j w_ij exp(-(v - mu_j)^2 / 2 s^2), mu_j even on [-1, 1], s their distance."""

    def __init__(self, filters: int, gaussians: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, filters, 1, 1, gaussians))

    def forward(self, v: Tensor) -> Tensor:
        weights = self.w[0, :, 0, 0]
        count = weights.shape[1]
        centres = torch.linspace(-1, 1, count, device=v.device)[:, None]
        scale = (count - 1) / 2
        each = []
        for i in range(len(weights)):
            parts = []
            for some in v[:, i].flatten().split(CHUNK):  # all at once would be 31 times v
                apart = (some - centres) * scale
                bells = (-0.5 * apart.square()).clamp_min(SMALLEST_EXPONENT).exp()
                parts.append(weights[i] @ bells)
            each.append(torch.cat(parts).reshape(v[:, i].shape))
        return torch.stack(each, 1)


def is_hammernik(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of this layout."""
    return {"cell_list.0.conv_kernel", "cell_list.0.activation.w"} <= tensors.keys()


def build_hammernik(tensors: Mapping[str, Tensor], provenance: Provenance) -> VariationalNetwork:
    """Build the network whose sizes the tensors tell.

    Raises:
        UserError: shapes of another kind.
    """
    kernel, weights = tensors["cell_list.0.conv_kernel"], tensors["cell_list.0.activation.w"]
    if kernel.ndim != 5 or kernel.shape[1:] != (1, kernel.shape[2], kernel.shape[2], 2):
        raise UserError(f"its kernels are {tuple(kernel.shape)}; (filters, 1, n, n, 2) is expected")
    if kernel.shape[2] % 2 == 0 or kernel.shape[2] > 2 * BORDER or weights.shape[-1] < 2:
        raise UserError(
            f"filters of side {kernel.shape[2]} and {weights.shape[-1]} Gaussians are not of this "
            "network: it has an odd side up to 21, and two Gaussians or more"
        )
    stages = sum(name.endswith(".conv_kernel") for name in tensors)
    with torch.device("meta"):
        network = Stages(stages, kernel.shape[0], kernel.shape[2], weights.shape[-1])
    load_exactly(network, tensors)
    return VariationalNetwork(network, provenance)
