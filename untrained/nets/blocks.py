"""Convolution, normalisation, pooling and upsampling in one, two or three dimensions.

Each function takes the number of spatial axes `dim` first and returns a plain `torch.nn` module
for tensors `(B, C, *spatial)`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

PADDINGS = ("zeros", "reflect", "replicate")
UPSAMPLINGS = ("nearest", "bilinear")
DOWNSAMPLINGS = ("stride", "avg", "max")
SHORT = 3  # pixels, the least that any kernel is taken for


def carefully(call: Callable[..., Any], axes: int, extent: int, *given: Any, **named: Any) -> Any:
    """Call a convolution, in float32 where bfloat16 autocast would get it wrong.

    `call(*given, **named)` is a convolution over `extent` pixels of the last `axes` axes of its
    first argument. On a CPU, where a side is shorter than that, the weight gradients of oneDNN 3.12
    (AVX512-BF16) read memory that was never written: NaN in one run and not in the next, or a
    crash. In tensors that short float32 costs nothing.
    """
    x = given[0] if given else named["input"]
    halved = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    if not halved or min(x.shape[-axes:]) >= extent:
        return call(*given, **named)
    with torch.autocast("cpu", enabled=False):
        in_full = {name: _full(value) for name, value in named.items()}
        return call(*map(_full, given), **in_full)


def with_careful_convolutions(module: nn.Module) -> nn.Module:
    """Make all convolutions of a module compute `carefully`, and return the module."""
    for part in module.modules():
        if isinstance(part, nn.modules.conv._ConvNd) and not hasattr(part, "careful"):
            part.__class__ = _careful(type(part))  # type: ignore[arg-type]
    return module


@functools.cache
def _careful(kind: type) -> type:
    """Derive from a class of convolutions one whose forward pass computes `carefully`."""

    def forward(self: Any, *given: Any, **named: Any) -> Any:
        extents = zip(self.kernel_size, self.dilation, strict=True)
        extent = max(SHORT, *(step * (taps - 1) + 1 for taps, step in extents))
        call = functools.partial(plain, self)
        return carefully(call, len(self.kernel_size), extent, *given, **named)

    plain: Any = kind.forward  # type: ignore[attr-defined]
    return type(kind.__name__, (kind,), {"forward": forward, "careful": True})


def _full(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value


# the three classes of a kind share no typed base with their constructor
_CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_AVERAGE: dict[int, Any] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_MAXIMUM: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def conv(
    dim: int,
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    bias: bool = True,
    padding: str = "zeros",
) -> nn.Module:
    """Build a convolution with an odd kernel that keeps the size (divides it by `stride`).

    Args:
        dim: spatial axes.
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel.
        stride: step.
        bias: whether to add one number per output channel.
        padding: one of PADDINGS, what stands beyond the border.
    """
    module: nn.Module = _CONV[dim](
        inputs, outputs, kernel, stride, kernel // 2, bias=bias, padding_mode=padding
    )
    return module


def norm(dim: int, channels: int) -> nn.Module:
    """Build a batch normalisation that always uses the statistics of the batch at hand.

    Nothing is remembered between calls, so `eval()` changes nothing and a step has no hidden
    state. With one image in the batch these are the image's own statistics.
    """
    module: nn.Module = _NORM[dim](channels, track_running_stats=False)
    return module


def pool(dim: int, kind: str) -> nn.Module:
    """Halve every side by the `avg` or the `max` of 2 neighbours per axis."""
    module: nn.Module = (_AVERAGE if kind == "avg" else _MAXIMUM)[dim](2)
    return module


def upsample(dim: int, mode: str, *, align_corners: bool = False) -> nn.Module:
    """Double every side: `nearest`, or `bilinear` (linear in 1D, trilinear in 3D)."""
    if mode == "nearest":
        return nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Upsample(scale_factor=2, mode=_LINEAR[dim], align_corners=align_corners)


def resize(dim: int, mode: str, sides: tuple[int, ...]) -> nn.Module:
    """Interpolate to the given sides: `nearest`, or `bilinear` (linear in 1D, trilinear in 3D)."""
    if mode == "nearest":
        return nn.Upsample(size=sides, mode="nearest")
    return nn.Upsample(size=sides, mode=_LINEAR[dim], align_corners=False)


def unit(
    dim: int,
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    slope: float,
    stride: int = 1,
    bias: bool = True,
    padding: str = "zeros",
) -> nn.Sequential:
    """Chain a convolution, batch normalisation and leaky ReLU of negative slope `slope` (0: ReLU).

    The activation overwrites the normalisation's output, which no gradient needs: this saves one
    image-sized tensor per unit.
    """
    activation = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
    return nn.Sequential(
        conv(dim, inputs, outputs, kernel, stride=stride, bias=bias, padding=padding),
        norm(dim, outputs),
        activation,
    )
