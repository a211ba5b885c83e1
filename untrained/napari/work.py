"""Do the plugin's work without napari: arrays in, layers out, with progress and cancelling."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from untrained.ambient import single_precision
from untrained.core.rule import Frame, Stopped
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.physics import Blur, Denoise, Inpaint, Physics, SuperRes
from untrained.rules.watch import INTERRUPTED
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.run.plan import plan
from untrained.run.reconstruct import whole_problem
from untrained.tasks import find_task

TASKS = ("denoise", "inpaint", "superres", "deblur")
Layer = tuple[np.ndarray, dict[str, Any], str]
"""napari's layer data: array, keyword arguments of the layer, type of the layer."""


@dataclass(frozen=True)
class Request:
    """Hold what the user asked for.

    Attributes:
        task: one of TASKS.
        image: the layer's array, `(H, W)` or `(H, W, 3)`.
        second: the mask (`inpaint`: not 0 = measured) or the kernel (`deblur`); else None.
        factor: of super-resolution.
        sigma: standard deviation of the noise, 0 to 255; 0 = not known.
        method, preset, steps, seed: as of `untrained.reconstruct`; 0 steps = the preset's.
    """

    task: str
    image: np.ndarray
    second: np.ndarray | None = None
    factor: int = 4
    sigma: float = 0.0
    method: str = "auto"
    preset: str = "fast"
    steps: int = 0
    seed: int = 0


class Follow(Watch):
    """Tell the steps of a run, and end it where that was asked for.

    Args:
        tell: is called with what is done, the step and the number of steps of this phase.
        cancelled: set by the user.
    """

    def __init__(
        self, tell: Callable[[str, int, int], None], cancelled: threading.Event | None = None
    ) -> None:
        self._tell, self._cancelled = tell, cancelled or threading.Event()
        self._phase, self._total, self._step = "", 0, 0

    def begin(self, phase: str, total: int, step: int) -> None:
        """Tell the first step."""
        self._phase, self._total, self._step = phase, total, step
        self._tell(phase, step, total)

    def step(self, frame: Frame, columns: dict[str, float]) -> None:
        """Tell a step."""
        self._step += 1
        self._tell(self._phase, self._step, self._total)

    def busy(self, what: str, seconds: float) -> None:
        """Tell work that has no steps."""
        self._tell(what, 0, 0)

    def left(self) -> float:
        """End work without steps at once after a cancel."""
        return 0.0 if self._cancelled.is_set() else super().left()

    def interrupted(self) -> Stopped | None:
        """Pause after a cancel."""
        if not self._cancelled.is_set():
            return None
        return Stopped(INTERRUPTED, self._step, "it was cancelled")


def as_image(array: np.ndarray, name: str = "the layer") -> torch.Tensor:
    """Convert a layer's array to `(1, C, H, W)` float32; whole numbers become [0, 1].

    Raises:
        UserError: it is no plane, grey or with three colours.
    """
    values = np.asarray(array)
    if values.ndim == 3 and values.shape[-1] == 4:  # alpha is dropped
        values = values[..., :3]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[-1] != 3):
        raise UserError(
            f"{name} has shape {values.shape}; a picture (H, W) or (H, W, 3) is needed: choose one "
            "plane of it first"
        )
    scale = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    planes = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32) / scale)[None]


def operator_of(request: Request, y: torch.Tensor) -> Physics:
    """Return the operator of a request for measurements `(1, C, H, W)`.

    Raises:
        UserError: an unknown task, or a mask or kernel that is missing or does not fit.
    """
    shape = (int(y.shape[1]), int(y.shape[2]), int(y.shape[3]))
    if request.task not in TASKS:
        raise UserError(f"unknown task '{request.task}'; one of {', '.join(TASKS)}")
    row = find_task(request.task)
    if row.only_noise:
        return Denoise(shape)
    if not row.missing_pixels and not row.blurred:
        times = request.factor
        return SuperRes((shape[0], shape[1] * times, shape[2] * times), times)
    if request.second is None or request.second.ndim != 2:
        needed = "a mask" if row.missing_pixels else "a kernel"
        raise UserError(f"{request.task} needs {needed} (H, W): choose a layer that holds it")
    if row.missing_pixels:
        return Inpaint((request.second != 0).astype(np.float32), shape)
    return Blur(request.second.astype(np.float64), shape)


@single_precision()
def reconstruct_layer(request: Request, follow: Follow) -> list[Layer]:
    """Reconstruct a layer.

    Args:
        request: what was asked for.
        follow: hears of the steps, and may end the run.

    Returns:
        The reconstruction and, where there is one, the classical answer. A run that was cancelled
        gives the image so far.

    Raises:
        UserError: input that cannot be used; says what to change.
    """
    y = as_image(request.image)
    physics = operator_of(request, y)
    sigma = request.sigma / 255 if request.sigma else None
    problem = whole_problem(y, physics, sigma, None)
    chosen = plan(request.task, method=request.method, preset=request.preset, steps=request.steps)
    settings = RunSettings(seed=request.seed, watch=[follow])
    (result,) = run(chosen, [Case(problem)], settings)
    told = {"stop": result.stop[0].reason, "notes": result.notes, "finished": result.finished}
    layers = [_layer(result.image, f"{request.task}: {chosen.card.name}", told)]
    if result.about.classical is not None:
        layers.append(_layer(result.about.classical, f"classical: {result.about.classical_name}"))
    return layers


def _layer(image: torch.Tensor, name: str, told: dict[str, Any] | None = None) -> Layer:
    planes = image[0].detach().cpu().float().numpy()
    colour = len(planes) == 3
    array = np.moveaxis(planes, 0, -1).clip(0, 1) if colour else planes[0]
    return array, {"name": name, "rgb": colour, "metadata": {"untrained": told or {}}}, "image"
