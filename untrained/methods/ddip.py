"""Deep Diffusion Image Prior: a diffusion model that is adapted to the measurement at each step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import HYBRID, PRIOR, Card
from untrained.methods.diffusion import (
    conjugate_gradients,
    ddim,
    first_image,
    vp_levels,
    within_steps,
)
from untrained.methods.lora import Adapter
from untrained.nets import NoNet
from untrained.priors import DENOISER
from untrained.problem.slices import slices_of
from untrained.rules import Last
from untrained.tasks import LINEAR_TASKS, find_task

TASKS = tuple(name for name in LINEAR_TASKS if not find_task(name).only_noise)


@dataclass(frozen=True)
class DDIP(Method):
    r"""DDIP and, on volumes, D3IP of Chung, Ye (ECCV 2024, arXiv 2407.10641).

    At every noise level t of the reverse process, the diffusion model is fitted to the measurements
    through its own estimate,

    .. math:: \hat x_\theta = \mathrm{CG}_M\bigl(A^H A,\ A^H y,\ D_\theta(x_t)\bigr), \qquad
              \min_\theta \|A \hat x_\theta - y\|^2

    by N steps on low-rank changes theta of its weights (`Adapter`), and then a DDIM step goes on
    from there:

    .. math:: x_{t-1} = \hat x_\theta + \sigma_{t-1} \Bigl(\sqrt{1 - \eta^2}\,
              \frac{x_t - D_\theta(x_t)}{\sigma_t} + \eta\, n\Bigr)

    in the VE view (`methods.diffusion`). theta goes on from level to level; the optimiser begins
    anew at each. CG is M steps of conjugate gradients on the normal equations from D(x_t): with
    theta = 0 throughout, that is DDS.

    On a volume (D3IP) one theta serves all slices: each step takes `samples` slices drawn at
    random, and the reverse process runs on all of them, slice by slice.

    Symbols: number of levels `rounds`, N `inner`, rank `rank`, M `solve`, eta `eta`. The image of a
    step is x-hat before that step's change of theta; of a volume, which is computed whole only
    before the last step of a level, the newest one.

    Where A^H A is a projection (missing pixels, one coil), one step of CG puts the measurements in
    exactly, nothing is left to adapt theta to, and the method is DDS; there `gamma` > 0 leaves a
    rest. For denoising it would return y, and is not offered.

    Differs from the released code, which adapts the offsets of the layers too, drops out a tenth of
    the low-rank part while it adapts, and knows neither noise in y (`gamma` > 0 does) nor priors
    that end before the last level.

    Args:
        gamma: 0 = the normal equations; else the proximal form of DDS for noisy measurements.
    """

    name: ClassVar[str] = "ddip"
    restarts: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True
    rounds: int = 50
    inner: int = 10
    rank: int = 4
    solve: int = 5
    gamma: float = 0.0
    eta: float = 0.85
    samples: int = 3

    def __post_init__(self) -> None:
        for field in ("rank", "samples"):
            if getattr(self, field) < 1:
                raise UserError(f"{field} must be at least 1, got {getattr(self, field)}")
        if not (0 <= self.eta <= 1 and self.gamma >= 0 and self.solve >= 0):
            raise UserError(
                f"eta must lie in [0, 1], gamma and solve not be negative, got {self.eta:g}, "
                f"{self.gamma:g} and {self.solve}"
            )

    def within(self, steps: int) -> DDIP:
        """Keep the levels where the budget allows, with fewer steps at each."""
        rounds, inner = within_steps(self.rounds, self.inner, steps)
        return replace(self, rounds=rounds, inner=inner)

    def start(self, s: State) -> None:
        """x <- noise of the greatest level, theta <- 0; theta is trained."""
        s["x"] = first_image(s, self._levels(s)[0])
        if s.problem.x_shape[1:-2]:
            s["x-hat"] = s.problem.estimate()
        Adapter(s, self.rank).start(s)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||A x-hat - y||^2, x-hat being the estimate made consistent."""
        sigma = self._levels(s)[min(s.step // self.inner, self.rounds - 1)]
        if not s.problem.x_shape[1:-2]:
            _, target = self._estimates(s, s["x"], sigma)
            return target, {"data": s.problem.misfit(target)}
        if s.step % self.inner == self.inner - 1:
            with torch.no_grad():
                s["x-hat"] = self._estimates(s, s["x"], sigma)[1]
        return s["x-hat"], {"data": self._misfit_of_some(s, sigma)}

    def advance(self, s: State) -> None:
        """Step to the next level with the adapted model."""
        levels, k = self._levels(s), s.step // self.inner - 1
        if k < self.rounds:
            clean, target = self._estimates(s, s["x"], levels[k])
            s["x"] = ddim(s, s["x"], clean, levels[k], target, levels[k + 1], self.eta)

    def _levels(self, s: State) -> list[float]:
        known = s.denoiser.levels
        return vp_levels("linear", self.rounds, known, unit_range=s.problem.unit_range)

    def _estimates(self, s: State, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """D_theta(x) and x-hat, each `(G, C, ...)`; of a volume slice by slice."""
        adapter = Adapter(s, self.rank)
        slices = slices_of(s.problem) if x.ndim == 5 else ()
        if x.ndim != 5:
            parts = [adapter.denoise(s, x[g : g + 1], sigma, g) for g in range(s.size)]
            clean = torch.cat(parts)
            return clean, self._consistent(s, clean)
        volumes = []
        for g in range(s.size):
            own = x[g : g + 1].unbind(2)
            volumes.append(torch.stack([adapter.denoise(s, one, sigma, g) for one in own], dim=2))
        clean = torch.cat(volumes)
        if not slices:
            return clean, self._consistent(s, clean)
        each = [
            conjugate_gradients(one, part, self.solve, self.gamma)
            for one, part in zip(slices, clean.unbind(2), strict=True)
        ]
        return clean, torch.stack(each, dim=2)

    def _consistent(self, s: State, clean: Tensor) -> Tensor:
        """x-hat = CG(D(x))."""
        return conjugate_gradients(s.problem, clean, self.solve, self.gamma)

    def _misfit_of_some(self, s: State, sigma: float) -> Tensor:
        """Average ||A x-hat - y||^2 over some slices of a volume, `(G,)`.

        Of all where the operator does not measure slice by slice.
        """
        slices = slices_of(s.problem)
        if not slices:
            return s.problem.misfit(self._estimates(s, s["x"], sigma)[1])
        depth = s.problem.x_shape[1]
        drawn = s.noise("slices", (depth,), "uniform")[0].argsort()[: self.samples].tolist()
        adapter, terms = Adapter(s, self.rank), []
        for d in drawn:
            clean = adapter.denoise(s, s["x"][:, :, d], sigma, 0)
            target = conjugate_gradients(slices[d], clean, self.solve, self.gamma)
            terms.append(slices[d].misfit(target))
        return torch.stack(terms).mean(0)


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    `paper` and `best` are the authors' scripts: T = 50, LoRA of rank 4, AdamW 1e-3, eta 0.85, 5
    steps of CG, 10 steps a level, 5 in MRI. `fast` has 20 levels. Missing pixels
    and coded measurements take gamma = 5, the scripts' number for the proximal form.
    """
    row = find_task(task)
    exact = row.missing_pixels or row.measures == "codes"
    method = DDIP(inner=5 if row.measures == "lines" else 10, gamma=5.0 if exact else 0.0)
    fast = preset == "fast"
    return Recipe(
        method=replace(method, rounds=20) if fast else method,
        net=NoNet(),
        engine=Engine("adamw", lr=1e-3, weight_decay=0.01, precision="fp32"),
        output=Last(),
        source="DDIP with fewer levels"
        if fast
        else "Chung, Ye 2024, the authors' scripts for CT and MRI; other tasks as CT",
    )


CARD = Card(
    name="ddip",
    title="DDIP: a diffusion model adapted to the measurement at every step (LoRA)",
    source="Chung, Ye, ECCV 2024",
    family=HYBRID,
    tasks=TASKS,
    optimises="low-rank changes of the prior's weights, with updates of the image",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
