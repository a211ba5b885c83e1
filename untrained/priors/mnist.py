"""The DDPM of handwritten digits of the diffusion courses: 28 x 28, [-0.5, 0.5]."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.priors.base import Provenance
from untrained.priors.diffusion import CENTRED, VPDenoiser
from untrained.priors.fitting import load_exactly

SCHEDULE = "alpha_t"
FIRST, LAST, EMBEDDING = "gt.blocks.0.net.0.weight", "gt.blocks.", "gt.time_embed."


class DigitNetwork(nn.Module):
    """Chain of convolutions, each with layer normalisation over the whole image, and a time.

    Args:
        widths: output channels of each convolution.
        kernel, last: sides of the kernels, and of the last one.
        sides: of the images, to which the normalisation is tied.
        frequencies: how many the time is turned into.
        inner: width of the time's layers.
        end: the schedule's last entry, which is time 1.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        kernel: int,
        last: int,
        sides: tuple[int, int],
        frequencies: int,
        inner: int,
        end: int,
    ) -> None:
        super().__init__()
        self.end = end
        inputs = (1, *widths)
        blocks: list[nn.Module] = [
            _Block(inputs[i], width, kernel, sides) for i, width in enumerate(widths)
        ]
        self.blocks = nn.ModuleList([*blocks, nn.Conv2d(widths[-1], 1, last, padding=last // 2)])
        self.register_buffer("frequencies", torch.zeros(frequencies))
        self.time_embed = nn.Sequential(
            nn.Linear(2 * frequencies, inner),
            nn.GELU(),
            nn.Linear(inner, inner),
            nn.GELU(),
            nn.Linear(inner, inner),
            nn.GELU(),
            nn.Linear(inner, widths[0]),
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Find the noise of x `(B, 1, H, W)` at the entries t `(B,)` of the schedule."""
        phase = (t / self.end)[:, None] * self.get_buffer("frequencies")
        code = self.time_embed(torch.cat([phase.sin(), phase.cos() - 1], 1))
        x = self.blocks[0](x) + code[:, :, None, None]
        for block in list(self.blocks)[1:]:
            x = block(x)
        return x


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
            nn.LayerNorm((outputs, *sides)),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


def is_mnist(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the file has the schedule and the first convolution."""
    return {SCHEDULE, FIRST, "gt.frequencies"} <= tensors.keys()


def build_mnist(tensors: Mapping[str, Tensor], provenance: Provenance) -> VPDenoiser:
    """Build the network whose sizes the tensors tell; `alpha_t` is the cumulative product.

    Raises:
        UserError: tensors that make no such network, or a schedule that does not fall.
    """
    own = {name.removeprefix("gt."): one for name, one in tensors.items() if name[:3] == "gt."}
    count = sum(name.endswith(".net.0.weight") for name in own)
    kernels = [own.get(f"blocks.{i}.net.0.weight") for i in range(count)]
    norm, last = own.get("blocks.0.net.1.weight"), own.get(f"blocks.{count}.weight")
    inner, schedule = own.get("time_embed.0.weight"), tensors[SCHEDULE].double()
    shapes = [one.ndim for one in (*kernels, last) if one is not None]
    if shapes != [4] * (count + 1) or norm is None or norm.ndim != 3 or inner is None:
        raise UserError("its tensors make no chain of convolutions with layer normalisation")
    if schedule.ndim != 1 or not (schedule.diff() < 0).all() or not 0 < schedule[-1] < 1:
        raise UserError("its alpha_t is no falling schedule between 1 and 0")
    assert last is not None
    sides = (norm.shape[1], norm.shape[2])
    with torch.device("meta"):
        network = DigitNetwork(
            tuple(len(kernel) for kernel in kernels if kernel is not None),
            kernels[0].shape[-1],  # type: ignore[union-attr]
            last.shape[-1],
            sides,
            own["frequencies"].numel(),
            len(inner),
            len(schedule) - 1,
        )
    load_exactly(network, own)
    return VPDenoiser(
        network, provenance, schedule=schedule, channels=1, units=CENTRED, sides=sides
    )
