"""Simulate computed tomography from a clean picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from untrained.data.formats.npz import write_npz
from untrained.data.simulate.noise import add_white_noise
from untrained.data.simulate.photos import clean_picture
from untrained.data.tasks.ct_scan import check_matrix, even_angles, fit_into_memory
from untrained.errors import UserError
from untrained.physics.ct import CT


def simulate_ct(
    clean: str | Path, out: str | Path, *, seed: int = 0, angles: int = 60, noise: float = 0.01
) -> tuple[str, ...]:
    """Project along parallel rays. Writes `sinogram angles image_shape reference sigma seed`.

    The views lie evenly over 180 degrees; the detector spans the image's diagonal, its bins as
    wide as a pixel. White Gaussian noise is added to the line integrals.

    Args:
        clean: picture of one channel.
        out: .npz to write.
        seed: of the noise.
        angles: number of views.
        noise: standard deviation of the noise over the mean of |sinogram|; it is stored in the
            units of the sinogram as `sigma`.

    Raises:
        UserError: not a picture, a colour picture, a negative noise, no angle.
    """
    x, notes = clean_picture(clean)
    if x.shape[1] != 1:
        raise UserError(f"{clean} has {x.shape[1]} channels; ct takes a picture of one channel")
    if not 0 <= noise < math.inf:
        raise UserError(f"--noise must be a number >= 0, got {noise}")
    shape = (x.shape[-2], x.shape[-1])
    check_matrix(shape, angles, "--angles")
    views = even_angles(angles)
    physics, about = fit_into_memory(CT(shape, views, math.ceil(math.hypot(*shape))))
    y = physics.A(x)
    sigma = noise * float(y.abs().mean())
    arrays = {
        "sinogram": add_white_noise(y, sigma, seed)[0, 0].T.numpy(),
        "angles": views,
        "image_shape": np.array(shape),
        "reference": x[0, 0].numpy(),
        "sigma": np.asarray(sigma),
        "seed": np.asarray(seed),
    }
    write_npz(out, arrays)
    return (*notes, *about)
