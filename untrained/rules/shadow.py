"""Stop rules that look at a run without ending it, so that they can be compared on one run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from untrained.core.rule import Frame, Memory, Stop
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError

PREFIX = "shadow"


@dataclass(frozen=True)
class Verdict:
    """Hold the steps at which a rule would have ended a run, and which it would have chosen.

    Attributes:
        stopped: the step at which it would have ended the run; None if it never did.
        chosen: the step it would have returned: its best up to then, by its own statistic; the
            last one of a rule without a statistic, or before the first minimum of the statistic.
        psnr, psnr_output: of the step's image and of the output at `chosen`, where the run's
            history has them (a reference was given for the record).
    """

    stopped: int | None
    chosen: int
    psnr: float | None
    psnr_output: float | None


class Shadow(Watch):
    """Lets any number of stop rules watch a run and records what each would have done.

    Neither the run nor the other rules notice: every rule has its own memory, in the checkpoint,
    and looks at the frames that a run with that rule would have seen. The history gets, for each
    name, `shadow/NAME/stopped` (NaN until the rule would have ended the run, then that step),
    `shadow/NAME/chosen` (the step it would return, were the run to end now) and the rule's own
    statistic. From the step at which it would have ended the run, a rule sees nothing more and
    costs nothing.

    Only a rule that holds measurements out changes what is fitted, and so cannot be watched
    along: it needs a run of its own.

    Memory: the sum of the rules', nothing is shared: a `WMV` holds its `window` images each time.

    Args:
        rules: name -> stop rule, combined ones included.

    Raises:
        UserError: no rule, a name with a slash, or a rule that holds measurements out.
    """

    def __init__(self, rules: Mapping[str, Stop]) -> None:
        if not rules:
            raise UserError("Shadow needs at least one stop rule, for example {'wmv': WMV()}")
        for name, rule in rules.items():
            if not name or "/" in name:
                raise UserError(f"the name {name!r} of a shadow rule must be without '/'")
            if rule.holdout:
                raise UserError(
                    f"the rule '{name}' holds measurements out and so changes what is fitted: it "
                    "cannot be watched along with others; give it a run of its own (stop=...)"
                )
        self._rules = dict(rules)

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Show the frame to every rule that has not ended; return their columns of the history."""
        found: dict[str, Tensor] = {}
        for name, rule in self._rules.items():
            m = s.memory(f"{PREFIX}/{name}")
            if "stopped" not in m:  # the first step of a phase; a resumed one has its memory
                _start(s, m, rule)
            _look(s, m, rule, frame)
            ended = m["stopped"].isfinite()
            numbers = {"stopped": m["stopped"], "chosen": m["chosen"]}
            for what, value in rule.statistic(m.sub("rule")).items():
                numbers[what] = value.masked_fill(ended & (m["stopped"] != frame.step), math.nan)
            found |= {f"{PREFIX}/{name}/{what}": value for what, value in numbers.items()}
        return found


def verdicts(history: Mapping[str, list[float | str]]) -> dict[str, Verdict]:
    """Return, by name, what the rules of a `Shadow` would have done in the first phase of a run."""
    phases = history.get("phase", [])
    known = history.get(next((n for n in history if n.endswith("/chosen")), ""), [])
    rows = range(sum(phase == phases[0] for phase in phases))
    # a run that was taken up without the `Shadow` has nothing of it from there on
    last = max((row for row in rows if known and not math.isnan(float(known[row]))), default=-1)
    names = [name.split("/")[1] for name in history if name.endswith("/stopped")]
    return {name: _verdict(history, f"{PREFIX}/{name}", last) for name in names}


def _verdict(history: Mapping[str, list[float | str]], prefix: str, last: int) -> Verdict:
    stopped = float(history[f"{prefix}/stopped"][last])
    chosen = int(history[f"{prefix}/chosen"][last])

    def at(name: str) -> float | None:
        value = float(history[name][chosen - 1]) if name in history else math.nan
        return None if math.isnan(value) else value

    return Verdict(
        None if math.isnan(stopped) else int(stopped), chosen, at("psnr"), at("psnr_output")
    )


def _start(s: State, m: Memory, rule: Stop) -> None:
    m["stopped"] = torch.full((s.size,), math.nan, device=s.device)
    m["chosen"] = torch.zeros_like(m["stopped"])
    rule.start(s, m.sub("rule"))


def _look(s: State, m: Memory, rule: Stop, frame: Frame) -> None:
    """Show a step to a rule, and record its end and its best step.

    A problem whose run the rule would have ended keeps the step that was best then.
    """
    running = m["stopped"].isnan()
    if not bool(running.any()):
        return
    own = m.sub("rule")
    rule.see(s, own, frame)
    better = rule.improved(own)
    now = torch.full_like(m["chosen"], frame.step)
    new = running if better is None else running & better
    m["chosen"] = torch.where(new, now, m["chosen"])
    m["stopped"] = torch.where(running & rule.done(own).to(now.device), now, m["stopped"])
