"""Scale, data term, split."""

import pytest
import torch

import untrained as ut
from untrained.errors import UserError
from untrained.maths import sum_squares
from untrained.physics import CT, MRI, Blur, Denoise, Inpaint
from untrained.problem.stacking import stack_problems


def mri(scale: float = 1.0) -> tuple[torch.Tensor, MRI]:
    g = torch.Generator().manual_seed(0)
    mask = torch.zeros(20)
    mask[[0, 3, 8, 9, 10, 11, 15, 18]] = 1
    physics = MRI(mask, x_shape=(2, 16, 20))
    x = scale * torch.randn(1, 2, 16, 20, generator=g)
    return physics.A(x), physics


def test_photographs_are_not_rescaled() -> None:
    y = 5 * torch.rand(1, 3, 8, 8)
    problem = ut.Problem(y, Denoise((3, 8, 8)), sigma=0.1)
    assert torch.equal(problem.y, y)
    assert problem.sigma == 0.1


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_network_sees_the_same_numbers_at_every_unit(scale: float) -> None:
    (y1, physics), (y, _) = mri(), mri(scale)
    one, other = ut.Problem(y1, physics), ut.Problem(y, physics, sigma=scale)
    torch.testing.assert_close(one.y, other.y, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(other.to_units(other.from_units(y[:, :, 0])), y[:, :, 0])
    assert other.sigma == pytest.approx(scale / float(other.scale))


def test_ct_estimate_has_the_units_of_the_image() -> None:
    physics = CT((32, 32), range(0, 180, 6), 46)
    x = torch.zeros(1, 1, 32, 32)
    x[..., 10:22, 10:22] = 7.0
    problem = ut.Problem(physics.A(x), physics)
    middle = problem.to_units(problem.estimate())[..., 14:18, 14:18].mean()
    assert 2.0 < float(middle) < 14.0


def test_the_data_term_is_the_mean_square_for_denoising() -> None:
    y, x = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    problem = ut.Problem(y, Denoise((1, 8, 8)))
    torch.testing.assert_close(problem.misfit(x), (x - y).square().flatten(1).mean(1))
    assert torch.equal(problem.misfit(x), sum_squares(x - y) / 64), "to the bit, as ever"


def dense_ct() -> tuple[ut.Problem, torch.Tensor]:
    """A problem, and the squared singular values of its operator."""
    physics = CT((16, 16), [0, 40, 80, 120], 24)
    problem = ut.Problem(physics.A(torch.rand(1, 1, 16, 16)), physics)
    dense = torch.stack([physics.A(e.view(1, 1, 16, 16)).flatten() for e in torch.eye(256)], 1)
    return problem, torch.linalg.eigvalsh(dense.T @ dense)


def test_the_data_term_is_divided_by_the_mean_squared_singular_value() -> None:
    problem, squares = dense_ct()
    assert float(problem.mean_squared_singular_value) == pytest.approx(float(squares.mean()))
    x = torch.rand(1, 1, 16, 16)
    expected = sum_squares(problem.A(x) - problem.y) / (squares.mean() * 256)
    torch.testing.assert_close(problem.misfit(x), expected)


def test_the_data_term_by_the_norm_is_divided_by_the_largest_squared_singular_value() -> None:
    problem, squares = dense_ct()
    assert problem.norm_squared == pytest.approx(float(squares.max()), rel=1e-2)
    x = torch.rand(1, 1, 16, 16)
    expected = sum_squares(problem.A(x) - problem.y) / (problem.norm_squared * 256)
    assert torch.equal(problem.misfit(x, "norm"), expected)


@pytest.mark.parametrize("weighting", ["uniform", "ramp", "half-ramp"])
def test_neither_a_split_nor_the_measurements_move_lambda(weighting: str) -> None:
    physics = CT((16, 16), range(0, 180, 15), 24)
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    one, other = (ut.Problem(physics.A(i[None]), physics, weighting=weighting) for i in x)
    fit, held = one.split(0.3, seed=0)
    means = [p.mean_squared_singular_value for p in (one, other, fit, held, one.weighted("ramp"))]
    assert all(torch.equal(means[0], mean) for mean in means[1:4])
    assert torch.equal(means[0], means[4]) == (weighting == "ramp")


@pytest.mark.parametrize("columns", [True, False])
def test_the_data_terms_of_a_group_are_those_of_its_members_to_the_bit(columns: bool) -> None:
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(12, 40, generator=g) < 0.4
    mask = mask[:1].expand(12, 40) if columns else mask
    problems = []
    for size in (1.0, 0.3, 2.0):
        maps = size * torch.randn(3, 12, 40, generator=g, dtype=torch.cfloat)
        maps[..., : int(4 * size)] = 0
        physics = MRI(mask, maps)
        problems.append(ut.Problem(physics.A(torch.randn(1, 2, 12, 40, generator=g)), physics))
    whole = stack_problems(problems)
    assert whole is not None
    x = torch.randn(3, 2, 12, 40, generator=g)
    singles = torch.cat([p.misfit(x[i : i + 1]) for i, p in enumerate(problems)])
    assert torch.equal(whole.misfit(x), singles)
    means = torch.cat([p.mean_squared_singular_value for p in problems])
    assert len(means.unique()) == 3
    assert torch.equal(whole.mean_squared_singular_value, means)
    fits = [p.split(0.2, seed=0)[0] for p in problems]
    split = stack_problems(fits)
    assert split is not None
    singles = torch.cat([p.misfit(x[i : i + 1]) for i, p in enumerate(fits)])
    assert torch.equal(split.misfit(x), singles)


@pytest.mark.parametrize(
    ("y", "physics"),
    [
        (torch.rand(1, 1, 12, 12), Denoise((1, 12, 12))),
        (
            torch.rand(1, 1, 12, 12) * (torch.arange(12) % 2),
            Inpaint(torch.ones(12, 12) * (torch.arange(12) % 2)),
        ),
        (torch.rand(1, 1, 12, 12), Blur(torch.ones(3, 3), (1, 12, 12))),
        (torch.rand(1, 1, 18, 12), CT((12, 12), range(0, 180, 15), 18)),
        mri(),
    ],
    ids=["denoise", "inpaint", "blur", "ct", "mri"],
)
def test_a_split_shares_no_measurement_and_loses_none(y, physics) -> None:
    problem = ut.Problem(y, physics)
    fit, held = problem.split(0.2, seed=0)
    assert bool((fit.keep * held.keep == 0).all())
    assert bool((fit.keep + held.keep == 1).all())
    assert 0 < held.n_visible < 0.5 * fit.n_visible
    assert fit.n_visible + held.n_visible == problem.n_visible
    both = [p.to_units(torch.ones(1)) * p.y for p in (fit, held)]
    torch.testing.assert_close(both[0] + both[1], y.float(), rtol=1e-4, atol=1e-5)
    assert torch.equal(fit.scale, held.scale)


def test_what_is_held_out_speaks_for_what_was_never_measured() -> None:
    y, physics = mri()
    fit, held = ut.Problem(y, physics).split(0.2, seed=0)
    assert held.importance is not None
    assert float(held.importance.sum()) > 2 * float(held.importance.count_nonzero())
    x = torch.randn(1, 2, 16, 20, generator=torch.Generator().manual_seed(1))
    weighted = (held.A(x) - held.y).square() * held.importance
    divisor = float(fit.mean_squared_singular_value) * fit.n_image
    expected = fit.misfit(x) + weighted.sum() / divisor
    torch.testing.assert_close(fit.expected_misfit(x, held), expected)


@pytest.mark.parametrize("view", ["whole", "fit", "held", "pair", "other"])
def test_the_quick_measurements_have_the_same_data_term(view: str) -> None:
    columns = (torch.arange(40) % 3 == 0).float()
    columns[17:23] = 1
    physics = MRI(columns, x_shape=(2, 12, 40))
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 12, 40, generator=g)
    problem = ut.Problem(physics.A(torch.randn(2, 2, 12, 40, generator=g)), physics, sigma=0.1)
    problem.misfit(x)  # whatever it keeps must not reach another view
    fit, held = problem.split(0.2, seed=0)
    views = {"whole": problem, "fit": fit, "held": held, "pair": problem.select(1)}
    views["other"] = problem.with_measurements(problem.y.flip(0))
    p = views[view]
    x = x[: len(p)]
    assert p.quick().y.shape[-1] == int(columns.sum())
    torch.testing.assert_close(p.misfit(x), p.cost(p.A(x) - p.y))
    back = p.quick().A_adjoint(p.quick().A(x))
    torch.testing.assert_close(back, p.A_adjoint(p.A(x)), rtol=1e-4, atol=1e-5)


def test_without_importance_the_held_out_error_is_what_is_expected() -> None:
    y = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    fit, held = ut.Problem(y, Denoise(y.shape[1:])).split(0.2, seed=0)
    assert torch.equal(fit.expected_misfit(1 - y, held), held.misfit(1 - y))


def test_the_scale_of_a_split_does_not_know_what_is_held() -> None:
    y, physics = mri()
    fit, held = ut.Problem(y, physics).split(0.2, seed=0)
    louder = y + 100 * held.keep * y.abs().max()
    again, _ = ut.Problem(louder, physics).split(0.2, seed=0)
    torch.testing.assert_close(again.scale, fit.scale, rtol=1e-4, atol=0)


@pytest.mark.parametrize("shape", [(1, 40), (3, 20, 17), (1, 9, 8, 10)])
def test_held_out_pixels_are_filled_from_their_neighbours_alone(shape: tuple[int, ...]) -> None:
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) + 1
    fit, held = ut.Problem(x, Denoise(shape)).split(0.1, seed=0)
    start = fit.estimate()
    visible = (fit.keep > 0).expand_as(x)
    torch.testing.assert_close(start[visible], x[visible])
    assert float(start[~visible].min()) > 1, "they would be zero"
    secret = torch.where(visible, x, torch.full_like(x, 1e6))
    changed, _ = ut.Problem(secret, Denoise(shape)).split(0.1, seed=0)
    assert torch.equal(changed.estimate(), start)
    assert torch.equal(held.y * held.keep, x * held.keep)


def test_ramp_weighting_is_for_ct() -> None:
    with pytest.raises(UserError, match="needs a physics with weight"):
        ut.Problem(torch.rand(1, 1, 8, 8), Denoise((1, 8, 8)), weighting="ramp")
    with pytest.raises(UserError, match="known: uniform, ramp, half-ramp"):
        ut.Problem(torch.rand(1, 1, 8, 8), Denoise((1, 8, 8)), weighting="rmap")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.full((1, 1, 8, 8), float("nan")), "64 values that are NaN"),
        (torch.rand(1, 1, 8, 8, dtype=torch.complex64), "two real channels"),
        (torch.rand(1, 1, 9, 8), r"got|maps an image of shape"),
        (torch.rand(0, 1, 8, 8), "at least one measurement"),
    ],
)
def test_wrong_measurements_are_named(y, message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        ut.Problem(y, Denoise((1, 8, 8)))


def test_what_no_coil_sees_is_zero() -> None:
    _, whole = mri()
    y = whole.A(torch.ones(1, *whole.x_shape))
    assert whole.support is None
    x = torch.ones(1, *whole.x_shape)
    assert torch.equal(ut.Problem(y, whole).supported(x), x)
    maps = whole.maps.clone()
    maps[..., :3, :] = 0
    cut = MRI(whole.mask[0, 0, 0], maps)
    seen = ut.Problem(cut.A(x), cut).supported(x)
    assert not bool(seen[..., :3, :].any())
    assert torch.equal(seen[..., 3:, :], x[..., 3:, :])


def test_what_stands_where_nothing_was_measured_is_ignored() -> None:
    mask = (torch.arange(12) % 2).expand(12, 12)
    y = torch.rand(1, 1, 12, 12)
    physics = Inpaint(mask, (1, 12, 12))
    assert torch.equal(ut.Problem(y, physics).y, ut.Problem(y * mask, physics).y)


@pytest.mark.parametrize("kind", ["maps", "operator"])
def test_double_precision_of_an_operator_stays_inside_it(kind: str) -> None:
    maps = torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(0), dtype=torch.cfloat)
    maps[..., :3] = 0
    columns = (torch.arange(40) % 3 == 0).float()
    plain = MRI(columns, maps)
    physics = MRI(columns, maps.to(torch.cdouble))
    if kind == "operator":
        physics = MRI(columns, maps).double()
    x = torch.rand(1, 2, 12, 40)
    problem, single = (ut.Problem(plain.A(x), p) for p in (physics, plain))
    for value, expected in (
        (problem.misfit(x), single.misfit(x)),
        (problem.supported(x), single.supported(x)),
        (problem.estimate(), single.estimate()),
    ):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected)


def test_the_noise_level_of_a_split_group_is_each_images_own() -> None:
    columns = (torch.arange(40) % 2).float()
    physics = MRI(columns, x_shape=(2, 12, 40))
    x = torch.randn(1, 2, 12, 40, generator=torch.Generator().manual_seed(0))
    y = physics.A(torch.cat([x, 3 * x.flip(3).square()]))
    fit, _ = ut.Problem(y, physics, sigma=0.02).split(0.2, seed=0)
    for i in range(2):
        one = fit.select(i)
        assert one.sigma * float(one.scale) == pytest.approx(0.02, rel=1e-5)


def test_the_operator_norm_does_not_depend_on_who_asks_first() -> None:
    columns = (torch.arange(40) % 3 == 0).float()
    y = MRI(columns, x_shape=(2, 12, 40)).A(torch.rand(1, 2, 12, 40))
    one, other = (ut.Problem(y, MRI(columns, x_shape=(2, 12, 40))) for _ in range(2))
    assert one.quick().norm_squared == other.norm_squared


def test_a_mask_of_other_axes_is_not_taken_for_that_of_the_measurements() -> None:
    class Own:
        x_shape = (1, 6, 6)
        mask = torch.zeros(6, 6)

        def A(self, x: torch.Tensor) -> torch.Tensor:
            return x

        A_adjoint = A

    assert ut.Problem(torch.rand(1, 1, 6, 6), Own()).n_visible == 36
