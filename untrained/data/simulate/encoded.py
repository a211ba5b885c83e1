"""Measurements of cs, phase and nldeblur made from clean pictures; see `simulate`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.data.images import DIM, read_picture
from untrained.data.parameters import check_seed, kernel_label, read_kernel
from untrained.data.phantoms import gaussian_kernel
from untrained.data.simulate.noise import add_white_noise
from untrained.data.simulate.photos import DEFAULT_BLUR, clean_picture, save_measurement
from untrained.data.tasks.photo import noise_level, shape_of
from untrained.doubts.photographs import kernel_doubts
from untrained.errors import UserError, from_file
from untrained.maths import to_channels
from untrained.physics.bkse import BKSE, NonlinearBlur, load_bkse, random_code, weights_digest
from untrained.physics.compressed import CompressedSensing
from untrained.physics.phase import PhaseRetrieval


def simulate_cs(
    clean: str | Path, out: str | Path, *, seed: int = 0, ratio: float = 0.25, sigma: float = 0.0
) -> tuple[str, ...]:
    """Measure random combinations of pixels.

    Writes `measurement image_shape matrix_seed reference sigma seed`.

    Args:
        clean: picture.
        out: .npz to write.
        seed: of the matrix and of the noise.
        ratio: measurements per pixel, in (0, 1].
        sigma: standard deviation of the noise on the 0..255 scale.

    Returns:
        Notes on what was decided while reading.

    Raises:
        UserError: unreadable picture, a ratio that leaves no measurement or is above 1, a
            negative sigma, or `out` cannot be written.
    """
    x, notes = clean_picture(clean)
    pixels = x.shape[-2] * x.shape[-1]
    if not 0 < ratio <= 1 or round(ratio * pixels) < 1:
        raise UserError(
            f"--ratio must be in (0, 1] and leave at least one measurement of {pixels} pixels, "
            f"got {ratio:g}"
        )
    physics = CompressedSensing(shape_of(x), round(ratio * pixels), check_seed(seed))
    y = add_white_noise(physics.A(x), noise_level(sigma), seed)
    parameters = {
        "image_shape": np.array(x.shape[-2:]),
        "matrix_seed": np.asarray(seed),
        "sigma": np.asarray(sigma),
    }
    save_measurement(out, x, y, seed, parameters)
    return notes


def simulate_phase(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    pad: int | None = None,
    sigma: float = 0.0,
) -> tuple[str, ...]:
    """Measure Fourier amplitudes. Writes `measurement image_shape reference sigma seed`.

    Of a complex image (.npy) `complex_image` is written too; where its largest magnitude is above 1
    or below 0.1 it is divided by that, with a note.

    Args:
        clean: picture, or a complex image.
        out: .npz to write.
        seed: of the noise.
        pad: zeros on each side; None is a quarter of each side.
        sigma: standard deviation of the noise on the amplitudes, on the 0..255 scale.

    Raises:
        UserError: a negative pad; else as `simulate_cs`.
    """
    picture = read_picture(clean, "clean image")
    if not np.iscomplexobj(picture.pixels):
        x, notes = clean_picture(clean)
        physics = PhaseRetrieval(shape_of(x), pad)
    else:
        x, scaled = _complex_image(picture.pixels, clean)
        notes = (*picture.notes, *scaled)
        physics = PhaseRetrieval(shape_of(x), pad, complex_image=True)
    y = add_white_noise(physics.A(x), noise_level(sigma), seed)
    parameters = {"image_shape": np.array(x.shape[-2:]), "sigma": np.asarray(sigma)}
    if physics.complex_image:
        parameters["complex_image"] = np.asarray(1)
    save_measurement(out, x, y, seed, parameters)
    return notes


def _complex_image(pixels: np.ndarray, path: str | Path) -> tuple[Tensor, tuple[str, ...]]:
    """Scale a complex image `(1, 2, H, W)` to magnitudes a picture may have; note the change."""
    largest = float(np.abs(pixels).max())
    if len(pixels) != 1 or largest == 0:
        raise UserError(f"{path} must be one complex plane (H, W) that is not zero everywhere")
    scale = 1.0 if DIM <= largest <= 1 else largest
    image = to_channels(torch.from_numpy((pixels / scale).astype(np.complex64)))
    return image, () if scale == 1 else (
        f"the image and its reference were divided by {largest:.6g}, the largest magnitude: "
        "magnitudes are taken to lie in [0, 1]",
    )


def simulate_nldeblur(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    weights: str | Path | None = None,
    kernel: str | Path | None = None,
    sigma: float = 2.0,
) -> tuple[str, ...]:
    """Blur non-linearly and add noise.

    With weights by BKSE, `bkse_kernel` and `bkse_weights` (a SHA-256) written beside `measurement
    reference sigma seed`; else by the built-in `NonlinearBlur`, `kernel` written.

    Args:
        clean: picture; for BKSE in colour, 256 x 256.
        out: .npz to write.
        seed: of the noise, and of the kernel code of BKSE.
        weights: file of BKSE weights.
        kernel: file of the built-in blur's kernel; None takes a Gaussian with a standard
            deviation of 2 pixels.
        sigma: standard deviation of the noise on the 0..255 scale.

    Raises:
        UserError: both files, or an unusable one; else as `simulate_cs`.
    """
    if weights is not None and kernel is not None:
        raise UserError("give --bkse (BKSE) or --kernel (the built-in blur), not both")
    x, notes = clean_picture(clean)
    physics: BKSE | NonlinearBlur
    if weights is not None:
        network = load_bkse(weights, "--bkse")
        physics = BKSE(network, random_code(check_seed(seed)))
        parameters = {
            "bkse_kernel": physics.kernel.numpy(),
            "bkse_weights": np.asarray(weights_digest(network)),
        }
    else:
        values = gaussian_kernel(DEFAULT_BLUR) if kernel is None else read_kernel(kernel)
        notes += kernel_doubts(values, kernel_label(kernel))
        physics = NonlinearBlur(values, shape_of(x))
        parameters = {"kernel": physics.blur.kernel.numpy()}
        notes += (_said(kernel),)
    with from_file(clean):
        blurred = physics.A(x)
    y = add_white_noise(blurred, noise_level(sigma), seed)
    save_measurement(out, x, y, seed, parameters | {"sigma": np.asarray(sigma)})
    return notes


def _said(kernel: str | Path | None) -> str:
    used = "" if kernel is not None else f" with a Gaussian of {DEFAULT_BLUR:g} pixels"
    return f"no --bkse given: the built-in non-linear blur is used{used}, not BKSE"
