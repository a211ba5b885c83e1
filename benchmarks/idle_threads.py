"""What a second CPU thread brings and costs, on an idle machine and beside busy loops.

    python benchmarks/idle_threads.py OUT.json --sides 256 --repeats 5 --loops 0 4

40 steps on a noisy picture, each in a process of its own: from the command line and from Python,
allowed one thread and two, in turn; with --forced an image takes the two, which one of less than
100,000 pixels would not by itself. CPU seconds and wall seconds are those of the whole process;
medians. The load before says whether the machine was idle but for the loops.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from untrained.cli import WAITING

STEPS, SIGMA = 40, 0.1
CLEAN = {name: value for name, value in os.environ.items() if name not in WAITING}
SCRIPT = """
import sys, numpy, torch, untrained as ut
path, threads, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
y = torch.from_numpy(numpy.load(path))[None, None]
how = {"steps": steps, "stop": "none", "progress": False, "compare": False, "method": sys.argv[4]}
ut.reconstruct(y, ut.physics.Denoise(), **how)
"""


def picture(side: int, place: Path) -> None:
    """A noisy picture of shapes as place/picture.png and place/picture.npy."""
    rows, columns = np.mgrid[:side, :side] / side
    clean = 0.5 + 0.25 * np.sin(9 * rows) * np.cos(7 * columns) + 0.2 * (rows > columns)
    noisy = clean + SIGMA * np.random.default_rng(0).standard_normal(clean.shape)
    Image.fromarray((255 * noisy.clip(0, 1)).astype(np.uint8)).save(place / "picture.png")
    np.save(place / "picture.npy", noisy.clip(0, 1).astype(np.float32))


FORCED = "import untrained.threads; untrained.threads.PIXELS = 0"
COMMAND = f"""
import sys
from untrained.cli import main, wait_asleep
wait_asleep()
if sys.argv.pop() == "forced":
    {FORCED}
main(sys.argv[1:])
"""


def command(way: str, place: Path, threads: int, method: str, forced: bool) -> list[str]:
    if way == "python":
        numbers = [str(threads), str(STEPS), method]
        script = f"{FORCED}\n{SCRIPT}" if forced else SCRIPT
        return [sys.executable, "-c", script, str(place / "picture.npy"), *numbers]
    told = f"reconstruct denoise {place / 'picture.png'} --sigma {SIGMA} --method {method}"
    told += f" --steps {STEPS} --stop none --quiet --overwrite --threads {threads}"
    how = "forced" if forced else "free"
    return [sys.executable, "-c", COMMAND, *told.split(), "--out", str(place / "out"), how]


def cost(arguments: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of a process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(arguments, env=CLEAN, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, wall


def measure(side: int, given: argparse.Namespace) -> dict[str, Any]:
    """Costs of every way and number of threads, taken in turn."""
    runs: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        picture(side, place)
        for _ in range(given.repeats):
            for way in given.ways:
                for threads in (1, 2):
                    spent = cost(command(way, place, threads, given.method, given.forced))
                    runs.setdefault(f"{way}/{threads}", []).append(spent)
    return runs


def rows(side: int, loops: int, runs: dict[str, Any], ways: list[str]) -> list[dict[str, Any]]:
    table = []
    for way in ways:
        (one_cpu, one_wall), (two_cpu, two_wall) = (
            [statistics.median(column) for column in zip(*runs[f"{way}/{n}"], strict=True)]
            for n in (1, 2)
        )
        table.append(
            {
                "side": side,
                "busy_loops": loops,
                "from": way,
                "cpu_1": one_cpu,
                "cpu_2": two_cpu,
                "cpu_ratio": two_cpu / one_cpu,
                "wall_1": one_wall,
                "wall_2": two_wall,
                "speed_up": one_wall / two_wall,
            }
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--sides", type=int, nargs="+", default=[256])
    parser.add_argument("--loops", type=int, nargs="+", default=[0, 4])
    parser.add_argument("--ways", nargs="+", default=["command line", "python"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--forced", action="store_true")
    parser.add_argument("--note", default="", help="what else was to be said of the machine")
    given = parser.parse_args()
    table, raw = [], []
    for loops in given.loops:
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
        try:
            for side in given.sides:
                load = os.getloadavg()
                runs = measure(side, given)
                raw.append({"side": side, "busy_loops": loops, "load_before": load, "runs": runs})
                table += rows(side, loops, runs, given.ways)
                print(*table[-len(given.ways) :], sep="\n", flush=True)
        finally:
            for one in busy:
                one.kill()
                one.wait()
    facts = {
        "steps": STEPS,
        "method": given.method,
        "note": given.note,
        "cores": os.cpu_count(),
        "torch": str(torch.__version__),
        "cpu": platform.processor() or platform.machine(),
        "table": table,
        "raw": raw,
    }
    Path(given.out).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
