"""Spectral bias of real runs: which frequencies come first, and what happens in the null space."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.start import StartWeights
from untrained.data.phantoms import brain
from untrained.lab.result import Finding, Lab, LabResult
from untrained.methods.dip import DIP
from untrained.nets import Compact, initialise
from untrained.physics import MRI
from untrained.physics.masks import random_mask_columns
from untrained.problem import Problem
from untrained.rules.bands import Bands
from untrained.solver.procedure import solve_recipe

Array = np.ndarray
BANDS = 4
RATES = {"sgd": (0.05, 0.2), "adam": (0.003, 0.01), "muon": (0.005, 0.02)}
"""Optimiser -> its small and its large step."""


def spectral_bias(seed: int, full: bool) -> LabResult:
    r"""Spectral bias (Chakrabarty and Maji 2019; tutorial, Sec. II): smooth parts come first.

    In the kernel regime the error of an eigenvector of Theta falls like
    (1 - eta s_i)^t, and the large s_i belong to low frequencies. The statement that is checked on
    real runs is the order: of the relative errors by frequency band b

    .. math:: e_b(t) = \sum_{\omega\in b} |F(x_t - x)|^2 \Big/ \sum_{\omega\in b} |F x|^2

    the lowest band is at one half before the highest one. It is no theorem beyond the kernel
    regime; the lab varies the step, the scale of the first weights, and the optimiser (gradient
    descent, Adam, Muon) on undersampled MRI *without noise*, and says how many runs keep the order.

    Without noise nothing is left to overfit in the measured part, whose error falls throughout. The
    error in the null space of A falls first and may rise later: that is the overfitting of what was
    never measured. Its least value and its last are reported; the theory claims no number.
    """
    size, steps = (64, 600) if full else (32, 60)
    scales = (0.5, 1.0, 2.0) if full else (1.0,)
    problem, truth = measured(size, seed)
    runs = {
        f"{optimiser}, step {lr:g}, weights x{scale:g}": history(
            problem, truth, Engine(optimiser, lr=lr, precision="fp32"), scale, steps, seed
        )
        for optimiser, rates in RATES.items()
        for lr in (rates if full else rates[1:])
        for scale in scales
    }
    kept, rise = [], []
    for columns in runs.values():
        first, last = (half_time(columns[f"error in band {b}"]) for b in (1, BANDS))
        kept.append(first < last or first == last == steps + 1)
        unseen = columns["error, null space"]
        rise.append(unseen[-1] / unseen.min())
    shown = runs[next(name for name in runs if name.startswith("adam"))]
    seen, hidden = shown["error, measured part"], shown["error, null space"]
    findings = [
        Finding("share of runs with the low band first", float(np.mean(kept)), ">=", 0.9),
        Finding("measured part, Adam: last error / first", float(seen[-1] / seen[0]), "<=", 0.5),
        Finding("null space, Adam: last error / least", float(hidden[-1] / hidden.min())),
        Finding("  largest of all runs", float(max(rise))),
    ]
    curves = {"step": np.arange(1, steps + 1)} | {
        f"{run}: {name}": values
        for run, columns in runs.items()
        for name, values in columns.items()
    }

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        for b in range(1, BANDS + 1):
            axes[0].semilogy(shown[f"error in band {b}"], label=f"band {b}")
        axes[0].set(xlabel="step", title="Adam: relative error by frequency band")
        for name in ("error, measured part", "error, null space"):
            axes[1].semilogy(shown[name], label=name)
        axes[1].set(xlabel="step", title="without noise: two parts of the error")
        for one in axes:
            one.legend(fontsize=8)

    arrays = {"low band first": np.array(kept), "rise in the null space": np.array(rise)}
    return LabResult(findings, arrays, curves, draw)


def measured(size: int, seed: int) -> tuple[Problem, Tensor]:
    """Measure a brain phantom at a quarter of the columns, one coil, no noise."""
    image = torch.as_tensor(brain(size))
    truth = torch.stack((image.real, image.imag)).unsqueeze(0).float()
    physics = MRI(random_mask_columns(size, 4.0, seed=seed).expand(size, size).float())
    return Problem(physics.A(truth), physics), truth


def history(
    problem: Problem, truth: Tensor, engine: Engine, scale: float, steps: int, seed: int
) -> dict[str, Array]:
    """Run DIP and return the columns of `Bands`; the convolutions' first weights times `scale`."""
    recipe = Recipe(DIP(steps, jitter=0.0), Compact(widths=(16, 32, 32)), engine)
    module = recipe.build(problem)
    initialise(module, seed)
    drawn = {
        name: weight.detach() * (scale if weight.ndim > 1 else 1.0)
        for name, weight in module.named_parameters()
    }
    watch = Bands(truth, BANDS)
    fit = solve_recipe(recipe, problem, seed=seed, watch=[watch], start=StartWeights(drawn))
    names = [f"error in band {b + 1}" for b in range(BANDS)]
    names += ["error, measured part", "error, null space"]
    return {name: np.array(fit.history[name], dtype=float) for name in names}


def half_time(errors: Array) -> int:
    """Return the first step from 1 at which a band's error is at most one half; else one more."""
    there = np.flatnonzero(errors <= 0.5)
    return int(there[0]) + 1 if len(there) else len(errors) + 1


LAB = Lab(
    "spectral-bias",
    "Which frequencies real runs fit first, and the overfitting of the null space",
    "Chakrabarty and Maji 2019; tutorial, Sec. II",
    spectral_bias,
)
