"""A user's own class, named `FILE.py:Class`, is a method like any other."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import untrained as ut
from untrained.bench.grid import read_grid
from untrained.cli import main
from untrained.errors import UserError
from untrained.methods.find import find_card
from untrained.run.plan import plan

SOURCE = """
from dataclasses import dataclass, replace

import untrained as ut
from untrained.methods import dip


@dataclass(frozen=True)
class Shrunk(ut.Method):
    rounds: int = 6
    inner: int = 2
    lam: float = 0.5

    def start(self, s):
        s["z"] = s.problem.estimate()
        s.train_net()

    def loss(self, s):
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x), "size": self.lam * (x**2).flatten(1).mean(1)}


@dataclass(frozen=True)
class Louder(ut.methods.DIP):
    lam: float = 2.0


class Bare(ut.Method):
    def start(self, s): ...
    def loss(self, s): ...


class Stranger:
    pass


def broken():
    raise RuntimeError("my own mistake")


def shape():
    return 3
"""
RECIPE = """

def recipe(task, preset):
    return ut.Recipe(Shrunk(lam=3.0), ut.nets.Compact(widths=(4, 4)), source="my notes, page 3")
"""
SMALL = ("--set", "net.widths=4,4", "--threads", "1", "--no-compare", "--quiet")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)
    np.save("noisy.npy", np.random.default_rng(0).random((12, 14), np.float32))
    return tmp_path


def reconstruct(*more: str, method: str = "mine.py:Shrunk") -> int:
    line = ("reconstruct", "denoise", "noisy.npy", "--out", "out", "--method", method)
    with pytest.raises(SystemExit) as ended:
        main([*line, *SMALL, *more])
    return int(ended.value.code or 0)


def facts() -> dict:
    return json.loads(Path("out/result.json").read_text())


def test_it_runs_with_the_recipe_of_dip_and_its_own_fields_and_steps(folder: Path) -> None:
    assert reconstruct("--set", "lam=2", "--stop", "none") == 0
    found = facts()
    assert found["method"] == "shrunk"
    assert found["steps"] == 12
    assert found["recipe"]["method"] == {"name": "shrunk", "rounds": 6, "inner": 2, "lam": 2.0}
    assert re.search(
        r"mine\.py:Shrunk, sha256 .*; the rest is that of dip", found["recipe"]["source"]
    )
    assert any("network, engine, stop rule and output of dip" in note for note in found["notes"])
    assert "shrunk" in Path("out/report.html").read_text()


def test_python_and_a_module_name_give_the_same_image(folder: Path) -> None:
    y = torch.from_numpy(np.load("noisy.npy"))[None, None]
    how = {"settings": ["net.widths=4,4"], "progress": False, "compare": False}
    physics = ut.physics.Denoise((1, 12, 14))
    by_file, by_module = (
        ut.reconstruct(y, physics, method=f"{place}:Shrunk", **how) for place in ("mine.py", "mine")
    )
    assert torch.equal(by_file.image, by_module.image)


def test_a_recipe_beside_the_class_is_taken(folder: Path) -> None:
    (folder / "mine.py").write_text(SOURCE + RECIPE)
    recipe = plan("denoise", method="mine.py:Shrunk", settings=["lam=4"]).recipe
    assert recipe is not None
    assert recipe.method.lam == 4.0
    assert recipe.net == ut.nets.Compact(widths=(4, 4))
    assert recipe.source.startswith("my notes, page 3; a method of your own (mine.py:Shrunk")
    with pytest.raises(UserError, match=r"must give an untrained\.Recipe whose method is a Louder"):
        plan("denoise", method="mine.py:Louder")


def test_a_name_of_ours_is_not_taken_from_us(folder: Path) -> None:
    assert find_card("mine.py:Louder").name == "mine.py:Louder"
    assert find_card("mine.py:Shrunk").name == "shrunk"


def test_a_run_is_gone_on_with_by_the_same_code_only(folder: Path) -> None:
    assert reconstruct("--set", "rounds=4000", "--time-limit", "0.3") == 0
    state = Path("out/state.pt")
    before = state.read_bytes()
    (folder / "mine.py").write_text(SOURCE.replace("lam: float = 0.5", "lam: float = 0.7"))
    assert reconstruct("--set", "rounds=4000", "--resume") == 2
    assert state.read_bytes() == before
    (folder / "mine.py").write_text(SOURCE)
    assert reconstruct("--set", "rounds=4000", "--time-limit", "0.3", "--resume") == 0
    assert facts()["resumed_from"]


def test_its_file_is_not_written_over(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert reconstruct("--out", "mine.py") == 2
    assert (folder / "mine.py").read_text() == SOURCE


def test_a_grid_runs_it_from_its_own_folder(folder: Path, monkeypatch) -> None:
    (folder / "grids").mkdir()
    (folder / "mine.py").rename(folder / "grids" / "mine.py")
    text = (
        '[[cases]]\ntask = "denoise"\nfile = "../noisy.npy"\n[[runs]]\nmethod = "mine.py:Shrunk"\n'
    )
    (folder / "grids" / "one.toml").write_text(text)
    (job,) = read_grid("grids/one.toml").jobs(folder / "data")
    assert job.run.label == "shrunk"
    before = job.id
    code = folder / "grids" / "mine.py"
    code.write_text(code.read_text().replace("x**2", "x**4"))
    (again,) = read_grid("grids/one.toml").jobs(folder / "data")
    assert again.id != before  # other code is another experiment
    bad = text.replace("Shrunk", "Absent")
    (folder / "grids" / "one.toml").write_text(bad)
    with pytest.raises(UserError, match=r"\[\[runs\]\] 1: .*no callable 'Absent'"):
        read_grid("grids/one.toml")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("mine.py", r"unknown method 'mine\.py'.*a class of your own is mine\.py:CLASS"),
        ("mine.py:", "must be MODULE:CALLABLE or FILE.py:CALLABLE"),
        ("absent.py:Mine", r"method: there is no file absent\.py"),
        ("absent_module:Mine", "ModuleNotFoundError"),
        ("mine.py:Absent", "no callable 'Absent'; it offers Shrunk, Louder, Bare, Stranger"),
        ("mine.py:Stranger", r"not one of untrained\.Method"),
        ("mine.py:Bare", "no field rounds and no field inner"),
        ("mine.py:shape", r"must give an object of untrained\.Method, got 3"),
        ("mine.py:broken", r"RuntimeError: my own mistake \(line \d+ of .*mine\.py"),
    ],
)
def test_faults_are_named(folder: Path, method: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan("denoise", method=method)


def test_what_it_cannot_do_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match="'shrunk' does not do phase"):
        plan("phase", method="mine.py:Shrunk")
    with pytest.raises(UserError, match=r"Shrunk has no field 'gamma'; it has: rounds, inner, lam"):
        plan("denoise", method="mine.py:Shrunk", settings=["gamma=1"])
