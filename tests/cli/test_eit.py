"""eit from a picture of conductivity to a result directory, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call, tree

DIP = ("--method", "dip", "--steps", "4", "--set", "net.widths=4,8", "--quiet", "--no-compare")
Y, X = np.mgrid[1:-1:24j, -1:1:24j]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tank")
    image = 0.8 + 1.0 * (np.hypot(X - 0.4, Y) < 0.3) - 0.6 * (np.hypot(X + 0.4, Y - 0.1) < 0.3)
    np.save(folder / "clean.npy", image.astype(np.float32))
    made = folder / "tank.npz"
    assert call("simulate", "eit", folder / "clean.npy", "--electrodes", 12, "--out", made) == 0
    return made


def facts_of(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


def test_a_classical_answer_finds_both_bodies_at_their_place(measured, tmp_path):
    out = tmp_path / "out"
    assert call("reconstruct", "eit", measured, "--method", "linearised", "--no-compare",
                "--quiet", "--out", out) == 0  # fmt: skip
    image = np.load(out / "reconstruction.npy")
    assert image.shape == (24, 24)
    good, poor = np.hypot(X - 0.4, Y) < 0.2, np.hypot(X + 0.4, Y - 0.1) < 0.2
    rest = (np.hypot(X, Y) < 0.8) & (np.hypot(X - 0.4, Y) > 0.4) & (np.hypot(X + 0.4, Y) > 0.4)
    assert image[good].mean() > 1.1 * image[rest].mean() > 1.3 * image[poor].mean()
    assert facts_of(out)["metrics"]["psnr"] > 10


def test_the_same_seed_gives_the_same_bits_and_resume_too(measured, tmp_path):
    for name, more in (("a", ()), ("b", ()), ("c", ("--time-limit", "0.001"))):
        assert call("reconstruct", "eit", measured, *DIP, *more, "--out", tmp_path / name) == 0
    assert call("reconstruct", "eit", measured, *DIP, "--resume", "--out", tmp_path / "c") == 0
    assert facts_of(tmp_path / "c")["resumed_from"]
    one, other, resumed = (
        (tmp_path / name / "reconstruction.npy").read_bytes() for name in ("a", "b", "c")
    )
    assert one == other == resumed
    assert call("reconstruct", "eit", measured, *DIP, "--seed", 1, "--out", tmp_path / "d") == 0
    assert (tmp_path / "d" / "reconstruction.npy").read_bytes() != one


def test_a_dry_run_writes_nothing(measured, tmp_path, capsys):
    before = tree(tmp_path)
    assert call("reconstruct", "eit", measured, *DIP[:-2], "--dry-run", "--json",
                "--out", tmp_path / "out") == 0  # fmt: skip
    plan = json.loads(capsys.readouterr().out)
    assert (plan["task"], plan["steps"]) == ("eit", 8), "and as many of the refit"
    assert plan["peak_memory_mb"] > 0
    assert tree(tmp_path) == before


def test_fewer_electrodes_are_simulated_and_left_out(measured, tmp_path):
    clean, out = measured.with_name("clean.npy"), tmp_path / "few.npz"
    options = ("--electrodes", 12, "--ktc-level", 3, "--no-reference", "--noise", 0)
    assert call("simulate", "eit", clean, *options, "--out", out) == 0
    with np.load(out) as stored:
        assert not stored["injections"][:4].any()
        assert "reference_voltages" not in stored
    assert (
        call("reconstruct", "eit", measured, *DIP, "--ktc-level", 3, "--out", tmp_path / "r") == 0
    )
    assert any("level 3" in note for note in facts_of(tmp_path / "r")["notes"])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("reconstruct eit none.npz", "none.npz"),
        ("reconstruct eit clean.npy", "clean.npy"),
        ("reconstruct eit tank.npz --mesh clean.npy", "--mesh"),
        ("reconstruct eit tank.npz --ktc-level 6", "lower level"),
        ("reconstruct eit tank.npz --ktc-level 9", "--ktc-level"),
        ("reconstruct eit tank.npz --key nothing", "--key"),
        ("reconstruct eit tank.npz --method tvdips", "tvdips"),
        ("reconstruct eit tank.npz --method cgsense", "does not do eit"),
        ("simulate eit clean.npy --conductivity 1 --out a.npz", "LOW,HIGH"),
        ("simulate eit clean.npy --electrodes 5 --out a.npz", "--electrodes"),
        ("simulate eit clean.npy --out clean.npy", ".npz"),
        ("simulate eit clean.npy --out tank.npz", "--overwrite"),
        ("evaluate clean.npy clean.npy --score ktc", "256 x 256"),
    ],
)
def test_wrong_input_exits_2_and_writes_nothing(measured, monkeypatch, capsys, command, said):
    monkeypatch.chdir(measured.parent)
    before = tree(measured.parent)
    assert call(*command.split()) == 2
    heard = capsys.readouterr().err
    assert said in " ".join(heard.split())
    assert "Traceback" not in heard
    assert tree(measured.parent) == before
