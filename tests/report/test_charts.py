"""The curves of a report: which are drawn, where they are marked, what is told below."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from report_pages import both, opened

from untrained.report import words
from untrained.report.charts import Chart, Line, charts
from untrained.report.plots import DARK, LIGHT, draw, figure_of, hover_data, pixels_of


def test_charts_of_a_history(compared):
    objective, rule, quality = charts(compared.history, compared.origins, 2, (27.5, "tv"))
    assert [line.label for line in objective.lines] == ["data"]
    assert objective.boundaries == ((0, "fit"), (3, "refit"))
    assert objective.log
    assert rule.chosen == 1
    assert [line.label for line in quality.lines] == ["image of the step", "output"]
    assert "best at step 3 of the fit: 18.00 dB" in quality.caption
    assert [line.label for line in rule.lines] == ["held-out error"]
    assert charts({"phase": [], "step": []}, {}, 0) == []


def test_curves_of_several_slices_are_those_of_the_first(compared):
    history = {name: values * 3 for name, values in compared.history.items()}
    labels = [str(label) for label in compared.history["phase"]]
    history["phase"] = [f"slice {i + 10} {label}" for i in range(3) for label in labels]
    many = charts(history, compared.origins, 2, (27.5, "tv"))
    alone = charts(compared.history, compared.origins, 2, (27.5, "tv"))
    for one, other in zip(many, alone, strict=True):
        assert one.boundaries == other.boundaries
        assert one.caption == other.caption
        assert all(
            np.array_equal(a.values, b.values, equal_nan=True)
            for a, b in zip(one.lines, other.lines, strict=True)
        )


def test_the_classical_level_is_that_of_the_slice_whose_curves_are_drawn(make_result):
    truth = torch.rand(2, 1, 9, 9)
    known = {"reference": truth, "classical_metrics": {"psnr": 15.0}, "data_range": 1.0}
    errors = torch.tensor([0.1, 0.5]).reshape(2, 1, 1, 1)
    result = make_result(truth, classical=truth + errors, classical_name="tv", **known)
    assert words.first_classical_psnr(*both(result)) == pytest.approx(20.0, abs=1e-3)


def test_hover_data_are_the_values_of_the_curve(compared):
    rule = charts(compared.history, compared.origins, 2)[1]
    told = json.loads(hover_data(rule))
    assert told["rows"] == [1, 2, 3, 4, 5]
    assert told["chosen"] == 2
    assert told["lines"] == [["held-out error", [0.4, 0.2, 0.25, None, None]]]
    assert 0 < told["left"] < told["right"] < 1
    many = Chart("a", "", (Line("long", np.arange(5000.0)),), chosen=7, level=(3.0, "tv"))
    told = json.loads(hover_data(many))
    assert len(told["rows"]) <= 241
    assert {1, 8, 5000} <= set(told["rows"])
    assert [label for label, _ in told["lines"]] == ["long", "tv"]


SMALL_NUMBERS = Line("held-out error", 2.612e-5 * (1 + np.arange(60) / 300))
LARGE_NUMBERS = Line("a long name of a term of the objective", -12345.678 + np.arange(60) * 1e-3)
DECIBELS = Line("output", np.linspace(5.0, 31.0, 60))
PHASES = ((0, "mask"), (50, "fit"), (52, "refit"), (58, "another"))


@pytest.mark.parametrize(
    "chart",
    [
        Chart("a", "", (SMALL_NUMBERS,), log=True, chosen=3, boundaries=PHASES),
        Chart("b", "", (LARGE_NUMBERS, SMALL_NUMBERS), boundaries=PHASES[:2]),
        Chart("c", "", (DECIBELS,), "dB", chosen=50, level=(9.0, "a method"), boundaries=PHASES),
        Chart("d", "", tuple(replace(DECIBELS, label=f"run {i}" * 6) for i in range(9)), "dB"),
    ],
    ids=lambda chart: chart.title,
)
def test_nothing_of_a_plot_is_cut_or_covered(chart):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = figure_of(chart, LIGHT)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    shown = [
        label
        for axis, (low, high), i in (
            (axes.xaxis, axes.get_xlim(), 0),
            (axes.yaxis, axes.get_ylim(), 1),
        )
        for label in axis.get_ticklabels()
        if low <= label.get_position()[i] <= high
    ]
    legend = figure.legends[0].get_window_extent()
    everything = [*boxes, *(t.get_window_extent() for t in shown), legend]
    everything += [axes.xaxis.label.get_window_extent(), axes.yaxis.label.get_window_extent()]
    for box in everything:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert not legend.overlaps(axes.get_window_extent())
    assert not legend.overlaps(axes.xaxis.label.get_window_extent())
    if len(boxes) < len(chart.boundaries):  # left out above, and told below
        assert axes.get_xlabel().endswith("(mask, fit, refit, another)")
    assert opened("," + base64.b64encode(draw(chart, LIGHT)).decode()).size == pixels_of(chart)


def test_what_lies_below_the_plot_is_told():
    chart = Chart("PSNR", "", (DECIBELS, Line("lost", np.full(60, 2.0))), "dB", level=(9.0, "tv"))
    labels = [text.get_text() for text in figure_of(chart, LIGHT).legends[0].get_texts()]
    assert labels == [
        "output",
        "lost (2.0 dB, below the plot)",
        "tv (9.0 dB, below the plot)",
    ]
    near = replace(chart, level=(20.0, "tv"))
    labels = [text.get_text() for text in figure_of(near, LIGHT).legends[0].get_texts()]
    assert labels[2] == "tv"


def test_a_term_that_is_negative_gets_a_linear_axis():
    history = {"step": [1.0, 2.0], "phase": ["fit"] * 2, "data": [1.0, -1.0]}
    (only,) = charts(history, {"data": "objective"}, None)
    assert not only.log
    assert draw(only, LIGHT).startswith(b"\x89PNG")


def test_drawing_repeats_bit_for_bit_and_marks_the_step(compared):
    rule = charts(compared.history, compared.origins, 2)[1]
    assert draw(rule, LIGHT) == draw(rule, LIGHT)
    assert draw(rule, LIGHT) != draw(rule, DARK)
    axes = figure_of(rule, LIGHT).axes[0]
    marked = [line for line in axes.lines if line.get_label() == "chosen step"]
    assert [tuple(line.get_xydata()[0]) for line in marked] == [(2.0, 0.2)]
    assert 3.5 in [line.get_xdata()[0] for line in axes.lines]  # between fit and refit
