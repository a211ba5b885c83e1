"""The supervised arm: unrolled networks, trained on pairs of measurement and image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from untrained.core.averages import averaged, batch_net, move_average, share_network
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.card import LOW_DATA, PAIRS, Card, Training
from untrained.nets import ModlNet, VarNetNet
from untrained.nets.unrolled import ModlModule
from untrained.priors import RECONSTRUCTOR
from untrained.priors.unrolled import (
    ITERATIONS,
    MODL,
    VARNET,
    require_fitting,
    unroll_modl,
    unroll_varnet,
)
from untrained.problem import Problem
from untrained.problem.pair_set import PairSet
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class UnrolledTraining(Method):
    r"""Train an unrolled network f on M pairs of measurement and image.

    .. math:: \min_\theta \sum_{i=1}^M \|f_\theta(y_i, A_i) - x_i\|^2

    by steps on `batch` pairs, drawn at random. f is the variational network of Hammernik et al.
    (MRM 2018) or MoDL (Aggarwal, Mani, Jacob, IEEE TMI 2019), see `priors/unrolled.py`. The file
    holds the running average of the weights.

    Args:
        rounds: steps.
        batch: pairs a step.
        average: decay of the running average of the weights.
    """

    name: ClassVar[str] = "unrolled-training"
    rounds: int = 1000
    inner: int = 1
    batch: int = 1
    average: float = 0.99

    def __post_init__(self) -> None:
        if self.batch < 1 or not 0 <= self.average < 1:
            raise UserError(
                f"batch must be at least 1 and average in [0, 1), got {self.batch}, {self.average}"
            )

    def group(
        self, problems: Sequence[Problem], references: Sequence[Tensor | None], **more: object
    ) -> PairSet:
        """Make the set of pairs; UserError for scans that the network cannot take."""
        for problem in problems:
            require_fitting(problem, problems[0].x_shape[0])
        return PairSet(problems, references, self.batch)

    def start(self, s: State) -> None:
        """Share one network among all scans."""
        share_network(s)
        if isinstance(s.module, ModlModule):  # for the file
            s.weights[ITERATIONS] = torch.tensor([s.module.iterations], device=s.device)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute ||f(y_i, A_i) - x_i||^2 for the scans of this step."""
        pairs = cast(PairSet, s.problem)
        count = len(pairs.scans)
        u = s.noise("scans", (s.size,), "uniform")[0].tolist()
        chosen = [min(int(one * count), count - 1) for one in u]
        images = [self.image(s, pairs.scans[i]) for i in chosen]
        errors = [
            (x - pairs.truths[i]).square().mean() for x, i in zip(images, chosen, strict=True)
        ]
        return torch.cat(images), {"data": torch.stack(errors).mean().expand(s.size)}

    def image(self, s: State, scan: Problem) -> Tensor:
        """Compute f(y, A)."""
        unroll = unroll_modl if isinstance(s.module, ModlModule) else unroll_varnet
        return unroll(lambda *given: batch_net(s, *given), scan)

    def advance(self, s: State) -> None:
        """Move the running average of the weights."""
        move_average(s, self.average)


def kept_varnet(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the file of a variational network."""
    return {VARNET + name: weight[0] for name, weight in averaged(weights).items()}


def kept_modl(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the file of MoDL."""
    network = {MODL + name: weight[0] for name, weight in averaged(weights).items()}
    return network | {ITERATIONS: weights[ITERATIONS][0].float()}


def training(net: VarNetNet | ModlNet, preset: str) -> Recipe:
    """Return the settings of a training; all are ours.

    Raises:
        UserError: `paper`: nobody published networks of this size.
    """
    if preset == "paper":
        raise UserError("the small unrolled networks have no published settings: fast or best")
    return Recipe(
        method=UnrolledTraining(5000 if preset == "best" else 1000),
        net=net,
        engine=Engine("muon", lr=0.02, lr_other=3e-3, warmup=20, schedule="cosine", final=0.01),
        source="unrolled as published; sizes and settings ours",
    )


def _card(name: str, title: str, source: str, net: VarNetNet | ModlNet, keep: Any) -> Card:
    return Card(
        name=name,
        title=title,
        source=source,
        family=LOW_DATA,
        tasks=LINEAR_TASKS,
        optimises="the network",
        prior=RECONSTRUCTOR,
        training=Training(
            title=f"{title}, from pairs of measurement and image",
            learns_from=PAIRS,
            recipe=lambda task, preset: training(net, preset),
            keep=keep,
        ),
    )


CARDS = (
    _card(
        "varnet",
        "a small variational network",
        "Hammernik et al., MRM 2018",
        VarNetNet(),
        kept_varnet,
    ),
    _card("modl", "a small MoDL", "Aggarwal, Mani, Jacob, IEEE TMI 2019", ModlNet(), kept_modl),
)
