"""Phase retrieval: the amplitude of the Fourier transform of a zero-padded image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from untrained.errors import UserError
from untrained.maths import fft2c, sum_squares, to_channels, to_complex
from untrained.physics.kinds import NonlinearPhysics
from untrained.physics.positions import number_positions

STARTS = 4
SEED = 0
FEEDBACK = 0.9  # beta of hybrid input-output, the value of Fienup's paper
CYCLES, CLOSING = 300, 50  # of hybrid input-output, then of error reduction


class PhaseRetrieval(NonlinearPhysics):
    r"""y = |F P x| per channel: P puts zeros around the image, F is the centred orthonormal FFT.

    The phase is lost, and with it everything that leaves the amplitudes as they are: x turned by
    180 degrees, and x moved within its frame where its border is empty, fit equally well, as does
    a complex x conjugated as it is turned, or times any e^(ia). `metrics.same_view` undoes these
    for scoring; no method is told. Each channel is measured on its own, so the channels of a
    colour picture may come back turned differently.

    A is homogeneous of degree 1 and never enlarges a difference, so its squared norm counts as 1.
    The gradient of an amplitude that is exactly 0 is taken as 0.

    Args:
        x_shape: `(C, H, W)`, images in [0, 1]; `(2, H, W)`, real and imaginary part of values
            of magnitude at most 1, with `complex_image`.
        pad: zeros on each side, one number or (rows, columns). None is a quarter of each side, the
            setting of diffusion posterior sampling: 64 for 256 x 256. The amplitudes determine a
            general image where the padded one has at least twice as many rows and columns, a pad
            of half a side; with less, that it lies in [0, 1] has to help.
        complex_image: whether the image is complex (coherent diffraction imaging).

    Raises:
        UserError: a negative pad, or a complex image of other than two channels.
    """

    task = "phase"
    unit_range = True
    degree = 1.0
    norm_squared = 1.0
    classical_name = "hybrid input-output"

    def __init__(
        self,
        x_shape: tuple[int, int, int],
        pad: int | Sequence[int] | None = None,
        *,
        complex_image: bool = False,
    ) -> None:
        channels, height, width = x_shape
        if complex_image and channels != 2:
            raise UserError(f"a complex image has 2 channels, real and imaginary; got {channels}")
        if pad is None:
            pad = (height // 4, width // 4)
        rows, columns = (pad, pad) if isinstance(pad, int) else (int(p) for p in pad)
        if min(rows, columns) < 0:
            raise UserError(f"pad must be zeros on each side, 0 or more, got {rows}, {columns}.")
        fields = 1 if complex_image else channels
        super().__init__(x_shape, (fields, height + 2 * rows, width + 2 * columns))
        self.pad = (rows, columns)
        self.complex_image = complex_image

    def A(self, x: Tensor) -> Tensor:
        """Map images `(B, C, H, W)` to amplitudes `(B, C, H + 2 rows, W + 2 columns)`, all >= 0.

        Of a complex image there is one channel of amplitudes.
        """
        self._check_x(x)
        fields = to_complex(x)[:, None] if self.complex_image else x
        return fft2c(self._padded(fields)).abs()

    def initial(self, y: Tensor) -> Tensor:
        """Make a first image `(B, C, H, W)` by hybrid input-output, then error reduction.

        J. R. Fienup, Appl. Opt. 21, 1982: the iterate is given the measured amplitudes; where the
        result then leaves what is known of the image (zero around it, values in [0, 1], or of
        magnitude at most 1) it is corrected by feedback (300 cycles, beta 0.9) or cut off (50
        cycles). From four random images, always the same, and of the four answers the one whose
        amplitudes fit best.

        A y of exactly 0 counts as not measured (a beam stop, held-out amplitudes): there the
        iterate keeps its own. Amplitudes below 0, which noise makes, count as the smallest.
        """
        self._check_y(y)
        fourier = _complex_fourier if self.complex_image else _real_fourier
        amplitudes, forward, back, nearest = fourier(y.flatten(0, 1))
        height, width = self.x_shape[1:]  # type: ignore[index]
        start = nearest(torch.zeros(len(amplitudes), height, width).to(y))
        best, least = torch.zeros_like(start), torch.full((len(start),), torch.inf).to(y)
        generator = torch.Generator().manual_seed(SEED)
        for _ in range(STARTS):
            drawn = torch.rand(start.shape[1:], generator=generator, dtype=start.dtype)
            start = drawn.to(y.device).expand_as(best)
            image, misfit = _fienup(amplitudes, start, forward, back, nearest)
            better = misfit < least
            best[better], least[better] = image[better], misfit[better]
        if self.complex_image:
            return to_channels(best)
        return best.reshape(*y.shape[:2], height, width)

    def holdout(self, y: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
        """Draw amplitudes to hold out, bool `(1, C, H', W')`, the same in each channel.

        A real image has equal amplitudes at opposite frequencies: a pair is held out together, or
        one would tell the other. The zero frequency, the image's brightness, never is.
        """
        rows, columns = y.shape[-2:]
        drawn = torch.rand(rows, columns, generator=generator) < 1 - (1 - fraction) ** 0.5
        opposite = drawn[_opposite(rows)][:, _opposite(columns)]
        held = drawn | opposite
        held[rows // 2, columns // 2] = False
        return held.expand(1, *y.shape[1:]).to(y.device)

    def units(self, y: Tensor) -> Tensor:
        """Number the pairs of opposite frequencies; -1 at the zero frequency."""
        rows, columns = y.shape[-2:]
        numbers = number_positions(y, 2)[0, 0].cpu()
        opposite = numbers[_opposite(rows)][:, _opposite(columns)]
        pairs = torch.minimum(numbers, opposite)
        pairs[rows // 2, columns // 2] = -1
        return pairs[None, None].to(y.device)

    def _padded(self, x: Tensor) -> Tensor:
        rows, columns = self.pad
        return functional.pad(x, (columns, columns, rows, rows))


Map = Callable[[Tensor], Tensor]


def _real_fourier(y: Tensor) -> tuple[Tensor, Map, Map, Map]:
    """Return amplitudes, both transforms and the nearest image, of real images in [0, 1].

    Centred amplitudes `(N, H', W')` become the half that `rfft2` gives, opposites averaged.
    """
    rows, columns = y.shape[-2:]
    opposite = y[:, _opposite(rows)][..., _opposite(columns)]
    both = (y + opposite) / (1 + ((y != 0) & (opposite != 0)))
    half = torch.fft.ifftshift(both, dim=(-2, -1))[..., : columns // 2 + 1].clamp_min(0)

    def forward(x: Tensor) -> Tensor:
        return torch.fft.rfft2(x, norm="ortho")

    def back(spectrum: Tensor) -> Tensor:
        return torch.fft.irfft2(spectrum, s=(rows, columns), norm="ortho")

    return half, forward, back, lambda x: x.clamp(0, 1)


def _complex_fourier(y: Tensor) -> tuple[Tensor, Map, Map, Map]:
    """Return the same of complex images of magnitude at most 1."""
    amplitudes = torch.fft.ifftshift(y, dim=(-2, -1)).clamp_min(0)

    def forward(x: Tensor) -> Tensor:
        return torch.fft.fft2(x, norm="ortho")

    def back(spectrum: Tensor) -> Tensor:
        return torch.fft.ifft2(spectrum, norm="ortho")

    return amplitudes, forward, back, lambda x: x / x.abs().clamp_min(1) + 0j


def _fienup(
    amplitudes: Tensor, start: Tensor, forward: Map, back: Map, nearest: Map
) -> tuple[Tensor, Tensor]:
    """Run Fienup's iteration once: images `(N, H, W)` in the frame's corner, their misfit `(N,)`.

    Amplitudes do not tell where in its frame the image lies, and a corner needs no shifts.
    """
    height, width = start.shape[-2:]
    rows, columns = back(amplitudes + 0j).shape[-2:]
    frame = (0, columns - width, 0, rows - height)
    field = functional.pad(start, frame)
    for cycle in range(CYCLES + CLOSING):
        spectrum = forward(field)
        gain = torch.where(amplitudes == 0, 1.0, amplitudes / spectrum.abs().clamp_min(1e-12))
        given = back(spectrum * gain)
        image = nearest(given[..., :height, :width])
        allowed = functional.pad(image, frame)
        corrected = field - FEEDBACK * (given - allowed)
        field = torch.where(given == allowed, given, corrected) if cycle < CYCLES else allowed
    return image, sum_squares((forward(allowed).abs() - amplitudes) * (amplitudes != 0))


def _opposite(size: int) -> Tensor:
    """Return the index of the frequency -k for every k of a centred spectrum."""
    return (2 * (size // 2) - torch.arange(size)) % size
