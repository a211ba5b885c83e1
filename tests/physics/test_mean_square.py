"""The mean squared singular value of every operator against its dense matrix."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import untrained as ut
from untrained.physics import (
    CT,
    MRI,
    Blur,
    CompressedSensing,
    Denoise,
    FanBeam,
    Inpaint,
    NonCartesianMRI,
    PhaseRetrieval,
    Stack,
    SuperRes,
)


def _random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def _maps(*shape: int) -> torch.Tensor:
    """Coil maps that see nothing of the first two rows."""
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.cfloat)
    maps[..., :2, :] = 0
    return maps


COLUMNS = torch.tensor([1.0, 0, 0, 1, 1, 1, 0, 1])
PARALLEL = CT((9, 8), [0, 33, 70, 100, 150], 13, detector_offset=0.7)
FAN = CT((9, 8), range(0, 360, 40), 15, fan=FanBeam(30.0, 50.0), detector_pitch=1.4)

OPERATORS: dict[str, Callable[[], Any]] = {
    "denoise": lambda: Denoise((2, 9, 8)),
    "inpaint": lambda: Inpaint(_random(9, 8) < 0.4, (2, 9, 8)),
    "blur": lambda: Blur(_random(5, 3), (1, 9, 8)),
    "even blur": lambda: Blur(_random(4, 6), (1, 9, 8)),
    "largest blur": lambda: Blur(_random(9, 8), (1, 9, 8)),
    "circular blur": lambda: Blur(_random(4, 5), (1, 9, 8), "circular"),
    "superres": lambda: SuperRes((1, 12, 8), 4),
    "cs": lambda: CompressedSensing((1, 9, 8), 20),
    "parallel ct": lambda: PARALLEL,
    "fan ct": lambda: FAN,
    "mri positions": lambda: MRI(_random(9, 8) < 0.4, _maps(3, 9, 8)),
    "mri columns": lambda: MRI(COLUMNS, _maps(3, 9, 8)),
    "mri rows": lambda: MRI(COLUMNS[:, None].expand(8, 9), _maps(3, 8, 9)),
    "mri trajectory": lambda: NonCartesianMRI(_random(4, 7, 2) - 0.5, _maps(3, 9, 8)),
    "ct stack": lambda: Stack(PARALLEL, 3),
    "mri stack": lambda: Stack(MRI(COLUMNS, _uneven_maps()), 2),
}


def _uneven_maps() -> torch.Tensor:
    """Two slices of which one shows half of what the other shows."""
    maps = _maps(2, 3, 9, 8)
    maps[1, :, :5] = 0
    return maps


def _columns(physics: Any, weighting: str = "uniform") -> torch.Tensor:
    """Sums of the squared entries of every column of the (weighted) matrix, `(n,)`."""
    shape = physics.x_shape
    impulses = torch.eye(math.prod(shape)).reshape(-1, *shape)
    columns = torch.cat([physics.A(one[None]) for one in impulses])
    if weighting != "uniform":
        columns = physics.weight(columns, weighting)
    return columns.double().flatten(1).square().sum(1)


def _dense(physics: Any, weighting: str = "uniform") -> float:
    """Sum of all squared entries of the (weighted) matrix over the number of columns not empty."""
    squares = _columns(physics, weighting)
    return float(squares.sum() / squares.count_nonzero())


@pytest.mark.parametrize("name", [n for n in OPERATORS if "inpaint" not in n])
def test_it_is_that_of_the_dense_matrix(name: str) -> None:
    physics = OPERATORS[name]()
    known = float(physics.mean_squared_singular_value())
    assert known == pytest.approx(_dense(physics), rel=1e-5)


def test_missing_pixels_are_entries_of_the_image_all_the_same() -> None:
    mask = _random(9, 8) < 0.4
    assert Inpaint(mask, (2, 9, 8)).mean_squared_singular_value() == float(mask.double().mean())


@pytest.mark.parametrize("weighting", ["ramp", "half-ramp"])
@pytest.mark.parametrize("name", ["parallel ct", "fan ct", "ct stack"])
def test_it_is_that_of_the_weighted_matrix(name: str, weighting: str) -> None:
    physics = OPERATORS[name]()
    known = physics.mean_squared_singular_value(weighting)
    assert known == pytest.approx(_dense(physics, weighting), rel=1e-5)


def test_ct_of_many_entries_is_summed_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FAN.mean_squared_singular_value("ramp")
    monkeypatch.setattr("untrained.physics.sparse.CHUNK", 100)
    assert FAN.mean_squared_singular_value("ramp") == pytest.approx(whole, rel=1e-12)


def test_it_is_the_sampled_share_where_the_coils_energies_add_up_to_one() -> None:
    maps = _maps(3, 9, 8)
    maps = maps / maps.abs().square().sum(0).sqrt().clamp_min(1e-12)
    known = MRI(COLUMNS, maps).mean_squared_singular_value()
    assert float(known) == pytest.approx(5 / 8, rel=1e-6)


def test_the_quick_operator_of_mri_gives_the_same_number_to_the_bit() -> None:
    physics = MRI(COLUMNS, _uneven_maps())
    quick = physics.hybrid()
    assert quick is not None
    known = physics.mean_squared_singular_value()
    assert torch.equal(quick.mean_squared_singular_value(), known)
    one_by_one = [physics.alone(i).mean_squared_singular_value() for i in range(2)]
    assert torch.equal(torch.cat(one_by_one), known)


class Stranger:
    """The operator of someone else, that says nothing of itself."""

    def __init__(self, physics: Any) -> None:
        self.inner = physics
        self.x_shape = physics.x_shape

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner.A(x)


@pytest.mark.parametrize("name", list(OPERATORS))
def test_of_an_operator_that_says_nothing_it_is_estimated(name: str) -> None:
    physics = OPERATORS[name]()
    y = physics.A(_random(1, *physics.x_shape))
    first, second = (ut.Problem(y, Stranger(physics)) for _ in range(2))
    assert first.linear
    estimate = first.mean_squared_singular_value
    assert torch.equal(estimate, second.mean_squared_singular_value)
    # where a stranger sees nothing is not known
    assert float(estimate) == pytest.approx(float(_columns(physics).mean()), rel=0.1)


def test_an_operator_derived_from_the_users_passes_its_answer_on() -> None:
    class Knowing(Stranger):
        def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
            return 7.0

    problem = ut.Problem(PARALLEL.A(_random(1, 1, 9, 8)), Knowing(PARALLEL))
    assert float(problem.mean_squared_singular_value) == 7.0


def test_a_nonlinear_operator_keeps_its_norm() -> None:
    physics = PhaseRetrieval((1, 8, 8), pad=2)
    problem = ut.Problem(physics.A(_random(1, 1, 8, 8)), physics)
    assert float(problem.mean_squared_singular_value) == 1.0


def test_an_operator_that_sees_nothing_divides_by_one() -> None:
    physics = MRI(torch.ones(8), torch.zeros(2, 8, 8, dtype=torch.cfloat))
    problem = ut.Problem(torch.zeros(1, 2, 2, 8, 8), physics)
    assert float(problem.mean_squared_singular_value) == 1.0
    assert torch.equal(problem.misfit(torch.ones(1, 2, 8, 8)), torch.zeros(1))
