"""The page of a report as a whole: self-contained, escaped, in order, whatever the image."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from report_pages import SCRIPT, Reader, both, opened

from untrained.core.rule import Stopped
from untrained.picture import Picture
from untrained.report.extras import extra_panels
from untrained.report.page import render_page
from untrained.report.pictures import png


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
