"""Stop, output and guard rules by name, and the watchers of a run."""

from __future__ import annotations

from untrained.core.rule import Frame, Last, MaxSteps, Never, Output, Stop
from untrained.core.rule_memory import Memory
from untrained.rules.bands import Bands
from untrained.rules.biasvariance import BiasVariance
from untrained.rules.guard import Rollback
from untrained.rules.output import Average, Blend, Closing, Nearer, Posterior
from untrained.rules.parse import RULES, parse_stop
from untrained.rules.prior_blend import PriorBlend
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
    "Bands",
    "BiasVariance",
    "Blend",
    "Closing",
    "Discrepancy",
    "Frame",
    "HeldOut",
    "Last",
    "Lowest",
    "MaxSteps",
    "Memory",
    "Nearer",
    "Never",
    "Output",
    "Posterior",
    "PriorBlend",
    "Reference",
    "Rollback",
    "SelfValidation",
    "Shadow",
    "Stop",
    "TimeLimit",
    "Verdict",
    "ZeroCrossing",
    "parse_stop",
    "verdicts",
]
