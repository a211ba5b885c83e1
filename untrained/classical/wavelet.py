"""L1-wavelet MRI reconstruction through SigPy."""

from __future__ import annotations

from torch import Tensor

from untrained.problem import Problem


def l1wavelet(problem: Problem) -> Tensor:
    """Being written."""
    return problem.estimate()
