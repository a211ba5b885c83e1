"""MRI against the plain definition y_c = M F (S_c x)."""

import pytest
import torch

from untrained.errors import UserError
from untrained.maths import fft2c, ifft2c, to_channels, to_complex
from untrained.physics import MRI, random_mask, vdrs_mask
from untrained.physics.masks import calibration_block


def noise(*shape, seed=0, dtype=torch.complex128):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("size", [(8, 8), (10, 6), (9, 7), (12, 15), (1, 5)])
@pytest.mark.parametrize("batch", [1, 3])
def test_it_is_the_definition(size, batch):
    maps, mask = noise(batch, 4, *size), random_mask(size, 0.4)
    x = noise(3, 2, *size, seed=1, dtype=torch.float64)
    physics = MRI(mask, maps)
    expected = fft2c(to_complex(x)[:, None] * maps) * mask
    torch.testing.assert_close(physics.A(x), to_channels(expected))
    back = (maps.conj() * ifft2c(expected)).sum(1)
    torch.testing.assert_close(physics.A_adjoint(to_channels(expected)), to_channels(back))
    torch.testing.assert_close(physics.maps, maps)
    assert physics.mask.shape == (1, 1, 1, *size)


def test_single_coil_fully_sampled_is_unitary():
    physics = MRI(torch.ones(9, 12))
    x = noise(2, 2, 9, 12, dtype=torch.float32)
    y = physics.A(x)
    assert y.shape == (2, 2, 1, 9, 12)
    torch.testing.assert_close(y.norm(), x.norm())
    torch.testing.assert_close(physics.A_adjoint(y), x)


def test_constant_image_has_its_energy_at_the_centre():
    y = MRI(torch.ones(8, 7)).A(torch.ones(1, 2, 8, 7))
    energy = y.square().sum((0, 1, 2))
    assert divmod(int(energy.argmax()), 7) == (4, 3)
    assert float(energy[4, 3] / energy.sum()) == pytest.approx(1, abs=1e-5)


def test_columns_are_a_full_mask():
    columns = vdrs_mask(20, 2, 0.2)
    full = columns.expand(16, -1)
    maps = noise(3, 16, 20, dtype=torch.complex64)
    x = noise(1, 2, 16, 20, dtype=torch.float32)
    expected = MRI(full, maps).A(x)
    assert torch.equal(MRI(columns, maps).A(x), expected)
    assert torch.equal(MRI(columns.numpy(), maps.numpy()).A(x), expected)
    assert MRI(columns, x_shape=(2, 16, 20)).y_shape == (2, 1, 16, 20)


def test_double_keeps_complex_maps():
    maps = noise(3, 8, 10, dtype=torch.complex64)
    physics = MRI(torch.ones(8, 10), maps).double()
    assert physics.maps.dtype == torch.complex128
    torch.testing.assert_close(physics.maps[0].to(torch.complex64), maps)


def test_a_network_can_be_trained_through_it():
    physics = MRI(random_mask((8, 8), 0.3), noise(2, 8, 8, dtype=torch.complex64))
    x = torch.zeros(1, 2, 8, 8, requires_grad=True)
    y = physics.A(noise(1, 2, 8, 8, dtype=torch.float32))
    (physics.A(x) - y).square().sum().backward()
    torch.testing.assert_close(x.grad, -2 * physics.A_adjoint(y))


@pytest.mark.parametrize(
    "mask", [vdrs_mask(64, 4, 0.08).expand(48, -1), random_mask((48, 64), 0.7)]
)
def test_held_out_samples_spare_the_centre(mask):
    mask = mask.clone()
    mask[20:28, 28:36] = True
    physics = MRI(mask, torch.ones(3, 48, 64, dtype=torch.complex64))
    y = physics.A(torch.ones(1, 2, 48, 64))
    held = physics.holdout(y, 0.5, torch.Generator().manual_seed(0))
    assert held.shape == (1, 2, 3, 48, 64)
    points = held[0, 0, 0]
    assert bool((held == points).all())
    assert not bool((points & ~mask).any())
    rows, columns = calibration_block(mask)
    top, left = 24 - rows // 2, 32 - columns // 2
    assert not bool(points[top : top + rows, left : left + columns].any())
    eligible = int(mask.sum()) - rows * columns
    assert int(points.sum()) == pytest.approx(eligible / 2, rel=0.15)


def test_fully_sampled_data_can_be_held_out():
    physics = MRI(torch.ones(64, 60))
    held = physics.holdout(torch.zeros(1, 2, 1, 64, 60), 0.1, torch.Generator().manual_seed(0))
    assert 0.05 < float(held.float().mean()) < 0.12
    assert not bool(held[..., 20:44, 18:42].any())


@pytest.mark.parametrize(
    ("mask", "maps", "x_shape", "message"),
    [
        (torch.ones(8), None, None, "how high"),
        (torch.ones(2, 8, 8), None, None, "mask must be"),
        (torch.ones(8, 8) * 2, None, None, "only 0"),
        (torch.ones(8, 8), torch.ones(2, 8, 8), None, "complex"),
        (torch.ones(8, 8), noise(8, 8), None, "coils, H, W"),
        (torch.ones(8, 8), noise(2, 8, 9), None, "8x9"),
        (torch.ones(8, 8), noise(2, 8, 8) * float("nan"), None, "NaN"),
        (torch.ones(8, 8), None, (2, 8, 9), "8x9"),
        (torch.ones(8, 8), None, (1, 8, 8), "x_shape of MRI"),
        (torch.ones(9), noise(2, 8, 8), None, "8x8"),
    ],
)
def test_refused(mask, maps, x_shape, message):
    with pytest.raises(UserError, match=message):
        MRI(mask, maps, x_shape)


def test_maps_of_another_batch():
    with pytest.raises(ValueError, match="maps are for 3 images"):
        MRI(torch.ones(4, 4), noise(3, 2, 4, 4)).A(torch.ones(2, 2, 4, 4))


def test_a_mask_of_columns_holds_out_whole_columns():
    columns = torch.zeros(64)
    columns[::2] = columns[28:36] = 1
    physics = MRI(columns, x_shape=(2, 48, 64))
    y = torch.ones(1, 2, 1, 48, 64)
    held = physics.holdout(y, 0.05, torch.Generator().manual_seed(0))[0, 0, 0]
    assert torch.equal(held, held[:1].expand_as(held))
    chosen = held[0].nonzero().flatten()
    assert len(chosen) == 3
    assert bool((columns[chosen] == 1).all())
    assert not bool(((chosen >= 28) & (chosen < 36)).any())
    many = physics.holdout(y, 0.25, torch.Generator().manual_seed(0))[0, 0, 0]
    assert int(many[0].sum()) == 7  # a quarter of the 28 columns outside the centre


def test_any_other_mask_holds_out_single_positions():
    mask = (torch.rand(48, 64, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    mask[20:28, 28:36] = 1
    physics = MRI(mask)
    held = physics.holdout(torch.ones(1, 2, 1, 48, 64), 0.2, torch.Generator().manual_seed(0))
    held = held[0, 0, 0]
    assert not torch.equal(held, held[:1].expand_as(held))
    assert not bool(held[20:28, 28:36].any())
    assert bool((mask[held] == 1).all())


def _drawn(columns: list[int], *, of: int = 1) -> tuple[MRI, torch.Tensor, torch.Tensor]:
    """Every third column and the centre; k-space that falls like r^-1; `columns` held out."""
    mask = torch.zeros(60)
    mask[::3] = mask[27:33] = 1
    radius = (torch.arange(60) - 30).abs().clamp_min(0.5)
    y = (mask / radius).expand(of, 2, 2, 50, 60).clone()
    held = torch.zeros(1, 2, 2, 50, 60, dtype=torch.bool)
    held[..., columns] = True
    return MRI(mask, torch.ones(2, 50, 60, dtype=torch.complex64)), y, held


def test_a_held_out_column_stands_for_the_energy_near_it():
    physics, y, held = _drawn([6, 21, 39])
    weight = physics.importance(y, held)[0, 0, 0]
    assert torch.equal(weight, weight[:1].expand_as(weight))
    expected = torch.zeros(60)
    for column in (6, 21, 39):
        expected[column] += 1
    for column in range(60):
        if physics.mask[0, 0, 0, 0, column] == 0:
            r = abs(column - 30)
            # 21 and 39 lie at r = 9, 6 at r = 24; half way in log r is sqrt(9 * 24) = 14.7
            for near in [6] if r > 14.7 else [21, 39]:
                share = 1 if near == 6 else 0.5
                expected[near] += share * (abs(near - 30) / r) ** 2
    torch.testing.assert_close(weight[0], expected)


def test_columns_of_zeros_are_no_measurements() -> None:
    """They were held out before, or padded; their energy would bend the power law."""
    physics, y, held = _drawn([6, 21, 39])
    y[..., [3, 48, 57]] = 0
    weight = physics.importance(y, held)[0, 0, 0, 0]
    mask = physics.mask.clone()
    mask[..., [3, 48, 57]] = 0
    fewer = MRI(mask[0, 0, 0, 0], torch.ones(2, 50, 60, dtype=torch.complex64))
    torch.testing.assert_close(weight, fewer.importance(y, held)[0, 0, 0, 0])


def test_importance_is_each_problems_own():
    physics, y, held = _drawn([6, 21, 39], of=2)
    y[1, ..., :15] *= 0.1
    both = physics.importance(y, held)
    assert not torch.equal(both[0], both[1])
    torch.testing.assert_close(both[1:], physics.importance(y[1:], held))


def test_where_nearly_everything_is_measured_held_out_samples_stand_for_themselves():
    physics = MRI(torch.ones(32, 32))
    y = torch.ones(1, 2, 1, 32, 32)
    assert physics.importance(y, physics.holdout(y, 0.1, torch.Generator().manual_seed(0))) is None


@pytest.mark.parametrize("size", [(10, 12), (9, 7)])
@pytest.mark.parametrize("rows", [False, True])
def test_hybrid_space_is_kspace_at_half_the_price(size, rows):
    lines = (torch.arange(size[0] if rows else size[1]) % 3 != 1).double()
    mask = lines[:, None].expand(size) if rows else lines
    physics = MRI(mask, noise(2, 4, *size))
    hybrid = physics.hybrid()
    x, y = noise(2, 2, *size, seed=1, dtype=torch.float64), noise(2, 2, 4, *size, seed=2).real
    y = y * physics.mask
    torch.testing.assert_close(hybrid.A(x), hybrid.from_kspace(physics.A(x)))
    torch.testing.assert_close(hybrid.A_adjoint(hybrid.from_kspace(y)), physics.A_adjoint(y))
    torch.testing.assert_close(hybrid.from_kspace(y).norm(), y.norm())
    assert hybrid.from_kspace(y).shape[-2 if rows else -1] == int(lines.sum())


def test_only_whole_lines_go_to_hybrid_space():
    assert MRI(random_mask((8, 8), 0.4)).hybrid() is None
    physics = MRI(vdrs_mask(8, 2, 0.3), x_shape=(2, 8, 8))
    keep = torch.ones(1, 2, 1, 8, 8)
    assert physics.hybrid(keep) is not None
    keep[..., 2, 3] = 0
    assert physics.hybrid(keep) is None


def test_rows_are_held_out_like_columns():
    columns = vdrs_mask(64, 3, 0.1)
    across, down = MRI(columns.expand(64, -1)), MRI(columns[:, None].expand(-1, 64))
    y = noise(1, 2, 1, 64, 64).real.float() * across.mask
    held = across.holdout(y, 0.1, torch.Generator().manual_seed(0))
    turned = down.holdout(y.mT, 0.1, torch.Generator().manual_seed(0))
    assert torch.equal(turned, held.mT)
    weights = across.importance(y, held), down.importance(y.mT, turned).mT
    torch.testing.assert_close(*weights, rtol=1e-4, atol=0)
