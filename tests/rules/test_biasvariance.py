"""The stop rule of Theorem 3 against the exact degrees of freedom, and against the truth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained import nets
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.rule import Frame
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.lab.jacobian import Jacobian
from untrained.rules import BiasVariance
from untrained.solver.procedure import solve_recipe

SIDES = (12, 12)
NET = nets.Compact(widths=(8, 8), skip=2)
SGD = Engine("sgd", lr=0.02, precision="fp32")
METHOD = ut.methods.DIP(40, jitter=0.0, channels=4)


def problem(physics: object = None, sigma: float | None = 0.2) -> tuple[ut.Problem, Tensor]:
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in SIDES], indexing="ij")
    clean = (0.5 + 0.4 * torch.sin(3 * x + y))[None, None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    operator = physics or ut.physics.Denoise((1, *SIDES))
    measured = operator.A(clean) + 0.2 * noise  # type: ignore[attr-defined]
    return ut.Problem(measured, operator, sigma=sigma), clean


class Kernels(Watch):
    """Follows S_t = prod (I - eta K) exactly, by the stored kernel of every step."""

    def __init__(self) -> None:
        self.left = torch.eye(SIDES[0] * SIDES[1], dtype=torch.float64)
        self.freedom: list[float] = []

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        n = len(self.left)
        self.freedom.append(n - float(self.left.trace()))
        kernel = Jacobian.of_state(s).ntk().double() * 2 / n
        self.left = self.left - s.rate * kernel @ self.left
        return {}


def test_the_degrees_of_freedom_are_the_trace_of_the_filter() -> None:
    one, _ = problem()
    exact = Kernels()
    recipe = Recipe(METHOD, NET, SGD, stop=BiasVariance(probes=40), steps=3)
    fit = solve_recipe(recipe, one, watch=[exact])
    found = torch.tensor(fit.history["degrees of freedom"])
    expected = torch.tensor(exact.freedom)
    assert float(expected[-1]) > 1
    torch.testing.assert_close(found.double(), expected.double(), rtol=0.2, atol=0.4)


class Errors(Watch):
    def __init__(self, clean: Tensor) -> None:
        self.clean = clean
        self.values: list[float] = []

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        self.values.append(float((frame.x - self.clean).square().mean()))
        return {}


def test_the_estimate_from_y_is_close_to_the_error_that_knows_the_truth() -> None:
    one, clean = problem()
    errors = Errors(clean)
    recipe = Recipe(METHOD, NET, SGD, stop=BiasVariance(probes=4, patience=1000), steps=40)
    fit = solve_recipe(recipe, one, watch=[errors])
    estimated = torch.tensor(fit.history["estimated risk"])
    found = torch.tensor(errors.values)
    # 144 measurements: the noise's own mean square is known to 12 % of sigma^2
    assert float((estimated - found).abs().max()) < 0.35 * 0.2**2 + 0.1 * float(found.max())
    best = errors.values[int(estimated.argmin())]
    assert best < 1.3 * min(errors.values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": None}, "needs the noise level"),
        ({"method": ut.methods.DIP(4)}, "set engine.optimiser=sgd and jitter=0"),
        ({"engine": Engine("adam", lr=0.01, precision="fp32")}, "set engine.optimiser=sgd"),
        ({"method": ut.methods.TVDIP(4)}, "the data term alone"),
        ({"method": ut.methods.SelfGuided(4)}, "this method has z"),
    ],
)
def test_runs_that_it_does_not_describe_are_refused(change: dict, message: str) -> None:
    one, _ = problem(sigma=change.pop("sigma", 0.2))
    given = {"method": METHOD, "engine": SGD} | change
    recipe = Recipe(net=NET, stop=BiasVariance(), steps=4, **given)
    with pytest.raises(UserError, match=message):
        solve_recipe(recipe, one)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UserError, match=r"stop\.probes must be at least 1"):
        BiasVariance(probes=0)
