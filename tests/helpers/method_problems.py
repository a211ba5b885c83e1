"""Small problems of every task, one of which suits each method."""

import torch
from torch import Tensor

from untrained import METHODS, Problem
from untrained.physics import (
    EIT,
    MRI,
    BlindBlur,
    Blur,
    Denoise,
    Inpaint,
    PhaseRetrieval,
    Processed,
    Series,
    disc_mesh,
)
from untrained.tasks import SERIES_TASKS

SIDES = (19, 14)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def mri(count: int = 1, coils: int = 3) -> Problem:
    """Complex, half of the lines, odd and even sides."""
    width = SIDES[1]
    turns = 2 * torch.pi * draw(coils, *SIDES, seed=1)
    maps = torch.polar(draw(coils, *SIDES, seed=2) + 0.2, turns)
    physics = MRI(torch.arange(width) % 2 == 0, maps)
    image = torch.stack([smooth(i) for i in range(count)])
    return Problem(physics.A(image), physics, guide=draw(2, 2, *SIDES, seed=5))


def smooth(index: int) -> Tensor:
    y, x = torch.meshgrid(*(torch.linspace(0, 3, n) for n in SIDES), indexing="ij")
    return torch.stack([(x + y + index).sin(), (x - y * (index + 1)).cos()])


def photograph(count: int = 1) -> Problem:
    image = torch.stack([smooth(i)[:1] * 0.4 + 0.5 for i in range(count)])
    noisy = image + 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(3))
    physics = Denoise(tuple(image.shape[1:]))
    return Problem(noisy, physics, sigma=0.05, guide=draw(2, 1, *SIDES, seed=6))


def diffraction(count: int = 1) -> Problem:
    """Amplitudes of a complex image."""
    physics = PhaseRetrieval((2, *SIDES), 6, complex_image=True)
    image = torch.stack([smooth(i) for i in range(count)]) / 2
    return Problem(physics.A(image), physics)


def holes(count: int = 1) -> Problem:
    """A third of the pixels is missing."""
    clean = photograph(count).y
    physics = Inpaint(draw(*SIDES, seed=8) > 1 / 3, (1, *SIDES))
    return Problem(physics.A(clean), physics)


def clip(count: int = 1) -> Problem:
    """Three frames, each processed on its own."""
    frames = torch.stack([smooth(i)[:1] * 0.4 + 0.5 for i in range(3)], dim=1)[None]
    gains = torch.stack([torch.linspace(0.8, 1.2, 3) + 0.05 * i for i in range(count)])
    y = frames * gains[:, None, :, None, None]
    return Problem(y, Processed(frames, 1))


def blurred(count: int = 1) -> Problem:
    """By a kernel that is unknown."""
    clean = photograph(count).y
    kernel = draw(5, 5, seed=4)
    physics = BlindBlur(5, (1, *SIDES))
    return Problem(Blur(kernel, (1, *SIDES)).A(clean), physics)


def cine(count: int = 1) -> Problem:
    """Three frames of columns, other ones in each."""
    frames = [MRI(torch.arange(SIDES[1]) % 3 == t, x_shape=(2, *SIDES)) for t in range(3)]
    image = torch.stack([torch.stack([smooth(i + t) for t in range(3)], 1) for i in range(count)])
    physics = Series(frames)
    return Problem(physics.A(image), physics)


def tank(count: int = 1) -> Problem:
    """Voltages of conductive and resistive bodies in a disc with 8 electrodes."""
    disc = disc_mesh(8, size=0.04, edges=2)
    pairs = torch.eye(8).double() - torch.eye(8).double().roll(1, 0)
    physics = EIT(disc, pairs.numpy(), pairs.numpy(), (1, *SIDES))
    image = torch.stack([smooth(i)[:1].exp() for i in range(count)])
    return Problem(physics.A(image), physics)


def problem_for(name: str, count: int = 1) -> Problem:
    if name == "cascade":
        return mri(count, coils=1)
    if METHODS[name].tasks == ("phase",):
        return diffraction(count)
    if METHODS[name].tasks == SERIES_TASKS:
        return cine(count)
    if METHODS[name].tasks == ("video",):
        return clip(count)
    if METHODS[name].tasks == ("deblur",):
        return blurred(count)
    if METHODS[name].tasks == ("inpaint",):
        return holes(count)
    return mri(count) if "mri" in METHODS[name].tasks else photograph(count)
