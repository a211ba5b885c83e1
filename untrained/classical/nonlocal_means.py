"""Non-local means: what total variation does not know, that pictures repeat themselves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from untrained.problem import Problem

DISTANCE, SHARE = 11, 0.45
LEAST_SIGMA = 1e-3  # weights of a picture without noise would be 0/0


def non_local_means(image: np.ndarray, sigma: float, distance: int, share: float) -> np.ndarray:
    """See `nlm`: a picture `(C, H, W)`, patches 5x5 at most `distance` apart, h = share sigma."""
    from skimage.restoration import denoise_nl_means

    options = {"patch_size": 5, "patch_distance": distance, "h": share * sigma, "sigma": sigma}
    if len(image) == 1:  # scikit-image drops a single channel and turns the picture round
        return denoise_nl_means(image[0], fast_mode=True, **options)[None]
    found: np.ndarray = denoise_nl_means(image, fast_mode=True, channel_axis=0, **options)
    return found


@torch.no_grad()
def nlm(problem: Problem) -> Tensor:
    r"""Every pixel is the mean of those whose surroundings look alike.

    .. math:: x_i = \frac{\sum_j w_{ij}\, y_j}{\sum_j w_{ij}}, \qquad
              w_{ij} = \exp(-\max(d_{ij}^2 - 2 \sigma^2, 0) / h^2)

    with :math:`d_{ij}^2` the mean squared difference of two 5x5 patches at most 11 pixels apart,
    all channels together, and h = 0.45 sigma. A. Buades, B. Coll, J.-M. Morel, CVPR 2005, by
    scikit-image. sigma is that of the problem, or is estimated from the picture.

    Args:
        problem: G pictures `(C, H, W)` with noise; pixels that are held out are filled first.

    Returns:
        `(G, C, H, W)` in the problem's units.
    """
    from skimage.restoration import estimate_sigma

    images = []
    for one in problem.estimate().cpu().numpy():
        sigma = problem.sigma
        if sigma is None:
            sigma = float(estimate_sigma(one, channel_axis=0, average_sigmas=True))
        found = non_local_means(one, max(sigma, LEAST_SIGMA), DISTANCE, SHARE)
        images.append(torch.from_numpy(found).to(problem.y))
    return torch.stack(images)
