"""Read voltages, currents and measurement patterns of electrical impedance tomography."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from untrained.checks import check_contents
from untrained.data.arrays import read_optional, require_finite
from untrained.data.formats import ArrayFile
from untrained.data.formats.base import list_names
from untrained.data.ktc import electrodes_removed, measured_at_level
from untrained.errors import UserError, from_file, shown

ALIASES = {
    "voltages": ("voltages", "data_Uel", "Uel"),
    "injections": ("injections", "data_Inj", "Inj"),
    "patterns": ("patterns", "data_Mpat", "Mpat"),
    "reference_voltages": ("reference_voltages", "ref_Uelref", "Uelref"),
    "reference_injections": ("reference_injections", "ref_Injref", "Injref"),
}
"""Names of an array: ours, those of the challenge's data as .npz, and in its MAT files."""

SUM = 1e-3  # of the largest current: what the currents of an injection may add up to
LEAST = 2  # injections: of one nothing can be held out
OTHER_UNITS = 30.0  # times: voltages of a tank and of its reference, as mV and V would be
SAME = 1e-3  # relative difference of currents that counts as none

UNMEASURED = "{} of {} voltages are NaN and count as not measured"
FROM_MEAN = (
    "{} voltages are of patterns that do not add up to 0: they count from the mean of all "
    "electrodes"
)
TRANSPOSED = "{} was read as (injections, voltages), the other way round"


@dataclass(frozen=True)
class Scan:
    """What was driven and measured.

    Attributes:
        voltages: `(M, I)`, 0 where nothing was measured.
        injections: currents `(L, I)`, those of an injection adding up to 0.
        patterns: `(L, M)`, weights of the electrodes in each voltage.
        reference_voltages: `(M, I)` of the body before, or of an empty tank; or None.
        keep: bool `(M, I)`, what was measured; None where all was.
        sigma: standard deviation of each voltage `(M, I)`, or one number `()`; None if unknown.
        notes: what was decided.
    """

    voltages: np.ndarray
    injections: np.ndarray
    patterns: np.ndarray
    reference_voltages: np.ndarray | None
    keep: np.ndarray | None
    sigma: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def electrodes(self) -> int:
        """Count the electrodes."""
        return len(self.injections)


def own_name(file: ArrayFile, name: str) -> str | None:
    """Find what an array of `ALIASES` is called in a file; None where it is not there."""
    return next((alias for alias in ALIASES[name] if alias in file.keys), None)


def read_scan(file: ArrayFile) -> Scan:
    """Read what was driven and measured from an open file.

    Raises:
        UserError: an array is missing, of another kind than is expected, or contradicts another.
    """
    missing = [name for name in ("voltages", "injections", "patterns") if not own_name(file, name)]
    if missing:
        raise UserError(
            f"{file.path} lacks {list_names(missing)}; it holds {list_names(file.keys)} (the "
            "challenge's names are read too: Uel, Inj, Mpat)"
        )
    currents, what = _columns(file, "injections")
    weights, of_what = _columns(file, "patterns")
    if len(currents) != len(weights):
        raise UserError(
            f"{what} has a row for each of {len(currents)} electrodes, and {of_what} for "
            f"{len(weights)}; both must have one for each electrode"
        )
    _check_currents(currents, what)
    about = _check_patterns(weights, of_what)
    shape = (weights.shape[1], currents.shape[1])
    values, notes = _voltages(file, "voltages", shape)
    before, more = None, notes[:0]
    if own_name(file, "reference_voltages") is not None:
        before, more = _voltages(file, "reference_voltages", shape)
    keep = np.isfinite(values)
    if not keep.all():
        notes += (UNMEASURED.format(int((~keep).sum()), keep.size),)
    keep = _masked(file, shape, keep)
    if before is not None:
        keep &= np.isfinite(before)
    if keep.any(axis=0).sum() < LEAST:
        raise UserError(
            f"{file.path}: voltages of {int(keep.any(0).sum())} injections were measured, and at "
            f"least {LEAST} are needed"
        )
    if before is not None:
        _check_reference(file, currents, what)
        _check_units(values, before, keep, file.path)
        before = np.where(np.isfinite(before), before, 0.0)
    kept = None if keep.all() else keep
    return Scan(
        voltages=np.where(keep, values, 0.0),
        injections=currents,
        patterns=weights,
        reference_voltages=before,
        keep=kept,
        sigma=_sigma(file, shape),
        notes=(*about, *notes, *more),
    )


def at_level(scan: Scan, level: int, path: str | Path) -> Scan:
    """Leave out what a level of the challenge does; see `ktc.measured_at_level`.

    Raises:
        UserError: no such level, or it leaves nothing.
    """
    keep = measured_at_level(scan.injections, scan.patterns, level)
    injections, voltages = keep.any(axis=0), keep.any(axis=1)
    if injections.sum() < LEAST or not voltages.any():
        raise UserError(
            f"level {level} leaves out {electrodes_removed(level)} of the {scan.electrodes} "
            f"electrodes in {path}, and with them all but {int(injections.sum())} injections and "
            f"{int(voltages.sum())} voltages; give a lower level"
        )

    def part(values: np.ndarray | None) -> np.ndarray | None:
        return values if values is None or not values.ndim else values[voltages][:, injections]

    return replace(
        scan,
        voltages=scan.voltages[voltages][:, injections],
        injections=scan.injections[:, injections],
        patterns=scan.patterns[:, voltages],
        reference_voltages=part(scan.reference_voltages),
        keep=part(scan.keep),
        sigma=part(scan.sigma),
    )


def positive_numbers(file: ArrayFile, name: str) -> np.ndarray | None:
    """Read numbers above 0; None where the file has none, or a single 0."""
    if name not in file.keys:
        return None
    values = require_finite(file.read(name), file.label(name), "leave it out")
    if values.size == 1 and not values.any():
        return None
    if values.dtype.kind not in "biuf" or values.min() <= 0:
        raise UserError(f"{file.label(name)} must be above 0, found {shown(values)}")
    return values.astype(np.float64)


def read_reference_scan(file: ArrayFile, scan: Scan) -> np.ndarray:
    """Read reference voltages `(M, I)` from a file of their own, as the challenge's ref.mat is.

    Raises:
        UserError: it has none, or they were measured in another way.
    """
    shape = scan.voltages.shape
    names = ("reference_voltages", "voltages")
    name = next((one for one in names if own_name(file, one)), None)
    if name is None:
        raise UserError(
            f"{file.path} has no reference voltages ({list_names(ALIASES['reference_voltages'])} "
            f"or 'voltages'); it holds {list_names(file.keys)}"
        )
    values, _ = _voltages(file, name, (shape[0], shape[1]))
    if not np.isfinite(values).all():
        raise UserError(f"{_label(file, name)} holds values that are NaN")
    for currents in ("reference_injections", "injections"):
        _check_reference(file, scan.injections, "the measurement", currents)
    keep = np.ones(shape, bool) if scan.keep is None else scan.keep
    _check_units(scan.voltages, values, keep, file.path)
    return values


def _label(file: ArrayFile, name: str) -> str:
    return file.label(own_name(file, name) or name)


def _columns(file: ArrayFile, name: str) -> tuple[np.ndarray, str]:
    """Read `injections` or `patterns`, float64 with a row for each electrode, and its label."""
    label = _label(file, name)
    values = _real(file, name)
    if values.ndim != 2 or values.shape[0] < 2:
        per = "injection" if name == "injections" else "voltage"
        raise UserError(
            f"{label} must have a row for each electrode and a column for each {per}, found "
            f"{values.dtype} of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise UserError(f"{label} holds values that are NaN or infinite")
    return values, label


def _real(file: ArrayFile, name: str) -> np.ndarray:
    values = file.read(own_name(file, name) or name)
    if values.dtype.kind not in "biuf" or not values.size:
        hint = "; take their real part" if values.dtype.kind == "c" else ""
        raise UserError(f"{_label(file, name)} must be real numbers, found {shown(values)}{hint}")
    return values.astype(np.float64)


def _check_currents(currents: np.ndarray, label: str) -> None:
    """Refuse currents that cannot be: what enters a body leaves it."""
    largest = np.abs(currents).max(axis=0)
    if not largest.all():
        raise UserError(
            f"{label}: injection {int((largest == 0).argmax()) + 1} drives no current; leave it "
            "out, and its voltages"
        )
    off = np.abs(currents.sum(axis=0)) > SUM * largest
    if not off.any():
        # what is left is rounding or a meter's error, and the model asks for exactly 0
        driven = currents != 0
        currents -= driven * (currents.sum(axis=0) / driven.sum(axis=0))
        return
    turned = (np.abs(currents.sum(axis=1)) <= SUM * largest.max()).all()
    hint = "; the rows add up to 0: save the transpose, a row for each electrode" if turned else ""
    which = int(off.argmax())
    raise UserError(
        f"{label}: the currents of injection {which + 1} add up to "
        f"{currents[:, which].sum():.4g}, and must add up to 0{hint}"
    )


def _check_patterns(weights: np.ndarray, label: str) -> tuple[str, ...]:
    """Refuse voltages that are none, of all electrodes alike; note those of single electrodes."""
    flat = np.ptp(weights, axis=0) == 0
    if flat.any():
        raise UserError(
            f"{label}: voltage {int(flat.argmax()) + 1} is of all electrodes alike, and always 0; "
            "a column holds 1 and -1 at the two electrodes between which it is measured"
        )
    off = np.abs(weights.sum(axis=0)) > SUM * np.abs(weights).max(axis=0)
    both = off & (weights.min(axis=0) < 0) & (weights.max(axis=0) > 0)
    if both.any():
        which = int(both.argmax())
        raise UserError(
            f"{label}: the weights of voltage {which + 1} have both signs and add up to "
            f"{weights[:, which].sum():.4g}; a voltage between electrodes has weights that add up "
            "to 0, as 1 and -1, and one against the mean of all electrodes has weights of one sign"
        )
    return (FROM_MEAN.format(int(off.sum())),) if off.any() else ()


def _voltages(
    file: ArrayFile, name: str, shape: tuple[int, int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read voltages `(M, I)`, NaN where nothing was measured, and notes."""
    label, values = _label(file, name), _real(file, name)
    if np.isinf(values).any():
        raise UserError(f"{label} holds infinite values; NaN stands for what was not measured")
    with from_file(label):
        check_contents(torch.from_numpy(np.nan_to_num(values))[None])
    if values.size == 1 or 1 in values.shape or values.ndim == 1:
        values = values.ravel()
    if values.shape == (shape[0] * shape[1],):  # injection by injection, as in the challenge
        return values.reshape(shape[1], shape[0]).T.copy(), ()
    if values.shape == shape:
        return values, ()
    if values.shape == shape[::-1]:
        return values.T.copy(), (TRANSPOSED.format(label),)
    raise UserError(
        f"{label} has shape {values.shape}, but {shape[0]} voltages (columns of the patterns) at "
        f"{shape[1]} injections make ({shape[0]}, {shape[1]}), or {shape[0] * shape[1]} in a row, "
        "injection by injection"
    )


def _sigma(file: ArrayFile, shape: tuple[int, int]) -> np.ndarray | None:
    """Read the standard deviation of the noise: of each voltage `(M, I)`, or of all `()`."""
    values = positive_numbers(file, "sigma")
    if values is None or values.shape == shape:
        return values
    if values.size != 1:
        raise UserError(
            f"{file.label('sigma')} must be one number or of the voltages' shape {shape}, found "
            f"{shown(values)}"
        )
    return values.reshape(())


def _masked(file: ArrayFile, shape: tuple[int, int], keep: np.ndarray) -> np.ndarray:
    """Leave out what the file's `mask` does, 1 = measured."""
    mask = read_optional(file, "mask")
    if mask is None:
        return keep
    if mask.shape != shape or not np.isin(mask, (0, 1)).all():
        raise UserError(
            f"{file.label('mask')} must be 1 where measured, else 0, of shape {shape}, found "
            f"{shown(mask)}"
        )
    return keep & (mask != 0)


def _check_reference(
    file: ArrayFile, currents: np.ndarray, what: str, name: str = "reference_injections"
) -> None:
    """Refuse a reference that was measured with other currents."""
    if own_name(file, name) is None:
        return
    before, label = _columns(file, name)
    same = before.shape == currents.shape and bool(
        (np.abs(before - currents) <= SAME * np.abs(currents).max()).all()
    )
    if not same:
        raise UserError(
            f"{label} differs from {what}: the reference must be measured with the same currents; "
            "scale its voltages to them, or leave it out"
        )


def _check_units(
    values: np.ndarray, before: np.ndarray, keep: np.ndarray, path: str | Path
) -> None:
    """Refuse voltages and reference voltages that are in different units."""
    sizes = [float(np.median(np.abs(one[keep]))) for one in (values, before)]
    if not min(sizes) > 0 or not 1 / OTHER_UNITS < sizes[0] / sizes[1] < OTHER_UNITS:
        raise UserError(
            f"{path}: half of the voltages are above {sizes[0]:.4g}, and of the reference's above "
            f"{sizes[1]:.4g}; are they in different units, as V and mV? Save both in one unit"
        )
