"""Images that one network is trained on, crops of them at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.physics import Denoise
from untrained.problem.group import Group
from untrained.problem.problem import Problem


class TrainingSet(Group):
    """Hold images of any shapes that one network is trained on, a batch of crops a step.

    To the loop it is a group of `batch` problems whose images are the crops.

    Args:
        problems: the images, as the measurements of problems of denoising; their `sigma` is the
            noise that the images have themselves, None or 0 for clean ones.
        batch: crops a step.
        crop: largest side of a crop.
        multiple: what the sides of a crop must be multiples of.
        turned: the images are complex, and their common phase means nothing.

    Attributes:
        images: the images, `(C, H, W)` each.
        noise: standard deviation of the noise of each, `(M,)`.
        turned: as given.

    Raises:
        UserError: images of several numbers of channels, or smaller than `multiple`.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        batch: int,
        crop: int,
        multiple: int = 1,
        turned: bool = False,
    ) -> None:
        images = [image for problem in problems for image in problem.y]
        sides = [min(side) for side in zip(*_sides(images), strict=True)]
        least = [min(crop, side) // multiple * multiple for side in sides]
        if min(least) < 1:
            raise UserError(
                f"crops of {min(crop, *sides)} pixels are too small to be learned from: the sides "
                f"of images and crops are at least {multiple} here"
            )
        channels = {len(image) for image in images}
        if len(channels) > 1:
            raise UserError(
                f"images of {' and '.join(map(str, sorted(channels)))} channels are given: what "
                "is learned from together has as many; convert them to grey, or leave some out"
            )
        shape = (channels.pop(), *least)
        super().__init__([Problem(torch.zeros(1, *shape), Denoise(shape))] * batch)
        self.images = tuple(images)
        self.noise = torch.tensor([problem.sigma or 0.0 for problem in problems for _ in problem.y])
        self.turned = turned

    def to(self, device: torch.device | str) -> TrainingSet:
        """Move the images to another device."""
        moved = self._copy()
        moved.problems = tuple(problem.to(device) for problem in self.problems)
        moved.images = tuple(image.to(device) for image in self.images)
        moved.noise = self.noise.to(device)
        return moved

    def weighted(self, weighting: str) -> TrainingSet:
        """Return the same images: what is learned from has no data weighting."""
        return self

    def _copy(self) -> TrainingSet:
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    def mean(self) -> Tensor:
        """Compute the mean of each channel, `(C,)`; 0 where the phase means nothing."""
        pixels = torch.cat([image.flatten(1) for image in self.images], 1)
        mean = pixels.double().mean(1).float()
        return torch.zeros_like(mean) if self.turned else mean

    def deviation(self) -> Tensor:
        """Compute the standard deviation of the pixels about `mean`, without that of the noise."""
        mean = self.mean()[:, None]
        squares = [(image.flatten(1) - mean).square().double().mean() for image in self.images]
        clean = torch.stack(squares).float() - self.noise.square()
        return clean.mean().clamp_min(SMALLEST**2).sqrt()

    def crops(self, chosen: Tensor, places: Tensor) -> Tensor:
        """Cut a crop out of each chosen image, `(B, C, *x_shape[1:])`.

        Args:
            chosen: which images, in [0, 1), `(B,)`: the first for 0, the last for nearly 1.
            places: where, in [0, 1), `(B, 2)`.
        """
        height, width = self.x_shape[1:]
        cut = []
        for index, (down, right) in zip(self.indices(chosen), places.tolist(), strict=True):
            image = self.images[index]
            top = int(down * (image.shape[1] - height + 1))
            left = int(right * (image.shape[2] - width + 1))
            cut.append(image[:, top : top + height, left : left + width])
        return torch.stack(cut)

    def indices(self, chosen: Tensor) -> list[int]:
        """Return the numbers of the images that numbers in [0, 1) choose."""
        count = len(self.images)
        return [min(int(u * count), count - 1) for u in chosen.tolist()]


SMALLEST = 1e-3
"""Least deviation of a set of images: one of constant images has none."""


def _sides(images: Sequence[Tensor]) -> list[tuple[int, int]]:
    for image in images:
        if image.ndim != 3:
            raise UserError(
                f"an image of {tuple(image.shape)} is no picture (C, H, W): volumes are learned "
                "from slice by slice"
            )
    return [(image.shape[1], image.shape[2]) for image in images]
