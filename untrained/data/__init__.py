"""Reading, writing and simulating measurements, by task."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec

from untrained.checks import check_contents
from untrained.data.evaluate import evaluate_files
from untrained.data.formats import FORMATS, companion_of, is_deep
from untrained.data.measurement import Measurement
from untrained.data.references import (
    read_clean,
    read_guides,
    with_reference,
    with_references,
)
from untrained.data.simulate.ct import simulate_ct
from untrained.data.simulate.eit import simulate_eit
from untrained.data.simulate.encoded import simulate_cs, simulate_nldeblur, simulate_phase
from untrained.data.simulate.mri import simulate_mri
from untrained.data.simulate.photos import (
    simulate_deblur,
    simulate_denoise,
    simulate_inpaint,
    simulate_superres,
)
from untrained.data.tasks.cs import load_cs
from untrained.data.tasks.ct import load_ct
from untrained.data.tasks.custom import load_custom
from untrained.data.tasks.deblur import load_deblur
from untrained.data.tasks.denoise import load_denoise
from untrained.data.tasks.eit import load_eit
from untrained.data.tasks.inpaint import load_inpaint
from untrained.data.tasks.mri_series import load_mri
from untrained.data.tasks.nldeblur import load_nldeblur
from untrained.data.tasks.phase import load_phase
from untrained.data.tasks.superres import load_superres
from untrained.data.tasks.video import load_video
from untrained.errors import UserError, from_file
from untrained.solver.memory import is_out_of_memory

__all__ = [
    "FORMATS",
    "TASKS",
    "Measurement",
    "TaskFiles",
    "evaluate_files",
    "read_clean",
    "read_guides",
    "with_reference",
    "with_references",
]


P = ParamSpec("P")


@dataclass(frozen=True)
class TaskFiles:
    """Reader and simulator of a task; what its images are stands in `untrained/tasks.py`.

    Attributes:
        name: as typed on the command line.
        description: one sentence.
        files: what `load` reads.
        load: path and the task's options (keywords) -> measurements: several only where slices
            of a file were asked for.
        simulate: clean path, output path and options (keywords) -> notes; None if there is none.
    """

    name: str
    description: str
    files: str
    load: Callable[..., list[Measurement]]
    simulate: Callable[..., tuple[str, ...]] | None


def guarded(load: Callable[P, Measurement | list[Measurement]]) -> Callable[P, list[Measurement]]:
    """Make a loader return a list, and refuse whatever it cannot read by the name of a file.

    Measurements that are no measurements (all zero, or dwarfed by a few) are refused for every
    task alike.
    """

    @functools.wraps(load)
    def read(*paths: P.args, **options: P.kwargs) -> list[Measurement]:
        path = str(paths[0])
        files = [value for name, value in options.items() if name != "key"]
        given = [value for value in files if isinstance(value, str | Path)]
        with from_file(path, *given):
            found = _found(load, path, *paths, **options)
            for one in found:
                check_contents(one.y)
        companion, deep = companion_of(path), is_deep(path)
        return [replace(one, companion=companion, deep=deep) for one in found]

    return read


def _found(
    load: Callable[P, Measurement | list[Measurement]],
    path: str,
    *paths: P.args,
    **options: P.kwargs,
) -> list[Measurement]:
    """Load a file; what nobody foresaw becomes a UserError."""
    try:
        found = load(*paths, **options)
    except (UserError, OSError):
        raise
    except Exception as error:  # of numpy, torch or a decoder, on contents nobody foresaw
        if is_out_of_memory(error):
            reason = "it does not fit into memory"
        else:
            reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{path} cannot be read ({reason}); is it damaged, or of another kind than "
            f"{load.__name__.removeprefix('load_')} takes?"
        ) from error
    return found if isinstance(found, list) else [found]


_PICTURE = "a picture (PNG, JPEG, TIFF, NPY), or the .npz that simulate writes"
_ENCODED = ".npz or .h5 (measurement, image_shape), as simulate writes it"

TASKS: dict[str, TaskFiles] = {
    task.name: task
    for task in (
        TaskFiles(
            "denoise",
            "Remove noise from a picture or volume.",
            _PICTURE,
            guarded(load_denoise),
            simulate_denoise,
        ),
        TaskFiles(
            "inpaint",
            "Fill in missing pixels of a picture or volume.",
            f"{_PICTURE}; the mask is white or 1 where measured",
            guarded(load_inpaint),
            simulate_inpaint,
        ),
        TaskFiles(
            "superres",
            "Enlarge a picture by a whole factor.",
            _PICTURE,
            guarded(load_superres),
            simulate_superres,
        ),
        TaskFiles(
            "deblur",
            "Undo the blur of a known kernel.",
            f"{_PICTURE}; the kernel is an array or a grey picture",
            guarded(load_deblur),
            simulate_deblur,
        ),
        TaskFiles(
            "nldeblur",
            "Undo a known non-linear blur: BKSE, or a camera's.",
            f"{_PICTURE}; BKSE needs the weights file",
            guarded(load_nldeblur),
            simulate_nldeblur,
        ),
        TaskFiles(
            "cs",
            "Reconstruct from a few random combinations of the pixels.",
            _ENCODED,
            guarded(load_cs),
            simulate_cs,
        ),
        TaskFiles(
            "phase",
            "Reconstruct from the amplitudes of the Fourier transform.",
            _ENCODED,
            guarded(load_phase),
            simulate_phase,
        ),
        TaskFiles(
            "mri",
            "Reconstruct undersampled multi-coil or single-coil k-space.",
            "fastMRI-style .h5 (kspace: slices, coils, H, W) or .npz (kspace: coils, H, W; "
            "optionally mask, maps, reference), ISMRMRD raw data, or k-space alone as .npy",
            guarded(load_mri),
            simulate_mri,
        ),
        TaskFiles(
            "ct",
            "Reconstruct a slice from few or noisy projections, parallel or fan beam.",
            ".npz or .h5 (sinogram: angles, detectors, or slices first; angles in degrees; "
            "optionally image_shape, reference and the scan geometry), or a sinogram alone as .npy "
            "or TIFF with --angles",
            guarded(load_ct),
            simulate_ct,
        ),
        TaskFiles(
            "eit",
            "Reconstruct conductivity from voltages at electrodes around a body.",
            ".npz or .h5 (voltages, injections, patterns; optionally reference_voltages, and the "
            "mesh as nodes, elements, electrodes), or a .mat of the Kuopio Tomography Challenge "
            "2023",
            guarded(load_eit),
            simulate_eit,
        ),
        TaskFiles(
            "video",
            "Make a video consistent whose frames were processed one by one.",
            "a folder of pictures, a TIFF of several pages or an array (T, H, W) or (T, C, H, W); "
            "the processed frames likewise (--processed)",
            guarded(load_video),
            None,
        ),
        TaskFiles(
            "custom",
            "Invert an operator of your own, given as Python code.",
            ".npy, .npz (measurement; optionally reference and sigma) or a picture",
            guarded(load_custom),
            None,
        ),
    )
}
