"""One thread: small tensors gain nothing from more, and the bits depend on the count.

And Ctrl-C as it is at a terminal: a shell that starts the tests in the background has it ignored,
which the processes that they start would inherit.
"""

import signal

import pytest
import torch

from untrained.classical import kernel_place, low_rank, pair_of_priors, sliding_dct, total_variation
from untrained.core.rule import Frame, Stopped
from untrained.core.watch import Watch
from untrained.data import TASKS
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


@pytest.fixture(autouse=True)
def unsearched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classical images without a search for their level, in few rounds.

    That takes seconds off every run that leans on one. Tests that judge a classical image or a
    mixture override this fixture by one of the same name.
    """
    monkeypatch.setattr(pair_of_priors, "expected_error", lambda *_: None)
    monkeypatch.setattr(sliding_dct, "held_out_error", lambda *_: None)
    monkeypatch.setattr(total_variation, "EVALUATIONS", 2)
    monkeypatch.setattr(total_variation, "SEARCH_ITERATIONS", 10)
    monkeypatch.setattr(total_variation, "ROUGH_ITERATIONS", 50)
    monkeypatch.setattr(pair_of_priors, "ROUNDS", 2)
    monkeypatch.setattr(kernel_place, "ITERATIONS", 5)
    monkeypatch.setattr(low_rank, "ROUNDS", dict.fromkeys(TASKS, 2))


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
