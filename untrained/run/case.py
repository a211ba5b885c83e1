"""Hold what is carried out: the problems, and how a plan is applied to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from untrained.core.watch import Watch
from untrained.problem import Problem
from untrained.uncertainty.settings import LEVEL, Way


@dataclass(frozen=True)
class Case:
    """Hold one problem to solve, and its reference if there is one.

    Attributes:
        problem: measurements and physics, of one image or of several.
        truth: a reference `(G, C, ...)`, for the record only.
        data_range: range of the PSNR; None = the usual one of the reference.
    """

    problem: Problem
    truth: Tensor | None = None
    data_range: float | None = None


@dataclass(frozen=True)
class RunSettings:
    """Hold how a plan is carried out; nothing here changes what is planned.

    Attributes:
        seed: the first seed.
        seeds: how many are averaged at least.
        device: `auto`, `cpu`, `cuda`, `mps`.
        watch: watchers.
        compare: whether the classical answer is computed beside the result.
        sure: how an error bar is found; None = there is none.
        level: nominal coverage of its intervals.
        run_dir: keep a checkpoint there and resume from the one found there.
    """

    seed: int = 0
    seeds: int = 1
    device: str = "auto"
    watch: Sequence[Watch] = ()
    compare: bool = True
    run_dir: str | Path | None = None
    sure: Way | None = None
    level: float = LEVEL
