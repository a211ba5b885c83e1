"""One row per optimiser step and problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FIRST_ROWS = 4096


def row_of(history: dict[str, list[float | str]], step: int) -> dict[str, float]:
    """Return the numbers of a step, from 1; those of step 1 for step 0, where none was chosen."""
    row = max(1, step) - 1
    return {name: float(column[row]) for name, column in history.items() if name != "phase"}


class History:
    """Hold a table of numbers per problem that grows by a row per step.

    Its columns are those of the first row, and of what looks on when a run is taken up again; what
    a row lacks is NaN.

    Args:
        total: the most rows there can be.

    Attributes:
        origins: column name -> whose number it is: `objective` (a term of it), `stop`, `output`
            or `watch`.
    """

    def __init__(self, total: int) -> None:
        self.origins: dict[str, str] = {}
        self._names: list[str] = []
        self._rows = torch.empty(0, 0, 0, dtype=torch.float64)
        self._count = 0
        self._total = total

    def add(self, step: int, groups: dict[str, dict[str, Tensor]]) -> dict[str, float]:
        """Append the row of `step` (from 1) and return that of the first problem.

        Args:
            step: the step.
            groups: origin -> name -> number per problem `(G,)`, or one for all.
        """
        named = {name: value for group in groups.values() for name, value in group.items()}
        self.origins |= {name: origin for origin, group in groups.items() for name in group}
        self._widen(["step", *named])
        nan = torch.full((1,), torch.nan)
        values = _gathered([named.get(name, nan) for name in self._names[1:]])
        if not self._rows.numel():
            size = min(self._total, FIRST_ROWS)
            self._rows = torch.empty(size, len(values), len(self._names), dtype=values.dtype)
        elif self._count == len(self._rows):  # doubled, up to what may come
            more = min(self._total, 2 * self._count) - self._count
            self._rows = torch.cat([self._rows, self._rows.new_empty(more, *self._rows.shape[1:])])
        row = self._rows[self._count]
        row[:, 0] = step
        row[:, 1:] = values
        self._count += 1
        return dict(zip(self._names, row[0].tolist(), strict=True))

    def _widen(self, names: Sequence[str]) -> None:
        """Add columns of these names, NaN in the rows so far."""
        new = [name for name in names if name not in self._names]
        if self._names and new and self._rows.numel():
            empty = torch.full((*self._rows.shape[:2], len(new)), torch.nan, dtype=torch.float64)
            self._rows = torch.cat([self._rows, empty], dim=2)
        self._names += new

    def select(self, places: Sequence[int]) -> None:
        """Keep the tables of the problems at these places."""
        if self._count:
            self._rows = self._rows[:, list(places)]

    def columns(self, place: int = 0) -> dict[str, list[float | str]]:
        """Return the columns of one problem, name -> values, oldest first."""
        if not self._count:
            return {name: [] for name in self._names or ["step"]}
        return dict(zip(self._names, self._rows[: self._count, place].T.tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Return the names and the rows so far."""
        return {
            "names": self._names,
            "origins": self.origins,
            "rows": self._rows[: self._count].clone(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Restore a saved table."""
        self._names, rows = list(saved["names"]), saved["rows"]
        self.origins = dict(saved["origins"])
        self._count = len(rows)
        size = min(self._total, max(FIRST_ROWS, 2 * self._count))
        self._rows = torch.empty(size, *rows.shape[1:], dtype=torch.float64)
        self._rows[: self._count] = rows


def _gathered(values: list[Tensor]) -> Tensor:
    """Stack the numbers of a step to `(G, columns)` float64 on the CPU.

    All numbers of an accelerator are fetched in one transfer.
    """
    far = [value for value in values if value.device.type != "cpu"]
    near = iter(torch.stack([value.float() for value in far]).cpu() if far else ())
    here = [value if value.device.type == "cpu" else next(near) for value in values]
    count = max(map(len, here))  # one number stands for all
    return torch.stack([value.double().expand(count) for value in here], 1)
