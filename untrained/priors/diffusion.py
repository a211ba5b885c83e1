"""Diffusion models as denoisers: schedules of noise, ranges of values, what a network predicts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from untrained.priors.base import Denoiser, Provenance


@dataclass(frozen=True)
class Units:
    """Map image values to those that a network was trained on, v = gain x + offset."""

    gain: float = 1.0
    offset: float = 0.0


PLAIN = Units()
"""The network was trained on [0, 1], or on complex images as two channels."""
SYMMETRIC = Units(2.0, -1.0)
"""It was trained on [-1, 1]."""
CENTRED = Units(1.0, -0.5)
"""It was trained on [-0.5, 0.5]."""


def linear_schedule(first: float, last: float, steps: int) -> Tensor:
    r"""Compute :math:`\bar\alpha_t = \prod (1 - \beta)` of betas on a line, `(steps,)` float64."""
    betas = torch.linspace(first, last, steps, dtype=torch.float64)
    return (1 - betas).cumprod(0)


class VPDenoiser(Denoiser):
    r"""Ask a network that was trained to find the noise of variance-preserving diffusion.

    .. math:: x_t = \sqrt{\bar\alpha_t}\, v + \sqrt{1 - \bar\alpha_t}\, n, \qquad
              D(v, \sigma) = v - \sigma\, n_\theta(\sqrt{\bar\alpha_t}\, v, t)

    with :math:`\sigma_t^2 = (1 - \bar\alpha_t) / \bar\alpha_t` and v in the network's range.
    Between two times of the schedule, t is interpolated in log sigma. A network that also learned
    the variance has twice as many output channels; the second half is not asked for.

    Args:
        network: (x_t, t) -> noise; t `(B,)` counts the entries of the schedule from 0.
        schedule: :math:`\bar\alpha_t`, falling, `(T,)`.
        units: the range of values.
        channels, multiple, sides: as of `Denoiser`.
    """

    def __init__(
        self,
        network: nn.Module,
        provenance: Provenance,
        *,
        schedule: Tensor,
        channels: int,
        units: Units = PLAIN,
        multiple: int = 1,
        sides: tuple[int, int] | None = None,
    ) -> None:
        sigmas = ((1 - schedule) / schedule).double().sqrt()
        super().__init__(
            network,
            provenance,
            channels=channels,
            levels=(float(sigmas[0]) / units.gain, float(sigmas[-1]) / units.gain),
            multiple=multiple,
            sides=sides,
        )
        self.units = units
        self.register_buffer("log_sigmas", sigmas.log().float())

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Take the predicted noise off."""
        gain, offset = self.units.gain, self.units.offset
        level = gain * sigma
        size = level.reshape(-1, *[1] * (x.ndim - 1))
        v = gain * x + offset
        noise = self.network(v / (1 + size.square()).sqrt(), self.time(level))
        return (v - size * noise[:, : self.channels] - offset) / gain

    def time(self, sigma: Tensor) -> Tensor:
        """Find the place of levels `(B,)`, in the network's units, on the schedule, fractional."""
        table = self.get_buffer("log_sigmas")
        wanted = sigma.to(table).log().clamp(table[0], table[-1])
        above = torch.searchsorted(table, wanted).clamp(1, len(table) - 1)
        low, high = table[above - 1], table[above]
        return above - 1 + (wanted - low) / (high - low)


class VEDenoiser(Denoiser):
    r"""Ask a network (v, sigma) -> clean image, v in its own range of values.

    For networks of variance-exploding diffusion, whose score at sigma is
    :math:`(D(v, \sigma) - v) / \sigma^2`, and for those with EDM's preconditioning inside.

    Args:
        network: (v, sigma `(B,)`) -> estimate, both in the network's range.
        levels: least and greatest sigma in that range.
        units: the range of values.
        channels, multiple, sides: as of `Denoiser`.
    """

    def __init__(
        self,
        network: nn.Module,
        provenance: Provenance,
        *,
        levels: tuple[float, float],
        channels: int,
        units: Units = PLAIN,
        multiple: int = 1,
        sides: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(
            network,
            provenance,
            channels=channels,
            levels=(levels[0] / units.gain, levels[1] / units.gain),
            multiple=multiple,
            sides=sides,
        )
        self.units = units

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Convert to the network's range and back."""
        gain, offset = self.units.gain, self.units.offset
        clean: Tensor = self.network(gain * x + offset, gain * sigma)
        return (clean - offset) / gain
