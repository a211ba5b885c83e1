"""Pre-trained networks, frozen: denoisers with their score, and trained reconstructors."""

from untrained.priors.base import (
    DENOISER,
    RECONSTRUCTOR,
    Denoiser,
    Prior,
    Provenance,
    Reconstructor,
)
from untrained.priors.gaussian import GaussianDenoiser
from untrained.priors.load import ARCHITECTURES, load_prior, split_name

__all__ = [
    "ARCHITECTURES",
    "DENOISER",
    "RECONSTRUCTOR",
    "Denoiser",
    "GaussianDenoiser",
    "Prior",
    "Provenance",
    "Reconstructor",
    "load_prior",
    "split_name",
]
