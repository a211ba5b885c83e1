"""The operator norm from below and its bound from above."""

import pytest
import torch

from untrained.maths import above_norm, power_iteration

SPREAD = torch.linspace(0, 1, 128 * 128)


@pytest.mark.parametrize(
    "eigenvalues",
    [SPREAD, 1 - SPREAD.sqrt(), 1 - SPREAD ** (2 / 3), torch.tensor([1.0, 0.5])],
    ids=["even", "thinning", "volume", "two"],
)
def test_the_bound_lies_above_the_norm_that_power_iteration_approaches(
    eigenvalues: torch.Tensor,
) -> None:
    found = power_iteration(lambda x: eigenvalues * x, eigenvalues.shape, torch.zeros(1))
    top = float(eigenvalues.max())
    assert found <= top * (1 + 1e-6)
    assert top <= above_norm(found) <= 1.06 * top


def test_gradient_descent_with_a_step_from_the_bound_never_overshoots() -> None:
    """x <- x - (1/L) lambda x shrinks every part without a change of sign, for 1/L <= 1/lambda."""
    found = power_iteration(lambda x: SPREAD * x, SPREAD.shape, torch.zeros(1))
    assert float((1 - SPREAD / found).min()) < 0
    assert float((1 - SPREAD / above_norm(found)).min()) >= 0
