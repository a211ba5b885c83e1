"""200 reconstructions in one process, in two threads at once, and in two processes at once.

    python benchmarks/at_once.py OUT.json --count 200

Tells what a call leaves behind, whether every image has the bits that it has alone, and whether the
global random state and the numbers of threads are as they were.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import multiprocessing
import platform
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

import untrained as ut

SIDE, STEPS, SEEDS = 32, 4, 4


def reconstruct(seed: int) -> str:
    """A digest of one image's bits."""
    mask = ut.physics.random_mask((SIDE, SIDE), missing=0.4)
    physics = ut.physics.Inpaint(mask, (1, SIDE, SIDE))
    y = physics.A(torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)))
    small = ["net.widths=8,16"]
    result = ut.reconstruct(
        y, physics, "dip", seed=seed, steps=STEPS, settings=small, progress=False, compare=False
    )
    return hashlib.sha256(result.image.numpy().tobytes()).hexdigest()


def resident() -> float:
    """MiB of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) / 256


def leak(count: int) -> dict[str, float]:
    """Growth over `count` calls with Python's collector off."""
    for seed in range(SEEDS):
        reconstruct(seed)
    gc.collect()
    gc.disable()
    objects, memory = len(gc.get_objects()), resident()
    for call in range(count):
        reconstruct(call % SEEDS)
    grown = {
        "calls": count,
        "objects_per_call": (len(gc.get_objects()) - objects) / count,
        "grown_mib": resident() - memory,
    }
    gc.enable()
    return grown


def number_of_new_threads() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def at_once(pool: Any, count: int, alone: dict[int, str]) -> dict[str, Any]:
    """`count` calls by a pool of two; how many gave other bits, and what they changed here."""
    state = torch.get_rng_state()
    numbers = torch.get_num_threads(), number_of_new_threads()
    seeds = [call % SEEDS for call in range(count)]
    with pool:
        found = list(pool.map(reconstruct, seeds))
    return {
        "calls": count,
        "other_bits": sum(image != alone[seed] for seed, image in zip(seeds, found, strict=True)),
        "random_state_untouched": torch.equal(torch.get_rng_state(), state),
        "threads_untouched": numbers == (torch.get_num_threads(), number_of_new_threads()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    torch.set_num_threads(1)
    facts: dict[str, Any] = {
        "side": SIDE,
        "steps": STEPS,
        "torch": torch.__version__,
        "cpu": platform.processor() or platform.machine(),
        "one_process": leak(given.count),
    }
    alone = {seed: reconstruct(seed) for seed in range(SEEDS)}
    facts["two_threads"] = at_once(ThreadPoolExecutor(2), given.count, alone)
    facts["eight_threads"] = at_once(ThreadPoolExecutor(8), given.count, alone)
    spawn = multiprocessing.get_context("spawn")
    processes = ProcessPoolExecutor(
        2, mp_context=spawn, initializer=torch.set_num_threads, initargs=(1,)
    )
    facts["two_processes"] = at_once(processes, given.count, alone)
    Path(given.out).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
