"""The search for a weight."""

from __future__ import annotations

import math

import pytest
import torch

from untrained.classical.weight import by_octaves, golden_section, sure_error
from untrained.physics import Denoise
from untrained.problem import Problem


def test_the_minimum_of_a_unimodal_function_is_found():
    found = golden_section(lambda x: (x - 1.3) ** 2 + 1, -5.0, 5.0, 14)
    assert abs(found - 1.3) < 0.1


def test_of_equal_points_the_highest_is_taken():
    def flat(x: float) -> float:
        return 1.0 if x < 2 else 1.0 + (x - 2)

    assert golden_section(flat, -5.0, 5.0, 12, tie=0.99) > 1.0
    # a dip of less than the tie does not lead away
    dip = golden_section(lambda x: flat(x) - 0.005 * (x < -3), -5.0, 5.0, 12, tie=0.99)
    assert dip > 1.0
    deep = golden_section(lambda x: flat(x) - 0.5 * (x < 1), -5.0, 5.0, 12, tie=0.99)
    assert deep < 1.0


def octaves(values: dict[float, float], tie: float = 1.0) -> tuple[float, list[float]]:
    """What is found from 8 on, and what is asked for before the refinement."""
    seen: list[float] = []

    def f(x: float) -> float:
        seen.append(x)
        return values.get(x, 9.0)

    return by_octaves(f, 8.0, 4, 2, tie), seen[:-2]


def test_halves_are_tried_until_two_in_a_row_are_worse():
    falling = {8: 3.0, 4: 2.5, 2: 2.0, 1: 2.5, 0.5: 3.0}
    assert octaves(falling) == (2.0, [8, 4, 2, 1, 0.5])
    assert octaves({**falling, 1: 1.0}) == (1.0, [8, 4, 2, 1, 0.5])  # the last that is allowed
    bump = {8: 3.0, 4: 4.0, 2: 2.0, 1: 3.0, 0.5: 3.0}
    assert octaves(bump) == (2.0, [8, 4, 2, 1, 0.5])


def test_doubles_are_tried_where_no_half_is_better():
    rising = {8: 3.0, 4: 4.0, 2: 5.0, 16: 2.0, 32: 1.5}
    assert octaves(rising) == (32.0, [8, 4, 2, 16, 32])
    assert octaves({**rising, 16: 3.5, 32: 4.0}) == (8.0, [8, 4, 2, 16, 32])


def test_the_best_octave_is_refined():
    assert by_octaves(lambda x: abs(x - 5.5), 8.0, 4, 2) == 4 * math.sqrt(2)


def test_of_octaves_that_are_alike_the_largest_is_taken():
    alike = {8: 2.0, 4: 1.99, 2: 3.0, 1: 3.0, 16: 3.0}
    assert octaves(alike)[0] == 4.0
    assert octaves(alike, 0.99) == (8.0, [8, 4, 2, 1, 16, 32])


@pytest.mark.parametrize("part", [False, True])
def test_the_estimated_error_of_a_shrinkage_is_steins(part):
    """x_w = y / (1 + w) has the divergence n / (1 + w)."""
    y = torch.rand(1, 1, 16, 20, generator=torch.Generator().manual_seed(0))
    problem = Problem(y, Denoise((1, 16, 20)), sigma=0.2)
    if part:
        problem, _ = problem.split(0.3, 0)
    error = sure_error(problem, lambda p: lambda w: p.y / (1 + w))
    seen = problem.visible(torch.ones_like(problem.y))
    sigma = float(problem.sigma)
    for w in (0.0, 0.5, 3.0):
        residual = problem.visible(problem.y / (1 + w) - problem.y)
        expected = float(residual.square().sum() + 2 * sigma**2 * seen.sum() / (1 + w))
        assert error(w) == pytest.approx(expected, rel=1e-4)
