"""A stop rule of one's own: end where the data term has fallen below a share of its first value."""

from dataclasses import dataclass
from typing import ClassVar

import torch

import untrained as ut
from untrained.data.phantoms import shepp_logan

SIDE, STEPS, SHARE = 64, 400, 0.02


@dataclass(frozen=True)
class Fallen(ut.rules.Stop):
    """Ends a problem when its data term is `share` of what it was at the first step."""

    name: ClassVar[str] = "fallen"  # of the rule, in `result.stop` and the report
    share: float = SHARE

    def start(self, s: ut.State, m: ut.rules.Memory) -> None:
        """Memory is tensors `(G, ...)`, one entry a problem; a checkpoint holds them."""

    def see(self, s: ut.State, m: ut.rules.Memory, frame: ut.rules.Frame) -> None:
        if frame.step == 1:
            m["first"] = frame.terms["data"]
        m["ratio"] = frame.terms["data"] / m["first"]

    def done(self, m: ut.rules.Memory) -> torch.Tensor:
        return m["ratio"] < self.share

    def reason(self, m: ut.rules.Memory) -> str:
        return f"the data term fell to {float(m['ratio'][0]):.1%} of its first value"


physics = ut.physics.Denoise((1, SIDE, SIDE))
y = torch.from_numpy(shepp_logan(SIDE))[None, None] + 0.1 * torch.randn(1, 1, SIDE, SIDE)
result = ut.reconstruct(y, physics, "dip", stop=Fallen(), steps=STEPS, progress=False)
print(result, result.stop[0].reason, sep="\n")
