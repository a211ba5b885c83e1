"""One job: a case, a run and a seed. Its id is the hash of what decides the outcome."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from untrained.files import sha256
from untrained.methods.find import is_own
from untrained.pretrain import load_weights
from untrained.run.plan import Plan, plan
from untrained.uncertainty.settings import LEVEL, Way, find_way, parted_settings, with_settings


@dataclass(frozen=True)
class Case:
    """One measurement file and how it is read and scored.

    Attributes:
        task: a task's name.
        image: what the picture or scan is called.
        setting: what distinguishes it from other measurements of the same picture; may be empty.
        file: the measurement, an absolute path.
        digest: hash of the file's contents.
        options: the loader's keywords, as JSON text; files among them by absolute path.
        attached: (name, hash) of every option that is a file.
        region: where the image is scored, see `Score`.
        guides: (absolute path, hash) of the clean images of similar content for those methods
            that lean on some.
    """

    task: str
    image: str
    setting: str
    file: str
    digest: str
    options: str = "{}"
    attached: tuple[tuple[str, str], ...] = ()
    region: str = "all"
    guides: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Run:
    """A method and its settings; see `plan` for the fields.

    Attributes:
        label: its name in tables and figures.
        weights: (absolute path, hash) of what a pre-trained method starts from, if it is one.
        uncertainty: name of the way to an error bar; empty = none.
        level: nominal coverage of its intervals.
    """

    method: str
    preset: str = "fast"
    settings: tuple[str, ...] = ()
    steps: int = 0
    stop: str = "auto"
    output: str = "auto"
    label: str = ""
    weights: tuple[str, str] = ("", "")
    uncertainty: str = ""
    level: float = LEVEL


@dataclass(frozen=True)
class Job:
    """What one process does in one go."""

    case: Case
    run: Run
    seed: int

    @cached_property
    def id(self) -> str:
        """Hash the recipe, the data, the seed and the scoring; names and paths do not count."""
        chosen = self.plan()
        content: dict[str, Any] = {
            "method": chosen.card.name,
            "recipe": None if chosen.recipe is None else chosen.recipe.digest(),
            "task": self.case.task,
            "data": self.case.digest,
            "options": {**json.loads(self.case.options), **dict(self.case.attached)},
            "region": self.case.region,
            # a classical method draws nothing
            "seed": None if chosen.recipe is None else self.seed,
        }
        if is_own(self.run.method):
            content["code"] = chosen.card.source
        if self.run.weights[1]:
            content["weights"] = self.run.weights[1]
        if self.case.guides:
            content["guides"] = [digest for _, digest in self.case.guides]
        way = self.way()
        if way is not None:
            content["error bar"] = [way.name, asdict(way), self.run.level]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Name the job for people: task/image/setting/label/seed."""
        case = self.case
        parts = (case.task, case.image, case.setting, self.run.label, str(self.seed))
        return "/".join(part for part in parts if part)

    def plan(self) -> Plan:
        """Resolve the method, its settings and stop rule.

        Raises:
            UserError: an unknown name or setting, or a method that does not do the task.
        """
        run = self.run
        return plan(
            self.case.task,
            method=run.method,
            preset=run.preset,
            settings=parted_settings(run.settings)[0],
            steps=run.steps,
            stop=run.stop,
            output=run.output,
            weights=load_weights(run.weights[0]) if run.weights[0] else None,
        )

    def way(self) -> Way | None:
        """Resolve how the error bar is found; None where none is asked for.

        Raises:
            UserError: an unknown name or setting.
        """
        own = parted_settings(self.run.settings)[1]
        return with_settings(find_way(self.run.uncertainty or None), own)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, the id among them."""
        return {"id": self.id, **asdict(self)}


def job_from_dict(values: dict[str, Any]) -> Job:
    """Make a job of the values that `Job.to_dict` gave."""
    case, run = dict(values["case"]), dict(values["run"])
    for pairs in ("attached", "guides"):
        case[pairs] = tuple((name, digest) for name, digest in case[pairs])
    run["settings"] = tuple(run["settings"])
    run["weights"] = tuple(run.get("weights", ("", "")))
    return Job(Case(**case), Run(**run), int(values["seed"]))


def file_digest(path: str | Path) -> str:
    """Return the first digits of a file's hash."""
    return sha256(path)[:16]
