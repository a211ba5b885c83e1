"""The machine a run uses: device, peak memory."""

from __future__ import annotations

import sys

import torch

from untrained.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")


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
