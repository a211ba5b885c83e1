"""Load electrical impedance tomography: voltages at electrodes around a body.

A file holds `voltages` (M, I), `injections` (L, I), the currents into L electrodes, and `patterns`
(L, M), the weights of the electrodes in each voltage; optionally `reference_voltages` (M, I) of
the body before or of an empty tank, the mesh, `mask` (M, I), 1 = measured, `impedance` (1 or L
contact impedances), `sigma`, `image_shape` and `reference`. The Kuopio Tomography Challenge 2023
calls the first ones `Uel`, `Inj`, `Mpat` and `Uelref`, with or without `data_` and `ref_`; its own
files are MAT.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from untrained.data.arrays import read_optional, single_precision
from untrained.data.formats import (
    ArrayFile,
    has_named_arrays,
    named_array_suffixes,
    open_arrays,
)
from untrained.data.formats.advice import other_format
from untrained.data.formats.mat import MAT_SUFFIX, open_mat
from untrained.data.measurement import Measurement
from untrained.data.named import RenamedArray
from untrained.data.tasks.eit_mesh_file import mesh_in, read_mesh
from untrained.data.tasks.eit_order import check_order
from untrained.data.tasks.eit_scan import (
    Scan,
    at_level,
    positive_numbers,
    read_reference_scan,
    read_scan,
)
from untrained.data.tasks.encoded import read_image_shape
from untrained.errors import UserError, from_file, shown
from untrained.physics.eit import EIT
from untrained.physics.eit_calibrate import calibrated, homogeneous
from untrained.physics.eit_mesh import Mesh, disc_mesh

SIDE = 256
DEFAULT_IMPEDANCE = 1e-6

MADE = (
    "no mesh is given: a disc was made, of radius {:g} with {} electrodes that cover half of its "
    "border, the first at the top, the others counter-clockwise; --mesh FILE takes another"
)
CLASSES = (
    "its '{}' holds classes, not conductivities: compare the image with them by untrained evaluate "
    "DIR/reconstruction.npy {} --score ktc"
)
LEVEL = "level {} of the challenge: {} of {} injections and {} of {} voltages each are kept"
ABSOLUTE = (
    "without reference voltages the background and the contact impedances are estimated from the "
    "measurement itself"
)
FITTED = (
    "fitted: a background conductivity of {:.3g} and contact impedances around {:.2g}, in units of "
    "the file; numbers a thousand times off tell of currents in mA or of voltages in mV"
)


@dataclass(frozen=True)
class _Beside:
    """What a file holds beside the scan: each None where it has none."""

    mesh: Mesh | None
    impedance: np.ndarray | None
    shape: tuple[int, int]
    reference: np.ndarray | None


def load_eit(
    path: str | Path,
    *,
    mesh: str | Path | None = None,
    reference_voltages: str | Path | None = None,
    level: int | None = None,
    key: str | None = None,
) -> Measurement:
    """Load voltages, currents and patterns, and the mesh they belong to.

    Args:
        path: .npz, .h5 or .mat by the keys listed above.
        mesh: file of a mesh, see `eit_mesh_file`; None takes the file's own, or makes a disc.
        reference_voltages: file of voltages of the empty tank, as the challenge's ref.mat is; None
            takes the file's own.
        level: of the challenge, 1 to 7: level n leaves out what was measured or driven with the
            first 2 (n - 1) electrodes.
        key: name of the array of voltages.

    Returns:
        y `(1, 1, M, I)`, in the units of the voltages.

    Raises:
        UserError: unreadable file, or electrodes, currents, patterns, voltages and units that
            contradict each other.
    """
    with _open(path, key) as file:
        scan = read_scan(file)
        beside, notes = _beside(file)
    if reference_voltages is not None:
        scan = _with_reference(scan, reference_voltages)
    if level is not None:
        before = scan.voltages.shape
        scan = at_level(scan, level, path)
        after = scan.voltages.shape
        notes += (LEVEL.format(level, after[1], before[1], after[0], before[0]),)
    if scan.reference_voltages is None:
        notes += (ABSOLUTE,)
    own, of_mesh = _mesh(mesh, beside.mesh, scan, path)
    with from_file(path, mesh):
        physics, of_order = _operator(own, scan, beside)
    notes += (
        *of_order,
        FITTED.format(physics.background, float(np.median(physics.impedance))),
    )
    one = scan.sigma is not None and not scan.sigma.ndim
    truth = _reference(beside, physics, path)
    return Measurement(
        task="eit",
        y=torch.from_numpy(single_precision(scan.voltages, f"'voltages' in {path}"))[None, None],
        physics=physics,
        sigma=float(scan.sigma) if one else None,  # type: ignore[arg-type]
        reference=truth,
        data_range=None if truth is None else float(truth.abs().max()) or None,
        notes=(*scan.notes, *notes, *of_mesh),
        axes="YX",
        source=str(path),
    )


@contextmanager
def _open(path: str | Path, key: str | None, what: str = "input") -> Iterator[ArrayFile]:
    """Open a measurement file of any kind; `key` is read as `voltages`."""
    if Path(path).suffix.lower() == MAT_SUFFIX:
        opened: AbstractContextManager[ArrayFile] = open_mat(path, what)
    elif has_named_arrays(path):
        opened = open_arrays(path, what)
    else:
        expected = f"{', '.join((*named_array_suffixes(), MAT_SUFFIX))} with 'voltages'"
        raise other_format(path, what, expected)
    with opened as file:
        yield file if key is None else RenamedArray(file, "voltages", key)


def _beside(file: ArrayFile) -> tuple[_Beside, tuple[str, ...]]:
    """Read what is stored beside the scan, and notes."""
    found = mesh_in(file)
    classes = "truth" if "truth" in file.keys and "reference" not in file.keys else ""
    notes = found[1] if found else ()
    if classes:
        notes += (CLASSES.format(classes, file.path),)
    beside = _Beside(
        mesh=found[0] if found else None,
        impedance=positive_numbers(file, "impedance"),
        shape=read_image_shape(file) if "image_shape" in file.keys else (SIDE, SIDE),
        reference=read_optional(file, "reference"),
    )
    return beside, notes


def _with_reference(scan: Scan, path: str | Path) -> Scan:
    """Take the reference voltages of another file."""
    with _open(path, None, "--reference-voltages") as file:
        return replace(scan, reference_voltages=read_reference_scan(file, scan))


def _mesh(
    given: str | Path | None, own: Mesh | None, scan: Scan, path: str | Path
) -> tuple[Mesh, tuple[str, ...]]:
    """Find the mesh: of the option, of the file, or one made for a disc; and notes."""
    notes: tuple[str, ...] = ()
    if given is not None:
        mesh, notes = read_mesh(given)
    elif own is not None:
        mesh = own
    else:
        mesh = disc_mesh(scan.electrodes)
        notes = (MADE.format(mesh.square[2], scan.electrodes),)
    if len(mesh.electrodes) != scan.electrodes:
        raise UserError(
            f"the mesh {f'in {given}' if given else 'of the file'} has {len(mesh.electrodes)} "
            f"electrodes, and {path} drives currents through {scan.electrodes} (the rows of its "
            "injections); both must have the same, in the same order"
        )
    return mesh, notes


def _operator(mesh: Mesh, scan: Scan, beside: _Beside) -> tuple[EIT, tuple[str, ...]]:
    """Build the model, calibrated by the reference voltages where there are some; and notes."""
    physics = EIT(
        mesh,
        scan.injections,
        scan.patterns,
        (1, *beside.shape),
        impedance=DEFAULT_IMPEDANCE if beside.impedance is None else beside.impedance,
        keep=scan.keep,
        sigma=scan.sigma if scan.sigma is not None and scan.sigma.ndim else None,
    )
    before = scan.reference_voltages
    notes = check_order(physics, scan.voltages if before is None else before)
    contacts = beside.impedance is None
    if before is None:
        return homogeneous(physics, scan.voltages, contacts=contacts), notes
    return calibrated(physics, before, scan.voltages, contacts=contacts), notes


def _reference(beside: _Beside, physics: EIT, path: str | Path) -> torch.Tensor | None:
    """Return the true conductivity `(1, 1, H, W)`, the background outside the mesh."""
    if beside.reference is None:
        return None
    label = f"'reference' in {path}"
    if beside.reference.shape != beside.shape or beside.reference.dtype.kind not in "biuf":
        raise UserError(
            f"{label} must be real of the image's shape {beside.shape}, found "
            f"{shown(beside.reference)}; store the right 'image_shape' beside it"
        )
    values = single_precision(beside.reference, label)
    # a pixel counts if any triangle has a part in it, not only its centre
    seen = np.asarray(physics.grid.averages.sum(axis=0)).reshape(values.shape) > 0
    return torch.from_numpy(np.where(seen, values, np.float32(physics.background)))[None, None]
