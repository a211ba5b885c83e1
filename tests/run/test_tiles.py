"""Pictures in overlapping tiles: weights, operators of a part, seams, resume, memory."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import camera
from torch import Tensor

import untrained as ut
from untrained.cli import main
from untrained.errors import UserError
from untrained.metrics import psnr
from untrained.physics import Blur, Denoise, Inpaint, SuperRes, random_mask
from untrained.run import tiles
from untrained.run.tiling import Tiling

SHAPE = (1, 96, 80)
KERNEL = np.outer([1, 2, 3, 2, 1], [1, 3, 2])
OPERATORS = {
    "denoise": Denoise(SHAPE),
    "inpaint": Inpaint(random_mask(SHAPE[1:], 0.5), SHAPE),
    "deblur": Blur(KERNEL, SHAPE),
    "superres": SuperRes(SHAPE, 4),
}


def picture() -> Tensor:
    """A part of the cameraman, `(1, *SHAPE)`."""
    pixels = camera()[60:252:2, 140:300:2].astype(np.float32) / 255
    return torch.from_numpy(pixels)[None, None]


def measured(task: str, sigma: float = 0.0) -> Tensor:
    y = OPERATORS[task].A(picture())
    y = y + sigma * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    mask = OPERATORS[task].mask
    return y if mask is None else y * mask


@pytest.mark.parametrize("seed", range(8))
def test_weights_add_up_to_one_and_vanish_at_a_tiles_own_edges(seed: int) -> None:
    """Whatever the sides, step and margin; every tile has the size asked for and fits the grid."""
    draw = random.Random(seed)
    step, margin = draw.choice([1, 2, 3, 8]), draw.choice([0, 1, 7])
    sides = (step * draw.randint(60, 200), step * draw.randint(60, 200))
    size = step * draw.randint(-(-Tiling.least(step, margin) // step), 60 + 20 * margin)
    tiling = Tiling(sides, size, step, margin)
    total = torch.zeros(1, 1, *sides)
    for box in tiling.boxes():
        shape = [part.stop - part.start for part in (box.rows, box.columns)]
        assert shape == [min(size, side) for side in sides]
        assert box.rows.start % step == box.columns.start % step == 0
        box.add(total, torch.ones(1, 1, *shape))
        if box.rows.start:
            assert not box.row_weights[:margin].any()
        if box.columns.stop < sides[1]:
            assert not box.column_weights[shape[1] - margin :].any()
    assert torch.allclose(total, torch.ones_like(total), atol=1e-6)
    assert len(tiling.boxes()) == tiling.count


@pytest.mark.parametrize("task", OPERATORS)
def test_a_part_measures_what_the_whole_does_inside_its_margin(task: str) -> None:
    """y of the part is A of the part of x, and A^H agrees, but near the edges."""
    physics, x = OPERATORS[task], picture()
    y = physics.A(x)
    rows, columns = slice(16, 64), slice(24, 80)
    found = physics.cropped(y, rows, columns)
    assert found is not None
    part, seen = found
    inner, step = physics.tile_margin, physics.tile_step
    own = part.A(x[..., rows, columns])
    edge = -(-inner // (step if task == "superres" else 1))
    middle = (..., slice(edge, own.shape[-2] - edge), slice(edge, own.shape[-1] - edge))
    assert own.shape == seen.shape
    assert torch.allclose(own[middle], seen[middle], atol=1e-6)
    whole = physics.A_adjoint(y)[..., rows, columns]
    edge = 2 * inner
    middle = (..., slice(edge, 48 - edge), slice(edge, 56 - edge))
    assert torch.allclose(part.A_adjoint(seen)[middle], whole[middle], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("each", [False, True])
def test_a_part_of_a_colour_picture_keeps_its_mask(channels: int, each: bool) -> None:
    """Cut one mask for all channels, and a mask for each."""
    mask = (torch.rand(channels, 9, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    physics = Inpaint(mask if each else mask[0], (channels, 9, 8))
    x = torch.rand(1, channels, 9, 8)
    found = physics.cropped(physics.A(x), slice(2, 7), slice(1, 8))
    assert found is not None
    assert torch.equal(found[0].A(x[..., 2:7, 1:8]), found[1])


@pytest.mark.parametrize(("task", "sigma"), [("inpaint", 0.0), ("denoise", 0.1)])
def test_seams_are_invisible(task: str, sigma: float) -> None:
    """tv in tiles: PSNR no 0.1 dB below the whole's, no larger steps where tiles meet."""
    x, y = picture(), measured(task, sigma)
    asked = {"method": "tv", "sigma": sigma or None, "truth": x, "progress": False}
    whole = ut.reconstruct(y, OPERATORS[task], **asked)
    tiled = ut.reconstruct(y, OPERATORS[task], tile=56, compare=False, **asked)
    assert tiled.about.tiles == {"size": 56, "overlap": 16, "count": 4}
    values = [one.about.metrics["psnr"] for one in (tiled, whole)]
    assert values[0] > values[1] - 0.1
    assert values[0] == pytest.approx(psnr(tiled.image, x, data_range=1.0))
    blended = slice(23, 57)  # columns where two tiles meet
    jumps = [(one.image - x).diff(dim=-1).abs()[..., blended].mean() for one in (tiled, whole)]
    assert jumps[0] < 1.1 * jumps[1]
    assert any("worked on in 4 tiles of 56 pixels" in note for note in tiled.notes)


def test_the_same_seed_gives_the_same_bits_and_the_network_sees_a_tile_only() -> None:
    """A network's image in tiles is that of its tiles alone, blended."""
    y, physics = measured("denoise", 0.1), OPERATORS["denoise"]
    asked = {
        "method": "dip",
        "settings": ["net.widths=4,4"],
        "steps": 3,
        "stop": "none",
        "progress": False,
        "compare": False,
    }
    tiled = ut.reconstruct(y, physics, tile=56, **asked)
    again = ut.reconstruct(y, physics, tile=56, **asked)
    assert torch.equal(tiled.image, again.image)
    corner = ut.reconstruct(y[..., :56, :56], Denoise((1, 56, 56)), **asked)
    assert torch.equal(corner.image[..., :40, :23], tiled.image[..., :40, :23])
    assert tiled.steps == 12
    assert {str(p).rpartition(" ")[0] for p in tiled.history["phase"]} >= {"tile 0", "tile 3"}


def test_a_run_in_tiles_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch) -> None:
    """Interrupted in the second tile; finished tiles are not fitted again; memory may differ."""
    noisy = tmp_path / "y.npy"
    np.save(noisy, measured("denoise", 0.1)[0, 0].numpy())
    job = ["reconstruct", "denoise", noisy, "--method", "dip", "--set", "net.widths=4,4"]
    job += ["--steps", "4", "--no-compare", "--sigma", "25"]
    quiet = [*job, "--quiet", "--tile", "56"]
    assert call(*quiet, "--out", tmp_path / "whole") == 0
    run, calls = tiles.run, []

    def interrupted(*given, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(*given, **named)

    monkeypatch.setattr(tiles, "run", interrupted)
    assert call(*quiet, "--out", tmp_path / "cut") == 130
    monkeypatch.setattr(tiles, "run", run)
    assert call(*quiet, "--out", tmp_path / "cut", "--resume") == 0
    pictures = [np.load(tmp_path / name / "reconstruction.npy") for name in ("whole", "cut")]
    assert np.array_equal(*pictures)
    facts = json.loads((tmp_path / "cut" / "result.json").read_text())
    assert facts["tiles"] == {"size": 56, "overlap": 16, "count": 4}
    assert "each of 4 tiles" in facts["stop"]["reason"]
    assert facts["resumed_from"]
    assert not (tmp_path / "cut" / ".untrained").exists()
    other = [*job, "--quiet", "--tile", "64", "--out", tmp_path / "cut"]
    assert call(*other, "--resume") == 2, "other tiles are other settings"


def test_tiles_are_chosen_where_memory_is_short(tmp_path: Path, monkeypatch, capsys) -> None:
    """The largest that fits, said in a note and by a dry run; where none fits it is refused."""
    noisy = tmp_path / "y.npy"
    np.save(noisy, np.random.default_rng(0).random((400, 300)).astype(np.float32))
    job = ["reconstruct", "denoise", noisy, "--method", "adjoint", "--sigma", "25"]
    job += ["--no-compare", "--out", tmp_path / "out"]
    need = 4 * tiles.CLASSICAL_IMAGES * 400 * 300
    monkeypatch.setattr(tiles, "available_memory", lambda *_: need + 1)
    assert call(*job) == 0
    assert "tiles" not in capsys.readouterr().err
    monkeypatch.setattr(tiles, "available_memory", lambda *_: need - 1)
    monkeypatch.setattr(tiles, "SHARE", 0.9)
    assert call(*job, "--dry-run") == 0
    assert "in 4 tiles of 256 pixels" in capsys.readouterr().out
    assert call(*job, "--overwrite") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "in 4 tiles of 256 pixels" in said
    assert "since the whole does not fit into memory" in said
    assert np.allclose(np.load(tmp_path / "out" / "reconstruction.npy"), np.load(noisy), atol=1e-6)
    monkeypatch.setattr(tiles, "available_memory", lambda *_: 10**6)
    assert call(*job, "--overwrite") == 2
    assert "nor does a tile of 256" in capsys.readouterr().err


def test_tiles_that_cannot_be_are_refused() -> None:
    """An operator without parts, an error bar, a size too small or off the factor's grid."""
    y, physics = measured("denoise", 0.1), OPERATORS["denoise"]
    ask = {"method": "dip", "progress": False}
    with pytest.raises(UserError, match="too small: the overlaps alone take 16; take 48 or more"):
        ut.reconstruct(y, physics, tile=20, **ask)
    with pytest.raises(UserError, match="an error bar is of the whole image"):
        ut.reconstruct(y, physics, tile=56, uncertainty="ensemble", **ask)
    with pytest.raises(UserError, match="no multiple of 4, the factor of the image: take 96"):
        ut.reconstruct(measured("superres"), OPERATORS["superres"], tile=97, **ask)
    wrapped = Blur(KERNEL, SHAPE, boundary="circular")
    with pytest.raises(UserError, match="this operator has no parts"):
        ut.reconstruct(wrapped.A(picture()), wrapped, tile=56, **ask)
    volume = torch.rand(1, 1, 16, 64, 64)
    with pytest.raises(UserError, match="this operator has no parts"):
        ut.reconstruct(volume, Denoise((1, 16, 64, 64)), tile=56, **ask)


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    assert "untrained.cli.job" in sys.modules
    return int(ended.value.code or 0)
