from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from untrained.about import Mixture
from untrained.core.rule import Stopped
from untrained.methods import OES
from untrained.picture import Picture
from untrained.report import page as page_module
from untrained.report import words
from untrained.report.charts import Chart, Line, charts
from untrained.report.extras import extra_panels
from untrained.report.gallery import gallery
from untrained.report.page import metric_table, render_page
from untrained.report.pictures import LEVELS, deep_values, png
from untrained.report.plots import DARK, LIGHT, draw, figure_of, hover_data, pixels_of

SCRIPT = Path(page_module.__file__).with_name("page.js").read_text(encoding="utf-8")


def both(result):
    """A result as what a report takes: the fit, and what it is about."""
    return result, result.about


class Reader(HTMLParser):
    """Tags and attributes of a page; fails on tags that are not closed in order."""

    empty = ("meta", "img", "source", "br", "hr", "link", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.empty:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.seen if name == tag]


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_the_page_is_self_contained(compared):
    page = render_page(*both(compared))
    assert not re.search(r"https?://", page)
    reader = Reader(page)
    assert reader.all("script") == [{}], "one script, its own, that loads nothing"
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|eval|WebSocket)\s*\(", SCRIPT)
    assert not reader.all("link")
    (policy,) = [m["content"] for m in reader.all("meta") if "http-equiv" in m]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert policy.endswith(f"script-src 'sha256-{digest}'"), "no other script runs"
    pictures = reader.all("img")
    assert len(pictures) == 7 + 3  # seven panels, three charts
    assert all(p["src"].startswith("data:image/png;base64,") for p in pictures)
    assert all(p["alt"] for p in pictures)
    assert all(s["srcset"].startswith("data:") for s in reader.all("source"))


@pytest.mark.usefixtures("undrawn")
def test_user_text_is_escaped(compared):
    evil = "<script>alert(1)</script>"
    about = replace(compared.about, source=evil, notes=(evil,), command=evil, classical_name=evil)
    stop = [Stopped("heldout", 2, evil)]
    history = {**compared.history, evil: compared.history["data"]}
    page = render_page(*both(replace(compared, about=about, stop=stop, history=history)))
    assert page.count("<script") == 1
    assert f"<script>{SCRIPT}</script>" in page
    assert "&lt;script&gt;alert(1)" in page
    assert Reader(page).all("script") == [{}]


@pytest.mark.usefixtures("undrawn")
def test_contents_and_their_order(compared):
    page = re.sub(r"data:[^\"]*", "", render_page(*both(compared)))
    wanted = [
        "<h1>toy",
        "photo.png",
        "toy: 30.0 dB, +2.5 dB over tv",
        "Measurement",
        "Classical: tv",
        "Reconstruction: toy",
        "Error: tv",
        "Error: toy",
        "the error was smallest at step 2",
        "Objective",
        "<code>lam</code>",
        "<code>engine.lr</code>",
        "Data weighting: uniform",
        "alpha was dropped",
        "untrained reconstruct</code></pre>",
        "@article{rudin1992tv",
        "@software{untrained",
        "--preset best",
    ]
    found = [page.find(text, page.find("<body>")) for text in wanted]
    assert -1 not in found, wanted[found.index(-1)]
    assert found == sorted(found)


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


def test_error_maps_share_their_window(compared, photo):
    panels = {panel.title: panel for panel in gallery(*both(compared)).panels}
    tv, ours = panels["Error: tv"], panels["Error: toy"]
    assert tv.scale == ours.scale
    errors = [(0.2 * photo).mean(1), (0.05 - 0.1 * photo).abs().mean(1)]
    expected = np.percentile(torch.cat(errors).numpy(), 99.5)
    assert float(tv.scale[1]) == pytest.approx(expected, rel=5e-3)
    assert "Error" not in "".join(
        panel.title for panel in gallery(*both(without_reference(compared))).panels
    )


def without_reference(result):
    about = replace(result.about, reference=None, metrics=None, classical_metrics=None)
    return replace(result, about=about)


@pytest.mark.parametrize("shape", [(1, 1, 10, 90), (1, 3, 70, 16), (3, 2, 33, 20)])
def test_pixels_stay_square(make_result, shape):
    task = "mri" if shape[1] == 2 else "denoise"
    image = torch.rand(shape)
    panels = gallery(*both(make_result(image, task=task, reference=image, adjoint=image))).panels
    assert len(panels) == 4
    for panel in panels:
        assert (panel.width, panel.height) == (shape[3], shape[2])
        assert opened(panel.uri).size == (shape[3], shape[2])


def test_huge_images_are_made_smaller_without_distortion(make_result):
    panel = gallery(*both(make_result(torch.rand(1, 1, 300, 2400)))).panels[0]
    assert opened(panel.uri).size == (1200, 150)


def test_mri_window_and_middle_slice(make_result):
    image = torch.zeros(3, 2, 20, 20)
    image[1, 0], image[1, 1] = 3.0, 4.0  # magnitude 5 in the middle slice only
    reference = 2 * image
    shown = gallery(*both(make_result(image, task="mri", reference=reference)))
    assert "white is 10 (99.5th percentile of the reference)" in shown.note
    assert "slice 1 of 0 to 2" in shown.note.lower()
    assert np.unique(np.asarray(opened(shown.panels[0].uri))).tolist() == [128]
    alone = gallery(*both(make_result(image, task="mri")))
    assert "white is 5 (99.5th percentile of the reconstruction)" in alone.note


@pytest.mark.usefixtures("undrawn")
def test_stops_of_every_slice(make_result):
    result = make_result(torch.rand(2, 1, 8, 8), task="ct", axes="ZYX")
    stop = (Stopped("heldout", 2, "first"), Stopped("budget", 5, "second"))
    result = replace(result, stop=stop)
    page = render_page(*both(result))
    assert "first" in page
    assert "second" in page
    assert "Curves of the first slice" in page
    rows = re.findall(r'<th scope="row">(\d)</th><td>(\w+)</td>', page)
    assert rows == [("0", "heldout"), ("1", "budget")]  # counted as --slice counts


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


def test_views_have_their_values_to_4096_levels(make_result):
    """Check that what the page's script decodes is the image, and that maps are told apart."""
    image = 3.0 * torch.rand(1, 1, 9, 14) - 1.0
    result = make_result(image, task="ct", reference=image + 0.1, adjoint=torch.zeros(1, 1, 4, 4))
    measured, ours, reference, error = gallery(*both(result)).panels
    assert [p.kind for p in (measured, ours, reference, error)] == [
        "picture",
        "view",
        "view",
        "map",
    ]
    assert (ours.key, reference.key) == ("result", "reference")
    halves = np.asarray(opened(ours.values)).astype(int)
    assert halves.shape == (18, 14)
    (low, high), codes = ours.ends, 16 * halves[:9] + halves[9:]
    seen = low + (high - low) * codes / LEVELS
    assert np.abs(seen - image[0, 0].numpy()).max() <= (high - low) / LEVELS
    colour = gallery(*both(make_result(torch.rand(1, 3, 5, 5)))).panels[0]
    assert (colour.kind, colour.values, colour.ends) == ("view", "", (0.0, 1.0))


def test_values_of_a_large_image_are_those_of_a_smaller_one():
    plane = np.repeat(np.arange(4.0), 400)[None].repeat(64, axis=0)
    uri, ends = deep_values(plane)
    assert opened(uri).size == (640, 2 * 26)
    assert ends == (0.0, 3.0)
    assert deep_values(np.full((2, 2), np.nan))[1] == (0.0, 1.0)


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


@pytest.mark.usefixtures("undrawn")
def test_pictures_of_a_task_are_panels(compared):
    values = np.array([[-2.0, 0.0], [1.0, 2.0]])
    icon = png(np.zeros((3, 5), np.uint8))
    frames = b"GIF89a" + bytes([7, 0, 9, 0]) + bytes(20)
    pictures = (
        Picture("Residual of k-space", "Why.", values, unit="of max |y|"),
        Picture("Kernel", values=np.abs(values), scale="grey"),
        Picture("Decades", values=np.abs(values), scale="decades"),
        Picture("Icon", encoded=icon),
        Picture("Series", encoded=frames, alt="A heart that beats"),
    )
    page = render_page(*both(replace(compared, about=replace(compared.about, pictures=pictures))))
    found = [page.find(f"<strong>{one.title}</strong>") for one in pictures]
    assert -1 not in found
    assert found == sorted(found)
    assert 'alt="A heart that beats"' in page
    assert "data:image/gif;base64," in page
    panels = extra_panels(pictures)
    white = np.asarray(opened(panels[0].uri).convert("RGB"))[0, 1].astype(int)
    assert np.abs(white - 247).max() < 3, "0 is in the middle of the scale"
    assert [(p.width, p.height) for p in panels[3:]] == [(5, 3), (7, 9)]
    assert panels[1].scale == ()
    with pytest.raises(ValueError, match="either values or"):
        Picture("Neither")
    with pytest.raises(ValueError, match="PNG and GIF"):
        extra_panels((Picture("Odd", encoded=b"BM"),))


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


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("image", [torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 300.0)])
@pytest.mark.parametrize("task", ["denoise", "ct"])
def test_constant_images(make_result, image, task):
    assert "<h1>" in render_page(*both(make_result(image, task=task, reference=image)))


def test_importing_the_report_draws_in_nothing_heavy():
    code = (
        "import sys, untrained.report; "
        "print([m for m in ('matplotlib', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
