"""Coils mixed before anything else: noise made white and alike, many coils made few."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from untrained.data.arrays import require_finite
from untrained.data.formats import ArrayFile
from untrained.data.tasks.mri_noise import noise_samples
from untrained.doubts.mri import coil_noise, noise_note
from untrained.errors import UserError
from untrained.maths import as_components, to_channels

NOISE = "noise"
"""Name of the noise scan in a file."""

SAMPLES_PER_COIL = 10  # fewest in a noise scan: its covariance is known to 10 % then
SINGULAR = 1e-6  # least eigenvalue of the correlations, relative to the largest


@dataclass(frozen=True)
class Coils:
    """What the options say of the coils.

    Attributes:
        maps: how their maps are found, as of `load_mri`.
        virtual: how many combinations of them are kept; None keeps all.
        sets: of maps.
        noise_from: what their noise is estimated from without a noise scan, as of `mri_noise`.
    """

    maps: str | Path
    virtual: int | None = None
    sets: int | None = None
    noise_from: str | None = None

    @property
    def channels(self) -> int:
        """Count the channels of an image: two for every set of maps."""
        return 2 * (self.sets or 1)

    def laid(self, reference: torch.Tensor | None) -> torch.Tensor | None:
        """Bring a complex reference `(H, W)` to the image's shape, `(1, channels, H, W)`."""
        if reference is None:
            return None
        return as_components(to_channels(reference[None]), self.channels)


@dataclass(frozen=True)
class Mixing:
    """A linear map of coils.

    Attributes:
        matrix: complex64 `(new, coils)`.
        notes: what was done and why.
    """

    matrix: np.ndarray
    notes: tuple[str, ...] = ()

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Mix the first axis of `(coils, ...)`."""
        mixed = np.tensordot(self.matrix, values, axes=1)
        return np.ascontiguousarray(mixed, dtype=np.complex64)

    def then(self, other: Mixing) -> Mixing:
        """Return the map that applies this one, and another after it."""
        matrix = (other.matrix @ self.matrix).astype(np.complex64)
        return Mixing(matrix, (*self.notes, *other.notes))


def find_mixing(
    file: ArrayFile,
    samples: np.ndarray,
    how: Coils,
    mask: np.ndarray | None = None,
) -> Mixing | None:
    """Find how the coils are mixed; None where they stay as they are.

    A noise scan of the file makes their noise white, or samples of the scan itself that were asked
    for. Without either coils whose noise is plainly unequal are divided by it. Then the coils are
    compressed, if that was asked for.

    Args:
        file: may hold `noise`, complex `(coils, ...)`.
        samples: what was measured, complex `(coils, ...)`.
        how: the options.
        mask: bool `(H, W)`, of samples on a grid; None on a trajectory.

    Raises:
        UserError: a noise scan that is none, more virtual coils than coils, or noise that cannot be
            taken from the scan.
    """
    found, virtual = _white(file, samples, how, mask), how.virtual
    if virtual is None:
        return found
    if not 1 <= virtual <= len(samples):
        raise UserError(
            f"--virtual-coils {virtual}: {file.path} has {len(samples)} coils; give a number from "
            f"1 to {len(samples)}"
        )
    fewer = compression(samples if found is None else found.apply(samples), virtual)
    return fewer if found is None else found.then(fewer)


def _white(
    file: ArrayFile, samples: np.ndarray, how: Coils, mask: np.ndarray | None
) -> Mixing | None:
    """Find what makes the noise of the coils alike; None where nothing tells, or it is."""
    if how.noise_from is not None:
        if mask is None:
            raise UserError(
                f"--noise-from {how.noise_from} is for samples on a grid, and these lie on a "
                f"trajectory: store a noise scan as '{NOISE}'"
            )
        values, note = noise_samples(samples, mask, how.noise_from)
        _require_enough(values, f"the noise that --noise-from {how.noise_from} finds")
        found = whitening(values.astype(np.complex128), "that noise")
        if NOISE in file.keys:
            note = type(note)(f"{note}; the file's own noise scan stays unused")
        return Mixing(found.matrix, (note, *found.notes))
    if NOISE in file.keys:
        return whitening(_noise_scan(file, len(samples)))
    unequal = None if mask is None else coil_noise(samples)
    if unequal is None:
        return None
    return Mixing(np.diag(1 / unequal).astype(np.complex64), (noise_note(unequal),))


def whitening(scan: np.ndarray, called: str = "the noise scan") -> Mixing:
    r"""Make the noise of coils white: :math:`L^{-1}`, :math:`\Psi = L L^H` its covariance.

    Least squares in the mixed coils is the maximum-likelihood image of correlated Gaussian noise
    (K. Pruessmann et al., Magn. Reson. Med. 46, 2001, section on noise decorrelation). The noise of
    each new coil has the median deviation of the old ones, so that units stay.

    Args:
        scan: noise without signal, complex `(coils, n)`.
        called: what it is called in notes and messages.

    Raises:
        UserError: a coil without noise, or coils that are combinations of others.
    """
    centred = scan - scan.mean(1, keepdims=True)
    covariance = centred @ centred.conj().T / scan.shape[1]
    size = np.sqrt(np.diag(covariance).real)
    if not (size > 0).all():
        dead = ", ".join(str(i) for i in np.flatnonzero(size == 0))
        raise UserError(f"{called} is constant in coil {dead}: no coil is without noise")
    correlation = covariance / np.outer(size, size)
    eigenvalues = np.linalg.eigvalsh(correlation)
    if eigenvalues[0] < SINGULAR * eigenvalues[-1]:
        raise UserError(
            f"in {called} some coils are combinations of others: it has no covariance to be "
            f"undone; leave out coils, or {called}"
        )
    inverse = np.linalg.inv(np.linalg.cholesky(covariance)) * np.median(size)
    off = np.abs(correlation - np.eye(len(size)))
    note = (
        f"coils prewhitened by {called}: deviations {size.min() / np.median(size):.3g} to "
        f"{size.max() / np.median(size):.3g} of the median, correlations up to {off.max():.2g}"
    )
    return Mixing(inverse.astype(np.complex64), (note,))


def compression(samples: np.ndarray, count: int) -> Mixing:
    """Keep the combinations of coils with most energy (singular value decomposition).

    M. Buehrer et al., "Array compression for MRI with large coil arrays", Magn. Reson. Med. 57
    (2007), for the whole plane at once.

    Args:
        samples: complex `(coils, ...)`, zero where not measured.
        count: of virtual coils.
    """
    flat = samples.reshape(len(samples), -1).astype(np.complex128)
    values, vectors = np.linalg.eigh(flat @ flat.conj().T)
    strongest = vectors[:, ::-1][:, :count].conj().T
    kept = float(values[::-1][:count].sum() / max(values.sum(), 1e-300))
    note = f"{len(samples)} coils compressed to {count} virtual ones: {kept:.2%} of the energy"
    return Mixing(strongest.astype(np.complex64), (note,))


def _noise_scan(file: ArrayFile, coils: int) -> np.ndarray:
    """Read the noise scan, complex128 `(coils, n)`."""
    label = file.label(NOISE)
    scan = require_finite(file.read(NOISE), label)
    if scan.dtype.kind != "c" or scan.ndim < 2 or len(scan) != coils:
        raise UserError(
            f"{label} is {scan.dtype} of shape {scan.shape}; a noise scan is complex, (coils, "
            f"samples), here of {coils} coils"
        )
    flat = scan.reshape(coils, -1).astype(np.complex128)
    _require_enough(flat, label)
    return flat


def _require_enough(values: np.ndarray, label: str) -> None:
    """Refuse fewer samples `(coils, n)` than tell a covariance."""
    coils, count = values.shape
    least = SAMPLES_PER_COIL * coils
    if count < least:
        raise UserError(
            f"{label} has {count} samples of every coil; the covariance of {coils} coils takes "
            f"{least} or more"
        )
