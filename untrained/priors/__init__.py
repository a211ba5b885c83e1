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
from untrained.priors.plug_and_play import of_slices, plug_and_play

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
    "of_slices",
    "plug_and_play",
    "split_name",
]
