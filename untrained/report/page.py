"""One HTML file that says what was done, how good it is, why it ended and how to repeat it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from untrained.core.result import Result, versions
from untrained.report import words
from untrained.report.arrays import display_plane, is_complex, real_spread
from untrained.report.pictures import (
    LONGEST_SIDE,
    Window,
    colour_gradient,
    colour_window,
    colours,
    data_uri,
    difference,
    grey_levels,
    image_window,
    png,
)
from untrained.report.plots import DARK, LIGHT, charts, draw

SMALL = 280  # pixels; below, the browser shows pixels as squares instead of blurring them


@dataclass(frozen=True)
class Panel:
    """A picture on the page; `scale` is the colour bar's two ends, empty for grey and RGB."""

    title: str
    caption: str
    alt: str
    uri: str
    width: int
    height: int
    scale: tuple[str, str] | tuple[()] = ()

    @property
    def small(self) -> bool:
        """Whether single pixels are worth seeing."""
        return max(self.width, self.height) < SMALL


@dataclass(frozen=True)
class Plot:
    """A chart on the page, for a light and a dark background."""

    title: str
    caption: str
    alt: str
    light: str
    dark: str


def render_page(result: Result) -> str:
    """The report of a result as one self-contained HTML page (no scripts, no links outside)."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    of_input = words.input_metrics(result)
    return environment.get_template("page.html").render(
        method=words.method_name(result),
        about=result.about,
        verdict=words.verdict(result, of_input),
        warning=words.state_of(result),
        panels=panels(result),
        columns="three" if result.about.classical is not None else "two",
        gradient=colour_gradient(),
        metrics=_metric_table(result, of_input),
        stops=result.stop,
        finished=result.finished,
        plots=_plots(result),
        settings=_settings(result),
        source="" if result.recipe is None else result.recipe.source,
        weighting="uniform" if result.recipe is None else result.recipe.weighting,
        repeat=_repeat(result),
        hints=words.hints(result),
        version=versions()["untrained"],
    )


def panels(result: Result) -> list[Panel]:
    """Pictures in rows of the same order: measurement, classical, ours; reference, their errors."""
    about = result.about
    planes = {"ours": display_plane(result.image, about.task)}
    for name in ("adjoint", "classical", "reference"):
        image: Tensor | None = getattr(about, name)
        if image is not None:
            planes[name] = display_plane(image, about.task)
    window = image_window(about.task, planes["ours"], planes.get("reference"))
    titles = {
        "adjoint": words.input_name(result).capitalize(),
        "classical": f"Classical: {about.classical_name}",
        "ours": f"Reconstruction: {words.method_name(result)}",
        "reference": "Reference",
    }
    shown = [
        _grey_panel(titles[name], planes[name], window, _detail(result))
        for name in titles
        if name in planes
    ]
    return [*shown, *_error_panels(planes, titles), *_spread_panel(result)]


def _detail(result: Result) -> str:
    about, said = result.about, []
    if is_complex(result.image, about.task):
        said.append("magnitude")
    if len(result.image) > 1:
        said.append(f"slice {len(result.image) // 2 + 1} of {len(result.image)}")
    elif result.image.ndim == 5:
        said.append("the middle slice")
    return ", ".join(said)


def _grey_panel(title: str, plane: np.ndarray, window: Window, detail: str) -> Panel:
    caption = "; ".join(filter(None, (detail, window.text))).capitalize() + "."
    uri = data_uri(png(grey_levels(plane, window), LONGEST_SIDE))
    height, width = plane.shape[:2]
    return Panel(title, caption, f"{title}, {width} by {height} pixels", uri, width, height)


def _error_panels(planes: dict[str, np.ndarray], titles: dict[str, str]) -> list[Panel]:
    if "reference" not in planes:
        return []
    errors = {
        titles[name].partition(": ")[2]: difference(planes[name], planes["reference"])
        for name in ("classical", "ours")
        if name in planes and planes[name].shape == planes["reference"].shape
    }
    if not errors:
        return []
    window = colour_window(*errors.values())
    same = ", the same for both" if len(errors) > 1 else ""
    colour = ", mean over the colours" if planes["reference"].ndim == 3 else ""
    return [
        _map_panel(
            f"Error: {name}",
            plane,
            window,
            f"|image − reference|{colour}; scale {window.text}{same}.",
        )
        for name, plane in errors.items()
    ]


def _spread_panel(result: Result) -> list[Panel]:
    if result.std is None:
        return []
    plane = display_plane(real_spread(result.std, result.about.task), "")
    plane = plane.mean(axis=-1) if plane.ndim == 3 else plane
    window = colour_window(plane)
    caption = f"Standard deviation over seeds; scale {window.text}. It is no error bar."
    return [_map_panel("Spread over seeds", plane, window, caption)]


def _map_panel(title: str, plane: np.ndarray, window: Window, caption: str) -> Panel:
    uri = data_uri(png(colours(plane, window), LONGEST_SIDE))
    height, width = plane.shape
    ends = (f"{window.low:.3g}", f"{window.high:.3g}")
    alt = f"{title}, colour scale from {ends[0]} to {ends[1]}"
    return Panel(title, caption, alt, uri, width, height, ends)


def _metric_table(result: Result, of_input: dict[str, float]) -> dict[str, Any]:
    about = result.about
    if not about.metrics:
        return {}
    rows = [(words.method_name(result), about.metrics)]
    if about.classical_metrics and about.classical_name != words.method_name(result):
        rows.append((about.classical_name, about.classical_metrics))
    if of_input:
        rows.append((words.input_name(result), of_input))
    names = list(about.metrics)
    return {
        "names": [words.metric_label(name) for name in names],
        "rows": [
            (label, [words.metric_text(name, values.get(name)) for name in names])
            for label, values in rows
        ],
        "range": "" if about.data_range is None else f"{about.data_range:.4g}",
    }


def _plots(result: Result) -> list[Plot]:
    about, stop = result.about, result.stop[0]
    reached = (about.classical_metrics or {}).get("psnr")
    level = None if reached is None or not np.isfinite(reached) else (reached, about.classical_name)
    return [
        Plot(
            chart.title,
            chart.caption,
            f"Line plot over the optimiser steps: {', '.join(line.label for line in chart.lines)}",
            data_uri(draw(chart, LIGHT)),
            data_uri(draw(chart, DARK)),
        )
        for chart in charts(result.history, stop.step, level)
    ]


def _settings(result: Result) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(part, its name, (what `--set` calls it, value) ...) for each part of the recipe."""
    if result.recipe is None:
        return []
    parts = {k: v for k, v in result.recipe.to_dict().items() if isinstance(v, dict)}
    return [
        (part, str(values["name"]), _flat(values, "" if part == "method" else f"{part}."))
        for part, values in parts.items()
    ]


def _flat(values: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    rows = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows.append((prefix + name, str(value["name"])))
            rows += _flat(value, prefix)
        elif name != "name":
            rows.append((prefix + name, _value_text(value)))
    return rows


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_value_text(item) for item in value)
    return "–" if value is None else str(value)


def _repeat(result: Result) -> list[tuple[str, str]]:
    memory, begun = result.peak_memory_mb, result.resumed_from
    facts = {
        "Seed": str(result.seed),
        "Optimiser steps": str(result.steps),
        "Device": result.device,
        "Precision": result.precision,
        "Threads": str(result.threads),
        "Wall time": words.duration(result.seconds),
        "CPU time": words.duration(result.cpu_seconds),
        "Peak memory": "unknown" if memory is None else f"{memory:.0f} MiB",
        "Resumed at step": ", ".join(map(str, begun)),
        "Versions": ", ".join(f"{name} {value}" for name, value in versions().items()),
    }
    return [(name, value) for name, value in facts.items() if value]
