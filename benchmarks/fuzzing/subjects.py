"""Every reader with a valid file for it, how that file is mutated, and the command that reads it.

A new format is one more `Subject` in `SUBJECTS`.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import tifffile
import torch
from PIL import Image
from safetensors.torch import save

from fuzzing.mutate import Arrays, mutate_array, mutate_arrays, mutate_bytes, mutate_text
from untrained.data.formats.npz import write_npz
from untrained.files import SEAL_LENGTH, sealed_write

SIDE = 24
FAST = ("--method", "adjoint")
"""Most mutants are only to be read; a classical answer takes hardly any time."""
ONE_STEP = ("--method", "linearised", "--no-compare")
"""A classical answer to eit, which takes a second."""
NET = ("--steps", "2")
"""The usual network for some of them, so that odd values reach it."""


@dataclass(frozen=True)
class Subject:
    """A reader.

    Attributes:
        name: of the reader.
        file: name of the file that is mutated.
        command: arguments; `{file}` is the mutant, `{out}` an unused place, `{dir}` its folder.
        make: writes the valid file at this path, and what it needs beside it.
        mutate: (valid file, draw) -> the mutant's bytes.
        engine: whether `reconstruct`'s methods take turns.
        accepted: what a refusal says that comes after the file was read whole.
    """

    name: str
    file: str
    command: tuple[str, ...]
    make: Callable[[Path], None]
    mutate: Callable[[Path, random.Random], bytes]
    engine: bool = True
    accepted: str = ""

    def arguments(self, file: Path, out: Path, number: int) -> list[str]:
        """The command for mutant `number`."""
        places = {"file": str(file), "out": str(out), "dir": str(file.parent)}
        given = [part.format(**places) for part in self.command]
        if not self.engine:
            return given
        network = (number and number % 10 == 0) or "phase" in given
        return [*given, *(NET if network else self._fast())]

    def _fast(self) -> tuple[str, ...]:
        return NET if "nldeblur" in self.command else FAST


# mutators ------------------------------------------------------------------------------------


def as_bytes(file: Path, draw: random.Random) -> bytes:
    """Damaged bytes of a file of any format."""
    return mutate_bytes(file.read_bytes(), draw)


def as_text(file: Path, draw: random.Random) -> bytes:
    """A changed text."""
    return mutate_text(file.read_text(encoding="utf-8"), draw)


def as_npz(file: Path, draw: random.Random) -> bytes:
    """Half damaged archives, half whole ones that hold odd arrays."""
    if draw.random() < 0.5:
        return as_bytes(file, draw)
    with np.load(file) as stored:
        arrays: Arrays = dict(stored)
    buffer = io.BytesIO()
    save: Callable[..., None] = np.savez if draw.random() < 0.5 else np.savez_compressed
    try:
        save(buffer, **mutate_arrays(arrays, draw))
    except (ValueError, OverflowError, RuntimeError):  # a name that no archive can hold
        return as_bytes(file, draw)
    return buffer.getvalue()


def as_h5(file: Path, draw: random.Random) -> bytes:
    """Mostly damaged files: HDF5 has no checksums. The rest hold odd arrays."""
    if draw.random() < 0.6:
        return as_bytes(file, draw)
    with h5py.File(file) as stored:
        arrays: Arrays = {key: stored[key][()] for key in stored}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as made:
        for key, value in mutate_arrays(arrays, draw).items():
            try:
                made[key] = value
            except (ValueError, TypeError, OSError, RuntimeError):  # not storable, or named so
                continue
    return buffer.getvalue()


def as_mat(file: Path, draw: random.Random) -> bytes:
    """Half damaged files, half odd arrays; compressed or not."""
    if draw.random() < 0.5:
        return as_bytes(file, draw)
    arrays: Arrays = {k: v for k, v in scipy.io.loadmat(file).items() if not k.startswith("__")}
    cells = {name: value for name, value in arrays.items() if value.dtype == object}
    plain = {name: value for name, value in arrays.items() if name not in cells}
    buffer = io.BytesIO()
    try:
        changed = {**cells, **mutate_arrays(plain, draw)}
        scipy.io.savemat(buffer, changed, do_compression=draw.random() < 0.5)
    except Exception:  # an array or a name that no MAT file holds
        return as_bytes(file, draw)
    return buffer.getvalue()


def as_npy(file: Path, draw: random.Random) -> bytes:
    """Half damaged files, half odd arrays."""
    if draw.random() < 0.5:
        return as_bytes(file, draw)
    buffer = io.BytesIO()
    np.save(buffer, mutate_array(np.load(file), draw))
    return buffer.getvalue()


def as_tiff(file: Path, draw: random.Random) -> bytes:
    """Mostly damaged files, and some with odd floats."""
    if draw.random() < 0.7:
        return as_bytes(file, draw)
    buffer = io.BytesIO()
    try:
        tifffile.imwrite(buffer, mutate_array(tifffile.imread(file), draw))
    except Exception:  # an array that no TIFF holds
        return as_bytes(file, draw)
    return buffer.getvalue()


def as_weights(file: Path, draw: random.Random) -> bytes:
    """Damaged bytes, or another number or word in the header, its length set right."""
    data = file.read_bytes()
    if draw.random() < 0.4:
        return mutate_bytes(data, draw)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = header.get("__metadata__", {})
    if draw.random() < 0.6 and about:
        key = next(iter(about))
        about[key] = mutate_text(about[key], draw).decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = mutate_text(json.dumps(header), draw)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def as_state(file: Path, draw: random.Random) -> bytes:
    """Damaged bytes, half of them sealed anew: what someone wrote on purpose."""
    data = file.read_bytes()
    if draw.random() < 0.5:
        return mutate_bytes(data, draw)
    again = file.with_name(f"again-{draw.randrange(2**40)}.pt")
    with sealed_write(again) as stream:
        stream.write(mutate_bytes(data[:-SEAL_LENGTH], draw))
    sealed = again.read_bytes()
    again.unlink()
    return sealed


# valid files ---------------------------------------------------------------------------------


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def picture(side: int = SIDE, channels: int = 0) -> np.ndarray:
    """A smooth picture with a disc and a little noise, `(H, W)` or `(H, W, C)`, in [0, 1]."""
    y, x = np.mgrid[0:side, 0:side] / side
    grey = 0.2 + 0.3 * x + 0.4 * ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1)
    grey = grey + 0.02 * _rng().standard_normal((side, side))
    grey = np.clip(grey, 0, 1).astype(np.float32)
    return np.stack([grey] * channels, -1) * np.linspace(1, 0.7, channels) if channels else grey


def simulated(task: str, **options: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        from untrained.data import TASKS

        clean = path.with_name("clean.npy")
        np.save(clean, picture())
        simulate = TASKS[task].simulate
        assert simulate is not None
        simulate(clean, path.with_suffix(".npz"), **options)
        if path.suffix == ".h5":
            with np.load(path.with_suffix(".npz")) as stored, h5py.File(path, "w") as made:
                for key in stored:
                    made.create_dataset(key, data=stored[key])
            path.with_suffix(".npz").unlink()

    return make


def _kspace(path: Path) -> None:
    simulated("mri", acceleration=2.0, coils=3, center_fraction=0.3)(path)


def _kspace_alone(path: Path) -> None:
    _kspace(path.with_suffix(".npz"))
    with np.load(path.with_suffix(".npz")) as stored:
        np.save(path, stored["kspace"])


def _sinogram_alone(path: Path) -> None:
    simulated("ct", angles=10)(path.with_suffix(".npz"))
    with np.load(path.with_suffix(".npz")) as stored:
        tifffile.imwrite(path, stored["sinogram"])


def _tank() -> Arrays:
    """A simulated tank of 8 electrodes."""
    from untrained.data.simulate.eit import Tank, simulate_eit

    with tempfile.TemporaryDirectory() as folder:
        clean, made = Path(folder) / "clean.npy", Path(folder) / "tank.npz"
        np.save(clean, 0.5 + picture())
        simulate_eit(clean, made, tank=Tank(electrodes=8))
        with np.load(made) as stored:
            return dict(stored)


def _tank_npz(path: Path) -> None:
    write_npz(path, _tank())


def _tank_mat(path: Path) -> None:
    """The challenge's names, the mesh in the same file."""
    tank = _tank()
    edges = np.empty((1, 8), object)
    for number, own in enumerate(tank["electrodes"]):
        edges[0, number] = own + 1
    scan = {"Uel": tank["voltages"].T.reshape(-1, 1), "Inj": tank["injections"]}
    scan |= {"Mpat": tank["patterns"], "Uelref": tank["reference_voltages"].T.reshape(-1, 1)}
    mesh = {"g": tank["nodes"], "H": (tank["elements"] + 1).astype(np.uint16), "elfaces": edges}
    scipy.io.savemat(path, {**scan, **mesh}, do_compression=True)


def _classes(path: Path) -> None:
    """True classes beside an image of them."""
    y, x = np.mgrid[0:256, 0:256]
    truth = ((x - 90) ** 2 + (y - 80) ** 2 < 900) + 2 * ((x - 170) ** 2 + (y - 150) ** 2 < 900)
    np.save(path.with_name("image.npy"), np.array([0.8, 0.1, 2.0])[truth])
    scipy.io.savemat(path, {"truth": truth.astype(np.uint8)}, do_compression=True)


def _png(path: Path) -> None:
    Image.fromarray((255 * picture(channels=3)).astype(np.uint8)).save(path)


def _deep_png(path: Path) -> None:
    Image.fromarray((65535 * picture()).astype(np.uint16)).save(path)


def _palette(path: Path) -> None:
    Image.fromarray((255 * picture(channels=3)).astype(np.uint8)).quantize(16).save(path)


def _jpeg(path: Path) -> None:
    Image.fromarray((255 * picture(channels=3)).astype(np.uint8)).save(path)


def _tiff(path: Path) -> None:
    tifffile.imwrite(path, picture())


def _packed_tiff(path: Path) -> None:
    tifffile.imwrite(
        path, (255 * picture(32, 3)).astype(np.uint8), compression="zlib", tile=(16, 16)
    )


def _npy(path: Path) -> None:
    np.save(path, picture())


def _stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([picture(16)] * 4), photometric="minisblack")


def _beside(write: Callable[[Path], None], name: str) -> Callable[[Path], None]:
    """Write the input beside what is mutated: `name` of its folder."""

    def make(path: Path) -> None:
        write(path.with_name(name))
        if not path.exists():
            _AUXILIARY[path.name](path)

    return make


def _mask_png(path: Path) -> None:
    Image.fromarray(((_rng().random((SIDE, SIDE)) > 0.3) * 255).astype(np.uint8)).save(path)


def _mask_npy(path: Path) -> None:
    np.save(path, _rng().random((SIDE, SIDE)) > 0.3)


def _kernel(path: Path) -> None:
    np.save(path, np.ones((3, 3), np.float32) / 9)


def _maps(path: Path) -> None:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    maps = np.stack([1 - x, x + 0j, 0.5 + 0.5j * y]).astype(np.complex64)
    np.savez(path, maps=maps / np.sqrt((np.abs(maps) ** 2).sum(0)))


def _geometry(path: Path) -> None:
    scan = {
        "geometry": "fan", "source_origin": 60.0, "source_detector": 110.0, "detector_pitch": 2.5,
        "detector_offset": 0.25, "pixel_size": 1.1, "image_shape": [SIDE, SIDE],
    }  # fmt: skip
    path.write_text(json.dumps(scan, indent=1))


def _angles(path: Path) -> None:
    path.write_text(" ".join(f"{a:.2f}" for a in np.arange(10) * 18))


_AUXILIARY: dict[str, Callable[[Path], None]] = {
    "mask.png": _mask_png,
    "mask.npy": _mask_npy,
    "kernel.npy": _kernel,
    "maps.npz": _maps,
    "mesh.npz": _tank_npz,
    "geometry.json": _geometry,
    "angles.txt": _angles,
    "reference.npy": _npy,
    "guide.png": lambda path: Image.fromarray((255 * picture()).astype(np.uint8)).save(path),
}

GRID = """
name = "small"
seeds = [0, 1]
time_limit = 60

[[cases]]
task = "denoise"
clean = "clean.npy"
simulate = { sigma = 25.0 }

[[cases]]
task = "ct"
clean = "clean.npy"
simulate = { angles = 12, noise = 0.02 }

[[runs]]
method = "dip"
steps = 10
settings = ["engine.lr=0.01", "net.depth=3"]

[[runs]]
method = ["tv", "adjoint"]

[small]
images = 1
steps = 5
"""


def _grid(path: Path) -> None:
    np.save(path.with_name("clean.npy"), picture())
    path.write_text(GRID)


def _weights(path: Path) -> None:
    from untrained.cli.commands import status

    np.save(path.with_name("input.npy"), picture())
    _png(path.with_name("clean.png"))
    Image.fromarray((255 * picture()).astype(np.uint8)).save(path.with_name("clean.png"))
    widths = ("--set", "net.layers=2", "--set", "net.width=8")
    said = status(
        ["pretrain", "strainer", "denoise", str(path.with_name("clean.png")), "--steps", "2",
         "--quiet", *widths, "--out", str(path)]
    )  # fmt: skip
    assert said == 0, said
    shutil.rmtree(path.with_name("weights-training"))


def _prior(layout: str) -> Callable[[Path], None]:
    """Write a small pre-trained network and a picture beside it."""

    def make(path: Path) -> None:
        np.save(path.with_name("input.npy"), picture())
        generator = torch.Generator().manual_seed(7)

        def draw(*shape: int) -> torch.Tensor:
            return 0.1 * torch.randn(*shape, generator=generator)

        chain: dict[str, torch.Tensor] = {}
        for i, (outputs, inputs) in enumerate([(6, 1), (6, 6), (1, 6)]):
            chain |= {
                f"model.{2 * i}.weight": draw(outputs, inputs, 3, 3),
                f"model.{2 * i}.bias": draw(outputs),
            }
        if layout == "old torch":
            torch.save({"ema": chain}, path, _use_new_zipfile_serialization=False)
        elif layout == "torch":
            torch.save({"state_dict": chain, "epoch": 3}, path)
        elif layout == "safetensors":
            path.write_bytes(save(chain, {"license": "MIT"}))
        else:
            path.write_bytes(_flax(draw))

    return make


def _flax(draw: Callable[..., torch.Tensor]) -> bytes:
    """A network as SCICO stores it."""
    import msgpack

    def packed(*shape: int) -> Any:
        array = draw(*shape).numpy()
        return msgpack.ExtType(1, msgpack.packb((array.shape, "float32", array.tobytes())))

    norm = {"scale": packed(4), "bias": packed(4)}
    block = {"Conv_0": {"kernel": packed(3, 3, 4, 4)}, "BatchNorm_0": norm}
    statistics = {"BatchNorm_0": {"mean": packed(4), "var": packed(4)}}
    ends = {
        "conv_start": {"kernel": packed(3, 3, 2, 4)},
        "conv_end": {"kernel": packed(3, 3, 4, 2)},
    }
    tree = {
        "params": {"ConvBNBlock_0": block, **ends},
        "batch_stats": {"ConvBNBlock_0": statistics},
    }
    content: bytes = msgpack.packb(tree)
    return content


def _asked(
    name: str, layout: str, file: str, mutate: Callable[..., bytes] | None = None
) -> Subject:
    """A subject: a pre-trained network, asked by a method."""
    command = ("reconstruct", "denoise", "{dir}/input.npy", "--prior", "{file}", "--quiet")
    how = ("--method", "deepred", "--out", "{out}", *NET, *SMALL)
    return Subject(
        f"prior, {name}", file, (*command, *how), _prior(layout), mutate or as_bytes, engine=False
    )


def _state(path: Path) -> None:
    from untrained.cli.commands import status

    np.save(path.parent.parent / "input.npy", picture())
    said = status(
        ["reconstruct", "denoise", str(path.parent.parent / "input.npy"), "--method", "dip",
         "--quiet", "--steps", "6", *SMALL, "--time-limit", "0.001", "--out", str(path.parent)]
    )  # fmt: skip
    assert said == 0, said
    assert path.exists()


SMALL = ("--set", "net.widths=8,8", "--set", "net.skip=2", "--set", "engine.precision=fp32")


def read(task: str, *more: str) -> tuple[str, ...]:
    return ("reconstruct", task, "{file}", "--quiet", "--out", "{out}", *more)


def read_with(task: str, beside: str, option: str) -> tuple[str, ...]:
    return ("reconstruct", task, "{dir}/" + beside, option, "{file}", "--quiet", "--out", "{out}")


SUBJECTS: tuple[Subject, ...] = (
    Subject("png", "in.png", read("denoise", "--sigma", "10"), _png, as_bytes),
    Subject("png, 16 bits", "in.png", read("denoise", "--sigma", "10"), _deep_png, as_bytes),
    Subject("png, palette", "in.png", read("superres", "--factor", "2"), _palette, as_bytes),
    Subject("jpeg", "in.jpg", read("superres", "--factor", "2"), _jpeg, as_bytes),
    Subject("tiff", "in.tif", read("denoise", "--sigma", "auto"), _tiff, as_tiff),
    Subject("tiff, deflated tiles", "in.tif", read("denoise"), _packed_tiff, as_tiff),
    Subject("tiff, pages", "in.tif", read("denoise", "--volume"), _stack, as_tiff),
    Subject("npy", "in.npy", read("denoise"), _npy, as_npy),
    Subject("denoise npz", "in.npz", read("denoise"), simulated("denoise"), as_npz),
    Subject("inpaint npz", "in.npz", read("inpaint"), simulated("inpaint", missing=0.4), as_npz),
    Subject("superres npz", "in.npz", read("superres"), simulated("superres", factor=2), as_npz),
    Subject("deblur npz", "in.npz", read("deblur"), simulated("deblur"), as_npz),
    Subject("deblur h5", "in.h5", read("deblur"), simulated("deblur"), as_h5),
    Subject("nldeblur npz", "in.npz", read("nldeblur"), simulated("nldeblur"), as_npz),
    Subject("cs npz", "in.npz", read("cs"), simulated("cs"), as_npz),
    Subject("phase npz", "in.npz", read("phase"), simulated("phase"), as_npz),
    Subject("mri npz", "in.npz", read("mri"), _kspace, as_npz),
    Subject("mri h5", "in.h5", read("mri"), _kspace, as_h5),
    Subject("mri npy", "in.npy", read("mri"), _kspace_alone, as_npy),
    Subject("ct tiff", "in.tif", read("ct", "--angles", "10"), _sinogram_alone, as_tiff),
    Subject("ct npz", "in.npz", read("ct"), simulated("ct", angles=10), as_npz),
    Subject("ct h5", "in.h5", read("ct"), simulated("ct", angles=10), as_h5),
    Subject(
        "ct geometry", "geometry.json", read_with("ct", "scan.npz", "--geometry"),
        _beside(simulated("ct", angles=10), "scan.npz"), as_text,
    ),
    Subject(
        "ct angles", "angles.txt", read_with("ct", "scan.npz", "--angles"),
        _beside(simulated("ct", angles=10), "scan.npz"), as_text,
    ),
    Subject("eit npz", "in.npz", read("eit", *ONE_STEP), _tank_npz, as_npz, engine=False),
    Subject("eit mat", "in.mat", read("eit", *ONE_STEP), _tank_mat, as_mat, engine=False),
    Subject(
        "eit mesh", "mesh.npz", (*read_with("eit", "in.npz", "--mesh"), *ONE_STEP),
        _beside(_tank_npz, "in.npz"), as_npz, engine=False,
    ),
    Subject(
        "eit classes", "truth.mat",
        ("evaluate", "{dir}/image.npy", "{file}", "--score", "ktc"),
        _classes, as_mat, engine=False,
    ),
    Subject(
        "mask picture", "mask.png", read_with("inpaint", "in.npy", "--mask"),
        _beside(_npy, "in.npy"), as_bytes,
    ),
    Subject(
        "mask array", "mask.npy", read_with("inpaint", "in.npy", "--mask"),
        _beside(_npy, "in.npy"), as_npy,
    ),
    Subject(
        "kernel", "kernel.npy", read_with("deblur", "in.npy", "--kernel"),
        _beside(_npy, "in.npy"), as_npy,
    ),
    Subject(
        "coil maps", "maps.npz", read_with("mri", "scan.npz", "--maps"),
        _beside(_kspace, "scan.npz"), as_npz,
    ),
    Subject(
        "reference", "reference.npy", read_with("denoise", "in.npy", "--reference"),
        _beside(_npy, "in.npy"), as_npy,
    ),
    Subject(
        "guide", "guide.png",
        (*read_with("denoise", "in.npy", "--guide"), "--method", "refguided", *NET, *SMALL),
        _beside(_npy, "in.npy"), as_bytes, engine=False,
    ),
    Subject(
        "evaluate", "reference.npy",
        ("evaluate", "{dir}/in.npy", "{file}", "--range", "1"),
        _beside(_npy, "in.npy"), as_npy, engine=False,
    ),
    Subject(
        "weights", "weights.safetensors",
        (*read_with("denoise", "input.npy", "--weights"), *NET), _weights, as_weights, engine=False,
    ),
    _asked("torch", "torch", "prior.pth"),
    _asked("old torch", "old torch", "prior.pt"),
    _asked("safetensors", "safetensors", "prior.safetensors", as_weights),
    _asked("flax", "flax", "prior.mpk"),
    Subject(
        "state", "run/state.pt",
        ("reconstruct", "denoise", "{dir}/../input.npy", "--method", "dip", "--steps", "6",
         *SMALL, "--quiet", "--out", "{dir}", "--resume"),
        _state, as_state, engine=False,
    ),
    Subject(
        "grid", "grid.toml",
        ("bench", "run", "{file}", "--small", "--only", "none", "--quiet", "--out", "{out}"),
        _grid, as_text, engine=False, accepted="no job matches",
    ),
)  # fmt: skip
