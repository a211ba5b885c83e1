"""Images side by side in one grouped network against the same images in turn.

    python benchmarks/side_by_side.py TASK CASE [--count 16] [--method house] [--steps 50]
        [--device cuda] [--out FILE]

takes COUNT seeds of one case, each an image of its own as far as the network can tell, solves
them both ways without a stop rule, and prints seconds, the ratio, images per minute and the mean
PSNR of both. The classical image is found before the clock starts; what an image costs beside the
network is therefore not in it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from evidence import read_case

from untrained import Problem
from untrained.bench.score import Score
from untrained.classical import baseline
from untrained.core.recipe import Recipe
from untrained.machine import device_name, pick_device
from untrained.run.plan import plan
from untrained.solver.fit import Fit
from untrained.solver.procedure import solve_each


def seconds(recipe: Recipe, problem: Problem, count: int) -> tuple[float, list[Fit]]:
    """Wall time of `count` seeds, and their results."""
    solve_each(recipe.with_steps(3), [problem] * count, seeds=range(count), device=problem.device)
    _wait(problem.device)  # the first time paid for the choice of kernels
    began = time.perf_counter()
    results = solve_each(recipe, [problem] * count, seeds=range(count), device=problem.device)
    _wait(problem.device)
    return time.perf_counter() - began, results


def _wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task")
    parser.add_argument("case", type=Path)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--method", default="house")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    place = pick_device(given.device)
    m = read_case(given.task, given.case)
    recipe = plan(given.task, method=given.method, stop="none", steps=given.steps).recipe
    assert recipe is not None
    problem = Problem(m.y, m.physics, sigma=m.sigma).to(place).weighted(recipe.weighting)
    baseline(problem)
    score = Score(m, "disc" if m.task == "ct" else "all", place)
    facts: dict[str, object] = {"case": given.case.stem, **vars(given), "device": str(place)}
    if place.type == "cuda":
        facts["gpu"] = device_name(place)
    for name, together in (("in turn", 1), ("side by side", given.count)):
        how = replace(recipe, engine=replace(recipe.engine, together=together))
        spent, results = seconds(how, problem, given.count)
        quality = [score.psnr(one.image) or 0.0 for one in results]
        facts[name] = {
            "seconds": round(spent, 2),
            "images_per_minute": round(60 * given.count / spent, 2),
            "psnr": round(sum(quality) / len(quality), 3),
        }
    facts["ratio"] = round(facts["in turn"]["seconds"] / facts["side by side"]["seconds"], 2)  # type: ignore[index]
    text = json.dumps({k: v for k, v in facts.items() if k != "out"}, indent=1, default=str)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
