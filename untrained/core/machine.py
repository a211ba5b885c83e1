"""The machine a run uses: device, free memory, peak memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from untrained.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
FALLBACK_BYTES = 8 * 2**30


def pick_device(name: str | torch.device) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; `mps` only where asked for.

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


def peak_memory_mb(device: torch.device) -> float | None:
    """Peak of this process in MiB: resident on a CPU, reserved by torch on a GPU.

    None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def available_memory(device: torch.device | None = None) -> int:
    """Bytes that a new allocation may hope for: what is free here and inside this container.

    On a GPU: what is free there, and what torch holds without using it.
    """
    if device is not None and device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + idle
    candidates = [_meminfo(), _cgroup(), _limit()]
    known = [value for value in candidates if value is not None]
    return min(known) if known else _physical()


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
    """What `ulimit -v` leaves this process."""
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
