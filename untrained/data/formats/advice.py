"""Advice for files that are not read as they are: Python that makes a readable file of them.

What follows "in Python:" in a message is code that runs as it stands, remarks included.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from untrained.errors import UserError
from untrained.files import require_no_folder

LONGEST_PATH = 120  # characters of a path that a recipe repeats; a message has a limit
READERS = {
    (".nii", ".nii.gz", ".mgz"): ("nibabel", "np.asarray(nibabel.load({file}).dataobj)", -1),
    (".dcm", ".ima"): ("pydicom", "pydicom.dcmread({file}).pixel_array", None),
    (".dat",): ("twixtools", "np.squeeze(twixtools.map_twix({file})[-1]['image'][:])", -2),
    (".mrc", ".mrcs", ".rec"): ("mrcfile", "mrcfile.read({file})", 0),
}
"""Suffixes -> module, expression of an array, and its axis of coils or slices (None: of two)."""


def other_format(path: str | Path, what: str, expected: str, key: str = "") -> UserError:
    """Make the error for a file of another format, with what would read it where that is known.

    Args:
        path: the file.
        what: which argument it is.
        expected: what is read.
        key: the array that the task looks for: `kspace`, `sinogram`, or none for a picture.

    Raises:
        UserError: it is a folder.
    """
    require_no_folder(path, what)
    hint = _renaming(path) or _recipe(path, key)
    return UserError(
        f"{what}: {path} must be {expected}; its suffix is '{Path(path).suffix.lower()}'{hint}"
    )


def advise_on_contents(keys: tuple[str, ...], inside: tuple[str, ...]) -> str:
    """Say how to get at the measurement of a file that has nothing by its usual name.

    Args:
        keys: names of its arrays at the top level.
        inside: paths of those in groups.
    """
    known = [*keys, *inside]
    return f"; if one of these is it, name it, as in --key {shlex.quote(known[0])}" if known else ""


def _renaming(path: str | Path) -> str:
    """Advise another name for HDF5 under a suffix of its own."""
    import h5py

    try:
        if not Path(path).is_file() or not h5py.is_hdf5(str(path)):
            return ""
    except Exception:  # text that cannot be a path, or damage
        return ""
    return (
        f", but it is HDF5 inside: copy it to {Path(path).stem}.h5, and name the array with "
        "--key NAME"
    )


def _recipe(path: str | Path, key: str) -> str:
    name = Path(path).name.lower()
    for ends, (module, expression, axis) in READERS.items():
        if name.endswith(ends):
            array = expression.format(file=_named(path))
            return f"; in Python: import {module}, numpy as np; {_saved(array, key, axis)}"
    return ""


def _saved(array: str, key: str, axis: int | None) -> str:
    """Write Python that saves an array under the name and in the order that a task wants."""
    first = array if axis in (0, None) else f"np.moveaxis({array}, {axis}, 0)"
    if key == "kspace":
        return f"np.savez('scan.npz', kspace={first})  # axes (coils, H, W)"
    if key == "sinogram":
        return (
            f"np.save('scan.npy', {array}.astype('f4'))  # axes (angles, detectors); give --angles"
        )
    return f"np.save('scan.npy', {array})  # axes (H, W), values in [0, 1]"


def _named(path: str | Path) -> str:
    """Write a path as Python text; the name alone where it is long."""
    return repr(str(path) if len(str(path)) <= LONGEST_PATH else Path(path).name)
