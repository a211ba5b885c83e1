"""`untrained pretrain METHOD TASK INPUT... --out WEIGHTS`: learn from a handful of images."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from untrained.about import About
from untrained.cli.directory import Directory, open_directory, require_same
from untrained.cli.interrupt import INTERRUPTED
from untrained.cli.job import command_line
from untrained.cli.measured import Load, input_files
from untrained.cli.needs import say_needs
from untrained.cli.options import Options, shared_options
from untrained.cli.reconstruct import reconstruct
from untrained.core.watch import Watch
from untrained.data import TASKS, read_clean
from untrained.errors import UserError, from_file
from untrained.files import require_not_input, sha256
from untrained.folder import RESULT, Folder
from untrained.methods import Card
from untrained.methods.card import CLEAN_IMAGES, MEASUREMENTS, PAIRS
from untrained.pretrain import Weights, clean_problem, train
from untrained.pretrain.train import TRAINABLE, going_on, learned_from, training_recipe
from untrained.pretrain.weights import check_path
from untrained.priors import DENOISER, Prior, load_prior
from untrained.problem import Problem
from untrained.report import write_training
from untrained.rules.watch import Clock, Interrupt, Progress
from untrained.tasks import find_task
from untrained.threads import at_most_threads

APART = {"--method", "--stop", "--output", "--seeds", "--reference", "--guide", "--weights"}
"""Options of `reconstruct` that a training has not."""
PRIOR = "--prior"
"""The option that the training of a prior has: the network that it goes on from."""
LOADERS_NAMES = {"index": "slice", "bkse": "weights", "ktc_level": "level"}
"""What a loader calls some options of `reconstruct`."""


@click.group()
def pretrain() -> None:
    """Learn weights from a handful of images, for `reconstruct --weights`."""


@dataclass(frozen=True)
class Inputs:
    """What is learned from: problems, their true images where a file has them, and the files.

    `prior` is what the training of a prior goes on from.
    """

    problems: list[Problem]
    references: list[torch.Tensor | None]
    files: list[dict[str, str]]
    notes: tuple[str, ...]
    prior: Prior | None = None


def _command(card: Card, task: str) -> click.Command:
    """Make `pretrain METHOD TASK`, with the task's own options where measurements are read."""

    def learn(options: Options, inputs: tuple[str, ...], **own: Any) -> int:
        noisy = own.pop("noisy", None) or 0.0
        load = partial(TASKS[task].load, **{LOADERS_NAMES.get(k, k): v for k, v in own.items()})
        return _learn(card, task, inputs, options, load, noisy)

    learn.__doc__ = f"Learn {card.trained().title}.\n\nINPUT is {_what(card)}."
    learn.__name__ = task
    shown = f"To {TASKS[task].description[0].lower()}{TASKS[task].description[1:]}"
    command = click.command(name=task, short_help=shown)(shared_options(learn))
    training = card.trained()
    apart = APART | (set() if card.prior == DENOISER else {PRIOR})
    command.params = [p for p in command.params if not apart & set(p.opts)]
    own = [] if training.learns_from == CLEAN_IMAGES else _own_options(task)
    if training.keep is not None and training.learns_from == CLEAN_IMAGES:
        own = [_noisy()]
    argument = click.Argument(["inputs"], nargs=-1, required=True, metavar="INPUT...")
    # A new option: click does not mind `required` set on one that was declared with a default.
    out = click.Option(
        ["--out"], required=True, metavar="WEIGHTS", help="File to write, *.safetensors."
    )
    shared = [out if p.name == "out" else p for p in command.params]
    command.params = [argument, *own, *shared]
    for parameter in command.params:
        if "--time-limit" in parameter.opts and isinstance(parameter, click.Option):
            parameter.help = "Pause after S seconds, without weights yet; --resume goes on."
        if PRIOR in parameter.opts and isinstance(parameter, click.Option):
            parameter.help = "A denoiser that the training goes on from; only tensors are read."
    return command


def _noisy() -> click.Option:
    return click.Option(
        ["--noisy"],
        type=click.FloatRange(min=0, min_open=True),
        default=None,
        metavar="SIGMA",
        help="The images have white noise of this standard deviation, in units of their files.",
    )


def _own_options(task: str) -> list[click.Parameter]:
    """List what `reconstruct TASK` has beside the shared options."""
    shared = Options.__dataclass_fields__
    options = reconstruct.commands[task].params
    return [p for p in options if isinstance(p, click.Option) and p.name not in shared]


def _what(card: Card) -> str:
    return {
        MEASUREMENTS: "a measurement each, as `reconstruct` reads it",
        CLEAN_IMAGES: "a clean image each",
        PAIRS: "a measurement with its 'reference' each",
    }.get(card.trained().learns_from, "a scan; its geometry is used, its measurements are not")


def _learn(
    card: Card,
    task: str,
    paths: Sequence[str],
    options: Options,
    load: Load,
    noisy: float = 0.0,
) -> int:
    assert options.out is not None
    given = input_files(paths, options, load)
    beside = Path(options.out).with_name(f"{Path(options.out).stem}-training")
    resumed = options.resume and (Folder(beside).unfinished or (beside / RESULT).exists())
    out = check_path(options.out, overwrite=options.overwrite or resumed or options.dry_run)
    require_not_input([out], given)
    with at_most_threads(options.threads):
        inputs = _read(card, task, paths, load, noisy)
        if options.prior:
            inputs = replace(inputs, prior=load_prior(options.prior))
        if options.dry_run:
            return _dry_run(card, task, inputs, options)
        with open_directory(
            beside,
            resume=options.resume,
            overwrite=options.overwrite,
            inputs=given,
            command=command_line(),
            run=f"training of {card.name} for {task}",
        ) as directory:
            if directory.finished is not None:
                _same_settings(directory.finished, card, task, inputs, options)
                return _report(out, beside, directory.finished, options)
            if options.overwrite:
                directory.folder.adopt(_beside(out))
            directory.folder.require_own([_beside(out)])  # not only when hours are spent
            return _into(directory, out, card, task, inputs, options)


def _beside(out: Path) -> str:
    """Return the name of the weights as seen from the training's folder."""
    return f"../{out.name}"


def _dry_run(card: Card, task: str, inputs: Inputs, options: Options) -> int:
    from untrained.run.estimate import estimate_training

    facts = estimate_training(
        card,
        task,
        inputs.problems,
        preset=options.preset,
        settings=options.settings,
        steps=options.steps,
        device=options.device,
        references=inputs.references,
        prior=inputs.prior,
    )
    return say_needs(facts, options)


def _same_settings(
    facts: dict[str, Any], card: Card, task: str, inputs: Inputs, options: Options
) -> None:
    """Refuse finished weights that were learned with other settings."""
    recipe = training_recipe(card, task, options.preset, options.settings, options.steps)
    if inputs.prior is not None:
        recipe, _ = going_on(card, recipe, inputs.prior, inputs.problems)
    wanted = {
        "method": card.name,
        "task": task,
        "recipe": recipe.to_dict(),
        "inputs": inputs.files,
        "data": learned_from(card.trained(), inputs.problems, inputs.prior, inputs.references),
        "seed": options.seed,
    }
    require_same(facts, wanted, "these weights were learned with")


def _into(
    directory: Directory, out: Path, card: Card, task: str, inputs: Inputs, options: Options
) -> int:
    with Interrupt() as interrupt:
        watch: list[Watch] = [interrupt]
        if options.time_limit is not None:
            watch.append(Clock(options.time_limit))
        if not options.quiet:
            watch.append(Progress(f"{card.name} training"))
        weights, fit = train(
            card.name,
            inputs.problems,
            task=task,
            preset=options.preset,
            settings=options.settings,
            steps=options.steps,
            seed=options.seed,
            device=options.device,
            inputs=inputs.files,
            references=inputs.references,
            prior=inputs.prior,
            watch=watch,
            run_dir=directory.path,
        )
    if not fit.finished:
        why = "interrupted" if interrupt.asked else "the time limit was reached"
        click.echo(
            f"{why} at step {fit.steps}, and {out} is not written yet; the same command with "
            "--resume goes on",
            err=True,
        )
        return INTERRUPTED
    about = _about(weights, inputs, card)
    write_training(fit, about, weights, directory.folder, _beside(out))
    directory.folder.forget_states()
    return _report(out, directory.path, weights.facts(), options)


def _about(weights: Weights, inputs: Inputs, card: Card) -> About:
    """Say what a training is about, with the images before it and those that are known."""
    about = About(
        task=weights.task,
        method=card.name,
        preset=weights.preset,
        command=command_line(),
        notes=inputs.notes,
    )
    if card.trained().drawn or card.trained().keep is not None:
        return about
    known = [reference for reference in inputs.references if reference is not None]
    return replace(
        about,
        adjoint=torch.cat([p.to_units(p.estimate()) for p in inputs.problems]),
        reference=torch.cat(known) if len(known) == len(inputs.problems) else None,
    )


def _read(card: Card, task: str, paths: Sequence[str], load: Load, noisy: float) -> Inputs:
    problems: list[Problem] = []
    references: list[torch.Tensor | None] = []
    files: list[dict[str, str]] = []
    notes: list[str] = []
    if card.trained().drawn and len(paths) > 1:
        raise UserError(f"{card.name} takes the geometry of one scan, and {len(paths)} are given")
    read: dict[str, str] = {}
    for path in paths:
        if card.trained().learns_from == CLEAN_IMAGES:
            image = read_clean(task, path)
            found = [clean_problem(image, find_task(task).unit_range, noisy)]
            references.append(None)
            names = [Path(path).name]
        else:
            slices = load(path)
            with from_file(path):
                found = [Problem(m.y, m.physics, sigma=m.sigma) for m in slices]
            references += [m.reference for m in slices]
            names = [Path(m.source).name for m in slices]
            notes += [f"{m.source}: {note}" for m in slices for note in m.notes]
        one_shape = card.name != "denoiser"  # which takes crops
        if one_shape and problems and found[0].x_shape != problems[0].x_shape:
            raise UserError(
                f"{path} has an image of {found[0].x_shape} and {paths[0]} one of "
                f"{problems[0].x_shape}: images that are learned from together have one shape; "
                "crop them"
            )
        problems += found
        digest = sha256(path)
        _require_new(path, digest, read)
        files += [{"name": name, "sha256": digest} for name in names]
    return Inputs(problems, references, files, tuple(notes))


def _require_new(path: str, digest: str, read: dict[str, str]) -> None:
    """Remember a file among those that were read; none may be there twice, under any name."""
    if digest in read:
        same = "" if read[digest] == path else f" (as {read[digest]})"
        raise UserError(f"{path} is given twice{same}; what is learned from would count it double")
    read[digest] = path


def _report(out: Path, beside: Path, facts: dict[str, Any], options: Options) -> int:
    if options.as_json:
        click.echo(json.dumps({"weights": str(out), **facts}, indent=2))
    elif not options.quiet:
        method, task = facts["method"], facts["task"]
        count = len(facts["inputs"])
        click.echo(f"{method} learned from {count} input(s) in {facts['seconds']:.0f} s")
        click.echo(f"weights  {out}")
        click.echo(f"report   {beside / 'report.html'}")
        prior = TRAINABLE[method].prior
        how = "--method METHOD --prior" if prior else "--weights"
        click.echo(f"next     untrained reconstruct {task} INPUT {how} {out}")
    return 0


def _group(card: Card) -> click.Group:
    short = f"Learn from {card.trained().learns_from}."
    group = click.Group(name=card.name, help=f"Learn {card.trained().title}.", short_help=short)
    for task in card.tasks:
        group.add_command(_command(card, task))
    return group


_add: Callable[[click.Command], None] = pretrain.add_command
for _card in TRAINABLE.values():
    _add(_group(_card))
