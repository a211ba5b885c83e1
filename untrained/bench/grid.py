"""A grid file (TOML): cases x runs x seeds, and overrides for a small version of all that."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from untrained.bench.cases import CaseEntry, make_cases, read_entry
from untrained.bench.job import Job, Run
from untrained.bench.pretrain import PretrainEntry, read_pretrain, train_weights
from untrained.bench.toml import (
    LIST,
    NUMBER,
    TABLE,
    TEXT,
    WHOLE,
    read_counts,
    read_table,
    read_texts,
    read_toml,
    require_positive,
)
from untrained.data import TASKS
from untrained.errors import UserError, from_file
from untrained.methods import Card
from untrained.methods.find import AUTO, find_card
from untrained.uncertainty.settings import LEVEL, check_level, find_way

KEYS = {
    "name": TEXT,
    "seeds": WHOLE + LIST,
    "time_limit": NUMBER,
    "cases": LIST,
    "runs": LIST,
    "pretrain": LIST,
    "small": TABLE,
}
RUN_KEYS = {
    "method": TEXT + LIST,
    "preset": TEXT + LIST,
    "settings": TEXT + LIST,
    "steps": WHOLE,
    "stop": TEXT,
    "output": TEXT,
    "label": TEXT,
    "weights": TEXT,
    "uncertainty": TEXT + LIST,
    "level": NUMBER,
    "tasks": TEXT + LIST,
    "small": TEXT + LIST,
}
SMALL_KEYS = {
    "seeds": WHOLE + LIST,
    "time_limit": NUMBER,
    "images": WHOLE,
    "steps": WHOLE,
    "settings": TEXT + LIST,
}


@dataclass(frozen=True)
class RunEntry:
    """A run.

    Attributes:
        run: what is run.
        where: the table that asks for it, for messages.
        weights: name of the `[[pretrain]]` entry that it starts from; empty = none.
        tasks: those it is for; empty = those that its method does.
        small: further settings in the small version.
    """

    run: Run
    tasks: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    weights: str = ""
    where: str = ""


@dataclass(frozen=True)
class Grid:
    """What a grid file asks for.

    Attributes:
        name: of the experiment.
        seeds: each network run is done with each.
        time_limit: seconds per job after which it is cut; 0 = none.
        cases, runs: the entries.
        trainings: what is learned before the runs.
        small: whether the overrides of `[small]` were applied.
    """

    name: str
    seeds: tuple[int, ...]
    time_limit: float
    cases: tuple[CaseEntry, ...]
    runs: tuple[RunEntry, ...]
    small: bool = False
    trainings: tuple[PretrainEntry, ...] = ()

    def jobs(self, data: Path) -> list[Job]:
        """List every combination; simulated measurements and learned weights go into `data`.

        Raises:
            UserError: settings that do not fit, a run that fits no case, two rows alike.
        """
        cases = [case for entry in self.cases for case in make_cases(entry, data)]
        files = {entry.name: train_weights(entry, data) for entry in self.trainings}
        found: list[Job] = []
        for entry in self.runs:
            run = replace(entry.run, weights=files[entry.weights]) if entry.weights else entry.run
            card = find_card(run.method)
            mine = [
                Job(case, run, seed)
                for case in cases
                if case.task in (entry.tasks or card.tasks)
                for seed in (self.seeds[:1] if card.classical else self.seeds)
            ]
            if not mine:
                raise UserError(
                    f"{entry.where}: the run '{entry.run.label}' fits none of the cases"
                )
            _check_plans(mine, entry)
            found += mine
        _check_distinct(found)
        return found


def read_grid(path: str | Path, *, small: bool = False) -> Grid:
    """Read and check a grid file; see docs/bench.md for its keys.

    Args:
        path: the TOML file; paths in it are relative to it.
        small: apply the overrides of `[small]`.

    Raises:
        UserError: unreadable, no TOML, unknown keys, values of another kind, no file found.
    """
    path = Path(path)
    values = read_toml(path, "grid")
    with from_file(path):
        grid = _grid(read_table(values, KEYS, "the grid"), path)
        return _small(grid, values.get("small")) if small else grid


def _grid(values: dict[str, Any], path: Path) -> Grid:
    for name in ("cases", "runs"):
        if not values.get(name):
            raise UserError(f"there is no [[{name}]]; a grid needs at least one")
    cases = [
        read_entry(table, path.parent, f"[[cases]] {number}")
        for number, table in enumerate(values["cases"], 1)
    ]
    runs = [
        entry
        for number, table in enumerate(values["runs"], 1)
        for entry in _run_entries(table, path.parent, f"[[runs]] {number}")
    ]
    trainings = [
        read_pretrain(table, path.parent, f"[[pretrain]] {number}")
        for number, table in enumerate(values.get("pretrain", []), 1)
    ]
    _check_weights(runs, trainings)
    limit = require_positive(values["time_limit"], "time_limit") if "time_limit" in values else 0
    name = values.get("name", path.stem)
    seeds = _seeds(values.get("seeds", [0]), "seeds")
    return Grid(name, seeds, float(limit), tuple(cases), tuple(runs), trainings=tuple(trainings))


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    """Read a list of seeds; a number is how many, from 0, as with `--seeds`."""
    if not isinstance(value, int):
        return read_counts(value, where)
    if value < 1:
        raise UserError(f"{where}: {value} is no number of seeds; give 1 or more, or a list")
    return tuple(range(value))


def _check_weights(runs: list[RunEntry], trainings: list[PretrainEntry]) -> None:
    """Require that runs that need weights name some that are learned for them, and no others do."""
    known = {training.name: training.method for training in trainings}
    if len(known) < len(trainings):
        raise UserError("two [[pretrain]] tables have the same name")
    for entry in runs:
        method = entry.run.method
        card = find_card(method)
        needed = card.pretrained and card.control is None
        if (needed and not entry.weights) or (entry.weights and not card.pretrained):
            needs = "needs" if needed else "takes no"
            raise UserError(
                f"{entry.where}: the run '{entry.run.label}' {needs} weights, a [[pretrain]] name"
            )
        if entry.weights and known.get(entry.weights) != method:
            raise UserError(
                f"{entry.where}: the run '{entry.run.label}' asks for the weights "
                f"'{entry.weights}'; learned for {method}: "
                f"{', '.join(n for n, m in known.items() if m == method) or 'none'}"
            )


def _run_entries(table: Any, folder: Path, where: str) -> list[RunEntry]:
    """Make one entry per method and preset of a table; relative paths start at `folder`."""
    values = read_table(table, RUN_KEYS, where)
    if "method" not in values:
        raise UserError(f"{where}: there is no method; see `untrained list methods`")
    tasks = read_texts(values["tasks"], f"{where}: tasks") if "tasks" in values else ()
    for task in tasks:
        if task not in TASKS:
            raise UserError(f"{where}: unknown task '{task}'; known: {', '.join(TASKS)}")
    small = read_texts(values["small"], f"{where}: small") if "small" in values else ()
    methods = [_placed(name, folder) for name in read_texts(values["method"], f"{where}: method")]
    presets = read_texts(values.get("preset", "fast"), f"{where}: preset")
    ways = _ways(values, where)
    if "label" in values and len(methods) * len(presets) * len(ways) > 1:
        raise UserError(f"{where}: a label names one run, and this table gives several")
    if "steps" in values:
        require_positive(values["steps"], f"{where}: steps")
    entries = [
        RunEntry(
            _run(values, method, preset, way, where),
            tasks,
            small,
            values.get("weights", ""),
            where,
        )
        for method in methods
        for preset in presets
        for way in ways
    ]
    return list(dict.fromkeys(entries))  # a classical method is the same with every preset


def _ways(values: dict[str, Any], where: str) -> tuple[str, ...]:
    """Read the ways to an error bar, one run each; ("",) where none is asked for."""
    if "uncertainty" not in values:
        if "level" in values:
            raise UserError(f"{where}: level is that of an error bar; give uncertainty as well")
        return ("",)
    ways = read_texts(values["uncertainty"], f"{where}: uncertainty")
    with from_file(where):
        for way in ways:
            find_way(way)
        check_level(values.get("level", LEVEL))
    return ways


def _placed(method: str, folder: Path) -> str:
    """Make the path in `FILE.py:Class` absolute, from the grid's folder."""
    place, colon, name = method.rpartition(":")
    return f"{(folder / place).resolve()}:{name}" if colon and place.endswith(".py") else method


def _run(values: dict[str, Any], method: str, preset: str, way: str, where: str) -> Run:
    method = AUTO if method == "auto" else method
    with from_file(where):
        card = find_card(method)
    settings = read_texts(values["settings"], f"{where}: settings") if "settings" in values else ()
    classical = card.classical
    if classical and way:
        raise UserError(
            f"{where}: '{card.name}' is a classical method, which has no network to vary and so no "
            "error bar; give it a [[runs]] table without uncertainty"
        )
    run = Run(
        method=method,
        preset="fast" if classical else preset,
        settings=settings,
        steps=values.get("steps", 0),
        stop=values.get("stop", "auto"),
        output=values.get("output", "auto"),
        uncertainty=way,
        level=float(values.get("level", LEVEL)),
    )
    return replace(run, label=values.get("label") or _label(run, card, values.get("weights", "")))


def _label(run: Run, card: Card, weights: str) -> str:
    """Name a run by its method and what was set beside it."""
    control = None if weights else card.control
    preset = "" if run.preset == "fast" else run.preset
    # the way first: a terminal cuts long labels
    first = control.name if control else card.name
    parts = [first, run.uncertainty, weights, preset, *run.settings]
    parts += [f"steps={run.steps}" if run.steps else ""]
    parts += [
        f"{name}={value}"
        for name, value in (("stop", run.stop), ("output", run.output))
        if value != "auto"
    ]
    parts += [f"level={run.level:g}" if run.level != LEVEL else ""]
    return " ".join(part for part in parts if part)


def _small(grid: Grid, table: Any) -> Grid:
    """Apply the overrides of `[small]`; classical methods take neither steps nor settings.

    Raises:
        UserError: there is no `[small]`, or it is wrong.
    """
    if table is None:
        raise UserError("there is no [small] in it, which --small asks for")
    values = read_table(table, SMALL_KEYS, "[small]")
    images = (
        int(require_positive(values["images"], "[small]: images")) if "images" in values else None
    )
    steps = int(require_positive(values["steps"], "[small]: steps")) if "steps" in values else 0
    more = read_texts(values["settings"], "[small]: settings") if "settings" in values else ()
    limit = values.get("time_limit", grid.time_limit)
    return Grid(
        name=grid.name,
        seeds=_seeds(values["seeds"], "[small]: seeds") if "seeds" in values else grid.seeds,
        time_limit=float(require_positive(limit, "[small]: time_limit") if limit else 0),
        cases=tuple(
            replace(case, files=case.files[:images], guides=case.guides[:images])
            for case in grid.cases
        ),
        runs=tuple(_smaller(entry, steps, more) for entry in grid.runs),
        trainings=tuple(_smaller_pretrain(entry, steps, more) for entry in grid.trainings),
        small=True,
    )


def _smaller(entry: RunEntry, steps: int, more: tuple[str, ...]) -> RunEntry:
    if find_card(entry.run.method).classical:
        return entry
    settings = (*entry.run.settings, *more, *entry.small)
    return replace(entry, run=replace(entry.run, settings=settings, steps=steps or entry.run.steps))


def _smaller_pretrain(entry: PretrainEntry, steps: int, more: tuple[str, ...]) -> PretrainEntry:
    """Shrink a training as the runs are shrunk, so that the weights fit the smaller networks."""
    settings = (*entry.settings, *more, *entry.small)
    return replace(entry, settings=settings, steps=steps or entry.steps)


def _check_plans(jobs: list[Job], entry: RunEntry) -> None:
    """Refuse settings that do not fit, by the table and the key.

    Raises:
        UserError: as `plan`.
    """
    for job in jobs:
        try:
            job.plan()
            job.way()
        except UserError as error:
            apart = ""
            if find_card(job.run.method).classical:
                apart = "; a classical method beside others has a [[runs]] table of its own"
            raise UserError(f"{entry.where}{_key_of(job)}: {error}{apart}") from error


def _key_of(job: Job) -> str:
    """Find the key without which a run would do, for a message; "" where no single one is."""
    usual = Run(job.run.method)
    for key in ("settings", "steps", "stop", "output", "preset"):
        mended = replace(job.run, **{key: getattr(usual, key)})
        if mended != job.run:
            with contextlib.suppress(UserError):
                replace(job, run=mended).plan()
                return f": {key}"
    return ""


def _check_distinct(jobs: list[Job]) -> None:
    """Require that the rows of the table differ by name."""
    seen: dict[str, Job] = {}
    for job in jobs:
        if seen.setdefault(job.name, job) is not job:
            raise UserError(
                f"two jobs are called '{job.name}'; give the cases a `setting`, or the runs a "
                "`label`, that tells them apart"
            )
