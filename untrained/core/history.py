"""One row per optimiser step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class History:
    """A table of float64 numbers that grows by a row per step; its columns are fixed by the first.

    Args:
        total: the most rows there can be.

    Attributes:
        origins: column name -> whose number it is: `objective` (a term of it), `stop`, `output`
            or `watch`.
    """

    def __init__(self, total: int) -> None:
        self.origins: dict[str, str] = {}
        self._names: list[str] = []
        self._rows = torch.empty(0, 0, dtype=torch.float64)
        self._count = 0
        self._total = total

    def add(self, step: int, groups: dict[str, dict[str, Tensor]]) -> dict[str, float]:
        """Append the row of `step` (from 1) and return it.

        Args:
            step: the step.
            groups: origin -> name -> number per problem `(G,)`, of which the first is kept.
        """
        row = {"step": float(step)}
        for values in groups.values():
            row |= {name: float(value[0]) for name, value in values.items()}
        if not self._names:
            self._names = list(row)
            self.origins = {name: origin for origin, group in groups.items() for name in group}
            self._rows = torch.empty(self._total, len(row), dtype=torch.float64)
        self._rows[self._count] = torch.tensor([row[n] for n in self._names], dtype=torch.float64)
        self._count += 1
        return row

    def columns(self) -> dict[str, list[float | str]]:
        """Column name -> values, oldest first."""
        values = self._rows[: self._count].T.tolist() or [[]]
        return dict(zip(self._names or ["step"], values, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Names and rows so far."""
        return {
            "names": self._names,
            "origins": self.origins,
            "rows": self._rows[: self._count].clone(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take up a saved table."""
        self._names, rows = list(saved["names"]), saved["rows"]
        self.origins = dict(saved["origins"])
        self._count = len(rows)
        self._rows = torch.empty(self._total, rows.shape[1], dtype=torch.float64)
        self._rows[: self._count] = rows
