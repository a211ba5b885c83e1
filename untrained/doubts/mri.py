"""Doubts about k-space: its axes, its centre, its lines, and coils of unequal noise."""

from __future__ import annotations

import math

import numpy as np

from untrained.errors import Doubt, UserError, doubting

PEAKED = 4.0  # largest energy of an axis of k-space over its mean
FLAT = 2.5
SPOKES, EVEN = 0.9, 5.0  # share of rows that peak in the middle; largest energy over the median
SHARP = 30.0  # strongest sample over the mean; of white noise it is about ten
OUTER = 0.1  # share of the samples, furthest from the centre, that tell the noise
LEAST_SAMPLES = 64
UNEQUAL = 2.5  # noise of a coil over the median
INNER = (0.5, 0.8)  # share of the samples, from the outermost on, that are as loud if it is noise
WHITE = 0.7
WRAPPED = 3.0  # energy at the border of the field of view over that in its middle
LONG, EMPTY = 1.3, 0.05  # sides of an oversampled k-space; energy beyond the object over that in it
QUIET = 0.05  # amplitude of a line over that of its neighbours: not measured
WINDOW = 32


@doubting
def layout_doubts(kspace: np.ndarray, label: str) -> tuple[str, ...]:
    """Doubt the order of axes and the centre of k-space.

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.
        label: what it is called in a message.

    Raises:
        UserError: axes in another order, images in place of k-space, spokes in place of rows, or a
            zero frequency that is plainly not at `(H // 2, W // 2)`.
    """
    coils, height, width = kspace.shape
    energy = np.square(np.abs(kspace.astype(np.complex128)))
    ratios = [_peaked(energy, axis) for axis in range(3)]
    for axis in (1, 2):
        # the axis of the coils has no peak, and the one read as coils has that of k-space
        swapped = coils >= 16 and ratios[0] > PEAKED and ratios[axis] < FLAT
        if swapped and coils > kspace.shape[axis]:
            raise UserError(
                f"{label} was read as {coils} coils of {height}x{width}, but its axis "
                f"{axis} of {kspace.shape[axis]} looks like that of the coils: they come first; "
                f"save np.moveaxis(kspace, {axis - 3}, 0)"
            )
    _require_kspace(energy, ratios, kspace, label)
    _require_grid(energy.sum(0), label)
    _require_centred(energy.sum(0), label)
    notes: tuple[str, ...] = ()
    if coils > min(height, width):
        notes = (
            f"{label} was read as {coils} coils of {height}x{width}, more coils than rows or "
            "columns: the axes are (coils, H, W)",
        )
    total = energy.sum(0)
    return (*notes, *_place_doubts(total), *_wrap_doubts(kspace), *_oversampled(kspace))


def _peaked(energy: np.ndarray, axis: int) -> float:
    """Compare the largest energy along an axis with the mean; 0 if it is not in the middle."""
    profile = energy.sum(tuple(i for i in range(3) if i != axis))
    place, count = int(profile.argmax()), len(profile)
    if abs(place - count // 2) > max(1, count // 16):
        return 0.0
    measured = profile[profile > 0]
    return float(profile[place] / measured.mean()) if len(measured) else 0.0


def _require_kspace(
    energy: np.ndarray, ratios: list[float], kspace: np.ndarray, label: str
) -> None:
    """Refuse images of coils: evenly spread, and with a transform that is peaked."""
    if max(ratios[1:]) >= FLAT or min(kspace.shape[1:]) < 16:
        return
    largest = max(float(np.abs(kspace).max()), 1e-30)  # absurd values would overflow
    spectrum = np.fft.fftshift(np.fft.fft2(kspace / largest), axes=(-2, -1))
    transformed = np.square(np.abs(spectrum))
    if min(_peaked(transformed, axis) for axis in (1, 2)) < 2 * PEAKED:
        return
    if min(_peaked(np.fft.fftshift(energy, axes=(1, 2)), axis) for axis in (1, 2)) >= PEAKED:
        return  # k-space in the order of a plain FFT, which has a message of its own
    raise UserError(
        f"{label} looks like images of the coils and not like k-space: its energy is spread out, "
        "and that of its Fourier transform is not; save np.fft.fftshift(np.fft.fft2("
        "np.fft.ifftshift(images, axes=(-2, -1)), norm='ortho'), axes=(-2, -1))"
    )


def _require_grid(energy: np.ndarray, label: str) -> None:
    """Refuse spokes: rows of equal energy that all peak in their middle, as no grid's do."""
    rows = energy[energy.sum(1) > 0]
    if len(rows) < 16 or rows.shape[1] < 16:
        return
    sums, middle = rows.sum(1), rows.shape[1] // 2
    peaked = np.abs(rows.argmax(1) - middle) <= 2
    if peaked.mean() < SPOKES or sums.max() > EVEN * np.median(sums):
        return
    raise UserError(
        f"{label} looks like {len(rows)} radial spokes and not like rows of a grid: each has its "
        "strongest sample in its middle, and all are equally strong; say where samples lie with "
        "--trajectory FILE"
    )


def _require_centred(energy: np.ndarray, label: str) -> None:
    """Refuse k-space in the order of a plain FFT along one axis or both."""
    height, width = energy.shape
    row, column = np.unravel_index(int(energy.argmax()), energy.shape)
    if min(height, width) < 16:
        return
    axes = [
        axis
        for axis, place, count in ((-2, int(row), height), (-1, int(column), width))
        if min(place, count - place) <= 1
    ]
    if not axes or not _stands_out(energy):
        return
    where = "corner" if len(axes) == 2 else "border"
    named = f"({axes[0]}, {axes[1]})" if len(axes) == 2 else f"{axes[0]}"
    raise UserError(
        f"{label} has its strongest sample in the {where}, at ({row}, {column}): its zero "
        f"frequency belongs at ({height // 2}, {width // 2}); save np.fft.fftshift(kspace, "
        f"axes={named}), and the mask likewise"
    )


def _place_doubts(energy: np.ndarray) -> tuple[str, ...]:
    """Doubt a strongest sample far from where the zero frequency belongs, of `(H, W)`."""
    height, width = energy.shape
    row, column = (int(i) for i in np.unravel_index(int(energy.argmax()), energy.shape))
    off = (row - height // 2, column - width // 2)
    near = abs(off[0]) <= max(2, height // 8) and abs(off[1]) <= max(2, width // 8)
    if near or not _stands_out(energy):
        return ()
    return (
        f"the strongest sample of k-space is at ({row}, {column}), and its zero frequency belongs "
        f"at ({height // 2}, {width // 2}): is it centred?",
    )


def _stands_out(energy: np.ndarray) -> bool:
    """Tell whether the strongest sample is a peak, and not the largest of many alike."""
    return bool(energy.max() > SHARP * energy[energy > 0].mean())


def _wrap_doubts(kspace: np.ndarray) -> tuple[str, ...]:
    """Doubt an object that lies across the border: k-space times (-1)^n, or a shifted image."""
    centred = [_window(n) for n in kspace.shape[1:]]
    low = kspace * centred[0][:, None] * centred[1]
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(low, axes=(-2, -1))), axes=(-2, -1))
    energy = np.square(np.abs(images)).sum(0)
    wrapped = []
    for axis, name in ((0, "rows"), (1, "columns")):
        profile = energy.sum(1 - axis)
        n = len(profile)
        border = np.concatenate([profile[: n // 8], profile[n - n // 8 :]])
        middle = profile[3 * n // 8 : 5 * n // 8]
        if n >= 16 and border.mean() > WRAPPED * middle.mean():
            wrapped.append(name)
    if not wrapped:
        return ()
    return (
        f"the object lies across the border of the image along {' and '.join(wrapped)}, half a "
        "field of view off: k-space was multiplied by (-1)^n, or its image was not centred before "
        "the transform; multiply it by (-1)^n along these axes",
    )


def _oversampled(kspace: np.ndarray) -> tuple[str, ...]:
    """Note a readout that covers twice the object: the outer quarters of its long axis are empty.

    Lines that were left out fold the other axis only.
    """
    height, width = kspace.shape[1:]
    axis, name = (1, "rows") if height > width else (2, "columns")
    count = kspace.shape[axis]
    if count < LONG * min(height, width) or count < 32:
        return ()
    images = np.fft.ifft(np.fft.ifftshift(kspace, axes=axis), axis=axis)
    profile = np.square(np.abs(np.fft.fftshift(images, axes=axis))).sum((0, 3 - axis))
    quarter = count // 4
    outer = np.concatenate([profile[:quarter], profile[count - quarter :]])
    if outer.mean() > EMPTY * profile[quarter : count - quarter].mean():
        return ()
    return (
        f"the readout is oversampled: of {count} {name} the outer {2 * quarter} show nothing but "
        f"noise, and the object lies in the middle {count - 2 * quarter}",
    )


def _window(count: int) -> np.ndarray:
    """Make a Hann window over the central WINDOW frequencies of an axis, zero elsewhere."""
    distance = np.abs(np.arange(count) - count // 2)
    return np.where(distance < WINDOW / 2, np.cos(math.pi * distance / WINDOW) ** 2, 0.0)


@doubting
def line_doubts(kspace: np.ndarray) -> tuple[str, ...]:
    """Doubt lines that hold next to nothing between lines that hold much: they count as measured.

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.
    """
    energy = np.square(np.abs(kspace.astype(np.complex128))).sum(0)
    for axis, name in ((1, "columns"), (0, "rows")):
        profile = np.sqrt(energy.sum(1 - axis))
        count = len(profile)
        around = np.max([np.roll(profile, k) for k in (-3, -2, -1, 1, 2, 3)], axis=0)
        near = np.abs(np.arange(count) - count // 2) < count // 4
        quiet = (profile > 0) & (profile < QUIET * around) & near
        # the transform of a box has single lines of zeros
        pairs = bool((quiet[1:] & quiet[:-1]).any())
        if count >= 16 and quiet.sum() >= 2 and (pairs or quiet.sum() > count // 6):
            return (
                f"{int(quiet.sum())} {name} near the centre of k-space hold less than "
                f"{QUIET:.0%} of what their neighbours do: noise, or rounding, where nothing was "
                "measured? They count as measured; give --mask (the mask of MRI in Python), or set "
                "them to 0",
            )
    return ()


def coil_noise(kspace: np.ndarray) -> np.ndarray | None:
    """Estimate the standard deviation of the noise of each coil, where it is plainly unequal.

    From the samples furthest from the centre. Those of a strong coil are strong as well where they
    hold signal: only what is out of proportion to the centre, and as strong further in, counts.

    Args:
        kspace: complex `(coils, H, W)`, zero where not sampled.

    Returns:
        Relative to the median coil, `(coils,)`; None where all are alike, or nothing tells.
    """
    if len(kspace) < 2:
        return None
    sampled = np.any(kspace != 0, axis=0)
    places = [np.abs(np.arange(n) - n // 2) / (n / 2) for n in sampled.shape]
    radius = np.hypot(places[0][:, None], places[1])
    order = np.argsort(radius[sampled], kind="stable")
    count = int(OUTER * len(order))
    if count < LEAST_SAMPLES:
        return None
    values = np.abs(kspace[:, sampled])
    noise = np.median(values[:, order[-count:]], axis=1)
    further = [len(order) - int(share * len(order)) for share in INNER]
    white = noise > WHITE * np.median(values[:, order[further[1] : further[0]]], axis=1)
    signal = np.sqrt(np.square(values[:, order[:count]], dtype=np.float64).mean(1))
    if not (noise > 0).all() or not (signal > 0).all():
        return None
    noise = noise / np.median(noise)
    share = noise / signal
    share = share / np.median(share)
    loud = (noise > UNEQUAL) & (share > UNEQUAL) & white
    faint = (noise < 1 / UNEQUAL) & (share < 1 / UNEQUAL) & (np.mean(white) > 0.5)
    return noise if (loud | faint).any() else None


def noise_note(noise: np.ndarray) -> str:
    """Say how unequal the noise of the coils is, and what was done about it."""
    off = [i for i in np.argsort(-np.abs(np.log(noise))) if max(noise[i], 1 / noise[i]) > 2][:4]
    each = ", ".join(f"coil {i} {noise[i]:.3g}" for i in sorted(int(i) for i in off))
    return Doubt(
        f"the noise of coils is unequal (times the median: {each}, counted from 0): each coil "
        "was divided by its own, so that noisy ones count less"
    )
