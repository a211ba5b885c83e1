"""Noise of the coils where there is no noise scan: outermost k-space, or an empty background."""

from __future__ import annotations

import numpy as np

from untrained.errors import Doubt, UserError

FROM = ("corners", "background")
OUTERMOST = 0.05  # share of the samples, those furthest from the centre
FURTHER_IN = (0.10, 0.15)  # share from the outside of those that they are compared with
EMPTIEST = 0.1  # share of the positions along the readout with the least energy
LOUD = 1.25  # energy further in over that of the outermost: still falling, so signal
FULL = 0.3  # energy of the emptiest positions over that of the strongest tenth: no background


def noise_samples(kspace: np.ndarray, mask: np.ndarray, where: str) -> tuple[np.ndarray, str]:
    """Take samples of a scan itself for noise, and say which; doubted where signal is in them.

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.
        mask: bool `(H, W)`, 1 = measured.
        where: `corners`, the twentieth of the samples furthest from the centre of k-space; or
            `background`: after the transform along fully sampled lines, the tenth of the positions
            along them that hold least energy.

    Returns:
        Complex `(coils, n)`, and a note.

    Raises:
        UserError: another word, or a background where no lines are fully sampled.
    """
    if where not in FROM:
        raise UserError(f"--noise-from must be one of {', '.join(FROM)}, got '{where}'")
    return _corners(kspace, mask) if where == "corners" else _background(kspace, mask)


def _corners(kspace: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, str]:
    places = [(np.arange(n) - n // 2) / (n / 2) for n in mask.shape]
    radius = np.hypot(places[0][:, None], places[1])[mask]
    order = np.argsort(-radius, kind="stable")
    values = kspace[:, mask]
    count = max(1, round(OUTERMOST * len(order)))
    energy = np.square(np.abs(values[:, order])).sum(0)
    inner = energy[round(FURTHER_IN[0] * len(order)) : round(FURTHER_IN[1] * len(order))]
    note = f"noise of the coils taken from the {count} samples furthest from the centre of k-space"
    found = values[:, order[:count]]
    if inner.size and np.median(inner) > LOUD * np.median(energy[:count]):
        return found, Doubt(
            f"{note}; samples further in are {np.median(inner) / np.median(energy[:count]):.3g} "
            "times as strong, so that there is signal in them"
        )
    return found, note


def _background(kspace: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, str]:
    whole = [axis for axis in (1, 0) if bool((mask == np.take(mask, [0], axis)).all())]
    if not whole:
        raise UserError(
            "--noise-from background transforms along whole lines of k-space, and this mask has "
            "none: give --noise-from corners"
        )
    # of two the longer one: an oversampled readout has an empty background
    axis = max(whole, key=lambda one: mask.shape[one])
    count = mask.shape[axis]
    lines = np.compress(np.take(mask, 0, axis), kspace, axis=2 - axis)
    shifted = np.fft.ifftshift(lines, axes=1 + axis)
    planes = np.moveaxis(np.fft.ifft(shifted, axis=1 + axis, norm="ortho"), 1 + axis, 1)
    energy = np.square(np.abs(planes)).mean((0, 2))
    kept = np.argsort(energy, kind="stable")[: max(1, round(EMPTIEST * count))]
    name = ("rows", "columns")[axis]
    taken = f"the {len(kept)} of {count} {name} of the image that hold least"
    note = f"noise of the coils taken from {taken}"
    found = planes[:, kept].reshape(len(kspace), -1)
    share = float(energy[kept].mean() / max(np.quantile(energy, 0.9), 1e-300))
    if share > FULL:
        return found, Doubt(
            f"{note}; they hold {share:.2g} of what the strongest tenth holds: is there an empty "
            "background? --noise-from corners takes the outermost samples"
        )
    return found, note
