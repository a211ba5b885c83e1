"""Flicker of a video: how far a frame is from the next one, moved along the optical flow."""

from __future__ import annotations

import itertools

import numpy as np

SHARPNESS = 50.0
"""alpha of the weight exp(-alpha d^2) of a pixel whose input changed by d: 1 = nothing hidden."""


def optical_flow(frames: np.ndarray) -> np.ndarray:
    """Estimate the flow from every frame to the next, in pixels.

    By the TV-L1 method (Zach, Pock, Bischof 2007) of scikit-image, on grey values.

    Args:
        frames: input video `(T, C, H, W)`, T >= 2.

    Returns:
        `(T - 1, 2, H, W)`, down and right: pixel p of frame t is at p + flow[t] in frame t + 1.
    """
    from skimage.registration import optical_flow_tvl1

    grey = frames.mean(1).astype(np.float32)
    pairs = itertools.pairwise(grey)
    return np.stack([optical_flow_tvl1(here, following) for here, following in pairs])


def warped(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Move a frame `(C, H, W)` back along a flow `(2, H, W)`; linear interpolation."""
    from scipy.ndimage import map_coordinates

    places = np.indices(frame.shape[1:]) + flow
    planes = [map_coordinates(plane, places, order=1, mode="nearest") for plane in frame]
    return np.stack(planes)


def warping_error(video: np.ndarray, frames: np.ndarray, flow: np.ndarray | None = None) -> float:
    r"""Compute the warping error, the mean squared change along the flow of the input.

    .. math:: E = \frac1{T - 1} \sum_t \frac{\sum_p m_t(p)\, \|V_t(p) - V_{t+1}(p + u_t(p))\|^2}
              {C \sum_p m_t(p)}, \qquad
              m_t(p) = \exp(-50\, \|I_t(p) - I_{t+1}(p + u_t(p))\|^2)

    W.-S. Lai et al., "Learning blind video temporal consistency", ECCV 2018, whose m leaves out
    what is hidden in one of the frames; I are the input frames, u their flow (`optical_flow`).

    Args:
        video: `(T, C, H, W)`.
        frames: input video `(T, C', H, W)`, in [0, 1].
        flow: that of the input, where it is known.

    Returns:
        E >= 0; 0 for a video that moves exactly like its input.
    """
    if len(video) != len(frames) or video.shape[2:] != frames.shape[2:]:
        raise ValueError(f"videos must agree in size: {video.shape} and {frames.shape}")
    flow = optical_flow(frames) if flow is None else flow
    errors = []
    for t, u in enumerate(flow):
        hidden = ((frames[t] - warped(frames[t + 1], u)) ** 2).sum(0)
        weight = np.exp(-SHARPNESS * hidden)
        change = ((video[t] - warped(video[t + 1], u)) ** 2).mean(0)
        errors.append(float((weight * change).sum() / weight.sum()))
    return float(np.mean(errors))
