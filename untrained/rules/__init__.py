"""Stop, output and guard rules by name, and the watchers of a run."""

from __future__ import annotations

from untrained.core.rule import Last, Never
from untrained.rules.crossing import ZeroCrossing
from untrained.rules.guard import Rollback
from untrained.rules.output import Average, Blend, Posterior
from untrained.rules.parse import RULES, parse_stop
from untrained.rules.stop import EMV, WMV, Discrepancy, HeldOut, MaxSteps, TimeLimit

__all__ = [
    "EMV",
    "RULES",
    "WMV",
    "Average",
    "Blend",
    "Discrepancy",
    "HeldOut",
    "Last",
    "MaxSteps",
    "Never",
    "Posterior",
    "Rollback",
    "TimeLimit",
    "ZeroCrossing",
    "parse_stop",
]
