"""Work on a picture in tiles: one that is larger than the memory, or as asked."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from untrained.core.rule import Stopped
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.machine import available_memory, pick_device
from untrained.physics import Physics
from untrained.problem import Problem
from untrained.problem.digest import reference_digests
from untrained.problem.scaling import own_level
from untrained.result import Result
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.run.pictures import measurement_pictures
from untrained.run.plan import Plan
from untrained.run.scores import checked_reference, image_scores
from untrained.run.stacking import joined_history, mean_mixture, without_the_mixture
from untrained.run.tiling import Box, Tiling
from untrained.solver.memory import memory_need
from untrained.threads import threads_for, use_threads

SIZES = (2048, 1536, 1024, 768, 512, 384, 256)
"""Sides of tiles that are tried, the largest first."""
CLASSICAL_IMAGES = 40
"""Images that a classical method keeps at once, at most (`tv` with the search of its weight)."""
PLENTY = 16_384  # bytes a pixel: more than any network of a preset keeps
WHOLE_IMAGES = 8
"""Images of full size that are kept beside a tile: measurement, sums, what is being written."""
SHARE = 0.6  # of the memory that is left: the count is of one step, allocators take more


@dataclass(frozen=True)
class Picture:
    """What is worked on in tiles: a single picture and its operator.

    Attributes:
        y: measurements `(1, C, H, W)`.
        physics: of the whole.
        sigma: standard deviation of the noise; None if unknown.
        guide: clean images `(M, C, H, W)` of the whole's size; None without any.
    """

    y: Tensor
    physics: Physics
    sigma: float | None = None
    guide: Tensor | None = None

    def problem(self) -> Problem:
        """Build the problem of the whole."""
        level = own_level(self.y.detach().float(), self.physics)
        return Problem(self.y, self.physics, sigma=self.sigma, guide=self.guide, level=level)

    def tile(self, box: Box, level: Tensor) -> Problem:
        """Build the problem of a tile, which keeps the level of the whole."""
        found = self.physics.cropped(self.y, box.rows, box.columns)
        assert found is not None  # `choose_tiling` has asked
        guide = None if self.guide is None else self.guide[..., box.rows, box.columns]
        return Problem(found[1], found[0], sigma=self.sigma, guide=guide, level=level)


def choose_tiling(
    chosen: Plan, picture: Picture, asked: int | None, device: str, *, sure: bool = False
) -> Tiling | None:
    """Decide whether a picture is worked on in tiles, and in which; None = as a whole.

    Args:
        chosen: the plan.
        picture: what is to be reconstructed.
        asked: side of a tile in pixels of the image; None: only where the whole does not fit into
            memory, the largest that does.
        device: where it would run.
        sure: whether an error bar is asked for, which no tiles have.

    Raises:
        UserError: tiles were asked for and cannot be made: a task without parts, several images,
            an error bar; or even the smallest does not fit.
    """
    sides = _sides(picture)
    if sides is None or sure:
        if asked is None:
            return None
        why = "an error bar is of the whole image" if sure else "this operator has no parts"
        raise UserError(
            f"--tile: {why}; tiles are for single pictures of denoise, inpaint, deblur, superres"
        )
    step, margin = picture.physics.tile_step, picture.physics.tile_margin
    if asked is not None:
        tiling = Tiling(sides, asked, step, margin)
        return tiling if tiling.count > 1 else None
    place = pick_device(device)
    small = max(sides) <= SIZES[-1] or PLENTY * sides[0] * sides[1] < available_memory(place)
    if small:  # without a count
        return None
    if _bytes(chosen, picture.problem(), place) <= available_memory(place):
        return None
    return _largest(chosen, picture, sides, place)


def _sides(picture: Picture) -> tuple[int, int] | None:
    """Return (H, W) of an image that has parts; None for any other."""
    shape = picture.physics.x_shape
    if shape is None or len(shape) != 3 or len(picture.y) != 1:
        return None
    side = picture.physics.tile_step
    part = picture.physics.cropped(picture.y, slice(0, shape[1]), slice(0, shape[2]))
    return (shape[1], shape[2]) if part is not None and side <= min(shape[1:]) else None


def _bytes(chosen: Plan, problem: Problem, place: torch.device) -> float:
    """Count what the run of a problem takes: a step of the network, and a classical answer."""
    classical = 4.0 * CLASSICAL_IMAGES * problem.n_image
    if chosen.recipe is None:
        return classical
    network = memory_need(chosen.recipe, problem.select(0), chosen.prior).lean
    return max(float(network), classical) if place.type == "cpu" else float(network)


def _largest(chosen: Plan, picture: Picture, sides: tuple[int, int], place: torch.device) -> Tiling:
    """Find the largest tile that fits.

    Raises:
        UserError: none does.
    """
    whole = whole_bytes(picture.physics)
    step, margin = picture.physics.tile_step, picture.physics.tile_margin
    room = SHARE * (available_memory(place) - (whole if place.type == "cpu" else 0))
    level = own_level(picture.y.detach().float(), picture.physics)
    for size in SIZES:
        size = step * (size // step)
        if size >= max(sides) or size < Tiling.least(step, margin):
            continue
        tiling = Tiling(sides, size, step, margin)
        if _bytes(chosen, picture.tile(tiling.boxes()[0], level), place) <= room:
            return tiling
    raise UserError(
        f"an image of {sides[0]} x {sides[1]} pixels does not fit into memory, nor does a tile of "
        f"{SIZES[-1]}: {available_memory(place) / 2**20:,.0f} MiB are free, of which the image as "
        f"a whole takes {whole / 2**20:,.0f}; crop it, or force smaller tiles with --tile"
    )


def whole_bytes(physics: Physics) -> int:
    """Count the memory of the images of full size that are kept beside a tile."""
    return 4 * WHOLE_IMAGES * math.prod(physics.x_shape or (0,))


def tiling_note(tiling: Tiling, asked: int | None) -> str:
    """Say in which tiles an image is worked on, and why."""
    why = "as asked" if asked is not None else "since the whole does not fit into memory"
    facts = tiling.facts
    return (
        f"the image is worked on in {facts['count']} tiles of {facts['size']} pixels that overlap "
        f"by {facts['overlap']} or more and are blended, {why}"
    )


def run_tiles(
    chosen: Plan,
    picture: Picture,
    tiling: Tiling,
    settings: RunSettings,
    *,
    truth: Tensor | None = None,
    data_range: float | None = None,
    bars: Callable[[str], Sequence[Watch]] = lambda label: (),
) -> Result:
    """Carry out a plan on every tile in turn, and blend the images.

    Only one tile's network is in memory at a time. Measures are of the whole image; the history
    holds the tiles one after the other.

    Args:
        chosen, picture, settings: what is run, of what, and how; of `run_dir` each tile has a
            folder.
        tiling: the tiles.
        truth, data_range: a reference `(1, C, H, W)` of the whole, for the record.
        bars: label -> watchers that show the progress of one tile.
    """
    whole = picture.problem()
    truth, data_range = checked_reference(truth, data_range, whole)
    level, boxes = own_level(picture.y.detach().float(), picture.physics), tiling.boxes()
    sums: dict[str, Tensor] = {}
    results: list[Result] = []
    for i, box in enumerate(boxes):
        part = None if truth is None else truth[..., box.rows, box.columns]
        folder = None if settings.run_dir is None else Path(settings.run_dir) / f"tile-{i}"
        watch = [*settings.watch, *bars(f"tile {i + 1} of {len(boxes)}")]
        how = replace(settings, run_dir=folder, watch=watch)
        # the bits must not depend on how large the whole is: the threads are those of a tile
        (one,) = run(chosen, [Case(picture.tile(box, level), part, data_range)], how)
        _add(sums, whole.x_shape, one, box)
        results.append(_light(one))
        if not one.finished:
            break
    return _joined(chosen, whole, tiling, results, sums, truth, data_range)


def _add(sums: dict[str, Tensor], shape: tuple[int, ...], one: Result, box: Box) -> None:
    """Add the images of a tile to those of the whole."""
    images = {"image": one.image, "adjoint": one.about.adjoint, "classical": one.about.classical}
    for name, part in images.items():
        if part is not None:
            total = sums.setdefault(name, torch.zeros(1, *shape))
            box.add(total, part.cpu())


def _light(one: Result) -> Result:
    """Drop the tensors of a tile's result, which have been added to those of the whole."""
    none = torch.zeros(1, 1, 1, 1)
    about = replace(one.about, adjoint=None, classical=None, reference=None)
    return replace(
        one, image=none, weights={}, z=None, guide=None, samples=None, spread=None, std=None
    ).with_about(about)


def _joined(
    chosen: Plan,
    whole: Problem,
    tiling: Tiling,
    results: list[Result],
    sums: dict[str, Tensor],
    truth: Tensor | None,
    data_range: float | None,
) -> Result:
    """Make the result of the whole from those of its tiles."""
    first, complete = results[0], len(results) == tiling.count
    classical = sums.get("classical") if complete else None
    with use_threads(threads_for(whole.x_shape[1:])):
        scores = image_scores(whole, sums["image"], truth, data_range)
        classical_scores = image_scores(whole, classical, truth, data_range)
    about = replace(
        first.about,
        notes=_notes([without_the_mixture(r) for r in results]),
        data=(chosen.digest(whole),),
        reference_data=tuple(reference_digests(truth)),
        adjoint=sums.get("adjoint"),
        classical=classical,
        reference=truth,
        metrics=scores,
        classical_metrics=classical_scores,
        mixture=mean_mixture([r.about.mixture for r in results]),
        tiles=tiling.facts,
        pictures=measurement_pictures(whole, replace(first, image=sums["image"])),
    )
    return replace(
        first,
        image=sums["image"],
        history=joined_history(results, "tile"),
        stop=(_stop(results, tiling),),
        steps=sum(r.steps for r in results),
        seconds=sum(r.seconds for r in results),
        cpu_seconds=sum(r.cpu_seconds for r in results),
        resumed_from=tuple(step for r in results for step in r.resumed_from),
        finished=complete and all(r.finished for r in results),
        peak_memory_mb=results[-1].peak_memory_mb,
        candidate=first.candidate,
    ).with_about(about)


def _stop(results: list[Result], tiling: Tiling) -> Stopped:
    """Say at which steps the tiles stopped, or why the last one was cut short."""
    last = results[-1].stop[0]
    if not results[-1].finished or len(results) < tiling.count:
        reached = f"tile {len(results)} of {tiling.count}"
        return replace(last, reason=f"{last.reason} ({reached}; those after it are black)")
    steps = [r.stop[0].step for r in results]
    rule = Counter(r.stop[0].rule for r in results).most_common(1)[0][0]
    span = (
        f"step {min(steps)}" if min(steps) == max(steps) else f"steps {min(steps)} to {max(steps)}"
    )
    reason = f"each of {tiling.count} tiles stopped by itself, at {span}"
    if not any(steps):
        reason = f"each of {tiling.count} tiles: {last.reason}"
    return Stopped(rule, round(statistics.median(steps)), reason)


def _notes(each: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Join the notes of the tiles: those of all as they are, others with the number of tiles."""
    count = Counter(note for notes in each for note in dict.fromkeys(notes))
    return tuple(
        note if number == len(each) else f"{number} of {len(each)} tiles: {note}"
        for note, number in count.items()
    )
