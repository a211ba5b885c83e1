"""Every operator answers one protocol; nobody outside physics/ asks by getattr or hasattr."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import untrained as ut
from untrained.physics import Denoise, Inpaint, Physics, as_physics, random_mask
from untrained.physics.foreign import OPTIONAL, Foreign
from untrained.physics.rescaled import Rescaled

PACKAGE = Path(ut.__file__).parent
DOCS = Path(__file__).resolve().parents[2] / "docs" / "operators.md"
PROTOCOL = {name for name in vars(Physics) if name[0] != "_"} | set(OPTIONAL)


def asked_by_name(path: Path) -> list[str]:
    """Find the calls of getattr and hasattr whose object is an operator, or whose name is one."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("getattr", "hasattr"):
            continue
        subject, name = ast.unparse(node.args[0]), node.args[1]
        known = isinstance(name, ast.Constant) and name.value in PROTOCOL
        if known or re.search(r"physics|operator\b", subject):
            found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}")
    return found


def test_outside_physics_no_operator_is_asked_by_getattr_or_hasattr() -> None:
    others = [p for p in PACKAGE.rglob("*.py") if "physics" not in p.relative_to(PACKAGE).parts]
    assert len(others) > 100
    assert [call for path in others for call in asked_by_name(path)] == []


def test_the_documented_attributes_are_those_that_are_asked_for() -> None:
    """Names and defaults of docs/operators.md and `OPTIONAL`, in the same order."""
    text = DOCS.read_text(encoding="utf-8")
    table = text[text.index("| attribute |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:4]] for line in table]
    documented = {
        re.match(r"`(\w+)", name)[1]: ast.literal_eval(re.match(r"`([^`]+)`", default)[1])
        for name, _, default in rows
    }
    assert list(documented) == list(OPTIONAL)
    assert documented == OPTIONAL


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_a_user_may_give_is_part_of_the_protocol(name: str) -> None:
    assert hasattr(Denoise((1, 4, 4)), name)


class Plain:
    x_shape = (1, 6, 6)

    def A(self, x: Tensor) -> Tensor:
        return x[..., ::2]


class WithAdjoint(Plain):
    def A_adjoint(self, y: Tensor) -> Tensor:
        return torch.stack([y, torch.zeros_like(y)], -1).flatten(-2)


class Numpy(WithAdjoint):
    def A(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x.numpy()[..., ::2]))


class Square(Plain):
    linear = False

    def A(self, x: Tensor) -> Tensor:
        return x.square()


class Module(nn.Module):
    x_shape = (1, 6, 6)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(2.0))

    def A(self, x: Tensor) -> Tensor:
        return self.gain * x

    def A_adjoint(self, y: Tensor) -> Tensor:
        return self.gain * y


@pytest.mark.parametrize("kind", [Plain, WithAdjoint, Numpy, Square, Module])
def test_every_stranger_is_wrapped(kind: type) -> None:
    source = kind()
    physics = as_physics(source)
    assert isinstance(physics, Physics)
    assert physics.source is source
    assert physics.class_name() == kind.__name__
    assert as_physics(physics) is physics
    problem = ut.Problem(source.A(torch.rand(1, 1, 6, 6)), source)
    assert isinstance(problem.physics, Physics)
    assert problem.x_shape == (1, 6, 6)
    with pytest.raises(ut.UserError, match=f"{kind.__name__}: x must be"):
        physics.A(torch.zeros(1, 1, 5, 6))


def test_a_wrapped_operator_moves_where_it_can() -> None:
    moved = as_physics(Module()).on("cpu")
    assert moved.source is not moved
    meta = as_physics(Module()).to("meta")
    assert meta.source.gain.device.type == "meta"
    shared = as_physics(WithAdjoint())
    assert shared.on("cpu").source is shared.source


class Knowing(WithAdjoint):
    """An operator that knows everything that one may."""

    y_shape = (1, 6, 3)
    linear = True
    complex_image = False
    unit_range = True
    task = "superres"
    mask = torch.ones(1, 1, 6, 3)
    support = torch.ones(1, 1, 6, 6)
    degree = 1.0
    norm_squared = 1.0
    classical_name = "nothing"

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        return self.A_adjoint(v)

    def mean_squared_singular_value(self, weighting: str) -> float:
        return 0.5

    def weight(self, r: Tensor, name: str) -> Tensor:
        return 2 * r

    def initial(self, y: Tensor) -> Tensor:
        return self.A_adjoint(y)

    def fbp(self, y: Tensor) -> Tensor:
        return 3 * self.A_adjoint(y)

    def fill(self, x: Tensor, keep: Tensor) -> Tensor:
        return x + 4

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        return torch.ones(1, *y.shape[1:], dtype=torch.bool)

    def scattered(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        return torch.zeros(1, *y.shape[1:], dtype=torch.bool)

    def units(self, y: Tensor) -> Tensor:
        return torch.arange(6)[:, None]

    def importance(self, y: Tensor, held: Tensor) -> Tensor:
        return 5 * held

    def described(self) -> str:
        return "every second column"


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_what_a_stranger_knows_is_passed_on(gain: float) -> None:
    """Also by a copy in other units."""
    assert not [name for name in OPTIONAL if not hasattr(Knowing, name)]
    physics = as_physics(Knowing())
    if gain != 1:
        physics = Rescaled(physics, gain, physics.x_shape)
    x, y, draw = torch.rand(1, 1, 6, 6), torch.rand(1, 1, 6, 3), torch.Generator()
    back = Knowing().A_adjoint(y)
    assert (physics.task, physics.degree) == ("superres", 1.0)
    assert physics.norm_squared == 1 / gain**2
    assert float(physics.mean_squared_singular_value()) == 0.5 / gain**2
    assert torch.equal(physics.mask, Knowing.mask)
    assert torch.equal(physics.support, Knowing.support)
    assert physics.weightings == ("ramp", "half-ramp")
    assert torch.equal(physics.weight(y, "ramp"), 2 * y)
    assert torch.equal(physics.initial(y), gain * back)
    assert torch.equal(physics.fbp(y), gain * 3 * back)
    assert torch.equal(physics.fill(x, x), x + 4)
    assert physics.holdout(y, 0.1, draw).all()
    assert not physics.scattered(y, 0.1, draw).any()
    assert torch.equal(physics.units(y), torch.arange(6)[:, None])
    assert torch.equal(physics.importance(y, y > 0.5), 5 * (y > 0.5))
    assert physics.described() == "every second column"


def test_what_stands_beside_a_mask_is_ignored() -> None:
    """Check operators of ours and of a user, with and without an adjoint."""
    mask = random_mask((6, 6), 0.5)

    class Masked:
        x_shape = (1, 6, 6)
        unit_range = True

        def __init__(self) -> None:
            self.mask = mask[None, None].float()

        def A(self, x: Tensor) -> Tensor:
            return x * self.mask

    class MaskedWithAdjoint(Masked):
        A_adjoint = Masked.A

    y = torch.rand(1, 1, 6, 6) + 0.1
    for physics in (Inpaint(mask, (1, 6, 6)), Masked(), MaskedWithAdjoint()):
        assert torch.equal(ut.Problem(y, physics).y, y * mask)
    assert isinstance(ut.Problem(y, MaskedWithAdjoint()).physics, Foreign)
