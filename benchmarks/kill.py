"""Kill runs without warning, resume them, and compare what comes out byte for byte.

    python benchmarks/kill.py OUT.json [--count 20] [--seed 0] [--every 1]

Each row is one kill: a small measurement, one undisturbed run to the end as the truth, the same
command in another directory killed with SIGKILL at a drawn moment of its life (loading,
optimising, fitting everything again, computing the classical answer, writing the report), and
that command once more with `--resume`. Tasks and methods are taken in turn. `--every` is the time
between two checkpoints; the program's own is 10 s, with which runs this short would rarely hold
a second one. Every run is a process of its own, forked from one that has done nothing but import:
importing takes longer than such a run, and a kill during it would show nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from untrained.cli import main
from untrained.core import checkpoint
from untrained.data import TASKS
from untrained.data.arrays import write_npy
from untrained.data.phantoms import brain, shepp_logan

SIDE = 40
STEPS = 150
METHODS = ("house", "dip", "aseqdip")
COMPARED = ("reconstruction.npy", "history.csv")
# What the program imports where it first needs it.
LATE = (
    "torch._dynamo",
    "matplotlib.backends.backend_agg",
    "skimage.metrics",
    "scipy.sparse",
    "jinja2",
)
OPTIONS = ("--steps", str(STEPS), "--set", "net.widths=8,16,16", "--threads", "1", "--quiet")
OPERATOR = f"""
import torch

class Half:
    x_shape = (1, {SIDE}, {SIDE})

    def A(self, x):
        return x[..., ::2].cumsum(-1) / {SIDE}
"""


@dataclass(frozen=True)
class Row:
    """One kill.

    Attributes:
        seconds, kill_after: the undisturbed run's, and when the other was killed.
        phase, step: where `state.pt` stood after the kill; `started` before the first checkpoint.
        lost_seconds: work done since that checkpoint and lost.
        resumed_from: what `result.json` of the resumed run says.
        same: whether the compared files agree byte for byte.
    """

    task: str
    method: str
    seconds: float
    kill_after: float
    phase: str
    step: int | None
    lost_seconds: float
    resumed_from: list[int]
    same: bool
    note: str = ""


def measure(task: str, folder: Path) -> tuple[str, ...]:
    """A small measurement file; returns the arguments that name it."""
    clean, out = folder / "clean.npy", folder / f"{task}.npz"
    picture = shepp_logan(SIDE).astype(np.float32)
    if task == "custom":
        (folder / "operator.py").write_text(OPERATOR, encoding="utf-8")
        write_npy(folder / "custom.npy", picture[None, :, ::2].cumsum(-1) / SIDE)
        return str(folder / "custom.npy"), "--physics", f"{folder / 'operator.py'}:Half"
    write_npy(clean, brain(SIDE) if task == "mri" else picture)
    given = {
        "mri": {"coils": 3, "center_fraction": 0.25},
        "ct": {"angles": 20},
        "superres": {"factor": 2},
    }.get(task, {})
    simulate = TASKS[task].simulate
    assert simulate is not None
    simulate(clean, out, seed=1, **given)
    return (str(out),)


def start(arguments: list[str], log: Path) -> multiprocessing.process.BaseProcess:
    """The command in a process of its own."""
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_command, args=(arguments, str(log)))
    process.start()
    return process


def _command(arguments: list[str], log: str) -> None:
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    main(["reconstruct", *arguments])


def finish(process: multiprocessing.process.BaseProcess, log: Path) -> None:
    """Wait for success."""
    process.join()
    if process.exitcode:
        raise SystemExit(f"a run failed ({process.exitcode}): {log.read_text(errors='replace')}")


def reached(out: Path) -> tuple[str, int | None]:
    """Phase and step that the checkpoint left by a kill stands for."""
    state = out / "state.pt"
    if not state.exists():
        return ("done" if (out / "result.json").exists() else "started"), None
    content = torch.load(state, weights_only=True)
    if content["running"]:
        step = int(content["running"]["state"]["state"]["step"])
        return content["running"]["phase"].rpartition("/")[2], step
    return "report", sum(phase["steps"] for phase in content["finished"].values())


def kill_one(task: str, method: str, share: float, folder: Path) -> Row:
    """The truth, the killed run, the resumed run, the comparison."""
    log = folder / "log.txt"
    arguments = [task, *measure(task, folder), "--method", method, *OPTIONS]
    whole, broken = folder / "whole", folder / "broken"
    began = time.monotonic()
    finish(start([*arguments, "--out", str(whole)], log), log)
    seconds = time.monotonic() - began
    process = start([*arguments, "--out", str(broken)], log)
    began = time.time()
    time.sleep(share * seconds)
    alive = process.is_alive()
    process.kill()
    process.join()
    phase, step = reached(broken)
    state = broken / "state.pt"
    since = state.stat().st_mtime if state.exists() else began
    lost = time.time() - since if alive else 0.0
    finish(start([*arguments, "--out", str(broken), "--resume"], log), log)
    facts = json.loads((broken / "result.json").read_text(encoding="utf-8"))
    same = all((whole / f).read_bytes() == (broken / f).read_bytes() for f in COMPARED)
    return Row(
        task,
        method,
        round(seconds, 2),
        round(share * seconds, 2),
        phase,
        step,
        round(lost, 2),
        facts["resumed_from"],
        same,
        "" if alive else "ended before the kill",
    )


def sweep() -> int:
    """Kill `count` runs; 1 if any resumed run differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=1.0)
    options = parser.parse_args()
    for module in LATE:
        importlib.import_module(module)
    torch.set_num_threads(1)
    checkpoint.EVERY_SECONDS = options.every
    draw = random.Random(options.seed)
    cases = [(task, method) for task in TASKS for method in METHODS]
    draw.shuffle(cases)
    # One moment in each of `count` equal parts of a run's life, in any order.
    shares = [(k + draw.random()) / options.count for k in range(options.count)]
    draw.shuffle(shares)
    rows: list[Row] = []
    for i, share in enumerate(shares):
        task, method = cases[i % len(cases)]
        with tempfile.TemporaryDirectory() as folder:
            rows.append(kill_one(task, method, share, Path(folder)))
        print(line(rows[-1]), flush=True)
        save(options, rows)
    failed = sum(not row.same for row in rows)
    print(f"{len(rows)} kills, {failed} differ")
    return 1 if failed else 0


def line(row: Row) -> str:
    """A row of the table."""
    place = row.phase if row.step is None else f"{row.phase} {row.step}"
    verdict = "same" if row.same else "DIFFERS"
    return (
        f"{row.task:<9}{row.method:<9}{row.kill_after:6.1f} of {row.seconds:5.1f} s  {place:<12}"
        f"lost {row.lost_seconds:5.1f} s  resumed from {row.resumed_from!s:<8} {verdict} {row.note}"
    )


def save(options: argparse.Namespace, rows: list[Row]) -> None:
    """Write the table so far."""
    content = {
        "count": len(rows),
        "different": sum(not row.same for row in rows),
        "seed": options.seed,
        "checkpoint_seconds": options.every,
        "steps": STEPS,
        "side": SIDE,
        "torch": torch.__version__,
        "rows": [asdict(row) for row in rows],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(sweep())
