"""The report of a training: what each image was and became, and the curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from untrained._version import versions
from untrained.about import About
from untrained.folder import Folder, Write
from untrained.metrics import psnr, usual_range
from untrained.report import words
from untrained.report.arrays import display_plane
from untrained.report.charts import Chart, Line
from untrained.report.gallery import Panel, image_panel
from untrained.report.page import drawn, page_template, repeat_facts, settings_tables
from untrained.report.pictures import image_window
from untrained.report.save import history_csv, plain_values
from untrained.solver.fit import Fit
from untrained.tasks import find_task

if TYPE_CHECKING:
    from untrained.pretrain import Weights

MOST = 12  # images shown


def write_training(fit: Fit, about: About, weights: Weights, folder: Folder, name: str) -> None:
    """Write the weights, `history.csv`, `report.html` and, last, `result.json`, all or none.

    Args:
        result: the training, see `pretrain.train`.
        weights: what was learned.
        folder: where to; it is held.
        name: of the file of weights, relative to the folder.

    Raises:
        UserError: there are files of such names that this program did not write.
    """
    run = {
        "stop": vars(fit.stop[0]),
        "metrics": None,
        "classical": None,
        "psnr": _psnrs(fit, about),
        "notes": list(about.notes),
        "command": about.command,
        "cpu_seconds": fit.cpu_seconds,
        "device": fit.device,
        "precision": fit.precision,
        "threads": fit.threads,
        "resumed_from": fit.resumed_from,
        "peak_memory_mb": fit.peak_memory_mb,
    }
    history = history_csv(fit.history)
    page = render_training(fit, about, weights).encode(errors="backslashreplace")
    learned = weights.content()
    files: dict[str, Write] = {
        name: lambda stream: stream.write(learned),
        "history.csv": lambda stream: stream.write(history),
        "report.html": lambda stream: stream.write(page),
    }
    folder.publish(files, plain_values({**weights.facts(), **run}))


def render_training(fit: Fit, about: About, weights: Weights) -> str:
    """Render the report of a training as one self-contained HTML page."""
    shown = [_panels(fit, about, g) for g in range(min(MOST, len(fit.image)))]
    return page_template(Path(__file__).with_name("training.html")).render(
        weights=weights,
        about=about,
        rows=shown if about.adjoint is not None else shown[:4],
        more=len(fit.image) - len(shown),
        inputs=_inputs(fit, about, weights),
        plots=[drawn(chart) for chart in _charts(fit)],
        settings=settings_tables(fit),
        source="" if fit.recipe is None else fit.recipe.source,
        repeat=repeat_facts(fit),
        time=words.duration(fit.seconds),
        version=versions()["untrained"],
    )


def _panels(fit: Fit, about: About, g: int) -> list[Panel]:
    """Draw image g before and after, and its reference where that is known, in one window."""
    images: dict[str, Tensor | None] = {
        "before": about.adjoint,
        "its network": fit.image,
        "reference": about.reference,
    }
    planes = {
        name: display_plane(image[g : g + 1], about.task)
        for name, image in images.items()
        if image is not None
    }
    window = image_window(about.task, planes["its network"], planes.get("reference"))
    return [image_panel(f"{g + 1}: {name}", plane, window) for name, plane in planes.items()]


def _inputs(fit: Fit, about: About, weights: Weights) -> list[dict[str, str]]:
    """List a row per image: file, final data term, PSNR where a reference is known."""
    rows, known = [], _psnrs(fit, about)
    for g, entry in enumerate(weights.inputs):
        row = {"name": entry["name"], "sha256": entry["sha256"][:12], "psnr": ""}
        alone = weights.misfit[g] if len(weights.misfit) == len(weights.inputs) else None
        row["misfit"] = "" if alone is None else f"{alone:.3g}"
        if known:
            row["psnr"] = f"{known[g]:.2f} dB"
        rows.append(row)
    return rows


def _psnrs(fit: Fit, about: About) -> list[float]:
    """Compute the PSNR of each image learned from, in dB; empty where a reference is missing."""
    references = about.reference
    if references is None:
        return []
    unit = find_task(about.task).unit_range
    return [
        psnr(image, one, data_range=usual_range(one[None], unit=unit))
        for image, one in zip(fit.image, references, strict=True)
    ]


def _charts(fit: Fit) -> list[Chart]:
    history: dict[str, Any] = fit.history
    names = [name for name in history if name.startswith("data ")] or ["data"]
    lines = [
        Line(name.replace("data", "image") if name != "data" else name, np.array(history[name]))
        for name in names[:MOST]
    ]
    misfit = Chart(
        "Data term",
        "How far each image's network is from its measurements.",
        tuple(lines),
        log=True,
    )
    found = [misfit]
    scored = [name for name in history if name.startswith("psnr ")][:MOST]
    if scored:
        curves = (Line(name.replace("psnr", "image"), np.array(history[name])) for name in scored)
        seen = "Of the images whose reference is known; the training does not see it."
        found.append(Chart("PSNR", seen, tuple(curves), unit="dB"))
    terms = [n for n in history if fit.origins.get(n) == "objective" and n != "data"]
    if terms:
        others = tuple(Line(name, np.array(history[name])) for name in terms)
        found.append(Chart("Other terms", "Of the first image.", others, log=True))
    return found
