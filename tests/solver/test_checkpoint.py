"""`state.pt`: bit for bit what was written, or refused with a sentence."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import torch

import untrained as ut
from untrained.core.recipe import Recipe
from untrained.core.watch import Watch
from untrained.files import sealed_write
from untrained.solver import checkpoint
from untrained.solver.checkpoint import Checkpoint
from untrained.solver.procedure import solve_recipe

SETTINGS = {"recipe": {"method": {"lam": 1.0}}, "seed": 0}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state of a run under way, with a finished phase."""
    kept = Checkpoint(tmp_path, SETTINGS)
    draw = torch.Generator().manual_seed(0)
    weights = {f"w{i}": torch.randn(3, 4, generator=draw) for i in range(6)}
    kept.finish("0/fit", {"fits": [weights], "steps": 7})
    kept.save("0/refit", 3, {"state": {"step": 3, "weights": weights}, "seconds": {0: 1.5}})
    return tmp_path / "state.pt"


def refusal(path: Path) -> str:
    with pytest.raises(ut.UserError) as error:
        Checkpoint(path.parent, SETTINGS)
    return str(error.value)


def test_what_was_saved_comes_back(state: Path) -> None:
    kept = Checkpoint(state.parent, SETTINGS)
    assert kept.resumed_from == [10]
    assert kept.threads == torch.get_num_threads()
    assert kept.resume("0/refit")["seconds"] == {0: 1.5}
    assert kept.resume("0/fit") is None


def test_every_flipped_bit_is_noticed(state: Path) -> None:
    whole = state.read_bytes()
    draw = random.Random(0)
    for place in draw.sample(range(8 * len(whole)), 400):
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << place % 8
        state.write_bytes(broken)
        said = refusal(state)
        assert "lost" in said
        assert "again" in said
    state.write_bytes(whole)
    assert Checkpoint(state.parent, SETTINGS).resumed_from == [10]


def test_what_was_tampered_with_is_refused(state: Path) -> None:
    """A number of threads that no machine has would end the process."""
    content = torch.load(state, weights_only=True)
    for name, value in (("threads", 10**6), ("finished", []), ("resumed_from", "x")):
        torch.save({**content, name: value}, state)
        assert "no state that this program wrote" in refusal(state)


@pytest.mark.parametrize(
    "change", [{"threads": 10**6}, {"running": []}, {"settings": "{"}, {"versions": None}]
)
def test_a_sealed_state_of_other_contents_is_refused(
    state: Path, change: dict[str, object]
) -> None:
    content = {**torch.load(state, weights_only=True), **change}
    with sealed_write(state) as stream:
        torch.save(content, stream)
    assert "the work is kept" in refusal(state)


@pytest.mark.parametrize("layout", [None, 1, 99])
def test_a_state_of_another_layout_is_refused(state: Path, layout: int | None) -> None:
    """Refuse states written before the layout had a number, whose parts have other names."""
    content = torch.load(state, weights_only=True)
    del content["layout"]
    content["finished"]["0/fit"] = {"outcomes": []}
    with sealed_write(state) as stream:
        torch.save(content if layout is None else {**content, "layout": layout}, stream)
    found = refusal(state)
    assert "another layout" in found
    assert "the work in it is kept" in found


@pytest.mark.parametrize("change", ["renamed", "missing", "shape", "no optimiser"])
def test_a_sealed_state_of_another_network_is_refused(
    tmp_path: Path, change: str, pause_after: type[Watch]
) -> None:
    """Its parts are looked at when the run takes them up; a missing weight would be a fresh one."""
    problem = ut.Problem(torch.rand(1, 1, 8, 8), ut.physics.Denoise((1, 8, 8)))
    recipe = Recipe(ut.methods.DIP(rounds=4), ut.nets.Compact(widths=(4, 4), skip=2), ut.Engine())
    solve_recipe(recipe, problem, run_dir=tmp_path, watch=[pause_after(2)])
    content = torch.load(tmp_path / "state.pt", weights_only=True)
    weights = content["running"]["state"]["state"]["weights"]
    first = next(iter(weights))
    if change == "no optimiser":
        del content["running"]["state"]["optimizer"]
    else:
        value = weights.pop(first)
    if change == "renamed":
        weights["x" + first] = value
    if change == "shape":
        weights[first] = value[..., :1]
    with sealed_write(tmp_path / "state.pt") as stream:
        torch.save(content, stream)
    with pytest.raises(ut.UserError, match=r"state.pt is whole, but .* the work is kept"):
        solve_recipe(recipe, problem, run_dir=tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a state", b"x" * 500])
def test_somebody_elses_file_is_left_alone(state: Path, content: bytes) -> None:
    state.write_bytes(content)
    assert "it was not touched" in refusal(state)
    assert state.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_and_a_link_are_refused(state: Path) -> None:
    state.rename(state.with_name("real"))
    os.mkfifo(state)
    assert "no state" in refusal(state)
    state.unlink()
    state.symlink_to("real")
    assert "no state" in refusal(state)
    state.unlink()
    state.symlink_to("nowhere")
    assert "no state" in refusal(state)


def test_the_work_of_other_versions_is_kept(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**checkpoint.versions(), "torch": "1.0", "python": "3.99"}
    monkeypatch.setattr(checkpoint, "versions", lambda: other)
    said = refusal(state)
    assert f"was written by torch {torch.__version__}, and this is torch 1.0" in said
    assert "python" not in said  # its bits do not depend on that
    assert "is kept" in said


def test_the_work_of_other_settings_is_kept(state: Path) -> None:
    other = {**SETTINGS, "seed": 1}
    with pytest.raises(ut.UserError, match="seed was 0, now 1.*is kept"):
        Checkpoint(state.parent, other)


def test_what_a_kill_left_of_a_state_is_cleared(state: Path) -> None:
    dead = 2**22 - 7  # above the largest number of a process here
    left = state.with_name(f".state.pt.untrained-{'0' * 6}-{dead}-{'a' * 8}.part")
    own = state.with_name(left.name.replace("000000", _machine()))
    foreign = state.with_name(".state.pt.part")
    for path in (left, own, foreign):
        path.write_bytes(b"x")
    Checkpoint(state.parent, SETTINGS)
    assert not own.exists()
    assert left.exists()  # of another machine that shares the folder
    os.utime(left, (0, 0))
    Checkpoint(state.parent, SETTINGS)
    assert not left.exists()
    assert foreign.exists()


def _machine() -> str:
    from untrained.files import _part_name

    return _part_name("x").split("-")[1]
