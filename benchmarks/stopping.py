"""How many decibels each stop rule loses: one row per case and method, all rules in one run.

    python benchmarks/cases.py DATA CASES --small
    python benchmarks/stopping.py run CASES OUT [--only PATTERN] [--methods dip,house]
    python benchmarks/stopping.py table OUT

`run` does what is missing and can be stopped at any time; every job is a file OUT/ID.json and a
process of its own on one thread. It takes two runs to the full budget. One fits all measurements
with every rule but the held-out one in its shadow (see `untrained.rules.Shadow`); it also gives
the oracle, the best over all its iterates, raw and averaged. The other holds measurements out and
records the error on them.

`table` asks the held-out rule, with several settings, what it would have made of that error. The
image it returns is that of the first run at the chosen step: fitting everything again takes the
same steps from the same seed (a test holds us to that).

Every method returns the average of its images at the rule's step, `house` too (not mixed with
the TV image, no closing data step), so that the rules and nothing else differ; only `aseqdip`,
whose preset says so, returns the newest image where held-out measurements favour it. Windows and
patience are shares of the budget, since the papers' were made for thousands of steps; where the
budget allows it the papers' own are there as well. CT is scored inside the disc that every view
sees.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import torch
from evidence import Scored, read_case, scored_part, scorer
from torch import Tensor

import untrained as ut
from untrained.core.recipe import Recipe
from untrained.core.rule import Never, Stop
from untrained.files import atomic_write
from untrained.rules import (
    EMV,
    WMV,
    Average,
    Discrepancy,
    HeldOut,
    Nearer,
    SelfValidation,
    Shadow,
    verdicts,
)
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe

GRID = ("denoise", "inpaint", "mri", "ct")
METHODS = "dip,aseqdip,house"
SLACKS = (0.0, 0.005, 0.03, 0.05, 0.1, 0.25)
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
    m = read_case(task, case)
    score = scorer(*scored_part(m, task))
    problem = ut.Problem(m.y, m.physics, sigma=m.sigma)
    recipe = plan(task, method=method, preset=preset, steps=steps).recipe
    assert recipe is not None
    if not isinstance(recipe.output, Nearer):
        recipe = replace(recipe, output=Average())
    return {
        "case": case.stem,
        "task": task,
        "method": method,
        "preset": preset,
        "seed": seed,
        "steps": recipe.budget,
        "size": list(problem.x_shape),
        **shadowed(recipe, problem, score, seed),
        **held_out(recipe, problem, score, seed),
    }


def shadowed(
    recipe: Recipe, problem: ut.Problem, score: Callable[[Tensor], float], seed: int
) -> dict:
    """What each rule did on one run to the full budget, and the oracle."""
    watch = [Scored(score), Shadow(rules(recipe.budget, problem.sigma))]
    result = solve_recipe(replace(recipe, stop=Never()), problem, seed=seed, watch=watch)
    curves = {name: [float(v) for v in result.history[name]] for name in ("psnr", "psnr_output")}
    best = {name: max(range(len(curve)), key=curve.__getitem__) for name, curve in curves.items()}
    winner = max(best, key=lambda name: curves[name][best[name]])
    return {
        "rules": {name: asdict(verdict) for name, verdict in verdicts(result.history).items()},
        "oracle": curves[winner][best[winner]],
        "oracle_step": best[winner] + 1,
        "oracle_of": winner,
        "seconds_shadow": result.cpu_seconds,
        "curve": [round(v, 3) for v in curves["psnr_output"]],
        "curve_newest": [round(v, 3) for v in curves["psnr"]],
    }


def held_out(
    recipe: Recipe, problem: ut.Problem, score: Callable[[Tensor], float], seed: int
) -> dict:
    """The error on what is held out, and the PSNR of that run, over the full budget."""
    stop = HeldOut(patience=recipe.budget + 1)
    result = solve_recipe(replace(recipe, stop=stop), problem, seed=seed, watch=[Scored(score)])
    return {
        "seconds_heldout": result.cpu_seconds,
        "held_error": [float(v) for v in result.history["held-out error"]],
        "held_curve": [round(float(v), 3) for v in result.history["psnr_output"]],
        "newest": [bool(v) for v in result.history.get("newest", [])],
    }


# what the held-out rule would have done ---------------------------------------------------------


def asked(row: dict) -> dict[str, float]:
    """Name -> PSNR, of the rules in the shadow and of the held-out rule's settings."""
    found = {name: verdict["psnr_output"] for name, verdict in row["rules"].items()}
    errors, steps = row["held_error"], row["steps"]
    ours = plan(row["task"], method=row["method"], preset=row["preset"]).recipe
    assert ours is not None
    settings = {"heldout, preset": ours.stop} if isinstance(ours.stop, HeldOut) else {}
    for slack in SLACKS:
        settings[f"heldout, slack {slack:g}"] = HeldOut(patience=steps, skip=20, slack=slack)
    settings["heldout, patient for a fifth"] = HeldOut(patience=max(8, steps // 5), skip=20)
    for name, rule in settings.items():
        chosen = replayed(rule, errors)
        newest = bool(row.get("newest")) and row["newest"][chosen - 1]
        found[name] = row["curve_newest" if newest else "curve"][chosen - 1]
        if name == "heldout, preset":
            found["heldout, preset, not refitted"] = row["held_curve"][chosen - 1]
    return found


def replayed(rule: HeldOut, errors: list[float]) -> int:
    """The step that the rule chooses, given the held-out error of every step."""
    best, chosen = math.inf, len(errors)
    for step, error in enumerate(errors, 1):
        if step <= rule.skip:
            continue
        if error < best * (1 + rule.slack):
            chosen = step
        best = min(best, error)
        if step - chosen >= rule.patience:
            break
    return chosen


# commands -------------------------------------------------------------------------------------


def run_grid(given: argparse.Namespace) -> None:
    """Every job whose row is missing, `--jobs` at a time."""
    given.out.mkdir(parents=True, exist_ok=True)
    found = sorted(p for p in given.cases.glob(f"{given.only}.npz"))
    cases = [p for p in found if p.stem.split("-")[0] in GRID]
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
    names = dict.fromkeys(name for row in rows for name in asked(row))
    for name in names:
        cells = [_cell(name, [row for row in rows if row["task"] == task]) for task in tasks]
        lines.append(f"| {name} | {' | '.join([*cells, _cell(name, rows)])} |")
    return "\n".join(lines) + "\n"


def _cell(name: str, rows: list[dict]) -> str:
    answers = [(row["oracle"], asked(row)) for row in rows]
    lost = [oracle - psnr[name] for oracle, psnr in answers if name in psnr]
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
