"""One thread: small tensors gain nothing from more, and the bits depend on the count.

And Ctrl-C as it is at a terminal: a shell that starts the tests in the background has it ignored,
which the processes that they start would inherit.
"""

import signal

import pytest
import torch

from untrained.classical import pair_of_priors
from untrained.core.rule import Frame, Stopped
from untrained.core.watch import Watch
from untrained.report import page

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--folders",
        type=int,
        default=16,
        help="random folders of others for every command to leave alone (benchmarks: 240)",
    )


@pytest.fixture
def unsearched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classical images whose level is not searched for: seconds less, where they are not judged."""
    monkeypatch.setattr(pair_of_priors, "expected_error", lambda *_: None)


@pytest.fixture(autouse=True)
def blank_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the curves of reports: drawing them takes half of a small run's time.

    Tests of the curves override this fixture by one of the same name.
    """
    monkeypatch.setattr(page, "draw", lambda *_: b"")
    monkeypatch.setattr(page, "hover_data", lambda *_: "")


class PauseAfter(Watch):
    """Interrupts after a number of steps of this sitting."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        self.left -= 1

    def interrupted(self) -> Stopped | None:
        return Stopped("interrupted", 0, "asked for") if self.left <= 0 else None


@pytest.fixture
def pause_after() -> type[PauseAfter]:
    """The watch `pause_after(steps)`: the run is interrupted after that many steps."""
    return PauseAfter
