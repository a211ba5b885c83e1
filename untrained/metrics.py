"""Image quality against a known truth. The range is always stated, never guessed from the data.

Where a reference is NaN around a rectangle it is not known, and only the rectangle is compared.

Images are `(H, W)`, `(C, H, W)` or `(B, C, ...)`, tensors or arrays, of equal shape. Complex
images, whether complex arrays or real ones with two channels (real, imaginary), are compared by
magnitude, and neither image is rescaled to the other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.maths import fft2c, magnitude, to_channels, to_complex

SSIM_SIGMA = 1.5
SSIM_WINDOW = 11  # scikit-image cuts the Gaussian at 3.5 sigma: 2 * 5 + 1 pixels
HFEN_SIGMA = 1.5
HFEN_RADIUS = 7  # the 15 x 15 filter of Ravishankar and Bresler

Image = Tensor | np.ndarray


def usual_range(reference: Tensor, *, unit: bool) -> float:
    """Return the range of a PSNR: 1 for images in [0, 1], else the largest magnitude."""
    values = _magnitude(reference)
    return 1.0 if unit else float(values[known_part(values)].abs().max())


def comparable(images: Tensor, complex_image: bool) -> Tensor:
    """Reshape a batch `(B, C, ...)` to pictures `(N, 1, ...)`: magnitudes, or single channels.

    So two channels, or two signals, are not mistaken for one complex image.
    """
    planes = magnitude(images) if complex_image else images
    planes = planes.flatten(0, 1).unsqueeze(1)
    return planes if planes.ndim > 3 else planes.unsqueeze(2)


def psnr(x: Image, reference: Image, *, data_range: float) -> float:
    """Compute the PSNR, 10 log10(range^2 / MSE), in dB: infinite for equal images, NaN with NaN.

    Tensors stay on their device. Raises ValueError for unequal shapes, or a range that is not
    positive and finite.
    """
    _check_range(data_range)
    a, b = _pair(x, reference)
    error = float((a - b).square().mean(dtype=torch.float64))
    if not math.isfinite(error):  # squares beyond single precision
        error = float((a.double() - b.double()).square().mean())
    if math.isnan(error):
        return math.nan
    if error == 0:
        return math.inf
    ratio = data_range / error * data_range
    if 0 < ratio < math.inf:
        return 10.0 * math.log10(data_range**2 / error)
    return 20.0 * math.log10(data_range) - 10.0 * math.log10(error)


def ssim(x: Image, reference: Image, *, data_range: float) -> float:
    """Compute the mean structural similarity, Gaussian window of sigma 1.5 (Wang et al., TIP 2004).

    Channels, and images of a batch, are averaged. NaN where a side is shorter than the window of
    11 pixels. Raises ValueError as `psnr`.
    """
    from skimage.metrics import structural_similarity

    a, b = (_planes(image) for image in _pair(x, reference))
    _check_range(data_range)
    if min(a.shape[1:]) < SSIM_WINDOW:
        return math.nan
    values = [
        structural_similarity(
            one,
            other,
            data_range=data_range,
            gaussian_weights=True,
            sigma=SSIM_SIGMA,
            use_sample_covariance=False,
        )
        for one, other in zip(a, b, strict=True)
    ]
    return float(np.mean(values))


def nrmse(x: Image, reference: Image) -> float:
    """Compute |x - reference| / |reference| in the Euclidean norm; NaN for a reference of zeros.

    Raises:
        ValueError: unequal shapes.
    """
    a, b = (_planes(image) for image in _pair(x, reference))
    return _relative(a - b, b)


def hfen(x: Image, reference: Image) -> float:
    """Compute the high-frequency error norm: `nrmse` after a Laplacian of Gaussian.

    The filter has sigma 1.5 and 15 x 15 pixels. Ravishankar and Bresler, IEEE TMI 30,
    2011. Raises ValueError for unequal shapes.
    """
    a, b = (_edges(_planes(image)) for image in _pair(x, reference))
    return _relative(a - b, b)


def lf_ratio(features: Tensor, band: float = 1 / 8) -> float:
    r"""Compute the share of low frequencies in feature maps (UGoDIT, Liang et al. 2025, Eq. 6).

    .. math:: \frac{\sum_c \sum_{k \in C} |F x_c|(k)}{\sum_c \sum_k |F x_c|(k)}

    with the centred Fourier transform F of every channel and the centred square C.

    Args:
        features: `(..., H, W)`, real.
        band: side of C relative to the image's; the paper does not give it.

    Returns:
        0 to 1; `band**2` for white noise, 1 for a constant.
    """
    if not 0 < band <= 1:
        raise ValueError(f"band must be in (0, 1], got {band}")
    sizes = fft2c(features.to(torch.complex64)).abs()
    height, width = (max(1, round(band * n)) for n in sizes.shape[-2:])
    top, left = sizes.shape[-2] // 2 - height // 2, sizes.shape[-1] // 2 - width // 2
    low = sizes[..., top : top + height, left : left + width].sum()
    return float(low / sizes.sum().clamp_min(1e-30))


def evaluate(x: Image, reference: Image, *, data_range: float) -> dict[str, float]:
    """Compute all metrics above, by name, for one pair of images. Raises ValueError as `psnr`."""
    return {
        "psnr": psnr(x, reference, data_range=data_range),
        "ssim": ssim(x, reference, data_range=data_range),
        "nrmse": nrmse(x, reference),
        "hfen": hfen(x, reference),
    }


def same_view(x: Tensor, like: Tensor) -> Tensor:
    """Shift x circularly, and turn it by 180 degrees where needed, to agree best with `like`.

    All these images have the same Fourier amplitudes. For scoring and showing phase retrieval
    only: no method sees it. Each channel is turned and shifted on its own; two channels are one
    complex image, which is conjugated when it is turned, and gets the overall phase of `like`.

    Args:
        x: `(B, C, H, W)`.
        like: the same shape.

    Raises:
        ValueError: unequal shapes.
    """
    if x.shape != like.shape:
        raise ValueError(f"images must agree in shape: {tuple(x.shape)} and {tuple(like.shape)}")
    if x.shape[1] == 2:
        pairs = zip(to_complex(x), to_complex(like), strict=True)
        return to_channels(torch.stack([_complex_like(a, b) for a, b in pairs]))
    planes = [_plane_like(a, b) for a, b in zip(x.flatten(0, 1), like.flatten(0, 1), strict=True)]
    return torch.stack(planes).reshape(x.shape)


def moved_view(x: Tensor, like: Tensor, parts: int = 1) -> Tensor:
    """Shift x to agree best with `like`; what came in from outside is NaN: not known there.

    A blurred image does not tell how far its unknown kernel moved it. For scoring and showing
    only, as in the evaluation of Levin et al. (CVPR 2009): no method sees it. One shift for all
    channels, of at most a quarter of each side.

    Args:
        x: `(B, C, H, W)`.
        like: the same shape.
        parts: 1 = whole pixels; n > 1 = also the n-th parts of a pixel, by cubic splines.

    Raises:
        ValueError: unequal shapes.
    """
    if x.shape != like.shape:
        raise ValueError(f"images must agree in shape: {tuple(x.shape)} and {tuple(like.shape)}")
    return torch.stack([_moved_like(a, b, parts) for a, b in zip(x, like, strict=True)])


def _moved_like(x: Tensor, like: Tensor, parts: int) -> Tensor:
    """Shift an image `(C, H, W)` to agree best with another."""
    sides = x.shape[-2:]
    size, far = tuple(2 * n for n in sides), [n // 4 for n in sides]
    ones = torch.ones_like(x, dtype=torch.float64)

    def correlated(a: Tensor, b: Tensor) -> Tensor:
        """Sum a(n - d) b(n) over the overlap, for every shift d; negative ones at the end."""
        spectra = [torch.fft.rfft2(one, s=size) for one in (a, b)]
        return torch.fft.irfft2((spectra[0].conj() * spectra[1]).sum(0), s=size)

    a, b = x.double(), like.double()
    squares = correlated(a.square(), ones) + correlated(ones, b.square()) - 2 * correlated(a, b)
    errors = squares / correlated(ones, ones).clamp_min(0.5)
    for axis, (n, most) in enumerate(zip(size, far, strict=True)):
        errors.narrow(axis, most + 1, n - 2 * most - 1).fill_(math.inf)
    down, right = divmod(int(errors.argmin()), size[1])
    best = (down - size[0] * (down > far[0]), right - size[1] * (right > far[1]))
    if parts < 2:
        return _shifted(x, best)
    steps = [n / parts for n in range(-parts + 1, parts)]
    choices = [(best[0] + i, best[1] + j) for i in steps for j in steps]
    each = [_shifted(x, choice) for choice in choices]
    return min(each, key=lambda moved: float((moved - like).square().nanmean()))


def _shifted(x: Tensor, move: tuple[float, float]) -> Tensor:
    """Shift an image `(C, H, W)` down and right; NaN comes in."""
    if all(float(m).is_integer() for m in move):
        moved = x.roll((int(move[0]), int(move[1])), (-2, -1))
    else:
        from scipy.ndimage import shift

        spline = shift(x.double().cpu().numpy(), (0, *move), order=3, mode="mirror")
        moved = torch.from_numpy(spline).to(x)
    known = torch.zeros_like(moved, dtype=torch.bool)
    (top, bottom), (left, right) = (
        (max(0, math.ceil(m)), n + min(0, math.floor(m)))
        for m, n in zip(move, x.shape[-2:], strict=True)
    )
    known[..., top:bottom, left:right] = True
    return moved.where(known, math.nan)


def _plane_like(x: Tensor, like: Tensor) -> Tensor:
    """Shift and turn a real plane x to agree best with `like`.

    Both keep the norm, so the closest plane is the one of the largest correlation.
    """
    wanted = torch.fft.rfft2(like)
    turned = torch.stack((x, x.flip(-2, -1)))
    correlation = torch.fft.irfft2(torch.fft.rfft2(turned).conj() * wanted, s=x.shape)
    best = int(correlation.argmax())
    which, shift = divmod(best, x.numel())
    return turned[which].roll(divmod(shift, x.shape[-1]), (-2, -1))


def _complex_like(x: Tensor, like: Tensor) -> Tensor:
    """Shift, turn and rephase a complex plane x to agree best with `like`.

    The phase of the correlation is that between the planes.
    """
    wanted = torch.fft.fft2(like)
    turned = torch.stack((x, x.flip(-2, -1).conj()))
    correlation = torch.fft.ifft2(torch.fft.fft2(turned).conj() * wanted)
    best = int(correlation.abs().argmax())
    which, shift = divmod(best, x.numel())
    moved = turned[which].roll(divmod(shift, x.shape[-1]), (-2, -1))
    return moved * torch.sgn(correlation.flatten()[best])


def _pair(x: Image, reference: Image) -> tuple[Tensor, Tensor]:
    """Convert both images, where the reference is known, to real tensors of one dtype."""
    a, b = _magnitude(x), _magnitude(reference)
    if a.shape != b.shape:
        raise ValueError(
            f"images must agree in shape: got {tuple(x.shape)} and {tuple(reference.shape)}"
        )
    dtype = torch.promote_types(a.dtype, b.dtype)
    known = known_part(b)
    return a[known].to(dtype), b[known].to(a.device, dtype)


def known_part(reference: Tensor) -> tuple[Any, ...]:
    """Index the rectangle of `(..., H, W)` beyond which a reference is NaN: it is not known there.

    fastMRI's references show the middle of the image only.
    """
    unknown = reference.isnan()
    if reference.ndim < 2 or not bool(unknown.any()) or bool(unknown.all()):
        return (...,)
    planes = ~unknown.reshape(-1, *reference.shape[-2:]).all(0)
    rows, columns = (planes.any(axis).nonzero() for axis in (1, 0))
    return (
        ...,
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def _magnitude(image: Image) -> Tensor:
    """Convert an image to floating point; a complex one to magnitudes, its channel axis kept."""
    values = image.detach() if isinstance(image, Tensor) else _from_numpy(image)
    if values.is_complex():
        return values.abs()
    values = values if values.is_floating_point() else values.double()
    channel = 1 if values.ndim >= 4 else 0
    if values.ndim >= 3 and values.shape[channel] == 2:
        return values.square().sum(channel, keepdim=True).sqrt()
    return values


def _from_numpy(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))


def _planes(image: Tensor) -> np.ndarray:
    """List every channel of every image: (N, H, W), or (N, D, H, W) for a batch of volumes."""
    spatial = 3 if image.ndim == 5 else 2
    return image.double().cpu().reshape(-1, *image.shape[-spatial:]).numpy()


def _edges(planes: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_laplace

    cut = HFEN_RADIUS / HFEN_SIGMA
    return np.stack([gaussian_laplace(plane, HFEN_SIGMA, truncate=cut) for plane in planes])


def _relative(difference: np.ndarray, reference: np.ndarray) -> float:
    size = float(np.linalg.norm(reference))
    return float(np.linalg.norm(difference)) / size if size > 0 else math.nan


def _check_range(data_range: float) -> None:
    if not (math.isfinite(data_range) and data_range > 0):
        raise ValueError(f"data_range must be positive and finite, got {data_range}")


ALIKE = 0.5  # correlation of an image with a reference that shows the same
TIMES = 4.0
OTHER_UNITS = (
    "the reference is {:.3g} times as bright as the image: is it in other units (0 to 255)? PSNR "
    "and the other measures compare them as they are"
)


def other_units(image: Tensor, truth: Tensor) -> float | None:
    """Compute how many times brighter a reference is than the image, where their units differ.

    Args:
        image, truth: real, of one shape.

    Returns:
        None where it is about as bright, or shows something else.
    """
    known = known_part(truth)
    a, b = image.detach()[known].double(), truth.detach()[known].double().to(image.device)
    size = float(a.norm() * b.norm())
    if not size > 0 or float((a * b).sum()) < ALIKE * size:
        return None
    times = float(b.norm() / a.norm())
    return None if 1 / TIMES < times < TIMES else times
