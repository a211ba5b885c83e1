"""The machine that a run uses: its device, its free memory, the peak of its memory use."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from untrained.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
FALLBACK_BYTES = 8 * 2**30
_RESET_PEAK = "5"  # see proc(5), /proc/[pid]/clear_refs
# A network needs several times its data; an array that takes half the memory cannot be used.
LARGEST_SHARE = 0.5
# Deflate reaches a ratio of 1000 on zeros. Real undersampled k-space stays below the mask's
# acceleration times about 2, and small masks of any ratio do no harm.
SUSPICIOUS_BYTES = 128 * 2**20
SUSPICIOUS_RATIO = 200
FLOAT_BYTES = 4


def pick_device(name: str | torch.device) -> torch.device:
    """Choose the device: `auto` is CUDA where there is one, else the CPU; `mps` only if named.

    Raises:
        UserError: the device is unknown or not there.
    """
    if isinstance(name, torch.device):
        return name
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise UserError(f"unknown device '{name}'; known: {', '.join(DEVICES)}")
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }[kind]
    if not present:
        raise UserError(f"device '{name}' is not available here; use --device auto or cpu")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, or the instruction set that torch uses on the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}"


def peak_memory_mb(device: torch.device) -> float | None:
    """Return the peak memory of this process in MiB.

    Resident on a CPU, reserved by torch on a GPU; None where the system does not report it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def start_peak(device: torch.device) -> None:
    """Reset the recorded peak of memory use, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")


def peak_mb(device: torch.device) -> float | None:
    """Return the peak since `start_peak` in MiB: resident on a CPU, reserved by torch on a GPU.

    Where the peak cannot be reset it is that of the whole process, earlier jobs included; None
    where the system does not report it.
    """
    if device.type != "cuda":
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 2**10
    return peak_memory_mb(device)


def available_memory(device: torch.device | None = None) -> int:
    """Return how many bytes a new allocation can take: the free memory, within any limit set.

    Limits are those of the container and of `ulimit -v`. On a GPU it is what is free there, and
    what torch holds without using it.
    """
    if device is not None and device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + idle
    candidates = [_meminfo(), _cgroup(), _limit()]
    known = [value for value in candidates if value is not None]
    return min(known) if known else _physical()


def float_bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    """Count the bytes of an array as it is stored or in single precision, whichever are more."""
    least = 2 * FLOAT_BYTES if dtype.kind == "c" else FLOAT_BYTES if dtype.kind in "biuf" else 0
    return math.prod(int(n) for n in shape) * max(least, dtype.itemsize)


def largest_array() -> int:
    """Return how many bytes a single array may take: half of the available memory."""
    return int(available_memory() * LARGEST_SHARE)


def check_size(size: int, stored: int, label: str) -> None:
    """Refuse an array of `size` bytes, `stored` on disk, that is too large or a zip bomb.

    Args:
        size: bytes in memory, as the floats that are computed with (`float_bytes`).
        stored: bytes on the disk.
        label: what it is, for the message.

    Raises:
        UserError: more than half of the available memory, or 128 MiB compressed over 200 times.
    """
    limit = largest_array()
    if size > limit:
        raise UserError(
            f"{label} takes {_mib(size)} in memory, more than the {_mib(limit)} that may be used "
            "here; crop it, or use a machine with more memory"
        )
    if size > SUSPICIOUS_BYTES and size > SUSPICIOUS_RATIO * max(stored, 1):
        raise UserError(
            f"{label} would unpack {_mib(stored)} into {_mib(size)}, which no measurement does "
            "(a zip bomb?); if it is genuine, save it uncompressed"
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup() -> int | None:
    root = Path("/sys/fs/cgroup")
    try:
        limit = int((root / "memory.max").read_text())
        return max(0, limit - int((root / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or its limit reads "max"
        return None


def _limit() -> int | None:
    """Return the bytes that `ulimit -v` leaves this process; None where there is no such limit."""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return None
    return max(0, soft - pages * resource.getpagesize())


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return FALLBACK_BYTES
