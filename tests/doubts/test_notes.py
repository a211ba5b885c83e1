"""Every note reaches the terminal, result.json, `result.notes` and one warning."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import untrained as ut
from untrained.cli import main
from untrained.data import TASKS
from untrained.physics import CT, Blur, Denoise
from untrained.physics.ct import FanBeam
from untrained.pretrain import train

VIEWS = np.arange(20) * 9.0
BARS = np.zeros((24, 24), np.float32)
BARS[6:18, 4:20] = 0.7


def sinogram(**keys: Any) -> np.ndarray:
    physics = CT((24, 24), VIEWS, 34, **keys)
    return physics.A(torch.from_numpy(BARS)[None, None])[0, 0].numpy().T


def ct(**changes: Any) -> dict[str, Any]:
    scan = {"sinogram": sinogram(), "angles": VIEWS, "image_shape": np.array([24, 24])}
    return {**scan, **changes}


def dead() -> np.ndarray:
    data = sinogram()
    data[:, 15] = 0
    return data


NOISY = BARS + 0.1 * np.random.default_rng(0).standard_normal(BARS.shape).astype(np.float32)
CASES: dict[str, tuple[str, dict[str, Any], list[str], str]] = {
    "what was read": ("ct", ct(), [], "read: angles from 0 to 171 degrees in 20 views, 34 bins"),
    "radians": ("ct", ct(angles=np.radians(VIEWS)), [], "are the angles in radians"),
    "sign": ("ct", ct(sinogram=-sinogram() - 1), [], "sign of the logarithm"),
    "axes": ("ct", ct(sinogram=sinogram() + 100), [], "axes swapped"),
    "centre": (
        "ct", ct(sinogram=sinogram(detector_offset=3.0)), [], "rotation centre seems to be off"
    ),
    "misfit": (
        "ct", ct(sinogram=sinogram(detector_offset=3.0)), [], "do not fit the geometry"
    ),
    "lengths": ("ct", ct(pixel_size=1.0, detector_pitch=0.05), [], "what the detector sees"),
    "dead bins": ("ct", ct(sinogram=dead()), [], "detector bin 15 is dead"),
    "sigma": ("denoise", {"measurement": NOISY, "sigma": 0.2}, [], "looks like"),
    "dim": ("denoise", {"measurement": NOISY / 100}, [], "the picture is dim"),
    "bright": ("denoise", {"measurement": 3 * BARS}, [], "the picture is bright"),
    "reference": (
        "denoise", {"measurement": NOISY, "reference": 255 * BARS}, [], "times as bright as the"
    ),
    "kernel": (
        "deblur",
        {"measurement": NOISY, "kernel": np.roll(np.eye(11) * np.eye(11)[5], 4, 1)},
        [],
        "the picture comes back moved",
    ),
}  # fmt: skip


def load(task: str, arrays: dict[str, Any], folder: Path) -> Any:
    np.savez(folder / "input.npz", **arrays)
    return TASKS[task].load(folder / "input.npz")[0]


@pytest.mark.parametrize("name", CASES)
def test_the_command_line_says_it(name: str, tmp_path: Path, capsys: Any) -> None:
    task, arrays, options, words = CASES[name]
    np.savez(tmp_path / "input.npz", **arrays)
    given = ["--method", "tv", *options, "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", task, str(tmp_path / "input.npz"), *given])
    assert not ended.value.code
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert sum(words in note for note in facts["notes"]) == 1, facts["notes"]
    said = capsys.readouterr()
    assert " ".join((said.out + said.err).split()).count(words) == 1


@pytest.mark.parametrize("name", CASES)
def test_python_says_the_same(name: str, tmp_path: Path) -> None:
    task, arrays, _, words = CASES[name]
    m = load(task, {key: arrays[key] for key in arrays}, tmp_path)
    y, physics = raw(task, arrays, m)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = ut.reconstruct(
            y, physics, method="tv", sigma=m.sigma, truth=m.reference, progress=False
        )
    said = [str(w.message) for w in caught if w.category is ut.Note]
    assert said == list(result.notes)
    assert len(set(said)) == len(said)
    assert sum(words in note for note in said) == 1, said
    assert all(w.filename == __file__ for w in caught if w.category is ut.Note)


def raw(task: str, arrays: dict[str, Any], m: Any) -> tuple[torch.Tensor, Any]:
    """Measurements and operator as a user of Python has them, nothing left out."""
    if task != "ct":
        return m.y, m.physics
    data = np.ascontiguousarray(np.asarray(arrays["sinogram"]).T)
    lengths = {k: arrays[k] for k in ("pixel_size", "detector_pitch") if k in arrays}
    return torch.from_numpy(data)[None, None], CT((24, 24), arrays["angles"], 34, **lengths)


def test_notes_can_be_silenced_and_are_no_errors_of_others() -> None:
    y = torch.from_numpy(NOISY)[None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ut.Note)
        result = ut.reconstruct(y, Denoise(y.shape[1:]), method="tv", progress=False)
    assert result.notes[0].startswith("read: an image of 24 x 24, 1 channel")
    assert issubclass(ut.Note, UserWarning)


@pytest.fixture
def learned() -> Callable[[Any], ut.Weights]:
    def learn(physics: Any) -> ut.Weights:
        scan = ut.Problem(physics.A(torch.from_numpy(BARS)[None, None]), physics)
        small = ["net.widths=4,6", "net.skip=2"]
        return train("edip", [scan], task="ct", settings=small, steps=2, device="cpu")[0]

    return learn


def test_weights_of_another_scan_are_said(learned: Any, tmp_path: Path) -> None:
    parallel = CT((24, 24), VIEWS, 34)
    fan = CT((24, 24), np.arange(12) * 30.0, 34, fan=FanBeam(80.0, 120.0), detector_pitch=1.5)
    weights = learned(parallel)
    weights.save(tmp_path / "w.safetensors")
    for source in (weights, tmp_path / "w.safetensors"):
        notes = []
        for physics in (parallel, fan):
            y = physics.A(torch.from_numpy(BARS)[None, None])
            found = ut.reconstruct(y, physics, weights=source, steps=2, progress=False)
            notes.append([note for note in found.notes if "another scan" in note])
        assert not notes[0]
        assert "parallel beam" in notes[1][0]
        assert "this is angles from 0 to 330 degrees in 12 views" in notes[1][0]


def test_the_kernel_of_a_blur_in_python_is_asked_about() -> None:
    kernel = torch.zeros(11, 11)
    kernel[5, 10] = 1
    y = torch.from_numpy(NOISY)[None, None]
    with pytest.warns(ut.Note, match="moved"):
        ut.reconstruct(y, Blur(kernel, (1, 24, 24)), method="adjoint", progress=False)
