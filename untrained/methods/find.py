"""Find the card of a method by what the user calls it."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from untrained.errors import UserError
from untrained.methods import METHODS, Card
from untrained.methods.own import load_card
from untrained.tasks import find_task

AUTO = "house"
"""What `auto` stands for, and is called in tables: the method our evidence supports on a task."""

FILLIN = "fillin"
"""What `auto` and `house` mean where pixels are missing."""

DVP = "dvp"
"""What `auto` means for a video whose frames were processed one by one."""


BLIND = {"kernel": "selfdeblur"}
"""What `auto` runs first where that of the operator is unknown; only this method can fit it."""

JOINT = {"maps": "tvdip"}
"""Likewise of what every method can fit beside its image (`Physics.refined`)."""


def is_own(method: str) -> bool:
    """Tell whether `method` names a user's class rather than one of METHODS."""
    return ":" in method


def find_card(method: str, task: str = "", unknown: Collection[str] = ()) -> Card:
    """Return the card of `auto`, of one of METHODS, or of a user's class `FILE.py:Class`.

    Args:
        method: what was asked for.
        task: on which `auto` and `house` are to be run; that of most tasks unless given.
        unknown: names of what is unknown of the operator.

    Raises:
        UserError: an unknown name, or a class that cannot be loaded or is no method.
    """
    if is_own(method):
        return load_card(method)
    name = AUTO if method == "auto" else method
    if method == "auto":
        first = BLIND | JOINT
        name = next((first[one] for one in unknown if one in first), name)
    if name == AUTO and find_task(task).missing_pixels:
        name = FILLIN
    if method == "auto" and find_task(task).processed:
        name = DVP
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    if name.endswith(".py"):
        hint = f"; a class of your own is {name}:CLASS"
    raise UserError(f"unknown method '{name}'; known: auto, {', '.join(METHODS)}{hint}")
