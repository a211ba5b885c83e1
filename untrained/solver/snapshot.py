"""Keep the state of a run at the step whose image is returned: weights and variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from untrained.core.rule import Frame
from untrained.core.state import State
from untrained.core.watch import Watch

RULES = ("output/", "stop/", "guard/", "kept/", "track/")
"""What the names begin with of tensors that are no method's."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Hold weights and variables of one image's run after a step.

    Attributes:
        step: how many steps were taken.
        weights: of the network, name -> `(1, ...)`.
        variables: of the method (`z`, duals), name -> `(1, ...)`; no rule's memory.
    """

    step: int
    weights: dict[str, Tensor]
    variables: dict[str, Tensor]


class Snapshots(Watch):
    """Keeps a `Snapshot` of the step whose image would be returned now; of one image at a time.

    The weights are those after that step's update, the image is that of those before it.
    """

    def __init__(self) -> None:
        self.best: Snapshot | None = None

    def begin(self, phase: str, total: int, step: int) -> None:
        """Forget what an earlier phase (a trial) left."""
        self.best = None

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Copy the state if this step's image is the one to be returned; no column of its own."""
        if int(s.memory("kept")["step"][0]) == frame.step:
            self.best = Snapshot(
                frame.step,
                {name: w.detach().clone() for name, w in s.weights.items()},
                {n: v.detach().clone() for n, v in s.tensors.items() if not n.startswith(RULES)},
            )
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the snapshot as plain values and tensors."""
        return {} if self.best is None else dict(vars(self.best))

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best = Snapshot(**saved)
