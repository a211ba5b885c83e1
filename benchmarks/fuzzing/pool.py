"""Worker processes with a limit on memory and time, and the verdict on every mutant."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzzing.every import EVERY
from fuzzing.subjects import Subject

HANG = 20.0
"""Seconds after which a mutant counts as hanging."""
HUGE = 2 * 2**30
"""Bytes that nothing made of a file under 1 MiB may take at the peak."""
CEILING = 6 * 2**30
"""Bytes of address space of a worker, so that the machine stays usable."""
RECYCLED = 250
"""Mutants after which a worker makes place for a new one."""
LONGEST = 1200
"""Characters of a refusal."""


@dataclass
class Attempt:
    """Record what became of one mutant; `faults` is empty where all is as promised."""

    subject: str
    number: int
    status: int
    seconds: float
    peak: int
    said: str
    faults: list[str] = field(default_factory=list)


def seed_of(subject: Subject, number: int, seed: int) -> int:
    """The seed of one mutant, of its reader's name and number alone."""
    text = f"{subject.name} {number} {seed}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def mutant(subject: Subject, valid: Path, number: int, seed: int) -> bytes:
    """Mutant `number` of a reader; 0 is the valid file."""
    if number == 0:
        return valid.read_bytes()
    return subject.mutate(valid, random.Random(seed_of(subject, number, seed)))


class Bench:
    """Valid files, made once, in a folder of their own for each reader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def valid(self, subject: Subject) -> Path:
        """The valid file of a reader."""
        place = self.folder / re.sub(r"\W+", "-", subject.name)
        file = place / subject.file
        if not place.exists():
            file.parent.mkdir(parents=True)
            subject.make(file)
        return file

    def attempt(self, subject: Subject, number: int, seed: int) -> Attempt:
        """Run the command on a mutant, in this process."""
        valid = self.valid(subject)
        root = valid.parents[len(Path(subject.file).parts) - 1]
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            place = Path(folder) / "case"
            shutil.copytree(root, place)
            file = place / subject.file
            data = mutant(subject, valid, number, seed)
            file.write_bytes(data)
            out = place / "out"
            arguments = subject.arguments(file, out, number)
            began = time.monotonic()
            _reset_peak()
            status, said = _run(arguments)
            found = Attempt(
                subject.name, number, status, time.monotonic() - began, _peak(), said.strip()
            )
            if subject.accepted and subject.accepted in found.said:
                found.status = 0
            found.faults = faults(found, file, len(data) < 2**20) + _nan_saved(place)
        return found


def faults(found: Attempt, file: Path, small: bool) -> list[str]:
    """List the promises that do not hold."""
    wrong: list[str] = []
    said = found.said
    if found.status not in (0, 2, 130):
        wrong.append(f"exit {found.status}")
    if found.number == 0 and found.status != 0:
        wrong.append("the valid file is refused")
    if found.status != 0:
        if file.name not in said:
            wrong.append("the file is not named")
        paragraph = said.removeprefix("untrained: ")
        if "\n" in paragraph or len(paragraph) > LONGEST:
            wrong.append("not one paragraph")
        if "Traceback" in said or not said:
            wrong.append("a traceback, or nothing said")
        if re.search(r"allow_pickle|[\x00-\x09\x0b-\x1f\x7f-\x9f]", said):
            wrong.append("raw text of others or control characters")
    if found.seconds > HANG:
        wrong.append(f"took {found.seconds:.0f} s")
    if small and found.peak > HUGE:
        wrong.append(f"peak of {found.peak / 2**20:.0f} MiB")
    return wrong


def _run(arguments: list[str]) -> tuple[int, str]:
    from untrained.cli.commands import status

    error, out = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stderr(error), contextlib.redirect_stdout(out):
            code = status(arguments)
    except BaseException as crash:  # what would be a traceback for a user
        return -1, f"Traceback: {type(crash).__name__}: {crash}"
    return code, error.getvalue()


def _nan_saved(place: Path) -> list[str]:
    import numpy as np

    for name in ("reconstruction.npy", "classical.npy", "std.npy"):
        for file in place.rglob(name):
            if not np.isfinite(np.load(file)).all():
                return [f"NaN saved in {name}"]
    return []


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Peak resident memory since `_reset_peak`, where the system tells; else of the process."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", text)[1])  # type: ignore[index]


# processes -----------------------------------------------------------------------------------


def _work(pipe: Connection, folder: str, seed: int) -> None:
    os.environ.pop("UNTRAINED_DEBUG", None)
    import warnings

    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with contextlib.suppress(ImportError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
    by_name = {subject.name: subject for subject in EVERY}
    with tempfile.TemporaryDirectory(dir=folder) as own:
        bench = Bench(Path(own))
        while (job := pipe.recv()) is not None:
            pipe.send(asdict(bench.attempt(by_name[job[0]], job[1], seed)))


class Worker:
    """Run mutants in a process of their own, one at a time."""

    def __init__(self, folder: Path, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, str(folder), seed), daemon=True)
        self.process.start()
        theirs.close()
        self.done = 0
        self.job: tuple[str, int] | None = None
        self.since = 0.0

    def take(self, job: tuple[str, int]) -> None:
        """Begin a mutant."""
        self.job, self.since = job, time.monotonic()
        self.pipe.send(job)

    def answer(self) -> Attempt | None:
        """The attempt, if it is over by now; a worker that died or hangs has one too."""
        assert self.job is not None
        try:
            if self.pipe.poll(0.0):
                self.done += 1
                return Attempt(**self.pipe.recv())
        except EOFError:
            return self._lost("the process died")
        waited = time.monotonic() - self.since
        started = 60.0 if self.done == 0 else 0.0  # imports and valid files
        return self._lost(f"hangs after {waited:.0f} s") if waited > HANG + 10 + started else None

    def _lost(self, why: str) -> Attempt:
        assert self.job is not None
        self.process.kill()
        self.process.join()
        return Attempt(*self.job, self.process.exitcode or -1, 0.0, 0, "", [why])

    def end(self) -> None:
        """Let it finish."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.process.join(10)
        self.process.kill()


def run(jobs: list[tuple[str, int]], seed: int, workers: int) -> Iterator[Attempt]:
    """Attempts of all jobs (reader, number), as they end."""
    todo = list(reversed(jobs))
    with tempfile.TemporaryDirectory() as folder:
        busy: list[Worker] = []
        while todo or busy:
            while todo and len(busy) < workers:
                worker = Worker(Path(folder), seed)
                worker.take(todo.pop())
                busy.append(worker)
            for worker in list(busy):
                found = worker.answer()
                if found is None:
                    continue
                yield found
                if todo and worker.process.is_alive() and worker.done < RECYCLED:
                    worker.take(todo.pop())
                else:
                    worker.end()
                    busy.remove(worker)
            time.sleep(0.002)


def tally(attempts: list[Attempt]) -> dict[str, Any]:
    """Counts per reader, and every fault with what repeats it."""
    rows: dict[str, dict[str, Any]] = {}
    for one in attempts:
        row = rows.setdefault(one.subject, {"mutants": 0, "read": 0, "refused": 0, "faults": 0})
        row["mutants"] += one.number > 0
        row["read"] += one.status == 0
        row["refused"] += one.status == 2
        row["faults"] += bool(one.faults)
        row["longest s"] = round(max(row.get("longest s", 0), one.seconds), 1)
        row["peak MiB"] = max(row.get("peak MiB", 0), one.peak >> 20)
    return {
        "mutants": sum(row["mutants"] for row in rows.values()),
        "faults": sum(row["faults"] for row in rows.values()),
        "readers": rows,
        "faulty": [
            {"subject": a.subject, "number": a.number, "faults": a.faults, "said": a.said[:300]}
            for a in attempts
            if a.faults
        ],
    }


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The old tally with the new one's readers in place of its own."""
    readers = {**old["readers"], **new["readers"]}
    faulty = [one for one in old["faulty"] if one["subject"] not in new["readers"]]
    return {
        **old,
        "seconds": old["seconds"] + new["seconds"],
        "mutants": sum(row["mutants"] for row in readers.values()),
        "faults": sum(row["faults"] for row in readers.values()),
        "readers": readers,
        "faulty": [*faulty, *new["faulty"]],
    }


def as_json(facts: dict[str, Any]) -> str:
    """The tally as text."""
    return json.dumps(facts, indent=1) + "\n"
