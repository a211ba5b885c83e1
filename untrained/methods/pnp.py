"""PnP: half-quadratic splitting with a denoiser in place of a regulariser (DPIR)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from untrained.classical.linear import require_linear
from untrained.classical.sliding_dct import tv_start
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import PRETRAINED, PRIOR, Card
from untrained.methods.diffusion import denoised
from untrained.methods.presets import no_network
from untrained.methods.sampling import first_image, noise_in, proximal, shown, ve_levels
from untrained.priors import DENOISER
from untrained.tasks import LINEAR_TASKS, find_task


@dataclass(frozen=True)
class PnP(Method):
    r"""Zhang, Li, Zuo, Zhang, Van Gool, Timofte: DPIR (TPAMI 2022, arXiv 2008.13751), Alg. 1.

    From a first image z_0, for k = 1 ... K

    .. math:: x_k &= \arg\min_x \|y - T(x)\|^2 + \alpha_k \|x - z_{k-1}\|^2, \qquad
                  \alpha_k = \lambda \sigma^2 / \sigma_k^2 \\
              z_k &= \mathrm{Denoiser}(x_k, \sigma_k)

    with sigma_k falling geometrically from `first` to `last` or to the noise level sigma of y, the
    larger of the two. Image of a step: z_k. Nothing is random.

    Symbols: K `rounds`, lambda `lam`. sigma is estimated where it is not known (`noise_in`). A
    denoiser of one level removes that one at each step, and alpha_k is made of it. The first line
    is solved by conjugate gradients, `cg` steps at most; the paper has formulas for its operators.
    z_0 is the measurement of pictures and filtered backprojection of CT. Where samples are missing
    the paper begins with an interpolated image (Sec. 4.3, demosaicing), since few rounds at these
    levels fill no hole; here that is a quick total-variation image.

    Args:
        rounds: K.
        lam: weight of the denoiser.
        first, last: greatest and least sigma_k, in the image's units.
        least: smallest noise level that the data are taken to have, in the units of y.
        cg: most steps of conjugate gradients.
    """

    name: ClassVar[str] = "pnp"
    rounds: int = 8
    inner: int = 1
    lam: float = 0.23
    first: float = 49 / 255
    last: float = 2.55 / 255
    least: float = 0.255 / 255
    cg: int = 50

    def __post_init__(self) -> None:
        for field in ("lam", "first", "last", "least"):
            if not getattr(self, field) > 0:
                raise UserError(f"{field}={getattr(self, field):g} must be positive")

    def within(self, steps: int) -> PnP:
        """Go down to the same level in as many steps."""
        return replace(self, rounds=steps)

    def start(self, s: State) -> None:
        """z_0: a quick total-variation image where samples are missing, else as `first_image`."""
        require_linear(s.problem, self.name)
        missing = s.problem.traits.missing_pixels or s.problem.traits.measures in ("lines", "codes")
        each = [tv_start(one) for one in s.problem.each()] if missing else []
        s["z"] = torch.cat(each) if missing else first_image(s.problem)
        s["sigma"] = noise_in(s.problem, self.least).to(s.device)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Lines 3 and 4: x_k, and the image z_k."""
        made = []
        for one, z, sigma in zip(
            s.problem.each(), s["z"].split(1), s["sigma"].tolist(), strict=True
        ):
            level = self._level(s, sigma)
            x = proximal(one, z, self.lam * (sigma / level) ** 2, self.cg)
            made.append(denoised(s, x, level))
        s["next"] = torch.cat(made)
        return shown(s, s["next"])

    def _level(self, s: State, sigma: float) -> float:
        """Return sigma_k of this step, at a noise level of y."""
        levels = ve_levels(self.rounds, min(max(sigma, self.last), self.first), self.first)
        lowest, highest = s.denoiser.levels
        return min(max(levels[min(s.step, self.rounds - 1)], lowest), highest)

    def advance(self, s: State) -> None:
        """Go on from z_k."""
        s["z"] = s["next"]


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    The paper's: lambda = 0.23; K = 8 for deblurring, 24 for super-resolution, 40 down to a level of
    0.6 / 255 for demosaicing, which tasks with missing samples take. `fast` is the same.
    """
    row = find_task(task)
    missing = row.missing_pixels or row.measures in ("lines", "codes")
    rounds = 40 if missing else {"superres": 24}.get(task, 8)
    method = PnP(3 * rounds if preset == "best" else rounds)
    if missing:
        method = replace(method, last=0.6 / 255)
    source = (
        "Zhang et al. 2022, Sec. 4: lambda = 0.23, K = 8 (deblurring), 24 (super-resolution), 40 "
        "(demosaicing)"
    )
    return no_network(method, source)


CARD = Card(
    name="pnp",
    title="plug-and-play: half-quadratic splitting with a denoiser",
    source="Zhang, Li, Zuo, Zhang, Van Gool, Timofte, TPAMI 2022",
    family=PRETRAINED,
    tasks=LINEAR_TASKS,
    optimises="the image",
    needs=PRIOR,
    prior=DENOISER,
    recipe=recipe,
)
