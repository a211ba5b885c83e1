"""`explore` tells the task, names what is wrong first, and nothing where nothing is."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scanner_files import dxchange

from untrained.cli.commands import status as main
from untrained.data.phantoms import birdcage_maps, brain, shepp_logan
from untrained.errors import UserError
from untrained.explore import explore, write_pictures
from untrained.maths import fft2c
from untrained.physics.nufft import nufft


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explore") / "clean.png"
    Image.fromarray((255 * np.squeeze(shepp_logan(64))).astype(np.uint8)).save(path)
    return path


SIMULATED = {
    "denoise": (),
    "inpaint": (),
    "superres": ("--factor", "2"),
    "deblur": (),
    "cs": (),
    "phase": (),
    "ct": ("--angles", "40"),
}


@pytest.mark.parametrize("task", SIMULATED)
def test_a_simulated_file_is_read_as_its_task_and_nothing_is_suspicious(
    task: str, clean: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.npz"
    assert main(["simulate", task, str(clean), "--out", str(out), *SIMULATED[task]]) == 0
    found = explore(out)
    assert (found.task, found.suspicious) == (task, ())
    assert shlex.split(found.command)[:4] == ["untrained", "reconstruct", task, str(out)]


def kspace(coils: int = 8) -> np.ndarray:
    images = torch.from_numpy(birdcage_maps(coils, (64, 64)) * brain(64))
    values: np.ndarray = fft2c(images).numpy()
    return values


def test_kspace_of_any_name_is_read_as_mri(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez(path, raw=kspace(), note=np.asarray("a scan"))
    found = explore(path)
    assert (found.task, found.suspicious) == ("mri", ())
    assert "--key raw" in found.command


def test_raw_counts_are_a_tomographs(tmp_path: Path) -> None:
    found = explore(dxchange(tmp_path))
    assert (found.task, found.suspicious) == ("ct", ())
    assert any("rotation centre was found" in fact for fact in found.facts)


def test_coils_that_come_last_are_named_first(tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    np.savez(path, kspace=np.moveaxis(kspace(), 0, -1))
    found = explore(path)
    assert "coils" in found.suspicious[0]
    assert "moveaxis" in found.suspicious[0]
    assert found.command == ""


def test_a_rotation_centre_that_is_off_is_named_first(clean: Path, tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    main(["simulate", "ct", str(clean), "--out", str(path), "--angles", "40"])
    arrays = dict(np.load(path))
    arrays["sinogram"] = np.roll(arrays["sinogram"], 4, axis=1)
    np.savez(tmp_path / "moved.npz", **arrays)
    assert "rotation centre" in explore(tmp_path / "moved.npz").suspicious[0]


def test_angles_that_run_the_other_way_are_suspicious(clean: Path, tmp_path: Path) -> None:
    path = tmp_path / "scan.npz"
    main(["simulate", "ct", str(clean), "--out", str(path), "--angles", "40", "--noise", "0.001"])
    arrays = dict(np.load(path))
    # a slice without symmetry: turned the other way it fits no image
    arrays["angles"] = -arrays["angles"] + 20.0 * np.sin(np.radians(3 * arrays["angles"]))
    np.savez(tmp_path / "turned.npz", **arrays)
    assert "geometry" in explore(tmp_path / "turned.npz").suspicious[0]


def test_the_command_line_shows_everything_and_replaces_nothing(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = clean.read_bytes()
    assert main(["explore", str(clean)]) == 0
    said = capsys.readouterr().out
    assert "Nothing looks suspicious" in said
    assert "Next: untrained reconstruct denoise" in said
    with Image.open("untrained-out/explore-clean.png") as picture:
        assert picture.size[0] > 300
    assert main(["explore", str(clean)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["explore", str(clean), "--json", "--overwrite"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["arrays"][0]["shape"] == [1, 64, 64]
    assert facts["suspicious"] == []
    assert clean.read_bytes() == before


def test_its_own_input_is_never_the_picture(clean: Path, tmp_path: Path) -> None:
    before = clean.read_bytes()
    assert main(["explore", str(clean), "--out", str(clean), "--overwrite"]) == 2
    assert clean.read_bytes() == before


def test_a_file_that_says_nothing_asks_for_a_task(tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    np.savez(path, table=np.arange(7))
    assert explore(path).task == ""
    assert main(["explore", str(path)]) == 2
    with pytest.raises(UserError, match="there is no task 'ctt'; known: denoise"):
        explore(path, "ctt")


def test_a_trajectory_is_described_drawn_and_its_scale_doubted(tmp_path: Path) -> None:
    angles = np.arange(24) * np.pi / 24
    spokes = np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]
    spokes = spokes * np.linspace(-0.5, 0.5, 65)[:, None]
    x = torch.from_numpy(brain(32))[None]
    samples = nufft(x, torch.from_numpy(spokes).flatten(0, 1)).reshape(1, 24, 65).numpy()
    path = tmp_path / "scan.npz"
    np.savez(path, kspace=samples, traj=spokes, image_shape=[32, 32])
    found = explore(path)
    assert found.suspicious == ()
    assert any("radial, 24 shots of 65 samples, out to 0.5 cycles" in fact for fact in found.facts)
    assert found.command == f"untrained reconstruct mri {path}"
    assert write_pictures(found, tmp_path / "drawn.png")
    np.savez(path, kspace=samples, traj=2 * spokes, image_shape=[32, 32])
    assert "-1 to 1, divided by 2" in explore(path).suspicious[0]


def test_a_fold_over_asks_for_two_sets_of_maps(tmp_path: Path) -> None:
    """An object wider than the field of view, as coils see it: its sides share pixels."""
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    head = (np.hypot(x / 0.95, y / 0.9) < 1) * (0.6 + 0.3 * np.cos(7 * x) * np.sin(5 * y))
    turns = 2 * np.pi * np.arange(6) / 6
    far = [np.square(x - 1.2 * np.cos(a)) + np.square(y - 1.2 * np.sin(a)) for a in turns]
    phases = [a + x * np.cos(a) + 0.6 * x for a in turns]
    coils = [head * np.exp(1j * p - f / 2) for p, f in zip(phases, far, strict=True)]
    whole = np.stack(coils).astype(np.complex64)
    inside = whole[..., 7:41].copy()
    inside[..., 27:] += whole[..., :7]
    inside[..., :7] += whole[..., 41:]
    path = tmp_path / "scan.npz"
    np.savez(path, kspace=fft2c(torch.from_numpy(inside)).numpy())
    found = explore(path)
    assert "the field of view is smaller than the object" in found.suspicious[0]
    assert found.command.endswith("--map-sets 2")
    np.savez(path, kspace=fft2c(torch.from_numpy(whole)).numpy())
    assert explore(path).suspicious == ()
