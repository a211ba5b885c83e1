"""Phase retrieval: the amplitude of the Fourier transform of a zero-padded image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from untrained.errors import UserError
from untrained.maths import fft2c, sum_squares
from untrained.physics.base import NonlinearPhysics

STARTS = 4
SEED = 0
FEEDBACK = 0.9  # beta of hybrid input-output, the value of Fienup's paper
CYCLES, CLOSING = 300, 50  # of hybrid input-output, then of error reduction


class PhaseRetrieval(NonlinearPhysics):
    r"""y = |F P x| per channel: P puts zeros around the image, F is the centred orthonormal FFT.

    The phase is lost, and with it everything that leaves the amplitudes as they are: x turned by
    180 degrees, and x moved within its frame where its border is empty, fit equally well.
    `metrics.same_view` undoes both for scoring; no method is told. Each channel is measured on
    its own, so the channels of a colour picture may come back turned differently.

    A is homogeneous of degree 1 and never enlarges a difference, so its squared norm counts as 1.
    The gradient of an amplitude that is exactly 0 is taken as 0.

    Args:
        x_shape: `(C, H, W)`, images in [0, 1].
        pad: zeros on each side, one number or (rows, columns). None is a quarter of each side, the
            setting of diffusion posterior sampling: 64 for 256 x 256. The amplitudes determine a
            general image where the padded one has at least twice as many rows and columns, a pad
            of half a side; with less, that it lies in [0, 1] has to help.

    Raises:
        UserError: a negative pad.
    """

    task = "phase"
    unit_range = True
    degree = 1.0
    norm_squared = 1.0
    classical_name = "hybrid input-output"

    def __init__(
        self, x_shape: tuple[int, int, int], pad: int | Sequence[int] | None = None
    ) -> None:
        channels, height, width = x_shape
        if pad is None:
            pad = (height // 4, width // 4)
        rows, columns = (pad, pad) if isinstance(pad, int) else (int(p) for p in pad)
        if min(rows, columns) < 0:
            raise UserError(f"pad must be zeros on each side, 0 or more, got {rows}, {columns}.")
        super().__init__(x_shape, (channels, height + 2 * rows, width + 2 * columns))
        self.pad = (rows, columns)

    def A(self, x: Tensor) -> Tensor:
        """Image `(B, C, H, W)` -> amplitudes `(B, C, H + 2 rows, W + 2 columns)`, all >= 0."""
        self._check_x(x)
        return fft2c(self._padded(x)).abs()

    def initial(self, y: Tensor) -> Tensor:
        """A first image `(B, C, H, W)` in [0, 1] by hybrid input-output, then error reduction.

        J. R. Fienup, Appl. Opt. 21, 1982: the iterate is given the measured amplitudes; where the
        result then leaves what is known of the image (zero around it, values in [0, 1]) it is
        corrected by feedback (300 cycles, beta 0.9) or cut off (50 cycles). From four random
        images, always the same, and of the four answers the one whose amplitudes fit best.

        A y of exactly 0 counts as not measured (a beam stop, held-out amplitudes): there the
        iterate keeps its own. Amplitudes below 0, which noise makes, count as the smallest.
        """
        self._check_y(y)
        amplitudes = _half_plane(y.flatten(0, 1))
        best = torch.zeros(len(amplitudes), *self.x_shape[1:]).to(y)  # type: ignore[index]
        least = torch.full((len(best),), torch.inf).to(y)
        generator = torch.Generator().manual_seed(SEED)
        for _ in range(STARTS):
            start = torch.rand(best.shape[1:], generator=generator).to(y)
            image, misfit = _fienup(amplitudes, start, y.shape[-1])
            better = misfit < least
            best[better], least[better] = image[better], misfit[better]
        return best.reshape(*y.shape[:2], *best.shape[1:])

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Amplitudes to hold out, bool `(1, C, H', W')`, the same draw in each channel.

        A real image has equal amplitudes at opposite frequencies: a pair is held out together, or
        one would tell the other. The zero frequency, the image's brightness, never is.
        """
        rows, columns = y.shape[-2:]
        drawn = torch.rand(rows, columns, generator=generator) < 1 - (1 - fraction) ** 0.5
        opposite = drawn[_opposite(rows)][:, _opposite(columns)]
        held = drawn | opposite
        held[rows // 2, columns // 2] = False
        return held.expand(1, *y.shape[1:]).to(y.device)

    def _padded(self, x: Tensor) -> Tensor:
        rows, columns = self.pad
        return functional.pad(x, (columns, columns, rows, rows))


def _half_plane(y: Tensor) -> Tensor:
    """Centred amplitudes `(N, H', W')` -> the half that `rfft2` gives, opposites averaged."""
    rows, columns = y.shape[-2:]
    opposite = y[:, _opposite(rows)][..., _opposite(columns)]
    both = (y + opposite) / (1 + ((y != 0) & (opposite != 0)))
    return torch.fft.ifftshift(both, dim=(-2, -1))[..., : columns // 2 + 1].clamp_min(0)


def _fienup(amplitudes: Tensor, start: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """One run: images `(N, H, W)` from the corner of the frame, and their misfit `(N,)`.

    Amplitudes do not tell where in its frame the image lies, and a corner needs no shifts.
    """
    rows, (height, width) = amplitudes.shape[-2], start.shape
    frame = (0, columns - width, 0, rows - height)
    field = functional.pad(start, frame).expand(len(amplitudes), -1, -1)
    for cycle in range(CYCLES + CLOSING):
        spectrum = torch.fft.rfft2(field, norm="ortho")
        gain = torch.where(amplitudes == 0, 1.0, amplitudes / spectrum.abs().clamp_min(1e-12))
        given = torch.fft.irfft2(spectrum * gain, s=(rows, columns), norm="ortho")
        image = given[..., :height, :width].clamp(0, 1)
        allowed = functional.pad(image, frame)
        corrected = field - FEEDBACK * (given - allowed)
        field = torch.where(given == allowed, given, corrected) if cycle < CYCLES else allowed
    found = torch.fft.rfft2(allowed, norm="ortho").abs()
    return image, sum_squares((found - amplitudes) * (amplitudes != 0))


def _opposite(size: int) -> Tensor:
    """Index of the frequency -k for every k of a centred spectrum."""
    return (2 * (size // 2) - torch.arange(size)) % size
