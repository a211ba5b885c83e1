"""The search for a weight."""

from __future__ import annotations

import math

from untrained.classical.weight import descend, golden_section


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


def test_descent_passes_a_dip_stops_after_three_worse_ones_and_refines():
    seen: list[float] = []

    def f(x: float) -> float:
        seen.append(round(x, 2))
        return {32: 3.0, 16: 4.0, 8: 2.0, 4: 2.5, 2: 2.6, 1: 2.7, 0.5: 0.1}.get(x, abs(x - 7))

    assert descend(f, 32.0, 6) == 8 / math.sqrt(2)
    assert seen == [32, 16, 8, 4, 2, 1, 11.31, 5.66]


def test_descent_takes_the_larger_of_two_alike():
    assert descend(lambda x: 1.0 + (x < 4) + (x > 8) - 0.005 * (x == 4), 16.0, 3) == 4.0
    assert descend(lambda x: 1.0 + (x < 4) + (x > 8) - 0.005 * (x == 4), 16.0, 3, 0.99) == 8.0
