"""Files from strangers: damaged, of odd types, small on the disk and large in memory."""

import os
import random
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import untrained as ut
from untrained.bench.grid import read_grid
from untrained.checks import check_contents, wild
from untrained.data import TASKS
from untrained.data.formats import open_arrays
from untrained.data.formats.npy import read_npy
from untrained.errors import UserError
from untrained.files import write_tensors
from untrained.physics import Denoise
from untrained.pretrain import load_weights

RNG = np.random.default_rng(3)
PICTURE = np.clip(0.3 + 0.1 * RNG.standard_normal((16, 16)), 0, 1).astype(np.float32)
KSPACE = (RNG.normal(size=(2, 3, 16, 16)) + 1j * RNG.normal(size=(2, 3, 16, 16))).astype("c8")
KSPACE[..., 8, 8] += 50  # the zero frequency is in the middle


def refusal(task: str, path: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        TASKS[task].load(path, **options)
    said = str(error.value)
    assert path.name in said or any(Path(v).name in said for v in options.values())
    assert said.isprintable()
    return said


# damage --------------------------------------------------------------------------------------


def test_every_damage_of_an_hdf5_file_is_told_with_its_name(tmp_path):
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = KSPACE[0]
        file["maps"] = KSPACE[0] / 10
        file.create_group("more")["sinogram"] = PICTURE
    whole, draw, noticed = path.read_bytes(), random.Random(0), 0
    for _ in range(250):
        broken = bytearray(whole)
        broken[draw.randrange(3000)] ^= 1 << draw.randrange(8)  # where its tables stand
        path.write_bytes(broken)
        try:
            TASKS["mri"].load(path)
        except UserError as error:
            assert "scan.h5" in str(error)
            noticed += 1
    assert noticed > 20


def test_numpys_advice_to_trust_the_file_is_not_passed_on(tmp_path):
    path = tmp_path / "a.npy"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4)}".ljust(19_999) + b"\n"
    path.write_bytes(b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + bytes(64))
    said = refusal("denoise", path)
    assert "damaged: Header info length (20000) is large" in said
    assert "allow_pickle" not in said
    assert "fully trust" not in said


def test_names_of_keys_reach_no_terminal_unescaped(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{f"\x1b[31mred{n}": PICTURE for n in range(40)})
    said = refusal("denoise", path)
    assert "\\x1b[31mred0" in said
    assert "and 28 more" in said


def test_a_picture_without_pages_is_damaged(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\x00\x00\x00\x00\x00" + bytes(100))
    assert "damaged" in refusal("denoise", path)


# types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [">f4", ">f8", ">i2", "g", ">u2", "f2"])
def test_byte_orders_and_long_doubles_are_read(tmp_path, kind):
    stored = (PICTURE * 1000).astype(kind) if kind[1:] in ("i2", "u2") else PICTURE.astype(kind)
    np.save(tmp_path / "a.npy", stored)
    np.savez(tmp_path / "a.npz", measurement=stored, mask=stored > 0)
    found = read_npy(tmp_path / "a.npy")
    assert found.dtype.isnative
    assert np.array_equal(found.astype(np.float64), stored.astype(np.float64))
    for name in ("a.npy", "a.npz"):
        y = TASKS["denoise"].load(tmp_path / name)[0].y
        assert y.dtype == torch.float32
        assert bool(y.isfinite().all())


@pytest.mark.parametrize("kind", [">c8", ">c16", "G"])
def test_kspace_of_any_byte_order_is_the_same(tmp_path, kind):
    np.savez(tmp_path / "plain.npz", kspace=KSPACE[0])
    np.savez(tmp_path / "odd.npz", kspace=KSPACE[0].astype(kind))
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["kspace"] = KSPACE[:1].astype(">c16" if kind == "G" else kind)
    plain = TASKS["mri"].load(tmp_path / "plain.npz")[0].y
    assert torch.equal(plain, TASKS["mri"].load(tmp_path / "odd.npz")[0].y)
    assert torch.equal(plain, TASKS["mri"].load(tmp_path / "odd.h5")[0].y)


def test_a_complex_mask_is_none(tmp_path):
    np.savez(tmp_path / "a.npz", measurement=PICTURE, mask=np.ones((16, 16), np.complex64))
    assert "is complex" in refusal("inpaint", tmp_path / "a.npz")
    with pytest.raises(UserError, match="is complex"):
        ut.physics.Inpaint(torch.ones(4, 4, dtype=torch.complex64))


def test_weights_of_eight_bit_floats_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    tensors = {"a": torch.zeros(4).to(torch.float8_e4m3fn)}
    save_file(tensors, path, {"untrained": "{}"})
    with pytest.raises(UserError, match=r"w\.safetensors is damaged: 'a' holds torch\.float8"):
        load_weights(path)


# sizes ---------------------------------------------------------------------------------------


def test_the_floats_to_be_made_are_counted(tmp_path):
    """80 megapixels of one bit a pixel take 0.3 GB as floats, and many times that in a run."""
    path = tmp_path / "a.png"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("L", (9000, 8800)).save(path)
    assert path.stat().st_size < 100_000
    assert "zip bomb" in refusal("denoise", path)
    np.savez_compressed(tmp_path / "a.npz", measurement=np.zeros((6000, 6000), bool))
    assert "zip bomb" in refusal("denoise", tmp_path / "a.npz")


def test_hdf5_that_was_never_written_or_has_one_huge_chunk(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("measurement", shape=(4000, 4000), dtype="f4")
    assert "never written" in refusal("denoise", path)
    with h5py.File(path, "w") as file:
        shape = (40, 2, 512, 512)
        data = file.create_dataset("kspace", shape, "c8", chunks=shape, compression="gzip")
        data[0] = 1
    assert "a chunk of 'kspace'" in refusal("mri", path, slice="0")


@pytest.mark.parametrize("factor", [1e30, 65, 10**12, -2, 1e-40, 2.5])
def test_factors_out_of_reach(tmp_path, factor):
    np.savez(tmp_path / "a.npz", measurement=PICTURE, factor=factor)
    assert "from 2 to 64" in refusal("superres", tmp_path / "a.npz")


def test_weights_of_a_thousand_million_layers(tmp_path):
    with pytest.raises(UserError, match="layers must be at most"):
        ut.NETS["siren"](layers=10**9)
    with pytest.raises(UserError, match="at most"):
        ut.NETS["unet"](widths=(10**6, 2))
    with pytest.raises(UserError, match="at most 16"):
        ut.NETS["unet"](widths=(8,) * 40)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_pipes_and_devices_are_no_inputs(tmp_path):
    """Opened, they would wait for ever, or never end."""
    pipe = tmp_path / "a.npy"
    os.mkfifo(pipe)
    assert "a pipe or a device" in refusal("denoise", pipe)
    assert "a pipe or a device" in refusal("ct", _scan(tmp_path), geometry=pipe)
    for read in (load_weights, read_grid):
        with pytest.raises(UserError, match="a pipe or a device"):
            read(pipe)


@pytest.mark.parametrize("text", ["a = " + "[" * 10**5, "a = 1\n" * 300_000, "\xff"])
def test_deep_huge_and_foreign_grids(tmp_path, text):
    path = tmp_path / "grid.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"grid\.toml"):
        read_grid(path)


# values --------------------------------------------------------------------------------------


def _scan(folder: Path, **more) -> Path:
    angles = np.arange(10) * 18.0
    sinogram = np.ones((10, 16), np.float32)
    sinogram[:, [0, -1]] = 0
    np.savez(folder / "scan.npz", **{"sinogram": sinogram, "angles": angles} | more)
    return folder / "scan.npz"


@pytest.mark.parametrize("value", [-3.4e38, 1e5, 65535.0, -50.0])
@pytest.mark.parametrize("task", ["denoise", "superres", "deblur"])
def test_hot_pixels_and_nodata_are_found(tmp_path, task, value):
    picture = PICTURE.copy()
    picture[3, 4] = value
    options = {"superres": {"factor": 2}, "deblur": {"kernel": tmp_path / "k.npy"}}.get(task, {})
    np.save(tmp_path / "k.npy", np.ones((3, 3)) / 9)
    np.save(tmp_path / "a.npy", picture)
    said = refusal(task, tmp_path / "a.npy", **options)
    assert f"1 value far outside [0, 1] ({np.float32(value):.3g} first, at index (0, 3, 4))" in said
    assert "reconstruct inpaint" in said


@pytest.mark.parametrize("form", ["npy", "npz", "mask"])
def test_inpaint_takes_them_for_missing(tmp_path, form):
    """What the message for the other tasks offers works when it is followed."""
    picture = PICTURE.copy() + 0.01
    picture[3, 4], picture[7, 8] = -3.4e38, np.nan
    options = {}
    np.save(tmp_path / "a.npy", picture)
    np.savez(tmp_path / "a.npz", measurement=picture, mask=np.ones((16, 16)))
    if form == "mask":
        np.save(tmp_path / "mask.npy", np.arange(256).reshape(16, 16) != 0)
        options["mask"] = tmp_path / "mask.npy"
    path = tmp_path / ("a.npz" if form == "npz" else "a.npy")
    (found,) = TASKS["inpaint"].load(path, **options)
    missing = (found.physics.mask[0, 0] == 0).nonzero().tolist()
    assert missing == [[0, 0]] * (form == "mask") + [[3, 4], [7, 8]]
    assert not found.y[0, 0, 3, 4]
    assert any("2 pixels that are NaN, infinite or far outside" in note for note in found.notes)


def test_strong_noise_is_not_taken_for_hot_pixels():
    for sigma in (0.1, 0.5, 1.0, 1.5):
        noisy = 0.5 + sigma * RNG.standard_normal(200_000)
        assert not wild(noisy).any()
    photons = RNG.poisson(0.3, 200_000) / 0.3
    assert not wild(photons).any()


def test_python_hears_of_them_too():
    y = torch.from_numpy(PICTURE.copy())[None, None]
    y[0, 0, 2, 2] = 1e6
    with pytest.raises(UserError, match=r"at index \(0, 0, 2, 2\)"):
        ut.reconstruct(y, Denoise((1, 16, 16)), "dct", progress=False)


@pytest.mark.parametrize("value", [-3.4e38, 1e30])
def test_a_measurement_that_dwarfs_all_others(tmp_path, value):
    sinogram = np.ones((10, 16), np.float32)
    sinogram[2, 3] = value
    said = refusal("ct", _scan(tmp_path, sinogram=sinogram))
    assert "times as large as the rest" in said
    assert "index (0, 0, 3, 2)" in said


def test_the_range_of_real_kspace_is_no_fault():
    y = torch.logspace(0, 7, 10_000)
    check_contents(y[None])  # seven decades, as single precision has digits
    y[17] = 1e17
    with pytest.raises(UserError, match="1 measurement is over"):
        check_contents(y[None])


def test_nothing_measured_on_any_task(tmp_path):
    zero = np.zeros((16, 16), np.float32)
    made = {
        "denoise": {"measurement": zero},
        "inpaint": {"measurement": zero, "mask": np.eye(16)},
        "superres": {"measurement": zero, "factor": 2},
        "deblur": {"measurement": zero, "kernel": np.ones((3, 3)) / 9},
        "nldeblur": {"measurement": zero, "kernel": np.ones((3, 3)) / 9},
        "cs": {"measurement": zero[0], "image_shape": [8, 8], "matrix_seed": 1},
        "phase": {"measurement": zero, "image_shape": [8, 8]},
        "mri": {"kspace": zero.astype(np.complex64)},
        "ct": {"sinogram": zero, "angles": np.arange(16.0)},
    }
    for task, arrays in made.items():
        np.savez(tmp_path / f"{task}.npz", **arrays)
        said = refusal(task, tmp_path / f"{task}.npz")
        # of holes the mask may be to blame
        assert ("measured is 0" if task == "inpaint" else "zero everywhere") in said
    y = torch.stack([torch.ones(1, 8, 8), torch.zeros(1, 8, 8)])
    with pytest.raises(UserError, match="of problem 1 are zero everywhere"):
        ut.reconstruct(y, Denoise((1, 8, 8)), "dct", progress=False)


def test_negative_amplitudes_and_cs_on_another_scale(tmp_path):
    path = tmp_path / "a.npz"
    framed = np.pad(PICTURE[:8, :8], 4)
    amplitudes = np.abs(np.fft.fftshift(np.fft.fft2(framed, norm="ortho"))).astype(np.float32)
    np.savez(path, measurement=amplitudes, image_shape=[8, 8])
    TASKS["phase"].load(path, pad=4)
    np.savez(path, measurement=-amplitudes, image_shape=[8, 8])
    assert "negative amplitudes" in refusal("phase", path)
    np.save(tmp_path / "clean.npy", PICTURE)
    TASKS["cs"].simulate(tmp_path / "clean.npy", path)
    arrays = dict(np.load(path))
    TASKS["cs"].load(path)
    np.savez(path, **arrays | {"measurement": 255 * arrays["measurement"]})
    assert "divide them by the white level" in refusal("cs", path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("pixel_size", 1e30, "pixel_size"),
        ("pixel_size", 1000.0, "wider than all"),
        ("detector_pitch", 1e-40, "detector_pitch"),
        ("detector_offset", 1e9, "detector_offset"),
        ("image_shape", [10**9, 24], "more than"),
        ("image_shape", [24, 24, 24], "two whole numbers"),
        ("image_shape", [3000, 3000], "detectors can tell apart"),
        ("angles", np.full(10, 1e38), "angles"),
    ],
)
def test_extreme_geometry(tmp_path, key, value, said):
    other = {"detector_pitch": 1.0} if key == "pixel_size" else {}  # one tells the other
    assert said in refusal("ct", _scan(tmp_path, **other, **{key: value}))


@pytest.mark.parametrize("sigma", ["1e308", "1e-320", "1e-9", "1e8", "nan", "-1"])
def test_noise_levels_out_of_reach(tmp_path, sigma):
    np.save(tmp_path / "a.npy", PICTURE)
    assert "--sigma" in refusal("denoise", tmp_path / "a.npy", sigma=sigma)
    if sigma == "1e-9":  # in units of [0, 1] it can be told from 0
        return
    y = torch.from_numpy(PICTURE)[None, None]
    with pytest.raises(UserError, match="sigma"):
        ut.Problem(y, Denoise((1, 16, 16)), sigma=float(sigma))


def test_a_few_bytes_that_name_a_large_image(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, measurement=np.ones(9, "f4"), image_shape=[5000, 5000], matrix_seed=1)
    assert path.stat().st_size < 1000
    assert "zip bomb" in refusal("cs", path)
    many = RNG.random(200_000).astype(np.float32)  # 8 % of the pixels
    np.savez(path, measurement=many, image_shape=[2500, 1000], matrix_seed=1)
    assert TASKS["cs"].load(path)[0].y.shape == (1, 1, 200_000)


def test_arrays_are_not_printed(tmp_path):
    arrays = {"measurement": PICTURE[0], "image_shape": np.arange(900), "matrix_seed": 1}
    np.savez(tmp_path / "a.npz", **arrays)
    assert "int64 of shape (900,)" in refusal("cs", tmp_path / "a.npz")


def test_whatever_a_reader_raises_names_the_file(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("nobody foresaw this")

    np.save(tmp_path / "a.npy", PICTURE)
    monkeypatch.setattr("untrained.data.tasks.denoise.Denoise", broken)
    assert "ZeroDivisionError: nobody foresaw" in refusal("denoise", tmp_path / "a.npy")


def test_a_write_and_read_of_tensors_refuses_a_folder(tmp_path):
    from untrained.files import read_tensors

    write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)})
    assert torch.equal(read_tensors(tmp_path / "a.safetensors")["a"], torch.ones(2))
    with pytest.raises(UserError, match="is a folder, and a file is expected"):
        read_tensors(tmp_path)


def test_small_arrays_left_to_the_fill_value_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("sigma", shape=(1,), dtype="f4", fillvalue=2.0)
    with open_arrays(tmp_path / "a.h5") as file:
        assert float(file.read("sigma")[0]) == 2.0
