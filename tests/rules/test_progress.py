"""What a person who waits sees."""

import io
import sys

import pytest

from untrained.rules.watch import Progress


class Terminal(io.StringIO):
    """A standard error that is a terminal, or is not."""

    def __init__(self, tty: bool) -> None:
        super().__init__()
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


@pytest.mark.parametrize("tty", [True, False])
def test_the_time_before_the_first_step_is_accounted_for(
    tty: bool, monkeypatch: pytest.MonkeyPatch
):
    terminal = Terminal(tty)
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("house")
    progress.prepare("seed 0/fit")
    assert ("house fit: preparing" in terminal.getvalue()) == tty
    progress.begin("seed 0/fit", 10, 0)
    shown = terminal.getvalue().split("\r")[-1]
    assert "preparing" not in shown
    assert "house fit" in shown
    progress.end("seed 0/fit")
