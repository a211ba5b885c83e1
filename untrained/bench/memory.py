"""Peak memory of one job, in a process that does many."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from untrained.core.machine import peak_memory_mb

_RESET_PEAK = "5"  # see proc(5), /proc/[pid]/clear_refs


def start_peak(device: torch.device) -> None:
    """Forget the peak so far, where the system can."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")


def peak_mb(device: torch.device) -> float | None:
    """Return the peak since `start_peak` in MiB: resident on a CPU, reserved by torch on a GPU.

    Where the system cannot forget it is the peak of the process, of earlier jobs too; None where
    it does not tell.
    """
    if device.type != "cuda":
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 2**10
    return peak_memory_mb(device)
