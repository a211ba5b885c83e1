"""Hold what a way to an error bar draws: an image, samples about it, and their spread."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from untrained.solver.fit import Fit


@dataclass(frozen=True, eq=False)
class Drawn:
    """Hold an image and samples of what else it might be, in network units.

    Attributes:
        fit: the fit whose image it is, in the units of the measurements.
        samples: deviations from their own mean, `(S, C, ...)`; None where the run was interrupted.
        std: standard deviation of each entry, `(1, C, ...)`, uncalibrated; None likewise.
        facts: what the way found on its own, plain values for `result.json`.
    """

    fit: Fit
    samples: Tensor | None = None
    std: Tensor | None = None
    facts: dict[str, float] | None = None


def centred(images: Tensor) -> Tensor:
    """Return the deviations of images `(S, C, ...)` from their mean."""
    return images - images.mean(0, keepdim=True)


def variance_of(deviations: Tensor) -> Tensor:
    """Compute the variance of deviations from a mean of the same samples, `(S, ...)` -> `(...)`."""
    return deviations.square().sum(0) / max(1, len(deviations) - 1)
