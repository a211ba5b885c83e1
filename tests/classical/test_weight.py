"""The search for a weight."""

from __future__ import annotations

from untrained.classical.weight import golden_section


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
