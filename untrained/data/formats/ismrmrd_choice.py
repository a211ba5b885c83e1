"""Which readouts of an ISMRMRD file make one image: contrasts, repetitions and slices chosen."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from untrained.data.formats.ismrmrd_lines import COUNTERS, Lines
from untrained.errors import UserError

ALL, ENCODING, SLICE = "all", "encoding", "slice"
MOST_LISTED = 6

Choice = dict[str, str]
"""Counter -> its value, or `all`."""


class Choices:
    """The counters of a file's readouts, and what may be asked of them.

    Args:
        lines: all readouts.
        path: of the file, for messages.
    """

    def __init__(self, lines: Lines, path: Path) -> None:
        self._lines, self._path = lines, path
        names = (*COUNTERS, ENCODING)
        self._values = {n: np.unique(self._of(n, lines.image)).tolist() for n in names}

    def listed(self) -> tuple[str, ...]:
        """Name the first choices, where a file holds several images a slice."""
        several = [n for n, values in self._values.items() if len(values) > 1 and n != SLICE]
        if not several:
            return ()
        every = itertools.product(*(self._values[name] for name in several))
        return tuple(
            ",".join(f"{n}={value}" for n, value in zip(several, values, strict=True))
            for values in itertools.islice(every, MOST_LISTED)
        )

    def parse(self, key: str) -> Choice:
        """Read a choice such as `contrast=1,repetition=all`; empty where it is no valid one."""
        pairs = [part.partition("=") for part in key.split(",")]
        choice = {name.strip(): value.strip() for name, _, value in pairs}
        known = all(
            value in {*map(str, self._values.get(name, ())), ALL} and name in self._values
            for name, value in choice.items()
        )
        return choice if known and list(choice.values()).count(ALL) <= 1 else {}

    def complete(self, choice: Choice, whole: bool) -> Choice:
        """Add what needs no choice: counters of a single value, and all slices.

        Args:
            choice: what was asked for.
            whole: whether the readouts are of a 3-D scan, whose slabs are not taken together.

        Raises:
            UserError: something else has several values.
        """
        full = {n: str(values[0]) for n, values in self._values.items() if len(values) == 1}
        full.update(choice)
        if SLICE not in full and ALL not in full.values() and not whole:
            full[SLICE] = ALL
        missing = [name for name in self._values if name not in full]
        if missing:
            held = " and ".join(_counted(name, self._values[name]) for name in missing)
            first = [f"{n}={v}" for n, v in choice.items()]
            example = ",".join([*first, *(f"{n}={self._values[n][0]}" for n in missing)])
            raise UserError(
                f"{self._path} holds {held}: choose with --key, as in --key {example}; or all of "
                f"one of them as the frames of --series, as in --key {missing[0]}=all"
            )
        return full

    def frames(self, choice: Choice, which: np.ndarray) -> list[np.ndarray]:
        """Part readouts into the entries of the first axis, in the order of their counter.

        Args:
            choice: complete.
            which: numbers of readouts. A counter that none of them has as it was chosen is left
                out of account: calibration is measured once for all contrasts.
        """
        axis = next((name for name, value in choice.items() if value == ALL), None)
        for name, value in choice.items():
            same = self._of(name, which) == (-1 if value == ALL else int(value))
            which = which[same] if same.any() else which
        if axis is None:
            return [which]
        found = self._of(axis, which)
        return [which[found == value] for value in self._values[axis]]

    def _of(self, name: str, which: np.ndarray) -> np.ndarray:
        if name == ENCODING:
            return self._lines.count("encoding_space_ref", which)
        return self._lines.counter(name, which)


def _counted(name: str, values: list[int]) -> str:
    shown = ", ".join(map(str, values[:MOST_LISTED])) + (
        ", ..." if len(values) > MOST_LISTED else ""
    )
    return f"{len(values)} {name}s ({shown})"
