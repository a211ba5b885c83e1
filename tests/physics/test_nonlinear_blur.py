"""BKSE's network, its weights file and its limits; and the built-in blur."""

from pathlib import Path

import pytest
import torch
from torch import nn

from untrained.errors import UserError
from untrained.physics import (
    BKSE,
    BKSENetwork,
    Blur,
    NonlinearBlur,
    as_physics,
    load_bkse,
    random_code,
)
from untrained.physics.bkse import light_from_pixels, pixels_from_light, weights_digest

KERNEL = torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 2.0]])


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BKSENetwork()


def picture():
    return torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))


def test_the_path_has_the_public_number_of_parameters(network):
    assert sum(p.numel() for p in network.parameters()) == 23_662_531


def test_the_names_are_those_of_the_public_file(network):
    names = set(network.state_dict())
    inner = "adapter.model.submodule.submodule.submodule.submodule"
    expected = {
        "feature_extractor.0.weight": (64, 3, 3, 3),
        "feature_extractor.4.bias": (64,),
        "feature_extractor.15.conv2.weight": (64, 64, 3, 3),
        "adapter.model.down.0.weight": (64, 64, 4, 4),
        "adapter.model.submodule.down.1.weight": (128, 64, 4, 4),
        f"{inner}.down.1.weight": (512, 512, 4, 4),
        f"{inner}.up.1.weight": (1024, 512, 4, 4),
        "adapter.model.up.1.bias": (64,),
        "recon_trunk.19.conv1.bias": (64,),
        "recon_trunk.20.weight": (256, 64, 3, 3),
        "recon_trunk.28.weight": (3, 64, 3, 3),
    }
    assert expected.keys() <= names
    assert all(network.state_dict()[n].shape == s for n, s in expected.items())
    # two numbers of 30 residual blocks' two layers, and of 3 + 4 layers; 10 of U-Net, one biased
    assert len(names) == 4 * 30 + 2 * 7 + 11


def test_without_a_last_layer_the_image_passes_and_the_code_matters_with_it(network):
    physics = BKSE(network, random_code(0))
    x = picture()
    with torch.no_grad():
        blurred = physics.A(x)
        assert torch.equal(blurred, physics.A(x)), "one fixed operator"
        assert not torch.equal(blurred, BKSE(network, random_code(1)).A(x))
        last = network.recon_trunk[28]
        kept = last.weight.clone(), last.bias.clone()
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        assert torch.equal(physics.A(x), x)
        last.weight.copy_(kept[0])
        last.bias.copy_(kept[1])


def test_other_sizes_are_refused_by_name(network):
    physics = BKSE(network, random_code())
    for shape in ((1, 3, 512, 512), (1, 1, 256, 256), (3, 256, 256)):
        with pytest.raises(UserError, match="256x256"):
            physics.A(torch.zeros(shape))
        with pytest.raises(UserError, match="256x256"):
            physics.initial(torch.zeros(shape))


def test_the_code_is_checked_and_seeded(network):
    assert torch.equal(random_code(3), random_code(3))
    assert not torch.equal(random_code(3), random_code(4))
    assert float(random_code(0).std()) == pytest.approx(1.2, rel=0.1)
    for code in (torch.zeros(512, 4, 4), torch.full((512, 2, 2), float("nan"))):
        with pytest.raises(UserError, match=r"code of shape \(512, 2, 2\)"):
            BKSE(network, code)


def test_a_public_file_loads_and_its_extractor_is_passed_over(network, tmp_path):
    weights = network.state_dict() | {"kernel_extractor.model.1.weight": torch.zeros(2)}
    torch.save(weights, tmp_path / "w.pth")
    assert weights_digest(load_bkse(tmp_path / "w.pth")) == weights_digest(network)


def test_weights_that_do_not_fit_are_explained(network, tmp_path):
    good = network.state_dict()
    name = "recon_trunk.28.bias"
    bad = {
        "is missing": {k: v for k, v in good.items() if k != name},
        "has shape": good | {name: torch.zeros(4)},
        "is unknown": good | {"more": torch.zeros(1)},
        "NaN": good | {name: torch.full((3,), float("nan"))},
        "dictionary of tensors": [torch.zeros(1)],
    }
    for message, content in bad.items():
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(UserError, match=message) as error:
            load_bkse(tmp_path / "w.pth")
        assert "w.pth" in str(error.value)


class Trap:
    """Runs code when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_weights_file_is_not_run(tmp_path):
    torch.save({"a": Trap(tmp_path / "opened")}, tmp_path / "w.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("w.pth", "text.pth", "gone.pth"):
        with pytest.raises(UserError, match=name):
            load_bkse(tmp_path / name)
    assert not (tmp_path / "opened").exists()


# the built-in blur ----------------------------------------------------------------------------


def test_the_display_curve_is_srgb_and_inverts():
    u = torch.tensor([-0.3, 0.0, 0.0031308, 0.18, 0.5, 1.0], dtype=torch.float64)
    x = pixels_from_light(u)
    expected = torch.tensor([-0.3, 0.0, 0.04045, 0.4613561, 0.7353570, 1.0], dtype=torch.float64)
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(light_from_pixels(x), u, rtol=1e-4, atol=1e-6)


def test_nonlinear_blur_is_its_formula():
    physics = NonlinearBlur(KERNEL, (3, 9, 8)).double()
    x = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    light = Blur(KERNEL).double().A(light_from_pixels(x))
    exposed = (1 - torch.exp(-1.5 * light)) / (1 - torch.exp(torch.tensor(-1.5)).double())
    expected = pixels_from_light(exposed)
    torch.testing.assert_close(physics.A(x), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(physics.A(x)[1:], physics.A(x[1:]))
    assert 0 <= float(physics.A(x).min()) <= float(physics.A(x).max()) <= 1


def test_nonlinear_blur_keeps_black_and_white_and_is_not_linear():
    physics = NonlinearBlur(KERNEL)
    assert as_physics(physics) is physics
    for level in (0.0, 1.0):
        flat = torch.full((1, 1, 6, 6), level)
        torch.testing.assert_close(physics.A(flat), flat, rtol=1e-5, atol=1e-5)
    grey = torch.full((1, 1, 6, 6), 0.5)
    assert float(physics.A(grey).mean()) > 0.55, "the sensor's response brightens the middle"


def test_nonlinear_blur_can_be_differentiated_at_and_below_black():
    physics = NonlinearBlur(KERNEL, (1, 5, 5)).double()
    x = torch.linspace(-0.2, 1.2, 25, dtype=torch.float64).reshape(1, 1, 5, 5).requires_grad_()
    assert torch.autograd.gradcheck(physics.A, (x,))
    dark = physics.A_vjp(torch.zeros(1, 1, 5, 5).double(), torch.ones(1, 1, 5, 5).double())
    assert bool(dark.isfinite().all())
    assert float(dark.min()) > 0


def test_the_start_is_the_clipped_measurement():
    y = torch.tensor([-0.1, 0.4, 1.3]).reshape(1, 1, 1, 3)
    assert NonlinearBlur(torch.ones(1, 1)).initial(y).flatten().tolist() == [
        0.0,
        0.4000000059604645,
        1.0,
    ]


def test_nonlinear_blur_refuses_what_blur_refuses():
    with pytest.raises(UserError, match="larger than"):
        NonlinearBlur(torch.ones(9, 9), (1, 5, 5))
    with pytest.raises(UserError, match="boundary"):
        NonlinearBlur(KERNEL, boundary="zeros")  # type: ignore[arg-type]
