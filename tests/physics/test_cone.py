"""Cone beam: the projector against its limits and a ball; Feldkamp's algorithm; masks and parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from untrained.classical import fbp, fdk
from untrained.errors import UserError
from untrained.physics import CT, ConeCT, Denoise, FanBeam
from untrained.physics.cone import ConeCT as Operator
from untrained.physics.fdk import fdk as feldkamp
from untrained.problem import Problem

FAN = FanBeam(70.0, 100.0)


def small(**keys) -> ConeCT:
    """A scan that is symmetric in nothing."""
    given = {
        "pixel_size": 0.9,
        "slice_height": 1.1,
        "detector_pitch": 1.3,
        "row_pitch": 1.6,
        "detector_offset": -1.2,
        "row_offset": 0.7,
    }
    return ConeCT((6, 8, 9), np.arange(0, 360, 51.0), (7, 14), FAN, **(given | keys))


def ball(side: int, centre: tuple[float, float, float], radius: float, parts: int = 3):
    """A ball at (x, y, z) on voxels of side 1, by its share of each; `(1, 1, side, side, side)`."""
    line = (torch.arange(side * parts) - (side * parts - 1) / 2) / parts
    x, y, z = line[None, None, :], -line[None, :, None], line[:, None, None]
    inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2
    cut = inside.float().reshape(side, parts, side, parts, side, parts)
    return cut.mean((1, 3, 5))[None, None]


def chords(scan: ConeCT, view: int, centre: tuple[float, float, float], radius: float):
    """Lengths of the rays to the middle of every bin inside a ball, `(rows, columns)`."""
    angle = np.radians(scan.geometry.angles[view])
    across, along = (
        np.array([np.cos(angle), np.sin(angle), 0]),
        np.array([-np.sin(angle), np.cos(angle), 0]),
    )
    source = -scan.cone.fan.source_origin * along
    u = (np.arange(scan.geometry.detectors) - scan.geometry.centre) * scan.geometry.bin_width
    v = (np.arange(scan.cone.rows) - scan.cone.centre_row) * scan.cone.row_width
    points = u[None, :, None] * across + v[:, None, None] * np.array([0, 0, 1.0])
    rays = points - source
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    towards = np.array(centre) - source
    closest = (rays @ towards) ** 2 - towards @ towards + radius**2
    return 2 * np.sqrt(np.maximum(closest, 0))


def test_a_volume_that_is_equal_in_all_slices_is_a_fan_beam_in_the_plane_of_the_circle() -> None:
    """The central row of a panel of three, whose tilt is zero, against the operator of slices."""
    angles, image = np.arange(0, 360, 40.0), torch.rand(1, 1, 20, 20)
    volume = image[:, :, None].expand(1, 1, 12, 20, 20)
    cone = ConeCT((12, 20, 20), angles, (3, 32), FAN, detector_pitch=1.4)
    flat = CT((20, 20), angles, 32, detector_pitch=1.4, fan=FAN).A(image)
    torch.testing.assert_close(cone.A(volume)[:, :, 1], flat, rtol=1e-5, atol=1e-4)


def test_a_ball_casts_the_chords_of_its_rays() -> None:
    """Signs of x, y and z, magnification and the rays' tilt, on a ball far from the centre."""
    centre, radius = (-5.0, 3.0, 8.0), 6.0
    scan = ConeCT((32, 32, 32), [20.0, 250.0], (44, 44), FanBeam(90.0, 130.0), detector_pitch=1.5)
    y = scan.A(ball(32, centre, radius))
    for view in range(2):
        exact = chords(scan, view, centre, radius)
        error = np.abs(y[0, 0, :, :, view].numpy() - exact).mean()
        assert error < 0.04 * exact[exact > 0].mean()


def test_the_mean_squared_singular_value_is_that_of_the_matrix() -> None:
    scan = small(mask=torch.rand(7, 14, 8, generator=torch.Generator().manual_seed(0)) > 0.2)
    scan = scan.double()
    n = 6 * 8 * 9
    columns = scan.A(torch.eye(n, dtype=torch.float64).reshape(n, 1, 6, 8, 9))
    assert scan.mean_squared_singular_value() == pytest.approx(float(columns.square().sum() / n))
    ramp = scan.weight(
        small().double().A(torch.eye(n, dtype=torch.float64).reshape(n, 1, 6, 8, 9)), "ramp"
    )
    assert small().double().mean_squared_singular_value("ramp") == pytest.approx(
        float(ramp.square().sum() / n),
        rel=0.1,  # of 432 voxels, by four random volumes
    )


def test_parts_of_the_operator_are_the_operator_where_they_measure() -> None:
    """`measuring_only`, `rescaled` and `leaving_out`, adjoints included."""
    scan, x = small(), torch.rand(2, 1, 6, 8, 9)
    y = scan.A(x)
    keep = torch.zeros(1, 1, 7, 14, 8)
    keep[..., [1, 4]] = 1
    torch.testing.assert_close(scan.measuring_only(keep).A(x), y * keep)
    torch.testing.assert_close(scan.rescaled(4.0).A(x), y / 4)
    mask = torch.rand(7, 14, 8) > 0.3
    part = scan.leaving_out(mask)
    torch.testing.assert_close(part.A(x), y * mask)
    torch.testing.assert_close(part.A_adjoint(y), scan.A_adjoint(y * mask))
    held = part.holdout(y, 0.2, torch.Generator().manual_seed(0))
    assert held.shape == (1, 1, 7, 14, 8)
    assert held.any(-1).all()  # whole views
    with pytest.raises(UserError, match="expected \\(7, 14, 8\\)"):
        scan.leaving_out(torch.ones(14, 7, 8))


def test_footprints_are_computed_anew_where_they_would_fill_the_memory(monkeypatch) -> None:
    x = torch.rand(1, 1, 6, 8, 9)
    kept = small()
    y = kept.A(x)
    assert kept._footprints._kept
    monkeypatch.setattr("untrained.physics.cone_projector.KEPT", 0)
    free = small()
    assert torch.equal(free.A(x), y)
    assert not free._footprints._kept


@pytest.mark.parametrize(
    ("turn", "offset"),
    [(360.0, 0.0), (230.0, 0.0), (360.0, 9.0)],
    ids=["full", "short", "half fan"],
)
def test_fdk_of_a_ball(turn: float, offset: float) -> None:
    """Value 1 inside and 0 outside near the plane, whatever is measured once or twice."""
    truth = ball(24, (2.0, -1.0, 0.5), 6.0)
    scan = ConeCT(
        (24, 24, 24),
        np.arange(60) * turn / 60,
        (36, 36),
        FanBeam(80.0, 120.0),
        detector_pitch=1.5,
        detector_offset=offset,
    )
    found = scan.fbp(scan.A(truth))
    inside = found[0, 0, 9:15, 12:14, 12:16]
    assert float((inside - 1).abs().mean()) < 0.05
    assert float((found - truth).square().mean().sqrt()) < 0.06


def test_fdk_interpolates_dead_pixels_and_skips_lost_views() -> None:
    truth = ball(16, (0.0, 0.0, 0.0), 5.0)
    scan = ConeCT(
        (16, 16, 16), np.arange(0, 360, 9.0), (24, 24), FanBeam(60.0, 90.0), detector_pitch=1.5
    )
    y = scan.A(truth)
    mask = torch.ones(24, 24, 40, dtype=torch.bool)
    mask[12, 11:13] = False
    mask[..., 7] = False
    holed = scan.leaving_out(mask)
    found = holed.fbp(torch.where(mask, y, 99.0))
    assert float((found - scan.fbp(y)).abs().max()) < 0.25


def test_fdk_has_windows() -> None:
    """They lower noise; an unknown one is refused."""
    scan = small(detector_offset=0.0)
    noise = torch.randn(1, 7, 14, 8, generator=torch.Generator().manual_seed(0))
    sizes = [float(feldkamp(noise, scan.cone, name).std()) for name in ("ramp", "cosine", "hann")]
    assert sizes[0] > sizes[1] > sizes[2] > 0
    with pytest.raises(UserError, match="ramp, hann, cosine"):
        feldkamp(noise, scan.cone, "square")


def test_each_filtered_backprojection_refuses_the_others_geometry() -> None:
    scan = small()
    cone = Problem(scan.A(torch.rand(1, 1, 6, 8, 9)), scan)
    assert fdk(cone).shape == (1, 1, 6, 8, 9)
    with pytest.raises(UserError, match="take 'fdk'"):
        fbp(cone)
    flat = Problem(torch.rand(1, 1, 8, 8), Denoise((1, 8, 8)))
    with pytest.raises(UserError, match="cone-beam scan .* the task is 'denoise'"):
        fdk(flat)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"slice_height": -1.0}, "slice_height must be a positive length"),
        ({"row_offset": 200.0}, "at most 10 panels high"),
        ({"row_pitch": float("nan")}, "detector_row_pitch"),
    ],
)
def test_what_is_no_geometry(keys, message) -> None:
    with pytest.raises(UserError, match=message):
        small(**keys)
    with pytest.raises(UserError, match="volume_shape must be"):
        Operator((8, 9), [0.0], (4, 4), FAN)  # type: ignore[arg-type]
