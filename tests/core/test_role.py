"""What is said of a stop rule: that it ends a run, or that it only chooses the step."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_pages import both

import untrained as ut
from untrained.core.role import choice, role, role_anywhere
from untrained.core.rule import Never, Stop
from untrained.data import TASKS
from untrained.methods import METHODS, find_recipe
from untrained.physics import Denoise
from untrained.report.charts import why_not_lowest
from untrained.report.page import render_page
from untrained.report.words import hints
from untrained.rules import EMV, RULES, WMV, HeldOut, SelfValidation, TimeLimit, parse_stop

SHORT = HeldOut(fraction=0.1, patience=6, skip=3)


@pytest.mark.parametrize(
    ("rule", "earliest", "ignored"),
    [
        (HeldOut(patience=6, skip=3), 10, 3),
        (WMV(window=4, patience=6), 10, 3),
        (EMV(skip=3, patience=6), 10, 3),
        (SelfValidation(window=4, patience=6), 10, 3),
        (parse_stop("steps:7"), 7, 0),
        (parse_stop("lowest"), math.inf, 0),
        (Never(), math.inf, 0),
        (HeldOut(patience=6, skip=3) | TimeLimit(9.0), 1, 3),
        (HeldOut(patience=6, skip=3) & parse_stop("steps:30"), 30, 3),
        (TimeLimit(9.0) | EMV(skip=5, patience=6), 1, 5),
    ],
    ids=str,
)
def test_a_rule_knows_when_it_can_end_a_run(rule: Stop, earliest: float, ignored: int) -> None:
    assert rule.earliest == earliest
    assert rule.ignored == ignored
    said = role_anywhere(rule)
    assert ("can end a run" in said) == math.isfinite(earliest)


def run(stop: Stop, steps: int, **more: Any) -> ut.Result:
    torch.manual_seed(0)
    y = torch.rand(1, 1, 16, 16)
    return ut.reconstruct(
        y,
        Denoise((1, 16, 16)),
        "dip",
        stop=stop,
        steps=steps,
        progress=False,
        compare=False,
        settings=["net.widths=4,8", "net.skip=2"],
        **more,
    )


@pytest.mark.filterwarnings("ignore::untrained.Note")
def test_a_run_says_chose_where_its_rule_could_not_end_it() -> None:
    said = run(SHORT, 9).stop[0]
    assert said.rule == "budget"
    assert "the stop rule, which ends no run before step 10, chose" in said.reason
    assert "end" not in run(Never(), 9).stop[0].reason
    none = run(HeldOut(patience=6, skip=20), 9)
    assert "considers no step before 21, so that the last one is taken" in none.stop[0].reason
    assert none.stop[0].step == 9
    last = run(SHORT, 9, output="last").stop[0]
    assert "chose" not in last.reason


@pytest.mark.parametrize(
    ("rule", "steps", "words"),
    [
        (SHORT, 10, "chooses the step and can end the run from step 10 on"),
        (SHORT, 9, "only chooses the step and ends no run before step 10, and there are 9"),
        (SHORT, 3, "considers no step before 4, and there are 3"),
        (TimeLimit(), 9, "can end the run"),
        (Never(), 9, "ends no run, and there are 9"),
        (parse_stop("lowest"), 9, "only chooses the step and ends no run, and there are 9"),
    ],
    ids=str,
)
def test_the_role_of_a_rule(rule: Stop, steps: int, words: str) -> None:
    assert role(rule, steps) == words


def test_a_rule_that_could_end_the_run_and_did_not() -> None:
    assert choice(SHORT, 8, 12) == "; the stop rule chose step 8 and did not end the run"
    assert choice(TimeLimit(), 12, 12) == ""


def test_every_rule_of_the_list_says_what_it_can_do(capsys: Any) -> None:
    from untrained.cli import main

    with pytest.raises(SystemExit):
        main(["list", "rules"])
    said = " ".join(capsys.readouterr().out.split())
    for name, rule in RULES.items():
        assert role_anywhere(rule()) in said, name


@pytest.mark.filterwarnings("ignore::untrained.Note")
@pytest.mark.parametrize("rule", [HeldOut(patience=30, skip=25), HeldOut(skip=25) | TimeLimit()])
@pytest.mark.parametrize("steps", [2, 9])
def test_no_advice_names_steps_that_the_rule_does_not_consider(rule: Stop, steps: int) -> None:
    options = [hint.option for hint in hints(*both(run(rule, steps)))]
    (advice,) = [option for option in options if option.startswith("--steps")]
    assert int(advice.split()[1]) >= max(rule.earliest, 2 * rule.ignored)


@pytest.mark.filterwarnings("ignore::untrained.Note")
def test_who_takes_the_newest_image_is_not_told_that_it_was_the_best() -> None:
    options = [hint.option for hint in hints(*both(run(SHORT, 9, output="last")))]
    assert not any(option.startswith("--steps") for option in options)


@pytest.mark.parametrize(
    ("rule", "values", "chosen", "words"),
    [
        (HeldOut(skip=1), [0.5, 0.3, 0.2, 0.4], 2, ""),
        (HeldOut(skip=2), [0.1, 0.1, 0.3, 0.4], 2, "steps before 3 are not considered"),
        (HeldOut(skip=0, slack=0.1), [0.5, 0.2, 0.21], 2, "the last step within 10 %"),
        (HeldOut(skip=1, slack=0.1), [0.1, 0.2, 0.21], 2, "steps before 2 are not considered, and"),
        (HeldOut(skip=9), [0.1, 0.2], 1, "considers no step before 10: the last one is taken"),
        (HeldOut(skip=0), [0.1, 0.2], 1, "the output rule returns the newest image"),
        (WMV(window=2), [math.nan, 0.2, 0.3], 1, ""),
    ],
)
def test_a_choice_that_is_not_the_minimum_is_explained(
    rule: Stop, values: list[float], chosen: int, words: str
) -> None:
    said = why_not_lowest(np.array(values), chosen, rule)
    assert words in said
    assert bool(said) == bool(words)


@pytest.mark.filterwarnings("ignore::untrained.Note")
def test_the_report_explains_it_where_it_is_drawn() -> None:
    page = re.sub(r"data:[^\"]*", "", render_page(*both(run(HeldOut(fraction=0.1, skip=8), 9))))
    assert "which ends no run before step 209" in page
    result = run(HeldOut(fraction=0.1, skip=8), 9)
    errors = result.history["held-out error"][:9]
    explained = "steps before 9 are not considered" in page
    assert explained == (min(map(float, errors)) < float(errors[8]))


def test_the_docs_say_what_holds_for_every_budget_of_house() -> None:
    """docs/stopping.md: in `fast` and `best`, which budgets reach the patience of the rule."""
    text = " ".join(Path("docs/stopping.md").read_text(encoding="utf-8").split())
    reached: dict[str, list[str]] = {"fast": [], "best": []}
    for preset, tasks in reached.items():
        for task in TASKS:
            recipe = find_recipe(METHODS["house"], task, preset)
            if recipe.stop.earliest <= recipe.budget:
                tasks.append(task)
    assert reached["fast"] == []
    assert "This is the case for `house` in `fast`, on every task." in text
    best = ", ".join(reached["best"])
    assert f"In `best`, `house` takes enough steps for the rule to end a run on {best}." in text


def test_a_slack_is_told_in_the_reason() -> None:
    rule, m = HeldOut(slack=0.5, patience=2, skip=0), {}
    m |= {"best": torch.tensor([0.2]), "best step": torch.tensor([4.0])}
    assert "within 50 % of its minimum (0.2) at step 4 for the last time" in rule.reason(m)
    assert "was smallest (0.2) at step 4" in HeldOut(patience=2).reason(m)
