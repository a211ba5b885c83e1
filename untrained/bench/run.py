"""Run the jobs of a grid that are not done yet (`work.py` says which); a later call goes on."""

from __future__ import annotations

import fnmatch
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from untrained.bench.grid import Grid
from untrained.bench.job import Job, job_from_dict
from untrained.bench.made import DATA, GRID, JOBS, read_own_grid
from untrained.bench.pool import Pause, Processes
from untrained.bench.work import (
    BUSY,
    FAILED,
    FAILURE,
    PAUSED,
    do_job,
    has_work_left,
    read_json,
    write_failure,
    write_json,
)
from untrained.errors import UserError
from untrained.files import make_directory

TRIES = 3  # a job whose process was killed so often will kill the next one too


@dataclass
class Outcomes:
    """How the jobs of one call of `run_jobs` ended.

    Attributes:
        statuses: how many jobs ended how: `done`, `cut`, `failed`, `paused`, `busy`, `lost`.
        again: how often a job was handed out again because its process died.
        interrupted: whether Ctrl-C ended it.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    again: int = 0
    interrupted: bool = False


def open_grid(grid: Grid, out: Path) -> list[Job]:
    """List all jobs of the grid, and note them in `out` to tell missing ones from none.

    Raises:
        UserError: `out` belongs to another grid, or to somebody else, or cannot be written; see
            `Grid.jobs`.
    """
    make_directory(out)
    before = read_own_grid(out) or {}
    facts = {"name": grid.name, "small": grid.small, "time_limit": grid.time_limit}
    # of a grid that was refused there are no jobs yet, and any other may take its place
    if before.get("jobs") and (before["name"], before["small"]) != (grid.name, grid.small):
        size = " --small" if before["small"] else ""
        raise UserError(f"{out} belongs to the grid '{before['name']}'{size}; choose another")
    if not before:  # first of all, to prove that what follows is ours
        write_json(out / GRID, {**facts, "jobs": []})
    jobs = grid.jobs(out / DATA)
    linked = [job.id for job in jobs if job_directory(job, out).is_symlink()]
    if linked:
        raise UserError(
            f"{out / JOBS / linked[0]} is a link, and what it leads to is somebody else's; nothing "
            "was touched: choose another --out"
        )
    write_json(out / GRID, {**before, **facts, "jobs": [job.to_dict() for job in jobs]})
    return jobs


def read_jobs(out: Path) -> list[Job]:
    """Read the jobs that `open_grid` noted.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    if not (out / GRID).exists():
        raise UserError(f"{out} holds no {GRID}: it is not a directory of `untrained bench run`")
    try:
        return [job_from_dict(values) for values in read_json(out / GRID)["jobs"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{out / GRID} is damaged ({error!r}); run the grid again") from error


def job_directory(job: Job, out: Path) -> Path:
    """Return the directory of a job's files."""
    return out / JOBS / job.id


def select(jobs: Iterable[Job], pattern: str) -> list[Job]:
    """Select the jobs whose name matches a pattern with `*` and `?`.

    Raises:
        UserError: there is none.
    """
    jobs = list(jobs)
    found = [job for job in jobs if fnmatch.fnmatchcase(job.name, pattern)]
    if not found:
        raise UserError(f"--only {pattern}: no job matches; one of them is '{jobs[0].name}'")
    return found


def jobs_left(jobs: Iterable[Job], out: Path, time_limit: float, retry: bool = False) -> list[Job]:
    """List the jobs that are left to do, each once."""
    unique = {job.id: job for job in jobs}
    return [
        job for job in unique.values() if has_work_left(job_directory(job, out), time_limit, retry)
    ]


def run_jobs(
    jobs: list[Job],
    out: Path,
    executor: Executor,
    *,
    time_limit: float = 0.0,
    threads: int = 1,
    device: str = "auto",
    quiet: bool = False,
) -> Outcomes:
    """Do the jobs; a job whose process dies is handed out again, up to `TRIES` times.

    Args:
        jobs: what `jobs_left` gave.
        out: the experiment's directory, seen by every worker.
        executor: `Processes`, a cluster's, or any other.
        time_limit: seconds per job; 0 = none.
        threads: CPU threads per job.
        device: for an executor that does not choose it.
        quiet: no progress.

    Returns:
        What became of them. Ctrl-C once: those under way keep their state and end; twice: at once.
    """
    outcomes, tries = Outcomes(), Counter[str]()
    chosen: dict[str, Any] = {} if isinstance(executor, Processes) else {"device": device}

    def submit(job: Job) -> Future[str]:
        tries[job.id] += 1
        folder = str(job_directory(job, out).resolve())
        given = (job.to_dict(), folder, time_limit, threads)
        return executor.submit(do_job, *given, watch=(Pause(),), **chosen)

    with _Progress(len(jobs), quiet) as progress:
        waiting = {submit(job): job for job in jobs}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    job = waiting.pop(future)
                    status = _status(future, job, out, tries[job.id] < TRIES)
                    if status is None:
                        outcomes.again += 1
                        waiting[submit(job)] = job
                        continue
                    outcomes.statuses[status] += 1
                    progress.ended(job, status, job_directory(job, out))
        except KeyboardInterrupt:
            outcomes.interrupted = True
            _end_early(executor, waiting, progress.say)
    return outcomes


def _status(future: Future[str], job: Job, out: Path, again: bool) -> str | None:
    """Tell how a job ended; None where it is to be handed out again."""
    try:
        return future.result()
    except CancelledError:
        return "lost"
    except BrokenExecutor as error:
        if again:
            return None
        text = f"its process was killed {TRIES} times ({error}); was the memory full?"
    except Exception as error:  # a worker that a cluster gave up, an answer that did not arrive
        text = f"{type(error).__name__}: {error}"
    write_failure(job_directory(job, out), text)
    return FAILURE


def _end_early(
    executor: Executor, waiting: dict[Future[str], Job], say: Callable[[str], None]
) -> None:
    """Let the jobs under way keep their state; a second Ctrl-C ends them where they are."""
    for future in waiting:
        future.cancel()
    if not isinstance(executor, Processes):
        return
    say("interrupted: the jobs under way keep their state; Ctrl-C again ends them at once")
    executor.pause()
    try:
        wait(waiting)
    except KeyboardInterrupt:
        executor.kill()


class _Progress:
    """A bar over the jobs with time left, and a line for each that failed."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet, self._failed = total, quiet, 0
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        from tqdm import tqdm

        self._bar = tqdm(
            total=self._total,
            unit="job",
            desc="bench",
            disable=self._quiet,
            mininterval=0.3 if sys.stderr.isatty() else 10.0,
            ncols=79,
            file=sys.stderr,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.close()

    def ended(self, job: Job, status: str, directory: Path) -> None:
        """Count one more job."""
        if status == FAILURE:
            self._failed += 1
            self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
            self.say(f"failed: {job.name}: {read_json(directory / FAILED)['error']}")
        elif status in (BUSY, PAUSED, "lost"):
            self.say(f"{status}: {job.name}")
        self._bar.update()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            self._bar.write(text, file=sys.stderr)
