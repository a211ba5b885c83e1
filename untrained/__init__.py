"""Reconstruct images from measurements with networks that never saw training data.

A *method* (a paper) fits a *net* to a *problem* (measurements y and physics A) with the one loop
`solve`, driven by an *engine*, watched by *rules* that decide when to stop and what to return,
and gives a *result*.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Read by torch when it loads: operations that Apple's GPU lacks then run on the CPU.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

from untrained import classical, maths, methods, metrics, nets, optim, physics, pretrain, rules
from untrained.api import reconstruct, reconstructor
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.result import Result
from untrained.core.solve import solve
from untrained.core.state import State
from untrained.errors import Diverged, UserError
from untrained.methods import METHODS
from untrained.nets import NETS
from untrained.pretrain import Weights, load_weights
from untrained.problem import Problem

if TYPE_CHECKING:
    from untrained.data import TASKS

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`TASKS` is read with the file formats, a third of the import's time, when asked for."""
    if name != "TASKS":
        raise AttributeError(f"module 'untrained' has no attribute '{name}'")
    from untrained.data import TASKS

    return TASKS


__all__ = [
    "METHODS",
    "NETS",
    "TASKS",
    "Diverged",
    "Engine",
    "Method",
    "Problem",
    "Recipe",
    "Result",
    "State",
    "UserError",
    "Weights",
    "classical",
    "load_weights",
    "maths",
    "methods",
    "metrics",
    "nets",
    "optim",
    "physics",
    "pretrain",
    "reconstruct",
    "reconstructor",
    "rules",
    "solve",
]
