"""Zarr stores, written by the package zarr and read here, and the other way round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import call
from raw_scans import coil_images

from untrained.data.formats import companion_of, open_arrays
from untrained.data.tasks.mri_series import load_mri
from untrained.errors import UserError
from untrained.maths import fft2c, to_complex

zarr = pytest.importorskip("zarr")
VERSIONS = (2, 3) if int(zarr.__version__.partition(".")[0]) >= 3 else (2,)


def kspace(slices: int = 3) -> np.ndarray:
    one = fft2c(torch.from_numpy(coil_images())).numpy()
    return np.stack([one * (n + 1) for n in range(slices)])


def store(path: Path, version: int = VERSIONS[-1]) -> Path:
    """Write k-space by slices, and an array inside a group."""
    options = {"zarr_format": version} if len(VERSIONS) > 1 else {}
    root = zarr.open_group(str(path), mode="w", **options)
    for name, array in (("kspace", kspace()), ("scan/angles", np.arange(5.0))):
        chunks = (1, *array.shape[1:])
        made = root.create_array if hasattr(root, "create_array") else root.create_dataset
        made(name, shape=array.shape, chunks=chunks, dtype=array.dtype)[...] = array
    return path


def zipped(path: str | Path) -> Any:
    return zarr.open_array(zarr.storage.ZipStore(str(path), mode="r"), mode="r")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["scan.zarr", "scan.zarr.zip"])
def test_named_arrays_are_read_slice_by_slice(tmp_path: Path, version: int, name: str) -> None:
    folder = store(tmp_path / "scan.zarr", version)
    if name.endswith("zip"):
        import shutil

        shutil.make_archive(str(folder), "zip", folder)
    path = tmp_path / name
    with open_arrays(path) as file:
        assert file.keys == ("kspace",)
        assert file.nested() == ("scan/angles",)
        assert file.shape("kspace") == kspace().shape
        np.testing.assert_array_equal(file.read("kspace", 1), kspace()[1])
        file.offer("scan/angles")
        np.testing.assert_array_equal(file.read("scan/angles"), np.arange(5.0))
    (found,) = load_mri(path, slice=2)
    np.testing.assert_array_equal(to_complex(found.y)[0].numpy(), kspace()[2])


def test_only_the_chunks_of_a_slice_are_decoded(tmp_path: Path) -> None:
    path = store(tmp_path / "scan.zarr")
    for chunk in (path / "kspace" / "c" / "0").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    with open_arrays(path) as file:
        np.testing.assert_array_equal(file.read("kspace", 1), kspace()[1])
        with pytest.raises(UserError, match="'kspace' in .* cannot be read"):
            file.read("kspace", 0)


def test_an_array_without_a_group_and_the_result_in_the_same_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = np.linspace(0, 1, 24 * 24, dtype=np.float32).reshape(24, 24)
    zarr.save_array("noisy.zarr", picture)
    asked = ("--sigma", 5, "--key", "array", "--method", "adjoint", "--no-compare", "--out", "out")
    assert call("reconstruct", "denoise", "noisy.zarr", *asked) == 0
    read = zipped("out/reconstruction.zarr.zip")
    np.testing.assert_array_equal(read[...], np.load("out/reconstruction.npy"))
    assert read.attrs["_ARRAY_DIMENSIONS"] == ["y", "x"]
    with open_arrays("out/reconstruction.zarr.zip") as file:
        np.testing.assert_array_equal(file.read("array"), read[...])


def test_complex_images_are_written(tmp_path: Path) -> None:
    companion = companion_of(store(tmp_path / "scan.zarr"))
    assert companion is not None
    ((suffix, content),) = companion.encode(kspace()[:, 0], "ZYX").items()
    (tmp_path / f"a{suffix}").write_bytes(content)
    np.testing.assert_array_equal(zipped(tmp_path / f"a{suffix}")[...], kspace()[:, 0])


def changed(path: Path, **values: object) -> None:
    """Change the metadata of k-space."""
    place = path / "kspace" / "zarr.json"
    about = json.loads(place.read_text())
    place.write_text(json.dumps(about | values))


@pytest.mark.skipif(len(VERSIONS) < 2, reason="version 3 of Zarr")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shape": [10**6, 10**6, 4, 32]}, "takes .* in memory|no measurement does"),
        ({"shape": [-3, 4, 32, 32]}, "metadata is not read"),
        ({"chunk_grid": {"configuration": {"chunk_shape": [1, 4]}}}, "shape and chunks"),
        ({"data_type": "string"}, "none of numbers"),
        ({"codecs": [{"name": "numcodecs.pickle"}]}, "'numcodecs.pickle', which is not read"),
        (
            {
                "codecs": [
                    {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "x"}]}}
                ]
            },
            "'x', which is not read",
        ),
    ],
)
def test_metadata_that_promise_what_is_not_there_are_refused(
    tmp_path: Path, values: dict[str, object], message: str
) -> None:
    path = store(tmp_path / "scan.zarr")
    changed(path, **values)
    with pytest.raises(UserError, match=message):
        load_mri(path)


def test_pickled_objects_of_version_2_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.zarr"
    (path / "kspace").mkdir(parents=True)
    about = {"zarr_format": 2, "shape": [1], "chunks": [1], "order": "C", "fill_value": 0}
    for more in (
        {"dtype": "|O", "compressor": None, "filters": [{"id": "pickle"}]},
        {"dtype": "<c8", "compressor": {"id": "pickle"}, "filters": None},
    ):
        (path / "kspace" / ".zarray").write_text(json.dumps(about | more))
        (path / "kspace" / "0").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        with pytest.raises(UserError, match="none of numbers|pickled objects never are"):
            load_mri(path)


def test_links_out_of_the_store_are_refused(tmp_path: Path) -> None:
    path = store(tmp_path / "scan.zarr")
    (path / "other").symlink_to(store(tmp_path / "secret.zarr") / "kspace")
    with pytest.raises(UserError, match="holds other, a link"):
        load_mri(path)


def test_a_file_by_the_name_of_a_directory_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "scan.zarr").write_bytes(b"text")
    with pytest.raises(UserError, match="a directory is expected"):
        load_mri(tmp_path / "scan.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(UserError, match="holds no array of Zarr"):
        load_mri(tmp_path / "empty.zarr")
