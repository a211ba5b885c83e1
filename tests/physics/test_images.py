"""Denoise, Inpaint, SuperRes and Blur against closed forms and other libraries."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from untrained.errors import UserError
from untrained.physics import Blur, Denoise, Inpaint, SuperRes, box_mask, random_mask
from untrained.physics.superres import reduction_matrix

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_denoise_is_the_identity():
    x = noise(2, 3, 5, 7)
    assert torch.equal(Denoise().A(x), x)
    assert torch.equal(Denoise((3, 5, 7)).A_adjoint(x), x)


def test_inpaint_zeroes_what_is_missing():
    mask = random_mask((6, 8), 0.5)
    x = noise(2, 3, 6, 8)
    y = Inpaint(mask).A(x)
    assert torch.equal(y[..., mask], x[..., mask])
    assert not y[..., ~mask].any()
    assert Inpaint(mask).x_shape is None
    with pytest.raises(ValueError, match="Inpaint: x must be"):
        Inpaint(mask).A(noise(2, 3, 8, 6))


def test_inpaint_accepts_numpy_and_integers():
    mask = random_mask((6, 8), 0.5)
    x = noise(1, 1, 6, 8)
    for same in (mask.numpy(), mask.float(), mask.numpy().astype(np.uint8)):
        assert torch.equal(Inpaint(same).A(x), Inpaint(mask).A(x))


@pytest.mark.parametrize(
    ("mask", "x_shape", "message"),
    [
        (torch.full((4, 4), 255), None, "must hold only 0"),
        (torch.full((4, 4), float("nan")), None, "must hold only 0"),
        (torch.zeros(4, 4), None, "nothing as measured"),
        (torch.ones(4), None, "must be"),
        (torch.ones(4, 5), (3, 5, 4), "but the image is"),
    ],
)
def test_inpaint_refuses(mask, x_shape, message):
    with pytest.raises(UserError, match=message):
        Inpaint(mask, x_shape)


def test_inpaint_holds_out_measured_pixels_in_all_channels():
    physics = Inpaint(random_mask((40, 40), 0.5), (3, 40, 40))
    y = physics.A(torch.ones(1, 3, 40, 40))
    held = physics.holdout(y, 0.1, torch.Generator().manual_seed(0))
    assert bool((y[held] == 1).all())
    assert torch.equal(held[:, 0], held[:, 2])
    assert 0.06 < float(held.sum() / y.sum()) < 0.14


def test_box_mask():
    g = torch.Generator().manual_seed(0)
    for place in (None, (3, 50), g):
        mask = box_mask((64, 80), (20, 30), place)
        assert int((~mask).sum()) == 600
        rows, columns = torch.where(~mask)
        assert (int(rows.max() - rows.min()), int(columns.max() - columns.min())) == (19, 29)
    assert not box_mask((64, 80), (20, 30), (3, 50))[3, 50]
    far = [box_mask((64, 64), (32, 32), g) for _ in range(20)]
    assert all(bool(m[:16].all()) and bool(m[:, -16:].all()) for m in far)
    for box, place in (((0, 3), None), ((64, 80), None), ((65, 3), None), ((20, 30), (45, 0))):
        with pytest.raises(UserError, match="box"):
            box_mask((64, 80), box, place)


def test_random_mask_has_the_exact_count():
    mask = random_mask((30, 20), 0.7, seed=4)
    assert int((~mask).sum()) == 420
    assert torch.equal(mask, random_mask((30, 20), 0.7, seed=4))
    assert not torch.equal(mask, random_mask((30, 20), 0.7, seed=5))
    for missing in (-0.1, 1.0, 0.9999):
        with pytest.raises(UserError, match="missing"):
            random_mask((30, 20), missing)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_superres_is_antialiased_bicubic(factor):
    size = (24 * factor, 18 * factor)
    x = noise(2, 3, *size, dtype=torch.float64)
    y = SuperRes((3, *size), factor).double().A(x)
    other = torch.nn.functional.interpolate(x, size=(24, 18), mode="bicubic", antialias=True)
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(y[inner], other[inner], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("size", "factor"), [(24, 2), (27, 3), (32, 8), (8, 8), (4, 4)])
def test_superres_matrix(size, factor):
    matrix = reduction_matrix(size, factor).double()
    torch.testing.assert_close(matrix.sum(1), torch.ones(size // factor).double())
    torch.testing.assert_close(matrix, matrix.flip(0, 1))
    # Symmetric folding: the periodic mirror image is reduced to the mirror image of the result.
    x = noise(size, dtype=torch.float64)
    mirrored = torch.cat((x, x.flip(0), x, x.flip(0)))
    twice = reduction_matrix(4 * size, factor).double() @ mirrored
    n = size // factor
    torch.testing.assert_close(twice[2 * n : 3 * n], matrix @ x)


@pytest.mark.parametrize("factor", [2, 3])
def test_superres_of_panoramas_needs_no_matrix(monkeypatch, factor):
    """The matrix of a side of 20,000 pixels would take gigabytes."""
    size = (4 * factor, 9 * factor)
    small = SuperRes((2, *size), factor).double()
    monkeypatch.setattr("untrained.physics.superres.LONG", 5)
    long = SuperRes((2, *size), factor).double()
    assert not long.rows.numel()
    assert not long.columns.numel()
    x, y = noise(3, 2, *size, dtype=torch.float64), noise(3, 2, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(long.A(x), small.A(x))
    torch.testing.assert_close(long.A_adjoint(y), small.A_adjoint(y))
    wanted = small.mean_squared_singular_value()
    assert long.mean_squared_singular_value() == pytest.approx(wanted, rel=1e-6)
    x.requires_grad_()
    long.A(x).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * small.A_adjoint(small.A(x.detach())))


def test_superres_refuses():
    for factor in (0, 1, 2.5, -2):
        with pytest.raises(UserError, match="whole number"):
            SuperRes((3, 20, 20), factor)
    with pytest.raises(UserError, match=r"factor 3 does not divide.*20x25.*18x24"):
        SuperRes((3, 20, 25), 3)


@pytest.mark.parametrize(("boundary", "mode"), [("reflect", "mirror"), ("circular", "wrap")])
@pytest.mark.parametrize("size", [(5, 5), (4, 7), (6, 2), (1, 3), (13, 15)])
def test_blur_is_scipy_convolution(boundary, mode, size):
    kernel = np.random.default_rng(0).random(size)
    x = noise(2, 3, 15, 17, dtype=torch.float64)
    y = Blur(kernel, boundary=boundary).double().A(x)
    for got, image in zip(y.flatten(0, 1), x.flatten(0, 1), strict=True):
        expected = ndimage.convolve(image.numpy(), kernel / kernel.sum(), mode=mode)
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("boundary", ["reflect", "circular"])
def test_blur_flips_the_kernel_and_keeps_constants(boundary):
    kernel = torch.arange(9.0).reshape(3, 3)
    impulse = torch.zeros(1, 1, 9, 9)
    impulse[0, 0, 4, 4] = 36
    physics = Blur(kernel, boundary=boundary)
    torch.testing.assert_close(physics.A(impulse)[0, 0, 3:6, 3:6], kernel, rtol=1e-5, atol=1e-5)
    ones = torch.ones(1, 2, 10, 11)
    torch.testing.assert_close(physics.A(ones), ones)


def test_blur_accepts_the_measured_kernels():
    file = DATA / "blur_kernels" / "levin09.npz"
    if not file.exists():
        pytest.skip(f"real kernels are not here: {file.name}")
    x = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(0))
    with np.load(file) as kernels:
        for name in kernels.files:
            y = Blur(kernels[name], (3, 40, 44)).A(x)
            assert float(y.mean()) == pytest.approx(float(x.mean()), abs=0.02)
            assert float(y.std()) < float(x.std())


def test_arrays_may_be_flipped_or_read_only():
    kernel = np.arange(12.0).reshape(3, 4)
    x = noise(1, 1, 8, 8)
    flipped = Blur(kernel[::-1, ::-1]).A(x)
    assert torch.equal(flipped, Blur(kernel[::-1, ::-1].copy()).A(x))
    mask = np.broadcast_to(np.array([1, 0, 1, 1, 0, 1, 1, 0], np.uint16), (8, 8))
    assert torch.equal(Inpaint(mask).A(x), x * torch.from_numpy(mask.astype(np.float32)))


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (torch.ones(3), "2-D"),
        (torch.ones(1, 3, 3), "2-D"),
        (torch.full((3, 3), float("nan")), "NaN"),
        (torch.zeros(3, 3), "positive sum"),
        (-torch.ones(3, 3), "positive sum"),
        (torch.ones(3, 3, dtype=torch.complex64), "real"),
        (torch.ones(0, 3), "not empty"),
        (torch.ones(11, 3), "larger than the 10x12 image"),
    ],
)
def test_blur_refuses_a_kernel(kernel, message):
    with pytest.raises(UserError, match=message):
        Blur(kernel, (1, 10, 12))


def test_blur_refuses_late_and_by_name():
    with pytest.raises(UserError, match="larger than"):
        Blur(torch.ones(11, 3)).A(torch.ones(1, 1, 10, 12))
    with pytest.raises(UserError, match="boundary"):
        Blur(torch.ones(3, 3), boundary="zero")
