"""Simulate the photograph tasks: denoise, inpaint, superres and deblur.

Every function writes one .npz and is a pure function of its arguments: the same seed gives the
same measurements. The truth is stored as `reference`, which `reconstruct` only reports on.
Pictures are stored `(H,W)` or `(C,H,W)`, complex images `(H,W)`; noise is never clipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from untrained.data.formats.npz import write_npz
from untrained.data.images import check_photograph, read_image
from untrained.data.parameters import check_seed, kernel_label, read_kernel
from untrained.data.phantoms import gaussian_kernel
from untrained.data.simulate.noise import (
    LEVELS,
    add_noise,
    add_photon_noise,
    add_white_noise,
)
from untrained.data.tasks.photo import noise_level, shape_of
from untrained.data.tasks.photons import check_photons
from untrained.doubts.photographs import kernel_doubts
from untrained.errors import UserError
from untrained.maths import to_complex
from untrained.physics.blur import Blur
from untrained.physics.inpaint import Inpaint, box_mask, random_mask
from untrained.physics.superres import SuperRes

DEFAULT_SIGMA = 2.0  # of deblur, 0..255 scale
DEFAULT_BLUR = 2.0  # pixels, the standard deviation of the kernel when none is given


def simulate_denoise(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    sigma: float | None = None,
    noise: str = "gaussian",
    level: float | None = None,
    photons: float | None = None,
    read_noise: float | None = None,
) -> tuple[str, ...]:
    """Add noise. Writes `measurement reference noise level seed`, and `sigma` if it is Gaussian.

    With `photons` it writes `photons read_noise` in place of `noise level sigma`.

    Args:
        clean: picture.
        out: .npz to write.
        seed: of the noise.
        sigma: standard deviation of Gaussian noise on the 0..255 scale, another word for its
            level.
        noise, level: kind and size, see `add_noise`; the level is `LEVELS[noise]` if not given.
        photons, read_noise: counts of photons instead, see `add_photon_noise`.

    Returns:
        Notes on what was decided while reading.

    Raises:
        UserError: unreadable picture, unknown noise or a level out of its range, `sigma` with
            another noise or beside a level, or `out` cannot be written.
    """
    if read_noise is not None and photons is None:
        raise UserError("--read-noise is counted in photons: give --photons, too")
    if photons is not None:
        if sigma is not None or level is not None or noise != "gaussian":
            raise UserError("--photons is a noise of its own: leave out --sigma, --noise, --level")
        x, notes = clean_picture(clean)
        _save_counts(out, x, x, seed, (photons, read_noise or 0.0), {})
        return notes
    if sigma is not None and (noise != "gaussian" or level is not None):
        raise UserError("--sigma is the level of gaussian noise; give --noise and --level instead")
    if sigma is not None:
        noise_level(sigma)  # refuses what is no standard deviation
    given = level if sigma is None else sigma
    size = LEVELS.get(noise, 0.0) if given is None else given
    x, notes = clean_picture(clean)
    y = add_noise(x, noise, size, seed)
    parameters = {"noise": np.asarray(noise), "level": np.asarray(size)}
    if noise == "gaussian":
        parameters["sigma"] = np.asarray(size)
    save_measurement(out, x, y, seed, parameters)
    return notes


def simulate_inpaint(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    missing: float | None = None,
    box: tuple[int, int] | None = None,
    center: bool = False,
) -> tuple[str, ...]:
    """Remove pixels. Writes `measurement reference mask seed`, mask `(H,W)` with 1 = measured.

    Args:
        clean: picture.
        out: .npz to write.
        seed: of the positions.
        missing: fraction of pixels missing at random, in [0, 1); 0.5 if neither is given.
        box: height and width of one missing rectangle, placed at random away from the border.
        center: put that rectangle into the middle of the picture instead.

    Raises:
        UserError: both `missing` and `box`, or either out of range; `center` without `box`; else
            as `simulate_denoise`.
    """
    if missing is not None and box is not None:
        raise UserError("give --missing or --box, not both")
    if center and box is None:
        raise UserError("--center says where a missing box lies, and there is none: give --box H,W")
    x, notes = clean_picture(clean)
    check_seed(seed)
    size = (x.shape[-2], x.shape[-1])
    if box is not None:
        mask = box_mask(size, box, None if center else torch.Generator().manual_seed(seed))
    else:
        mask = random_mask(size, 0.5 if missing is None else missing, seed)
    y = Inpaint(mask, shape_of(x)).A(x)
    save_measurement(out, x, y, seed, {"mask": mask.numpy().astype(np.uint8)})
    return notes


def simulate_superres(
    clean: str | Path, out: str | Path, *, seed: int = 0, factor: int = 4, sigma: float = 0.0
) -> tuple[str, ...]:
    """Reduce by a whole factor. Writes `measurement reference factor sigma seed`.

    Args:
        clean: picture whose sides `factor` divides.
        out: .npz to write.
        seed: of the noise.
        factor: whole number of at least 2.
        sigma: standard deviation of added noise on the 0..255 scale.

    Raises:
        UserError: a factor that does not divide the sides; else as `simulate_denoise`.
    """
    x, notes = clean_picture(clean)
    y = SuperRes(shape_of(x), factor).A(x)
    y = add_white_noise(y, noise_level(sigma), seed)
    parameters = {"factor": np.asarray(factor), "sigma": np.asarray(sigma)}
    save_measurement(out, x, y, seed, parameters)
    return notes


def simulate_deblur(
    clean: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    kernel: str | Path | None = None,
    sigma: float | None = None,
    photons: float | None = None,
    read_noise: float | None = None,
) -> tuple[str, ...]:
    """Blur and add noise. Writes `measurement reference kernel sigma seed`, the kernel with sum 1.

    With `photons` it writes `photons read_noise` in place of `sigma`.

    Args:
        clean: picture.
        out: .npz to write.
        seed: of the noise.
        kernel: file of the kernel; None takes a Gaussian with a standard deviation of 2 pixels.
        sigma: standard deviation of the noise on the 0..255 scale; None is 2.
        photons, read_noise: counts of photons instead, see `add_photon_noise`.

    Raises:
        UserError: an unusable kernel, or photons beside a sigma; else as `simulate_denoise`.
    """
    x, notes = clean_picture(clean)
    if kernel is None:
        values = gaussian_kernel(DEFAULT_BLUR)
        notes += (f"no kernel given: a Gaussian of {DEFAULT_BLUR:g} pixels is used",)
    else:
        values = read_kernel(kernel)
        notes += kernel_doubts(values, kernel_label(kernel))
    physics = Blur(values, shape_of(x))
    parameters = {"kernel": physics.kernel.numpy()}
    if photons is not None:
        if sigma is not None:
            raise UserError("--photons is a noise of its own: leave out --sigma")
        _save_counts(out, x, physics.A(x), seed, (photons, read_noise or 0.0), parameters)
        return notes
    if read_noise is not None:
        raise UserError("--read-noise is counted in photons: give --photons, too")
    sigma = DEFAULT_SIGMA if sigma is None else sigma
    y = add_white_noise(physics.A(x), noise_level(sigma), seed)
    save_measurement(out, x, y, seed, parameters | {"sigma": np.asarray(sigma)})
    return notes


def _save_counts(
    out: str | Path,
    x: Tensor,
    mean: Tensor,
    seed: int,
    noise: tuple[float, float],
    parameters: dict[str, np.ndarray],
) -> None:
    """Count photons of a picture whose mean is known, and write what `save_measurement` does."""
    check_photons(*noise)
    numbers = {"photons": np.asarray(noise[0]), "read_noise": np.asarray(noise[1])}
    save_measurement(out, x, add_photon_noise(mean, *noise, seed), seed, parameters | numbers)


def clean_picture(path: str | Path) -> tuple[Tensor, tuple[str, ...]]:
    """Read a clean picture `(1, C, H, W)` in [0, 1], and notes. Raises as `read_image`."""
    x, notes = read_image(path, "clean image")
    check_photograph(x.numpy(), path)
    return x, notes


def save_measurement(
    out: str | Path, x: Tensor, y: Tensor, seed: int, parameters: dict[str, np.ndarray]
) -> None:
    """Write measurement, truth, seed and the task's parameters."""
    arrays = {
        "measurement": _grey_or_colour(y),
        "reference": _grey_or_colour(x),
        "seed": np.asarray(seed),
    }
    write_npz(out, arrays | parameters)


def _grey_or_colour(image: Tensor) -> np.ndarray:
    if image.shape[1] == 2:
        return to_complex(image)[0].numpy()
    return image[0, 0].numpy() if image.shape[1] == 1 else image[0].numpy()
