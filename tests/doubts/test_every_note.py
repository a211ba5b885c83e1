"""Every note that the package can give: each reaches the terminal and the notes of the result.

`ROWS` is the table; `test_no_note_is_without_a_row` reads the source and fails where a text that
becomes a note stands in no row.
"""

from __future__ import annotations

import ast
import json
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import untrained as ut
from untrained.cli import main
from untrained.data.images import read_picture
from untrained.data.phantoms import birdcage_maps, brain
from untrained.errors import UserError
from untrained.maths import fft2c, to_channels
from untrained.metrics import OTHER_UNITS
from untrained.physics import CT, MRI, Blur, Denoise, Inpaint
from untrained.physics.phase import PhaseRetrieval
from untrained.pretrain import train

PACKAGE = Path(ut.__file__).resolve().parent
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


@dataclass(frozen=True)
class Row:
    """A note and what gives it.

    Attributes:
        words: a part of it that no other note has.
        command: of a folder, the arguments of the command line.
        python: the arguments of `reconstruct` that give it in Python; None where only the reader
            of a file can know.
        before: patches, as of `monkeypatch.setattr`.
    """

    words: str
    command: Callable[[Path], Command] | None
    python: Python | None = None
    before: tuple[tuple[str, Any], ...] = ()


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
    return lambda: {"y": y, "physics": CT((24, 24), views, 34, **keys)}


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
    """What is called measured holds next to nothing, and the rest the picture."""
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

ROWS = (
    # what was read
    Row("read: an image of", denoise(measurement=NOISY), photo(NOISY)),
    Row("pixels were divided by", denoise(measurement=(4e9 * PIC).astype(np.uint32))),
    Row("and the picture is dark", denoise(measurement=(4095 * PIC).astype(np.uint16))),
    Row("values reach from", denoise(measurement=PIC - 0.5)),
    Row("colours were converted to RGB", of("denoise", lambda f: picture(f, "P"))),
    Row("16-bit grey with alpha was read with 8 bits", of("denoise", deep_alpha)),
    Row("alpha channel dropped", of("denoise", lambda f: picture(f, "LA"))),
    Row("turned upright as its orientation tag", of("denoise", turned)),
    Row("parts of the TIFF are damaged or odd", of("denoise", odd_tiff)),
    Row("MATLAB writes axes in reverse: an array (H, W) was", of(
        "denoise", lambda f: matlab(f, "measurement", NOISY))),
    Row("MATLAB writes axes in reverse: an array (H, W, coils)", of("mri", pairs)),
    Row("MATLAB writes axes in reverse: an array (detectors, angles)", of(
        "ct", lambda f: matlab(f, "sinogram", scan().T, angles=VIEWS, image_shape=[24, 24]))),
    Row("the middle one of", of("mri", fastmri(48, 48))),
    Row("taken for a volume of", of("denoise", lambda f: npy(f, STACK), "--volume")),
    Row("taken for one picture of", of("denoise", lambda f: npy(f, np.stack([NOISY] * 5)))),
    # photographs
    Row("noise level estimated from the picture", of("denoise", grey, "--sigma", "auto")),
    Row("and --sigma auto takes the latter", of(
        "denoise", lambda f: npy(f, NOISY), "--sigma", "200")),
    Row("sigma is in the units of y", None, photo(NOISY, sigma=0.9)),
    Row("; did you mean", None, photo(NOISY, sigma=25.0)),
    Row("pictures are taken to lie in [0, 1]; it was divided", denoise(measurement=DIM),
        photo(DIM)),
    Row("has its centre of mass", lambda f: [
        "reconstruct", "deblur", npz(f, measurement=NOISY, kernel=MOVED)],
        lambda: {**photo(NOISY)(), "physics": Blur(MOVED, (1, 24, 24))}),
    Row("the kernel summed to", lambda f: [
        "reconstruct", "deblur", npz(f, measurement=NOISY, kernel=2 * KERNEL)]),
    Row("took the place of the file's own '", lambda f: [
        *("reconstruct", "deblur", npz(f, measurement=NOISY, kernel=KERNEL)),
        *("--kernel", npy(f, np.ones((5, 5)), "k.npy"))]),
    Row("no mask was given: pixels that are 0", of(
        "inpaint", lambda f: npy(f, np.where(half(), PIC, 0)))),
    Row("far outside [0, 1] count as missing", of("inpaint", lambda f: npy(f, missing()))),
    Row("pixels beside the missing ones are nearly black", of("inpaint", spilled)),
    Row("the mask holds for every slice", lambda f: [
        *("reconstruct", "inpaint", npy(f, STACK), "--volume"),
        *("--mask", npy(f, half(), "m.npy"))]),
    Row("nearly one value, and what it calls missing", lambda f: [
        "reconstruct", "inpaint", npz(f, measurement=inverted()[0], mask=inverted()[1])],
        lambda: {**photo(inverted()[0])(), "physics": Inpaint(inverted()[1], (1, 24, 24))}),
    Row("of the mask are neither black nor white", lambda f: [
        *("reconstruct", "inpaint", npy(f, NOISY), "--mask"),
        npy(f, 0, "x.npy").parent / greyish(f)]),
    Row("this library's non-linear one, not BKSE", lambda f: [
        *("reconstruct", "nldeblur", npz(f, measurement=PIC, kernel=KERNEL)),
        *network(method="dip", steps=2)]),
    # amplitudes
    Row("whether the picture is turned by 180 degrees", phase()),
    Row("nor its overall phase", phase("--complex")),
    Row("each channel was measured on its own", phase(channels=3)),
    Row("the largest amplitude is at", phase(roll=5), phase_python),
    # CT
    Row("are the angles in radians?", ct(angles=np.radians(VIEWS)),
        ct_python(scan(), np.radians(VIEWS))),
    Row("is the sign of the logarithm wrong?", ct(sinogram=-scan() - 1), ct_python(-scan() - 1)),
    Row("the outermost detectors see as much", ct(sinogram=scan() + 100), ct_python(scan() + 100)),
    Row("the rotation centre seems to be off", ct(sinogram=scan(detector_offset=3.0)),
        ct_python(scan(detector_offset=3.0))),
    Row("the views do not fit the geometry", ct("--compare", sinogram=scan(detector_offset=3.0)),
        lambda: {**ct_python(scan(detector_offset=3.0))(), "compare": True}),
    Row("what the detector sees at the rotation centre", ct(pixel_size=1.0, detector_pitch=0.05),
        ct_python(scan(), pixel_size=1.0, detector_pitch=0.05)),
    Row("is dead (", ct(sinogram=DEAD), ct_python(DEAD)),
    Row("is lost (", ct(sinogram=LOST_VIEW), ct_python(LOST_VIEW)),
    Row("are left out, as the file's mask says", ct(mask=np.arange(34) != 15)),
    Row("image size not given", ct(image_shape=None)),
    Row("detector pitch not given", ct(pixel_size=1.0)),
    Row("pixel size not given", ct(detector_pitch=1.0)),
    Row(
        "the projection matrix would take",
        ct(),
        None,
        (("untrained.data.tasks.ct_scan.room", lambda: 1),),
    ),
    # MRI
    Row("no mask was given: the non-zero pattern", mri()),
    Row("was read as (slices, H, W) of a single coil", of(
        "mri", lambda f: hdf(f, kspace=coils(1) * COLUMNS))),
    Row("the mask leaves out the centre of k-space", mri(
        kspace=coils(), mask=~COLUMNS, maps=np.ones((4, 48, 48), np.complex64) / 2)),
    Row("measured positions of k-space unused", mri(kspace=coils(), mask=COLUMNS)),
    Row("that the mask calls measured hold zeros", mri(mask=COLUMNS | (np.arange(48) == 1))),
    Row("was read as whole", mri(mask=COLUMNS[None])),
    Row("was read as one mask (H, W)", mri(mask=np.tile(COLUMNS, (4, 48, 1)))),
    Row("from the fully sampled", mri()),
    Row("coil maps: from the file", mri(maps=birdcage_maps(4, (48, 48)).astype(np.complex64))),
    Row("coil maps: from ", lambda f: [
        *mri()(f), "--maps", npy(f, birdcage_maps(4, (48, 48)).astype(np.complex64), "maps.npy")]),
    Row("a single coil: its map is taken as 1", mri(kspace=coils(1)[0] * COLUMNS)),
    Row("the reference is real: it is compared by magnitude", mri(reference=np.abs(brain(48)))),
    Row("the reference is the file's ", of("mri", fastmri(48, 48))),
    Row("the middle 40x40 of", of("mri", fastmri(40, 40))),
    Row("what lies beyond comes of the oversampled readout", of("mri", fastmri(24, 48))),
    Row("is larger than the image: no reference", of("mri", fastmri(64, 64))),
    Row("more coils than rows or columns", mri(
        kspace=np.tile(coils(1) * 0.1 + 0.001 * coils(1), (60, 1, 1))[:, 2:46, 2:46],
        maps=np.ones((60, 44, 44), np.complex64) / 8)),
    Row("the strongest sample of k-space is at", mri(kspace=np.roll(coils(), 9, axis=-1)),
        mri_python(np.roll(coils(), 9, axis=-1))),
    Row("half a field of view off", mri(kspace=coils() * SIGN), mri_python(coils() * SIGN)),
    Row("the readout is oversampled", mri(kspace=oversampled())),
    Row("near the centre of k-space hold less than", mri(kspace=LINES), mri_python(LINES)),
    Row("the noise of coils is unequal", mri(kspace=loud()), mri_python(loud())),
    # operators of one's own
    Row("A_adjoint is only roughly the adjoint", custom, custom_python),
    # what became of a run
    Row("a classical image (", deblur(*network())),
    Row("moved towards the measurements at the end", deblur(*network(method="dip", steps=60))),
    Row("which in trials predicted held-out measurements best", deblur(
        *network("--set", "lam=auto", method="aseqdip", steps=8, small=SMALL[:2]))),
    Row("there is no classical answer beside it", lambda f: [*deblur(*network())(f), "--compare"],
        None, (("untrained.about.COMPARISON", -1.0),)),
    Row("the fit of all measurements failed", deblur(*network(method="dip", steps=60)), None,
        (("untrained.solver.loop.off_track", jumping),)),
    Row("was dropped from the mean", deblur(*network("--seeds", "2", "--set", "stop.again=false",
        method="dip", steps=30)), None, (("untrained.solver.loop.off_track", jumping),)),
    Row("it has the network and the start that", learned),
    Row("shows what learning is worth", lambda f: [
        *denoise(measurement=NOISY)(f), *network(method="ugodit")], lambda: {
        **photo(NOISY)(), "method": "ugodit", "steps": 2, "settings": SMALL[1::2]}),
    Row("the weights were learned for another scan", learned),
    Row("times as bright as the image", denoise(measurement=NOISY, reference=255 * PIC),
        lambda: photo(NOISY, truth=torch.from_numpy(255 * PIC)[None, None])()),
    # simulate and evaluate, which have no result
    Row("no kernel given: a Gaussian", simulate("deblur", grey)),
    Row("no --bkse given: the built-in non-linear blur", simulate("nldeblur", grey)),
    Row("the image is real: its phase is taken as zero", simulate("mri", grey)),
    Row("and its reference were divided by ", simulate(
        "phase", lambda f: npy(f, (3j * PIC).astype(np.complex64)))),
    Row("smooth birdcage-like coil maps", simulate("mri", grey)),
    Row("turned and moved to fit the image best", lambda f: ["evaluate", npy(f, PIC), npz(
        f, measurement=amplitudes(), image_shape=np.array([24, 24]), reference=PIC)]),
    Row("the image is compared with slice", lambda f: [
        *("evaluate", npy(f, np.ones((48, 48))), fastmri(48, 48)(f))]),
)  # fmt: skip


def greyish(folder: Path) -> str:
    ramp = (255 * half()).astype(np.uint8)
    ramp[5, 5:9] = 90
    Image.fromarray(ramp).save(folder / "mask.png")
    return "mask.png"


def arguments(row: Row, folder: Path) -> Command:
    """The whole command: quick, and without a comparison unless the row asks for one."""
    assert row.command is not None
    given = row.command(folder)
    compare = "--compare" in given
    given = [str(part) for part in given if part != "--compare"]
    if given[0] == "evaluate":
        return given
    if given[0] == "simulate":
        return [*given, "--out", str(folder / "made.npz")]
    if "--method" not in given and "--weights" not in given:
        given += ["--method", "tv" if compare and given[1] == "ct" else "adjoint"]
    return [*given, *([] if compare else ["--no-compare"]), "--out", str(folder / "out")]


NAMES = [row.words for row in ROWS]


@pytest.mark.parametrize("row", [row for row in ROWS if row.command], ids=lambda row: row.words)
def test_the_terminal_and_the_result_have_it(
    row: Row, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target, value in row.before:
        monkeypatch.setattr(target, value)
    command = arguments(row, tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(command)
    heard = capsys.readouterr()
    said = " ".join((heard.out + heard.err).split())
    assert not ended.value.code, said
    assert " ".join(row.words.split()) in said
    if command[0] == "reconstruct":
        notes = json.loads((tmp_path / "out" / "result.json").read_text())["notes"]
        assert any(row.words in note for note in notes), notes


@pytest.mark.parametrize("row", [row for row in ROWS if row.python], ids=lambda row: row.words)
def test_python_has_it_as_a_warning_and_in_the_notes(row: Row) -> None:
    assert row.python is not None
    usual = {"method": "adjoint", "progress": False, "compare": False}
    given = {**usual, **row.python()}
    if given["compare"]:
        given["method"] = "tv"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = ut.reconstruct(**given)
    said = [str(w.message) for w in caught if w.category is ut.Note]
    assert said == list(result.notes)
    assert sum(row.words in note for note in said) == 1, said


def test_evaluate_asks_about_other_units(tmp_path: Path, capsys: Any) -> None:
    files = [npy(tmp_path, NOISY, "a.npy"), npy(tmp_path, 255 * PIC, "b.npy"), "--range", "1"]
    with pytest.raises(SystemExit):
        main(["evaluate", *map(str, files)])
    assert "times as bright as the image" in " ".join(capsys.readouterr().err.split())


# ---------------------------------------------------------------------------------------------

SOURCES = (
    "about.py",
    "data",
    "doubts",
    "pretrain/weights.py",
    "physics/base.py",
    "physics/check.py",
)
ALSO = {  # texts that functions return which give notes by another name
    "solver/refit.py": ("_fall_back",),
    "plan.py": ("notes",),
    "api.py": ("_mean",),
    "core/result.py": ("said",),
    "physics/masks.py": ("plane_mask",),
    "data/simulate/encoded.py": ("_said",),
    "doubts/ct.py": ("_left_out",),
}
PARTS = (
    # labels of arrays and files
    "slice {}", "' in {}", "--kernel: {}", "{}, A_adjoint", "'reference' in ",
    "(H, W) or (C, H, W)", "a picture (", ", enlarged ", "k-space of {} coils (--coils)",
    "the {}x{} image",
    # parts of a note that has a row
    "what was given", "the first image", " of the positions", "; leave it out of the file",
    "in a JPEG black is not ", "black may not be exactly 0", " times as wide as",
    "next to nothing, or one value,", "detector bin", " with a Gaussian of ",
    "and left out, as not measured", "the middle {}x{} of",
    # why a mean of seeds was cut short, which is told as the end of the run
    " seeds are in the image",
)  # fmt: skip
"""Parts of texts that are collected, and no notes of their own."""


def text_of(node: ast.AST) -> str:
    """The constant parts of a text, with a mark for each value in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return ""


def gives_notes(function: ast.FunctionDef, file: str) -> bool:
    """Whether a function makes notes, by what it returns, takes or names."""
    if function.name in ALSO.get(file, ()):
        return True
    returns = ast.unparse(function.returns) if function.returns else ""
    names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute)}
    names |= {a.arg for a in function.args.args}
    return "notes" in names or "tuple[str, ...]" in returns


def texts_of(function: ast.FunctionDef) -> Iterator[str]:
    """The texts in a function that are raised by nothing, compared with nothing, and no keys."""
    skipped: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise | ast.Subscript | ast.arguments | ast.Compare):
            skipped |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(inner) for inner in ast.walk(node) if inner is not node}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
    for node in ast.walk(function):
        text = text_of(node)
        if id(node) not in skipped and " " in text.strip() and len(text) >= 12:
            yield text


def constants_of(tree: ast.Module, function: ast.FunctionDef, file: str) -> Iterator[str]:
    """The texts of the constants that a function names, of its own file or of another one."""
    named = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and n.id.isupper()}
    raised = {
        n.id
        for node in ast.walk(function)
        if isinstance(node, ast.Raise)
        for n in ast.walk(node)
        if isinstance(n, ast.Name)
    }
    module = __import__(f"untrained.{file[:-3].replace('/', '.')}", fromlist=["x"])
    for name in sorted(named - raised):
        value = getattr(module, name, None)
        if isinstance(value, str) and " " in value.strip() and len(value) >= 12:
            yield value


def every_text() -> Iterator[tuple[str, str]]:
    paths = [path for name in (*SOURCES, *ALSO) for path in sorted(matching(name))]
    for path in dict.fromkeys(paths):
        file = path.relative_to(PACKAGE).as_posix()
        whole = any(file == name or file.startswith(f"{name}/") for name in SOURCES)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or not gives_notes(node, file):
                continue
            if not whole and node.name not in ALSO[file]:
                continue
            for text in (*texts_of(node), *constants_of(tree, node, file)):
                yield f"{file}: {node.name}", text


def matching(name: str) -> list[Path]:
    return list((PACKAGE / name).rglob("*.py")) or [PACKAGE / name]


def test_no_note_is_without_a_row() -> None:
    """A new text that becomes a note needs a row; texts that are no notes are in PARTS."""
    found = list(every_text())
    assert len(found) > 100
    assert OTHER_UNITS in [text for _, text in found]
    lost = [
        (where, text)
        for where, text in found
        if not any(row.words in text.replace("{}", " ") or row.words in text for row in ROWS)
        and not any(part in text for part in PARTS)
    ]
    assert not lost, lost


def test_every_row_has_words_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES)
