"""The command line: `untrained demo | reconstruct | simulate | evaluate | list | ...`.

Nothing heavy is imported before `main` has made its settings.
"""

from __future__ import annotations

import io
import os
import sys

from untrained.cli.interrupt import Interruptible

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""What tells OpenMP's threads how to wait for work; read once, when torch is loaded."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 2 bad input or usage, 130 interrupted, 1 anything else."""
    with Interruptible() as ctrl_c:
        wait_asleep()
        print_any_text()
        from untrained.cli.commands import status

        ctrl_c.loading = False
        code = status(arguments, lambda: ctrl_c.asked)
    sys.exit(code)


def print_any_text() -> None:
    """Escape what the terminal's encoding has no sign for, such as a name that is no UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def wait_asleep() -> None:
    """Let idle CPU threads sleep, unless the user has said how they wait or torch is loaded.

    By default they spin for milliseconds. Where other programs want the cores, the thread that has
    work then waits for one that only spins.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
