"""Learning weights from a handful of images, by the same loop that reconstructs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from untrained.ambient import single_precision
from untrained.checks import whole
from untrained.core.recipe import Recipe
from untrained.core.rule import Frame
from untrained.core.start import CHOICE, INPUT, StartWeights
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.machine import peak_memory_mb, pick_device
from untrained.maths import level, magnitude
from untrained.methods import METHODS
from untrained.methods.card import CLEAN_IMAGES, PAIRS, Card, Training
from untrained.methods.presets import check_preset
from untrained.metrics import usual_range
from untrained.nets import KnownNet
from untrained.physics import Denoise
from untrained.pretrain import denoiser, unrolled
from untrained.pretrain.weights import Weights, scans_of
from untrained.priors import DENOISER, Denoiser, Prior
from untrained.priors.edm import EDMDenoiser
from untrained.problem import Problem
from untrained.problem.digest import data_digest, reference_digests
from untrained.problem.group import Group
from untrained.rules.watch import psnr_against
from untrained.solver.fit import Fit
from untrained.solver.procedure import fit_together
from untrained.tasks import find_task

TRAINABLE: dict[str, Card] = {
    **{name: card for name, card in METHODS.items() if card.training is not None},
    **{card.name: card for card in (denoiser.CARD, *unrolled.CARDS)},
}
"""What `untrained pretrain` trains: weights of methods, and priors for them."""


def find_trainable(method: str, task: str) -> Card:
    """Return the card of a method whose weights can be learned for `task`.

    Raises:
        UserError: it starts from random weights, or does not do the task.
    """
    card = TRAINABLE.get(method)
    if card is None:
        able = list(TRAINABLE)
        raise UserError(f"'{method}' learns nothing beforehand; these do: {', '.join(able)}")
    if task not in card.tasks:
        raise UserError(f"'{method}' does not do {task}; it does: {', '.join(card.tasks)}")
    return card


def training_recipe(
    card: Card, task: str, preset: str, settings: Sequence[str] = (), steps: int = 0
) -> Recipe:
    """Return the settings of a training, with `FIELD=VALUE` assignments and a budget of steps.

    Raises:
        UserError: an unknown preset or setting.
    """
    check_preset(preset)
    steps = whole("steps", steps, least=0)
    recipe = card.trained().recipe(task, preset).with_settings(settings)
    return recipe.with_steps(steps) if steps else recipe


@single_precision()
def train(
    method: str,
    problems: Sequence[Problem],
    *,
    task: str = "",
    preset: str = "fast",
    settings: Sequence[str] = (),
    steps: int = 0,
    seed: int = 0,
    device: str = "auto",
    inputs: Sequence[dict[str, str]] = (),
    references: Sequence[Tensor | None] = (),
    watch: Sequence[Watch] = (),
    run_dir: str | Path | None = None,
    prior: Prior | None = None,
) -> tuple[Weights, Fit]:
    """Learn the weights of `method`.

    Args:
        method: `ugodit`, `edip`, `metadip`, `strainer` or `nerp`; or a prior: `denoiser`,
            `varnet`, `modl`.
        problems: what is learned from, one measurement each: degraded images with physics of
            their own (`ugodit`), clean images (`clean_problem`), or a scan whose geometry is
            used and whose measurements are not (`edip`).
        task: of the reconstructions to come; that of the problems unless given.
        preset, settings, steps: as in `reconstruct`, of the training.
        seed: names all randomness.
        device: `auto`, `cpu`, `cuda`, `mps`.
        inputs: what the problems were read from, for the record.
        references: the true image `(1, C, ...)` of each image that is learned from, in the units
            of its measurements, or None where it is not known. The history then has its PSNR at
            every step (`psnr 1`, `psnr 2`, ...); the training itself does not see it.
        watch: watchers.
        run_dir: keep a checkpoint there and resume from the one found there.
        prior: what the training of a prior goes on from.

    Returns:
        The weights, and the fit of the training: its images are those of the networks that
        learned them, `(M, C, ...)`, and it is not `finished` if it was interrupted.

    Raises:
        UserError: unknown names or settings, images of several shapes, none at all, images that
            the task has not, another number of references than of images, or a checkpoint of
            other data.
    """
    if not problems:
        raise UserError("there is nothing to learn from: give at least one input")
    task = task or problems[0].task
    card = find_trainable(method, task)
    training = card.trained()
    _require_fitting(card, task, problems)
    recipe = training_recipe(card, task, preset, settings, steps)
    start = None
    if prior is not None:
        recipe, start = going_on(card, recipe, prior, problems)
    group = learning_group(training, recipe, problems, task, references, prior)
    apart = not training.drawn and training.keep is None  # an image keeps its place on the axis G
    each: list[Watch] = [EachMisfit()] if apart else []
    if references and apart:
        each.append(EachPSNR(group, references))
    data = learned_from(training, problems, prior, references)
    fit = fit_together(
        recipe,
        group,
        watch=[*each, *watch],
        seed=seed,
        device=device,
        run_dir=run_dir,
        settings={"training": method, "data": data},
        start=start,
    )
    fit = replace(fit, peak_memory_mb=peak_memory_mb(pick_device(device)))
    weights = Weights(
        method=method,
        task=task,
        preset=preset,
        image=tuple(group.x_shape),
        recipe=recipe.to_dict(),
        inputs=tuple(dict(entry) for entry in inputs),
        data=tuple(data),
        scans=scans_of(problems),
        seed=seed,
        steps=fit.steps,
        seconds=fit.seconds,
        misfit=_last_misfits(fit, len(group)),
        tensors=_kept(training, fit, prior),
    )
    return weights, fit


def going_on(
    card: Card, recipe: Recipe, prior: Prior, problems: Sequence[Problem]
) -> tuple[Recipe, StartWeights]:
    """Return the recipe with the network of a prior, and its weights to start from.

    Raises:
        UserError: it is no denoiser, one for images of other channels, or one of a layout that
            cannot be written.
    """
    if card.prior != DENOISER or not isinstance(prior, Denoiser):
        raise UserError(
            f"--prior: only a training of 'denoiser' goes on from a network, and from a denoiser; "
            f"this is one of '{card.name}' from {prior.kind} ({prior.provenance.architecture})"
        )
    channels = problems[0].x_shape[0]
    if prior.channels != channels:
        raise UserError(
            f"--prior: it is for images of {prior.channels} channel(s), and these have {channels}"
        )
    if isinstance(prior, EDMDenoiser):
        start = StartWeights(network=dict(prior.network.named_parameters()), prior=prior)
        return replace(recipe, net=prior.net), start
    denoiser.kept_of(prior, {})  # refused now, and not when all is done
    told = denoiser.AsTold(prior)
    net = KnownNet.of(told, prior.provenance.architecture)
    return replace(recipe, net=net), StartWeights(prior=prior)


def _kept(training: Training, fit: Fit, prior: Prior | None) -> dict[str, Tensor]:
    """Choose what of a fit goes into the file of weights."""
    if isinstance(prior, Denoiser) and not isinstance(prior, EDMDenoiser):
        return denoiser.kept_of(prior, fit.weights)
    if training.keep is not None:
        return training.keep(fit.weights)
    kept = {
        name: weight[0]
        for name, weight in fit.weights.items()
        if not training.encoder or name.startswith("encoder.")
    }
    if training.decoders:
        kept |= {
            f"{name}{CHOICE}{image}": one
            for name, weight in fit.weights.items()
            if name not in kept
            for image, one in enumerate(weight)
        }
    if training.input and fit.z is not None:
        kept[INPUT] = fit.z[0]
    return kept


def learned_from(
    training: Training,
    problems: Sequence[Problem],
    prior: Prior | None = None,
    references: Sequence[Tensor | None] = (),
) -> list[str]:
    """Hash what each problem is, its operator alone where nothing else is learned from.

    The hashes of true images that are learned from come behind, and last that of the file of a
    prior that the training goes on from.
    """
    if training.drawn:
        problems = [p.with_measurements(torch.zeros_like(p.y)) for p in problems]
    more = [] if prior is None else [prior.provenance.sha256[:16]]
    if training.learns_from == PAIRS:
        known = [one for one in references if one is not None]
        more = [digest for one in known for digest in reference_digests(one)] + more
    return [data_digest(problem) for problem in problems] + more


def _require_fitting(card: Card, task: str, problems: Sequence[Problem]) -> None:
    """Refuse what the task does not reconstruct: other measurements, or other channels."""
    channels = find_task(task).channels
    for problem in problems:
        if card.trained().learns_from != CLEAN_IMAGES and problem.task != task:
            raise UserError(
                f"'{card.name}' for {task} learns from measurements of {task}, and one of "
                f"{problem.task} was given"
            )
        if channels is not None and problem.x_shape[0] != channels:
            raise UserError(
                f"images of {task} have {channels} channel(s), and one of {problem.x_shape} was "
                "given to learn from"
            )


def learning_group(
    training: Training,
    recipe: Recipe,
    problems: Sequence[Problem],
    task: str,
    references: Sequence[Tensor | None] = (),
    prior: Prior | None = None,
) -> Group:
    """Group what the networks of a training are fitted to side by side, or one to batches of.

    Raises:
        UserError: images that do not go together, or references that are missing.
    """
    method: Any = recipe.method
    if training.keep is not None:
        found: Group = method.group(
            problems,
            references=references,
            multiple=getattr(recipe.net if prior is None else prior, "multiple", 1),
            turned=find_task(task).complex_image != "never" and problems[0].x_shape[0] == 2,
        )
        return found
    alone = [problem.select(i) for problem in problems for i in range(len(problem))]
    return Group(alone[:1] * getattr(method, "batch", 0) if training.drawn else alone)


def clean_problem(image: Tensor, unit_range: bool = True, noise: float = 0.0) -> Problem:
    """Make a problem of a clean image `(1, C, ...)`, whose measurements are its pixels.

    It is divided by the 99.9th percentile of its magnitudes unless images live in [0, 1]. An image
    that is not clean has white noise of standard deviation `noise`, in its own units.
    """
    if not unit_range:
        size = float(level(magnitude(image) if image.shape[1] == 2 else image.abs()))
        image, noise = image / size, noise / size
    return Problem(image, Denoise(tuple(image.shape[1:])), sigma=noise or None)


class EachMisfit(Watch):
    """The data term of every image, in columns of its own."""

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Give the columns `data 1`, `data 2`, ..."""
        return {f"data {g + 1}": value[None] for g, value in enumerate(frame.terms["data"])}


class EachPSNR(Watch):
    """The PSNR of every image whose reference is known, in columns of its own.

    Raises:
        UserError: another number of references than of images.
    """

    def __init__(self, group: Group, references: Sequence[Tensor | None]) -> None:
        if len(references) != len(group):
            raise UserError(
                f"references: {len(references)} were given for {len(group)} images that are "
                "learned from; give one for each, None where it is not known"
            )
        self._known = {g: truth for g, truth in enumerate(references) if truth is not None}
        first = group.select(0)
        self._complex, self._turned = first.complex_image, first.traits.ambiguous_orientation
        unit = first.traits.unit_range
        self._ranges = {g: usual_range(truth, unit=unit) for g, truth in self._known.items()}

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Give the columns `psnr 1`, `psnr 2`, ... of this step's images.

        NaN where the reference is zero.
        """
        images = s.problem.to_units(frame.x)
        return {
            f"psnr {g + 1}": torch.tensor([self._psnr(g, images[g : g + 1])]) for g in self._known
        }

    def _psnr(self, g: int, image: Tensor) -> float:
        if not self._ranges[g] > 0:
            return math.nan
        truth = self._known[g].to(image.device)
        return psnr_against(truth, image, self._complex, self._turned, self._ranges[g])


def _last_misfits(fit: Fit, count: int) -> tuple[float, ...]:
    columns: dict[str, Any] = fit.history
    if "data 1" not in columns:
        return (float(columns["data"][-1]),)
    return tuple(float(columns[f"data {g + 1}"][-1]) for g in range(count))
