"""MoDL, a denoising network and conjugate gradients in turn, in the layout of its PyTorch files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.priors.base import Provenance, Reconstructor
from untrained.priors.coils import UnitCoils, conjugate_gradients
from untrained.priors.fitting import load_exactly
from untrained.problem import Problem

ITERATIONS, STEPS = 10, 10
"""K of the paper, and steps of conjugate gradients in each; neither stands in a file."""


class MoDL(Reconstructor):
    r"""Aggarwal, Mani, Jacob: MoDL (IEEE TMI 2019, arXiv 1712.02862), Eq. 9 and 10.

    .. math:: z_k = D_w(x_k) = x_k + N_w(x_k), \qquad
              x_{k+1} = (A^H A + \lambda I)^{-1} (A^H y + \lambda z_k)

    from x_0 = A^H y, with the same weights in every iteration; the inverse by conjugate gradients.

    Differs from the paper: conjugate gradients take 10 steps and no tolerance.
    """

    method: ClassVar[str] = "modl"

    def pass_through(self, x: Tensor) -> Tensor:
        """Denoise x in every iteration."""
        for _ in range(ITERATIONS):
            x = self.network(x)
        return x

    def reconstruct(self, problem: Problem) -> Tensor:
        """Iterate K times; raises UserError for another operator than Cartesian MRI."""
        coils = UnitCoils.of(problem, self.provenance.file or self.provenance.architecture)
        lam = self.network.get_parameter("dc.lam")

        def normal(x: Tensor) -> Tensor:
            return coils.A_adjoint(coils.A(x)) + lam * x

        def run(first: Tensor, y: Tensor) -> Tensor:
            x = first
            for _ in range(ITERATIONS):
                x = conjugate_gradients(normal, first + lam * self.network(x), x, STEPS)
            return x

        return coils.solve(run)


class MoDLNetwork(nn.Module):
    """The denoiser D_w, and lambda.

    Args:
        layers: number of convolutions.
        width: channels between them.
        normalised: whether batch normalisation follows each of them.
    """

    def __init__(self, layers: int = 5, width: int = 64, *, normalised: bool = True) -> None:
        super().__init__()
        sizes = [2, *[width] * (layers - 1), 2]
        found: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            found.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            found += [nn.BatchNorm2d(outputs)] if normalised else []
            found += [nn.ReLU()] if i < layers - 1 else []
        self.dw = nn.Module()
        self.dw.nw = nn.Sequential(*found)
        self.dc = nn.Module()
        self.dc.lam = nn.Parameter(torch.tensor(0.05))

    def forward(self, x: Tensor) -> Tensor:
        """Denoise images `(B, 2, H, W)`."""
        noise: Tensor = self.dw.nw(x)  # type: ignore[operator]
        return x + noise


def is_modl(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of this layout."""
    return {"dw.nw.0.weight", "dc.lam"} <= tensors.keys()


def build_modl(tensors: Mapping[str, Tensor], provenance: Provenance) -> MoDL:
    """Build the network whose sizes the tensors tell.

    Raises:
        UserError: a first kernel that takes no complex image.
    """
    plain = dict(tensors)
    first = plain["dw.nw.0.weight"]
    if first.ndim != 4 or first.shape[1:] != (2, 3, 3):
        raise UserError(
            f"its first kernel is {tuple(first.shape)}; (channels, 2, 3, 3) is expected"
        )
    for name in tensors:  # a count of training steps, which means nothing here
        if name.endswith("running_mean"):
            plain.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    kernels = sum(one.ndim == 4 for one in plain.values())
    normalised = any(name.endswith("running_mean") for name in plain)
    with torch.device("meta"):
        network = MoDLNetwork(kernels, len(first), normalised=normalised)
    load_exactly(network, {n: t.reshape(()) if n == "dc.lam" else t for n, t in plain.items()})
    return MoDL(network, provenance)
