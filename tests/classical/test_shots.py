"""What networks lean on along a trajectory: the share of wavelets, found by held-out shots."""

import importlib.util
import math

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.classical import baseline, baseline_name, shots, two_priors
from untrained.classical.shots import of_shots
from untrained.physics import NonCartesianMRI

pytest.importorskip("finufft")
SIDE, SPOKES = 24, 16
LEVEL, COUPLING = 0.02, 0.06


def picture() -> Tensor:
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 2, indexing="ij")
    inside = (x.square() + y.square() < 0.7).float()
    real = inside * (1 + 0.3 * torch.sin(9 * x + 3 * y))
    return torch.stack([real, 0.3 * inside * y])[None]


def scan(count: int = SPOKES) -> ut.Problem:
    angles = torch.arange(count) * math.pi * (math.sqrt(5) - 1) / 2
    radius = (torch.arange(SIDE) - SIDE // 2) / SIDE
    spokes = torch.stack([angles.cos(), angles.sin()], -1)[:, None] * radius[:, None]
    physics = NonCartesianMRI(spokes, x_shape=(2, SIDE, SIDE))
    y = physics.A(picture())
    draw = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    return known(ut.Problem(y + 0.02 * y.std() * draw, physics))


def known(problem: ut.Problem) -> ut.Problem:
    """Spare a problem the search for the level and the coupling, which is tested elsewhere."""
    problem.cache["two priors settings"] = torch.tensor([LEVEL, COUPLING], dtype=torch.float64)
    return problem


def two(problem: ut.Problem, level: float, coupling: float, stride: int = 4) -> Tensor:
    """Stand in for `solve_at`, at once."""
    return problem.from_units(0.9 * picture())


def wavelets_are(made: object, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Put other images in the place of wavelets; the list grows by every weight they are asked."""
    asked: list[float] = []

    def image(problem: ut.Problem, weight: float) -> Tensor:
        asked.append(weight)
        return problem.from_units(made(weight))  # type: ignore[operator]

    monkeypatch.setattr(shots, "l1wavelet", image)
    monkeypatch.setattr(shots, "solve_at", two)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    return asked


def test_an_image_that_predicts_held_out_shots_is_taken_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wavelets_are(lambda weight: picture(), monkeypatch)
    problem = scan()
    torch.testing.assert_close(problem.to_units(of_shots(problem)), picture())


def test_an_image_that_does_not_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    wavelets_are(lambda weight: -picture(), monkeypatch)
    problem = scan()
    torch.testing.assert_close(problem.to_units(of_shots(problem)), 0.9 * picture())


def test_two_images_that_err_in_opposite_ways_are_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    wavelets_are(lambda weight: 1.1 * picture(), monkeypatch)
    problem = scan()
    error = float((problem.to_units(of_shots(problem)) - picture()).norm() / picture().norm())
    assert error < 0.01


def test_the_weight_is_the_best_of_factors_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found on a part of the shots; all of them take it, in their own units, and seek nothing."""
    first = shots.OF_LEVEL * LEVEL * math.sqrt(COUPLING / 0.2)
    asked = wavelets_are(
        lambda weight: picture() * (0.98 - abs(math.log2(weight / first) - 1) / 10), monkeypatch
    )
    problem = scan()
    part = known(problem.split(0.2, 3)[0])
    of_shots(part)
    assert asked[-1] == pytest.approx(2 * first)
    tried = len(asked)
    of_shots(problem.after(part))
    assert len(asked) == tried + 1
    assert asked[-1] * float(problem.scale) == pytest.approx(2 * first * float(part.scale))


@pytest.mark.parametrize(("best", "found"), [(0, 0), (-1, -1), (2, 2), (9, 2), (-9, -2)])
def test_the_search_goes_down_or_up_and_not_far(best: int, found: int) -> None:
    tried = []

    def off(octave: int) -> Tensor:
        tried.append(octave)
        return torch.tensor([float(octave - best)])

    assert shots._downhill(off)[0] == found
    assert len(tried) == len(set(tried))


def test_without_sigpy_or_shots_to_hold_out_there_are_no_wavelets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = scan()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    torch.testing.assert_close(of_shots(problem), two_priors(problem))


def test_the_baseline_of_a_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    wavelets_are(lambda weight: picture(), monkeypatch)
    problem = scan()
    problem.cache["share of flat pieces"] = torch.zeros(1)
    assert baseline_name(problem) == "low rank, non-local Bayes and wavelets"
    assert baseline(problem).equal(of_shots(problem))
