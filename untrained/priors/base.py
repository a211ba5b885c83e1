"""What a pre-trained network is: a frozen prior that a method may ask, and never trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import UserError
from untrained.problem import Problem

DENOISER = "a denoiser"
RECONSTRUCTOR = "a trained reconstructor"


@dataclass(frozen=True)
class Provenance:
    """Where a pre-trained network comes from.

    Attributes:
        architecture: its name in `ARCHITECTURES`.
        file: name of the file of weights, without its folder; "" for one that was made in Python.
        sha256: hash of that file.
        licence: what the file says of its licence; "" where it says nothing.
    """

    architecture: str
    file: str = ""
    sha256: str = ""
    licence: str = ""


class Prior(nn.Module, ABC):
    """Hold a frozen network that was trained elsewhere, and where it comes from.

    It draws nothing at random, keeps nothing between two calls, and no gradient reaches its
    weights; gradients with respect to its input are possible.

    Args:
        network: the network; its weights are frozen and it is put into evaluation mode.
        provenance: where it comes from.

    Attributes:
        kind: DENOISER or RECONSTRUCTOR.
    """

    kind: ClassVar[str]

    def __init__(self, network: nn.Module, provenance: Provenance) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.provenance = provenance

    @property
    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(weight.numel() for weight in self.network.parameters())

    @property
    def stored_bytes(self) -> int:
        """Return the memory that weights and buffers take."""
        stored = [*self.network.parameters(), *self.network.buffers()]
        return sum(one.numel() * one.element_size() for one in stored)

    @abstractmethod
    def pass_through(self, x: Tensor) -> Tensor:
        """Send images `(G, C, H, W)` through the learned layers once, to count what that takes."""

    def facts(self) -> dict[str, object]:
        """Return what a result tells of it, plain JSON values."""
        return {**asdict(self.provenance), "kind": self.kind, "parameters": self.parameter_count}


class Denoiser(Prior):
    r"""Estimate a clean image from one with white noise of a known level.

    It is the posterior mean :math:`D(x, \sigma) = E[x_0 \mid x_0 + \sigma n = x]`, the
    x0-prediction of a diffusion model whose noise variance explodes (VE). Tweedie's formula makes
    it a score. A model of the variance-preserving kind (VP) is asked at

    .. math:: x_t = \sqrt{\bar\alpha}\, x, \qquad \bar\alpha = 1 / (1 + \sigma^2),

    inside `estimate`, so that a method states its equations in sigma, whichever kind it is given.

    Images are in the units that the library works in: [0, 1] for photographs, O(1) elsewhere.
    What the network was trained on ([-1, 1], say) is converted inside `estimate`.

    Args:
        network, provenance: as of `Prior`.
        channels: number of channels that the network takes.
        levels: least and greatest noise level sigma that it was trained on, in the units above;
            equal where it knows one.
        multiple: what the sides of its input must be multiples of.
        sides: height and width of its input, of a network for one size only; None for any.
    """

    kind: ClassVar[str] = DENOISER

    def __init__(
        self,
        network: nn.Module,
        provenance: Provenance,
        *,
        channels: int,
        levels: tuple[float, float],
        multiple: int = 1,
        sides: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(network, provenance)
        self.channels, self.levels, self.multiple, self.sides = channels, levels, multiple, sides

    @abstractmethod
    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean image of x, `(B, channels, H, W)`, at the levels sigma, `(B,)`."""

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Estimate the clean images of x, `(B, C, H, W)`, with any number of channels and any size.

        A network of one channel is applied to each channel, one of three to a grey image repeated
        three times. Sides are padded by reflection to what the network needs.

        Args:
            x: images with white noise.
            sigma: its standard deviation, one for all or `(B,)`; a level outside `levels` is
                brought to the nearest one inside.

        Raises:
            UserError: images whose number of channels or size the network cannot take.
        """
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(len(x))
        level = level.clamp(*self.levels)
        count = x.shape[1]
        if count == self.channels:
            return self._padded(x, level)
        if self.channels == 1:
            each = self._padded(x.flatten(0, 1).unsqueeze(1), level.repeat_interleave(count))
            return each.reshape(x.shape)
        if count == 1:
            repeated = x.expand(-1, self.channels, *x.shape[2:])
            return self._padded(repeated, level).mean(1, keepdim=True)
        raise UserError(
            f"the prior {self._name()} takes images of {self.channels} channels, and these have "
            f"{count}; take a prior that was trained on such images"
        )

    def pass_through(self, x: Tensor) -> Tensor:
        """Denoise x once; a volume `(G, C, D, H, W)` as a stack of its slices."""
        if x.ndim == 5:
            x = x.transpose(1, 2).flatten(0, 1)
        return self.denoise(x, 1.0)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        r"""Compute the score :math:`\nabla \log p_\sigma(x) = (D(x, \sigma) - x) / \sigma^2`."""
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        square = level.square().reshape(-1, *[1] * (x.ndim - 1))
        return (self.denoise(x, sigma) - x) / square

    def _padded(self, x: Tensor, level: Tensor) -> Tensor:
        """Ask the network with sides that it can take, and cut its answer to those of x."""
        if x.ndim != 4:
            raise UserError(
                f"the prior {self._name()} takes pictures (B, C, H, W), and this image has "
                f"{x.ndim - 2} sides; work slice by slice"
            )
        height, width = x.shape[2:]
        wanted = self.sides or tuple(
            -(-side // self.multiple) * self.multiple for side in x.shape[2:]
        )
        down, right = wanted[0] - height, wanted[1] - width
        if self.sides is not None and (down < 0 or right < 0):
            raise UserError(
                f"the prior {self._name()} takes images of {wanted[0]}x{wanted[1]} at most, and "
                f"this one is {height}x{width}; crop it"
            )
        if not (down or right):
            return self.estimate(x, level)
        # reflection reaches no further than the image; a smaller one repeats its edge
        mode = "reflect" if down < height and right < width else "replicate"
        padded = functional.pad(x, (0, right, 0, down), mode=mode)
        return self.estimate(padded, level)[..., :height, :width]

    def _name(self) -> str:
        return self.provenance.file or self.provenance.architecture


class Reconstructor(Prior):
    """Reconstruct an image from measurements by a network that was trained to do so.

    Attributes:
        method: the method that applies it; no other does.
    """

    kind: ClassVar[str] = RECONSTRUCTOR
    method: ClassVar[str]

    def pass_through(self, x: Tensor) -> Tensor:
        """Return x: what a reconstructor's layers are given, a subclass knows."""
        return x

    @abstractmethod
    def reconstruct(self, problem: Problem) -> Tensor:
        """Return the images of a problem, `(G, C, H, W)`, in network units.

        Raises:
            UserError: the network was not made for such measurements.
        """
