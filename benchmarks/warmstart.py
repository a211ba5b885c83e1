"""What learned weights spare: a run from them beside DIP from random ones, step by step.

    python benchmarks/warmstart.py TASK CASE WEIGHTS OUT [--steps 300] [--settings engine.lr=2e-4]

fits the whole budget of both on all measurements and writes the PSNR of the output at every step;
prints the steps that each takes to DIP's last PSNR. One thread.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from evidence import read_case

from untrained import Problem, load_weights
from untrained.bench.score import Score
from untrained.core.rule import Frame
from untrained.core.watch import Watch
from untrained.data import Measurement
from untrained.machine import pick_device
from untrained.run.plan import Plan, plan
from untrained.solver.procedure import solve_recipe


class Curve(Watch):
    """PSNR of the output after every step, in the region that counts."""

    def __init__(self, score: Score, problem: Problem) -> None:
        self.score, self.problem = score, problem
        self.values: list[float] = []

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        """Score the output."""
        self.values.append(float(self.score.psnr(self.problem.to_units(frame.out)) or 0.0))


def curve(chosen: Plan, m: Measurement) -> dict[str, object]:
    """PSNR per step and CPU seconds."""
    assert chosen.recipe is not None
    problem = Problem(m.y, m.physics, sigma=m.sigma)
    region = "disc" if m.task == "ct" else "all"
    watch = Curve(Score(m, region, pick_device("cpu")), problem)
    began = time.process_time()
    start = chosen.start(problem)
    solve_recipe(chosen.recipe, problem, watch=[watch], device="cpu", start=start)
    return {"psnr": watch.values, "cpu_seconds": time.process_time() - began}


def first_at(values: list[float], level: float) -> int | None:
    """The first step at or above a PSNR."""
    return next((step for step, value in enumerate(values, 1) if value >= level), None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("case", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--settings", nargs="*", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    measured = read_case(given.task, given.case)
    learned = load_weights(given.weights)
    plans = {
        "dip": plan(given.task, method="dip", stop="none", steps=given.steps),
        learned.method: plan(
            given.task,
            weights=learned,
            stop="none",
            steps=given.steps,
            settings=given.settings,
        ),
    }
    found = {name: curve(chosen, measured) for name, chosen in plans.items()}
    facts = {"case": given.case.stem, "settings": given.settings, "weights": learned.facts()}
    given.out.write_text(json.dumps({**facts, "runs": found}, indent=1) + "\n")
    level = found["dip"]["psnr"][-1]  # type: ignore[index]
    for name, run in found.items():
        values: list[float] = run["psnr"]  # type: ignore[assignment]
        print(f"{name:<8} best {max(values):.2f} dB, {level:.2f} dB at {first_at(values, level)}")
