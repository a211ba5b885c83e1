"""Measurements of a file, the problems and tiles that they become, and the notes on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import click

from untrained.cli.closing import note_lines
from untrained.cli.directory import Directory
from untrained.cli.options import Options
from untrained.data import Measurement, read_guides, with_references
from untrained.errors import from_file
from untrained.priors import split_name
from untrained.problem import Problem
from untrained.run.plan import Plan
from untrained.run.reconstruct import light, whole_problem
from untrained.run.stacking import notes_of_slices
from untrained.run.tiles import Picture, choose_tiling
from untrained.run.tiling import Tiling

TILE = "tile"
"""Note of a folder: the side of the tiles that an unfinished run works in."""

Load = partial[list[Measurement]]
"""A task's loader with the options given: path -> measurements."""


def measured(path: str, options: Options, load: Load) -> list[Measurement]:
    """Read the measurements of a file, with their references where some are given."""
    slices = load(path)
    if options.reference:
        with from_file(options.reference):
            return with_references(slices, options.reference)
    return slices


def input_files(paths: Sequence[str], options: Options, load: Load) -> list[str | None]:
    """List what a command reads: inputs, and the files and code that its options name."""
    named = [value for name, value in load.keywords.items() if name != "key"]
    values = [value for value in named if isinstance(value, str)]
    code = [value.rpartition(":")[0] for value in (*values, options.method)]  # FILE.py:CALLABLE
    values += [value.partition(":")[2] for value in values]  # joint:FILE
    prior = split_name(options.prior)[0] if options.prior else None
    return [*paths, options.reference, options.weights, prior, *options.guide, *values, *code]


def picture_of(m: Measurement, options: Options) -> Picture:
    """Return what is reconstructed in tiles."""
    guide = read_guides(m, options.guide) if options.guide else None
    return Picture(m.y, m.physics, m.sigma, guide)


def tiling_of(
    chosen: Plan, measurement: Measurement, options: Options, directory: Directory | None = None
) -> Tiling | None:
    """Choose the tiles; a run that is taken up keeps those it began with, whatever is free now."""
    picture, sure = picture_of(measurement, options), options.sure() is not None
    before = directory.folder.noted(TILE) if directory and options.resume else None
    asked = options.tile if before is None else int(before)
    tiling = choose_tiling(chosen, picture, asked, options.device, sure=sure)
    if directory is not None and tiling is not None:
        directory.folder.note(TILE, str(tiling.size))
    return tiling


def problem_of(m: Measurement, options: Options, chosen: Plan) -> Problem:
    """Return the problem of one slice, as a method is given it."""
    guide = read_guides(m, options.guide) if options.guide else None
    return whole_problem(m.y, light(chosen.card.name, m.physics), m.sigma, guide)


def say_notes(
    chosen: Plan,
    slices: Sequence[Measurement],
    options: Options,
    known: Collection[str] = (),
) -> tuple[str, ...]:
    """Print what was decided before and while reading, before the time of a run is spent on it."""
    if options.quiet:
        return ()
    notes = (*chosen.notes, *notes_of_slices([m.notes for m in slices]))
    for note in notes:
        if note not in known:
            click.echo("\n".join(note_lines(note)), err=True)
    return notes
