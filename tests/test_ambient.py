"""What a caller has set in torch for code of his own changes no bit, and stays as it was."""

import pytest
import torch

import untrained as ut
from untrained.ambient import single_precision
from untrained.physics import Denoise, Inpaint

Y = 0.4 + 0.2 * torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
MASK = torch.rand(16, 16, generator=torch.Generator().manual_seed(1)) > 0.3


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def image(method: str, physics) -> torch.Tensor:
    steps = {} if method in ("tv", "dct") else {"steps": 4}
    y = physics.A(Y.to(torch.float32))
    return ut.reconstruct(y.float(), physics, method, progress=False, compare=False, **steps).image


PHYSICS = {"denoise": lambda: Denoise((1, 16, 16)), "inpaint": lambda: Inpaint(MASK, (1, 16, 16))}


@pytest.mark.parametrize("task", PHYSICS)
@pytest.mark.parametrize("method", ["house", "dip", "tv"])
def test_default_type_and_autocast_change_nothing(method, task, request):
    plain = image(method, PHYSICS[task]())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = image(method, PHYSICS[task]())
    assert torch.equal(plain, half)
    request.getfixturevalue("double")
    assert torch.equal(plain, image(method, PHYSICS[task]()))
    assert torch.get_default_dtype() == torch.float64


def test_the_default_type_is_back_after_an_error(double):
    @single_precision()
    def fails() -> None:
        assert torch.get_default_dtype() == torch.float32
        raise RuntimeError("on purpose")

    with single_precision():
        with pytest.raises(RuntimeError, match="on purpose"):
            fails()
        assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_dtype() == torch.float64
