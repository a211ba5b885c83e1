"""The widget: choose a layer and a task, follow the run, cancel it."""

from __future__ import annotations

import threading
from typing import Any

from magicgui.widgets import (
    ComboBox,
    Container,
    FloatSpinBox,
    Label,
    ProgressBar,
    PushButton,
    SpinBox,
)

from untrained.errors import UserError
from untrained.methods import METHODS
from untrained.methods.card import NOTHING
from untrained.napari.work import TASKS, Follow, Layer, Request, reconstruct_layer

EVERY = 100  # milliseconds between two looks at the run
NO_LAYER = "(none)"


class ReconstructWidget(Container):
    """Reconstruct an image layer in a thread of its own, and add the result as layers.

    Args:
        napari_viewer: anything with `layers` (each with `name` and `data`) and `add_image`.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self.viewer = napari_viewer
        methods = [n for n, c in METHODS.items() if c.needs == NOTHING and not c.prior]
        self.layer = ComboBox(label="image", choices=self._layers)
        self.task = ComboBox(label="task", choices=list(TASKS))
        self.second = ComboBox(label="mask or kernel", choices=self._seconds)
        self.factor = SpinBox(label="factor", value=4, min=2, max=16)
        self.sigma = FloatSpinBox(label="noise (0-255)", value=0, min=0, max=255)
        self.method = ComboBox(label="method", choices=["auto", *methods])
        self.preset = ComboBox(label="preset", choices=["fast", "best", "paper"])
        self.steps = SpinBox(label="steps (0: preset)", value=0, min=0, max=1_000_000)
        self.start = PushButton(text="Reconstruct")
        self.cancel = PushButton(text="Cancel", enabled=False)
        self.bar = ProgressBar(label="progress", value=0, min=0, max=1)
        self.told = Label(value="")
        super().__init__(
            widgets=[
                *(self.layer, self.task, self.second, self.factor, self.sigma, self.method),
                *(self.preset, self.steps, self.start, self.cancel, self.bar, self.told),
            ]
        )
        self.start.changed.connect(self.begin)
        self.cancel.changed.connect(self.end)
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._news: tuple[str, int, int] = ("", 0, 0)
        self._found: list[Layer] | Exception | None = None
        self._timer = _timer(self.look)

    def _layers(self, _: Any) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

    def _seconds(self, _: Any) -> list[str]:
        return [NO_LAYER, *self._layers(_)]

    def _data(self, name: str) -> Any:
        return next(layer.data for layer in self.viewer.layers if layer.name == name)

    def request(self) -> Request:
        """Collect what the controls ask for."""
        second = None if self.second.value == NO_LAYER else self._data(self.second.value)
        return Request(
            self.task.value,
            self._data(self.layer.value),
            second,
            int(self.factor.value),
            float(self.sigma.value),
            self.method.value,
            self.preset.value,
            int(self.steps.value),
        )

    def begin(self) -> None:
        """Start a run; one at a time."""
        if self._thread is not None or self.layer.value is None:
            return
        request, self._found = self.request(), None
        self._cancelled.clear()
        self.start.enabled, self.cancel.enabled = False, True
        self.told.value = "preparing the first step"
        self._thread = threading.Thread(target=self._work, args=(request,), daemon=True)
        self._thread.start()
        self._timer.start(EVERY)

    def end(self) -> None:
        """Ask the run to end; its image so far is kept."""
        self._cancelled.set()

    def _work(self, request: Request) -> None:
        def tell(what: str, step: int, total: int) -> None:
            self._news = (what, step, total)

        try:
            self._found = reconstruct_layer(request, Follow(tell, self._cancelled))
        except Exception as error:  # shown in the widget: nobody sees a thread's traceback
            self._found = error

    def look(self) -> None:
        """Show how far the run is and, at its end, add the layers. Runs in the window's thread."""
        what, step, total = self._news
        self.bar.max = max(total, 1)
        self.bar.value = min(step, self.bar.max)
        if total:
            self.told.value = f"{what}: step {step} of {total}"
        if self._found is None:
            return
        self._timer.stop()
        found, self._found, self._thread = self._found, None, None
        self.start.enabled, self.cancel.enabled = True, False
        if isinstance(found, Exception):
            known = isinstance(found, UserError)
            self.told.value = str(found) if known else f"{type(found).__name__}: {found}"
            return
        for data, options, _ in found:
            self.viewer.add_image(data, **options)
        self.told.value = found[0][1]["metadata"]["untrained"]["stop"]


def _timer(look: Any) -> Any:
    """Return a timer of the window's toolkit that calls `look`."""
    from qtpy.QtCore import QTimer

    timer = QTimer()
    timer.timeout.connect(look)
    return timer
