"""Operators of a user's own, from Python: what they may be, and what is checked."""

import numpy as np
import pytest
import torch
from small_api import measured, reconstruct
from torch import Tensor

import untrained as ut
from untrained.problem.digest import data_digest


def test_an_operator_that_writes_into_its_argument_is_refused() -> None:
    class Forward:
        x_shape = (1, 12, 12)

        def A(self, x: Tensor) -> Tensor:
            x *= 2
            return x

        def A_adjoint(self, y: Tensor) -> Tensor:
            return 2 * y

    class Backward(Forward):
        def A(self, x: Tensor) -> Tensor:
            return 2 * x

        def A_adjoint(self, y: Tensor) -> Tensor:
            y *= 2
            return y

    for operator, name in ((Forward(), "A"), (Backward(), "A_adjoint")):
        y = torch.rand(1, 1, 12, 12)
        before = y.clone()
        with pytest.raises(ut.UserError, match=f"{name} changes its argument in place"):
            ut.reconstruct(y, operator, "adjoint", progress=False)
        assert torch.equal(y, before)


def test_a_users_own_operator_needs_nothing_of_ours() -> None:
    class Mine:
        x_shape = (1, 12, 12)

        def A(self, x: Tensor) -> Tensor:
            return x.cumsum(-1)[..., ::2]

    x = torch.rand(1, 1, 12, 12)
    result = reconstruct(Mine().A(x), Mine())
    assert result.image.shape == x.shape
    assert result.about.task == "custom"
    assert result.about.classical_name == "tv"


def test_a_nonlinear_operator_runs_where_it_can() -> None:
    class Squared:
        x_shape = (1, 12, 12)
        linear = False

        def A(self, x: Tensor) -> Tensor:
            return x.square()

        def initial(self, y: Tensor) -> Tensor:
            return y.clamp_min(0).sqrt()

    y = torch.rand(1, 1, 12, 12)
    result = reconstruct(y, Squared(), method="dip")
    assert result.image.shape == y.shape
    assert result.about.classical is None


class Own:
    """A user's operator, twice the image; `factor` is that of its adjoint."""

    x_shape = (1, 20, 23)

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def A(self, x: Tensor) -> Tensor:
        return 2 * x

    def A_adjoint(self, y: Tensor) -> Tensor:
        return self.factor * y


def test_an_own_operator_s_adjoint_is_checked() -> None:
    y = torch.cat([measured()[0]] * 2)
    with pytest.raises(ut.UserError, match=r"operator Own: A_adjoint is not the adjoint"):
        reconstruct(y, Own(-2.0), compare=False)
    assert "only roughly the adjoint" in reconstruct(y, Own(2.02)).about.notes[-1]
    assert not any("adjoint" in note for note in reconstruct(y, Own(2.0)).about.notes)


class Returns:
    """An operator of a user whose A and A_adjoint return another kind of values."""

    x_shape = (1, 16, 16)

    def __init__(self, change) -> None:
        self.change = change

    def A(self, x: Tensor) -> Tensor:
        return self.change(x.flip(-1))

    A_adjoint = A


@pytest.mark.parametrize("method", ["dip", "tv", "house"])
def test_an_operator_in_double_precision_works_in_single(method: str) -> None:
    y = torch.rand(1, 1, 16, 16)
    options = {"settings": ["net.widths=8,8"], "steps": 4} if method != "tv" else {}
    found = ut.reconstruct(y, Returns(Tensor.double), method, progress=False, **options)
    same = ut.reconstruct(y, Returns(Tensor.float), method, progress=False, **options)
    assert found.image.dtype == torch.float32
    assert torch.equal(found.image, same.image)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x: x.to(torch.complex64), "complex64"),
        (Tensor.int, "int32"),
        (lambda x: x.detach().numpy(), "ndarray"),
    ],
)
def test_what_an_operator_returns_is_checked(change, found: str) -> None:
    with pytest.raises(ut.UserError, match=f"Returns.A must return .* got .*{found}"):
        ut.reconstruct(torch.rand(1, 1, 16, 16), Returns(change), progress=False)


def test_an_adjoint_tells_the_shape_of_an_operator_in_numpy() -> None:
    class Mirror:
        def A(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.numpy()[..., ::-1].copy())

        A_adjoint = A

    assert reconstruct(torch.rand(1, 1, 12, 12), Mirror()).image.shape == (1, 1, 12, 12)


def test_a_task_that_an_operator_cannot_do_is_treated_as_custom() -> None:
    class Sums:
        x_shape, task = (1, 16, 16), "ct"

        def A(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(-1), x.sum(-2)], -1)

    assert reconstruct(Sums().A(torch.rand(1, 1, 16, 16)), Sums()).about.task == "custom"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.eye(3).to_sparse(), 2 * torch.eye(3).to_sparse()),
        (torch.arange(6)[::2], torch.arange(6)[1::2]),
        (torch.ones(3, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.bfloat16)),
        (torch.tensor(1j), torch.tensor(1j).conj()),
        (np.ones(3), np.zeros(3)),
        (np.float32(1), np.float32(2)),
        ({"turns": [1, 2]}, {"turns": [1, 3]}),
    ],
)
def test_the_hash_of_an_operator_sees_what_it_is_made_of(one, other) -> None:
    class Own:
        x_shape = (1, 4, 4)

        def __init__(self, part) -> None:
            self.part = part

        def A(self, x: Tensor) -> Tensor:
            return x

        A_adjoint = A

    y = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    first, again, changed = (data_digest(ut.Problem(y, Own(part))) for part in (one, one, other))
    assert first == again != changed
