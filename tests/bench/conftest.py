"""A small grid: two 20-pixel pictures, one classical and one network method, seconds in all."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from untrained import bench
from untrained.bench import Job, do_job, job_directory, open_grid, read_grid
from untrained.data.phantoms import shepp_logan

CASES = """
[[cases]]
task = "denoise"
clean = "picture-*.npy"
simulate = { sigma = 25 }
"""
RUNS = """
[[runs]]
method = "adjoint"

[[runs]]
method = "dip"
steps = 8
settings = ["net.widths=4,8", "net.skip=2"]
label = "dip"
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two clean pictures."""
    picture = shepp_logan(20).astype(np.float32)
    np.save(tmp_path / "picture-a.npy", picture)
    np.save(tmp_path / "picture-b.npy", picture.T.copy())
    return tmp_path


@pytest.fixture
def write_grid(pictures: Path) -> Callable[..., Path]:
    """Write a grid file beside the pictures."""

    def write(head: str = "", cases: str = CASES, runs: str = RUNS, tail: str = "") -> Path:
        path = pictures / "grid.toml"
        path.write_text(f"{head}\n{cases}\n{runs}\n{tail}", encoding="utf-8")
        return path

    return write


@pytest.fixture
def jobs(write_grid: Callable[..., Path], pictures: Path) -> list[Job]:
    """The small grid's four jobs, opened in `out`."""
    return open_grid(read_grid(write_grid()), pictures / "out")


@pytest.fixture
def do(pictures: Path) -> Callable[..., str]:
    """Carry out a job in this process; gives its status."""

    def perform_here(job: Job, *more: object, **named: object) -> str:
        place = job_directory(job, pictures / "out")
        return do_job(job.to_dict(), str(place), *more, **named)  # type: ignore[arg-type]

    return perform_here


class InThisProcess(Executor):
    """Carry out every call at once and in this process: a new one takes seconds to start."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> type[Executor]:
    """Let `untrained bench run` start no process; returns the executor that takes its place."""
    monkeypatch.setattr(bench, "Processes", InThisProcess)
    return InThisProcess
