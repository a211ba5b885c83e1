"""Estimate how long a classical answer takes, before it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from untrained.classical import CLASSICAL
from untrained.classical.gauss_newton import mixture_seconds
from untrained.classical.weight import on_trajectory
from untrained.problem import Problem
from untrained.waiting import TimeIsUp, waiting

LIMIT = 2.0  # seconds of trying
PRODUCTS = {
    "adjoint": 2,
    "cgsense": 35,
    "tv": 2500,
    "l1wavelet": 5200,
    "dct": 900,
    "lowrank": 1100,
    "nlbayes": 1000,
    "baseline": 2500,
}
"""Products with A^H A that an answer takes, its search for a weight included: counted on scans of
48 x 48 and 64 x 64 (MRI on a grid and on spokes, CT)."""

ON_TRAJECTORIES = {"baseline": 4200}
"""Along a trajectory it contains `l1wavelet`: the mean of the first one, which searches for weights
(6,600), and of that of all measurements, which takes them over (1,900)."""

OF_VOLUMES = {"tv": 250, "baseline": 250}
"""Of a volume whose matrix cannot be stored, which takes fewer."""

CROPS = (192, 96)  # pixels a side of the part of a picture that is tried
OWN = ("fbp", "fdk")  # answers that look at all views, whatever the products do
RATE = 3e9  # bytes of a stored matrix that a product reads in a second


def classical_seconds(name: str, problem: Problem) -> tuple[float | None, str]:
    """Estimate the time of a classical answer.

    It is tried for LIMIT seconds. An answer that is not there by then takes as long as its products
    with A and A^H, one of which is measured; of a picture whose operator can be cut a part is
    tried, and counts by its pixels.

    Args:
        name: of the answer.
        problem: one problem; its physics may have a few of its views alone.

    Returns:
        Seconds, None where nothing tells, and how they were found.
    """
    run = CLASSICAL[name]
    share = 1.0 if name in OWN else problem.physics.share
    tried = _tried(run, problem)
    if tried is not None:
        how = "measured on the answer itself" if share == 1 else "measured on a few of the views"
        return tried / share, how
    for side in CROPS:
        found = _part(problem, side)
        tried = None if found is None else _tried(run, found[0])
        if found is not None and tried is not None:
            return tried * found[1], f"measured on a part of {side} x {side} pixels"
    seconds = counted_seconds(name, problem)
    if seconds is None:
        return None, f"over {LIMIT:g} s; how long nothing tells beforehand"
    return seconds, "of its products with A and A^H, counted on smaller scans; one was measured"


def counted_seconds(name: str, problem: Problem) -> float | None:
    """Estimate the time of an answer, or of `baseline`, by its products; None where none count."""
    physics = problem.physics
    if name == "baseline" and not problem.linear and problem.solvable:
        return mixture_seconds(problem)
    volume = physics.matrix_free and len(problem.x_shape) == 4
    counts = OF_VOLUMES if volume else PRODUCTS
    if on_trajectory(problem):
        counts = PRODUCTS | ON_TRAJECTORIES
    count = counts.get(name)
    if count is None or not problem.linear or not (problem.traits.few_lines or volume):
        return None
    if physics.matrix_free and physics.matrix_bytes:  # the run builds the matrix
        return count * physics.matrix_bytes / RATE
    return count * product_seconds(problem)


def product_seconds(problem: Problem) -> float:
    """Measure a product with A^H A, of all views."""
    one = problem.quick()
    x = one.back(one.y)
    began = time.perf_counter()
    with torch.no_grad():
        one.normal(x)
    return (time.perf_counter() - began) / problem.physics.share


def step_seconds(problem: Problem) -> float:
    """Measure the data term and its gradient at an image, of all views."""
    x = problem.estimate().clone().requires_grad_()
    began = time.perf_counter()
    problem.misfit(x).sum().backward()
    return (time.perf_counter() - began) / problem.physics.share


def _tried(run: Callable[[Problem], Tensor], problem: Problem) -> float | None:
    """Measure the seconds of an answer; None where it takes longer than LIMIT."""
    began = time.perf_counter()
    try:
        with waiting(LIMIT), torch.no_grad():
            run(problem)
    except TimeIsUp:
        return None
    return time.perf_counter() - began


def _part(problem: Problem, side: int) -> tuple[Problem, float] | None:
    """Cut a corner of a picture out of its problem; and how many times more pixels it has."""
    if len(problem.x_shape) != 3 or min(problem.x_shape[1:]) <= side:
        return None
    box = slice(0, side - side % problem.physics.tile_step)
    found = problem.physics.cropped(problem.y, box, box)
    if found is None:
        return None
    part = Problem(found[1], found[0], sigma=problem.sigma)
    return part, problem.n_image / part.n_image
