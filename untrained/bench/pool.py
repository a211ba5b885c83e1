"""Where jobs run: processes of this machine, or a dask cluster. Both are `Executor`s."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from multiprocessing.context import SpawnContext
from queue import SimpleQueue
from typing import Any

import torch

from untrained.core.rule import Stopped
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.machine import pick_device

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Processes(Executor):
    """Processes of this machine, one per device, each with one call at a time.

    The standard library's pool gives up all of its processes when one is killed; here the others
    go on, and only that call raises. Processes are spawned, since a fork of a process that has
    used torch's threads or a GPU does not work.

    Args:
        devices: one per process; the function gets it as the keyword `device`.
        threads: for the libraries that read their number of threads when they are loaded.
    """

    def __init__(self, devices: Sequence[str], threads: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._pause = context.Event()
        self._workers = [_Worker(context, self._pause, device, threads) for device in devices]
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(len(devices))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn(*args, device=..., **kwargs)` in the next free process.

        The future raises `WorkerDied` where the process was killed.
        """
        return self._threads.submit(self._call, fn, args, kwargs)

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        worker = self._free.get()
        try:
            return worker.call(fn, args, kwargs)
        finally:
            self._free.put(worker)

    def pause(self) -> None:
        """Ask the jobs under way to keep their state and end; see `Pause`."""
        self._pause.set()

    def kill(self) -> None:
        """End every process at once."""
        for worker in self._workers:
            worker.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes once their calls are done."""
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        for worker in self._workers if wait else ():  # else they end with this process
            worker.close()


class WorkerDied(BrokenExecutor):
    """The process of a call was killed."""


class Pause(Watch):
    """Pauses a job when the process that handed it out asks for it, or is gone."""

    def interrupted(self) -> Stopped | None:
        """Stop where a pause was asked for, or there is nobody left to report to."""
        if _asked is not None and _asked.is_set():
            return Stopped("interrupted", 0, "it was paused")
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            return Stopped("interrupted", 0, "the process that handed it out is gone")
        return None


_asked: Any = None
"""The event of `Processes.pause`, in a process that it started."""


class _Worker:
    """One process, started when first needed, and again after it was killed."""

    def __init__(self, context: SpawnContext, pause: Any, device: str, threads: int) -> None:
        self._context, self._pause = context, pause
        self._device, self._threads = device, threads
        self._process: Any = None
        self._pipe: Any = None

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._process is None or not self._process.is_alive():
            self._start()
        try:
            self._pipe.send((fn, args, {"device": self._device, **kwargs}))
            value, error = self._pipe.recv()
        except (EOFError, OSError) as lost:
            self._process.join()
            raise WorkerDied(f"the process ended with status {self._process.exitcode}") from lost
        if error is not None:
            raise error
        return value

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.join()

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(other, self._pause), daemon=True, name=f"bench on {self._device}"
        )
        with _threads_of_children(self._threads):
            self._process.start()
        other.close()


def _serve(pipe: Any, pause: Any) -> None:
    """Answer calls from the pipe, until its other end is closed or dead."""
    global _asked
    _asked = pause
    # Ctrl-C reaches the whole terminal; the process that hands out the jobs decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            fn, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[Any, Exception | None] = (fn(*args, **kwargs), None)
        except Exception as error:
            answer = (None, error)
        with contextlib.suppress(OSError):  # nobody is there any more: the next recv ends it
            pipe.send(answer)


@contextlib.contextmanager
def _threads_of_children(count: int) -> Iterator[None]:
    """Let processes started in here load their libraries with so many threads."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update({name: str(count) for name in THREAD_VARIABLES})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def list_devices(jobs: int = 0, threads: int = 1, device: str = "auto") -> list[str]:
    """List a device per process: as many as there are GPUs, or cores by `threads`; or `jobs`.

    Raises:
        UserError: the device is unknown or not there.
    """
    first = pick_device(device)
    if first.type == "cuda":
        there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        gpus = there if first.index is None else [str(first)]
        return [gpus[i % len(gpus)] for i in range(jobs or len(gpus))]
    return [str(first)] * (jobs or max(1, _cores() // threads))


def _cores() -> int:
    """Count the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def cluster(address: str, jobs: int = 0) -> Iterator[Executor]:
    """Connect to a dask cluster as an executor; it hands a job whose worker died to another.

    Args:
        address: of a running scheduler; or `local`: workers on this machine.
        jobs: number of local workers; 0 = one per core.

    Raises:
        UserError: dask.distributed is not installed, or nobody answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise UserError(
            "--cluster needs dask.distributed, which is not installed: "
            "pip install 'untrained[cluster]'"
        ) from None
    with contextlib.ExitStack() as stack:
        scheduler: Any = address
        if address == "local":
            scheduler = stack.enter_context(
                LocalCluster(
                    n_workers=jobs or _cores(),
                    threads_per_worker=1,
                    memory_limit=None,  # the table says what a job needs; none is ended for it
                    dashboard_address=None,
                )
            )
        try:
            client = stack.enter_context(Client(scheduler))
        except (OSError, ValueError) as error:
            raise UserError(f"--cluster {address}: nobody answers there ({error})") from error
        yield client.get_executor(pure=False)
