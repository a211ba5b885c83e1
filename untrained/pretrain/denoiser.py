"""A denoiser for every noise level, trained on the user's own images: a small diffusion prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from untrained.core.averages import averaged, batch_net, move_average, share_network
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import per_problem
from untrained.methods.card import CLEAN_IMAGES, LOW_DATA, Card, Training
from untrained.nets import NoiseUNet
from untrained.priors import ARCHITECTURES, DENOISER, Denoiser
from untrained.priors.edm import DEVIATION, LEVELS, MEAN, NETWORK, EDMDenoiser, precondition
from untrained.problem import Problem
from untrained.problem.training_set import TrainingSet
from untrained.tasks import ALL_TASKS, find_task

NAME = "denoiser"
FLIPS = ("none", "left-right", "all")
PROBE = 0.01
"""Size of the step of Stein's divergence, relative to the noise."""


@dataclass(frozen=True)
class DenoiserTraining(Method):
    r"""Train D(x, sigma) on crops of images, at random noise levels.

    .. math:: \min_\theta \mathbb{E}\; \lambda(\sigma)\,
              \|D_\theta(x_0 + \sigma n, \sigma) - x_0\|^2, \qquad
              \lambda(\sigma) = \frac{\sigma^2 + \sigma_d^2}{\sigma^2 \sigma_d^2}

    Karras, Aittala, Aila, Laine (NeurIPS 2022), with their preconditioning (`priors/edm.py`) and
    weights, and a network of ours. ln sigma is drawn from a normal distribution about
    ln(centre sigma_d), cut off at `low` and `high`; the levels of a batch are spread evenly over
    it. Crops are drawn at random, turned and mirrored; the phase of a complex image is turned,
    since it means nothing. What is kept is the running average of the weights.

    Images that have noise themselves, of standard deviation s: y = x_0 + s n. Levels below s
    cannot be learned from them, and none is drawn. Above,
    :math:`x = y + \sqrt{\sigma^2 - s^2}\, n`, and x_0, which nobody knows, is replaced by

    .. math:: \|D - x\|^2 + 2 \sigma^2\, \mathrm{div}\, D - n \sigma^2
              \quad (\sigma < \sqrt2\, s), \qquad
              \|D - t\|^2,\; t = x + \frac{\sigma^2}{\sigma^2 - s^2}\,(y - x)
              \quad (\sigma \ge \sqrt2\, s).

    The first is Stein's unbiased risk estimate with one random probe for the divergence (Ramani,
    Blu, Unser, IEEE TIP 2008). The second regresses on the noisy image, corrected by Tweedie's
    formula (Daras, Dimakis, Daskalakis, ICML 2024). Both equal the loss with x_0 in expectation,
    up to a number that does not depend on D; each is used where it varies less.

    Args:
        rounds: steps.
        batch: crops a step.
        crop: side of a crop, or the image's where that is smaller.
        flips: `none`; `left-right`; `all`: by quarter turns too.
        low, high: least and greatest noise level, in units of the images.
        centre: median noise level relative to sigma_d.
        spread: standard deviation of ln sigma.
        average: decay of the running average of the weights.
    """

    name: ClassVar[str] = "denoiser-training"
    rounds: int = 2000
    inner: int = 1
    batch: int = 8
    crop: int = 64
    flips: str = "left-right"
    low: float = 0.005
    high: float = 20.0
    centre: float = 0.6
    spread: float = 1.4
    average: float = 0.995

    def __post_init__(self) -> None:
        if self.flips not in FLIPS:
            raise UserError(f"flips={self.flips!r} is unknown; known: {', '.join(FLIPS)}")
        if self.batch < 1 or self.crop < 1:
            raise UserError(f"batch and crop must be at least 1, got {self.batch}, {self.crop}")
        if not 0 < self.low < self.high < math.inf:
            raise UserError(f"low and high must be 0 < low < high, got {self.low}, {self.high}")
        if not (self.centre > 0 and self.spread > 0 and 0 <= self.average < 1):
            raise UserError(
                "centre and spread must be positive and average in [0, 1), got "
                f"{self.centre}, {self.spread}, {self.average}"
            )

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of the image and one of noise level."""
        return image_channels + 1

    def group(
        self, problems: Sequence[Problem], *, multiple: int, turned: bool, **more: object
    ) -> TrainingSet:
        """Make the set of images; UserError for those that do not go together."""
        return TrainingSet(problems, self.batch, self.crop, multiple, turned)

    def start(self, s: State) -> None:
        """Share one network; find mean and deviation of the images, and the levels to learn.

        A network that goes on from one of ours keeps the mean and the deviation that it knows;
        one that goes on from another denoiser, the levels.
        """
        images, first = _images(s), s.start.prior
        known = first if isinstance(first, EDMDenoiser) else None
        share_network(s)
        low, high = max(self.low, float(images.noise.max())), self.high
        if isinstance(s.module, AsTold):
            low, high = max(low, s.module.prior.levels[0]), min(high, s.module.prior.levels[1])
        if not low <= high:
            raise UserError(
                f"the images' own noise, {low:g}, is not below the highest level, {high:g}"
            )
        for name, value in (
            (MEAN, images.mean() if known is None else known.get_buffer("mean")),
            (DEVIATION, images.deviation() if known is None else known.get_buffer("deviation")),
            (LEVELS, torch.tensor([low, high], device=s.device)),
        ):
            s.weights[name] = value[None]

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute lambda ||D(x, sigma) - x_0||^2, or what stands for it, over the batch."""
        y, own = self.draw(s)
        sigma = self.draw_levels(s, own)
        n = s.noise("noise", tuple(y.shape))[0]
        x = y + per_problem((sigma.square() - own.square()).sqrt(), y) * n
        d = self.denoised(s, x, sigma)
        each = mean_square(d - target(x, y, sigma, own))
        stein = (sigma < math.sqrt(2) * own).nonzero().flatten()
        if len(stein):  # in float32: the divergence is a small difference
            probe = s.noise("probe", tuple(y.shape))[0][stein]
            risk = stein_risk(
                lambda z: self.denoised(s, z, sigma[stein], half=False),
                x[stein],
                sigma[stein],
                probe,
            )
            each = each.index_copy(0, stein, risk)
        deviation = s.weights[DEVIATION]
        weight = (sigma.square() + deviation.square()) / (sigma * deviation).square()
        # the mean of all, for each: one network is trained, and the gradient is the same
        return d, {"data": (weight * each).mean().expand(len(y))}

    def advance(self, s: State) -> None:
        """Move the running average of the weights."""
        move_average(s, self.average)

    def denoised(self, s: State, x: Tensor, sigma: Tensor, half: bool | None = None) -> Tensor:
        """Compute D(x, sigma)."""
        if isinstance(s.module, AsTold):
            told = per_problem(sigma, x).expand_as(x[:, :1])
            return batch_net(s, torch.cat([x, told], 1), half=half)
        mean, deviation = s.weights[MEAN][0], s.weights[DEVIATION][0]
        return precondition(lambda z: batch_net(s, z, half=half), x, sigma, mean, deviation)

    def draw(self, s: State) -> tuple[Tensor, Tensor]:
        """Draw crops `(B, C, h, w)`, turned and mirrored, and the noise that each has, `(B,)`."""
        images = _images(s)
        u = s.noise("crops", (s.size, 6), "uniform")[0].cpu()
        x = images.crops(u[:, 0], u[:, 1:3])
        noise = images.noise[images.indices(u[:, 0])]
        if self.flips != "none":
            x = torch.where(per_problem(u[:, 3], x).to(x) < 0.5, x.flip(-1), x)
        if self.flips == "all":
            x = torch.where(per_problem(u[:, 4], x).to(x) < 0.5, x.flip(-2), x)
            if x.shape[-1] == x.shape[-2]:
                x = torch.where(per_problem(u[:, 5], x).to(x) < 0.5, x.transpose(-1, -2), x)
        if images.turned:
            angle = 2 * math.pi * s.noise("phase", (s.size,), "uniform")[0].reshape(-1, 1, 1)
            real, imaginary = x[:, 0], x[:, 1]
            c, d = angle.cos(), angle.sin()
            x = torch.stack([c * real - d * imaginary, d * real + c * imaginary], 1)
        return x, noise

    def draw_levels(self, s: State, own: Tensor) -> Tensor:
        """Draw a noise level for each crop, `(B,)`, above its own noise."""
        deviation = s.weights[DEVIATION].double()

        def share(level: Tensor | float) -> Tensor:
            """Return the share of all levels that is below one, before the ends are cut off."""
            apart = torch.as_tensor(level).double().to(deviation) / (self.centre * deviation)
            return torch.special.ndtr(apart.log() / self.spread)

        low, high = s.weights[LEVELS][0].tolist()
        floor = own.clamp_min(low) if isinstance(s.module, AsTold) else own.clamp_min(self.low)
        least, most = share(floor), share(high)
        u = s.noise("levels", (s.size,), "uniform")[0].double()
        u = (torch.arange(s.size, device=u.device) + u) / s.size  # one from each part
        place = torch.special.ndtri((least + u * (most - least)).clamp(1e-12, 1 - 1e-12))
        sigma = self.centre * deviation * (self.spread * place).exp()
        return sigma.clamp(max=high).float().maximum(floor)


class AsTold(nn.Module):
    """Ask a denoiser for images whose last channel is their noise level.

    Args:
        prior: a copy of it is trained.
    """

    def __init__(self, prior: Denoiser) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, z: Tensor) -> Tensor:
        """Compute D(x, sigma) of `(B, C + 1, H, W)`."""
        return self.prior.estimate(z[:, :-1], z[:, -1, 0, 0])


def kept_of(prior: Denoiser, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the file of a denoiser of another layout, in that layout.

    Args:
        prior: what the training went on from.
        weights: of the training; {} for the prior's own.

    Raises:
        UserError: this library reads that layout, and cannot write it.
    """
    tensors = dict(prior.network.state_dict())
    for name, weight in averaged(weights).items():
        tensors[name.removeprefix("prior.network.")] = weight[0]
    layout = ARCHITECTURES.get(prior.provenance.architecture)
    for prefix in ("", "model."):
        found = {prefix + name: tensor for name, tensor in tensors.items()}
        if layout is not None and layout.recognises(found):
            return found
    raise UserError(
        f"--prior: {prior.provenance.architecture} is a layout that is read, and not written: a "
        "training cannot go on from it"
    )


def target(x: Tensor, y: Tensor, sigma: Tensor, own: Tensor) -> Tensor:
    r"""Compute what D(x, sigma) is compared with: t, which is y where that is clean.

    Args:
        x: `(B, C, h, w)`, with noise of standard deviation sigma.
        y: with noise of standard deviation `own`, a part of that of x.
        sigma, own: `(B,)`.
    """
    share = 1 - (own / sigma).square()
    return x + (y - x) / per_problem(share.clamp_min(1e-6), x)


def stein_risk(denoise: Any, x: Tensor, sigma: Tensor, probe: Tensor) -> Tensor:
    r"""Estimate the mean square error of D(x, sigma) without the clean image, `(B,)`.

    .. math:: \tfrac1n \|D(x) - x\|^2 + \tfrac{2 \sigma^2}{n}\, b \cdot
              \frac{D(x + \epsilon b) - D(x)}{\epsilon} - \sigma^2

    Args:
        denoise: D at the level sigma.
        x: images with noise, `(B, C, h, w)`.
        sigma: its standard deviation, `(B,)`.
        probe: b, standard normal, of the shape of x.
    """
    step = PROBE * per_problem(sigma, x)
    d = denoise(x)
    slope = (probe * (denoise(x + step * probe) - d) / step).flatten(1).mean(1)
    return mean_square(d - x) + sigma.square() * (2 * slope - 1)


def mean_square(x: Tensor) -> Tensor:
    """Compute the mean square of each image of a batch, `(B,)`."""
    return x.square().flatten(1).mean(1)


def _images(s: State) -> TrainingSet:
    return cast(TrainingSet, s.problem)


def kept(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the file: the averaged network, and what belongs to it."""
    network = {NETWORK + name: weight[0] for name, weight in averaged(weights).items()}
    return network | {name: weights[name][0] for name in (MEAN, DEVIATION, LEVELS)}


def training(task: str, preset: str) -> Recipe:
    """Return the settings of the training; all are ours.

    Raises:
        UserError: `paper`: nobody published a denoiser of this size.
    """
    if preset == "paper":
        raise UserError("pretrain denoiser has no published settings: take --preset fast or best")
    best = preset == "best"
    flips = "left-right" if find_task(task).unit_range else "all"
    return Recipe(
        method=DenoiserTraining(10_000 if best else 2000, flips=flips),
        net=NoiseUNet(),
        engine=Engine("muon", lr=0.02, lr_other=3e-3, warmup=20, schedule="cosine", final=0.01),
        source="preconditioning and weights of Karras et al. 2022; network and settings ours",
    )


CARD = Card(
    name=NAME,
    title="a denoiser for every noise level",
    source="Karras et al., NeurIPS 2022",
    family=LOW_DATA,
    tasks=ALL_TASKS,
    optimises="the network",
    prior=DENOISER,
    training=Training(
        title="a denoiser for every noise level, from clean or noisy images: a diffusion prior",
        learns_from=CLEAN_IMAGES,
        recipe=training,
        keep=kept,
    ),
)
