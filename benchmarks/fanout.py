"""How well experiments fan out: efficiency, what a killed worker costs, another executor.

    python benchmarks/fanout.py OUT.json [--jobs 32] [--steps 150] [--side 64]

Experiments with equal real jobs (`dip`, seeds 0, 1, ...), one thread each:

- `efficiency`: all jobs on one process and then on two; wall time of the former over twice that of
  the latter, the processes' start included. Needs two idle cores. Then the same on dask workers.
- `killed`: two processes, one of them killed with SIGKILL once a first job is done. Every job is
  done, one of them was handed out twice, and only its time since its checkpoint is lost.
- `cluster`: half of the jobs on a local dask cluster of two workers, one of them killed; then the
  whole grid on local processes, which must leave what is done alone. Left out where
  dask.distributed is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from untrained.bench import (
    Job,
    Outcomes,
    Processes,
    cluster,
    job_directory,
    jobs_left,
    open_grid,
    read_grid,
    run_jobs,
)
from untrained.data.phantoms import shepp_logan

GRID = """
seeds = {seeds}
[[cases]]
task = "denoise"
clean = "clean.npy"
[[runs]]
method = "dip"
stop = "none"
steps = {steps}
"""


def prepare(folder: Path, given: argparse.Namespace) -> None:
    """The clean picture and the grid."""
    np.save(folder / "clean.npy", shepp_logan(given.side).astype(np.float32))
    text = GRID.format(seeds=list(range(given.jobs)), steps=given.steps)
    (folder / "grid.toml").write_text(text, encoding="utf-8")


def opened(folder: Path, name: str) -> tuple[list[Job], Path]:
    """The grid's jobs in a directory of their own."""
    out = folder / name
    return open_grid(read_grid(folder / "grid.toml"), out), out


Start = Callable[[int], AbstractContextManager[Executor]]


def on_processes(count: int) -> AbstractContextManager[Executor]:
    """So many local processes."""
    return Processes(["cpu"] * count)


def on_dask(count: int) -> AbstractContextManager[Executor]:
    """So many workers of a local cluster."""
    return cluster("local", count)


def efficiency(folder: Path, name: str, start: Start) -> dict:
    """Wall seconds on one worker and on two."""
    seconds = {}
    for count in (1, 2):
        jobs, out = opened(folder, f"{name}-{count}")
        began = time.perf_counter()
        with start(count) as executor:
            outcomes = run_jobs(jobs, out, executor, device="cpu")
        seconds[count] = time.perf_counter() - began
        assert outcomes.statuses == {"done": len(jobs)}, outcomes
    return {
        "jobs": len(jobs),
        "seconds_on_1": seconds[1],
        "seconds_on_2": seconds[2],
        "efficiency": seconds[1] / (2 * seconds[2]),
    }


def killed(folder: Path) -> dict:
    """One of two processes dies during a job."""
    jobs, out = opened(folder, "killed")
    began = time.perf_counter()
    with Processes(["cpu", "cpu"]) as executor:
        killer = KillOne(jobs, out)
        outcomes = run_jobs(jobs, out, executor)
    seconds = time.perf_counter() - began
    killer.join()
    return {**_outcome(jobs, out, outcomes), "seconds": seconds, "handed_out_again": outcomes.again}


def on_a_cluster(folder: Path) -> dict:
    """Half of the grid on dask with a worker killed, then all of it on local processes."""
    jobs, out = opened(folder, "cluster")
    half = jobs[: len(jobs) // 2]
    with cluster("local", 2) as executor:
        killer = KillOne(half, out)
        first = run_jobs(half, out, executor, device="cpu")
    killer.join()
    before = _results(jobs, out)
    rest = jobs_left(jobs, out, 0.0)
    with Processes(["cpu", "cpu"]) as local:
        run_jobs(rest, out, local)
    after = _results(jobs, out)
    return {
        **_outcome(half, out, first),
        "left_for_local_processes": len(rest),
        "done_in_the_end": len(after),
        "untouched": all(after[name] == stamp for name, stamp in before.items()),
    }


class KillOne(threading.Thread):
    """Once a first job is done, kills the process of one that has a checkpoint."""

    def __init__(self, jobs: list[Job], out: Path) -> None:
        super().__init__(daemon=True)
        self._places = [job_directory(job, out) for job in jobs]
        self.start()

    def run(self) -> None:
        while not self._killed():
            time.sleep(0.02)

    def _killed(self) -> bool:
        if not any((place / "result.json").exists() for place in self._places):
            return False
        for place in self._places:
            if list(place.rglob("state.pt")) and not (place / "result.json").exists():
                os.kill(json.loads((place / "job.json").read_text())["pid"], signal.SIGKILL)
                return True
        return False


def _results(jobs: list[Job], out: Path) -> dict[str, int]:
    """Id -> time of writing, of every job that is done."""
    files = [job_directory(job, out) / "result.json" for job in jobs]
    return {f.parent.name: f.stat().st_mtime_ns for f in files if f.exists()}


def _outcome(jobs: list[Job], out: Path, outcomes: Outcomes) -> dict:
    facts = [json.loads((job_directory(j, out) / "result.json").read_text()) for j in jobs]
    return {
        "jobs": len(jobs),
        "statuses": dict(outcomes.statuses),
        "taken_up_at_step": [f["resumed_from"] for f in facts if f["resumed_from"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=32)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--side", type=int, default=64)
    given = parser.parse_args()
    facts: dict = {"settings": {k: v for k, v in vars(given).items() if k != "out"}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, given)
        facts["efficiency"] = efficiency(folder, "processes", on_processes)
        facts["killed"] = killed(folder)
        if importlib.util.find_spec("distributed") is not None:
            facts["efficiency on dask"] = efficiency(folder, "dask", on_dask)
            facts["cluster"] = on_a_cluster(folder)
    given.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
