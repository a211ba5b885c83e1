"""A video whose frames something else processed one by one, beside the frames as they were."""

from __future__ import annotations

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics.kinds import LinearPhysics
from untrained.physics.positions import draw_positions, number_positions


class Processed(LinearPhysics):
    """A = identity on videos `(B, C, T, H, W)`; y are the processed frames, `frames` the input.

    Nothing is measured here: what makes the processed frames inconsistent is no noise of a known
    law. The operator holds the frames that were processed, which tell what belongs together.

    Args:
        frames: the input video, `(1, C', T, H, W)`, in [0, 1].
        channels: C, those of the processed frames.

    Raises:
        UserError: no video of at least two frames.
    """

    task = "video"
    unit_range = True
    norm_squared = 1.0
    is_series = True
    frames: Tensor

    def __init__(self, frames: Tensor, channels: int) -> None:
        if frames.ndim != 5 or len(frames) != 1 or frames.shape[2] < 2:
            raise UserError(
                "the frames of a video are (1, C, T, H, W), at least two, got "
                f"{tuple(frames.shape)}"
            )
        shape = (channels, *frames.shape[2:])
        super().__init__(shape, shape)
        self.register_buffer("frames", frames.to(torch.get_default_dtype()))

    def A(self, x: Tensor) -> Tensor:
        """Return the video `(B, C, T, H, W)`, the same tensor."""
        self._check_x(x)
        return x

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Return the processed video, the same tensor."""
        self._check_y(y)
        return y

    def described(self) -> str:
        """Say what is measured: the number of frames and their size."""
        channels, count, height, width = self.x_shape  # type: ignore[misc]
        return f"{count} processed frames of {height} x {width}, {channels} channel(s)"

    def mean_squared_singular_value(self, weighting: str = "uniform") -> float:
        """Give 1, that of the identity."""
        return 1.0

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw pixels of every frame, the same in each channel."""
        return draw_positions(y, 3, fraction, generator)

    def units(self, y: Tensor) -> Tensor:
        """Number the pixels of all frames; see the base class."""
        return number_positions(y, 3)
