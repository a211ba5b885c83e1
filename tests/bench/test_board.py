"""The solver for deepinv's public board: its operators are ours, and benchopt can run it.

Most need the board's own environment (`benchmarks/board/requirements.txt`), and are skipped
elsewhere.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

BOARD = Path(__file__).resolve().parents[2] / "benchmarks" / "board"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a module of the folder, which stands beside its own modules."""
    monkeypatch.syspath_prepend(str(BOARD))
    spec = importlib.util.spec_from_file_location(f"board_{name}", BOARD / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def deepinv() -> ModuleType:
    try:
        import benchopt  # noqa: F401
        import deepinv
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"needs the board's environment: {error}")
    return deepinv  # type: ignore[no-any-return]


@pytest.mark.parametrize("task", ["denoise", "inpaint", "mri"])
def test_an_operator_that_both_have_is_ours_and_measures_the_same(
    deepinv: ModuleType, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, solver = load("tasks", monkeypatch), load("untrained_solver", monkeypatch)
    theirs = tasks.TASKS[task].physics(24)
    x = torch.rand(1, 2 if task == "mri" else 3, 24, 24)
    y, ours = solver.known_to_untrained(theirs.A(x), theirs)
    assert type(ours).__module__.startswith("untrained.")
    assert torch.allclose(ours.A(x), y, atol=1e-6)


@pytest.mark.parametrize("task", ["deblur", "superres", "ct"])
def test_another_operator_tells_its_task(
    deepinv: ModuleType, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, solver = load("tasks", monkeypatch), load("untrained_solver", monkeypatch)
    theirs = tasks.TASKS[task].physics(48)
    x = torch.rand(1, 1 if task == "ct" else 3, 48, 48)
    _, same = solver.known_to_untrained(theirs.A(x), theirs)
    assert same is theirs
    assert (same.task, same.unit_range) == (task, task != "ct")
    assert same.x_shape == tuple(x.shape[1:])
    assert solver.noise_level(theirs) == (
        None if task == "superres" else pytest.approx({"deblur": 0.05, "ct": 0.01}[task])
    )


def test_benchopts_solver_returns_a_model_that_reconstructs(
    deepinv: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Do what the harness does: parameters as attributes, set_objective, run, get_result, model."""
    module = load("untrained_solver", monkeypatch)
    solver = module.Solver()
    for name, value in module.Solver.test_config.items():
        setattr(solver, name, value)
    solver.set_objective()
    solver.run(None)
    model = solver.get_result()["model"].eval()
    physics = deepinv.physics.Denoising(deepinv.physics.GaussianNoise(0.1))
    y = physics(torch.rand(1, 3, 32, 32))
    with torch.no_grad():
        assert model(y, physics).shape == y.shape


def test_every_solver_runs_on_a_task(deepinv: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    solvers, tasks = load("solvers", monkeypatch), load("tasks", monkeypatch)
    assert len(solvers.ENTRIES) >= 8
    physics = tasks.TASKS["denoise"].physics(32)
    y = physics(torch.rand(1, 3, 32, 32))
    for name, entry in solvers.ENTRIES.items():
        weight = entry.weights[0] if entry.weights else 0.0
        model = entry.build(physics, (3, 32, 32), min(entry.most, 2), weight)
        with torch.no_grad():
            assert model(y, physics).shape == y.shape, name


def test_the_tables_of_the_page_are_those_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    table = load("table", monkeypatch)
    text = table.PAGE.read_text(encoding="utf-8")
    assert table.rewritten(text, table.ROWS) == text, "run `python benchmarks/board/table.py`"
    for path in table.ROWS.values():
        assert len({row["solver"] for row in table.rows_of(path)}) >= 8
    assert table.rewritten(text, {3: table.RESULTS / "missing.jsonl"}) != text


def test_the_environment_has_what_the_solver_imports() -> None:
    lines = (BOARD / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = {line.split("=")[0].split(">")[0].strip() for line in lines if line[:1].isalpha()}
    assert {"torch", "torchvision", "deepinv", "benchopt"} <= names
