"""Every kind of wrong input, through the command line: exit 2, one paragraph, nothing written."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from untrained.cli import main
from untrained.data import TASKS

RNG = np.random.default_rng(0)
GREY = RNG.random((16, 12), dtype=np.float32)
KSPACE = (RNG.normal(size=(3, 16, 12)) + 1j * RNG.normal(size=(3, 16, 12))).astype(np.complex64)
SINOGRAM = RNG.random((6, 20), dtype=np.float32)
ANGLES = np.arange(6) * 30.0
NAN = np.where(GREY > 0.9, np.nan, GREY)
INF = np.where(GREY > 0.9, np.inf, GREY)


def bomb(path: Path) -> None:
    """A member of 20 GiB of zeros in a file of a few kilobytes... had anyone unpacked it."""
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, "
    header += b"'shape': (70000, 70000), }"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("measurement.npy", header.ljust(127) + b"\n" + bytes(10**6))


def pickled(path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (path.with_name("opened"),))

    path.write_bytes(pickle.dumps(Trap()))


def objects(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def save(path: Path, value: Any) -> None:
    """Write `value`, by the path's suffix: bytes, an array, arrays, a picture, JSON, a writer."""
    if callable(value):
        value(path)
    elif isinstance(value, bytes):
        path.write_bytes(value)
    elif isinstance(value, dict) and path.suffix == ".npz":
        np.savez(path, **value)
    elif path.suffix == ".json":
        path.write_text(json.dumps(value))
    elif path.suffix == ".png":
        Image.fromarray(value).save(path)
    else:
        np.save(path, value)


# command (files by name), files, what the message must name
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "missing": ("denoise a.npy", {}, "a.npy"),
    "a directory": ("denoise .", {}, "."),
    "empty npy": ("denoise a.npy", {"a.npy": b""}, "a.npy"),
    "empty npz": ("mri a.npz", {"a.npz": b""}, "a.npz"),
    "empty png": ("denoise a.png", {"a.png": b""}, "a.png"),
    "empty h5": ("mri a.h5", {"a.h5": b""}, "a.h5"),
    "truncated npz": ("ct a.npz", {"a.npz": b"PK\x03\x04rest"}, "a.npz"),
    "truncated png": ("denoise a.png", {"a.png": b"\x89PNG\r\n\x1a\n123"}, "a.png"),
    "unknown suffix": ("denoise a.xyz", {"a.xyz": b"123"}, "a.xyz"),
    "a volume of NIfTI": ("denoise a.nii.gz", {"a.nii.gz": b"123"}, "a.nii.gz"),
    "a scan of MATLAB": ("mri a.mat", {"a.mat": b"123"}, "no MAT file of level 5"),
    "a slice of DICOM": ("ct a.dcm", {"a.dcm": b"123"}, "pydicom"),
    "text inside": ("denoise a.npy", {"a.npy": np.array(["x", "y"])}, "a.npy"),
    "no pixels": ("denoise a.npy", {"a.npy": np.zeros((0, 4), np.float32)}, "a.npy"),
    "NaN": ("denoise a.npy", {"a.npy": NAN}, "NaN"),
    "infinite": ("denoise a.npy", {"a.npy": INF}, "infinite"),
    "channels last": ("denoise a.npy", {"a.npy": np.zeros((9, 8, 3))}, "channels"),
    "object array": ("denoise a.npy", {"a.npy": objects}, "a.npy"),
    "a pickle": ("denoise a.npy", {"a.npy": pickled}, "a.npy"),
    "a pickle as npz": ("mri a.npz", {"a.npz": pickled}, "a.npz"),
    "zip bomb": ("denoise a.npz", {"a.npz": bomb}, "a.npz"),
    "mask shape": (
        "inpaint a.npy --mask m.npy",
        {"a.npy": GREY, "m.npy": np.ones((4, 4))},
        "m.npy",
    ),
    "mask values": (
        "inpaint a.npy --mask m.npy",
        {"a.npy": GREY, "m.npy": np.full((16, 12), 0.5)},
        "m.npy",
    ),
    "mask of nothing": (
        "inpaint a.npy --mask m.npy",
        {"a.npy": GREY, "m.npy": np.zeros((16, 12))},
        "m.npy",
    ),
    "factor": ("superres a.npy --factor 1", {"a.npy": GREY}, "factor"),
    "kernel axes": (
        "deblur a.npy --kernel k.npy",
        {"a.npy": GREY, "k.npy": np.ones(5)},
        "k.npy",
    ),
    "kernel of zeros": (
        "deblur a.npy --kernel k.npy",
        {"a.npy": GREY, "k.npy": np.zeros((3, 3))},
        "k.npy",
    ),
    "no kernel": ("deblur a.npy", {"a.npy": GREY}, "kernel"),
    "no non-linear blur": ("nldeblur a.npy", {"a.npy": GREY}, "--kernel"),
    "weights without BKSE": (
        "nldeblur a.npy --bkse w.pth",
        {"a.npy": GREY, "w.pth": b"123"},
        "bkse_kernel",
    ),
    "weights of another kind": (
        "nldeblur a.npz --bkse w.pth",
        {"a.npz": {"measurement": GREY, "bkse_kernel": np.zeros((512, 2, 2))}, "w.pth": b"123"},
        "w.pth",
    ),
    "weights that are a pickle": (
        "nldeblur a.npz --bkse w.pth",
        {"a.npz": {"measurement": GREY, "bkse_kernel": np.zeros((512, 2, 2))}, "w.pth": pickled},
        "w.pth",
    ),
    "cs of a picture": ("cs a.npy", {"a.npy": GREY}, "a.npy"),
    "cs without seed": (
        "cs a.npz",
        {"a.npz": {"measurement": GREY[0], "image_shape": np.array([8, 8])}},
        "matrix_seed",
    ),
    "cs of fewer pixels": (
        "cs a.npz",
        {"a.npz": {"measurement": GREY[0], "image_shape": np.array([2, 2]), "matrix_seed": 0}},
        "a.npz",
    ),
    "phase without pad": ("phase a.npz", {"a.npz": {"measurement": GREY}}, "--pad"),
    "phase pad": ("phase a.npz --pad 9", {"a.npz": {"measurement": GREY}}, "--pad"),
    "phase of a brighter picture": (
        "phase a.npz --pad 2",
        {"a.npz": {"measurement": 300 * GREY + 90}},
        "white level",
    ),
    "no k-space": ("mri a.npz", {"a.npz": {"image": GREY}}, "kspace"),
    "k-space of zeros": ("mri a.npz", {"a.npz": {"kspace": 0 * KSPACE}}, "a.npz"),
    "k-space NaN": ("mri a.npz", {"a.npz": {"kspace": KSPACE * np.nan}}, "NaN"),
    "maps shape": (
        "mri a.npz --maps m.npy",
        {"a.npz": {"kspace": KSPACE}, "m.npy": KSPACE[:2]},
        "m.npy",
    ),
    "no such slice": ("mri a.npz --slice 7", {"a.npz": {"kspace": KSPACE[None]}}, "7"),
    "mri mask": (
        "mri a.npz --mask m.npy",
        {"a.npz": {"kspace": KSPACE}, "m.npy": np.ones((3, 3))},
        "m.npy",
    ),
    "no sinogram": ("ct a.npz", {"a.npz": {"angles": ANGLES}}, "sinogram"),
    "no angles": ("ct a.npz", {"a.npz": {"sinogram": SINOGRAM}}, "angles"),
    "angles count": (
        "ct a.npz",
        {"a.npz": {"sinogram": SINOGRAM, "angles": ANGLES[:4]}},
        "angles",
    ),
    "geometry field": (
        "ct a.npz --geometry g.json",
        {
            "a.npz": {"sinogram": SINOGRAM, "angles": ANGLES},
            "g.json": {"kind": "parallel", "pixels": 1},
        },
        "g.json",
    ),
    "no such operator": ("custom a.npy --physics op.py:Op", {"a.npy": GREY, "op.py": b""}, "Op"),
    "operator breaks": (
        "custom a.npy --physics op.py:Op",
        {"a.npy": GREY, "op.py": b"def Op():\n    raise ValueError('mine')"},
        "mine",
    ),
    "reference shape": (
        "denoise a.npy --reference r.npy",
        {"a.npy": GREY, "r.npy": GREY[:4]},
        "r.npy",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_input(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, files, culprit = BAD[case]
    monkeypatch.chdir(tmp_path)
    for name, value in files.items():
        save(tmp_path / name, value)
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", *command.split(), "--out", "out"])
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 2
    assert culprit in said
    assert "Traceback" not in said
    assert "\n\n" not in said, "one paragraph"
    assert not (tmp_path / "opened").exists(), "a pickle was opened"
    assert not list((tmp_path / "out").glob("*"))


FOLDERS = [
    *(["simulate", task, "scans"] for task, own in TASKS.items() if own.simulate is not None),
    ["pretrain", "ugodit", "mri", "scans"],
    ["pretrain", "metadip", "ct", "scans"],
]


@pytest.mark.parametrize("command", FOLDERS, ids=" ".join)
def test_a_folder_is_called_one_and_what_to_do_is_said(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    out = "out.safetensors" if command[0] == "pretrain" else "out.npz"
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", out])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "scans is a folder, and a file is expected" in said
    assert "`untrained reconstruct` takes folders" in said


@pytest.mark.parametrize("task", TASKS)
def test_a_folder_without_a_file_of_the_task_is_refused(task, tmp_path, monkeypatch, capsys):
    """Whatever else lies in it; nothing is written. The folder of a video is one input."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "notes.txt").write_text("read me")
    needed = {"custom": ["--physics", "mine.py:Operator"], "video": ["--processed", "scans"]}
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", task, "scans", *needed.get(task, []), "--out", "out"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    expected = f"scans is a folder without a file that {task} reads; it holds 1 other(s)"
    if task == "video":
        expected = "the folder scans holds 0 pictures of its own"
    assert expected in said
    assert not (tmp_path / "out").exists()
