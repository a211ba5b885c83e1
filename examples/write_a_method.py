"""A method in one file: aSeqDIP whose input goes only part of the way to the output."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

import untrained as ut
from untrained.data.phantoms import shepp_logan

SIDE, ROUNDS = 48, 100


@dataclass(frozen=True)
class Relaxed(ut.Method):
    r"""aSeqDIP's loss; :math:`z_k = (1 - \beta) z_{k-1} + \beta f_\theta(z_{k-1})`."""

    name: ClassVar[str] = "relaxed"
    rounds: int = ROUNDS  # K
    inner: int = 2  # N
    lam: float = 1.0
    beta: float = 0.5

    def start(self, s: ut.State) -> None:
        s["z"] = s.problem.estimate()
        s.train_net()

    def loss(self, s: ut.State) -> tuple[Tensor, dict[str, Tensor]]:
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x), "auto": self.lam * ut.maths.mse(x, s["z"])}

    def advance(self, s: ut.State) -> None:
        s["z"] = s["z"].lerp(s.net(s["z"]), self.beta)


measured = ut.physics.random_mask((SIDE, SIDE), missing=0.5)
clean = torch.from_numpy(shepp_logan(SIDE))[None, None]
problem = ut.Problem(clean * measured, ut.physics.Inpaint(measured))
net = ut.nets.Compact(widths=(16, 32, 32))
ours, limit, theirs = (
    ut.solve(method, problem, net=net).image
    for method in (Relaxed(), Relaxed(beta=1.0), ut.methods.ASeqDIP(ROUNDS))
)
print(f"PSNR: beta 0.5 {ut.metrics.psnr(ours, clean, data_range=1):.2f} dB")
assert torch.equal(limit, theirs)  # beta = 1 is aSeqDIP to the last bit
