"""A user's own operator from a file or module."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from untrained.data.tasks.custom import load_custom
from untrained.errors import UserError
from untrained.own_code import build

OPERATORS = """
import torch

class Halves:
    x_shape = (1, 6, 8)

    def A(self, x):
        return x[..., ::2]

class Both(Halves):
    def A_adjoint(self, y):
        x = torch.zeros(*y.shape[:-1], 2 * y.shape[-1])
        x[..., ::2] = y
        return x

class NoShape:
    def A(self, x):
        return x

class Complex:
    x_shape = (2, 6, 8)

    def A(self, x):
        return 2 * x

def broken():
    raise RuntimeError("my own mistake")

number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "ops_of_mine.py").write_text(OPERATORS)
    (tmp_path / "bad_syntax.py").write_text("def (")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("ops_of_mine", None)


@pytest.mark.parametrize("spec", ["ops_of_mine.py:Halves", "ops_of_mine:Halves"])
def test_adjoint_is_derived(folder, spec):
    path_before = list(sys.path)
    y = np.random.default_rng(0).random((1, 6, 4)).astype(np.float32)
    np.save(folder / "y.npy", y)
    found = load_custom(folder / "y.npy", physics=spec)
    assert sys.path == path_before
    assert found.y.shape == (1, 1, 6, 4)
    x = torch.rand(1, 1, 6, 8)
    left = float((found.physics.A(x) * found.y).sum())
    right = float((x * found.physics.A_adjoint(found.y)).sum())
    assert left == pytest.approx(right, rel=1e-5)
    assert found.axes == "YX"


def test_batch_axis_is_optional_and_npz_carries_reference_and_sigma(folder):
    y = np.ones((1, 1, 6, 4), np.float32)
    np.savez(folder / "y.npz", measurement=y, reference=np.full((1, 6, 8), 2.0), sigma=0.5)
    found = load_custom(folder / "y.npz", physics="ops_of_mine.py:Both")
    assert found.y.shape == (1, 1, 6, 4)
    assert found.reference.shape == (1, 1, 6, 8)
    assert found.data_range == 2.0
    assert found.sigma == 0.5


def test_complex_measurements_become_two_channels(folder):
    values = (np.arange(48) + 1j).reshape(6, 8)
    np.save(folder / "y.npy", values)
    found = load_custom(folder / "y.npy", physics="ops_of_mine.py:Complex")
    assert found.y.shape == (1, 2, 6, 8)
    assert float(found.y[0, 1].min()) == 1.0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (None, "needs --physics"),
        ("ops_of_mine.py", "must be MODULE:CALLABLE"),
        ("ops_of_mine.py:", "must be MODULE:CALLABLE"),
        ("absent.py:f", r"no file absent\.py"),
        ("absent_module:f", "ModuleNotFoundError"),
        ("bad_syntax.py:f", "SyntaxError"),
        ("ops_of_mine.py:Nothing", "no callable 'Nothing'; it offers .*Halves"),
        ("ops_of_mine.py:number", "no callable 'number'"),
        ("ops_of_mine.py:broken", "RuntimeError: my own mistake"),
        ("ops_of_mine.py:NoShape", "x_shape"),
        ("ops_of_mine.py:Complex", r"\(1, 6, 4\).*\(2, 6, 8\)"),
    ],
)
def test_faults_are_named(folder, spec, message):
    np.save(folder / "y.npy", np.ones((1, 6, 4), np.float32))
    with pytest.raises(UserError, match=message):
        load_custom(folder / "y.npy", physics=spec)


def test_the_line_that_failed_is_named(folder):
    """Check that the line is one of the operator's own file, whatever called it or was called."""
    (folder / "helper.py").write_text("def halve(x):\n    return x[5, 5, 5, 5, 5]\n")
    lines = ["from helper import halve", "class Deep:", "    x_shape = (1, 6, 8)"]
    (folder / "deep.py").write_text("\n".join([*lines, "    A = lambda self, x: halve(x)"]))
    np.save(folder / "y.npy", np.ones((1, 6, 4), np.float32))
    with pytest.raises(UserError, match=r"line 2 of .*helper\.py: return x\[5, 5, 5, 5, 5\]"):
        load_custom(folder / "y.npy", physics="deep.py:Deep")
    (folder / "bare.py").write_text(
        "class Bare:\n    x_shape = (1, 6, 8)\n"
        "    def A(self, x):\n        if x.requires_grad: raise ValueError('no')\n"
        "        return x\n"
    )
    with pytest.raises(UserError, match=r"line 4 of .*bare\.py"):  # called by torch
        load_custom(folder / "y.npy", physics="bare.py:Bare")
    with pytest.raises(UserError, match=r"No module named 'absent_module'$"):
        build("absent_module:f", "operator")
    (folder / "at_once.py").write_text("import math\nmath.sqrt(-1)\n")
    with pytest.raises(UserError, match=r"line 2 of .*at_once\.py: math\.sqrt\(-1\)"):
        build("at_once.py:f", "operator")


def test_files_are_checked(folder):
    spec = "ops_of_mine.py:Halves"
    np.save(folder / "y.npy", np.full((1, 6, 4), np.nan))
    with pytest.raises(UserError, match="24 values NaN"):
        load_custom(folder / "y.npy", physics=spec)
    np.savez(folder / "y.npz", data=np.ones(3))
    with pytest.raises(UserError, match="lacks 'measurement'"):
        load_custom(folder / "y.npz", physics=spec)
    with pytest.raises(UserError, match="suffix"):
        load_custom(folder / "ops_of_mine.py", physics=spec)


def test_the_callable_is_called(folder):
    assert build("ops_of_mine.py:Halves", "operator").x_shape == (1, 6, 8)
