"""`untrained reconstruct TASK INPUT`: one subcommand per task, with the task's own options."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import click

from untrained.cli.job import reconstruct_file
from untrained.cli.many import reconstruct_inputs
from untrained.cli.options import Options, shared_options
from untrained.cli.task_options import (
    INPUTS,
    KEPT_NOISE,
    KEY,
    MASK_FROM,
    PHOTONS,
    READ_NOISE,
    SERIES,
    SLICE,
    TILE,
    VOLUME,
)
from untrained.data import TASKS
from untrained.data.parameters import kernel_size
from untrained.data.series import count_frames
from untrained.data.tasks.mri_maps import joint_start
from untrained.errors import UserError
from untrained.methods.dvp import EPOCHS
from untrained.methods.find import DVP


@click.group()
def reconstruct() -> None:
    """Turn a measurement into a picture.

    INPUT is a file. Several files, a folder or a pattern: each file is a job in a directory of its
    own under --out, and one that fails stops none; 'summary.csv' and 'index.html' tell of all.
    """


@reconstruct.command()
@INPUTS
@click.option("--sigma", default=None, metavar="S|auto", help="Noise level, 0..255 scale.")
@PHOTONS
@READ_NOISE
@VOLUME
@TILE
@SERIES
@KEY
@shared_options
def denoise(
    options: Options,
    inputs: tuple[str, ...],
    sigma: str | None,
    photons: float | None,
    read_noise: float | None,
    volume: bool,
    series: bool,
    key: str | None,
) -> int:
    """Remove noise from an image."""
    load = partial(
        TASKS["denoise"].load,
        sigma=sigma,
        photons=photons,
        read_noise=read_noise,
        volume=volume,
        series=series,
        key=key,
    )
    return reconstruct_inputs("denoise", inputs, options, load)


@reconstruct.command()
@INPUTS
@click.option("--mask", default=None, metavar="FILE", help="1 or white = measured.")
@MASK_FROM
@KEPT_NOISE
@VOLUME
@TILE
@SERIES
@KEY
@shared_options
def inpaint(
    options: Options,
    inputs: tuple[str, ...],
    mask: str | None,
    mask_from: str | None,
    sigma: str | None,
    volume: bool,
    series: bool,
    key: str | None,
) -> int:
    """Fill in missing pixels."""
    load = partial(
        TASKS["inpaint"].load,
        mask=mask,
        mask_from=mask_from,
        sigma=sigma,
        volume=volume,
        series=series,
        key=key,
    )
    return reconstruct_inputs("inpaint", inputs, options, load)


@reconstruct.command()
@INPUTS
@click.option("--factor", type=int, default=None, help="2, 3, 4 or 8.")
@TILE
@SERIES
@KEY
@shared_options
def superres(
    options: Options, inputs: tuple[str, ...], factor: int | None, series: bool, key: str | None
) -> int:
    """Enlarge an image."""
    load = partial(TASKS["superres"].load, factor=factor, series=series, key=key)
    return reconstruct_inputs("superres", inputs, options, load)


@reconstruct.command()
@INPUTS
@click.option(
    "--kernel",
    default=None,
    metavar="FILE|estimate[:SIZE]",
    help="Blur kernel, 2-D; or estimate it within a square of SIZE pixels.",
)
@PHOTONS
@READ_NOISE
@TILE
@KEY
@shared_options
def deblur(
    options: Options,
    inputs: tuple[str, ...],
    kernel: str | None,
    photons: float | None,
    read_noise: float | None,
    key: str | None,
) -> int:
    """Undo a blur, of a known kernel or an unknown one."""
    load = partial(
        TASKS["deblur"].load, kernel=kernel, photons=photons, read_noise=read_noise, key=key
    )
    if kernel_size(kernel) is not None:
        if options.tile is not None:
            raise UserError(
                "--tile: every tile would find a kernel of its own; leave it out, or estimate the "
                "kernel on a part of the picture and give the kernel.npy it leaves as --kernel"
            )
        options = replace(options, unknown=("kernel",))
    return reconstruct_inputs("deblur", inputs, options, load)


@reconstruct.command()
@INPUTS
@click.option("--kernel", default=None, metavar="FILE", help="Of the built-in blur, 2-D.")
@click.option("--bkse", default=None, metavar="FILE", help="Weights of the BKSE blur.")
@KEY
@shared_options
def nldeblur(
    options: Options, inputs: tuple[str, ...], kernel: str | None, bkse: str | None, key: str | None
) -> int:
    """Undo a known non-linear blur."""
    load = partial(TASKS["nldeblur"].load, kernel=kernel, weights=bkse, key=key)
    return reconstruct_inputs("nldeblur", inputs, options, load)


@reconstruct.command()
@INPUTS
@KEY
@shared_options
def cs(options: Options, inputs: tuple[str, ...], key: str | None) -> int:
    """Reconstruct from compressed measurements."""
    load = partial(TASKS["cs"].load, key=key)
    return reconstruct_inputs("cs", inputs, options, load)


@reconstruct.command()
@INPUTS
@click.option("--pad", type=int, default=None, help="Zeros on each side of the image.")
@click.option("--complex", "complex_image", is_flag=True, help="The image is complex.")
@KEY
@shared_options
def phase(
    options: Options, inputs: tuple[str, ...], pad: int | None, complex_image: bool, key: str | None
) -> int:
    """Reconstruct from Fourier amplitudes."""
    load = partial(TASKS["phase"].load, pad=pad, complex_image=complex_image, key=key)
    return reconstruct_inputs("phase", inputs, options, load)


@reconstruct.command()
@INPUTS
@click.option(
    "--mask", default=None, metavar="FILE", help="Sampling mask; else the file's, else the zeros."
)
@click.option(
    "--maps",
    default="auto",
    show_default=True,
    metavar="auto|espirit|lowres|joint|FILE",
    help="Coil sensitivities; joint corrects them with the image (joint:FILE begins with FILE's).",
)
@click.option(
    "--trajectory",
    default=None,
    metavar="FILE",
    help="Where the samples lie in k-space (radial, spiral); else the file's own, else a grid.",
)
@click.option(
    "--virtual-coils",
    type=click.IntRange(min=1),
    default=None,
    metavar="C",
    help="Compress the coils to so many.",
)
@click.option(
    "--noise-from",
    type=click.Choice(["corners", "background"]),
    default=None,
    help="Without a noise scan: make the coils' noise white by that of outermost k-space, or of "
    "the empty background.",
)
@click.option(
    "--map-sets",
    type=click.IntRange(1, 4),
    default=None,
    metavar="S",
    help="Sets of ESPIRiT maps; 2 where the field of view is smaller than the object.",
)
@SLICE
@VOLUME
@SERIES
@KEY
@shared_options
def mri(
    options: Options,
    inputs: tuple[str, ...],
    mask: str | None,
    maps: str,
    trajectory: str | None,
    virtual_coils: int | None,
    map_sets: int | None,
    noise_from: str | None,
    index: str | None,
    volume: bool,
    series: bool,
    key: str | None,
) -> int:
    """Reconstruct multi-coil MRI: Cartesian, or on any trajectory in the plane."""
    if joint_start(maps) is not None:
        options = replace(options, unknown=("maps",))
    load = partial(
        TASKS["mri"].load,
        mask=mask,
        maps=maps,
        trajectory=trajectory,
        virtual_coils=virtual_coils,
        map_sets=map_sets,
        noise_from=noise_from,
        slice=index,
        volume=volume,
        series=series,
        key=key,
    )
    return reconstruct_inputs("mri", inputs, options, load)


@reconstruct.command()
@INPUTS
@click.option("--angles", default=None, metavar="FILE|N", help="View angles in degrees.")
@click.option("--geometry", default=None, metavar="FILE", help="Geometry of the scan as JSON.")
@click.option(
    "--refine",
    type=click.Choice(["center", "angles"]),
    default=None,
    help="Find the rotation centre, or the angle of every view, by the views alone.",
)
@click.option(
    "--rings", is_flag=True, help="Subtract each detector bin's offset, which draws rings."
)
@SLICE
@VOLUME
@KEY
@shared_options
def ct(
    options: Options,
    inputs: tuple[str, ...],
    angles: str | None,
    geometry: str | None,
    refine: str | None,
    rings: bool,
    index: str | None,
    volume: bool,
    key: str | None,
) -> int:
    """Reconstruct sparse-view CT."""
    load = partial(
        TASKS["ct"].load,
        angles=angles,
        geometry=geometry,
        refine=refine,
        rings=rings,
        slice=index,
        volume=volume,
        key=key,
    )
    return reconstruct_inputs("ct", inputs, options, load)


@reconstruct.command()
@INPUTS
@click.option(
    "--mesh",
    default=None,
    metavar="FILE",
    help="Triangles and electrodes: nodes, elements, electrodes (.npz, .h5), or g, H, elfaces "
    "(.mat) [default: the file's own, else a disc].",
)
@click.option(
    "--reference-voltages",
    default=None,
    metavar="FILE",
    help="Voltages of the empty tank, as the challenge's ref.mat [default: the file's own].",
)
@click.option(
    "--ktc-level",
    type=click.IntRange(1, 7),
    default=None,
    help="Leave out what this level of the Kuopio Tomography Challenge does: the first 2 (n - 1) "
    "electrodes.",
)
@KEY
@shared_options
def eit(
    options: Options,
    inputs: tuple[str, ...],
    mesh: str | None,
    reference_voltages: str | None,
    ktc_level: int | None,
    key: str | None,
) -> int:
    """Reconstruct conductivity from voltages at electrodes."""
    load = partial(
        TASKS["eit"].load,
        mesh=mesh,
        reference_voltages=reference_voltages,
        level=ktc_level,
        key=key,
    )
    return reconstruct_inputs("eit", inputs, options, load)


@reconstruct.command()
@click.argument("input_video", metavar="INPUT")
@click.option(
    "--processed",
    default=None,
    metavar="FOLDER",
    help="What was made of each frame of INPUT: folder, stack or array.",
)
@KEY
@shared_options
def video(options: Options, input_video: str, processed: str | None, key: str | None) -> int:
    """Make a video consistent whose frames were processed one by one.

    INPUT holds the frames as they were: a folder of pictures, a TIFF of several pages, or an array
    (T, H, W) or (T, C, H, W).
    """
    load = partial(TASKS["video"].load, processed=processed, key=key)
    if not options.steps and options.method in ("auto", DVP):
        options = replace(options, steps=EPOCHS * count_frames(input_video, key))
    return reconstruct_file("video", input_video, options, load)


@reconstruct.command()
@INPUTS
@click.option(
    "--physics",
    required=True,
    metavar="MODULE:CALLABLE|FILE.py:CALLABLE",
    help="Your operator; called without arguments. The code in that file or module is run.",
)
@KEY
@shared_options
def custom(options: Options, inputs: tuple[str, ...], physics: str, key: str | None) -> int:
    """Reconstruct with your own operator.

    --physics runs the Python code it names, with your rights: name files that you trust.
    """
    load = partial(TASKS["custom"].load, physics=physics, key=key)
    return reconstruct_inputs("custom", inputs, options, load)
