"""The napari plugin: its work without napari, its widget where magicgui and Qt are installed."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import untrained
from untrained.errors import UserError
from untrained.napari.work import Follow, Request, as_image, reconstruct_layer

PICTURE = np.random.default_rng(0).random((16, 18)).astype(np.float32)


def follow(cancelled: threading.Event | None = None) -> tuple[Follow, list[tuple[str, int, int]]]:
    heard: list[tuple[str, int, int]] = []
    return Follow(lambda *told: heard.append(told), cancelled), heard


@pytest.mark.parametrize("task", ["denoise", "inpaint", "superres", "deblur"])
def test_a_layer_gives_a_layer_and_the_classical_one(task: str) -> None:
    """Check sizes, and that every step is told."""
    second = {"inpaint": PICTURE > 0.5, "deblur": np.ones((3, 3)) / 9}.get(task)
    follower, heard = follow()
    request = Request(task, PICTURE, second, factor=2, sigma=10, method="dip", steps=3)
    ours, classical = reconstruct_layer(request, follower)
    assert ours[0].shape == ((32, 36) if task == "superres" else (16, 18))
    assert classical[0].shape == ours[0].shape
    assert ours[1]["name"] == f"{task}: dip"
    assert classical[1]["name"] == "classical: tv"
    assert ours[2] == "image"
    assert {step for _, step, total in heard if total} >= {1, 2, 3}


def test_a_run_that_is_cancelled_gives_the_image_so_far() -> None:
    cancelled = threading.Event()
    follower = Follow(lambda what, step, total: cancelled.set() if step == 2 else None, cancelled)
    found = reconstruct_layer(Request("denoise", PICTURE, method="dip", steps=500), follower)
    assert found[0][1]["metadata"]["untrained"]["finished"] is False
    assert np.isfinite(found[0][0]).all()


def test_arrays_of_layers() -> None:
    assert as_image(np.full((2, 3), 255, np.uint8)).max() == 1
    assert as_image(np.zeros((2, 3, 4))).shape == (1, 3, 2, 3)
    with pytest.raises(UserError, match="choose one plane"):
        as_image(np.zeros((5, 6, 7)))


@pytest.mark.parametrize(("task", "said"), [("inpaint", "a mask"), ("deblur", "a kernel")])
def test_what_is_missing_is_named(task: str, said: str) -> None:
    with pytest.raises(UserError, match=f"{task} needs {said}"):
        reconstruct_layer(Request(task, PICTURE), follow()[0])


def test_the_manifest_names_what_there_is() -> None:
    """Check the widget's name in the manifest; with npe2 the whole manifest."""
    path = Path(untrained.__file__).parent / "napari" / "napari.yaml"
    assert "python_name: untrained.napari.widget:ReconstructWidget" in path.read_text("utf-8")
    npe2 = pytest.importorskip("npe2", reason="npe2 checks the manifest where it is installed")
    manifest = npe2.PluginManifest.from_file(path)
    (widget,) = manifest.contributions.widgets
    assert widget.command == manifest.contributions.commands[0].id


class Viewer(SimpleNamespace):
    """Stand in for napari's viewer: what the widget asks of it."""

    def add_image(self, data: np.ndarray, **options: object) -> None:
        self.layers.append(SimpleNamespace(name=options["name"], data=data))


def test_the_widget_runs_tells_and_cancels() -> None:
    """Check a run, a cancelled run and an error through the controls, without a screen."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    pytest.importorskip("magicgui", reason="the widget needs magicgui and Qt")
    core = pytest.importorskip("qtpy.QtCore", reason="the widget needs magicgui and Qt")
    widgets = pytest.importorskip("qtpy.QtWidgets")
    from untrained.napari.widget import ReconstructWidget

    app = widgets.QApplication.instance() or widgets.QApplication([])
    assert core is not None
    viewer = Viewer(layers=[SimpleNamespace(name="photo", data=PICTURE)])
    widget = ReconstructWidget(viewer)

    def wait() -> None:
        until = time.monotonic() + 120
        while not widget.start.enabled and time.monotonic() < until:
            app.processEvents()
            time.sleep(0.01)
        assert widget.start.enabled

    widget.method.value, widget.steps.value = "dip", 4
    widget.begin()
    assert widget.cancel.enabled
    wait()
    assert [layer.name for layer in viewer.layers] == ["photo", "denoise: dip", "classical: tv"]
    widget.steps.value = 100_000
    widget.begin()
    widget.end()
    wait()
    assert "cancelled" in widget.told.value
    widget.task.value = "inpaint"
    widget.begin()
    wait()
    assert "inpaint needs a mask" in widget.told.value
