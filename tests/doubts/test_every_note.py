"""Every note that the package can give: each reaches the terminal and the notes of the result.

`ROWS` is the table; `test_no_note_is_without_a_row` reads the source and fails where a text that
becomes a note stands in no row.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from note_texts import (
    PARTS,
    every_text,
)
from odd_inputs import (
    COLUMNS,
    CUT,
    DEAD,
    DIM,
    KERNEL,
    LINES,
    LOST_VIEW,
    MOVED,
    NOISY,
    PIC,
    SIGN,
    SMALL,
    STACK,
    VIEWS,
    Command,
    Python,
    amplitudes,
    coils,
    counted_from_one,
    ct,
    ct_python,
    custom,
    custom_python,
    deblur,
    deep_alpha,
    denoise,
    fastmri,
    grey,
    half,
    hdf,
    inverted,
    jumping,
    learned,
    loud,
    matlab,
    missing,
    mri,
    mri_python,
    network,
    npy,
    npz,
    odd_tiff,
    of,
    oversampled,
    pairs,
    phase,
    phase_python,
    photo,
    picture,
    scan,
    simulate,
    spilled,
    tank,
    turned,
    unmeasured,
    with_noisy_prior,
    with_prior,
)
from odd_scans import (
    CONE,
    blurred,
    clip,
    cone,
    counted,
    described,
    dynamic,
    flickering,
    half_empty,
    marked,
    radial,
    raw,
    segmented,
    shots,
    unscanned,
)
from PIL import Image
from scanner_files import ANGLES, dicom, dxchange, nifti, without_centre

import untrained as ut
from untrained.cli import main
from untrained.data.phantoms import birdcage_maps, brain
from untrained.metrics import OTHER_UNITS
from untrained.physics import Blur, Inpaint

OWN_METHOD = f"{Path(__file__).parents[2] / 'examples' / 'write_a_method.py'}:Relaxed"


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


ROWS = (
    # what was read
    Row("read: an image of", denoise(measurement=NOISY), photo(NOISY)),
    Row("the noise is Poisson's", denoise(measurement=NOISY, photons=np.asarray(40.0))),
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
    Row("stored values were rescaled", of(
        "denoise", lambda f: dicom(f, (999 * PIC).astype(int), 2.0, -5.0))),
    Row("MONOCHROME1", of(
        "denoise", lambda f: dicom(f, (999 * PIC).astype(int), kind="MONOCHROME1"))),
    Row("its values have units of their own", of(
        "denoise", lambda f: nifti(f, (999 * PIC).astype(np.int16)))),
    Row("voxels of", of("denoise", lambda f: nifti(f, (999 * PIC).astype(np.int16)))),
    Row("raw counts were divided by", of("ct", dxchange)),
    Row("angles up to 2 pi were taken for radians", of(
        "ct", lambda f: dxchange(f, theta=np.radians(ANGLES)))),
    Row("the rotation centre was found at bin", of("ct", dxchange)),
    Row("and their centres of mass say", of("ct", dxchange), None,
        (("untrained.data.tasks.ct_raw.AGREE", -1.0),)),
    Row("; their centres of mass say", of("ct", dxchange)),
    Row("the rotation centre could not be found", of("ct", without_centre)),
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
    Row("shares covers", marked),
    Row("the file holds a kernel, which is not looked at", blurred()),
    Row("the kernel is sought in a square of", blurred()),
    Row("takes a guess for it (a Gaussian)", blurred()),
    Row("; the image is then made by", blurred(*network(method="auto", steps=2))),
    # time series
    Row(": a series of", lambda f: [
        "reconstruct", "denoise", clip(f), "--series", "--sigma", "20"]),
    Row("files of the folder are no pictures, and left out", lambda f: [
        "reconstruct", "denoise", clip(f, "notes.txt"), "--series", "--sigma", "20"]),
    Row("the mask holds for every frame", lambda f: [
        *("reconstruct", "inpaint", npy(f, STACK), "--series"),
        *("--mask", npy(f, half(), "m.npy"))]),
    Row("a dynamic scan of", dynamic),
    Row(", that of the processed frames", flickering),
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
    Row("the object is wider than the detector: where the views end",
        ct(sinogram=CUT, image_shape=None)),
    Row("the image has no room for what lies outside", ct(sinogram=CUT, image_shape=[24, 24]),
        ct_python(CUT)),
    Row("image size not given", ct(image_shape=None)),
    Row("detector pitch not given", ct(pixel_size=1.0)),
    Row("pixel size not given", ct(detector_pitch=1.0)),
    Row(
        "the projection matrix would take",
        ct(),
        None,
        (("untrained.data.tasks.ct_scan.largest_array", lambda: 1),),
    ),
    Row("volume size not given", cone()),
    Row("slices lie beyond the panel and are hardly measured", cone(volume_shape=[40, 12, 12])),
    Row("every ray weighs by its photons", counted()),
    Row("of the rays had none, and count as one photon", counted()),
    Row("the geometry is that of the file's", ct(**described(**CONE))),
    Row("describes no fan or cone beam, and is not used", ct(**described(target="Mo"))),
    Row("takes the place of", ct("--refine", "center", sinogram=scan(detector_offset=2.0))),
    Row("detector bins were found and subtracted", ct("--rings")),
    Row("the angles of the views were corrected by", ct("--refine", "angles")),
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
    Row("sets, ESPIRiT from the fully sampled", mri("--map-sets", 2)),
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
    Row("is complex: kx + i ky", radial(traj=lambda t: t[..., 0] + 1j * t[..., 1])),
    Row("taken as cycles per field of view of", radial(traj=lambda t: 32 * t)),
    Row("taken as halves of the sampled band", radial(traj=lambda t: 2 * t)),
    Row("of the 0.5 cycles per pixel that an image can show", radial(traj=lambda t: t / 8)),
    Row("taken as radians per pixel", radial(traj=lambda t: 2 * np.pi * t)),
    Row("density compensation: the file's", radial(
        dcf=lambda _: np.hypot(*np.moveaxis(shots(), -1, 0)) + 0.01)),
    Row("density compensation: computed (Pipe and Menon)", radial()),
    Row("the field of view that the distance of samples allows", radial(samples=32)),
    Row("; another one as 'image_shape' in the file", radial()),
    Row("pixels the outer ones show nothing", radial()),
    Row(", as the file's ", radial(reference=lambda _: brain(32))),
    Row("shots hold zeros in every coil: not measured", radial(kspace=half_empty)),
    # operators of one's own
    Row("A_adjoint is only roughly the adjoint", custom, custom_python),
    # a tank with electrodes
    Row("without reference voltages the background", tank(reference_voltages=lambda _: None)),
    Row("a disc was made, of radius", tank(
        nodes=lambda _: None, elements=lambda _: None, electrodes=lambda _: None)),
    Row("are counted from 1, as in MATLAB", tank(
        elements=counted_from_one, electrodes=counted_from_one)),
    Row("holds classes, not conductivities", tank(truth=lambda _: np.zeros((256, 256)))),
    Row("of the challenge:", tank("--ktc-level", "2")),
    Row("fitted: a background conductivity of", tank()),
    Row("are NaN and count as not measured", tank(voltages=unmeasured)),
    Row("count from the mean of all electrodes", tank(
        patterns=lambda _: np.eye(8)[:, :6], voltages=lambda v: v[:6],
        reference_voltages=lambda v: v[:6])),
    Row("was read as (injections, voltages)", tank(
        patterns=lambda p: p[:, :6], voltages=lambda v: v[:6].T,
        reference_voltages=lambda v: v[:6])),
    # what became of a run
    Row("a classical image (", deblur(*network())),
    Row("moved towards the measurements at the end", deblur(*network(method="dip", steps=60))),
    Row("which in trials predicted held-out measurements best", deblur(
        *network("--set", "lam=auto", method="aseqdip", steps=8, small=SMALL[:2]))),
    Row("there is no classical answer beside it", lambda f: [*deblur(*network())(f), "--compare"],
        None, (("untrained.run.evaluate.COMPARISON", -1.0),)),
    Row("the fit of all measurements failed", deblur(*network(method="dip", steps=60)), None,
        (("untrained.solver.loop.off_track", jumping),)),
    Row("was dropped from the mean", deblur(*network("--seeds", "2", "--set", "stop.again=false",
        method="dip", steps=30)), None, (("untrained.solver.loop.off_track", jumping),)),
    Row("it has the network and the start that", learned),
    Row("that was trained elsewhere (", with_prior),
    Row("is asked of the denoiser, and it was trained on", with_prior),
    Row("and is asked at that level alone", lambda f: with_prior(
        f, "--set", f"strength={25 / 255!r}")),
    Row("the prior knows no noise below", with_noisy_prior),
    Row("shows what learning is worth", lambda f: [
        *denoise(measurement=NOISY)(f), *network(method="ugodit")], lambda: {
        **photo(NOISY)(), "method": "ugodit", "steps": 2, "settings": SMALL[1::2]}),
    Row("is run with the network, engine, stop rule and output of", lambda f: [
        *denoise(measurement=NOISY)(f), *network(method=OWN_METHOD)], lambda: {
        **photo(NOISY)(), "method": OWN_METHOD, "steps": 2, "settings": SMALL[1::2]}),
    Row("the weights were learned for another scan", learned),
    Row("times as bright as the image", denoise(measurement=NOISY, reference=255 * PIC),
        lambda: photo(NOISY, truth=torch.from_numpy(255 * PIC)[None, None])()),
    # simulate and evaluate, which have no result
    Row("no kernel given: a Gaussian", simulate("deblur", grey)),
    Row("no --bkse given: the built-in non-linear blur", simulate("nldeblur", grey)),
    Row("the image is real: its phase is taken as zero", simulate("mri", grey)),
    Row("samples furthest from the centre of k-space", unscanned("corners")),
    Row("of the image that hold least", unscanned("background")),
    Row("ISMRMRD, readouts: ", raw),
    Row("of the encoded space", raw),
    Row("and its reference were divided by ", simulate(
        "phase", lambda f: npy(f, (3j * PIC).astype(np.complex64)))),
    Row("black is a conductivity of", simulate("eit", grey, "--electrodes", 8)),
    Row("was cut into background, resistive and conductive", lambda f: [
        "evaluate", npy(f, np.eye(256), "a.npy"), npy(f, 0.5 + np.eye(256), "b.npy"),
        "--score", "ktc"]),
    Row("by Otsu's method", segmented),
    Row("its middle was compared, pixels being taken for equally large", segmented),
    Row("so that no ray loses more than 86 %", simulate("ct", grey, "--photons", 1000)),
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
