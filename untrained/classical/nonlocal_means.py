"""Non-local means: denoising that relies on structures that repeat in a picture."""

from __future__ import annotations

import numpy as np


def non_local_means(image: np.ndarray, sigma: float, distance: int, share: float) -> np.ndarray:
    r"""Replace every pixel by the weighted mean of pixels with similar surroundings.

    .. math:: x_i = \frac{\sum_j w_{ij}\, y_j}{\sum_j w_{ij}}, \qquad
              w_{ij} = \exp(-\max(d_{ij}^2 - 2 \sigma^2, 0) / h^2)

    with :math:`d_{ij}^2` the mean squared difference of two 5x5 patches at most `distance` pixels
    apart, all channels of a picture `(C, H, W)` together, and h = `share` sigma. A. Buades,
    B. Coll, J.-M. Morel, CVPR 2005, by scikit-image.
    """
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": 5, "patch_distance": distance, "h": share * sigma, "sigma": sigma}
    if len(image) == 1:  # scikit-image drops a single channel and turns the picture round
        return denoise_nl_means(image[0], fast_mode=True, **options)[None]
    found: np.ndarray = denoise_nl_means(image, fast_mode=True, channel_axis=0, **options)
    return found
