"""Join the results of the slices of a scan to one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from untrained.about import Mixture
from untrained.result import Result
from untrained.solver.fit import stack_fits
from untrained.uncertainty.summary import join


def stack_slices(results: list[Result], count: int) -> Result:
    """Join the results of slices into one; slices that were not reached are zero.

    Args:
        results: of the first slices, in their order.
        count: how many slices there are.
    """
    missing = count - len(results)
    source = results[0].about.source
    merged = stack_fits(results)
    about = replace(
        merged.about,
        notes=notes_of_slices([without_the_mixture(r) for r in results]),
        axes="ZYX",
        source=source.rpartition(", slice ")[0] or source,
        data=tuple(digest for r in results for digest in r.about.data),
        reference_data=tuple(digest for r in results for digest in r.about.reference_data),
        adjoint=_stacked([r.about.adjoint for r in results], missing),
        classical=_stacked([r.about.classical for r in results], missing),
        reference=_stacked([r.about.reference for r in results], missing),
        half=_stacked([r.about.half for r in results], missing),
        null_std=_stacked([r.about.null_std for r in results], missing),
        uncertainty=None if missing else join([r.about.uncertainty for r in results]),
        metrics=_mean([r.about.metrics for r in results]),
        classical_metrics=_mean([r.about.classical_metrics for r in results]),
        found=_stacked_arrays([r.about.found for r in results]),
        mixture=mean_mixture([r.about.mixture for r in results]),
    )
    return replace(
        merged,
        image=torch.cat([merged.image, *[torch.zeros_like(results[0].image)] * missing]),
        history=joined_history(results),
        steps=sum(r.steps for r in results),
        resumed_from=tuple(step for r in results for step in r.resumed_from),
        finished=merged.finished and not missing,
        std=None if missing else merged.std,
        peak_memory_mb=results[-1].peak_memory_mb,
        about=about,
    )


def _stacked(images: list[Tensor | None], missing: int) -> Tensor | None:
    """Stack the images of slices, zeros for missing ones; None where a slice has none."""
    known = [image for image in images if image is not None]
    if len(known) < len(images):
        return None
    return torch.cat([*known, *[torch.zeros_like(known[0])] * missing])


def _stacked_arrays(each: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stack what was found of the operators of slices."""
    return {name: np.stack([found[name] for found in each]) for name in each[0]}


def joined_history(results: list[Result], label: str = "slice") -> dict[str, list[float | str]]:
    """Append the histories of slices, or tiles, to one another; their phases say whose they are."""
    history: dict[str, list[float | str]] = {}
    for i, r in enumerate(results):
        labels = [f"{label} {i} {phase}" for phase in r.history["phase"]]
        columns: dict[str, list[float | str]] = {**r.history, "phase": [*labels]}
        for name, column in columns.items():
            history.setdefault(name, []).extend(column)
    return history


def _mean(metrics: list[dict[str, float] | None]) -> dict[str, float] | None:
    """Average measures; None where a slice has none."""
    known = [m for m in metrics if m is not None]
    if not known or len(known) < len(metrics):
        return None
    return {name: sum(m[name] for m in known) / len(known) for name in known[0]}


def notes_of_slices(each: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Join the notes of slices: those of all slices once, the others with their slice."""
    everywhere = [note for note in each[0] if all(note in notes for notes in each)]
    some = [
        f"slice {i}: {note}"
        for i, notes in enumerate(each)
        for note in notes
        if note not in everywhere
    ]
    return tuple(dict.fromkeys([*everywhere, *some]))


def without_the_mixture(result: Result) -> list[str]:
    """Return a slice's notes without its mixture, of which the result has the mean."""
    made = result.about.mixture
    return [note for note in result.notes if made is None or not note.endswith(made.shares)]


def mean_mixture(mixtures: list[Mixture | None]) -> Mixture | None:
    """Average the mixtures of the slices; None where one of them is unknown."""
    known = [m for m in mixtures if m is not None]
    if not known or len(known) < len(mixtures):
        return None

    def mean(values: list[float | None]) -> float | None:
        found = [value for value in values if value is not None]
        return sum(found) / len(found) if len(found) == len(values) else None

    return Mixture(
        sum(m.network for m in known) / len(known),
        known[0].classical,
        mean([m.held_out for m in known]),
        mean([m.classical_held_out for m in known]),
        _mean([m.classical_metrics for m in known]),
        prior=mean([m.prior for m in known]),
        prior_name=known[0].prior_name,
        prior_held_out=mean([m.prior_held_out for m in known]),
    )
