"""Kill commands without warning, repeat them, and compare what comes out byte for byte.

    python benchmarks/kill.py OUT.json [--count 64] [--seed 0] [--every 0.3] [--only PATTERN]

Each row is one kill: a scenario's command run undisturbed as the truth; the same command in
another folder killed with SIGKILL, with all of its children, at a drawn moment of its life
(loading, optimising, fitting everything again, computing the classical answer, writing); and that
command once more with `--resume`. Scenarios are taken in turn: every network method, trainings,
several seeds, several slices, an experiment, and commands with `--overwrite` over a finished
result, of which the old files must be whole right after the kill, or the new ones.

`--every` is the time between two checkpoints; the program's own is 10 s, with which runs this
short would rarely hold a second one. Every command is a process of its own, forked from one that
has done nothing but import: importing takes longer than such a run, and a kill during it would
show nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from untrained.cli import main
from untrained.data import TASKS
from untrained.data.formats.npy import write_npy
from untrained.data.formats.npz import write_npz
from untrained.data.phantoms import brain, shepp_logan
from untrained.methods import METHODS
from untrained.pretrain import load_weights
from untrained.solver import checkpoint

SIDE = 40
STEPS = 120
# What the program imports where it first needs it.
LATE = (
    "untrained.cli.commands",
    "torch._dynamo",
    "matplotlib.backends.backend_agg",
    "skimage.metrics",
    "scipy.sparse",
    "jinja2",
)
OPTIONS = ("--steps", str(STEPS), "--threads", "1", "--quiet")
SMALL = {"house": "net.widths=8,16,16", "dip": "net.widths=8,16,16", "aseqdip": "net.widths=8,16"}
LEARNING = {
    "ugodit": ("net.widths=8,16",),
    "edip": ("batch=2",),
    "metadip": ("net.widths=8,16", "inner=4"),
    "strainer": ("net.width=32", "net.layers=4"),
    "nerp": ("net.width=32", "net.layers=4"),
}
OPERATOR = f"""
import torch

class Half:
    x_shape = (1, {SIDE}, {SIDE})

    def A(self, x):
        return x[..., ::2].cumsum(-1) / {SIDE}
"""


@dataclass(frozen=True)
class Scenario:
    """Describe a command that is killed.

    Attributes:
        name: for the table.
        command: the arguments up to `--out`.
        target: what stands behind `--out`, a name in the folder.
        compared: patterns of the files that must agree, relative to the folder.
        first: what is run to its end before, in the folder of the kill: a result to overwrite.
    """

    name: str
    command: tuple[str, ...]
    target: str
    compared: tuple[str, ...]
    first: tuple[str, ...] = ()

    def out(self, folder: Path) -> tuple[str, str]:
        """The option that says where to write."""
        return "--out", str(folder / self.target)


@dataclass(frozen=True)
class Row:
    """One kill.

    Attributes:
        seconds, kill_after: the undisturbed command's, and when the other was killed.
        reached: where `state.pt` stood after the kill; `no state` before the first checkpoint.
        old: with an old result there, whether its files or the new ones were whole right after.
        same: whether the compared files agree byte for byte in the end.
    """

    scenario: str
    seconds: float
    kill_after: float
    reached: str
    old: str
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
    options: dict[str, dict[str, float]] = {
        "mri": {"coils": 3, "center_fraction": 0.25},
        "ct": {"angles": 20},
        "superres": {"factor": 2},
    }
    simulate = TASKS[task].simulate
    assert simulate is not None
    simulate(clean, out, seed=1, **options.get(task, {}))
    return (str(out),)


def slices(folder: Path) -> str:
    """Three slices of fully sampled k-space, every other column of which is missing."""
    images = np.stack([np.roll(brain(SIDE), shift, 0) for shift in range(3)])
    coils = np.stack([images, images * np.linspace(0.5, 1, SIDE)], 1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(coils, (-2, -1))), (-2, -1))
    kspace[..., : SIDE // 3 : 2] = 0
    write_npz(folder / "slices.npz", {"kspace": kspace.astype(np.complex64)})
    return str(folder / "slices.npz")


IMAGE = ("out/reconstruction.npy", "out/history.csv")


def scenarios(folder: Path) -> list[Scenario]:
    """Everything that can be killed, on small measurements in a folder."""
    given = {task: measure(task, folder) for task in TASKS}
    write_npy(folder / "guide.npy", shepp_logan(SIDE).astype(np.float32))
    found = [
        Scenario(f"{method} on {task}", command, "out", IMAGE)
        for method, task, command in _methods(given, folder)
    ]
    found += [_learning(method, folder) for method, card in METHODS.items() if card.training]
    dip = ("reconstruct", "denoise", *given["denoise"], "--method", "dip", *OPTIONS)
    small = ("--set", "net.widths=8,16")
    found += [
        Scenario("dip, three seeds", (*dip, *small, "--seeds", "3"), "out", IMAGE),
        Scenario(
            "dip, three slices",
            (
                *("reconstruct", "mri", slices(folder), "--slice", "all", "--maps", "lowres"),
                *("--method", "dip", *OPTIONS, *small),
            ),
            "out",
            IMAGE,
        ),
        _experiment(folder),
        Scenario("dip, overwriting", (*dip, *small, "--seed", "1"), "out", IMAGE, (*dip, *small)),
        Scenario(
            "house, overwriting",
            ("reconstruct", "ct", *given["ct"], *OPTIONS, "--seed", "1"),
            "out",
            IMAGE,
            ("reconstruct", "ct", *given["ct"], "--method", "tv", "--quiet"),
        ),
    ]
    nerp = _learning("nerp", folder)
    again = Scenario("nerp training, overwriting", nerp.command, nerp.target, nerp.compared)
    return [*found, Scenario(**{**asdict(again), "first": (*nerp.command, "--seed", "1")})]


def _methods(
    given: dict[str, tuple[str, ...]], folder: Path
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Every network method on a task that it does, each on another one as far as there are."""
    found = []
    names = [m for m, card in METHODS.items() if not card.classical and not card.training]
    for i, method in enumerate(names):
        tasks = METHODS[method].tasks
        task = tasks[i % len(tasks)]
        command = ("reconstruct", task, *given[task], "--method", method, *OPTIONS)
        if method in ("refguided", "autoencoder"):
            command = ("reconstruct", "denoise", *given["denoise"], "--method", method, *OPTIONS)
            task, command = "denoise", (*command, "--guide", str(folder / "guide.npy"))
        if method in SMALL:
            command = (*command, "--set", SMALL[method])
        found.append((method, task, command))
    return found


def _learning(method: str, folder: Path) -> Scenario:
    clean = str(folder / "guide.npy")
    source = {"edip": str(folder / "ct.npz"), "ugodit": str(folder / "denoise.npz")}
    task = "ct" if method == "edip" else "denoise"
    settings = [part for one in LEARNING[method] for part in ("--set", one)]
    command = ("pretrain", method, task, source.get(method, clean), *OPTIONS, *settings)
    return Scenario(
        f"{method} training",
        command,
        "w.safetensors",
        ("w.safetensors", "w-training/history.csv"),
    )


def _experiment(folder: Path) -> Scenario:
    grid = folder / "grid.toml"
    grid.write_text(
        f'seeds = [0, 1]\n[[cases]]\ntask = "denoise"\nfile = "{folder / "denoise.npz"}"\n'
        f'[[runs]]\nmethod = "dip"\nsteps = {STEPS}\nsettings = ["net.widths=8,16"]\n'
    )
    compared = ("bench/jobs/*/reconstruction.npy", "bench/jobs/*/history.csv")
    return Scenario("an experiment", ("bench", "run", str(grid), "--quiet"), "bench", compared)


def start(arguments: tuple[str, ...], log: Path) -> multiprocessing.process.BaseProcess:
    """The command in a process of its own, at the head of a group of its own."""
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_command, args=(list(arguments), str(log)))
    process.start()
    return process


def _command(arguments: list[str], log: str) -> None:
    os.setsid()
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    main(arguments)


def run(arguments: tuple[str, ...], log: Path) -> int:
    """Run a command to its end; returns its exit status."""
    process = start(arguments, log)
    process.join()
    return process.exitcode or 0


def reached(folder: Path) -> str:
    """Phase and step that the checkpoints left by a kill stand for."""
    states = sorted(folder.rglob("state.pt"))
    if not states:
        return "no state"
    content = torch.load(states[-1], weights_only=True)
    if content["running"]:
        step = int(content["running"]["state"]["state"]["step"])
        return f"{content['running']['stage'].rpartition('/')[2]} {step}"
    return f"{len(content['finished'])} phases"


def hashes(scenario: Scenario, folder: Path) -> dict[str, str]:
    """Hash of every compared file; of weights, of their tensors."""
    return {
        str(path.relative_to(folder)): _hash(path)
        for pattern in scenario.compared
        for path in sorted(folder.glob(pattern))
    }


def _hash(path: Path) -> str:
    if path.suffix != ".safetensors":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for name, tensor in sorted(load_weights(path).tensors.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def kill_one(scenario: Scenario, share: float, folder: Path) -> Row:
    """The truth, the killed command, the repeated one, the comparison."""
    log, whole, broken = folder / "log.txt", folder / "whole", folder / "broken"
    whole.mkdir()
    broken.mkdir()
    began = time.monotonic()
    if run((*scenario.command, *scenario.out(whole)), log):
        raise SystemExit(f"{scenario.name} failed: {log.read_text(errors='replace')[-2000:]}")
    seconds, truth = time.monotonic() - began, hashes(scenario, whole)
    over: tuple[str, ...] = ()
    if scenario.first:
        run((*scenario.first, *scenario.out(broken)), log)
        over = ("--overwrite",)
    before = hashes(scenario, broken)
    process = start((*scenario.command, *scenario.out(broken), *over), log)
    time.sleep(share * seconds)
    alive = process.is_alive()
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    place, after = reached(broken), hashes(scenario, broken)
    old = {True: "old", False: "MIXED"}[after == before] if scenario.first else ""
    old = "new" if scenario.first and after == truth else old
    resume = () if scenario.command[0] == "bench" else ("--resume",)
    again = (*scenario.command, *scenario.out(broken))
    if run((*again, *resume), log) and scenario.first:
        run((*again, *over), log)  # nothing of the new run was there yet: the old one is shown
    note = "" if alive else "ended before the kill"
    same = hashes(scenario, broken) == truth and old != "MIXED"
    left = [str(p.relative_to(broken)) for p in broken.rglob("*") if p.name.endswith(".part")]
    note = f"left over: {left}" if left else note
    return Row(
        scenario.name,
        round(seconds, 2),
        round(share * seconds, 2),
        place,
        old,
        same and not left,
        note,
    )


def sweep() -> int:
    """Kill `count` commands; 1 if any repeated one differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=0.3)
    parser.add_argument("--only", default="*", help="scenarios that match this pattern")
    options = parser.parse_args()
    for module in LATE:
        importlib.import_module(module)
    torch.set_num_threads(1)
    checkpoint.EVERY_SECONDS = options.every
    draw = random.Random(options.seed)
    # One moment in each of `count` equal parts of a command's life, in any order.
    shares = [(k + draw.random()) / options.count for k in range(options.count)]
    draw.shuffle(shares)
    rows: list[Row] = []
    for i, share in enumerate(shares):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            there = [s for s in scenarios(folder) if fnmatch.fnmatch(s.name, options.only)]
            rows.append(kill_one(there[i % len(there)], share, folder))
        print(line(rows[-1]), flush=True)
        save(options, rows)
    failed = sum(not row.same for row in rows)
    print(f"{len(rows)} kills, {failed} differ")
    return 1 if failed else 0


def line(row: Row) -> str:
    """A row of the table."""
    verdict = "same" if row.same else "DIFFERS"
    return (
        f"{row.scenario:<28}{row.kill_after:6.1f} of {row.seconds:5.1f} s  {row.reached:<12}"
        f"{row.old:<6}{verdict} {row.note}"
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
        "torch": str(torch.__version__),
        "rows": [asdict(row) for row in rows],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(sweep())
