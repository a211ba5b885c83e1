"""A method in one file, run on your data by `--method write_a_method.py:Relaxed`."""

from dataclasses import dataclass

import torch

import untrained as ut
from untrained.data.phantoms import shepp_logan

SIDE, ROUNDS, NET = 48, 60, ut.nets.Compact(widths=(16, 32, 32))


@dataclass(frozen=True)
class Relaxed(ut.Method):
    r"""aSeqDIP with :math:`z_k = (1 - \beta) z_{k-1} + \beta f_\theta(z_{k-1})`."""

    rounds: int = ROUNDS  # K
    inner: int = 2  # N
    lam: float = 1.0
    beta: float = 0.5

    def start(self, s: ut.State) -> None:
        s["z"] = s.problem.estimate()
        s.train_net()

    def loss(self, s: ut.State) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x), "auto": self.lam * ut.maths.mse(x, s["z"])}

    def advance(self, s: ut.State) -> None:
        s["z"] = s["z"].lerp(s.net(s["z"]), self.beta)


if __name__ == "__main__":
    clean = torch.from_numpy(shepp_logan(SIDE))[None, None]
    problem = ut.Problem(clean + 0.1 * torch.randn(clean.shape), ut.physics.Denoise())
    methods = Relaxed(), Relaxed(beta=1.0), ut.methods.ASeqDIP(ROUNDS)
    ours, limit, theirs = (ut.solve(method, problem, net=NET).image for method in methods)
    print(f"beta 1 is aSeqDIP to the last bit: {torch.equal(limit, theirs)}")
