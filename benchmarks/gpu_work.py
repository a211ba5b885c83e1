"""Measure the rows of `gpu.py`: each function returns its facts, or raises `NotFinished`."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from evidence import read_case
from gpu_cases import case, task_of, training_faces, volume
from torch import Tensor

from untrained import Problem
from untrained._version import versions
from untrained.bench.job import file_digest
from untrained.bench.score import Score, Scored
from untrained.core.recipe import Recipe
from untrained.core.rule import Frame, Never
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.data import Measurement
from untrained.errors import UserError
from untrained.machine import device_name, peak_mb, start_peak
from untrained.physics import Denoise
from untrained.pretrain import load_weights, train
from untrained.rules.watch import Progress
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.run.plan import Plan, plan
from untrained.solver.fit import Fit
from untrained.solver.memory import memory_need
from untrained.solver.procedure import solve_each, solve_recipe

TINY_STEPS = 8
SMALL_SKIP = ("net.down=8,8", "net.up=8,8", "net.skip=2,2")
SMALL_WIDTHS = ("net.widths=8,8",)
"""Networks of the tiny version, in place of UGoDIT's, and of the others."""

AS_UGODIT = ("net=skip", "net.join_norm=false", "inner=10", "lam=2")


class NotFinished(Exception):
    """The time of the piece is used up; the state is kept."""


@dataclass(frozen=True)
class Place:
    """Hold the folders, the device and the clock that all rows share.

    Attributes:
        out: holds `cases`, `weights` and `states`.
        data: the public data sets; None for the tiny version.
        device: where.
        clock: tells when to pause.
        quiet: no progress.
    """

    out: Path
    data: Path | None
    device: torch.device
    clock: Watch
    quiet: bool = False

    @property
    def tiny(self) -> bool:
        """Tell whether images are a few pixels wide and runs take a few steps."""
        return self.data is None

    def steps(self, asked: int = 0) -> int:
        """Return the budget of steps; 0 = that of the preset."""
        return TINY_STEPS if self.tiny else asked

    def read(self, name: str) -> Measurement:
        """Read the measurement of a case."""
        return read_case(task_of(name), case(name, self.data, self.out / "cases"))

    def state(self, row: str) -> Path:
        """Return the folder of a row's checkpoint."""
        return self.out / "states" / row

    def watch(self, row: str) -> list[Watch]:
        """List the watchers of a run: the clock, and progress unless `quiet`."""
        return [self.clock] if self.quiet else [self.clock, Progress(row)]


class Elapsed(Watch):
    """Add the seconds so far, over all sittings, to the history."""

    def __init__(self) -> None:
        self._before, self._began = 0.0, time.perf_counter()

    def _used(self) -> float:
        return self._before + time.perf_counter() - self._began

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        return {"elapsed": torch.full((s.size,), self._used())}

    def state_dict(self) -> dict[str, Any]:
        return {"used": self._used()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self._before, self._began = saved["used"], time.perf_counter()


def machine(place: Place) -> dict[str, Any]:
    """Describe the device and the versions that a row was measured with."""
    return {
        "tiny": place.tiny,
        "device": str(place.device),
        "device_name": device_name(place.device),
        "versions": versions(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def cost(result: Fit, device: torch.device) -> dict[str, Any]:
    """Collect the time over all sittings and the peak memory of the last one."""
    return {
        "steps": result.steps,
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "peak_memory_mb": peak_mb(device),
        "precision": result.precision,
        "resumed_from": result.resumed_from,
    }


def lesson(place: Place, row: str, reading: str) -> dict[str, Any]:
    """Learn UGoDIT's encoder from the faces with this noise; written into `weights`."""
    names = [f"sr-{face}-{reading}" for face in training_faces(place.tiny)]
    problems = [Problem(m.y, m.physics, sigma=m.sigma) for m in map(place.read, names)]
    files = [case(name, place.data, place.out / "cases") for name in names]
    start_peak(place.device)
    weights, result = train(
        "ugodit",
        problems,
        task="superres",
        preset="paper",
        steps=place.steps(),
        settings=SMALL_SKIP if place.tiny else (),
        device=str(place.device),
        inputs=[{"name": file.name, "sha256": file_digest(file)} for file in files],
        watch=place.watch(row),
        run_dir=place.state(row),
    )
    if not result.finished:
        raise NotFinished
    file = weights_file(place, reading)
    file.parent.mkdir(parents=True, exist_ok=True)
    weights.save(file, overwrite=True)
    misfit = sum(weights.misfit) / len(weights.misfit)
    return {"images": len(problems), "misfit": misfit, **cost(result, place.device)}


def weights_file(place: Place, reading: str) -> Path:
    """Return the file of the encoder learned from faces with this noise."""
    return place.out / "weights" / f"faces-{reading}.safetensors"


def face(place: Place, row: str, number: str, reading: str, arm: str) -> dict[str, Any]:
    """Reconstruct a face x4 by a `learned` or `random` frozen encoder, or by `aseqdip`.

    `same` is `aseqdip` with the network, rate, N and lambda of UGoDIT: all of it is trained.
    """
    m = place.read(f"sr-{number}-{reading}")
    skip, unet = (SMALL_SKIP, SMALL_WIDTHS) if place.tiny else ((), ())
    given: dict[str, Any] = {"method": "aseqdip", "settings": unet}
    if arm == "same":
        given["settings"] = (*AS_UGODIT, *skip)
    elif arm == "learned":
        given = {"method": "ugodit", "weights": load_weights(weights_file(place, reading))}
    elif arm == "random":
        given = {"method": "ugodit", "settings": skip}
    chosen = plan("superres", preset="paper", steps=place.steps(), **given)
    return fitted(place, row, m, chosen)


def image(place: Place, row: str, name: str, method: str, preset: str) -> dict[str, Any]:
    """Reconstruct a case by one method."""
    m = place.read(name)
    chosen = plan(
        m.task,
        method=method,
        preset=preset,
        settings=SMALL_WIDTHS if place.tiny else (),
        steps=place.steps(),
    )
    return fitted(place, row, m, chosen)


def fitted(place: Place, row: str, m: Measurement, chosen: Plan) -> dict[str, Any]:
    """Carry out a plan, from where the row's checkpoint left it."""
    assert chosen.recipe is not None
    score = Score(m, "disc" if m.task == "ct" else "all", place.device)
    start_peak(place.device)
    settings = RunSettings(
        device=str(place.device),
        watch=[Scored(score), Elapsed(), *place.watch(row)],
        compare=False,
        run_dir=place.state(row),
    )
    (result,) = run(chosen, [Case(Problem(m.y, m.physics, sigma=m.sigma))], settings)
    if not result.finished:
        raise NotFinished
    return {
        "psnr": score.psnr(result.image),
        "ssim": score.ssim(result.image) if min(result.image.shape[-2:]) > 10 else None,
        "climb": climb(result.history),
        "recipe": chosen.recipe.to_dict(),
        **cost(result, place.device),
    }


def climb(history: dict[str, list[Any]], least: float = 0.02) -> list[tuple[float, float]]:
    """List (seconds, PSNR) whenever the output improved on its best by at least `least` dB."""
    found: list[tuple[float, float]] = []
    for seconds, psnr in zip(history["elapsed"], history["psnr_output"], strict=True):
        if psnr == psnr and (not found or psnr >= found[-1][1] + least):
            found.append((round(float(seconds), 3), round(float(psnr), 3)))
    return found


def many(place: Place, row: str, name: str, together: int, count: int = 16) -> dict[str, Any]:
    """Fit `count` images by the network of `dip`, `together` side by side.

    A few steps come before, since the first ones pay for the choice of kernels.
    """
    m, count = place.read(name), min(count, 2) if place.tiny else count
    together = min(together, count)
    small = SMALL_WIDTHS if place.tiny else ()
    recipe = plan(m.task, method="dip", stop="none", steps=place.steps(100), settings=small).recipe
    assert recipe is not None
    recipe = replace(recipe, engine=replace(recipe.engine, together=together))
    problems = [Problem(m.y, m.physics, sigma=m.sigma).to(place.device)] * count
    how: dict[str, Any] = {"seeds": range(count), "device": place.device}
    solve_each(recipe.with_steps(3), problems, **how)
    start_peak(place.device)
    results = solve_each(recipe, problems, **how, watch=place.watch(row), run_dir=place.state(row))
    if not all(one.finished for one in results):
        raise NotFinished
    score = Score(m, "all", place.device)
    total = sum(one.seconds for one in results)
    return {
        **cost(results[0], place.device),
        "images": count,
        "together": together,
        "psnr": sum(score.psnr(one.image) for one in results) / count,
        "images_per_minute": 60 * count / total,
        "seconds": total,
        "cpu_seconds": sum(one.cpu_seconds for one in results),
    }


def memory(place: Place, row: str, side: int, method: str) -> dict[str, Any]:
    """Take a few steps of denoising a volume of `side` cubed points; memory counted and measured.

    `counted_mb` keeps all inner images, `counted_lean_mb` computes those of blocks again, as the
    library does where memory is short. A volume that does not fit is a result too: `error`.
    """
    side = 16 if place.tiny else side
    clean = volume(side)
    noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    problem = Problem(clean + noise, Denoise((1, side, side, side)), sigma=0.1)
    small = SMALL_WIDTHS if place.tiny else ()
    recipe = plan("denoise", method=method, stop="none", steps=5, settings=small).recipe
    assert recipe is not None
    need = memory_need(recipe, problem)
    facts: dict[str, Any] = {
        "side": side,
        "counted_mb": need.full / 2**20,
        "counted_lean_mb": need.lean / 2**20,
    }
    start_peak(place.device)
    try:
        return facts | volume_steps(place, row, recipe, problem)
    except (UserError, MemoryError) as error:
        return facts | {"error": str(error), "peak_memory_mb": peak_mb(place.device)}


def volume_steps(place: Place, row: str, recipe: Recipe, problem: Problem) -> dict[str, Any]:
    """Take the steps of `memory`; return their cost and what the library said."""
    told: list[str] = []

    class Told(Watch):
        def say(self, text: str) -> None:
            told.append(text)

    result = solve_recipe(
        replace(recipe, stop=Never()),
        problem.to(place.device),
        device=place.device,
        watch=[Told(), *place.watch(row)],
        run_dir=place.state(row),
    )
    if not result.finished:
        raise NotFinished
    return {"said": told, **cost(result, place.device)}
