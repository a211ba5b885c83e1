"""Many jobs: missing ones only, killed processes, Ctrl-C, a cluster that loses a worker."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from untrained.bench import (
    Job,
    Processes,
    cluster,
    job_directory,
    job_status,
    jobs_left,
    list_devices,
    open_grid,
    read_grid,
    run_jobs,
)
from untrained.data.formats.npz import write_npz
from untrained.errors import UserError

# An operator that notes when it is built, and kills its process while files named KILL-* are
# there: one kill per file, `AFTER` calls after it was built.
OPERATOR = """
import os, pathlib, signal, torch
HERE = pathlib.Path(__file__).parent

class {name}:
    x_shape = (1, 8, 8)
    linear = True
    norm_squared = 1.0

    def mean_squared_singular_value(self, weighting="uniform"):
        return 1.0

    def __init__(self):
        self.calls = 0
        with open(HERE / "log.txt", "a") as log:
            log.write("{name} %d\\n" % os.getpid())

    def A(self, x):
        self.calls += 1
        for file in HERE.glob("KILL-{name}-*"):
            if self.calls > {after}:
                file.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return x.clone()

    A_adjoint = A
"""
NAMES = ("Alpha", "Beta", "Gamma", "Delta")
AFTER = 20  # calls: past the setting-up, within the steps


@pytest.fixture
def custom(tmp_path: Path) -> Path:
    """A grid of four jobs, one per operator."""
    lines = []
    for number, name in enumerate(NAMES):
        truth = np.random.default_rng(number).random((1, 8, 8)).astype(np.float32)
        write_npz(tmp_path / f"{name}.npz", {"measurement": truth, "reference": truth})
        code = OPERATOR.format(name=name, after=AFTER)
        (tmp_path / f"{name.lower()}_op.py").write_text(code)
        physics = f"{name.lower()}_op.py:{name}"
        lines.append(
            f'[[cases]]\ntask = "custom"\nfile = "{name}.npz"\n'
            f'options = {{ physics = "{physics}" }}\nsetting = "{name}"\n'
        )
    lines.append(
        '[[runs]]\nmethod = "dip"\nsteps = 30\nstop = "none"\n'
        'settings = ["net.widths=4,8", "net.skip=2"]\n'
    )
    (tmp_path / "grid.toml").write_text("\n".join(lines))
    return tmp_path


def opened(folder: Path) -> tuple[list[Job], Path]:
    out = folder / "out"
    return open_grid(read_grid(folder / "grid.toml"), out), out


def built(folder: Path) -> dict[str, int]:
    """How often each operator was built: how often its job was begun."""
    lines = (folder / "log.txt").read_text().splitlines()
    return {name: sum(line.startswith(name) for line in lines) for name in NAMES}


def kills(folder: Path, name: str, count: int) -> None:
    for number in range(count):
        (folder / f"KILL-{name}-{number}").touch()


def results(jobs: list[Job], out: Path) -> list[dict]:
    return [json.loads((job_directory(job, out) / "result.json").read_text()) for job in jobs]


def test_a_killed_process_costs_only_its_own_job(custom: Path) -> None:
    """One of two processes is killed mid-run: its job is taken up from its checkpoint."""
    jobs, out = opened(custom)
    kills(custom, "Alpha", 1)
    with Processes(["cpu", "cpu"]) as executor:
        outcomes = run_jobs(jobs[:3], out, executor, quiet=True)
    assert outcomes.statuses == {"done": 3}
    assert outcomes.again == 1
    assert built(custom) == {"Alpha": 2, "Beta": 1, "Gamma": 1, "Delta": 0}
    facts = results(jobs[:3], out)
    assert facts[0]["resumed_from"]
    assert not any(f["resumed_from"] for f in facts[1:])
    assert {f["steps"] for f in facts} == {30}
    assert {f["threads"] for f in facts} == {1}


def test_a_job_that_always_dies_fails_and_only_the_missing_is_done_again(
    custom: Path, in_this_process: type[Executor]
) -> None:
    """Fail the jobs of a call whose process died; the test above kills a real process."""
    jobs, out = opened(custom)
    calls: list[str] = []

    class Fatal(in_this_process):  # type: ignore[misc, valid-type]
        def submit(self, fn, values, *args, **kwargs):
            calls.append(values["id"])
            if values["id"] != jobs[1].id:
                return super().submit(fn, values, *args, **kwargs)
            died: Future[str] = Future()
            died.set_exception(BrokenExecutor("the process ended with status -9"))
            return died

    outcomes = run_jobs(jobs[:2], out, Fatal(), quiet=True)
    assert outcomes.statuses == {"done": 1, "failed": 1}
    assert sorted(calls) == sorted([jobs[0].id] + 3 * [jobs[1].id])
    place = job_directory(jobs[1], out)
    assert "killed 3 times" in json.loads((place / "failed.json").read_text())["error"]
    assert [job_status(job_directory(job, out)) for job in jobs] == [
        "done",
        "failed",
        "missing",
        "missing",
    ]
    assert jobs_left(jobs, out, 0.0) == jobs[2:]
    rest = jobs_left(jobs, out, 0.0, retry=True)
    assert rest == jobs[1:]
    assert run_jobs(rest, out, in_this_process(), quiet=True).statuses == {"done": 3}
    assert built(custom) == dict.fromkeys(NAMES, 1)
    assert jobs_left(jobs, out, 0.0, retry=True) == []


def test_a_killed_runner_leaves_rows_that_are_taken_up_again(
    custom: Path, in_this_process: type[Executor]
) -> None:
    """The runner itself is killed: its worker keeps the state and ends, the lock is free."""
    lengthen(custom)
    jobs, out = opened(custom)
    running = start(custom, jobs[0])
    running.kill()
    running.communicate(timeout=600)
    place = job_directory(jobs[0], out)
    FileLock(place / ".lock").acquire(timeout=600).lock.release()
    assert job_status(place) == "killed"
    assert jobs_left(jobs, out, 0.0) == jobs
    run_jobs(jobs[:1], out, in_this_process(), time_limit=1e-6, quiet=True)
    assert results(jobs[:1], out)[0]["resumed_from"][0] > 1


def lengthen(folder: Path) -> None:
    """More steps than a test will ever take."""
    path = folder / "grid.toml"
    path.write_text(path.read_text().replace("steps = 30", "steps = 100000"))


def test_ctrl_c_keeps_the_state_and_the_next_sitting_goes_on(
    custom: Path, in_this_process: type[Executor]
) -> None:
    """A real Ctrl-C in a real process: status 130, and the job under way is at most paused."""
    lengthen(custom)
    jobs, out = opened(custom)
    running = start(custom, jobs[0])
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=600)
    assert running.returncode == 130, errors
    assert b"run the same command again" in errors
    assert list(job_directory(jobs[0], out).rglob("state.pt"))
    assert [job_status(job_directory(job, out)) for job in jobs] == ["killed"] + 3 * ["missing"]
    run_jobs(jobs[:1], out, in_this_process(), time_limit=1e-6, quiet=True)
    assert results(jobs[:1], out)[0]["resumed_from"][0] > 1


def start(folder: Path, first: Job) -> subprocess.Popen:
    """`untrained bench run` with one process, once its first job has a checkpoint."""
    command = [sys.executable, "-m", "untrained", "bench", "run", "grid.toml", "--out", "out"]
    running = subprocess.Popen(
        [*command, "--jobs", "1"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    place = job_directory(first, folder / "out")
    for _ in range(6000):
        if list(place.rglob("state.pt")) or running.poll() is not None:
            break
        time.sleep(0.1)
    assert running.poll() is None, running.communicate()
    assert list(place.rglob("state.pt"))
    return running


def test_rows_that_come_to_the_same_job_are_done_once(write_grid, pictures: Path) -> None:
    runs = '[[runs]]\nmethod = "adjoint"\n[[runs]]\nmethod = "adjoint"\nlabel = "the same"\n'
    out = pictures / "out"
    jobs = open_grid(read_grid(write_grid(runs=runs)), out)
    assert len(jobs) == 4
    assert len(jobs_left(jobs, out, 0.0)) == 2


def test_as_many_processes_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("untrained.bench.pool._cores", lambda: 6)
    assert list_devices(device="cpu") == ["cpu"] * 6
    assert list_devices(threads=4, device="cpu") == ["cpu"]
    assert list_devices(jobs=3, threads=4, device="cpu") == ["cpu"] * 3
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert list_devices() == ["cuda:0", "cuda:1"]
    assert list_devices(jobs=3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert list_devices(device="cpu") == ["cpu"] * 6


WHERE = """
import os
def where(device, fail):
    if fail:
        raise ValueError("on purpose")
    return device, os.getpid(), os.environ["OMP_NUM_THREADS"]
"""


def test_what_a_call_raises_comes_back_and_the_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "errand.py").write_text(WHERE)
    monkeypatch.syspath_prepend(tmp_path)
    where = importlib.import_module("errand").where
    with Processes(["here"]) as executor:
        first = executor.submit(where, fail=False).result()
        with pytest.raises(ValueError, match="on purpose"):
            executor.submit(where, fail=True).result()
        assert executor.submit(where, fail=False).result() == first
    assert first == ("here", first[1], "1")
    assert first[1] != os.getpid()


# the cluster ------------------------------------------------------------------------------------


# the connections of a killed worker are collected whenever they are, loudly
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_cluster_that_loses_a_worker_loses_nothing(custom: Path) -> None:
    pytest.importorskip("distributed", reason="dask.distributed is missing: pip install .[cluster]")
    jobs, out = opened(custom)
    kills(custom, "Alpha", 1)
    with cluster("local", 1) as executor:
        outcomes = run_jobs(jobs[:1], out, executor, device="cpu", quiet=True)
    assert outcomes.statuses == {"done": 1}
    assert built(custom) == {"Alpha": 2, "Beta": 0, "Gamma": 0, "Delta": 0}
    assert results(jobs[:1], out)[0]["resumed_from"]
    assert jobs_left(jobs, out, 0.0) == jobs[1:]


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"untrained\[cluster\]"), cluster("local"):
        pass
