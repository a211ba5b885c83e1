"""Reconstruct the measurements of a file into a result directory."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from untrained.cli.closing import closing_lines, note_lines
from untrained.cli.directory import Directory, open_directory, require_same
from untrained.cli.failures import BAD_INPUT
from untrained.cli.interrupt import INTERRUPTED
from untrained.cli.measured import (
    Load,
    input_files,
    measured,
    picture_of,
    problem_of,
    say_notes,
    tiling_of,
)
from untrained.cli.needs import needs_of, say_needs
from untrained.cli.options import Options
from untrained.core.watch import Watch
from untrained.data import Measurement
from untrained.errors import Diverged, UserError, from_file
from untrained.folder import STATE
from untrained.machine import pick_device
from untrained.pretrain import load_weights
from untrained.priors import load_prior
from untrained.problem.digest import reference_digests
from untrained.report import summary as result_facts
from untrained.report import write_result
from untrained.result import Result
from untrained.rules.watch import Clock, Interrupt, Progress
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.run.plan import Plan, plan
from untrained.run.stacking import stack_slices
from untrained.run.sure import members
from untrained.run.tiles import (
    run_tiles,
    tiling_note,
)
from untrained.run.tiling import Tiling
from untrained.solver.stage import DIVERGED
from untrained.threads import at_most_threads
from untrained.uncertainty.draw import as_run
from untrained.uncertainty.settings import Way, parted_settings


@dataclass(frozen=True)
class Ended:
    """How the run of one file ended.

    Attributes:
        code: exit status.
        path: result directory.
        facts: contents of its `result.json`; empty where none was written.
        took: seconds of the whole job; None where a finished result was only shown.
        printed: notes that were printed before the run.
        trouble: what to say on the error stream; empty where all went well.
    """

    code: int
    path: Path
    facts: dict[str, Any]
    took: float | None = None
    printed: tuple[str, ...] = ()
    trouble: str = ""


def reconstruct_file(task: str, path: str, options: Options, load: Load) -> int:
    """Carry out one `reconstruct`; return the exit status."""
    chosen = plan_job(task, options)
    if options.dry_run:
        return say_needs(needs_of(chosen, path, options, load), options)
    ended = carry_out(chosen, path, options, load)
    if ended.facts:
        _report(ended, options)
    if ended.trouble:
        click.echo(ended.trouble, err=True)
    return ended.code


def plan_job(task: str, options: Options) -> Plan:
    """Plan by the options alone; a setting that cannot be is refused before anything is read."""
    chosen = plan(
        task,
        weights=load_weights(options.weights) if options.weights else None,
        method=options.method,
        preset=options.preset,
        settings=parted_settings(options.settings)[0],
        steps=options.steps,
        stop=options.stop,
        output=options.output,
        prior=load_prior(options.prior) if options.prior else None,
        unknown=options.unknown,
    )
    chosen.check_guide(bool(options.guide))
    options.sure()
    return chosen


def carry_out(
    chosen: Plan, path: str, options: Options, load: Load, known: Collection[str] = ()
) -> Ended:
    """Reconstruct a file into its result directory.

    Args:
        chosen: the plan, see `plan_job`.
        path: the file.
        options, load: of the command.
        known: notes that have been printed already.

    Raises:
        UserError: bad input.
        KeyboardInterrupt: Ctrl-C while there is nothing yet to keep.
    """
    began = time.monotonic()
    with at_most_threads(options.threads):
        slices = measured(path, options, load)
        given = input_files([path], options, load)
        out = Path(options.out or Path("untrained-out") / f"{chosen.task}-{Path(path).stem}")
        with open_directory(
            out,
            resume=options.resume,
            overwrite=options.overwrite,
            inputs=given,
            command=options.command or command_line(),
            run=f"{chosen.card.name} on {chosen.task}, {len(slices)} image(s)",
        ) as directory:
            return _into(directory, chosen, slices, options, given, began, known)


def _into(
    directory: Directory,
    chosen: Plan,
    slices: list[Measurement],
    options: Options,
    given: Sequence[str | None],
    began: float,
    known: Collection[str],
) -> Ended:
    if directory.finished is not None:
        _same_settings(directory, chosen, slices, options)
        return Ended(0, directory.path, directory.finished)
    printed = say_notes(chosen, slices, options, known)
    with Interrupt() as interrupt:
        watch: list[Watch] = [interrupt]
        if options.time_limit is not None:
            watch.append(Clock(options.time_limit))
        with from_file(*given):
            try:
                results = _results(directory, chosen, slices, options, watch)
            except Diverged as error:
                raise UserError(f"the run diverged: {error}; or check the measurements") from error
    result = results[0] if len(slices) == 1 else stack_slices(results, len(slices))
    paused = not result.finished
    interrupted = interrupt.asked and paused
    about = replace(result.about, command=options.command or command_line())
    result = replace(result, about=about)
    # A run that met its time limit is a result, though --resume can still improve it.
    shown = replace(result, finished=True) if paused and not interrupted else result
    if not (interrupted and directory.old):  # an old result stays until the new one is complete
        write_result(shown, about, directory.folder)
    if not paused:
        directory.folder.forget_states()
    if interrupted:
        flag = "--resume in place of --overwrite" if options.overwrite else "--resume"
        trouble = _interruption(directory, result, len(results), len(slices), flag)
        return Ended(INTERRUPTED, directory.path, {}, trouble=trouble)
    took = time.monotonic() - began
    ended = Ended(0, directory.path, result_facts(result, about), took, printed)
    lost = next((stop for stop in result.stop if stop.rule == DIVERGED), None)
    if lost is None:
        return ended
    before = f", having been resumed from {directory.path / STATE}" if result.resumed_from else ""
    trouble = (
        f"untrained: {given[0]}: the run diverged{before}: {lost.reason}; {directory.path} holds "
        "the last image before that"
    )
    return replace(ended, code=BAD_INPUT, trouble=trouble)


def _interruption(directory: Directory, result: Result, begun: int, slices: int, flag: str) -> str:
    """Say where an interrupted run stands, and what to do next."""
    empty = f" (slices from {begun} on are still black)" if begun < slices else ""
    kept = f"the best so far is in {directory.path}{empty}"
    if directory.old:
        kept = f"{directory.path} still holds the result from before, and this run's state"
    return f"interrupted at step {result.steps}; {kept}; run the same command with {flag} to go on"


def _results(
    directory: Directory,
    chosen: Plan,
    slices: list[Measurement],
    options: Options,
    watch: list[Watch],
) -> list[Result]:
    """Reconstruct every slice, or those that are reached: side by side on a GPU, else in turn."""
    device = pick_device(options.device)
    if chosen.recipe and len(slices) > 1 and chosen.recipe.engine.groups(device):
        bars = [*watch, *_bars(chosen.card.name, options)]
        cases = [_case(m, options, chosen) for m in slices]
        results = run(chosen, cases, _run_settings(options, bars, directory.path))
        return [_with_source(one, m) for one, m in zip(results, slices, strict=True)]
    results = []
    for i, measurement in enumerate(slices):
        results.append(_one(directory, chosen, measurement, options, watch, i, len(slices)))
        if not results[-1].finished:
            break
    return results


def _bars(label: str, options: Options) -> list[Watch]:
    return [] if options.quiet else [Progress(label)]


def _with_source(result: Result, measurement: Measurement) -> Result:
    """Say where the image comes from."""
    m = measurement
    about = replace(
        result.about,
        source=m.source,
        axes=m.axes,
        deep=m.deep,
        units=m.units,
        companion=m.companion,
    )
    notes = [*m.physics.first_note(), *m.notes, *result.notes]
    return replace(result, about=about).with_notes(notes)


def _one(
    directory: Directory,
    chosen: Plan,
    measurement: Measurement,
    options: Options,
    watch: list[Watch],
    index: int,
    count: int,
) -> Result:
    label = chosen.card.name if count == 1 else f"slice {index} of 0..{count - 1}"
    tiling = tiling_of(chosen, measurement, options, directory) if count == 1 else None
    if tiling is not None:
        return _in_tiles(directory, chosen, measurement, options, watch, tiling)
    run_dir = directory.path if count == 1 else directory.folder.work / f"slice-{index}"
    settings = _run_settings(options, [*watch, *_bars(label, options)], run_dir)
    (result,) = run(chosen, [_case(measurement, options, chosen)], settings)
    return _with_source(result, measurement)


def _in_tiles(
    directory: Directory,
    chosen: Plan,
    measurement: Measurement,
    options: Options,
    watch: list[Watch],
    tiling: Tiling,
) -> Result:
    """Reconstruct a picture in tiles; says so first."""
    note = tiling_note(tiling, options.tile)
    if not options.quiet:
        click.echo("\n".join(note_lines(note)), err=True)
    result = run_tiles(
        chosen,
        picture_of(measurement, options),
        tiling,
        _run_settings(options, watch, directory.folder.work),
        truth=measurement.reference,
        data_range=measurement.data_range,
        bars=lambda label: _bars(f"{chosen.card.name} {label}", options),
    )
    result = _with_source(result, measurement)
    return result.with_notes([*result.notes, note])


def _run_settings(options: Options, watch: Sequence[Watch], run_dir: Path) -> RunSettings:
    return RunSettings(
        seed=options.seed,
        seeds=options.seeds,
        device=options.device,
        watch=watch,
        compare=not options.no_compare,
        run_dir=run_dir,
        sure=options.sure(),
        level=options.level,
    )


def _case(m: Measurement, options: Options, chosen: Plan) -> Case:
    return Case(problem_of(m, options, chosen), m.reference, m.data_range)


def _same_settings(
    directory: Directory, chosen: Plan, slices: list[Measurement], options: Options
) -> None:
    """Show a finished result only for the measurements and settings it was made with."""
    facts = directory.finished or {}
    sure, told = options.sure(), facts.get("uncertainty") or {}
    recipe = chosen.recipe
    if recipe is not None and sure is not None:
        recipe = as_run(recipe, sure)
    wanted = {
        "task": chosen.task,
        "method": chosen.card.name,
        "recipe": None if recipe is None else recipe.to_dict(),
        "seed": options.seed,
    }
    if chosen.recipe is not None and "seeds" in facts:
        problem = problem_of(slices[0], options, chosen)
        wanted["seeds"] = members(chosen, options.seeds, sure, problem)
    if options.tile is not None:
        wanted["tiles"] = options.tile
        facts = facts | {"tiles": (facts.get("tiles") or {}).get("size")}
    wanted["uncertainty"] = None if sure is None else _described(sure, options.level)
    names = ("method", "level", "settings")
    facts = facts | {"uncertainty": {name: told[name] for name in names} if told else None}
    require_same(facts, wanted, f"{directory.path} holds a finished result of")
    if facts.get("data") != [chosen.digest(problem_of(m, options, chosen)) for m in slices]:
        other = "measurements" if chosen.weights is None else "measurements or weights"
        raise UserError(
            f"{directory.path} holds the finished result of other {other}, from "
            f"{facts.get('source') or 'an unknown file'}; use another --out for these, or "
            "--overwrite to replace that"
        )
    references = [digest for m in slices for digest in reference_digests(m.reference)]
    if facts.get("reference", references) != references:
        was = "another reference" if facts["reference"] else "no reference"
        raise UserError(
            f"{directory.path} holds a finished result that was compared with {was}; compare it "
            "with this one by: untrained evaluate "
            f"{directory.path / 'reconstruction.npy'} REFERENCE"
        )


def _described(sure: Way, level: float) -> dict[str, Any]:
    """Describe an error bar as `result.json` does."""
    return {"method": sure.name, "level": level, "settings": dataclasses.asdict(sure)}


def _report(ended: Ended, options: Options) -> None:
    """Print what a person, or a program, wants to know at the end of a run."""
    if options.as_json:
        click.echo(json.dumps(ended.facts, indent=2))
    elif not options.quiet:
        for line in closing_lines(ended.path, ended.facts, ended.took, ended.printed):
            click.echo(line)


def command_line() -> str:
    """Return the command that repeats this run."""
    arguments = [a for a in sys.argv[1:] if a not in ("--resume", "--overwrite")]
    return shlex.join(["untrained", *arguments])
