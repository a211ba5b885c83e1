"""Stop rules from text: `heldout`, `wmv | steps`, `discrepancy & emv`."""

from __future__ import annotations

import difflib
import math
import re

from untrained.core.rule import Both, Either, MaxSteps, Never, Stop
from untrained.errors import UserError
from untrained.rules.biasvariance import BiasVariance
from untrained.rules.selfval import SelfValidation
from untrained.rules.stop import EMV, WMV, Discrepancy, HeldOut, Lowest, TimeLimit
from untrained.rules.zero import ZeroCrossing

RULES: dict[str, type[Stop]] = {
    rule.name: rule
    for rule in (
        HeldOut,
        WMV,
        EMV,
        SelfValidation,
        Discrepancy,
        BiasVariance,
        ZeroCrossing,
        MaxSteps,
        TimeLimit,
        Lowest,
        Never,
    )
}
NUMBERS = {
    "steps": "steps",
    "time": "seconds",
    "discrepancy": "tau",
    "zero": "",
    "lowest": "",
    "none": "",
}
"""Name of a rule -> the field that the number after the colon sets (empty: it takes none).
`patience` for rules that are not listed."""


def parse_stop(text: str) -> Stop:
    """Parse a stop rule from text; `&` binds tighter than `|`, and there are no parentheses.

    A number after a colon sets the rule's main field: `steps:500`, `time:60`, `wmv:300`
    (patience), `heldout:100`, `selfval:500`, `discrepancy:0.9`.

    Raises:
        UserError: an unknown rule or a value that is no number.
    """
    either = [_conjunction(part) for part in text.split("|")]
    rule = either[0]
    for other in either[1:]:
        rule = Either(rule, other)
    return rule


def _conjunction(text: str) -> Stop:
    parts = [_single(part.strip()) for part in text.split("&")]
    rule = parts[0]
    for other in parts[1:]:
        rule = Both(rule, other)
    return rule


def _single(text: str) -> Stop:
    names = [word for word in re.split(r"[\s,;+]+", text) if word not in ("", "and", "or")]
    if len(names) > 1:
        raise UserError(
            f"stop rule '{text}': rules are combined with | (the first one ends the run) or & (all "
            f"have to agree), for example '{' | '.join(names)}'"
        )
    name, colon, number = text.partition(":")
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UserError(f"unknown stop rule '{name}'; known: {', '.join(RULES)}{hint}")
    if not colon:
        return RULES[name]()
    field = NUMBERS.get(name, "patience")
    if not field:
        raise UserError(f"stop rule '{text}': '{name}' takes no number")
    try:
        value = float(number)
    except ValueError:
        raise UserError(f"stop rule '{text}': '{number}' is not a number") from None
    whole = field in ("steps", "patience")
    if not 0 < value < math.inf or (whole and value != int(value)):
        kind = "a positive whole number" if whole else "positive and finite"
        raise UserError(f"stop rule '{text}': the number after ':' must be {kind}")
    return RULES[name](**{field: int(value) if whole else value})
