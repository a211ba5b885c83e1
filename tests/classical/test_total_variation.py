"""TV against closed forms, its certificate, and the choice of the weight."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.data import camera

from untrained.classical import tv, tv_solve, tv_weight
from untrained.classical.gradient import gradient, length
from untrained.errors import UserError
from untrained.maths import to_channels
from untrained.physics import CT, MRI, Denoise, Inpaint, random_mask, random_mask_columns
from untrained.problem import Problem

SMALL = torch.from_numpy(camera()[64:448:8, 128:512:8].copy()).float()[None, None] / 255


def noise(shape: tuple[int, ...], sigma: float) -> torch.Tensor:
    return sigma * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def value(p: Problem, x: torch.Tensor, weight: float) -> float:
    data = 0.5 * (p.A(x) - p.y).double().square().sum()
    return float(data + weight * length(gradient(x)).double().sum())


def problems() -> dict[str, Problem]:
    maps = torch.ones(2, 48, 48, dtype=torch.complex64) / math.sqrt(2)
    mri = MRI(random_mask_columns(48, 2.0, seed=0), maps)
    ct = CT((48, 48), np.arange(0, 180, 12.0), 68)
    inpaint = Inpaint(random_mask((48, 48), 0.4), (1, 48, 48))
    complex_image = torch.cat((SMALL, 0.3 * SMALL.flip(2)), 1)
    return {
        "denoise": Problem(SMALL + noise(SMALL.shape, 0.1), Denoise((1, 48, 48))),
        "inpaint": Problem(inpaint.A(SMALL + noise(SMALL.shape, 0.05)), inpaint),
        "mri": Problem(mri.A(complex_image), mri),
        "ct": Problem(ct.A(SMALL), ct),
    }


@pytest.mark.parametrize("task", ["denoise", "inpaint", "mri", "ct"])
def test_the_gap_is_reached_and_true(task):
    p = problems()[task]
    weight = 0.01 * p.norm_squared
    found = tv_solve(p, weight, tolerance=1e-4)
    assert found.gap.dtype == torch.float64
    assert float(found.gap) <= 1e-4
    best = value(p, found.image, weight)
    direction = noise(found.image.shape, 1.0)
    tried = [found.image + step * direction for step in (1e-4, -1e-4, 1e-3)]
    tried += [0.999 * found.image, found.image.mean((2, 3), keepdim=True) * torch.ones_like(SMALL)]
    for other in tried:
        other = other.clamp(0, 1) if p.unit_range else other
        assert value(p, other, weight) >= best * (1 - 1e-4)


def test_a_tighter_gap_has_no_higher_value():
    p = problems()["ct"]
    weight = 0.003 * p.norm_squared
    loose, tight = (tv_solve(p, weight, tolerance=t) for t in (1e-1, 1e-4))
    difference = value(p, loose.image, weight) - value(p, tight.image, weight)
    assert -1e-4 <= difference / value(p, tight.image, weight) <= float(loose.gap)


def test_a_step_edge_has_a_closed_form():
    # Columns of two constants: TV lowers each plateau of n columns by w / n.
    y = torch.cat((torch.full((8, 4), 0.2), torch.full((8, 4), 0.8)), 1)[None, None]
    found = tv_solve(Problem(y, Denoise((1, 8, 8))), 0.4, tolerance=1e-6)
    exact = torch.cat((torch.full((8, 4), 0.3), torch.full((8, 4), 0.7)), 1)
    assert torch.allclose(found.image[0, 0], exact, atol=1e-3)


def test_a_large_weight_gives_the_mean():
    p = problems()["denoise"]
    image = tv_solve(p, 100.0).image
    assert torch.allclose(image, p.y.mean().expand_as(image), atol=1e-3)


def test_the_box_holds():
    p = Problem(SMALL * 1.5 - 0.2, Denoise((1, 48, 48)))
    image = tv_solve(p, 0.01).image
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1


def test_a_group_is_its_problems_one_by_one():
    y = torch.cat((SMALL, SMALL.flip(3))) + noise((2, 1, 48, 48), 0.1)
    p = Problem(y, Denoise((1, 48, 48)))
    together = tv_solve(p, 0.1)
    assert together.gap.shape == together.iterations.shape == (2,)
    for i in range(2):
        assert torch.equal(tv_solve(p.select(i), 0.1).image, together.image[i : i + 1])


def test_the_chosen_weight_is_near_the_best_on_average():
    """About 100 held-out pixels are few: single draws scatter, their mean must not."""
    lost = []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        noisy = SMALL + 0.1 * torch.randn(SMALL.shape, generator=generator)
        p = Problem(noisy, Denoise((1, 48, 48)))
        chosen = tv_weight(p)
        error = {
            w: float((tv_solve(p, w, tolerance=1e-3).image - SMALL).square().mean())
            for w in [chosen, *(10 ** torch.linspace(-2.5, 0, 11)).tolist()]
        }
        lost.append(10 * math.log10(error[chosen] / min(error.values())))
    assert sum(lost) / len(lost) < 0.4


def test_a_known_noise_level_keeps_details_of_one_pixel():
    """Their neighbours do not tell them: held-out pixels would have them smoothed away."""
    generator = torch.Generator().manual_seed(0)
    fine = (torch.rand(1, 1, 48, 48, generator=generator) < 0.5) * 0.6 + 0.2
    noisy = fine + 0.1 * torch.randn(fine.shape, generator=generator)
    p = Problem(noisy, Denoise((1, 48, 48)), sigma=0.1)
    error = {
        w: float((tv_solve(p, w, tolerance=1e-3).image - fine).square().mean())
        for w in [tv_weight(p), *(10 ** torch.linspace(-2.5, 0, 16)).tolist()]
    }
    assert error[tv_weight(p)] < 1.03 * min(error.values())
    unknown = tv_weight(Problem(noisy, Denoise((1, 48, 48))))
    assert float((tv_solve(p, unknown).image - fine).square().mean()) > 1.5 * error[tv_weight(p)]


@pytest.mark.parametrize("factor", [0.02, 30.0])
def test_a_known_noise_level_holds_for_operators_of_any_norm(factor):
    class Scaled(Denoise):
        def A(self, x):
            return factor * super().A(x)

        A_adjoint = A
        norm_squared = factor**2

    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(SMALL.shape, generator=generator)
    plain = Problem(SMALL + noise, Denoise((1, 48, 48)), sigma=0.1)
    scaled = Problem(factor * (SMALL + noise), Scaled((1, 48, 48)), sigma=factor * 0.1)
    expected, found = (p.to_units(tv(p)) for p in (plain, scaled))
    assert float((found - expected).abs().max()) < 0.05


def test_tv_is_repeatable_and_better_than_the_measurement():
    p = problems()["denoise"]
    image = tv(p)
    assert torch.equal(image, tv(p))
    assert (image - SMALL).square().mean() < 0.5 * (p.y - SMALL).square().mean()


def test_a_weight_keeps_its_meaning_in_units_of_the_measurement():
    # y and w multiplied by 10: the same problem, ten times as bright.
    physics = MRI(random_mask_columns(48, 2.0, seed=0), x_shape=(2, 48, 48))
    y = physics.A(torch.cat((SMALL, 0.3 * SMALL), 1))
    images = [p.to_units(tv(p)) for p in (Problem(y, physics), Problem(10 * y, physics))]
    assert torch.allclose(10 * images[0], images[1], atol=1e-2 * float(images[1].abs().max()))


def test_complex_images_are_coupled():
    # A phase turns real into imaginary part: joint TV does not notice.
    physics = MRI(torch.ones(48, 48), x_shape=(2, 48, 48))
    turn = torch.polar(torch.tensor(1.0), torch.tensor(0.7))
    plain = torch.complex(SMALL[:, 0], torch.zeros_like(SMALL[:, 0]))
    sizes = []
    for image in (plain, plain * turn):
        p = Problem(physics.A(to_channels(image)), physics)
        sizes.append(tv_solve(p, 0.05).image.square().sum(1).sqrt() * p.scale)
    assert torch.allclose(sizes[0], sizes[1], atol=2e-3)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan])
def test_a_weight_must_be_positive(weight):
    with pytest.raises(UserError, match="TV weight must be positive"):
        tv_solve(problems()["denoise"], weight)
