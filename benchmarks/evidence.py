"""Our evidence on real data: one row per case, method and preset.

    python benchmarks/cases.py DATA CASES
    python benchmarks/evidence.py run CASES OUT [--only PATTERN] [--methods tv,house] [--jobs 2]
    python benchmarks/evidence.py table OUT

`run` does what is missing and can be stopped at any time; every job is a file OUT/ID.json. Each
job runs in its own process on one thread. The automatic stop's image is scored (`stopped`), the
last one of the whole budget (`final`), and the best over all iterates, raw and averaged, of the
same seed run to its full budget on all measurements (`oracle`, which needs the truth and is
nobody's to have); all after the output rule's closing step where it has one. CT
is scored inside the disc that every view sees: filtered backprojection, the reference, is not
valid outside. Its noise and streaks count as truth there, so that CT has a second score without
it, `unseen`: how far the measured views that no method was given (CASES/unseen) stand above the
error with which the image predicts them, in dB.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import untrained as ut
from untrained.core.recipe import Recipe
from untrained.core.rule import Frame, Never
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.data import TASKS
from untrained.data.measurement import Measurement
from untrained.metrics import psnr, ssim, usual_range
from untrained.rules.watch import Clock
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe

SCORES = ("stopped", "final", "oracle")
DISC = 0.46  # radius of the disc scored in CT, of the image's side
GRID = {
    "mri": "adjoint,cgsense,tv,l1wavelet,dct,house,aseqdip",
    "ct": "adjoint,fbp,tv,dct,house,aseqdip",
    "denoise": "adjoint,tv,dct,house",
    "inpaint": "adjoint,tv,dct,house",
    "superres": "adjoint,tv,dct,house",
    "deblur": "adjoint,tv,dct,house",
}


class Scored(Watch):
    """PSNR inside the scored region, of every image and of every output; keeps best and last."""

    def __init__(self, score: Callable[[Tensor], float]) -> None:
        self.score = score
        self.best: tuple[float, Tensor | None] = (float("-inf"), None)
        self.last: Tensor | None = None

    def begin(self, phase: str, total: int, step: int) -> None:
        self.best = (float("-inf"), None)

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        images = {"psnr": frame.x, "psnr_output": frame.out}
        scores = {k: self.score(s.problem.to_units(image)) for k, image in images.items()}
        self.last = frame.out
        if scores["psnr_output"] > self.best[0]:
            self.best = (scores["psnr_output"], frame.out.clone())
        return {name: torch.tensor([value]) for name, value in scores.items()}


def job(
    case: Path, method: str, preset: str, precision: str, seed: int, limit: float, oracle: bool
) -> dict:
    """One row; `final` and `oracle`, which may take a second run, only where asked for."""
    torch.set_num_threads(1)
    task = case.stem.split("-")[0]
    m = read_case(task, case)
    region, truth, data_range = scored_part(m, task)
    score = scorer(region, truth, data_range)
    problem = ut.Problem(m.y, m.physics, sigma=m.sigma)
    settings = [f"engine.precision={precision}"] if precision else []
    chosen = plan(task, method=method, preset=preset, settings=settings)
    scored = Scored(score)
    watch: list[Watch] = [scored]
    if limit:
        watch.append(Clock(limit))
    how = RunSettings(seed=seed, watch=watch, compare=False)
    (result,) = run(chosen, [Case(problem)], how)
    row = {
        "case": case.stem,
        "method": method,
        "preset": f"{preset} {precision}".rstrip(),
        "seed": seed,
        "stopped": score(result.image),
        "ssim": ssim(result.image * region, truth, data_range=data_range),
        "cpu_seconds": result.cpu_seconds,
        "seconds": result.seconds,
        "precision": result.precision,
        "steps": result.steps,
        "stop_rule": result.stop[0].rule,
        "stop_step": result.stop[0].step,
        "cut": result.stop[0].rule == "time limit",
        "peak_memory_mb": result.peak_memory_mb,
        "time": time.strftime("%Y-%m-%d"),
    }
    others = case.parent / "unseen" / case.name
    if others.exists():
        row["unseen"] = unseen(result.image, read_case(task, others))
    # the mean of several runs has no one oracle
    if oracle and chosen.recipe is not None and chosen.recipe.seeds == 1:
        row |= full_budget(chosen.recipe, problem, result, seed, [scored, *watch[1:]])
    return row


def read_case(task: str, file: Path) -> Measurement:
    """The one measurement of a file."""
    return TASKS[task].load(file)[0]


def full_budget(
    recipe: Recipe, problem: ut.Problem, result: ut.Result, seed: int, watch: list[Watch]
) -> dict:
    """`final` and `oracle`; a second run only where the first did not fit everything to the end."""
    history = result.history
    output = result.final_recipe().output
    refit = [i for i, phase in enumerate(history["phase"]) if phase == "refit"]
    whole: Sequence[int] = refit if recipe.stop.holdout else range(len(history["step"]))
    if recipe.stop.holdout and (len(refit) < recipe.budget or recipe.stop.warm_refit):
        again = replace(recipe, stop=Never(), output=output)
        history = solve_recipe(again, problem, seed=seed, watch=watch).history
        whole = range(len(history["step"]))
    whole_problem = problem.weighted(recipe.weighting)
    scored = watch[0]
    assert isinstance(scored, Scored)
    best, last = scored.best[1], scored.last
    assert best is not None
    assert last is not None
    finished = [
        scored.score(whole_problem.to_units(output.finish(whole_problem, image)))
        for image in (best, last)
    ]
    out = [float(history["psnr_output"][i]) for i in whole]
    raw = [float(history["psnr"][i]) for i in whole]
    return {
        "final": finished[1],
        "oracle": max([*out, *raw, *finished]),
        "curve": out[:: max(1, len(out) // 50)],
    }


def scored_part(m: Measurement, task: str) -> tuple[Tensor, Tensor, float]:
    """The region that is scored, the reference inside it, and the range of the PSNR."""
    assert m.reference is not None
    region = disc(m.reference) if task == "ct" else torch.ones_like(m.reference)
    truth = m.reference * region
    return region, truth, usual_range(truth, unit=task not in ("mri", "ct"))


def unseen(image: Tensor, others: Measurement) -> float:
    """How well an image predicts measurements that it does not know, 20 log10(|y| / |Ax - y|)."""
    error = others.physics.A(image) - others.y
    return 20 * float(torch.log10(others.y.norm() / error.norm()))


def scorer(region: Tensor, truth: Tensor, data_range: float) -> Callable[[Tensor], float]:
    """Image -> PSNR over the region alone."""
    share = 10 * float(torch.log10(region.mean()))
    return lambda image: psnr(image * region, truth, data_range=data_range) + share


def disc(like: Tensor) -> Tensor:
    """1 inside the disc, 0 outside."""
    height, width = like.shape[-2:]
    y = torch.arange(height)[:, None] - (height - 1) / 2
    x = torch.arange(width)[None] - (width - 1) / 2
    return ((y**2 + x**2).sqrt() < DISC * width).float().expand_as(like).clone()


def run_grid(given: argparse.Namespace) -> None:
    jobs = []
    for case in sorted(given.cases.glob(f"{given.only}.npz")):
        methods = given.methods or GRID[case.stem.split("-")[0]]
        for method in methods.split(","):
            preset = "-".join(filter(None, (given.preset, given.precision)))
            name = f"{case.stem}.{method}.{preset}.{given.seed}.json"
            if not (given.out / name).exists():
                jobs.append((case, method, given.out / name))
    given.out.mkdir(parents=True, exist_ok=True)

    def one(task: tuple[Path, str, Path]) -> None:
        case, method, out = task
        command = [sys.executable, __file__, "job", case, method, given.preset, given.precision]
        command += [given.seed, given.limit, out] + ["--no-oracle"] * given.no_oracle
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        said = done.stderr.strip().splitlines()[-1:] if done.returncode else ""
        print(out.name, "ok" if done.returncode == 0 else said, flush=True)

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(one, jobs))


def table(out: Path) -> None:
    rows = [json.loads(p.read_text()) for p in sorted(out.glob("*.json"))]
    names = [n for n in rows[0] if n != "curve"]
    names += [n for row in rows for n in row if n not in names and n != "curve"]
    names = list(dict.fromkeys(names))
    with (out / "table.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
    for row in rows:
        scores = [f"{row[k]:7.2f}" if k in row else 7 * " " for k in SCORES]
        name = f"{row['case']:16} {row['method']:10} {row['preset']:6}"
        print(name, *scores, f"{row['cpu_seconds']:7.0f} s", "cut" if row["cut"] else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("cases", type=Path)
    runs.add_argument("out", type=Path)
    runs.add_argument("--only", default="*")
    runs.add_argument("--methods", default="")
    runs.add_argument("--preset", default="fast")
    runs.add_argument("--precision", default="", help="another than the preset's: fp32, bf16")
    runs.add_argument("--seed", type=int, default=0)
    runs.add_argument("--limit", type=float, default=0.0, help="seconds after which a job is cut")
    runs.add_argument("--jobs", type=int, default=2)
    runs.add_argument("--no-oracle", action="store_true", help="only what the user gets")
    one_job = commands.add_parser("job")
    one_job.add_argument("--no-oracle", action="store_true")
    for name in ("case", "method", "preset", "precision", "seed", "limit", "out"):
        one_job.add_argument(name)
    shown = commands.add_parser("table")
    shown.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        run_grid(given)
    elif given.command == "table":
        table(given.out)
    else:
        seed, limit = int(given.seed), float(given.limit)
        which = (given.method, given.preset, given.precision, seed, limit)
        row = job(Path(given.case), *which, oracle=not given.no_oracle)
        Path(given.out).write_text(json.dumps(row, indent=1) + "\n")
