"""Our own trained reconstructors for any linear operator: a small variational network, MoDL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from untrained.classical import filtered
from untrained.errors import UserError
from untrained.maths import per_problem
from untrained.nets import ModlNet, VarNetNet
from untrained.priors.base import Provenance, Reconstructor
from untrained.problem import Problem

VARNET, MODL = "varnet.", "modl."
"""What the names of a file's tensors begin with."""
ITERATIONS = "modl.iterations"
SOLVE_STEPS = 10
"""Steps of conjugate gradients in every iteration of MoDL."""

Network = Callable[..., Tensor]


def first_image(problem: Problem) -> Tensor:
    """Compute what the iterations begin with: filtered backprojection for CT, else A^H y."""
    return filtered(problem) if problem.traits.measures == "views" else problem.estimate()


def unroll_varnet(network: Network, problem: Problem) -> Tensor:
    r"""Compute the image of a variational network, `(G, C, H, W)` in network units.

    .. math:: x_{k+1} = x_k - \eta_k\, A^H (A x_k - y) / \|A\|^2 - R_k(x_k)

    Hammernik et al. (MRM 2018), with U-Nets R_k as Sriram et al. (MICCAI 2020) have them. Differs
    from the latter: in image space, for any linear operator, with the coil maps of the problem.

    Args:
        network: `VarNetModule`, or a call of it with other weights.
        problem: linear measurements.
    """
    norm = problem.norm_squared

    def gradient(x: Tensor) -> Tensor:
        return problem.A_adjoint(problem.A(x) - problem.y) / norm

    return network(first_image(problem), gradient)


def unroll_modl(network: Network, problem: Problem) -> Tensor:
    r"""Compute the image of MoDL, `(G, C, H, W)` in network units.

    .. math:: z_k = x_k + N(x_k), \qquad
              x_{k+1} = (A^H A / \|A\|^2 + \lambda I)^{-1} (A^H y / \|A\|^2 + \lambda z_k)

    Aggarwal, Mani, Jacob (IEEE TMI 2019): the same weights in every iteration, and the inverse by
    conjugate gradients. Differs from the paper: N is a U-Net; 10 steps of conjugate gradients, and
    gradients pass through them instead of through a second solve; any linear operator.

    Args:
        network: `ModlModule`, or a call of it with other weights.
        problem: linear measurements.
    """
    norm = problem.norm_squared
    back = problem.A_adjoint(problem.y) / norm

    def solve(z: Tensor, lam: Tensor) -> Tensor:
        def normal(x: Tensor) -> Tensor:
            return problem.A_adjoint(problem.A(x)) / norm + lam * x

        return conjugate_gradients(normal, back + lam * z, z)

    return network(first_image(problem), solve)


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor], right: Tensor, x: Tensor, steps: int = SOLVE_STEPS
) -> Tensor:
    """Solve normal(x) = right from x, for each image of a batch alone; gradients pass through."""
    residual = right - normal(x)
    direction, size = residual, _squares(residual)
    for _ in range(steps):
        along = normal(direction)
        length = size / _squares(direction, along).clamp_min(TINY)
        x = x + per_problem(length, x) * direction
        residual = residual - per_problem(length, x) * along
        last, size = size, _squares(residual)
        direction = residual + per_problem(size / last.clamp_min(TINY), x) * direction
    return x


TINY = 1e-20
"""Least divisor: where the residual has vanished, x stays what it is."""


def _squares(a: Tensor, b: Tensor | None = None) -> Tensor:
    return (a * (a if b is None else b)).flatten(1).sum(1)


class OwnReconstructor(Reconstructor):
    """Apply an unrolled network that `untrained pretrain varnet` or `modl` trained.

    Args:
        network, provenance: as of `Prior`.
        channels: number of channels of its images.
    """

    def __init__(self, network: nn.Module, provenance: Provenance, channels: int) -> None:
        super().__init__(network, provenance)
        self.channels = channels

    def reconstruct(self, problem: Problem) -> Tensor:
        """Unroll the iterations.

        Raises:
            UserError: a nonlinear operator, volumes, or images of other channels.
        """
        require_fitting(problem, self.channels, self.provenance.file)
        return self.unroll(problem)

    @abstractmethod
    def unroll(self, problem: Problem) -> Tensor:
        """Compute the image of measurements that fit."""


class OwnVarNet(OwnReconstructor):
    """Apply a variational network of ours; see `unroll_varnet`."""

    method: ClassVar[str] = "varnet"

    def unroll(self, problem: Problem) -> Tensor:
        """Take the gradient steps."""
        return unroll_varnet(self.network, problem)


class OwnModl(OwnReconstructor):
    """Apply a MoDL of ours; see `unroll_modl`."""

    method: ClassVar[str] = "modl"

    def unroll(self, problem: Problem) -> Tensor:
        """Iterate denoiser and solve."""
        return unroll_modl(self.network, problem)


def require_fitting(problem: Problem, channels: int, name: str = "") -> None:
    """Refuse measurements that an unrolled network of so many channels cannot take.

    Raises:
        UserError: a nonlinear operator, volumes, or images of other channels.
    """
    if not problem.linear:
        raise UserError(
            f"an unrolled network needs an adjoint, and the operator of {problem.task} is nonlinear"
        )
    shape = problem.x_shape
    if len(shape) != 3 or shape[0] != channels:
        raise UserError(
            f"the network {name or 'of this training'} takes pictures of {channels} channel(s), "
            f"and this image is {shape}"
        )


def is_own_varnet(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those that `untrained pretrain varnet` writes."""
    return "varnet.steps" in tensors


def is_own_modl(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those that `untrained pretrain modl` writes."""
    return ITERATIONS in tensors


def build_own_varnet(tensors: Mapping[str, Tensor], provenance: Provenance) -> OwnVarNet:
    """Build the network whose sizes the tensors tell; UserError where they do not fit."""
    weights = {n.removeprefix(VARNET): t for n, t in tensors.items() if n.startswith(VARNET)}
    channels, widths = _sizes(weights, "parts.0.")
    net = VarNetNet(cascades=len(weights["steps"]), widths=widths)
    return OwnVarNet(_filled(net, channels, weights), provenance, channels)


def build_own_modl(tensors: Mapping[str, Tensor], provenance: Provenance) -> OwnModl:
    """Build the network whose sizes the tensors tell; UserError where they do not fit."""
    weights = {n.removeprefix(MODL): t for n, t in tensors.items() if n.startswith(MODL)}
    iterations = int(weights.pop("iterations"))
    channels, widths = _sizes(weights, "part.")
    if not 1 <= iterations <= MOST:
        raise UserError(f"its number of iterations is {iterations}; 1 to {MOST} is expected")
    net = ModlNet(iterations=iterations, widths=widths)
    return OwnModl(_filled(net, channels, weights), provenance, channels)


MOST = 1000
"""Most iterations that a file may ask for."""


def _sizes(weights: Mapping[str, Tensor], part: str) -> tuple[int, tuple[int, ...]]:
    """Read channels and widths off the tensors of a U-Net."""
    scales = sum(n.startswith(f"{part}shrink.") and n.endswith("weight") for n in weights)
    try:
        stem = weights[f"{part}stem.weight"]
        below = [len(weights[f"{part}shrink.{i}.weight"]) for i in range(scales)]
        return stem.shape[1], (len(stem), *below)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"its weights are not those of our network: {error}") from error


def _filled(net: VarNetNet | ModlNet, channels: int, weights: Mapping[str, Tensor]) -> nn.Module:
    with torch.device("meta"):
        network = net.build(channels, channels)
    try:
        network.load_state_dict(dict(weights), assign=True)
    except RuntimeError as error:
        raise UserError(f"its weights do not fit together: {error}") from error
    return network
