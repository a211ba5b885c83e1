"""How much memory there is, and a refusal to fill it on a file's word."""

from __future__ import annotations

import os
from pathlib import Path

from untrained.errors import UserError

# A network needs several times its data; an array that takes half the memory cannot be used.
LARGEST_SHARE = 0.5
# Deflate reaches a ratio of 1000 on zeros. Real undersampled k-space stays below the mask's
# acceleration times about 2, and small masks of any ratio do no harm.
SUSPICIOUS_BYTES = 256 * 2**20
SUSPICIOUS_RATIO = 200
FALLBACK_BYTES = 8 * 2**30


def available_memory() -> int:
    """Bytes that a new allocation may hope for: what is free here and inside this container."""
    candidates = [_meminfo(), _cgroup()]
    known = [value for value in candidates if value is not None]
    return min(known) if known else _physical()


def check_size(size: int, stored: int, label: str) -> None:
    """Refuse an array of `size` bytes, `stored` on disk, that is too large or a zip bomb.

    Raises:
        UserError: more than half of the available memory, or 256 MiB compressed over 200 times.
    """
    limit = int(available_memory() * LARGEST_SHARE)
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


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return FALLBACK_BYTES
