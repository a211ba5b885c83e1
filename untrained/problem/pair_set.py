"""Pairs of measurement and image that one network is trained on, a few of them at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.problem.group import Group
from untrained.problem.problem import Problem


class PairSet(Group):
    """Hold scans with their true images, `batch` of them a step.

    To the loop it is a group of `batch` problems.

    Args:
        problems: the scans, one measurement each, with physics of their own; images of one shape.
        references: the true image of each, `(1, C, ...)` in the units of its measurements.
        batch: scans a step.

    Attributes:
        scans: the scans.
        truths: their true images in network units.

    Raises:
        UserError: a scan without a true image, or with one of another shape.
    """

    def __init__(
        self, problems: Sequence[Problem], references: Sequence[Tensor | None], batch: int
    ) -> None:
        scans = Group([problem.select(i) for problem in problems for i in range(len(problem))])
        lacking = [i for i, truth in enumerate(references, 1) if truth is None]
        if lacking or len(references) != len(scans):
            which = f"input {lacking[0]} has none" if lacking else f"{len(references)} are given"
            raise UserError(
                f"this training compares images with true ones, and {which}: each measurement file "
                "needs a 'reference' (`untrained simulate` writes one)"
            )
        truths = []
        for i, (scan, truth) in enumerate(zip(scans.problems, references, strict=True), 1):
            assert truth is not None
            if tuple(truth.shape[1:]) != scan.x_shape:
                raise UserError(
                    f"the reference of input {i} is {tuple(truth.shape[1:])}, and its image is "
                    f"{scan.x_shape}"
                )
            truths.append(scan.from_units(truth.to(scan.device)))
        super().__init__([scans.problems[0]] * batch)
        self.scans, self.truths = scans.problems, tuple(truths)

    def to(self, device: torch.device | str) -> PairSet:
        """Move the scans to another device."""
        moved = object.__new__(type(self))
        vars(moved).update(vars(self))
        moved.problems = tuple(problem.to(device) for problem in self.problems)
        moved.scans = tuple(scan.to(device) for scan in self.scans)
        moved.truths = tuple(truth.to(device) for truth in self.truths)
        return moved

    def weighted(self, weighting: str) -> PairSet:
        """Return the same scans: an unrolled network sees them as they are."""
        return self
