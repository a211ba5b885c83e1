"""Notes about files in general, photographs, time series and amplitudes, with what gives each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from note_row import Row
from odd_inputs import (
    DIM,
    KERNEL,
    MOVED,
    NOISY,
    PIC,
    STACK,
    VIEWS,
    deep_alpha,
    denoise,
    fastmri,
    grey,
    half,
    inverted,
    matlab,
    missing,
    network,
    npy,
    npz,
    odd_tiff,
    of,
    pairs,
    phase,
    phase_python,
    photo,
    picture,
    scan,
    spilled,
    turned,
)
from odd_scans import blurred, clip, dynamic, flickering, marked
from PIL import Image
from scanner_files import ANGLES, dicom, dxchange, nifti, without_centre

from untrained.physics import Blur, Inpaint


def greyish(folder: Path) -> str:
    ramp = (255 * half()).astype(np.uint8)
    ramp[5, 5:9] = 90
    Image.fromarray(ramp).save(folder / "mask.png")
    return "mask.png"


PICTURES = (
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
)  # fmt: skip
