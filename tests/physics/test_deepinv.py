"""Both ways between deepinv's operators and ours. Most of it needs the extra `deepinv`."""

import importlib
import importlib.abc
import importlib.util
import sys
import warnings

import pytest
import torch
from torch.library import Library

from untrained.errors import UserError
from untrained.physics import (
    CT,
    MRI,
    Blur,
    Denoise,
    Inpaint,
    SuperRes,
    as_physics,
    check_operator,
    dot_test,
    random_mask,
    to_deepinv,
)

SIZE = (20, 24)


@pytest.fixture(scope="module")
def deepinv():
    """The package, or a skip; its torchvision may not fit a CPU build of torch (see below)."""
    if importlib.util.find_spec("deepinv") is None:
        pytest.skip("deepinv is not installed: pip install 'untrained[deepinv]' to run this")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = importlib.import_module("deepinv")
        except RuntimeError as error:
            if "torchvision" not in str(error):
                raise
            module = _import_with_detection_ops_declared()
        yield module


def _import_with_detection_ops_declared():
    """A CUDA build of torchvision beside a CPU build of torch lacks its detection operators, and
    its import fails. Declaring them is enough, since deepinv never calls them.
    """
    for name in [m for m in sys.modules if m.split(".")[0] in ("torchvision", "deepinv")]:
        del sys.modules[name]
    library = Library("torchvision", "FRAGMENT")
    for op in ("nms", "qnms"):
        library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    module = importlib.import_module("deepinv")
    module.kept_alive = library
    return module


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


THEIRS = {
    "Denoising": (lambda p: p.Denoising(), (3, *SIZE)),
    "Inpainting": (lambda p: p.Inpainting((3, *SIZE), mask=0.5), (3, *SIZE)),
    "BlurFFT": (lambda p: p.BlurFFT((3, *SIZE), noise(1, 1, 5, 5).abs()), (3, *SIZE)),
    "MRI": (lambda p: p.MRI(mask=random_mask(SIZE, 0.5).float(), img_size=SIZE), (2, *SIZE)),
    "MultiCoilMRI": (
        lambda p: p.MultiCoilMRI(
            mask=random_mask(SIZE, 0.5).float(),
            coil_maps=noise(1, 4, *SIZE, dtype=torch.complex64),
            img_size=SIZE,
        ),
        (2, *SIZE),
    ),
    "Tomography": (
        lambda p: p.Tomography(angles=12, img_width=24, normalize=False),
        (1, 24, 24),
    ),
}

OURS = {
    "Denoise": lambda: Denoise((3, *SIZE)),
    "Inpaint": lambda: Inpaint(random_mask(SIZE, 0.5), (3, *SIZE)),
    "SuperRes": lambda: SuperRes((3, *SIZE), 4),
    "Blur": lambda: Blur(noise(5, 7).abs(), (3, *SIZE)),
    "MRI": lambda: MRI(random_mask(SIZE, 0.5), noise(3, *SIZE, dtype=torch.complex64)),
    "CT": lambda: CT(SIZE, [0.0, 30.0, 75.0], 32),
}


@pytest.mark.parametrize("name", THEIRS)
def test_their_operators_work_unchanged(deepinv, name):
    build, shape = THEIRS[name]
    theirs = build(deepinv.physics)
    physics = as_physics(theirs, shape)
    assert physics is theirs
    assert dot_test(physics, shape) < 1e-5
    report = check_operator(theirs, shape)
    assert report.ok, report
    assert report.linear
    x = noise(2, *shape)
    y = physics.A(x)
    assert y.shape == (2, *report.y_shape)
    assert physics.A_adjoint(y).shape == x.shape


@pytest.mark.parametrize("name", OURS)
def test_our_operators_work_there(deepinv, name):
    ours = OURS[name]()
    wrapped = ours.to_deepinv()
    assert isinstance(wrapped, deepinv.physics.LinearPhysics)
    x = noise(1, *ours.x_shape)
    assert torch.equal(wrapped.A(x), ours.A(x))
    assert torch.equal(wrapped(x), ours.A(x))
    assert float(wrapped.adjointness_test(x).abs().max()) < 1e-4
    y = ours.A(x)
    prox = wrapped.prox_l2(x, y, 0.5)
    assert prox.shape == x.shape
    assert wrapped.to(torch.float64).untrained is ours


def test_the_same_operator_in_both(deepinv):
    mask = random_mask(SIZE, 0.5)
    maps = noise(1, 4, *SIZE, dtype=torch.complex64)
    theirs = deepinv.physics.MultiCoilMRI(mask=mask.float(), coil_maps=maps, img_size=SIZE)
    x = noise(2, 2, *SIZE)
    torch.testing.assert_close(MRI(mask, maps).A(x), theirs.A(x), rtol=1e-4, atol=1e-5)
    kernel = noise(1, 1, 5, 7).abs()
    kernel = kernel / kernel.sum()
    x = noise(2, 3, *SIZE)
    theirs = deepinv.physics.BlurFFT((3, *SIZE), kernel)
    ours = Blur(kernel[0, 0], (3, *SIZE), boundary="circular")
    torch.testing.assert_close(ours.A(x), theirs.A(x), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Complex modules")
def test_their_nonlinear_operators_say_so(deepinv):
    linear = deepinv.physics.CompressedSensing(m=30, img_size=(1, 6, 6), dtype=torch.cfloat)
    physics = as_physics(deepinv.physics.PhaseRetrieval(linear), (1, 6, 6))
    assert physics.linear is False
    with pytest.raises(UserError, match="nonlinear"):
        to_deepinv(physics)


def test_without_deepinv(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepinv", None)
    with pytest.raises(UserError, match=r"untrained\[deepinv\]"):
        Denoise().to_deepinv()


class _Broken(importlib.abc.MetaPathFinder):
    def __init__(self, message):
        self.message = message

    def find_spec(self, name, path=None, target=None):
        if name == "deepinv":
            raise RuntimeError(self.message)


def test_a_torchvision_that_does_not_fit_is_explained(monkeypatch):
    monkeypatch.delitem(sys.modules, "deepinv", raising=False)
    broken = _Broken("operator torchvision::nms does not exist")
    monkeypatch.setattr(sys, "meta_path", [broken, *sys.meta_path])
    with pytest.raises(UserError, match=r"torchvision does not fit this torch .*same index"):
        to_deepinv(Denoise())
    broken.message = "something else"
    with pytest.raises(RuntimeError, match="something else"):
        to_deepinv(Denoise())
