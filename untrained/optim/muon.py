r"""Muon for convolution kernels that carry a problem axis, Adam for everything else.

For a kernel $W$ read as a matrix of $o$ output channels by $f$ = input channels x kernel taps:

$$B \leftarrow \mu B + g, \qquad U = g + \mu B, \qquad
  W \leftarrow W - 0.2\, \eta \sqrt{\max(o, f)}\; O(U)$$

where $O(U)$ replaces the singular values of $U$ by numbers near 1 (0.7 to 1.2). The factor gives
every entry of the step a root mean square near $0.2\eta$, whatever the kernel's shape.

Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, for
the momentum and the polynomial; J. Liu et al., "Muon is scalable for LLM training", 2025, for the
factor. `torch.optim.Muon` does not serve: it accepts 2-D parameters only, and a kernel seen
through a reshaped view is neither a leaf nor one matrix per problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adam import adam

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEP_RMS = 0.2
EPS = 1e-7


def is_kernel(parameter: Tensor) -> bool:
    """Return whether a parameter (G, out, in, *taps) is worth orthogonalising.

    It is with more than 4 outputs and more than 9 numbers per output. Heads, one-pixel branches,
    biases and normalisations are not.
    """
    shape = parameter.shape
    return parameter.ndim >= 4 and shape[1] > 4 and shape[2:].numel() > 9


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Replace the singular values of each matrix `(G, rows, columns)` by numbers near 1.

    The Newton-Schulz iteration X <- aX + b(XX^T)X + c(XX^T)^2 X multiplies X by polynomials of
    XX^T, which commute. So they are gathered in the small square matrix P, and the long side
    enters two products only. Against the textbook order in float32 this takes 0.4 of the time for
    128 x 1152 on a CPU, and against bfloat16 without hardware for it 0.15; it differs from the
    float64 iteration by less than 1e-3, where bfloat16 differs by 1e-2 to 1.

    Returns:
        `(G, rows, columns)` in the dtype of `matrices`; a zero matrix stays zero. The arithmetic
        is float32 at least. No number of one matrix depends on another matrix.
    """
    if matrices.shape[-2] > matrices.shape[-1]:
        return orthogonalise(matrices.mT, steps).mT
    a, b, c = COEFFICIENTS
    x = matrices.to(torch.promote_types(matrices.dtype, torch.float32))
    x = x / (x.square().sum((-2, -1), keepdim=True).sqrt() + EPS)
    gram = torch.bmm(x, x.mT)
    total = torch.eye(x.shape[-2], dtype=x.dtype, device=x.device).expand_as(gram)
    for _ in range(steps):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        total = torch.bmm(factor, total)
        gram = torch.bmm(factor, torch.bmm(gram, factor))
    return torch.bmm(total, x).to(matrices.dtype)


class Muon(Optimizer):
    """Muon on kernels, Adam on the rest; every parameter has a leading problem axis G.

    The problems do not mix: G problems at once take the steps they would take alone.

    Args:
        params: parameters `(G, ...)`. They are sorted by `is_kernel` into two groups: kernels
            (`muon=True`) first, the rest (`muon=False`) second. Groups given later through
            `add_param_group` run on Adam unless they say `muon=True`; give an input image that is
            trained along with the weights that way, for its shape may look like a kernel's.
        lr: step size of the kernels; a number or a tensor of one element.
        adam_lr: step size of the rest, likewise.
        momentum: mu, of the kernels.
        betas: decay of Adam's two averages.
        eps: Adam's.
        steps: iterations of the orthogonalisation.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float | Tensor = 0.02,
        *,
        adam_lr: float | Tensor = 2e-3,
        momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        steps: int = 5,
    ) -> None:
        _check(lr, adam_lr, momentum, betas, eps, steps)
        params = list(params)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in params if is_kernel(p)], "muon": True, "lr": lr},
            {"params": [p for p in params if not is_kernel(p)], "muon": False, "lr": adam_lr},
        ]
        defaults = {
            "lr": adam_lr,
            "muon": False,
            "momentum": momentum,
            "betas": betas,
            "eps": eps,
            "steps": steps,
        }
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step along the gradients; parameters without one stay where they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not group["muon"]:
                self._adam(params, group)
                continue
            # A GPU waits for launches; a CPU takes a fifth longer for one product of many matrices.
            together = _by_shape(params) if params and params[0].is_cuda else [[p] for p in params]
            for alike in together:
                self._muon(alike, group)
        return loss

    def _muon(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Step along the orthogonalised momentum of kernels of one shape, all at once."""
        mu = group["momentum"]
        directions = []
        for p in params:
            assert p.grad is not None
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
            momentum = self.state[p]["momentum"].mul_(mu).add_(p.grad)
            directions.append(p.grad.add(momentum, alpha=mu).flatten(2))
        joined = torch.cat(directions)
        steps = orthogonalise(joined, group["steps"]).split(len(params[0]))
        size = group["lr"] * STEP_RMS * max(joined.shape[1:]) ** 0.5
        for p, step in zip(params, steps, strict=True):
            p.sub_(step.view_as(p) * size)

    def _adam(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p] = {
                    "step": torch.zeros((), dtype=torch.float32, device=p.device),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        states = [self.state[p] for p in params]
        adam(
            params,
            [p.grad for p in params if p.grad is not None],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [],
            [s["step"] for s in states],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )


def _by_shape(params: list[Tensor]) -> list[list[Tensor]]:
    found: dict[torch.Size, list[Tensor]] = {}
    for p in params:
        found.setdefault(p.shape, []).append(p)
    return list(found.values())


def _check(
    lr: float | Tensor,
    adam_lr: float | Tensor,
    momentum: float,
    betas: tuple[float, float],
    eps: float,
    steps: int,
) -> None:
    for name, rate in (("lr", lr), ("adam_lr", adam_lr), ("eps", eps)):
        if not rate >= 0:
            raise ValueError(f"{name} must not be negative, got {rate}")
    for name, decay in (("momentum", momentum), ("betas[0]", betas[0]), ("betas[1]", betas[1])):
        if not 0 <= decay < 1:
            raise ValueError(f"{name} must be in [0, 1), got {decay}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
