r"""Our own denoiser: a small network inside the preconditioning of Karras et al. (EDM)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.maths import per_problem
from untrained.nets import NoiseUNet
from untrained.priors.base import Denoiser, Provenance

NETWORK = "network."
MEAN, DEVIATION, LEVELS = "edm.mean", "edm.deviation", "edm.levels"
"""Names of a file's tensors: what begins with the first are the network's weights."""


def precondition(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    sigma: Tensor,
    mean: Tensor,
    deviation: Tensor,
) -> Tensor:
    r"""Compute the denoised image D(x, sigma) of Karras, Aittala, Aila, Laine (NeurIPS 2022).

    .. math:: D(x, \sigma) = m + c_{skip}\,(x - m) + c_{out}\,
              F\big(c_{in}\,(x - m),\, \tfrac14 \ln\sigma\big)

    .. math:: c_{skip} = \frac{\sigma_d^2}{\sigma^2 + \sigma_d^2}, \quad
              c_{out} = \frac{\sigma\,\sigma_d}{\sqrt{\sigma^2 + \sigma_d^2}}, \quad
              c_{in} = \frac1{\sqrt{\sigma^2 + \sigma_d^2}}

    so that the network F sees inputs of variance 1, and has to predict an output of variance 1,
    at every noise level. Without F it is the best linear estimate for white images.

    Differs from the paper: the mean m of the images is taken off first; the paper's images have
    none.

    Args:
        network: F: `(B, C + 1, H, W)`, the last channel its noise level, to `(B, C, H, W)`.
        x: images with noise, `(B, C, H, W)`.
        sigma: standard deviation of the noise of each, `(B,)`, positive.
        mean: m, `(C,)`.
        deviation: sigma_d, the standard deviation of the pixels of clean images.
    """
    level, m = per_problem(sigma, x), mean.reshape(-1, 1, 1)
    total = (level.square() + deviation.square()).sqrt()
    told = (level.log() / 4).expand_as(x[:, :1])
    f = network(torch.cat([(x - m) / total, told], 1))
    return m + (deviation / total).square() * (x - m) + level * deviation / total * f


class EDMDenoiser(Denoiser):
    """Apply the denoiser that `untrained pretrain denoiser` trained.

    Args:
        network, provenance, more: as of `Denoiser`.
        net: the network's description.
        mean, deviation: m and sigma_d of `precondition`.
    """

    def __init__(
        self,
        network: nn.Module,
        provenance: Provenance,
        net: NoiseUNet,
        mean: Tensor,
        deviation: Tensor,
        **more: Any,
    ) -> None:
        super().__init__(network, provenance, **more)
        self.net = net
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Compute D(x, sigma); see `precondition`."""
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        return precondition(self.network, x, sigma, mean, deviation)


def is_edm(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those that `untrained pretrain denoiser` writes."""
    return {MEAN, DEVIATION, LEVELS} <= tensors.keys()


def build_edm(tensors: Mapping[str, Tensor], provenance: Provenance) -> EDMDenoiser:
    """Build the denoiser whose sizes the tensors tell.

    Raises:
        UserError: shapes, or numbers beside the weights, that are not those of such a denoiser.
    """
    weights = {n.removeprefix(NETWORK): t for n, t in tensors.items() if n.startswith(NETWORK)}
    mean, deviation, levels = tensors[MEAN], tensors[DEVIATION], tensors[LEVELS]
    if mean.ndim != 1 or deviation.ndim != 0 or levels.shape != (2,):
        raise UserError(
            f"its '{MEAN}', '{DEVIATION}' and '{LEVELS}' are {tuple(mean.shape)}, "
            f"{tuple(deviation.shape)} and {tuple(levels.shape)}; expected (C,), () and (2,)"
        )
    low, high = map(float, levels)
    if not (0 < low <= high and float(deviation) > 0):
        raise UserError(
            f"its noise levels {low:g} to {high:g} and deviation {float(deviation):g} must be "
            "positive and in order; the file is damaged"
        )
    net, channels = _described(weights), len(mean)
    with torch.device("meta"):
        network = net.build(channels + 1, channels)
    try:
        network.load_state_dict(dict(weights), assign=True)
    except RuntimeError as error:
        raise UserError(f"its weights do not fit together: {error}") from error
    return EDMDenoiser(
        network,
        provenance,
        net,
        mean,
        deviation,
        channels=channels,
        levels=(low, high),
        multiple=net.multiple,
    )


def _described(weights: Mapping[str, Tensor]) -> NoiseUNet:
    """Read the sizes of the network from its tensors."""
    try:
        scales = sum(name.startswith("shrink.") and name.endswith("weight") for name in weights)
        widths = [len(weights[f"shrink.{i}.weight"]) for i in range(scales)]
        first, features = len(weights["stem.weight"]), len(weights["level.0.weight"])
        return NoiseUNet(widths=(first, *widths), features=features)
    except (KeyError, TypeError, UserError) as error:
        raise UserError(f"its weights are not those of our network: {error}") from error
