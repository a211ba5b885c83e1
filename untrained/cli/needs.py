"""Estimates of what the run of a file needs, for `--dry-run`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from untrained.cli.measured import Load, input_files, measured, problem_of, say_notes, tiling_of
from untrained.cli.options import Options
from untrained.data import Measurement
from untrained.errors import from_file
from untrained.run.plan import Plan
from untrained.run.sure import members
from untrained.run.tiles import tiling_note, whole_bytes
from untrained.run.tiling import Tiling
from untrained.threads import at_most_threads


def needs_of(chosen: Plan, path: str, options: Options, load: Load) -> dict[str, Any]:
    """Estimate what the run of a file needs; see `run.estimate`."""
    with at_most_threads(options.threads):
        slices = measured(path, options, load)
        say_notes(chosen, slices, options)
        with from_file(*input_files([path], options, load)):
            return needs_of_slices(chosen, slices, options)


def needs_of_slices(
    chosen: Plan, slices: Sequence[Measurement], options: Options
) -> dict[str, Any]:
    """Estimate what the run of a file's measurements needs; see `run.estimate`."""
    from untrained.run.estimate import estimate

    first = slices[0]
    tiling = tiling_of(chosen, first, options) if len(slices) == 1 else None
    count = len(slices)
    if tiling is not None:
        first, count = _first_tile(first, tiling), tiling.count
    # a large scan takes longer to look at than an answer may
    free = first.physics.without_matrix()
    first = replace(first, physics=free.few_views() or free)
    problem = problem_of(first, options, chosen)
    sure = options.sure()
    seeds = members(chosen, options.seeds, sure, problem)
    facts = estimate(chosen, problem, options.device, seeds=seeds, slices=count, sure=sure)
    if tiling is None:
        return facts
    if facts.get("peak_memory_mb") is not None:
        facts["peak_memory_mb"] += round(whole_bytes(slices[0].physics) / 2**20)
    return facts | {"note": f"{tiling_note(tiling, options.tile)}; {facts['note']}"}


def _first_tile(m: Measurement, tiling: Tiling) -> Measurement:
    box = tiling.boxes()[0]
    found = m.physics.cropped(m.y, box.rows, box.columns)
    return m if found is None else replace(m, physics=found[0], y=found[1], reference=None)


def say_needs(facts: dict[str, Any], options: Options) -> int:
    """Print what `--dry-run` found."""
    if options.as_json:
        click.echo(json.dumps(facts, indent=2))
        return 0
    for name, value in facts.items():
        if not isinstance(value, dict | list):
            click.echo(f"{name.replace('_', ' '):<16} {value}")
    return 0
