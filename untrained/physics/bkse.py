"""Non-linear blur: BKSE with the public weights, and a built-in blur that needs none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.files import existing_file
from untrained.physics.bkse_network import IMAGE_SHAPE, KERNEL_SHAPE, BKSENetwork
from untrained.physics.blur import Blur
from untrained.physics.kinds import NonlinearPhysics
from untrained.physics.masks import as_tensor

UNUSED = "kernel_extractor."
CODE_SIZE = 1.2  # standard deviation of a random code, as in diffusion posterior sampling
SATURATION = 1.5
LINEAR_BELOW, SLOPE = 0.0031308, 12.92  # of the sRGB curve


class BKSE(NonlinearPhysics):
    """The blur of Tran et al. (CVPR 2021): a trained network with one code as its kernel.

    The code is fixed: A is one operator and not, as in the release of diffusion posterior
    sampling, another one at every call. Images are in [0, 1], which the network was trained on.
    It takes 256 x 256 colour pictures and nothing else.

    Args:
        network: with the public weights, see `load_bkse`. Its weights are frozen.
        kernel: the code, `(512, 2, 2)`, see `random_code`.

    Raises:
        UserError: a code of another shape, or not finite; an image that is not 256 x 256.
    """

    task = "nldeblur"
    unit_range = True
    kernel: Tensor
    fingerprint: Tensor

    def __init__(self, network: BKSENetwork, kernel: Tensor | np.ndarray) -> None:
        super().__init__(IMAGE_SHAPE, IMAGE_SHAPE)
        code = as_tensor(kernel)
        if tuple(code.shape) != KERNEL_SHAPE or not bool(code.isfinite().all()):
            raise UserError(
                f"the BKSE kernel must be a finite code of shape {KERNEL_SHAPE}, got "
                f"{tuple(code.shape)}; draw one with random_code(seed)."
            )
        self.network = network.eval().requires_grad_(False)
        self.register_buffer("kernel", code.to(torch.get_default_dtype()))
        digest = bytearray.fromhex(weights_digest(network))
        # a buffer, so that a run cannot be resumed with other weights
        self.register_buffer("fingerprint", torch.tensor(list(digest), dtype=torch.uint8))

    def A(self, x: Tensor) -> Tensor:
        """Blur images `(B, 3, 256, 256)` in [0, 1]; their shape stays, nothing is clipped."""
        self._check_x(x)
        return self.network(x, self.kernel.to(x.dtype))

    def initial(self, y: Tensor) -> Tensor:
        """Return the blurred image, clipped to [0, 1]."""
        self._check_y(y)
        return y.clamp(0, 1)

    def _check_x(self, x: Tensor) -> None:
        if tuple(x.shape[1:]) != IMAGE_SHAPE:
            raise UserError(
                f"BKSE blurs colour pictures of 256x256 pixels, (B, 3, 256, 256), and no others; "
                f"got {tuple(x.shape)}. Crop or resize the picture, or use NonlinearBlur."
            )

    def _check_y(self, y: Tensor) -> None:
        self._check_x(y)


def random_code(seed: int = 0) -> Tensor:
    """Draw a random BKSE kernel `(512, 2, 2)`: 1.2 times standard normal numbers."""
    draw = np.random.default_rng(seed).standard_normal(KERNEL_SHAPE)
    return torch.from_numpy(CODE_SIZE * draw).to(torch.get_default_dtype())


def load_bkse(path: str | Path, what: str = "weights") -> BKSENetwork:
    """Load the network with the weights of a file such as the public `GOPRO_wVAE.pth`.

    The file is read as tensors only: code in it is refused, not run. Entries of the
    `kernel_extractor`, which blurring does not use, are passed over.

    Args:
        path: of the file.
        what: which argument it is, for messages.

    Raises:
        UserError: no such file, not a file of tensors, or names, shapes or values that do not
            fit the network; the first ones are listed.
    """
    existing_file(path, what)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage, another format and code all raise errors of their own
        raise UserError(
            f"{what}: {path} cannot be read as a PyTorch file of tensors "
            f"({type(error).__name__}); give the public BKSE weights, GOPRO_wVAE.pth"
        ) from error
    network = BKSENetwork()
    network.load_state_dict(_fitting(content, network.state_dict(), f"{what}: {path}"))
    return network


def _fitting(content: object, wanted: dict[str, Tensor], label: str) -> dict[str, Tensor]:
    """Pick the entries of a weights file that the network needs, and check them all."""
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(
            f"{label} must hold a dictionary of tensors by name, as state_dict() gives; "
            f"found {type(content).__name__}"
        )
    found = {str(k): v for k, v in content.items() if not str(k).startswith(UNUSED)}
    wrong = [f"'{name}' is missing" for name in wanted if name not in found]
    wrong += [f"'{name}' is unknown" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        if found[name].shape != wanted[name].shape:
            shapes = f"{tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
            wrong.append(f"'{name}' has shape {shapes}")
        elif not bool(found[name].isfinite().all()):
            wrong.append(f"'{name}' holds NaN or infinite values")
    if wrong:
        raise UserError(
            f"{label} does not fit the BKSE network: {'; '.join(sorted(wrong)[:3])} "
            f"({len(wrong)} in all); give the public GOPRO_wVAE.pth"
        )
    return found


def weights_digest(network: BKSENetwork) -> str:
    """Hash all weights (SHA-256), so that a measurement can name the network that made it."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


class NonlinearBlur(NonlinearPhysics):
    r"""A camera's blur: light is averaged, then a saturating sensor and a display curve follow.

    .. math:: y = g(s(k * g^{-1}(x))), \qquad s(u) = \frac{1 - e^{-a u}}{1 - e^{-a}}

    g is the sRGB curve (IEC 61966-2-1) from light to pixel values, k a known kernel, s the
    response of a sensor that saturates, a = 1.5; g and s keep 0 and 1 in place. Below 0, where a
    network may stray, g is the identity: the curve's own line is so steep that pixels far below 0
    would hardly change the light, and nothing would hold them. So A has a kink at 0 and can be
    differentiated elsewhere. It stands in where no trained network is at hand; it is this
    library's, a model of the mechanism, and not BKSE.

    Args:
        kernel: `(h, w)`, divided by its sum.
        x_shape: `(C, H, W)`, images in [0, 1].
        boundary: beyond the border, as for `Blur`.

    Raises:
        UserError: as `Blur`.
    """

    task = "nldeblur"
    unit_range = True

    def __init__(
        self,
        kernel: Tensor | np.ndarray,
        x_shape: tuple[int, int, int] | None = None,
        boundary: Literal["reflect", "circular"] = "reflect",
    ) -> None:
        super().__init__(x_shape, x_shape)
        self.blur = Blur(kernel, x_shape, boundary)

    def A(self, x: Tensor) -> Tensor:
        """Blur images `(B, C, H, W)`; the result has their size, and is in [0, 1] where x is."""
        self._check_x(x)
        return pixels_from_light(_sensor(self.blur.A(light_from_pixels(x))))

    def initial(self, y: Tensor) -> Tensor:
        """Return the blurred image, clipped to [0, 1]."""
        self._check_y(y)
        return y.clamp(0, 1)


def light_from_pixels(x: Tensor) -> Tensor:
    """Invert the sRGB curve: pixel values in [0, 1] -> linear light; below 0 the identity."""
    curved = ((x.clamp_min(SLOPE * LINEAR_BELOW) + 0.055) / 1.055) ** 2.4
    light = torch.where(x <= SLOPE * LINEAR_BELOW, x / SLOPE, curved)
    return torch.where(x < 0, x, light)


def pixels_from_light(u: Tensor) -> Tensor:
    """Apply the sRGB curve: linear light in [0, 1] -> pixel values; below 0 the identity."""
    curved = 1.055 * u.clamp_min(LINEAR_BELOW) ** (1 / 2.4) - 0.055
    pixels = torch.where(u <= LINEAR_BELOW, SLOPE * u, curved)
    return torch.where(u < 0, u, pixels)


def _sensor(u: Tensor) -> Tensor:
    return torch.special.expm1(-SATURATION * u) / float(np.expm1(-SATURATION))
