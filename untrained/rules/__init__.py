"""Stop, output and guard rules by name, and the watchers of a run."""

from __future__ import annotations

from untrained.core.rule import Last, MaxSteps, Never
from untrained.rules.guard import Rollback
from untrained.rules.output import Average, Blend, Closing, Nearer, Posterior
from untrained.rules.parse import RULES, parse_stop
from untrained.rules.selfval import SelfValidation
from untrained.rules.shadow import Shadow, Verdict, verdicts
from untrained.rules.stop import EMV, WMV, Discrepancy, HeldOut, Lowest, TimeLimit
from untrained.rules.watch import Reference
from untrained.rules.zero import ZeroCrossing

__all__ = [
    "EMV",
    "RULES",
    "WMV",
    "Average",
    "Blend",
    "Closing",
    "Discrepancy",
    "HeldOut",
    "Last",
    "Lowest",
    "MaxSteps",
    "Nearer",
    "Never",
    "Posterior",
    "Reference",
    "Rollback",
    "SelfValidation",
    "Shadow",
    "TimeLimit",
    "Verdict",
    "ZeroCrossing",
    "parse_stop",
    "verdicts",
]
