from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from report_pages import both

from untrained.cli import main
from untrained.data.formats.tiff import encode_tiff
from untrained.data.images import read_picture
from untrained.data.tasks.denoise import load_denoise
from untrained.errors import UserError
from untrained.files import sha256
from untrained.report import save, save_result
from untrained.report.deep import png_of
from untrained.report.save import history_csv, summary

FILES = [
    "classical.npy",
    "classical.png",
    "history.csv",
    "reconstruction.npy",
    "reconstruction.png",
    "report.html",
    "result.json",
    "std.npy",
]
KEYS = [
    *("method", "preset", "task", "recipe", "seed", "seeds", "device", "precision", "threads"),
    *(
        "versions",
        "steps",
        "stop",
        "seconds",
        "cpu_seconds",
        "peak_memory_mb",
        "resumed_from",
        "weights",
        "prior",
    ),
    *(
        "axes",
        "metrics",
        "classical",
        "mixture",
        "uncertainty",
        "tiles",
        "estimated",
        "notes",
        "source",
        "data",
        "reference",
        "command",
    ),
    *("files", "signature"),
]
pytestmark = pytest.mark.usefixtures("undrawn")


def forbid(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_all_files_and_keys(compared, tmp_path):
    out = save_result(*both(compared), tmp_path / "new" / "out")
    assert names(out) == FILES
    text = (out / "result.json").read_text(encoding="utf-8")
    facts = json.loads(text, parse_constant=forbid)
    assert list(facts) == KEYS
    assert facts["stop"] == {
        "rule": "heldout",
        "step": 2,
        "reason": "the error was smallest at step 2",
    }
    assert facts["metrics"] == {"psnr": 30.0, "ssim": None}  # NaN is null
    assert facts["classical"] == {"method": "tv", "metrics": {"psnr": 27.5, "ssim": 0.8}}
    assert facts["recipe"] == json.loads(json.dumps(compared.recipe.to_dict()))
    assert facts["peak_memory_mb"] is None
    assert facts["axes"] == "CYX"


def test_saved_values(compared, photo, tmp_path):
    out = save_result(*both(compared), tmp_path)
    array = np.load(out / "reconstruction.npy")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, compared.image[0].numpy())
    np.testing.assert_array_equal(np.load(out / "classical.npy"), (0.8 * photo)[0].numpy())
    np.testing.assert_array_equal(np.load(out / "std.npy"), compared.std[0].numpy())
    pixels = np.asarray(Image.open(out / "reconstruction.png")) / 255
    np.testing.assert_allclose(pixels, np.moveaxis(array, 0, -1), atol=0.5 / 255 + 1e-6)


def test_without_classical_reference_or_recipe(make_result, tmp_path):
    result = replace(make_result(torch.rand(1, 1, 9, 14)), recipe=None)
    result = replace(result, history={"phase": [], "step": []})
    out = save_result(*both(result), tmp_path)
    facts = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert facts["metrics"] is None
    assert facts["classical"] is None
    assert facts["recipe"] is None
    assert facts["axes"] == "YX"
    assert np.load(out / "reconstruction.npy").shape == (9, 14)
    assert (out / "history.csv").read_bytes() == b"phase,step\n"
    assert not set(names(out)) & {"classical.npy", "std.npy"}


def test_result_json_lists_the_other_files(compared, tmp_path):
    save_result(*both(compared), tmp_path)
    facts = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert facts["files"] == {name: sha256(tmp_path / name) for name in FILES[:6] + FILES[7:]}


@pytest.mark.parametrize("culprit", ["render_page", "png", "summary"])
def test_an_error_while_overwriting_leaves_the_old_result_whole(
    compared, tmp_path, monkeypatch, culprit
):
    def killed(*_arguments):
        raise KeyboardInterrupt

    save_result(*both(compared), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(save, culprit, killed)
    with pytest.raises(KeyboardInterrupt):
        save_result(*both(compared), tmp_path, overwrite=True)
    now = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert now == before
    monkeypatch.undo()
    save_result(*both(replace(compared, seed=9)), tmp_path, overwrite=True)
    assert names(tmp_path) == FILES


def test_no_overwriting_unless_asked(compared, tmp_path):
    save_result(*both(compared), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = replace(compared, seed=9)
    with pytest.raises(UserError, match=r"finished result.*overwrite=True"):
        other.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    save_result(*both(other), tmp_path, overwrite=True)
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["seed"] == 9


def test_overwriting_removes_what_the_new_result_lacks(compared, make_result, tmp_path):
    save_result(*both(compared), tmp_path)
    save_result(*both(make_result(torch.rand(1, 1, 8, 8))), tmp_path, overwrite=True)
    assert not set(names(tmp_path)) & {"classical.npy", "classical.png", "std.npy"}


@pytest.mark.parametrize("by_argument", [True, False])
def test_an_interrupted_run_has_no_result_json(compared, tmp_path, by_argument):
    result = compared if by_argument else replace(compared, finished=False)
    save_result(*both(result), tmp_path, finished=not by_argument)
    assert names(tmp_path) == [".untrained", *(name for name in FILES if name != "result.json")]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Not finished" in page
    assert "--resume" in page
    save_result(*both(compared), tmp_path)  # an unfinished directory needs no flag
    assert names(tmp_path) == FILES


def test_history_bytes(compared):
    content = history_csv(compared.history)
    assert content == history_csv({k: list(v) for k, v in compared.history.items()})
    rows = list(csv.reader(content.decode().splitlines()))
    assert rows[0] == ["phase", "step", "data", "held-out error", "psnr", "psnr_output"]
    assert rows[1] == ["fit", "1", "0.3", "0.4", "10.0", "10.0"]
    assert float(rows[3][2]) == 1 / 30  # every bit is kept
    assert rows[4][3] == ""  # NaN
    assert b"\r" not in content


@pytest.mark.parametrize(
    ("shape", "task", "axes", "saved", "dtype", "named"),
    [
        ((1, 1, 5, 7), "ct", "YX", (5, 7), np.float32, "YX"),
        ((1, 2, 5, 7), "mri", "YX", (5, 7), np.complex64, "YX"),
        ((3, 2, 5, 7), "mri", "ZYX", (3, 5, 7), np.complex64, "ZYX"),
        ((1, 2, 5, 7), "mri", "ZYX", (1, 5, 7), np.complex64, "ZYX"),
        ((4, 1, 5, 7), "ct", "ZYX", (4, 5, 7), np.float32, "ZYX"),
        ((1, 2, 5, 7), "custom", "CYX", (2, 5, 7), np.float32, "CYX"),
        ((2, 3, 5, 7), "denoise", "CYX", (2, 3, 5, 7), np.float32, "ZCYX"),
        ((1, 1, 4, 5, 7), "custom", "ZYX", (4, 5, 7), np.float32, "ZYX"),
        ((1, 1, 16), "custom", "CYX", (16,), np.float32, "X"),
    ],
)
def test_layouts(make_result, tmp_path, shape, task, axes, saved, dtype, named):
    image = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    result = make_result(image, task=task, axes=axes, reference=image, classical=image)
    result = replace(result, std=image.abs())
    save_result(*both(result), tmp_path)
    array = np.load(tmp_path / "reconstruction.npy")
    assert array.shape == saved
    assert array.dtype == dtype
    assert summary(*both(result))["axes"] == named
    spread = np.load(tmp_path / "std.npy")
    assert spread.shape == saved
    assert spread.dtype == np.float32
    if dtype == np.complex64:
        np.testing.assert_array_equal(array.real, image[:, 0].numpy().reshape(saved))
        np.testing.assert_array_equal(array.imag, image[:, 1].numpy().reshape(saved))
        np.testing.assert_allclose(spread, np.abs(array), rtol=1e-5)


def test_directory_in_place_of_a_file(compared, tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(UserError, match="taken"):
        save_result(*both(compared), tmp_path / "taken")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_a_tiff_comes_back_in_its_own_depth(tmp_path, channels, kind):
    rng = np.random.default_rng(0)
    shape = (11, 12) if channels == 1 else (11, 12, 3)
    values = rng.random(shape)
    whole = kind != "float32"
    stored = (values * np.iinfo(kind).max).astype(kind) if whole else values.astype(kind)
    photometric = "minisblack" if channels == 1 else "rgb"
    tifffile.imwrite(tmp_path / "in.tif", stored, photometric=photometric)
    run = reconstruct(tmp_path / "in.tif", tmp_path / "out")
    assert {"reconstruction.tif", "classical.tif"} <= set(run["files"])
    back = tifffile.imread(tmp_path / "out" / "reconstruction.tif")
    assert back.dtype == stored.dtype
    assert np.array_equal(back, stored)  # the adjoint of denoising is the measurement
    assert load_denoise(tmp_path / "out" / "reconstruction.tif").y.shape[1] == channels


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_of_16_bits_comes_back_with_16_bits(tmp_path, channels):
    rng = np.random.default_rng(0)
    shape = (11, 12) if channels == 1 else (11, 12, 3)
    stored = rng.integers(0, 2**16, shape).astype(np.uint16)
    (tmp_path / "in.png").write_bytes(png_of(stored))
    if channels == 1:
        assert np.array_equal(np.asarray(Image.open(tmp_path / "in.png")), stored)
    assert np.array_equal(
        read_picture(tmp_path / "in.png").pixels, np.float32(channels_first(stored) / 65535)
    )
    reconstruct(tmp_path / "in.png", tmp_path / "out")
    back = tmp_path / "out" / "reconstruction.png"
    assert back.read_bytes() == png_of(stored)
    assert not (tmp_path / "out" / "reconstruction.tif").exists()


def test_slices_are_pages_and_a_picture_of_8_bits_has_no_tiff(tmp_path):
    pages = np.random.default_rng(0).random((2, 9, 12)).astype(np.float32)
    assert np.array_equal(
        tifffile.imread(io.BytesIO(encode_tiff(pages, "ZYX", "float32")[".tif"])), pages
    )
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "in.png")
    files = reconstruct(tmp_path / "in.png", tmp_path / "o")["files"]
    assert not any(name.endswith(".tif") for name in files)
    with Image.open(tmp_path / "o" / "reconstruction.png") as picture:
        assert picture.mode == "L"


def channels_first(pixels):
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def reconstruct(path, out):
    """The adjoint by the command line; returns what `result.json` says."""
    arguments = ["reconstruct", "denoise", str(path), "--method", "adjoint", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--quiet"])
    assert not ended.value.code
    return json.loads((out / "result.json").read_text())
