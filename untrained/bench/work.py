"""Status of a job, from its directory: `job.json` (begun), `result.json` (done), `failed.json`."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from untrained._version import versions
from untrained.bench.job import Job, job_from_dict
from untrained.bench.measure import Measured, measure
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.files import atomic_write, is_regular, make_directory
from untrained.machine import peak_mb, pick_device, start_peak
from untrained.report.arrays import saved_array
from untrained.report.save import history_csv
from untrained.threads import at_most_threads

JOB, RESULT, FAILED, STATE, LOCK = "job.json", "result.json", "failed.json", "state", ".lock"
NOT_BEGUN, KILLED, DONE, CUT, FAILURE = "missing", "killed", "done", "cut", "failed"
BUSY, PAUSED = "busy", "paused"


def job_status(directory: Path) -> str:
    """Tell from a job's directory: `done`, `cut`, `failed`, `killed` or `missing`.

    `killed` has begun and left neither result nor error: its process was killed, or is at work.
    """
    if (directory / RESULT).exists():
        return CUT if read_json(directory / RESULT)["cut"] else DONE
    if (directory / FAILED).exists():
        return FAILURE
    return KILLED if (directory / JOB).exists() else NOT_BEGUN


def has_work_left(directory: Path, time_limit: float, retry: bool = False) -> bool:
    """Tell whether something is left to do: also where a larger limit than the one that cut it
    is given now, and, with `retry`, where it failed.
    """
    status = job_status(directory)
    if status == CUT:
        before = read_json(directory / RESULT)["time_limit"]
        return not time_limit or time_limit > before
    return status in (NOT_BEGUN, KILLED) or (retry and status == FAILURE)


def do_job(
    values: dict[str, Any],
    directory: str,
    time_limit: float = 0.0,
    threads: int = 1,
    device: str = "auto",
    watch: Sequence[Watch] = (),
) -> str:
    """Do one job. Never twice, and never by two processes at once.

    Args:
        values: `Job.to_dict()`: plain values, so that every worker works out the id itself.
        directory: the job's own.
        time_limit: seconds after which it is cut; 0 = none.
        threads: CPU threads.
        device: where.
        watch: further watchers.

    Returns:
        `done`, `cut`, `failed`, `paused`, or `busy`: another process has it.
    """
    folder = make_directory(directory)
    with at_most_threads(threads), _lock(folder) as mine:
        if not mine:
            return BUSY
        if not has_work_left(folder, time_limit, retry=True):  # another process was faster
            return job_status(folder)
        try:
            return _do(values, folder, time_limit, device, watch)
        except Exception as error:
            write_failure(folder, f"{type(error).__name__}: {error}", traceback.format_exc())
            return FAILURE


def write_failure(directory: Path, error: str, details: str = "") -> None:
    """Write `failed.json`: the error in one paragraph, and where it came from."""
    facts = {"error": error, "details": details, "host": platform.node(), "time": _now()}
    write_json(make_directory(directory) / FAILED, facts)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that this module wrote.

    Raises:
        UserError: it is damaged.
    """
    try:
        if not is_regular(path):  # a pipe would be waited for
            raise OSError("it is no plain file")
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it to do the job again") from None


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as a file, in one step."""
    with atomic_write(path, "w") as stream:
        stream.write(json.dumps(values, indent=1, allow_nan=False) + "\n")


def _do(
    values: dict[str, Any], folder: Path, time_limit: float, device: str, watch: Sequence[Watch]
) -> str:
    job = job_from_dict(values)
    if job.id != values["id"]:
        raise UserError(
            "the same job has another id in this process: its version of untrained is not that "
            "of the process that read the grid; install the same version everywhere"
        )
    (folder / FAILED).unlink(missing_ok=True)
    write_json(folder / JOB, {**values, "pid": os.getpid(), "host": platform.node()})
    hardware = pick_device(device)
    start_peak(hardware)
    state = folder / STATE / _kind(job, hardware)
    measured = measure(job, state, time_limit=time_limit, device=str(hardware), watch=watch)
    if not measured.finished:
        return PAUSED
    with atomic_write(folder / "reconstruction.npy") as stream:
        image = saved_array(measured.result.image, job.case.task, measured.axes)
        np.save(stream, image, allow_pickle=False)
    with atomic_write(folder / "history.csv") as stream:
        stream.write(history_csv(measured.history))
    write_json(folder / RESULT, _facts(job, measured, time_limit, peak_mb(hardware)))
    if not measured.cut:
        shutil.rmtree(folder / STATE, ignore_errors=True)
    return CUT if measured.cut else DONE


def _facts(job: Job, measured: Measured, time_limit: float, peak: float | None) -> dict[str, Any]:
    """Collect the contents of `result.json`."""
    result = measured.result
    return {
        **job.to_dict(),
        "recipe": None if result.recipe is None else result.recipe.to_dict(),
        **{name: _finite(value) for name, value in measured.scores.items()},
        "uncertainty": measured.uncertainty,
        "stop": asdict(result.stop[0]),
        "steps": result.steps,
        "seconds": result.seconds,
        "cpu_seconds": result.cpu_seconds,
        "full_seconds": measured.full_seconds,
        "peak_memory_mb": peak,
        "device": result.device,
        "precision": result.precision,
        "threads": result.threads,
        "resumed_from": result.resumed_from,
        "curve": measured.curve,
        "cut": measured.cut,
        "time_limit": time_limit,
        "versions": versions(),
        "host": platform.node(),
        "time": _now(),
    }


def _kind(job: Job, hardware: torch.device) -> str:
    """Name the device and arithmetic that a checkpoint fits; with others a job begins anew."""
    recipe = job.plan().recipe
    return hardware.type if recipe is None else f"{hardware.type}-{recipe.engine.resolve(hardware)}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold the job's lock; False where another process has it. A dead process holds none."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
