"""Every grid of the repository is one, in its full and in its small version."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from untrained.bench import read_grid
from untrained.bench.pretrain import PretrainEntry
from untrained.data import TASKS
from untrained.pretrain import Weights, find_trainable
from untrained.pretrain.train import training_recipe

GRIDS = sorted((Path(__file__).resolve().parents[2] / "benchmarks" / "grids").glob("*.toml"))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files named as benchmarks/cases.py names them, of a few pixels."""
    folder = tmp_path_factory.mktemp("cases")
    draw = np.random.default_rng(0)
    np.save(folder / "clean.npy", draw.random((16, 14), dtype=np.float32))
    np.save(folder / "image.npy", (draw.random((32, 32)) + 0j).astype(np.complex64))
    made = {
        "mri-t1-4x": ("mri", "image.npy", {"coils": 2}),
        "mri-t1-8x": ("mri", "image.npy", {"coils": 2}),
        "ct-tooth-18": ("ct", "clean.npy", {"angles": 6}),
        "ct-tooth-30": ("ct", "clean.npy", {"angles": 6}),
        "denoise-0003": ("denoise", "clean.npy", {}),
        "denoise-0010": ("denoise", "clean.npy", {}),
        "denoise-0019": ("denoise", "clean.npy", {}),
        "inpaint-0003": ("inpaint", "clean.npy", {"missing": 0.5}),
        "deblur-0003": ("deblur", "clean.npy", {}),
        "brains/mri-train-00": ("mri", "image.npy", {"coils": 2}),
        "brains/mri-test-03": ("mri", "image.npy", {"coils": 2}),
        "brains/mri8x-train-00": ("mri", "image.npy", {"coils": 2}),
        "brains/mri8x-test-03": ("mri", "image.npy", {"coils": 2}),
        "measured/mri-test-t1": ("mri", "image.npy", {"coils": 2}),
        "knees/mri-train-02": ("mri", "image.npy", {"coils": 2}),
        "knees/mri-test-00": ("mri", "image.npy", {"coils": 2}),
        "pictures/superres-test-pepper": ("superres", "clean.npy", {"factor": 2}),
        "faces/superres-train-00000": ("superres", "clean.npy", {"factor": 2}),
        "faces/superres-test-00003": ("superres", "clean.npy", {"factor": 2}),
        "mixed/superres-train-bridge": ("superres", "clean.npy", {"factor": 2}),
        **{
            f"faces-{noise}/superres-{name}": ("superres", "clean.npy", {"factor": 2})
            for noise in ("sigma-6", "noise-free")
            for name in ("train-00000", "test-00003")
        },
        "faces/nldeblur-train-00000": ("nldeblur", "clean.npy", {}),
        "faces/nldeblur-test-00003": ("nldeblur", "clean.npy", {}),
        "faces/denoise-00000": ("denoise", "clean.npy", {}),
        "faces/random-00000": ("inpaint", "clean.npy", {"missing": 0.9}),
        "faces/box-00000": ("inpaint", "clean.npy", {"box": (4, 4)}),
        "faces/nldeblur-00000": ("nldeblur", "clean.npy", {}),
        "aseqdip/mri-knee-00-4x": ("mri", "image.npy", {"coils": 2}),
        "aseqdip/mri-knee-00-8x": ("mri", "image.npy", {"coils": 2}),
        "aseqdip/ct-tooth-18": ("ct", "clean.npy", {"angles": 6}),
        "aseqdip/ct-tooth-30": ("ct", "clean.npy", {"angles": 6}),
        "aseqdip/denoise-0000-15": ("denoise", "clean.npy", {"sigma": 15}),
        "aseqdip/denoise-0000-30": ("denoise", "clean.npy", {"sigma": 30}),
        "aseqdip/inpaint-0000-0.1": ("inpaint", "clean.npy", {"box": (4, 4), "center": True}),
        "aseqdip/inpaint-0000-0.25": ("inpaint", "clean.npy", {"box": (7, 7), "center": True}),
        "aseqdip/nldeblur-0000": ("nldeblur", "clean.npy", {}),
    }
    made |= {
        "coverage/mri-0": ("mri", "image.npy", {"coils": 2}),
        "coverage/ct-0": ("ct", "clean.npy", {"angles": 16}),
        **{
            f"coverage/{task}-0": (task, "clean.npy", {})
            for task in ("denoise", "inpaint", "deblur")
        },
    }
    places = {Path(name).parent for name in made} | {Path("aseqdip/guides")}
    for place in places:
        (folder / "cases" / place).mkdir(parents=True, exist_ok=True)
    (folder / "cases" / "compressed").mkdir()
    shutil.copy(folder / "clean.npy", folder / "cases" / "compressed" / "clean-0.npy")
    np.save(folder / "cases" / "faces" / "clean-train-00000.npy", np.ones((16, 14), np.float32))
    shutil.copy(folder / "image.npy", folder / "cases" / "brains" / "clean-train-10.npy")
    for seed, (name, (task, clean, options)) in enumerate(made.items()):
        simulate = TASKS[task].simulate
        assert simulate is not None
        simulate(folder / clean, folder / "cases" / f"{name}.npz", seed=seed, **options)
    guides = folder / "cases" / "aseqdip" / "guides"
    shutil.copy(folder / "image.npy", guides / "knee-10.npy")
    for views in (18, 30):
        shutil.copy(folder / "clean.npy", guides / f"ct-tooth-{views}.npy")
    (folder / "cases" / "near").mkdir()
    for near in ("truth-0.05", "truth-0.2", "truth-0.8", "noise-0.05", "noise-0.8"):
        guide = draw.random((32, 32)).astype(np.complex64)
        np.save(folder / "cases" / "near" / f"mri-t1-4x-{near}.npy", guide)
    return folder


def test_there_are_grids() -> None:
    assert len(GRIDS) >= 5


def untaught(entry: PretrainEntry, data: Path) -> tuple[str, str]:
    """Weights that nobody learned: training with a paper's settings takes hours."""
    task = entry.inputs.task
    recipe = training_recipe(find_trainable(entry.method, task), task, entry.preset, entry.settings)
    weights = Weights(
        method=entry.method,
        task=task,
        preset=entry.preset,
        image=(1, 16, 14),
        recipe=recipe.to_dict(),
        inputs=(),
        seed=0,
        steps=0,
        seconds=0.0,
        misfit=(),
        tensors={"none": torch.zeros(1)},
    )
    data.mkdir(parents=True, exist_ok=True)
    path = weights.save(data / f"{entry.name}.safetensors", overwrite=True)
    return str(path), entry.name


@pytest.mark.parametrize("grid", GRIDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("small", [False, True])
def test_a_committed_grid_can_be_read(
    grid: Path, small: bool, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untrained.bench.grid.train_weights", untaught)
    copy = shutil.copy(grid, cases)
    found = read_grid(copy, small=small)
    assert found.name == grid.stem
    jobs = found.jobs(tmp_path)
    assert len({job.id for job in jobs}) == len(jobs) > 0
