"""`untrained bench speed` on a picture of 20 pixels with the smallest networks."""

import json
import signal
import sys
import time
import types

import numpy as np
import pytest
import torch
from command_line import call

from untrained.bench import speed
from untrained.bench.cutting import Cut, cut_after
from untrained.classical import CLASSICAL
from untrained.data import TASKS
from untrained.physics import Denoise
from untrained.problem import Problem
from untrained.run.plan import plan

SMALL = ["net.widths=4,8", "net.skip=2", "engine.precision=fp32"]


@pytest.fixture
def noisy(pictures, monkeypatch):
    """A measurement; the contenders get small networks."""

    def plans(task, presets, place):
        small = ["net=compact", *SMALL]
        yield "dip paper", plan(task, method="dip", preset="paper", settings=small, steps=10)
        yield "auto fast", plan(task, settings=SMALL, steps=10)
        yield "tv", plan(task, method="tv")

    monkeypatch.setattr(speed, "_plans", plans)
    monkeypatch.setattr(speed, "BLOCK", 2)
    monkeypatch.setattr(speed, "SIDE", 64)
    simulate = TASKS["denoise"].simulate
    assert simulate is not None
    simulate(pictures / "picture-a.npy", pictures / "noisy.npz", sigma=25.0)
    return pictures / "noisy.npz"


@pytest.mark.parametrize(("native", "kinds"), [("fp32", [""]), ("bf16", ["", " bf16"])])
def test_papers_are_timed_in_our_arithmetic_too(native, kinds, monkeypatch):
    monkeypatch.setattr(speed.Engine, "resolve", lambda self, place: native)
    found = dict(speed._plans("denoise", ("fast",), torch.device("cpu")))
    papers = [name for name in found if "paper" in name]
    assert papers == [f"{method} paper{kind}" for kind in kinds for method in ("aseqdip", "dip")]
    for name in papers:
        recipe = found[name].recipe
        assert recipe is not None
        assert recipe.engine.precision == ("bf16" if "bf16" in name else "fp32")


def test_every_contender_is_timed_and_run(noisy, capsys, tmp_path):
    out = tmp_path / "speed.json"
    assert call("bench", "speed", "denoise", noisy, "--blocks", "2", "--out", out) == 0
    found = json.loads(out.read_text())
    paper, ours, tv = found["rows"][:3]
    assert [row["name"] for row in (paper, ours, tv)] == ["dip paper", "auto fast", "tv"]
    assert found["target"] == paper["best"]
    assert (paper["steps"], paper["cut"]) == (10, False)
    for row in (paper, ours):
        assert row["step_ms"] > 0
        rate = found["machine"]["fp32_gflops"]
        assert row["over_limit"] == pytest.approx(row["step_ms"] * 1e-3 * rate / row["gflop"], 0.05)
        reached = row["to_target"]
        assert reached is None or 0 < reached <= row["seconds"]
    assert tv["step_ms"] is None
    assert tv["psnr"] > 15
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_the_way_to_a_given_quality_is_timed(noisy, capsys):
    measurement = TASKS["denoise"].load(noisy)[0]
    low, high = (speed.measure_speed(measurement, blocks=1, target=t) for t in (5.0, 99.0))
    for easy, hard in list(zip(low["rows"], high["rows"], strict=True))[:3]:
        assert 0 < easy["to_target"] <= easy["seconds"]
        assert hard["to_target"] is None
    assert call("bench", "speed", "denoise", noisy, "--blocks", "1", "--target", "12.5") == 0
    assert "seconds to 12.50 dB" in capsys.readouterr().out


def test_small_pictures_have_no_ssim(pictures, noisy, capsys, tmp_path):
    """Its window has 11 pixels; JSON has no NaN."""
    small = np.load(pictures / "picture-a.npy")[..., :9, :8]
    np.savez(tmp_path / "small.npz", measurement=small, reference=small + 0.01, sigma=5.0)
    out = tmp_path / "speed.json"
    speed_of = ["bench", "speed", "denoise", tmp_path / "small.npz", "--out", out, "--blocks", 1]
    assert call(*speed_of) == 0
    rows = {row["name"]: row for row in json.loads(out.read_text())["rows"]}
    assert rows["tv"]["ssim"] is None
    assert rows["tv"]["psnr"] > 20


def test_a_run_is_cut_at_the_limit(noisy):
    measurement = TASKS["denoise"].load(noisy)[0]
    found = speed.measure_speed(measurement, limit=1e-3, blocks=1)
    assert [row["cut"] for row in found["rows"][:3]] == [True, True, True]


def test_more_channels_are_more_operations():
    problem = Problem(torch.full((1, 1, 32, 32), 0.5), Denoise((1, 32, 32)))
    counted = []
    for skip in (2, 4):
        settings = ["net.widths=4,8", f"net.skip={skip}"]
        recipe = plan("denoise", method="dip", settings=settings).recipe
        assert recipe is not None
        counted.append(speed._stepper(recipe, problem, torch.device("cpu"))[1])
    assert counted[1] > counted[0] > 1e6


def test_what_cannot_be_timed_is_refused(pictures, capsys):
    np.save(pictures / "bare.npy", np.full((20, 20), 0.5, np.float32))
    assert call("bench", "speed", "denoise", pictures / "bare.npy") == 2
    assert "has no 'reference'" in capsys.readouterr().err
    assert call("bench", "speed", "denoize", "x.npz") == 2
    assert "unknown task 'denoize'" in capsys.readouterr().err


def test_bm3d_is_run_where_it_is_installed(noisy, monkeypatch):
    truth = TASKS["denoise"].load(noisy)[0].reference[0].movedim(0, -1).numpy()
    fake = types.ModuleType("bm3d")
    fake.bm3d_rgb = lambda picture, sigma: truth + 0.1
    fake.bm3d = lambda picture, sigma: truth[..., 0] + 0.1
    assert not any(row["name"] == "BM3D" for row in measured(noisy)["rows"])
    monkeypatch.setitem(sys.modules, "bm3d", fake)
    (row,) = [row for row in measured(noisy)["rows"] if row["name"] == "BM3D"]
    assert row["psnr"] == pytest.approx(20.0, abs=0.01)
    assert row["seconds"] > 0


def measured(path):
    return speed.measure_speed(TASKS["denoise"].load(path)[0], blocks=1)


def test_slow_steps_keep_to_the_limit():
    """20 steps in each of 5 blocks of the slowest contender would take many times the limit."""
    taken = {"slow": 0, "quick": 0}

    def stepper(name, seconds):
        def take(steps):
            taken[name] += steps
            time.sleep(seconds * steps)

        return take, None, "fp32"

    began = time.perf_counter()
    found = speed._interleaved(
        {"slow": stepper("slow", 0.2), "quick": stepper("quick", 0.0005)}, blocks=5, limit=0.5
    )
    assert time.perf_counter() - began < 2
    assert taken["slow"] <= 4
    assert taken["quick"] == 5 * speed.BLOCK + 1
    assert found["slow"] == pytest.approx(200, rel=0.3)


def test_a_classical_answer_is_cut_too(noisy, monkeypatch):
    def endless(problem):
        while True:
            problem.A(torch.zeros(1, *problem.x_shape))

    monkeypatch.setitem(CLASSICAL, "tv", endless)
    measurement = TASKS["denoise"].load(noisy)[0]
    began = time.perf_counter()
    rows = speed.measure_speed(measurement, blocks=1, limit=1.0)["rows"]
    assert time.perf_counter() - began < 60
    tv = next(row for row in rows if row["name"] == "tv")
    assert tv["cut"]
    assert 0.9 < tv["seconds"] < 3
    assert tv["psnr"] is None


def test_the_alarm_is_given_back():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(Cut), cut_after(0.05):
        time.sleep(5)
    with cut_after(5):
        pass
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
