"""Watchers: progress with time left, a reference for the record, interruption, a time limit."""

from __future__ import annotations

import math
import signal
import sys
import textwrap
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from untrained.core.rule import Frame, Stopped
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.metrics import comparable, moved_view, psnr, same_view

LEAST = 10.0  # seconds that a comparison gets where the time limit has passed
INTERRUPTED = "interrupted"  # by the user
CALM = 10.0  # seconds between two lines where there is no terminal


class Reference(Watch):
    """Records the PSNR of the image and of the output image. Nothing else can see the truth.

    Args:
        truth: the references `(1, C, ...)` in the units of the measurements, one for each of the
            caller's problems; or one for all.
        data_range: the range of the PSNR, one for each or one for all.
        turned: compare with the truth turned and moved as the image is, see `same_view`.
        moved: compare with the truth moved as the image is, see `moved_view`.
    """

    def __init__(
        self,
        truth: Tensor | Sequence[Tensor],
        data_range: Sequence[float] | float,
        turned: bool = False,
        moved: bool = False,
    ) -> None:
        self._truth = list(truth.split(1) if isinstance(truth, Tensor) else truth)
        if isinstance(data_range, Sequence):
            self._ranges = list(data_range)
        else:
            self._ranges = [data_range] * len(self._truth)
        self._turned, self._moved = turned, moved

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Return the PSNR of this step's image (`psnr`) and of the output (`psnr_output`), in dB.

        The output is measured before any closing step.
        """
        return {"psnr": self._psnr(s, frame.x), "psnr_output": self._psnr(s, frame.out)}

    def _psnr(self, s: State, image: Tensor) -> Tensor:
        values = []
        for x, row in zip(s.problem.to_units(image).split(1), s.rows, strict=True):
            row = row if len(self._truth) > 1 else 0
            given = (s.problem.complex_image, self._turned, self._ranges[row], self._moved)
            values.append(psnr_against(self._truth[row], x, *given))
        return torch.tensor(values)

    def alone(self, row: int) -> Reference:
        """Return a watcher of the same kind for problem `row` alone."""
        row = row if len(self._truth) > 1 else 0
        return Reference([self._truth[row]], [self._ranges[row]], self._turned, self._moved)


def psnr_against(
    truth: Tensor,
    image: Tensor,
    complex_image: bool,
    turned: bool,
    data_range: float,
    moved: bool = False,
) -> float:
    """Compute the PSNR of an image `(1, C, ...)` in dB; arguments as of `Reference`."""
    if turned or moved:
        truth = same_view(truth, image) if turned else moved_view(truth, image)
    pair = (comparable(one, complex_image) for one in (image, truth))
    return psnr(*pair, data_range=data_range)


class Progress(Watch):
    """A bar with time left and the objective on standard error; plain lines where it is no tty."""

    def __init__(self, label: str = "") -> None:
        self._label = label
        self._bar: Any = None
        self._told = 0.0

    def prepare(self, phase: str) -> None:
        """Show a line in place of the bar until the first step."""
        from tqdm import tqdm

        if sys.stderr.isatty():
            waiting = f"{self._name(phase)}: preparing its first step ..."
            self._bar = tqdm(
                desc=waiting, bar_format="{desc}", ncols=79, leave=False, file=sys.stderr
            )

    def begin(self, phase: str, total: int, step: int) -> None:
        """Open the bar at `step` of `total`."""
        from tqdm import tqdm

        self.end(phase)
        calm = not sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            initial=step,
            desc=self._name(phase),
            unit="step",
            mininterval=CALM if calm else 0.3,
            ncols=79,
            file=sys.stderr,
        )

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        """Advance the bar by one step, and show the PSNR or the data term beside it."""
        if self._bar is None:
            return
        if math.isfinite(columns.get("psnr_output", math.nan)):
            self._bar.set_postfix_str(f"{columns['psnr_output']:.2f} dB", refresh=False)
        else:
            self._bar.set_postfix_str(f"data {columns['data']:.2e}", refresh=False)
        self._bar.update()

    def _name(self, phase: str) -> str:
        rows, _, name = phase.rpartition("/")
        count = len(rows.split(","))
        return f"{self._label} {f'x{count} ' if count > 1 else ''}{name}".strip()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        from tqdm import tqdm

        tqdm.write(textwrap.fill(text, 79), file=sys.stderr)

    def busy(self, what: str, seconds: float) -> None:
        """Show a line in place of the bar; where there is no terminal, print one every 10 s."""
        text = f"{self._label}: {what}, {seconds:.0f} s so far"
        if sys.stderr.isatty():
            if self._bar is None:
                self.prepare("")
            self._bar.set_description_str(text)
        elif seconds >= self._told + CALM:
            self._told = seconds
            self.say(text)

    def end(self, phase: str) -> None:
        """Close the bar."""
        self._told = 0.0
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Clock(Watch):
    """Pauses the run after `seconds` of wall time of this sitting."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = time.monotonic()

    def left(self) -> float:
        """Return the seconds that are left of the limit, at least 10."""
        return max(LEAST, self._seconds - (time.monotonic() - self._began))

    def interrupted(self) -> Stopped | None:
        """Return the reason to pause once the limit has passed; None before."""
        if time.monotonic() - self._began < self._seconds:
            return None
        return Stopped(
            "time limit",
            0,
            f"the time limit of {self._seconds:g} s was reached; --resume goes on from here",
        )


class Interrupt(Watch):
    """Ctrl-C or SIGTERM once: finish the step and keep everything. Twice: KeyboardInterrupt.

    A scheduler that ends a job, `timeout` and `kill` send SIGTERM first.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def left(self) -> float:
        """Return 0 once a signal has arrived, infinity before."""
        return 0.0 if self.asked else math.inf

    def interrupted(self) -> Stopped | None:
        """Return the reason to pause once a signal has arrived; None before."""
        if not self.asked:
            return None
        return Stopped(INTERRUPTED, 0, "it was interrupted; --resume goes on from here")
