"""`--dry-run` answers soon, whatever the size."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call

from untrained.physics import EIT, BlindBlur, ct, disc_mesh
from untrained.physics.noncartesian import NonCartesianMRI
from untrained.problem import Problem
from untrained.run import classical_time, estimate
from untrained.run.plan import plan


def scan(tmp_path: Path, views: int, side: int) -> Path:
    rng = np.random.default_rng(0)
    s = np.abs(rng.standard_normal((views, side))).astype(np.float32).cumsum(1) / side
    arrays = {"sinogram": s, "angles": np.arange(views) * 180 / views}
    np.savez(tmp_path / "scan.npz", **arrays)
    return tmp_path / "scan.npz"


def test_a_large_scan_is_counted_without_its_matrix(tmp_path, capsys, monkeypatch) -> None:
    path = scan(tmp_path, 90, 320)
    monkeypatch.setattr(ct, "WORTH", 0)
    monkeypatch.setattr(ct, "projection_matrix", lambda geometry: pytest.fail("matrix built"))
    began = time.process_time()
    assert call("reconstruct", "ct", path, "--dry-run", "--json") == 0
    assert time.process_time() - began < 5
    facts = json.loads(capsys.readouterr().out)
    assert facts["measured"] is False
    assert facts["seconds"] > 0
    assert facts["peak_memory_mb"] > 37 * 90 * 320**2 / 2**20  # with the matrix that a run builds
    assert "rough guess" in facts["note"]


def test_slow_first_steps_are_not_waited_for(tmp_path, capsys, monkeypatch) -> None:
    path = scan(tmp_path, 12, 24)
    parts = ["reconstruct", "ct", path, "--set", "net.widths=8,16", "--dry-run", "--json"]
    monkeypatch.setattr(estimate, "LIMIT", 600.0)  # a busy machine is slow
    assert call(*parts) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["measured"] is True
    monkeypatch.setattr(estimate, "LIMIT", 0.0)
    assert call(*parts) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["measured"] is False
    assert counted["steps"] == measured["steps"]
    assert counted["parameters"] == measured["parameters"]
    assert counted["seconds_per_step"] < 20 * measured["seconds_per_step"]
    assert not (tmp_path / "untrained-out").exists()


def test_the_time_of_the_classical_image_of_impedance_tomography_counts(monkeypatch) -> None:
    monkeypatch.setattr(estimate, "LIMIT", 0.0)
    eye = np.eye(8)
    pairs = eye - np.roll(eye, 1, axis=0)
    physics = EIT(disc_mesh(8, 1.0, 0.5, 0.3, edges=1), pairs, pairs[:, :7], (1, 8, 8))
    problem = Problem(physics.A(torch.ones(1, 1, 8, 8)), physics)
    assert classical_time.counted_seconds("baseline", problem) > 0
    monkeypatch.setattr(classical_time, "mixture_seconds", lambda problem: 1000.0)
    found, other = (
        estimate.estimate(plan("eit", method=name), problem, "cpu") for name in ("house", "dip")
    )
    assert found["seconds"] > 2000 > other["seconds"], "of the part that is fitted, and of all"
    assert "first image" in found["note"]


def test_the_second_stage_of_an_unknown_operator_is_counted(monkeypatch) -> None:
    """Steps and time are those of both stages; the second is told apart as well."""
    monkeypatch.setattr(estimate, "LIMIT", 0.0)
    physics = BlindBlur(5, (1, 24, 24))
    problem = Problem(torch.rand(1, 1, 24, 24), physics)
    found = estimate.estimate(plan("deblur", unknown=("kernel",)), problem, "cpu")
    first = estimate.estimate(
        plan("deblur", method="selfdeblur", unknown=("kernel",)), problem, "cpu"
    )
    known = problem.knowing(physics.unknowns())
    second = estimate.estimate(plan("deblur"), known, "cpu")
    assert found["steps"] == first["steps"] + second["steps"]
    assert found["seconds"] > found["second"]["seconds"] > 0
    assert (found["method"], found["second"]["method"]) == ("selfdeblur", "house")
    assert "two stages" in found["note"]


def test_a_classical_answer_has_a_time(tmp_path, capsys) -> None:
    path = scan(tmp_path, 12, 24)
    assert call("reconstruct", "ct", path, "--method", "fbp", "--dry-run", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert 0 <= facts["seconds"] < 60
    assert "measured on the answer itself" in facts["note"]


def test_products_of_a_trajectory_are_counted(monkeypatch) -> None:
    """A guided network on a trajectory takes its own steps, products and two classical images."""
    angles = np.arange(12) * np.pi / 12
    spokes = np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]
    physics = NonCartesianMRI(spokes * np.linspace(-0.5, 0.5, 33)[:, None], x_shape=(2, 16, 16))
    problem = Problem(torch.randn(physics.y_shape)[None], physics)
    monkeypatch.setattr(estimate, "LIMIT", 0.0)
    monkeypatch.setattr(classical_time, "LIMIT", 0.0)
    monkeypatch.setattr(classical_time, "product_seconds", lambda problem: 1.0)
    monkeypatch.setattr(estimate, "step_seconds", lambda problem: 0.0)
    found = estimate.estimate(plan("mri"), problem, "cpu")
    alone = found["seconds_per_step"] * found["steps"]
    assert found["seconds"] == pytest.approx(alone + 2 * 4200, rel=0.02)
    assert "operator and first image" in found["note"]
    tv = estimate.estimate(plan("mri", method="tv"), problem, "cpu")
    assert tv["seconds"] == 2500
