"""The network that blurs in "Exploring Image Deblurring via Encoded Blur Kernel Space".

Modules and their order are those of the public code, so that its weights file fits by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 64
KERNEL_SHAPE = (512, 2, 2)
IMAGE_SHAPE = (3, 256, 256)  # the code meets 2 x 2 features after seven halvings
FRONT_BLOCKS, BACK_BLOCKS = 10, 20


class BKSENetwork(nn.Module):
    """Sharp image and kernel code -> blurred image (Tran, Tran, Phung, Hoai, CVPR 2021).

    Features F of the image, a U-Net G that takes the code in at its bottom, and a trunk whose
    result is added to the image. Only what blurring needs: the public file's `kernel_extractor`,
    which finds codes from pairs of images, has no part in it. 23,662,531 parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        slope = nn.LeakyReLU(0.1)
        self.feature_extractor = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, 1, 1),
            slope,
            nn.Conv2d(WIDTH, WIDTH, 3, 2, 1),
            slope,
            nn.Conv2d(WIDTH, WIDTH, 3, 2, 1),
            slope,
            *(_Residual() for _ in range(FRONT_BLOCKS)),
        )
        self.adapter = _Adapter()
        self.recon_trunk = nn.Sequential(
            *(_Residual() for _ in range(BACK_BLOCKS)),
            nn.Conv2d(WIDTH, 4 * WIDTH, 3, 1, 1),
            nn.PixelShuffle(2),
            slope,
            nn.Conv2d(WIDTH, 4 * WIDTH, 3, 1, 1),
            nn.PixelShuffle(2),
            slope,
            nn.Conv2d(WIDTH, WIDTH, 3, 1, 1),
            slope,
            nn.Conv2d(WIDTH, 3, 3, 1, 1),
        )

    def forward(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Blur images `(B, 3, 256, 256)` in [0, 1] with the code `(1 or B, 512, 2, 2)`."""
        code = kernel.expand(x.shape[0], *KERNEL_SHAPE)
        return x + self.recon_trunk(self.adapter(self.feature_extractor(x), code))


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(torch.relu(self.conv1(x)))


class _Adapter(nn.Module):
    """Five levels; each halves the features, hands them down and doubles what comes back."""

    def __init__(self) -> None:
        super().__init__()
        deepest = _Level(512, 512, None)
        inner = _Level(64, 128, _Level(128, 256, _Level(256, 512, deepest)))
        self.model = _Outermost(inner)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        return self.model(x, code)


class _Outermost(nn.Module):
    def __init__(self, submodule: _Level) -> None:
        super().__init__()
        self.down = nn.Sequential(_halve(WIDTH, WIDTH))
        self.submodule = submodule
        self.up = nn.Sequential(nn.ReLU(), _double(2 * WIDTH, WIDTH, bias=True), nn.Tanh())

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        return self.up(self.submodule(self.down(x), code))


class _Level(nn.Module):
    """The public code activates in place, so the features it passes across are activated ones."""

    def __init__(self, outer: int, inner: int, submodule: _Level | None) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.LeakyReLU(0.2), _halve(outer, inner))
        self.submodule = submodule
        self.up = nn.Sequential(nn.ReLU(), _double(2 * inner, outer, bias=False))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        activated = self.down[0](x)
        half = self.down[1](activated)
        if self.submodule is None:
            below = torch.cat((half, code), dim=1)
        else:
            below = self.submodule(half, code)
        return torch.cat((self.up(below), activated), dim=1)


def _halve(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)


def _double(inputs: int, outputs: int, *, bias: bool) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)
