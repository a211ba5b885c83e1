"""Objects in place of names in `reconstruct`, and what a result says of itself."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.core.rule import MaxSteps
from untrained.methods import METHODS
from untrained.result import Result
from untrained.run.plan import plan


@dataclass(frozen=True)
class Halved(ut.Method):
    """A method of the caller's own."""

    name: ClassVar[str] = "halved"
    rounds: int = 7
    inner: int = 1

    def start(self, s: ut.State) -> None:
        s["z"] = s.problem.estimate()
        s.train_net()

    def loss(self, s: ut.State) -> tuple[Tensor, dict[str, Tensor]]:
        x = s.net(s["z"]) / 2
        return x, {"data": s.problem.misfit(x)}


class After(ut.rules.Stop):
    """A rule of the caller's own, and no dataclass."""

    name = "after"

    def __init__(self, count: int) -> None:
        self.count = count

    def start(self, s: ut.State, m: ut.rules.Memory) -> None:
        m["step"] = torch.zeros(s.size)

    def see(self, s: ut.State, m: ut.rules.Memory, frame: ut.rules.Frame) -> None:
        m["step"] = m["step"] + 1

    def done(self, m: ut.rules.Memory) -> Tensor:
        return m["step"] >= self.count

    def reason(self, m: ut.rules.Memory) -> str:
        return "enough"


FLAT = ut.physics.Denoise((1, 16, 16))
GREY = 0.3 + 0.4 * torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(2))


def given(**options: Any) -> Result:
    return ut.reconstruct(GREY, FLAT, progress=False, compare=False, **options)


def test_a_method_may_be_an_object() -> None:
    by_name = given(method="dip", steps=6, settings=["jitter=0.07"])
    by_object = given(method=ut.methods.DIP(jitter=0.07), steps=6)
    assert torch.equal(by_name.image, by_object.image)
    assert by_object.about.method == "dip"
    assert given(method=ut.methods.DIP(rounds=9), stop="none").steps == 9
    fast = ut.methods.find_recipe(METHODS["dip"], "denoise", "fast")
    chosen = plan("denoise", method=ut.methods.DIP())
    assert chosen.recipe is not None
    assert chosen.recipe.budget == fast.budget  # the preset's, as with the name


def test_a_method_of_ones_own_takes_the_network_of_dip() -> None:
    result = given(method=Halved(), stop="none")
    assert result.steps == 7
    assert result.about.method == "halved"
    assert result.recipe is not None
    fast = ut.methods.find_recipe(METHODS["dip"], "denoise", "fast")
    assert result.recipe.net == fast.net
    assert "your own" in result.recipe.source


def test_rules_may_be_objects(tmp_path: Path) -> None:
    by_name = given(method="dip", stop="steps:5", steps=20, output="last")
    by_object = given(
        method="dip", stop=MaxSteps(5), steps=20, output=ut.rules.Last(keep_best=False)
    )
    assert torch.equal(by_name.image, by_object.image)
    own = given(method="dip", stop=After(4), steps=20)
    assert (own.stop[0].rule, own.stop[0].reason, own.steps) == ("after", "enough", 4)
    facts = json.loads((own.save(tmp_path / "out") / "result.json").read_text())
    assert facts["recipe"]["stop"] == {"name": "after", "count": "4"}
    either = given(method="dip", stop=After(9) | MaxSteps(3), steps=20)
    assert either.steps == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": ut.methods.DIP}, r"method must be .*give an object of it: DIP\(\)"),
        ({"stop": MaxSteps}, r"give an object of it: MaxSteps\(\)"),
        ({"stop": 100}, "stop must be a text or an object of untrained.rules.Stop, got 100"),
        ({"output": None}, "output must be"),
        ({"method": Halved(), "output": "worst"}, "unknown output"),
    ],
)
def test_what_is_neither_name_nor_object_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ut.UserError, match=said):
        given(**options)


def test_a_result_is_told_in_a_line() -> None:
    result = given(method="dip", steps=4, truth=GREY)
    assert len(repr(result)) < 200
    assert "method='dip', task='denoise', image=(1, 1, 16, 16), steps=" in repr(result)
    assert len(repr(result.about)) < 100


def test_saving_twice_advises_what_python_has(tmp_path: Path) -> None:
    result = given(method="dct")
    result.save(tmp_path)
    with pytest.raises(ut.UserError, match="overwrite=True") as error:
        result.save(tmp_path)
    assert "--" not in str(error.value)
    result.save(tmp_path, overwrite=True)
