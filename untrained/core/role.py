"""Describe in words what a stop rule can do in a run of a given number of steps."""

from __future__ import annotations

import math

from untrained.core.rule import Stop


def role(stop: Stop, steps: int) -> str:
    """Describe whether a rule can end a run of `steps` steps, or only choose one of them."""
    if stop.chooses and stop.ignored >= steps:
        return f"considers no step before {stop.ignored + 1}, and there are {steps}"
    if stop.earliest > steps:
        chooses = "only chooses the step and " if stop.chooses else ""
        return f"{chooses}{_ends_none(stop)}, and there are {steps}"
    chooses = "chooses the step and " if stop.chooses else ""
    return f"{chooses}can end the run{_from(stop)}"


def role_anywhere(stop: Stop) -> str:
    """Describe from which step on a rule can end a run, of whatever length."""
    if math.isinf(stop.earliest):
        return "ends no run" + (", only chooses the step" if stop.chooses else "")
    shorter = "; of a shorter one it only chooses the step" if stop.chooses else ""
    return f"can end a run{_from(stop)}{shorter if stop.earliest > 1 else ''}"


def choice(stop: Stop, chosen: int, taken: int) -> str:
    """Describe what a rule chose in a run of the whole budget; empty if it chooses nothing."""
    if not stop.chooses:
        return ""
    if stop.ignored >= taken:
        return (
            f"; the stop rule considers no step before {stop.ignored + 1}, so that the last one "
            "is taken"
        )
    which = "the last" if chosen == taken else f"step {chosen}"
    if stop.earliest > taken:
        return f"; the stop rule, which {_ends_none(stop)}, chose {which}"
    return f"; the stop rule chose {which} and did not end the run"


def _ends_none(stop: Stop) -> str:
    if math.isinf(stop.earliest):
        return "ends no run"
    return f"ends no run before step {stop.earliest:.0f}"


def _from(stop: Stop) -> str:
    return f" from step {stop.earliest:.0f} on" if stop.earliest > 1 else ""
