"""Learned weights: their file, and what they are refused for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lessons import SHRINK, draw, hole, learn, learned
from torch import Tensor

from untrained import Problem
from untrained.core.start import StartWeights
from untrained.errors import UserError
from untrained.physics import Inpaint
from untrained.pretrain import load_weights
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe

REFUSED = {
    "another method": (
        lambda w: plan("inpaint", method="edip", weights=w),
        "for the method ugodit",
    ),
    "another task": (lambda w: plan("denoise", weights=w), "for the task inpaint, not denoise"),
    "no use for them": (lambda w: plan("inpaint", method="dip", weights=w), "random weights"),
    "none given": (lambda _: plan("inpaint", method="edip"), "untrained pretrain edip inpaint"),
    "a random encoder": (
        lambda w: solve_recipe(
            plan("inpaint", method="ugodit", settings=SHRINK["ugodit"], steps=2).recipe,
            hole(0),
            start=w.start(hole(0)),
        ),
        "RandomEncoder is UGoDIT without learned weights",
    ),
    "other channels": (lambda w: w.start(Problem(draw(1, 3, 9, 11), _full(3))), "1 channel"),
    "another network": (
        lambda w: solve_recipe(
            plan("inpaint", weights=w, settings=["net.widths=5,6"], steps=2).recipe,
            hole(0),
            start=w.start(hole(0)),
        ),
        "do not fit the network",
    ),
    "more scales": (
        lambda w: solve_recipe(
            plan("inpaint", weights=w, settings=["net.depth=1"], steps=2).recipe,
            hole(0),
            start=w.start(hole(0)),
        ),
        "no such weight",
    ),
}


def _full(channels: int) -> Inpaint:
    return Inpaint(torch.ones(9, 11), (channels, 9, 11))


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_are_refused(case: str) -> None:
    ask, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        ask(learned("ugodit", steps=2))  # type: ignore[no-untyped-call]


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(2)}, other)
    with pytest.raises(UserError, match="not where they come from"):
        load_weights(other)
    other.write_bytes(b"123")
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_weights(other)
    with pytest.raises(UserError, match="there is no file"):
        load_weights(tmp_path / "none.safetensors")
    weights = learned("ugodit", steps=2)
    with pytest.raises(UserError, match="ends otherwise"):
        weights.save(tmp_path / "w.pt")
    weights.save(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="never overwritten unasked"):
        weights.save(tmp_path / "w.safetensors")


@pytest.mark.parametrize("text", ["5", "null", '"a"', "[]", "{}", '{"format": 3, "new": 1}'])
def test_damaged_facts_are_refused(text: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors", {"untrained": text})
    with pytest.raises(UserError, match="is damaged") as refused:
        load_weights(tmp_path / "w.safetensors")
    assert ("format 3" in str(refused.value)) == ("format" in text)


def test_weights_learned_at_another_scale_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("untrained.pretrain.weights.FORMAT", 1)
        learn("ugodit", steps=2).save(tmp_path / "old.safetensors")
    with pytest.raises(UserError, match=r"format 1.*scale.*learn it anew with: untrained pretrain"):
        load_weights(tmp_path / "old.safetensors")


@pytest.mark.parametrize(
    "harm", [lambda t: t * torch.nan, lambda t: t.to(torch.int32), lambda t: t.to(torch.complex64)]
)
def test_weights_that_are_no_finite_numbers_are_refused(
    harm: Callable[[Tensor], Tensor], tmp_path: Path
) -> None:
    weights = learned("ugodit", steps=2)
    harmed = {name: harm(tensor) for name, tensor in weights.tensors.items()}
    replace(weights, tensors=harmed).save(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="is damaged"):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["ugodit", "metadip"])
def test_weights_that_lack_some_are_refused(name: str) -> None:
    weights = learned(name)
    some = {n: t for i, (n, t) in enumerate(weights.tensors.items()) if i % 2 or n == "input"}
    chosen = plan("inpaint", weights=weights, steps=2)
    with pytest.raises(UserError, match="lack"):
        solve_recipe(chosen.recipe, hole(0), start=StartWeights.from_tensors(some))  # type: ignore[arg-type]
