"""A `[[pretrain]]` table of a grid -> a file of weights, learned once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from untrained.bench.cases import CaseEntry, make_cases, read_entry
from untrained.bench.job import Case, file_digest
from untrained.bench.toml import LIST, TABLE, TEXT, WHOLE, read_table, read_texts, require_positive
from untrained.data import TASKS, read_clean
from untrained.errors import UserError, from_file
from untrained.files import atomic_write, make_directory
from untrained.methods import METHODS
from untrained.methods.card import CLEAN_IMAGES
from untrained.pretrain import clean_problem, find_trainable, train
from untrained.pretrain.train import training_recipe
from untrained.problem import Problem
from untrained.report.save import history_csv
from untrained.rules.watch import Progress
from untrained.tasks import find_task

KEYS = {
    "name": TEXT,
    "method": TEXT,
    "preset": TEXT,
    "settings": TEXT + LIST,
    "steps": WHOLE,
    "training_seed": WHOLE,
    "count": WHOLE,
    "small": TEXT + LIST,
    "task": TEXT,
    "file": TEXT,
    "clean": TEXT,
    "simulate": TABLE,
    "seed": WHOLE,
    "options": TABLE,
}
OF_CASES = ("task", "file", "clean", "simulate", "seed", "options")


@dataclass(frozen=True)
class PretrainEntry:
    """One `[[pretrain]]` table.

    Attributes:
        name: what runs call the weights.
        method: that they are for.
        inputs: what is learned from, as a case is made; of clean images the files alone count.
        preset, settings, steps, seed: of the training.
        count: of the inputs, the first so many; 0 = all.
        small: further settings in the small version.
    """

    name: str
    method: str
    inputs: CaseEntry
    preset: str = "fast"
    settings: tuple[str, ...] = ()
    steps: int = 0
    seed: int = 0
    count: int = 0
    small: tuple[str, ...] = ()


def read_pretrain(table: Any, folder: Path, where: str) -> PretrainEntry:
    """Check a `[[pretrain]]` table; relative paths start at `folder`.

    Raises:
        UserError: an unknown key, method, task or setting, or no file.
    """
    values = read_table(table, KEYS, where)
    for key in ("name", "method"):
        if not values.get(key):
            raise UserError(f"{where}: there is no {key}")
    given = {key: values[key] for key in OF_CASES if key in values}
    card = METHODS.get(values["method"])
    known = None if card is None else card.training
    if known is not None and known.learns_from == CLEAN_IMAGES and "clean" in given:
        given["file"] = given.pop("clean")  # nothing is simulated from them
    inputs = read_entry(given, folder, where)
    with from_file(where):
        card = find_trainable(values["method"], inputs.task)
    entry = PretrainEntry(
        name=values["name"],
        method=values["method"],
        inputs=inputs,
        preset=values.get("preset", "fast"),
        settings=_texts(values, "settings", where),
        steps=int(require_positive(values["steps"], f"{where}: steps")) if "steps" in values else 0,
        seed=values.get("training_seed", 0),
        count=int(require_positive(values["count"], f"{where}: count")) if "count" in values else 0,
        small=_texts(values, "small", where),
    )
    with from_file(where):
        training_recipe(card, entry.inputs.task, entry.preset, entry.settings, entry.steps)
    return entry


def train_weights(entry: PretrainEntry, data: Path) -> tuple[str, str]:
    """Learn the weights into `data`, where they are not there yet; return (path, hash).

    The history of the training is written beside them, with the PSNR of each image whose file
    holds a reference.

    Raises:
        UserError: inputs that cannot be read or learned from, an interruption.
    """
    card = METHODS[entry.method]
    source = card.trained().learns_from
    task = entry.inputs.task
    cases = make_cases(entry.inputs, data)[: entry.count or None]
    recipe = training_recipe(card, task, entry.preset, entry.settings, entry.steps)
    key = [entry.method, task, recipe.digest(), entry.seed, [c.digest for c in cases]]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:10]
    out = make_directory(data) / f"{entry.method}-{task}-{digest}.safetensors"
    if not out.exists():
        problems, references = zip(*(_problem(c, source) for c in cases), strict=True)
        weights, result = train(
            entry.method,
            problems,
            task=task,
            preset=entry.preset,
            settings=entry.settings,
            steps=entry.steps,
            seed=entry.seed,
            inputs=[{"name": Path(c.file).name, "sha256": c.digest} for c in cases],
            references=references,
            watch=[Progress(entry.name)],
            run_dir=data / f"{out.stem}-training",
        )
        if not result.finished:
            raise UserError(f"the training '{entry.name}' was interrupted; run again to go on")
        with atomic_write(data / f"{out.stem}-history.csv") as stream:
            stream.write(history_csv(result.history))
        weights.save(out)
    return str(out), file_digest(out)


def _problem(case: Case, learns_from: str) -> tuple[Problem, Tensor | None]:
    """Load what is learned from, and its true image where the file has it."""
    if learns_from == CLEAN_IMAGES:
        image = read_clean(case.task, case.file)
        return clean_problem(image, unit_range=find_task(case.task).unit_range), None
    found = TASKS[case.task].load(case.file, **json.loads(case.options))
    if len(found) != 1:
        raise UserError(f"{case.file} holds {len(found)} slices; name one in `options`")
    return Problem(found[0].y, found[0].physics, sigma=found[0].sigma), found[0].reference


def _texts(values: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    return read_texts(values[key], f"{where}: {key}") if key in values else ()
