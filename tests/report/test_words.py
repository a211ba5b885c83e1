"""The sentences and the table of a report: verdict, mixture, hints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from report_pages import both, without_reference

from untrained.about import Mixture
from untrained.core.rule import Stopped
from untrained.methods import OES
from untrained.report import words
from untrained.report.page import metric_table, render_page


def test_verdict(compared):
    of_input = words.input_metrics(*both(compared))
    line = words.verdict(*both(compared), of_input)
    assert line.startswith("toy: 30.0 dB, +2.5 dB over tv, ")
    assert line.endswith("over the measurement")
    worse = replace(compared.about, metrics={"psnr": 27.0}, adjoint=None)
    assert (
        words.verdict(*both(replace(compared, about=worse)), {}) == "toy: 27.0 dB, 0.5 dB below tv"
    )
    assert "--method tv" in [h.option for h in words.hints(*both(replace(compared, about=worse)))]
    level = replace(compared.about, metrics={"psnr": 27.52})
    assert words.verdict(*both(replace(compared, about=level)), {}).endswith("equal to tv")
    equal = replace(compared.about, metrics={"psnr": float("inf")})
    assert "equal to the reference" in words.verdict(*both(replace(compared, about=equal)), {})


def test_verdict_without_reference(make_result, photo):
    line = words.verdict(*both(make_result(photo, method="toy")), {})
    assert "5 steps" in line
    assert "no reference" in line
    assert "dB" not in line


MIXTURE = Mixture(0.194, "non-local Bayes", 0.012, 0.0345, {"psnr": 29.0, "ssim": 0.7})
MADE = "19 % network and 81 % a classical image (non-local Bayes)"


@pytest.mark.usefixtures("undrawn")
def test_the_first_line_says_what_the_image_is_made_of(compared, make_result, photo):
    alone = make_result(photo, method="toy", mixture=MIXTURE)
    assert words.verdict(*both(alone), {}).startswith(f"toy: {MADE}, fitted in 5 steps")
    mixed = replace(compared, about=replace(compared.about, mixture=MIXTURE))
    line = words.verdict(*both(mixed), {})
    assert (
        line == f"toy: 30.0 dB, +2.5 dB over tv, +1.0 dB over its classical image; made of {MADE}"
    )
    page = render_page(*both(mixed))
    assert page.index(MADE) < page.index("<h2")


def rows_of(table):
    return {label: dict(zip(table.names, texts, strict=True)) for label, texts in table.rows}


def test_the_classical_image_has_a_row_beside_tv(compared):
    mixed = replace(compared, about=replace(compared.about, mixture=MIXTURE))
    table = metric_table(*both(mixed), {})
    rows = rows_of(table)
    assert list(rows) == ["toy, 19 % network", "its classical image: non-local Bayes", "tv"]
    assert [row["held-out error"] for row in rows.values()] == ["0.012", "0.0345", "–"]
    assert [row["PSNR"] for row in rows.values()] == ["30.00 dB", "29.00 dB", "27.50 dB"]
    assert "Held-out error" in table.caption
    assert "held-out error" not in metric_table(*both(compared), {}).names


def test_without_a_reference_the_held_out_errors_stand_alone(compared):
    about = replace(without_reference(compared).about, mixture=replace(MIXTURE, network=1.0))
    table = metric_table(*both(replace(compared, about=about)), {})
    assert table.names == ["held-out error"]
    assert [texts for _, texts in table.rows] == [["0.012"], ["0.0345"], ["–"]]
    assert "reference" not in table.caption
    assert metric_table(*both(without_reference(compared)), {}) is None


def test_a_classical_image_that_is_the_one_compared_with_has_one_row(compared):
    same = replace(MIXTURE, classical="tv", classical_metrics=None)
    rows = rows_of(
        metric_table(*both(replace(compared, about=replace(compared.about, mixture=same))), {})
    )
    assert list(rows) == ["toy, 19 % network", "its classical image: tv"]
    assert rows["its classical image: tv"]["held-out error"] == "0.0345"
    assert rows["its classical image: tv"]["PSNR"] == "27.50 dB"


def test_hints_fit_the_result(compared):
    def options(**changes):
        return [hint.option for hint in words.hints(*both(replace(compared, **changes)))]

    assert options() == ["--stop none", "--preset best", "--seed 4"]
    assert options(finished=False) == ["--resume"]
    assert options(recipe=None) == ["--method auto"]
    assert "--set engine.lr=0.0003" in options(stop=[Stopped("diverged", 1, "NaN")])


def test_a_flat_image_is_said_to_be_one(compared):
    assert words.state_of(compared) == ""
    flat = replace(compared, image=torch.full_like(compared.image, 0.4))
    assert "the network draws nothing" in words.state_of(flat)
    oes = replace(flat, recipe=replace(compared.recipe, method=OES()))
    assert "--set keep=0.2" in [hint.option for hint in words.hints(*both(oes))]
