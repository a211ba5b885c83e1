"""An output rule that mixes a third image in, that of a pre-trained denoiser."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, cast

import torch
from torch import Tensor

from untrained.classical.mixture import candidates
from untrained.classical.shares import sure_shares
from untrained.classical.total_variation import tv_weight
from untrained.core.rule import Memory
from untrained.core.state import State
from untrained.maths import per_problem
from untrained.priors import plug_and_play
from untrained.problem import Problem
from untrained.rules.output import MARGIN, Blend, drawn_share, whitened

LEVELS = (0.003, 0.01, 0.03, 0.1)
"""Noise levels at which the prior's image is tried."""

PRIOR_SHARE = "prior share"
"""Name of the column of the history that holds the share of the prior's image x_p."""

PRIOR_ERROR = "held-out error of the prior's image"
"""Name of the column that holds the held-out error of x_p alone."""


BESIDE, LEVEL = "prior share beside the classical image", "noise level of the prior's image"
"""Names of the columns that hold beta and the level at which x_p was made."""


@dataclass(frozen=True)
class PriorBlend(Blend):
    r"""`Blend`, with the image x_p of a pre-trained denoiser beside the classical one.

    .. math:: x_\alpha = \alpha \bar x_t + (1 - \alpha)\, x_b, \qquad
              x_b = \beta\, x_p + (1 - \beta)\, x_c

    x_p is `plug_and_play`, at the one of four noise levels that predicts the held-out measurements
    best. beta minimises the held-out error of x_b, drawn to 0 by the smallest error of any mixture
    of the two (`Blend` with k = 1 at least): the prior has to earn its share, and has none where it
    lowers the error by less than 1 %. Held-out noisy pixels do not tell how well an image denoises:
    there beta is x_p's part in the mixture of least expected error by Stein's estimate
    (`sure_shares`), with the classical denoisers as its rivals.

    alpha is found against x_b as it is against x_c.

    Args:
        pretrained: beta where nothing is held out.
        level: the noise level of x_p there.
    """

    name: ClassVar[str] = "blend with a prior"
    pretrained: float = field(default=0.0, kw_only=True)
    level: float = field(default=LEVELS[1], kw_only=True)

    @classmethod
    def of(cls, blend: Blend) -> PriorBlend:
        """Return the rule with the settings of a `Blend`."""
        return cls(**{one.name: getattr(blend, one.name) for one in fields(Blend)})

    def start(self, s: State, m: Memory) -> None:
        """Store alpha, beta and the level that hold where nothing is held out."""
        super().start(s, m)
        m["beta"] = torch.full((s.size,), self.pretrained, device=s.device)
        m["level"] = torch.full((s.size,), self.level, device=s.device)

    def begin(self, s: State, m: Memory, held: Problem | None) -> None:
        """Compute x_c and x_p, and find beta."""
        super().begin(s, m, held)
        classical = m["classical"]
        if held is None:
            made = [self._image(s, one, float(m["level"][g])) for g, one in self._each(s)]
            own = torch.cat(made) if bool(m["beta"].any()) else classical
        else:
            own = self._best_level(s, m, held)
            m["prior error"] = s.problem.expected_misfit(own, held)
            m["beta"] = self._beta(s, m, held, own)
        m["base"] = classical + per_problem(m["beta"], own) * (own - classical)
        if held is not None:
            m["unexplained"] = whitened(held, held.y - held.A(m["base"]))

    def base(self, m: Memory) -> Tensor:
        """Return x_b."""
        return m["base"]

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the shares of the network and of the prior, and the errors of x_c and x_p."""
        known = {PRIOR_ERROR: m["prior error"]} if "prior error" in m else {}
        share = (1 - m["share"]) * m["beta"]
        return {
            **super().statistic(m),
            PRIOR_SHARE: share,
            BESIDE: m["beta"],
            LEVEL: m["level"],
            **known,
        }

    def with_choices_fixed(self, row: dict[str, float]) -> PriorBlend:
        """Return the rule with the shares and the level of the chosen step."""
        beta, level = row[BESIDE], row[LEVEL]
        made = cast(PriorBlend, super().with_choices_fixed(row))
        return replace(made, pretrained=beta, level=level)

    def _each(self, s: State) -> list[tuple[int, Problem]]:
        return list(enumerate(s.problem.each()))

    def _image(self, s: State, one: Problem, level: float) -> Tensor:
        """x_p of one problem."""
        return plug_and_play(one, s.denoiser, level)

    def _best_level(self, s: State, m: Memory, held: Problem) -> Tensor:
        """Make x_p at every level, and keep the one of the least held-out error."""
        chosen = []
        for g, one in self._each(s):
            levels = LEVELS[:1] if one.traits.only_noise else LEVELS
            images = [self._image(s, one, level) for level in levels]
            errors = [float(one.expected_misfit(x, held.select(g))) for x in images]
            best = errors.index(min(errors))
            m["level"][g] = levels[best]
            chosen.append(images[best])
        return torch.cat(chosen)

    def _beta(self, s: State, m: Memory, held: Problem, own: Tensor) -> Tensor:
        """Find the share of x_p beside x_c, `(G,)`."""
        if s.problem.traits.only_noise:
            shares = [self._sure_share(s, one) for _, one in self._each(s)]
            return torch.tensor(shares, device=s.device)
        step = whitened(held, held.A(own - m["classical"]))
        off = m["unexplained"]
        beta = drawn_share(step, off, 0.0, max(1.0, self.prior))
        mixed = m["classical"] + per_problem(beta, own) * (own - m["classical"])
        better = s.problem.expected_misfit(mixed, held) < MARGIN * m["classical error"]
        return beta * better

    def _sure_share(self, s: State, problem: Problem) -> float:
        """Find the part of x_p in a mixture with the classical denoisers, by Stein's estimate."""
        weight = tv_weight(problem)

        def images(one: Problem) -> Tensor:
            own = self._image(s, one, LEVELS[0]).unsqueeze(0)
            return torch.cat([candidates(one, weight, sparse=True), own])

        return float(sure_shares(problem, images)[-1])
