"""Inputs that are worth a note: files, measurements and operators, each made small."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
import torch
from PIL import Image

import untrained as ut
from untrained.data.images import read_picture
from untrained.data.phantoms import birdcage_maps, brain
from untrained.errors import UserError
from untrained.maths import fft2c, to_channels
from untrained.physics import CT, MRI, Blur, Denoise
from untrained.physics.phase import PhaseRetrieval
from untrained.pretrain import train

SMALL = ["--set", "net.widths=4,8", "--set", "net.skip=2"]
RNG = np.random.default_rng(0)
PIC = np.zeros((24, 24), np.float32)
PIC[6:18, 4:20] = 0.7
PIC += 0.05
NOISY = PIC + 0.1 * RNG.standard_normal(PIC.shape).astype(np.float32)
VIEWS = np.arange(20) * 9.0
KERNEL = np.ones((3, 3)) / 9
MOVED = np.roll(np.eye(11) * np.eye(11)[5], 4, 1)


def scan(**keys: Any) -> np.ndarray:
    physics = CT((24, 24), VIEWS, 34, **keys)
    return physics.A(torch.from_numpy(PIC - 0.05)[None, None])[0, 0].numpy().T


ROUND = np.hypot(*(np.mgrid[:32, :32] - 15.5)) < 15
CUT = CT((32, 32), VIEWS, 24).A(torch.from_numpy(ROUND.astype(np.float32))[None, None])
CUT = CUT[0, 0].numpy().T  # a disc that is wider than the detector


def coils(count: int = 4, noise: float = 0.0) -> np.ndarray:
    images = birdcage_maps(count, (48, 48)) * brain(48)
    full = fft2c(torch.from_numpy(images.astype(np.complex64))).numpy()
    draw = np.random.default_rng(3).standard_normal((2, *full.shape))
    return (full + noise * (draw[0] + 1j * draw[1])).astype(np.complex64)


COLUMNS = np.zeros(48, bool)
COLUMNS[20:28] = True
COLUMNS[RNG.choice(np.flatnonzero(~COLUMNS), 10, replace=False)] = True
KSPACE = coils() * COLUMNS


def loud(times: float = 16.0) -> np.ndarray:
    data = coils(6, 0.01)
    draw = np.random.default_rng(9).standard_normal((2, 48, 48))
    data[2] += 0.01 * times * (draw[0] + 1j * draw[1])
    return data.astype(np.complex64)


def npz(folder: Path, name: str = "input.npz", **arrays: Any) -> Path:
    np.savez(folder / name, **arrays)
    return folder / name


def npy(folder: Path, array: np.ndarray, name: str = "input.npy") -> Path:
    np.save(folder / name, array)
    return folder / name


def picture(folder: Path, mode: str = "L", name: str = "input.png", **more: Any) -> Path:
    grey = Image.fromarray((255 * PIC).astype(np.uint8))
    grey.convert(mode).save(folder / name, **more)
    return folder / name


Command = list[Any]


Python = Callable[[], dict[str, Any]]


def denoise(**arrays: Any) -> Callable[[Path], Command]:
    return lambda folder: ["reconstruct", "denoise", npz(folder, **arrays)]


def of(task: str, make: Callable[[Path], Path], *more: Any) -> Callable[[Path], Command]:
    return lambda folder: ["reconstruct", task, make(folder), *more]


def ct(*more: Any, **changes: Any) -> Callable[[Path], Command]:
    arrays = {"sinogram": scan(), "angles": VIEWS, "image_shape": np.array([24, 24]), **changes}
    arrays = {name: value for name, value in arrays.items() if value is not None}
    return lambda folder: ["reconstruct", "ct", npz(folder, **arrays), *more]


def ct_python(sinogram: np.ndarray, views: np.ndarray = VIEWS, **keys: Any) -> Python:
    y = torch.from_numpy(np.ascontiguousarray(sinogram.T, dtype=np.float32))[None, None]
    return lambda: {"y": y, "physics": CT((24, 24), views, sinogram.shape[1], **keys)}


def mri(*more: Any, kspace: np.ndarray = KSPACE, **arrays: Any) -> Callable[[Path], Command]:
    return lambda folder: ["reconstruct", "mri", npz(folder, kspace=kspace, **arrays), *more]


def mri_python(kspace: np.ndarray, mask: np.ndarray | None = None) -> Python:
    y = to_channels(torch.from_numpy(kspace.astype(np.complex64))[None])
    maps = birdcage_maps(len(kspace), (48, 48)).astype(np.complex64)
    return lambda: {"y": y, "physics": MRI(np.ones(48) if mask is None else mask, maps)}


def photo(image: np.ndarray, **more: Any) -> Python:
    y = torch.from_numpy(image.astype(np.float32))[None, None]
    return lambda: {"y": y, "physics": Denoise(y.shape[1:]), **more}


def hdf(folder: Path, **arrays: Any) -> Path:
    with h5py.File(folder / "input.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return folder / "input.h5"


def matlab(folder: Path, key: str, values: np.ndarray, **more: Any) -> Path:
    """An array as MATLAB's v7.3 stores it: axes in reverse, and its class beside it."""
    path = hdf(folder, **{key: values.T}, **more)
    with h5py.File(path, "r+") as file:
        file[key].attrs["MATLAB_class"] = np.bytes_("single")
    return path


def pairs(folder: Path) -> Path:
    stored = np.zeros((1, *KSPACE.shape), [("real", "<f4"), ("imag", "<f4")])
    stored["real"], stored["imag"] = KSPACE.real, KSPACE.imag
    return hdf(folder, kspace=stored)


def deep_alpha(folder: Path) -> Path:
    """A PNG of 16-bit grey with alpha, which Pillow does not write."""
    rows = b"".join(b"\0" + (65535 * PIC[i]).astype(">u2").repeat(2).tobytes() for i in range(24))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 24, 24, 16, 4, 0, 0, 0)),)
    chunks += ((b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    file = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        file += struct.pack(">I", len(data)) + kind + data
        file += struct.pack(">I", zlib.crc32(kind + data))
    (folder / "input.png").write_bytes(file)
    return folder / "input.png"


def odd_tiff(folder: Path) -> Path:
    """A TIFF of which some byte is wrong and yet all pixels can be read."""
    path = folder / "input.tif"
    tifffile.imwrite(path, PIC, software="somebody's program", description="a picture of nothing")
    whole = bytearray(path.read_bytes())
    for place in range(8, len(whole)):
        for value in (0, 255):
            damaged = bytearray(whole)
            damaged[place] = value
            path.write_bytes(damaged)
            try:
                if any("damaged or odd" in note for note in read_picture(path).notes):
                    return path
            except UserError:
                continue
    raise AssertionError("no byte of a TIFF is odd")


def turned(folder: Path) -> Path:
    tags = Image.Exif()
    tags[0x0112] = 6
    return picture(folder, name="input.jpg", exif=tags)


def spilled(folder: Path) -> Path:
    """A JPEG with holes painted black, of which the rims are not."""
    holes = np.tile(0.6 + 0.2 * PIC, (3, 3))
    for row in range(4, 64, 16):
        holes[row : row + 7, 10:60] = 0
    Image.fromarray((255 * holes).astype(np.uint8)).save(folder / "input.jpg", quality=80)
    return folder / "input.jpg"


def missing() -> np.ndarray:
    array = PIC.copy()
    array[3:9, 5:11] = np.nan
    return array


def half() -> np.ndarray:
    mask = np.ones((24, 24), np.uint8)
    mask[::2] = 0
    return mask


def inverted() -> tuple[np.ndarray, np.ndarray]:
    """Make a picture whose pixels marked as measured are nearly zero and the others are not."""
    mask = half()
    return np.where(mask, 1e-4 * NOISY, NOISY).astype(np.float32), mask


def amplitudes(roll: int = 0, channels: int = 1) -> np.ndarray:
    frame = np.zeros((channels, 48, 48))
    frame[:, 12:36, 12:36] = PIC
    axes = (-2, -1)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(frame, axes=axes), norm="ortho"), axes)
    return np.abs(np.roll(spectrum, roll, axis=-1)).astype(np.float32)


def phase(*more: Any, **keys: Any) -> Callable[[Path], Command]:
    shape = np.array([24, 24])
    return lambda folder: [
        *("reconstruct", "phase", npz(folder, measurement=amplitudes(**keys), image_shape=shape)),
        *more,
        *("--method", "dip", "--steps", "2", *SMALL),
    ]


def phase_python() -> dict[str, Any]:
    y = torch.from_numpy(amplitudes(roll=5))[None]
    few = {"method": "dip", "steps": 2, "settings": [s for s in SMALL if s != "--set"]}
    return {"y": y, "physics": PhaseRetrieval((1, 24, 24), (12, 12)), **few}


OPERATOR = """
import torch
class Halved:
    x_shape = (1, 24, 24)
    def A(self, x): return 2 * x
    def A_adjoint(self, y): return 2.002 * y
"""


def custom(folder: Path) -> Command:
    (folder / "mine.py").write_text(OPERATOR)
    given = ["--physics", f"{folder / 'mine.py'}:Halved", "--method", "adjoint"]
    return ["reconstruct", "custom", npy(folder, PIC[None]), *given]


def custom_python() -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(OPERATOR, space)
    return {"y": torch.from_numpy(PIC)[None, None], "physics": space["Halved"]()}


def network(
    *more: str, method: str = "house", steps: int = 4, small: list[str] = SMALL
) -> list[str]:
    return ["--method", method, "--steps", str(steps), *small, *more]


def deblur(*more: Any) -> Callable[[Path], Command]:
    blurred = Blur(torch.ones(3, 3) / 9, (1, 24, 24)).A(torch.from_numpy(PIC)[None, None])
    arrays = {"measurement": blurred[0, 0].numpy(), "kernel": KERNEL}
    return lambda folder: ["reconstruct", "deblur", npz(folder, **arrays), *more]


def learned(folder: Path) -> Command:
    parallel = CT((24, 24), VIEWS[::2], 34)
    problem = ut.Problem(parallel.A(torch.from_numpy(PIC)[None, None]), parallel)
    few = ["net.widths=4,6", "net.skip=2"]
    weights = train("edip", [problem], task="ct", settings=few, steps=2, device="cpu")[0]
    weights.save(folder / "w.safetensors")
    return [*ct()(folder), "--weights", folder / "w.safetensors", "--steps", "2"]


def with_prior(folder: Path, *more: str) -> Command:
    tensors = {f"model.{2 * i}.bias": torch.zeros(n) for i, n in enumerate((4, 1))}
    tensors |= {
        "model.0.weight": torch.zeros(4, 1, 3, 3),
        "model.2.weight": torch.zeros(1, 4, 3, 3),
    }
    torch.save(tensors, folder / "prior.pth")
    given = ["--prior", folder / "prior.pth"]
    return [*denoise(measurement=NOISY)(folder), *network(method="deepred"), *given, *more]


def with_noisy_prior(folder: Path) -> Command:
    images = [ut.pretrain.clean_problem(torch.rand(1, 1, 16, 16), noise=0.1)]
    settings = ["net.widths=4,4", "net.features=4", "batch=1"]
    weights, _ = ut.pretrain.train("denoiser", images, task="denoise", settings=settings, steps=1)
    weights.save(folder / "prior.safetensors", overwrite=True)
    given = ["--prior", folder / "prior.safetensors"]
    return [*denoise(measurement=NOISY)(folder), *network(method="deepred"), *given]


def fastmri(rows: int, columns: int) -> Callable[[Path], Path]:
    shown = np.ones((2, rows, columns))
    return lambda folder: hdf(
        folder, kspace=np.stack([coils()] * 2), mask=COLUMNS, reconstruction_rss=shown
    )


def oversampled() -> np.ndarray:
    """Coil images that lie in the middle half of the rows, with a little noise around."""
    image = np.zeros((96, 48), complex)
    image[24:72] = brain(48)
    data = birdcage_maps(4, (96, 48)) * image
    full = fft2c(torch.from_numpy(data.astype(np.complex64))).numpy()
    draw = np.random.default_rng(5).standard_normal((2, *full.shape))
    return (full + 1e-4 * (draw[0] + 1j * draw[1])).astype(np.complex64)


def jumping(s: ut.State, *_: Any) -> torch.Tensor:
    """A fit of all measurements leaves its track."""
    return torch.tensor([s.problem.keep is None and s.step >= 3])


def tank(*more: Any, **changes: Any) -> Callable[[Path], Command]:
    """A tank of 8 electrodes, reconstructed in two steps; an array that is None is left out."""
    disc = ut.physics.disc_mesh(8)
    pairs = np.eye(8) - np.roll(np.eye(8), 1, axis=0)
    physics = ut.physics.EIT(disc, pairs, pairs, (1, 24, 24))
    image = torch.from_numpy(0.8 + PIC)[None, None]
    arrays = {
        "voltages": physics.A(image)[0, 0].numpy(),
        "reference_voltages": physics.A(torch.ones_like(image))[0, 0].numpy(),
        "injections": pairs,
        "patterns": pairs,
        "image_shape": np.array([24, 24]),
        **disc.arrays(),
    }
    arrays |= {name: change(arrays.get(name)) for name, change in changes.items()}
    arrays = {name: value for name, value in arrays.items() if value is not None}
    fast = ("--method", "dip", "--steps", "2", *SMALL)
    return lambda folder: ["reconstruct", "eit", npz(folder, **arrays), *more, *fast]


def counted_from_one(nodes: np.ndarray) -> np.ndarray:
    return np.where(nodes < 0, nodes, nodes + 1)


def unmeasured(voltages: np.ndarray) -> np.ndarray:
    return np.where(np.eye(8), np.nan, voltages)


def exchanged(rows: np.ndarray) -> np.ndarray:
    """Two electrodes change places."""
    return rows[[0, 4, 2, 3, 1, 5, 6, 7]]


def unlike(voltages: np.ndarray) -> np.ndarray:
    """Noise of the same shape, of standard deviation one."""
    return np.random.default_rng(0).standard_normal(voltages.shape)


def simulate(task: str, make: Callable[[Path], Path], *more: Any) -> Callable[[Path], Command]:
    return lambda folder: ["simulate", task, make(folder), *more]


def grey(folder: Path) -> Path:
    return picture(folder)


SIGN = (-1.0) ** np.arange(48)[:, None]
DIM = NOISY / 100
STACK = np.stack([NOISY] * 3)
DEAD = np.where(np.arange(34) == 15, 0, scan()).astype(np.float32)
LOST_VIEW = np.where(np.arange(20)[:, None] == 4, 0, scan()).astype(np.float32)
LINES = (KSPACE + coils(noise=1e-3) - coils()).astype(np.complex64)
REALS = "the reference is real"
