"""How many decibels each stop rule loses: one row per case and method, all rules in one run.

    python benchmarks/cases.py DATA CASES
    python benchmarks/stopping.py run CASES OUT [--side 128] [--only PATTERN] [--methods dip,house]
    python benchmarks/stopping.py table OUT

`run` does what is missing and can be stopped at any time; every job is a file OUT/ID.json and a
process of its own on one thread. It takes two runs. One goes to its full budget on all
measurements with every rule but the held-out one in its shadow (see `untrained.rules.Shadow`); it
also gives the oracle, the best over all its iterates, raw and averaged. The other is the held-out
rule's own, whose image is scored before and after everything was fitted again.

Every method returns the average of its images at the rule's step, `house` too (not mixed with
the TV image, no closing data step), so that the rules and nothing else differ. Windows and
patience are shares of the budget, since the papers' were made for thousands of steps; where the
budget allows it the papers' own are there as well.

`--side` makes the cases smaller first: photographs and the readout of MRI are cropped in the
middle, which changes no measurement that is kept; detectors and pixels of CT are joined. CT is
scored inside the disc that every view sees.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from evidence import Scored, scored_part, scorer

import untrained as ut
from untrained.core.recipe import Recipe
from untrained.core.rule import Never, Stop
from untrained.core.solve import solve_recipe
from untrained.data import TASKS
from untrained.data.arrays import write_npz
from untrained.files import atomic_write
from untrained.plan import plan
from untrained.rules import (
    EMV,
    WMV,
    Discrepancy,
    HeldOut,
    SelfValidation,
    Shadow,
    verdicts,
)

GRID = ("denoise", "inpaint", "mri", "ct")
METHODS = "dip,aseqdip,house"
PAPERS = 2000  # budget from which on the papers' own windows can end a run


def rules(budget: int, sigma: float | None) -> dict[str, Stop]:
    """The rules that are watched; the noise level is known for some cases only."""
    window, patience = max(4, budget // 30), max(8, budget // 5)
    found: dict[str, Stop] = {
        "none": Never(),
        "wmv": WMV(window, patience),
        "wmv, long window": WMV(3 * window, patience),
        "emv": EMV(alpha=2 / (window + 1), skip=window, patience=patience),
        "selfval": SelfValidation(window, patience),
        "selfval, lr 0.01": SelfValidation(window, patience, lr=0.01),
        "wmv & emv": WMV(window, patience) & EMV(2 / (window + 1), window, patience),
    }
    if sigma:
        found |= {f"discrepancy {tau:g}": Discrepancy(tau) for tau in (1.0, 0.9)}
    if budget >= PAPERS:
        found |= {"wmv, paper": WMV(), "emv, paper": EMV(), "selfval, paper": SelfValidation()}
    return found


def job(case: Path, method: str, preset: str, steps: int, seed: int) -> dict:
    """One row."""
    torch.set_num_threads(1)
    task = case.stem.split("-")[0]
    loaded = TASKS[task].load(case)
    m = loaded[0] if isinstance(loaded, list) else loaded
    score = scorer(*scored_part(m, task))
    problem = ut.Problem(m.y, m.physics, sigma=m.sigma)
    recipe = plan(task, method=method, preset=preset, steps=steps, output="best").recipe
    assert recipe is not None
    whole, facts = shadowed(recipe, problem, score, seed)
    held, more = held_out(recipe, problem, score, seed)
    return {
        "case": case.stem,
        "task": task,
        "method": method,
        "preset": preset,
        "seed": seed,
        "steps": recipe.budget,
        "size": list(problem.x_shape),
        **facts,
        **more,
        "rules": whole | held,
    }


def shadowed(recipe: Recipe, problem: ut.Problem, score, seed: int) -> tuple[dict, dict]:
    """Name -> what that rule did, on one run to the full budget; the oracle."""
    watch = [Scored(score), Shadow(rules(recipe.budget, problem.sigma))]
    result = solve_recipe(replace(recipe, stop=Never()), problem, seed=seed, watch=watch)
    curves = {name: [float(v) for v in result.history[name]] for name in ("psnr", "psnr_output")}
    best = {name: max(range(len(curve)), key=curve.__getitem__) for name, curve in curves.items()}
    winner = max(best, key=lambda name: curves[name][best[name]])
    found = {name: asdict(verdict) for name, verdict in verdicts(result.history).items()}
    return found, {
        "oracle": curves[winner][best[winner]],
        "oracle_step": best[winner] + 1,
        "oracle_of": winner,
        "seconds_shadow": result.cpu_seconds,
        "curve": [round(v, 3) for v in curves["psnr_output"]],
    }


def held_out(recipe: Recipe, problem: ut.Problem, score, seed: int) -> tuple[dict, dict]:
    """The same of the held-out rule, before and after fitting everything again."""
    stop = recipe.stop
    if not stop.holdout:
        stop = HeldOut(patience=max(8, recipe.budget // 5), again=True)
    run = replace(recipe, stop=stop)
    result = solve_recipe(run, problem, seed=seed, watch=[Scored(score)])
    chosen, taken = result.stop[0].step, result.history["phase"].count("fit")
    stopped = None if result.stop[0].rule == "budget" else taken
    verdict = {"stopped": stopped, "chosen": chosen}
    before = float(result.history["psnr_output"][chosen - 1])
    found = {"heldout, not refitted": {**verdict, "psnr_output": before}}
    if stop.refit:
        found["heldout"] = {**verdict, "psnr_output": score(result.image)}
    return found, {"seconds_heldout": result.cpu_seconds}


# smaller cases --------------------------------------------------------------------------------


def smaller(case: Path, side: int) -> dict[str, np.ndarray]:
    """The arrays of a case, its image reduced to about `side` points."""
    with np.load(case, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    return {"mri": _crop_readout, "ct": _join}.get(case.stem.split("-")[0], _crop)(arrays, side)


def _crop(arrays: dict[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    for name in ("measurement", "mask", "reference"):
        if name in arrays:
            middle = _middle(arrays[name], -1, side)
            arrays[name] = _middle(middle, -2, side)
    return arrays


def _crop_readout(arrays: dict[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    """The fully sampled axis; the other cannot be cropped without the missing samples."""
    if arrays["mask"].ndim != 1:
        raise SystemExit("only a mask of whole columns leaves an axis that can be cropped")
    axis = {"axis": -2}
    lines = np.fft.ifftshift(arrays["kspace"], axes=-2)
    lines = np.fft.fftshift(np.fft.ifft(lines, norm="ortho", **axis), axes=-2)
    lines = np.fft.ifftshift(_middle(lines, -2, side), axes=-2)
    kspace = np.fft.fftshift(np.fft.fft(lines, norm="ortho", **axis), axes=-2)
    reference = _middle(arrays["reference"], -2, side)
    return arrays | {"kspace": kspace.astype(np.complex64), "reference": reference}


def _join(arrays: dict[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    """Neighbouring detectors and pixels as one; lengths stay what they were."""
    views, detectors = arrays["sinogram"].shape
    factor = max(1, round(detectors / side))
    rows, columns = (int(n) for n in arrays["image_shape"])
    if any(n % factor for n in (detectors, rows, columns)):
        raise SystemExit(f"{detectors} detectors cannot be joined by {factor}: another --side")
    small = (rows // factor, columns // factor)
    pixels = arrays["reference"].reshape(small[0], factor, small[1], factor)
    return arrays | {
        "sinogram": arrays["sinogram"].reshape(views, detectors // factor, factor).mean(2),
        "reference": pixels.mean((1, 3)),
        "image_shape": np.asarray(small),
        "pixel_size": arrays["pixel_size"] * factor,
        "detector_pitch": arrays["detector_pitch"] * factor,
        "detector_offset": arrays["detector_offset"] / factor,
    }


def _middle(values: np.ndarray, axis: int, side: int) -> np.ndarray:
    first = max(0, (values.shape[axis] - side) // 2)
    return values.take(range(first, min(first + side, values.shape[axis])), axis=axis)


# commands -------------------------------------------------------------------------------------


def run_grid(given: argparse.Namespace) -> None:
    """Every job whose row is missing, `--jobs` at a time."""
    given.out.mkdir(parents=True, exist_ok=True)
    found = sorted(p for p in given.cases.glob(f"{given.only}.npz"))
    cases = [_prepared(p, given) for p in found if p.stem.split("-")[0] in GRID]
    jobs = []
    for case in cases:
        for method in given.methods.split(","):
            name = f"{case.stem}.{method}.{given.preset}.{given.steps or 'preset'}.{given.seed}"
            out = given.out / f"{name}.json"
            if not out.exists():
                jobs.append((case, method, out))

    def one(task: tuple[Path, str, Path]) -> None:
        case, method, out = task
        command = [sys.executable, __file__, "job", case, method, given.preset]
        command += [given.steps, given.seed, out]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        said = done.stderr.strip().splitlines()[-1:] if done.returncode else ""
        print(out.name, "ok" if done.returncode == 0 else said, flush=True)

    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(one, jobs))


def _prepared(case: Path, given: argparse.Namespace) -> Path:
    if not given.side:
        return case
    small = given.out / "cases" / f"{case.stem}-{given.side}px.npz"
    if not small.exists():
        small.parent.mkdir(exist_ok=True)
        write_npz(small, smaller(case, given.side))
    return small


def table(out: Path) -> None:
    """OUT/table.md, and the same on the screen."""
    rows = [json.loads(p.read_text()) for p in sorted(out.glob("*.json"))]
    if not rows:
        raise SystemExit(f"no rows in {out}: `run` first")
    text = "Decibels lost to the oracle: mean, and the worst in brackets.\n"
    for method in ("all methods", *sorted({row["method"] for row in rows})):
        part = [row for row in rows if method in ("all methods", row["method"])]
        text += f"\n{method}, {len(part)} runs\n\n{_losses(part)}"
    (out / "table.md").write_text(text)
    print(text, end="")


def _losses(rows: list[dict]) -> str:
    tasks = [task for task in GRID if any(row["task"] == task for row in rows)]
    lines = [f"| rule | {' | '.join(tasks)} | all |", "|---" * (len(tasks) + 2) + "|"]
    names = dict.fromkeys(name for row in rows for name in row["rules"])
    for name in names:
        cells = [_cell(name, [row for row in rows if row["task"] == task]) for task in tasks]
        lines.append(f"| {name} | {' | '.join([*cells, _cell(name, rows)])} |")
    return "\n".join(lines) + "\n"


def _cell(name: str, rows: list[dict]) -> str:
    lost = [
        row["oracle"] - row["rules"][name]["psnr_output"] for row in rows if name in row["rules"]
    ]
    missing = len(rows) - len(lost)
    if not lost or (missing and len({row["task"] for row in rows}) > 1):
        return "-"  # a mean over other runs than its neighbours' cannot be compared with them
    return f"{statistics.mean(lost):.2f} ({max(lost):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("cases", type=Path)
    runs.add_argument("out", type=Path)
    runs.add_argument("--only", default="*")
    runs.add_argument("--methods", default=METHODS)
    runs.add_argument("--preset", default="fast")
    runs.add_argument("--steps", type=int, default=0, help="budget; 0 = the preset's")
    runs.add_argument("--side", type=int, default=0, help="make the cases smaller; 0 = as they are")
    runs.add_argument("--seed", type=int, default=0)
    runs.add_argument("--jobs", type=int, default=2)
    one_job = commands.add_parser("job")
    for name in ("case", "method", "preset", "steps", "seed", "out"):
        one_job.add_argument(name)
    shown = commands.add_parser("table")
    shown.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        run_grid(given)
    elif given.command == "table":
        table(given.out)
    else:
        steps, seed = int(given.steps), int(given.seed)
        row = job(Path(given.case), given.method, given.preset, steps, seed)
        with atomic_write(Path(given.out)) as stream:
            stream.write((json.dumps(row, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
