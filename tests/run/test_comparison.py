"""The classical answer beside an image: left out when asked, told of, and bounded in time."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call
from torch import Tensor

import untrained as ut
from untrained.physics import Denoise
from untrained.problem import Problem
from untrained.rules.watch import Clock, Interrupt, Progress
from untrained.run import evaluate
from untrained.waiting import TimeIsUp, tick, waiting

SMALL = {"steps": 3, "settings": ["net.widths=8,16", "net.skip=4"], "progress": False}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A total variation that never ends by itself."""

    def never(problem: Problem) -> Tensor:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            problem.A(torch.zeros(1, *problem.x_shape))
            time.sleep(0.01)
        raise AssertionError("nobody ended it")

    monkeypatch.setitem(evaluate.CLASSICAL, "tv", never)


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:26, 0:22]
    np.save(tmp_path / "noisy.npy", (0.5 + 0.3 * np.sin(x / 3) * np.cos(y / 4)).astype("f4"))
    return tmp_path / "noisy.npy"


def test_tick_says_nothing_where_nobody_waits() -> None:
    tick()
    with waiting(100.0):
        tick()
    with waiting(0.0):
        time.sleep(0.01)
        with pytest.raises(TimeIsUp):
            tick()
    tick()


@pytest.mark.parametrize("method", ["dip", "adjoint"])
def test_a_comparison_is_given_up_after_a_while(
    method: str, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "COMPARISON", 0.2)
    monkeypatch.setattr(evaluate, "BESIDE_CLASSICAL", 0.2)
    more = SMALL if method == "dip" else {"progress": False}
    result = ut.reconstruct(torch.rand(1, 1, 20, 22), Denoise(), method, **more)
    assert result.about.classical is None
    assert any("it took longer than" in n and "--no-compare" in n for n in result.notes)


def test_the_time_limit_and_control_c_hold_for_the_comparison() -> None:
    assert 99 < Clock(100.0).left() <= 100
    assert Clock(1e-6).left() == 10  # a run at its time limit is still compared, briefly
    interrupt = Interrupt()
    assert interrupt.left() > 1e9
    interrupt.asked = True
    assert interrupt.left() == 0


def test_control_c_ends_a_comparison_and_keeps_the_image(
    slow: None, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Progress, "busy", lambda self, what, seconds: None)
    left = [1e9, 1e9, 0.0]
    monkeypatch.setattr(Interrupt, "left", lambda self: left.pop(0) if left[1:] else left[0])
    out = tmp_path / "out"
    assert call("reconstruct", "denoise", noisy, "--method", "adjoint", "--out", out) == 0
    facts = json.loads((out / "result.json").read_text())
    assert facts["classical"] is None
    assert (out / "reconstruction.npy").exists()


def test_a_comparison_that_takes_long_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress("dip")
    for seconds in (3.0, 11.0, 12.0, 22.0):
        bar.busy("comparing with tv", seconds)
    bar.end("comparison")
    said = capsys.readouterr().err.splitlines()
    assert said == ["dip: comparing with tv, 11 s so far", "dip: comparing with tv, 22 s so far"]


@pytest.mark.parametrize("method", ["adjoint", "dip"])
def test_no_compare_leaves_it_out(method: str, slow: None, noisy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = [] if method == "adjoint" else ["--steps", "3", "--set", "net.widths=8,16"]
    parts = [noisy, "--method", method, *more, "--no-compare", "--quiet", "--out", out]
    assert call("reconstruct", "denoise", *parts) == 0
    facts = json.loads((out / "result.json").read_text())
    assert facts["classical"] is None
    assert not any("classical answer" in note for note in facts["notes"])
    assert not (out / "classical.npy").exists()
