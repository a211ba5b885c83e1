"""Step times, and the time to a quality, of our presets beside the papers' own and other software.

All in one process. Steps are timed in interleaved blocks, so that a machine that slows down does so
for everyone, and set against what the arithmetic of the step would take at the rate at which this
machine multiplies matrices. The papers' settings are run in their own precision, fp32, and where
the machine multiplies bf16 natively in that too, so that arithmetic can be told from the rest.
"""

from __future__ import annotations

import importlib.util
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from untrained.bench.cutting import Cut, cut_after
from untrained.bench.score import Limit, Score, Scored
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.rule import Frame, Never
from untrained.core.watch import Watch
from untrained.data import Measurement
from untrained.machine import peak_mb, pick_device, start_peak
from untrained.methods import METHODS
from untrained.problem import Problem
from untrained.report.save import plain_values
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.run.plan import Plan, plan
from untrained.solver.loop import take_step
from untrained.solver.stage import Stage
from untrained.solver.stage_input import StageInput
from untrained.tasks import find_task

BLOCK = 20  # steps timed in one go
GRACE = 5.0  # seconds that a network has to end by itself after its limit
SIDE = 2048  # of the matrices that give the machine's rate
PAPERS = ("aseqdip", "dip")
CLASSICAL = ("tv", "l1wavelet", "dct", "lowrank", "nlbayes", "fbp")


@dataclass
class Speed:
    """One contender.

    Attributes:
        name: method and preset, or the other software.
        step_ms: median milliseconds of a step; None without steps.
        gflop: floating point operations of a step, in 1e9; None where they were not counted.
        over_limit: step time over that of its operations at the machine's rate.
        steps, seconds: of the whole run, both phases.
        psnr, ssim: of the image returned; None where none was asked for.
        best: PSNR of the best step, which needs the truth.
        to_target: seconds until its output first had the target's PSNR; None if it never had.
        peak_mb: peak memory of the run.
        cut: whether the time limit ended it.
    """

    name: str
    step_ms: float | None = None
    gflop: float | None = None
    over_limit: float | None = None
    steps: int = 0
    seconds: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    best: float | None = None
    to_target: float | None = None
    peak_mb: float | None = None
    cut: bool = False


class _Clock(Watch):
    """When every step was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        self.times.append(time.perf_counter())


def measure_speed(
    measurement: Measurement,
    *,
    presets: tuple[str, ...] = ("fast",),
    limit: float = 600.0,
    blocks: int = 5,
    target: float | None = None,
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Time everything that does the task.

    Args:
        measurement: with a reference.
        presets: of `auto`.
        limit: seconds after which a run is cut, a classical answer too (it then has no quality).
            Timing the steps of a contender takes no longer: slow steps are timed in fewer.
        blocks: of 20 steps each, per contender.
        target: the PSNR to reach; None: the best of any step of aSeqDIP's paper preset, or DIP's.
        device: where.
        say: what is being done, for a person who waits.

    Returns:
        `machine`, `target` and `rows`, plain values.

    Raises:
        UserError: no reference, or several slices in one.
    """
    hardware = pick_device(device)
    region = "disc" if find_task(measurement.task).measures == "views" else "all"
    score = Score(measurement, region, hardware)

    def fresh() -> Problem:
        """Make the problem anew, with nothing remembered of an earlier run."""
        return Problem(measurement.y, measurement.physics, sigma=measurement.sigma).to(hardware)

    plans = dict(_plans(measurement.task, presets, hardware))
    rates = {kind: machine_rate(hardware, kind) for kind in ("fp32", "bf16")}
    steppers = _steppers(plans, fresh, hardware)
    rows = {name: Speed(name) for name in dict.fromkeys((*plans, *steppers))}
    say(f"timing {len(steppers)} kinds of step, {blocks} blocks of {BLOCK} each")
    for name, milliseconds in _interleaved(steppers, blocks, limit).items():
        _record_step(rows[name], milliseconds, steppers[name], rates)
    for name, chosen in sorted(plans.items(), key=lambda item: "paper" not in item[0]):
        say(f"running {name}")
        _run(rows[name], chosen, fresh(), score, limit, target, hardware)
        if target is None:
            target = rows[name].best
    if _does_bm3d(measurement):
        say("running BM3D")
        rows["BM3D"] = _bm3d(measurement, score, hardware)
    machine: dict[str, Any] = {
        f"{kind}_gflops": round(rate / 1e9, 1) for kind, rate in rates.items()
    }
    machine |= {"device": str(hardware), "threads": torch.get_num_threads()}
    listed = [asdict(row) for row in rows.values()]
    return {"machine": machine, "target": target, "rows": plain_values(listed)}


def machine_rate(device: torch.device, precision: str) -> float:
    """Measure operations per second by a product of matrices of 2048 squared, the best of five."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.randn(SIDE, SIDE, device=device).to(dtype)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        began = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * SIDE**3 / best


def _plans(task: str, presets: tuple[str, ...], device: torch.device) -> Iterator[tuple[str, Plan]]:
    """Plan the papers' own methods first, also in our arithmetic: the first gives the target."""
    precisions = dict.fromkeys(("fp32", Engine().resolve(device)))
    for precision, method in itertools.product(precisions, PAPERS):
        if task in METHODS[method].tasks:
            name = f"{method} paper" + (" bf16" if precision == "bf16" else "")
            settings = [f"engine.precision={precision}"]
            yield name, plan(task, method=method, preset="paper", settings=settings)
    for preset in presets:
        yield f"auto {preset}", plan(task, preset=preset)
    for method in CLASSICAL:
        if task in METHODS[method].tasks:
            yield method, plan(task, method=method)


Stepper = tuple[Callable[[int], None], float | None, str]


def _steppers(
    plans: dict[str, Plan], fresh: Callable[[], Problem], device: torch.device
) -> dict[str, Stepper]:
    """Prepare the steps of every network that is planned, and of deepinv where it is installed."""
    found = {
        name: _stepper(chosen.recipe, fresh(), device)
        for name, chosen in plans.items()
        if chosen.recipe is not None
    }
    if importlib.util.find_spec("deepinv"):
        found["deepinv DeepImagePrior"] = (_deepinv(fresh()), None, "fp32")
    return found


def _record_step(
    row: Speed, milliseconds: float, stepper: Stepper, rates: dict[str, float]
) -> None:
    """Enter the time of a step, and its operations where they were counted."""
    _, operations, precision = stepper
    row.step_ms = milliseconds
    if operations is not None:
        row.gflop = operations / 1e9
        row.over_limit = milliseconds / 1e3 / (operations / rates[precision])


def _stepper(recipe: Recipe, problem: Problem, device: torch.device) -> Stepper:
    """Prepare (take so many steps, operations of one, precision) of a run without a stop rule."""
    precision = recipe.engine.resolve(device)
    weighted = problem.weighted(recipe.weighting)
    endless = replace(recipe, stop=Never(), guard=None)
    stage = Stage(StageInput("speed", [endless], weighted, [0]), precision == "bf16")

    def take(steps: int) -> None:
        for _ in range(steps):
            take_step(stage, ())
        _wait(device)

    take(1)
    with FlopCounterMode(display=False) as counter:
        take(1)
    return take, float(counter.get_total_flops()), precision


def _deepinv(problem: Problem) -> Callable[[int], None]:
    """Prepare Deep Image Prior of deepinv with its ConvDecoder, on the same operator."""
    from deepinv.models import ConvDecoder, DeepImagePrior

    channels = 64
    generator = ConvDecoder(img_size=problem.x_shape, in_size=(4, 4), channels=channels)

    def take(steps: int) -> None:
        model = DeepImagePrior(
            generator.to(problem.y.device), img_size=(channels, 4, 4), iterations=steps
        )
        model(problem.y, problem.physics)

    return take


def _interleaved(steppers: dict[str, Stepper], blocks: int, limit: float) -> dict[str, float]:
    """Measure the median milliseconds of each kind of step, in blocks that keep to the limit."""
    times: dict[str, list[float]] = {name: [] for name in steppers}
    steps: dict[str, int] = {}
    for name, (take, _, _) in steppers.items():
        one = _timed(take, 1)
        steps[name] = max(1, min(BLOCK, int(limit / blocks / max(one, 1e-9))))
        if one * blocks > limit:  # one step for all blocks
            times[name].append(one)
    for _ in range(blocks):
        for name, (take, _, _) in steppers.items():
            if sum(times[name]) * steps[name] < limit:
                times[name].append(_timed(take, steps[name]) / steps[name])
    return {name: 1e3 * statistics.median(found) for name, found in times.items()}


def _timed(take: Callable[[int], None], steps: int) -> float:
    """Time so many steps, in seconds."""
    began = time.perf_counter()
    take(steps)
    return time.perf_counter() - began


def _run(
    row: Speed,
    chosen: Plan,
    problem: Problem,
    score: Score,
    limit: float,
    target: float | None,
    device: torch.device,
) -> None:
    """Carry out a whole run, and record time, quality and memory."""
    clock = _Clock()
    start_peak(device)
    began = time.perf_counter()
    grace = 0.0 if chosen.recipe is None else max(GRACE, 0.1 * limit)  # a network ends by itself
    try:
        with cut_after(limit + grace):
            settings = RunSettings(
                device=str(device),
                watch=[Scored(score), Limit(limit), clock],
                compare=False,
            )
            (result,) = run(chosen, [Case(problem)], settings)
    except Cut:
        row.seconds, row.cut = time.perf_counter() - began, True
        return
    row.seconds, row.peak_mb = time.perf_counter() - began, peak_mb(device)
    row.psnr, row.ssim = score.psnr(result.image), score.ssim(result.image)
    row.steps, row.cut = result.steps, not result.finished
    if chosen.recipe is None:
        row.to_target = row.seconds if target is not None and row.psnr >= target else None
        return
    output = [float(v) for v in result.history["psnr_output"]]
    row.best = max(*output, *(float(v) for v in result.history["psnr"]))
    reached = [t for t, v in zip(clock.times, output, strict=True) if v >= (target or row.best)]
    row.to_target = reached[0] - began if reached else None


def _does_bm3d(measurement: Measurement) -> bool:
    installed = "bm3d" in sys.modules or importlib.util.find_spec("bm3d") is not None
    known = measurement.sigma is not None and measurement.y.shape[1] in (1, 3)
    noisy_picture = find_task(measurement.task).only_noise and measurement.y.ndim == 4
    return installed and noisy_picture and known


def _bm3d(measurement: Measurement, score: Score, device: torch.device) -> Speed:
    """Run BM3D of its authors' package, for non-commercial use only and never installed by us."""
    from bm3d import bm3d, bm3d_rgb

    picture = measurement.y[0].movedim(0, -1).numpy()
    start_peak(torch.device("cpu"))
    began = time.perf_counter()
    found = (
        bm3d_rgb(picture, measurement.sigma)
        if picture.shape[-1] == 3
        else bm3d(picture[..., 0], measurement.sigma)
    )
    row = Speed("BM3D", seconds=time.perf_counter() - began, peak_mb=peak_mb(torch.device("cpu")))
    image = torch.from_numpy(found.reshape(picture.shape)).float().movedim(-1, 0)[None].to(device)
    row.psnr, row.ssim = score.psnr(image), score.ssim(image)
    return row


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


HEADS = {"ms/step": 9, "x limit": 9, "steps": 7, "seconds": 9, "PSNR": 7, "MiB": 7, "to": 7}


def screen(found: dict[str, Any]) -> list[str]:
    """Lay the rows out for a terminal of 80 columns."""
    machine, target = found["machine"], found["target"]
    lines = [
        f"{machine['device']}, {machine['threads']} threads: matrix product "
        f"{machine['fp32_gflops']:g} GFLOP/s fp32, {machine['bf16_gflops']:g} bf16",
        "",
        " " * 24 + "".join(f"{name:>{width}}" for name, width in HEADS.items()),
    ]
    for row in found["rows"]:
        cells = (
            _text(row["step_ms"], ".1f", 9),
            _text(row["over_limit"], ".1f", 9),
            _text(row["steps"] or None, "d", 7),
            _text(row["seconds"], ".1f", 8) + ("c" if row["cut"] else " "),
            _text(row["psnr"], ".2f", 7),
            _text(row["peak_mb"], ".0f", 7),
            _text(row["to_target"], ".1f", 7),
        )
        lines.append(f"{row['name'][:23]:<24}" + "".join(cells))
    lines += ["", "x limit: the step over its operations at the matrix product's rate; c: cut."]
    if target is not None:
        lines.append(f"to: seconds to {target:.2f} dB.")
    return lines


def _text(value: float | None, form: str, width: int) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"
