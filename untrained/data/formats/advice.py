"""Advice for files that are not read as they are: Python that makes a readable file of them.

What follows "in Python:" in a message is code that runs as it stands, remarks included.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from untrained.errors import UserError
from untrained.files import require_no_folder

LONGEST_PATH = 120  # characters of a path that a recipe repeats; a message has a limit
MOST_NAMES = 6
READERS = {
    (".nii", ".nii.gz", ".mgz"): ("nibabel", "np.asarray(nibabel.load({file}).dataobj)", -1),
    (".dcm", ".ima"): ("pydicom", "pydicom.dcmread({file}).pixel_array", None),
    (".cfl", ".hdr"): ("cfl", "np.squeeze(cfl.readcfl({stem}))", -1),
    (".dat",): ("twixtools", "np.squeeze(twixtools.map_twix({file})[-1]['image'][:])", -2),
    (".mrc", ".mrcs", ".rec"): ("mrcfile", "mrcfile.read({file})", 0),
}
"""Suffixes -> module, expression of an array, and its axis of coils or slices (None: of two)."""

ISMRMRD = (
    "import h5py, numpy as np; a = h5py.File({file})['dataset/data'][()]; "
    "a = a[a['head']['flags'] & 2**18 == 0]; line = a['head']['idx']['kspace_encode_step_1']; "
    "rows = np.stack([d.view('c8').reshape(a['head']['active_channels'][0], -1) "
    "for d in a['data']], 1); k = np.zeros((len(rows), line.max() + 1, rows.shape[2]), 'c8'); "
    "k[:, line] = rows; np.savez('scan.npz', kspace=k)"
)
DXCHANGE = (
    "import h5py, numpy as np; e = h5py.File({file})['exchange']; dark, white = "
    "(e[n][()].astype(float).mean(0) for n in ('data_dark', 'data_white')); "
    "p = -np.log(np.clip((e['data'][()] - dark) / (white - dark), 1e-6, None)); "
    "np.savez('scan.npz', sinogram=np.moveaxis(p, 1, 0).astype('f4'), angles=e['theta'][()])"
)


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
    hint = _renaming(path, key) or _matlab(path, key) or _recipe(path, key)
    return UserError(
        f"{what}: {path} must be {expected}; its suffix is '{Path(path).suffix.lower()}'{hint}"
    )


def advise_on_contents(path: Path, keys: tuple[str, ...], inside: tuple[str, ...]) -> str:
    """Say how to get at the measurement of a file that has nothing by its usual name.

    Args:
        path: the file.
        keys: names of its arrays at the top level.
        inside: paths of those in groups.
    """
    if "dataset/data" in inside and "dataset/xml" in inside:
        return (
            ": an ISMRMRD file, line by line; of one slice and repetition, in Python: "
            + ISMRMRD.format(file=_named(path))
        )
    if {"exchange/data", "exchange/data_dark", "exchange/data_white"} <= set(inside):
        return ": a DXchange file, raw counts; in Python: " + DXCHANGE.format(file=_named(path))
    known = [*keys, *inside]
    return f"; if one of these is it, name it, as in --key {shlex.quote(known[0])}" if known else ""


def _renaming(path: str | Path, key: str) -> str:
    """Advise another name for HDF5 under a suffix of its own; code for that of MATLAB v7.3."""
    import h5py

    try:
        if not Path(path).is_file() or not h5py.is_hdf5(str(path)):
            return ""
        with h5py.File(path) as file:
            names = [name for name in file if isinstance(file[name], h5py.Dataset)]
    except Exception:  # text that cannot be a path, or damage
        return ""
    if Path(path).suffix.lower() != ".mat":
        return (
            f", but it is HDF5 inside: copy it to {Path(path).stem}.h5, and name the array with "
            "--key NAME"
        )
    name, among = _one_of(names)
    values = {"kspace": "np.swapaxes(a['real'] + 1j * a['imag'], -1, -2)", "sinogram": "a"}
    saved = _saved(values.get(key, "np.swapaxes(a, -1, -2)"), key, 0)
    array = f"a = h5py.File({_named(path)})[{name!r}][()]"
    return f"; in Python: import h5py, numpy as np; {array}; {saved}{among}"


def _one_of(names: list[str]) -> tuple[str, str]:
    """Give the only name, or NAME and a remark on which there are."""
    if len(names) == 1:
        return names[0], ""
    return "NAME", f"; NAME is one of {', '.join(names[:MOST_NAMES])}" if names else ""


def _matlab(path: str | Path, key: str) -> str:
    """Advise on a MATLAB file of an older version, by the names of its variables."""
    import scipy.io

    if Path(path).suffix.lower() != ".mat":
        return ""
    try:
        names = [one for one, shape, _ in scipy.io.whosmat(path) if len(shape) > 1]
    except Exception:  # damaged, or no MATLAB file: a decoder raises anything
        names = []
    name, among = _one_of(names)
    array = f"scipy.io.loadmat({_named(path)})[{name!r}]"
    return f"; in Python: import scipy.io, numpy as np; {_saved(array, key, -1)}{among}"


def _recipe(path: str | Path, key: str) -> str:
    name = Path(path).name.lower()
    for ends, (module, expression, axis) in READERS.items():
        if name.endswith(ends):
            stem = repr(str(Path(path).with_suffix("")))
            array = expression.format(file=_named(path), stem=stem)
            where = "; cfl is in BART's python folder" if module == "cfl" else ""
            return f"; in Python: import {module}, numpy as np; {_saved(array, key, axis)}{where}"
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
