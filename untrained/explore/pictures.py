"""Pictures of what was measured: k-space, sampling, sinogram, histogram, a quick image."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from untrained.classical import filtered
from untrained.data import Measurement
from untrained.explore.findings import Findings
from untrained.explore.trajectories import trajectory_panels
from untrained.files import atomic_write
from untrained.maths import to_complex
from untrained.physics.noncartesian import NonCartesianMRI
from untrained.problem import Problem
from untrained.report.arrays import display_plane

Panel = tuple[str, np.ndarray]
BINS = 100
MOST_COILS = 4
SAMPLED = "sampled (white)"


def write_pictures(found: Findings, path: Path) -> bool:
    """Write one PNG with a picture of everything that was read; False where nothing was.

    Args:
        found: what `explore` found.
        path: the PNG; an existing one is replaced.
    """
    if found.measurement is None or found.problem is None:
        return False
    logarithm = _is_kspace(found.measurement)
    what = "logarithm of magnitudes" if logarithm else "values that are not 0"
    content = _drawn(_panels(found.measurement, found.problem), _values(found.measurement), what)
    with atomic_write(path) as stream:
        stream.write(content)
    return True


def _panels(measurement: Measurement, problem: Problem) -> list[Panel]:
    """List titles and planes: the measurement as it is, and a first image of it."""
    physics = measurement.physics
    if isinstance(physics, NonCartesianMRI):
        panels = trajectory_panels(physics)
        size = to_complex(physics.unweigh(measurement.y))[0].abs().square().sum(0).sqrt()
        panels.append(("samples, all coils, logarithm (shots down)", _decades(size.cpu().numpy())))
    else:
        panels = _measured(measurement, problem.traits.measures)
    with torch.no_grad():
        image = problem.to_units(_first(problem))
    panels.append(("first image", display_plane(image, problem.task)))
    if measurement.reference is not None:
        panels.append(("reference in the file", display_plane(measurement.reference, problem.task)))
    return panels


def _is_kspace(measurement: Measurement) -> bool:
    """Tell whether the measurements are those of coils: complex, of values that span decades."""
    return measurement.y.ndim == 5 and measurement.y.shape[1] == 2


def _first(problem: Problem) -> torch.Tensor:
    """Return filtered backprojection where there is one, else the adjoint image."""
    views = problem.traits.measures == "views"
    return filtered(problem) if views else problem.estimate()


def _measured(measurement: Measurement, measures: str) -> list[Panel]:
    """Show measurements by their kind."""
    y = measurement.y
    if measures == "lines" and y.ndim == 5:
        kspace = to_complex(y)[0].cpu().numpy()
        size = np.sqrt(np.square(np.abs(kspace)).sum(0))
        panels = [
            ("k-space, all coils, logarithm", _decades(size)),
            (SAMPLED, (size > 0).astype(float)),
        ]
        return panels + [
            (f"coil {i}", _image(kspace[i])) for i in range(min(MOST_COILS, len(kspace)))
        ]
    if measures == "views" and y.ndim == 4:
        return [("sinogram (views down)", y[0, 0].T.cpu().numpy())]
    if measures == "views":
        rows, _, views = y.shape[2:]
        return [
            ("first view (rows up)", y[0, 0, :, :, 0].flip(0).cpu().numpy()),
            (f"view {views // 2}", y[0, 0, :, :, views // 2].flip(0).cpu().numpy()),
            (f"sinogram of row {rows // 2} (views down)", y[0, 0, rows // 2].T.cpu().numpy()),
        ]
    if y.ndim == 4 and y.shape[1] in (1, 2, 3):
        return [("measurement", display_plane(y, measurement.task))]
    return []


def _decades(size: np.ndarray) -> np.ndarray:
    """Return the logarithm of magnitudes, six decades of it."""
    found: np.ndarray = np.log10(size + 1e-6 * size.max())
    return found


def _image(kspace: np.ndarray) -> np.ndarray:
    """Return the magnitude of a coil's image."""
    axes = (-2, -1)
    plain = np.fft.ifft2(np.fft.ifftshift(kspace, axes=axes), norm="ortho")
    size: np.ndarray = np.abs(np.fft.fftshift(plain, axes=axes))
    return size


def _values(measurement: Measurement) -> np.ndarray:
    """Return the measured values that are not 0, of complex ones the logarithm of the magnitude."""
    y = measurement.y
    logarithm = _is_kspace(measurement)
    flat = to_complex(y).abs() if logarithm else y
    values: np.ndarray = flat.flatten().cpu().numpy()
    values = values[values != 0]
    return np.log10(values) if logarithm else values


def _drawn(panels: list[Panel], values: np.ndarray, title: str) -> bytes:
    """Draw the panels and a histogram side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(panels) + 1
    columns = min(4, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(3.2 * columns, 3.2 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis, (name, plane) in zip(axes, panels, strict=False):
        low, high = (0, 1) if name == SAMPLED else np.percentile(plane, (0.5, 99.5))
        shape = "auto" if max(plane.shape[:2]) > 2 * min(plane.shape[:2]) else "equal"
        shown = plane.clip(0, 1) if plane.ndim == 3 else plane
        axis.imshow(shown, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), aspect=shape)
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    axis = axes[len(panels)]
    axis.hist(values, bins=BINS, color="#0072b2")
    axis.set_yscale("log")
    axis.set_title(title, fontsize=9)
    axis.tick_params(labelsize=7)
    for rest in axes[count:]:
        rest.set_axis_off()
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
