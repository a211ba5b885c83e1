"""The quality gate: thirteen small cases over all tasks, whose PSNR is known to 0.1 dB.

    python benchmarks/quality.py check [--only PATTERN] [--workers N]
    python benchmarks/quality.py record [--only PATTERN] [--workers N]

Run `check` before a change of defaults lands. It reconstructs every case with the default method
(`auto`), with `aseqdip` or `dip` in `fast` and with a classical method, compares each PSNR with
the expected one and ends with status 1 where one of them is off by more than 0.1 dB, better or
worse. `record` writes what it finds as the new expected values. Each set of instructions of a
processor has its own, results/quality-avx2.json and so on: the last digit of a sum depends on it,
and hundreds of steps of a network can make decibels of that, as a seed does; classical answers
agree. The cases are simulated from phantoms and from pictures that come with scikit-image, so a
clone is all that is needed. Every run takes one thread and single precision; PATTERN matches
`CASE/METHOD` with `*` and `?`.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evidence import read_case
from scans import simulate

import untrained as ut
from untrained._version import versions
from untrained.bench import Processes
from untrained.bench.score import Score
from untrained.bench.work import read_json, write_json
from untrained.data import TASKS, Measurement
from untrained.data.formats.npy import write_npy
from untrained.data.formats.npz import write_npz
from untrained.data.phantoms import brain, shepp_logan
from untrained.methods import METHODS
from untrained.threads import at_most_threads

RESULTS = Path(__file__).parent / "results"
INSTRUCTIONS = torch.backends.cpu.get_cpu_capability()
EXPECTED = RESULTS / f"quality-{INSTRUCTIONS.lower()}.json"
OPERATOR = Path(__file__).parents[1] / "examples" / "own_operator.py"
TOLERANCE = 0.1  # dB
ADVICE = f"""
What to do: find out which change moved these numbers. If it was meant to, or if the new numbers are
better and you know why, run `record`, commit {EXPECTED.name} and say the reason in CHANGELOG.md.
"""


def grey(size: int) -> np.ndarray:
    """The face of scikit-image's cameraman, `(size, size)`."""
    from skimage.data import camera

    return shrunk(camera()[60:252, 136:328], size)


def colour(size: int) -> np.ndarray:
    """The face of scikit-image's astronaut, `(3, size, size)`."""
    from skimage.data import astronaut

    return np.moveaxis(shrunk(astronaut()[16:208, 128:320], size), -1, 0)


def shrunk(pixels: np.ndarray, size: int) -> np.ndarray:
    """A square picture of 8 bits, its pixels averaged to `size` a side; values in [0, 1]."""
    from skimage.transform import resize

    shape = (size, size, *pixels.shape[2:])
    return resize(pixels / 255, shape, anti_aliasing=True).astype(np.float32)


def slice_of_head(size: int) -> np.ndarray:
    """Draw the magnitude of the brain phantom, for CT."""
    return np.abs(brain(size))


def tank(size: int) -> np.ndarray:
    """Draw conductivities of a tank: water, something that conducts less and something more."""
    y, x = np.mgrid[1 : -1 : size * 1j, -1 : 1 : size * 1j]
    poor = np.hypot(x + 0.35, 1.3 * (y - 0.3)) < 0.3
    good = np.hypot(x - 0.4, y + 0.2) < 0.25
    return (0.8 - 0.6 * poor + 1.2 * good).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """Describe a measurement to simulate and the methods tried on it beside `auto`.

    Attributes:
        task: a task's name.
        clean: size -> the clean image.
        size: of its sides.
        methods: a network in `fast`, and a classical one where the task has any.
        options: keywords of the task's `simulate`.
    """

    task: str
    clean: Callable[[int], np.ndarray]
    size: int
    methods: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


# eight lines and more in the centre: coil maps are estimated from them
FOUR = {"acceleration": 4, "center_fraction": 0.12, "coils": 4, "sigma": 2}
EIGHT = {"acceleration": 8, "center_fraction": 0.084, "coils": 4, "sigma": 2}

CASES = {
    "denoise": Case("denoise", colour, 64, ("dip", "nlbayes"), {"sigma": 25}),
    "inpaint": Case("inpaint", grey, 64, ("aseqdip", "lowrank"), {"missing": 0.5}),
    "superres": Case("superres", colour, 64, ("aseqdip", "dct"), {"factor": 4}),
    "deblur": Case("deblur", grey, 64, ("aseqdip", "nlbayes")),
    "nldeblur": Case("nldeblur", grey, 64, ("dip",)),
    "cs": Case("cs", grey, 48, ("dip", "dct")),
    "phase": Case("phase", grey, 48, ("dip",)),
    "mri-4x": Case("mri", brain, 96, ("aseqdip", "lowrank"), FOUR),
    "mri-8x": Case("mri", brain, 96, ("dip", "nlbayes"), EIGHT),
    "ct": Case("ct", slice_of_head, 64, ("aseqdip", "nlbayes"), {"angles": 30}),
    "ct-shepp": Case("ct", shepp_logan, 64, ("dip", "tv"), {"angles": 20}),
    "eit": Case("eit", tank, 48, ("dip", "gaussnewton")),
    "custom": Case("custom", grey, 32, ("aseqdip", "tv")),
}


def measurement(case: Case) -> Measurement:
    """Simulate a case as `untrained simulate` does and read it as `untrained reconstruct` does."""
    with tempfile.TemporaryDirectory() as folder:
        clean, file = Path(folder) / "clean.npy", Path(folder) / "case.npz"
        write_npy(clean, np.ascontiguousarray(case.clean(case.size)))
        if case.task != "custom":
            simulate(case.task, clean, file, **case.options)
            return read_case(case.task, file)
        from untrained.own_code import build

        operator = f"{OPERATOR}:SinglePixelCamera"
        x = torch.from_numpy(np.load(clean))[None, None]
        y = build(operator, "operator").A(x)[0]
        write_npz(file, {"measurement": y.numpy(), "reference": x[0].numpy()})
        (found,) = TASKS["custom"].load(file, physics=operator)
        return found


def row(name: str, device: str = "cpu") -> dict[str, float]:
    """Measure PSNR and CPU time of `CASE/METHOD`, on one thread and in single precision."""
    case, _, method = name.partition("/")
    classical = method != "auto" and METHODS[method].classical
    with at_most_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ut.Note)
        m = measurement(CASES[case])
        score = Score(m, "disc" if m.task in ("ct", "eit") else "all", torch.device(device))
        began = time.process_time()
        result = ut.reconstruct(
            m.y,
            m.physics,
            method,
            sigma=m.sigma,
            device=device,
            progress=False,
            compare=False,
            settings=() if classical else ("engine.precision=fp32",),
        )
    spent = time.process_time() - began
    return {"psnr": round(score.psnr(result.image), 3), "cpu_seconds": round(spent, 1)}


def names(only: str) -> list[str]:
    """List all `CASE/METHOD` that match."""
    each = [f"{name}/{m}" for name, case in CASES.items() for m in ("auto", *case.methods)]
    return [name for name in each if fnmatch.fnmatchcase(name, only)]


def measured(asked: list[str], workers: int) -> dict[str, dict[str, Any]]:
    """Measure each row in processes of one thread; a row that failed has its error."""
    found: dict[str, dict[str, Any]] = {}
    with Processes(["cpu"] * workers) as pool:
        waiting = {pool.submit(row, name): name for name in asked}
        for future in as_completed(waiting):
            name, error = waiting[future], future.exception()
            found[name] = future.result() if error is None else {"error": repr(error)}
            print(f"{len(found)}/{len(asked)} {name} {found[name]}", file=sys.stderr, flush=True)
    return {name: found[name] for name in asked}


def compared(
    expected: dict[str, dict[str, Any]], found: dict[str, dict[str, Any]]
) -> list[tuple[str, str, bool]]:
    """Compare the rows: (name, cells of the table, whether it passed) of each that either has."""
    lines = []
    for name in {**expected, **found}:
        before, now = expected.get(name, {}).get("psnr"), found.get(name, {}).get("psnr")
        change = None if before is None or now is None else now - before
        passed = change is not None and abs(change) <= TOLERANCE
        cells = ["     -" if value is None else f"{value:6.2f}" for value in (before, now)]
        off = "     -" if change is None else f"{change:+6.2f}"
        error = found.get(name, {}).get("error", "" if name in found else "not run any more")
        error = error or ("" if name in expected else "no expected value")
        lines.append((name, f"{cells[0]} {cells[1]} {off}  {error}".rstrip(), passed))
    return lines


def machine() -> dict[str, str]:
    """Describe what the numbers may depend on beside the code."""
    kept = {name: versions()[name] for name in ("untrained", "torch", "platform")}
    return {**kept, "instructions": INSTRUCTIONS, "precision": "fp32", "threads": "1"}


def check(only: str, workers: int) -> int:
    """Measure, print the table and return the exit status."""
    if not EXPECTED.exists():
        print(
            f"{EXPECTED.name} is missing: nothing was recorded on a processor with {INSTRUCTIONS}. "
            "Run `record` at a commit that you trust, then `check`."
        )
        return 1
    stored = read_json(EXPECTED)
    expected = {n: v for n, v in stored["rows"].items() if fnmatch.fnmatchcase(n, only)}
    found = measured(names(only), workers)
    lines = compared(expected, found)
    print(f"{'case':20} expected found difference (dB)")
    for name, said, passed in lines:
        print(f"{name:20} {said}  {'PASS' if passed else 'FAIL'}")
    spent = sum(one.get("cpu_seconds", 0.0) for one in found.values())
    failed = [name for name, _, passed in lines if not passed]
    print(f"{len(lines) - len(failed)} of {len(lines)} within {TOLERANCE} dB; {spent:.0f} CPU s")
    if failed:
        others = {k: (v, machine()[k]) for k, v in stored["machine"].items() if v != machine()[k]}
        told = [f"{name} {was}, here {now}" for name, (was, now) in others.items()]
        if told:
            print("The expected values were recorded elsewhere: " + "; ".join(told))
        print(ADVICE)
    return 1 if failed else 0


def record(only: str, workers: int) -> int:
    """Write what is found as expected; the rows that do not match stay."""
    stored = read_json(EXPECTED) if EXPECTED.exists() else {"rows": {}, "machine": machine()}
    before = stored["rows"]
    if set(names(only)) != set(names("*")) and stored["machine"] != machine():
        print("the other rows were recorded elsewhere: record all of them, without --only")
        return 1
    found = measured(names(only), workers)
    failed = [f"{name}: {one['error']}" for name, one in found.items() if "error" in one]
    if failed:
        print("nothing was recorded, since these failed:", *failed, sep="\n")
        return 1
    rows = {name: {**before, **found}[name] for name in names("*") if name in {**before, **found}}
    write_json(EXPECTED, {"tolerance_db": TOLERANCE, "machine": machine(), "rows": rows})
    print(f"wrote {len(found)} rows into {EXPECTED}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("check", "record"))
    parser.add_argument("--only", default="*", metavar="PATTERN", help="CASE/METHOD")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    given = parser.parse_args()
    if not names(given.only):
        parser.error(f"--only {given.only} matches none of: {', '.join(names('*'))}")
    sys.exit({"check": check, "record": record}[given.command](given.only, given.workers))
