"""The HTML report, whose template is page.html: what was done, how good it is, how to repeat it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from untrained._version import versions
from untrained.about import About
from untrained.methods.citing import bibtex
from untrained.report import words
from untrained.report.after import after_the_curves
from untrained.report.charts import Chart, charts
from untrained.report.extras import extra_panels
from untrained.report.found import found_panels
from untrained.report.gallery import Gallery, gallery
from untrained.report.pictures import colour_gradient, data_uri
from untrained.report.plots import DARK, LIGHT, draw, hover_data, pixels_of
from untrained.report.tank import tank_panel
from untrained.solver.fit import Fit
from untrained.tasks import find_task

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True)
class Plot:
    """Hold a chart on the page, drawn for a light and for a dark background.

    `hover` are its values as JSON, see `plots.hover_data`.
    """

    title: str
    caption: str
    alt: str
    light: str
    dark: str
    width: int
    height: int
    hover: str = ""


def page_template(path: Path) -> Template:
    """Load a page's template; it may include files beside it and those of this folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    script = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader([path.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(script=script, script_hash=_hash(script))
    return environment.get_template(path.name)


def _hash(script: str) -> str:
    """Return the script's name in the page's security policy, which lets no other one run."""
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def render_page(fit: Fit, about: About) -> str:
    """Render the report of a result as one HTML page, which loads nothing from outside."""
    of_input = words.input_metrics(fit, about)
    return page_template(Path(__file__).with_name("page.html")).render(
        method=words.method_name(fit, about),
        about=about,
        verdict=words.verdict(fit, about, of_input),
        warning=words.state_of(fit),
        gallery=_gallery(fit, about),
        gradient=colour_gradient(),
        extras=extra_panels(about.pictures),
        citations=citations_of(fit, about),
        metrics=metric_table(fit, about, of_input),
        sure=words.error_bar(about),
        stops=fit.stop,
        finished=fit.finished,
        plots=_plots(fit, about),
        settings=settings_tables(fit),
        source="" if fit.recipe is None else fit.recipe.source,
        weighting="uniform" if fit.recipe is None else fit.recipe.weighting,
        repeat=repeat_facts(fit),
        hints=words.hints(fit, about),
        version=versions()["untrained"],
    )


def _gallery(fit: Fit, about: About) -> Gallery:
    """Collect the pictures, the mesh behind the images where there is one."""
    shown = gallery(fit, about)
    shown = replace(shown, panels=[*shown.panels, *found_panels(about)])
    if not about.mesh:
        return shown
    return replace(shown, panels=[*shown.panels, tank_panel(about.mesh, shown.window)])


@dataclass(frozen=True)
class Table:
    """Hold the table of measures: a name per column, and a label and texts per row."""

    caption: str
    names: list[str]
    rows: list[tuple[str, list[str]]]


def metric_table(fit: Fit, about: About, of_input: dict[str, float]) -> Table | None:
    """Build the table of measures of our image and of others; None if nothing was measured.

    Args:
        fit, about: what is reported.
        of_input: the measures of the adjoint image, see `words.input_metrics`.
    """
    method = words.method_name(fit, about)
    mixture, measured = about.mixture, about.metrics or {}
    rows: list[tuple[str, dict[str, float]]] = [(method, measured)]
    errors: dict[str, float | None] = {}
    if mixture is not None:
        errors = {method: mixture.held_out, mixture.classical: mixture.classical_held_out}
        if mixture.classical != about.classical_name:
            rows.append((mixture.classical, mixture.classical_metrics or {}))
        if mixture.prior is not None:
            errors[mixture.prior_name] = mixture.prior_held_out
            rows.append((mixture.prior_name, {}))
    if about.classical_name not in ("", method):
        rows.append((about.classical_name, about.classical_metrics or {}))
    if of_input:
        rows.append((words.input_name(fit, about), of_input))
    held_out = any(error is not None for error in errors.values())
    if not measured and not held_out:
        return None
    names = list(measured)
    texts = [[words.metric_text(name, values.get(name)) for name in names] for _, values in rows]
    if held_out:
        texts = [
            [*row, words.metric_text("held-out error", errors.get(label))]
            for row, (label, _) in zip(texts, rows, strict=True)
        ]
    return Table(
        _caption(fit, about, held_out),
        [words.metric_label(name) for name in names] + ["held-out error"] * held_out,
        [
            (words.row_label(fit, about, label), row)
            for (label, _), row in zip(rows, texts, strict=True)
        ],
    )


def _caption(fit: Fit, about: About, held_out: bool) -> str:
    """Describe what the numbers of the table compare."""
    parts = []
    if about.metrics:
        width = "" if about.data_range is None else f", range {about.data_range:.4g}"
        always = find_task(about.task).complex_image == "always"
        parts.append(f"Against the reference{width}{', by magnitude' if always else ''}.")
    if held_out:
        parts.append(
            "Held-out error: the error on hidden measurements at the chosen step, in the unit of "
            "the curve below. A dash: this image was made from all measurements."
        )
    return " ".join(parts)


def drawn(chart: Chart) -> Plot:
    """Draw a chart for a page."""
    return Plot(
        chart.title,
        chart.caption,
        f"Line plot over the optimiser steps: {', '.join(line.label for line in chart.lines)}",
        data_uri(draw(chart, LIGHT)),
        data_uri(draw(chart, DARK)),
        *pixels_of(chart),
        hover_data(chart),
    )


def _plots(fit: Fit, about: About) -> list[Plot]:
    stop = fit.stop[0]
    reached = words.first_classical_psnr(fit, about)
    level = None if reached is None or not np.isfinite(reached) else (reached, about.classical_name)
    rule = None if fit.recipe is None else fit.recipe.stop
    after = after_the_curves(fit, about)
    shown = charts(fit.history, fit.origins, stop.step, level, rule, after)
    return [drawn(chart) for chart in shown]


def settings_tables(fit: Fit) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """List (part, its name, (name in `--set`, value) ...) for each part of the recipe."""
    if fit.recipe is None:
        return []
    parts = {k: v for k, v in fit.recipe.to_dict().items() if isinstance(v, dict)}
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


def citations_of(fit: Fit, about: About) -> str:
    """Return the BibTeX entries of the papers behind a result, and of this program."""
    names = [words.method_name(fit, about), about.classical_name]
    if fit.recipe is not None:
        names.append(fit.recipe.stop.name)
    return bibtex(names)


def repeat_facts(fit: Fit) -> list[tuple[str, str]]:
    """List what another person needs for the same bits, and what the run cost."""
    memory, begun = fit.peak_memory_mb, fit.resumed_from
    facts = {
        "Seed": str(fit.seed),
        "Optimiser steps": str(fit.steps),
        "Device": fit.device,
        "Precision": fit.precision,
        "Threads": str(fit.threads),
        "Wall time": words.duration(fit.seconds),
        "CPU time": words.duration(fit.cpu_seconds),
        "Peak memory": "unknown" if memory is None else f"{memory:.0f} MiB",
        "Resumed at step": ", ".join(map(str, begun)),
        "Versions": ", ".join(f"{name} {value}" for name, value in versions().items()),
    }
    return [(name, value) for name, value in facts.items() if value]
