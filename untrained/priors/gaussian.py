"""The exact denoiser of a normal distribution: what samplers are tested with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from untrained.priors.base import Denoiser, Provenance


class GaussianDenoiser(Denoiser):
    r"""Estimate an image of the distribution N(mu, C) from one with noise, exactly.

    .. math:: E[x_0 \mid x] = \mu + C (C + \sigma^2 I)^{-1} (x - \mu)

    With it a sampler's mean and covariance can be written in closed form.

    Args:
        mean: mu, `(C, H, W)`.
        covariance: C, `(n, n)` with n = C H W, symmetric and not negative.
    """

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        values, vectors = torch.linalg.eigh(covariance)
        super().__init__(
            nn.Module(),
            Provenance("gaussian"),
            channels=mean.shape[0],
            levels=(0.0, float("inf")),
        )
        self.register_buffer("mean", mean)
        self.register_buffer("values", values.clamp_min(0.0))
        self.register_buffer("vectors", vectors)

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Shrink x - mu along each eigenvector of C."""
        mean, values, vectors = (
            self.get_buffer("mean"),
            self.get_buffer("values"),
            self.get_buffer("vectors"),
        )
        share = values / (values + sigma.square().reshape(-1, 1)).clamp_min(1e-30)
        apart = (x - mean).flatten(1) @ vectors
        return mean + ((share * apart) @ vectors.T).reshape(x.shape)
