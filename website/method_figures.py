"""Draw the pictures and curves of docs/methods: `python website/method_figures.py [METHOD]...`.

Without names it draws what is missing. Each method runs on a small case of `method_cases.py`; the
picture lands in docs/methods/figures, what was measured in figures.json there, and both in the
method's page. About fifteen minutes of one core for all.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent / "docs" / "methods"
FIGURES = PAGES / "figures"
FACTS = FIGURES / "figures.json"
sys.path[:0] = [str(HERE), str(HERE.parent)]

if TYPE_CHECKING:
    from untrained.result import Result

LARGEST = 40_000  # bytes of a figure
NARROW = ("net.widths=8,16,32",)
SHORT = 120
MARKS = re.compile(r"<!-- figure -->\n.*?<!-- end of figure -->\n", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """How one method is shown.

    Attributes:
        case: a name of `CASES`.
        steps: budget; 0 = the preset's.
        settings: as with `--set`.
        learns: what is trained first: "", `prior` or `weights`.
        why_not: why there is no picture; "" where there is one.
    """

    case: str = ""
    steps: int = 0
    settings: tuple[str, ...] = ()
    learns: str = ""
    why_not: str = ""


def sampler(steps: int = 30) -> Row:
    """Return the row of a method that asks a pre-trained denoiser."""
    return Row("body_with_holes", steps, learns="prior")


def after_training(steps: int = SHORT, settings: tuple[str, ...] = ()) -> Row:
    """Return the row of a method whose weights are learned from four scans."""
    return Row("few_views", steps, settings, learns="weights")


ROWS: dict[str, Row] = {
    "adjoint": Row("scan"),
    "fbp": Row("few_views"),
    "fdk": Row("cone"),
    "cgsense": Row("scan"),
    "tv": Row("few_views"),
    "l1wavelet": Row("scan"),
    "dct": Row("noisy"),
    "lowrank": Row("holes"),
    "nlbayes": Row("noisy"),
    "mlem": Row("counted"),
    "lps": Row("series"),
    "temporaltv": Row("series"),
    "linearised": Row("tank"),
    "gaussnewton": Row("tank"),
    "dip": Row("noisy", 400, NARROW),
    "tvdip": Row("few_views", SHORT, NARROW),
    "aseqdip": Row("scan", SHORT, NARROW),
    "selfguided": Row("scan", 1000, NARROW),
    "selfdeblur": Row("unknown_blur", SHORT, NARROW),
    "sgld": Row("noisy", 1500, NARROW),
    "rethinking": Row("noisy", SHORT),
    "deepdecoder": Row("noisy", 600),
    "convdecoder": Row("scan", 600),
    "oes": Row("noisy", 800, ("net=compact", "net.widths=16,32,64")),
    "dop": Row("holes", SHORT, NARROW),
    "drp": Row("noisy", SHORT),
    "doubledip": Row("amplitudes", SHORT, NARROW),
    "tddip": Row("series", SHORT),
    "dvp": Row("flickering", 300, ("net.width=16",)),
    "inr": Row("holes", SHORT),
    "house": Row("scan", 0, NARROW),
    "fillin": Row("holes", SHORT, NARROW),
    "deepred": Row("blurred", SHORT, NARROW),
    "udig": Row("body_with_holes", SHORT, NARROW, learns="prior"),
    "ddip": sampler(),
    "cddip": Row("body_with_holes", 20, NARROW, learns="prior"),
    "refguided": Row("scan_with_guides", SHORT, NARROW),
    "autoencoder": Row("scan_with_guides", SHORT, NARROW),
    "ugodit": after_training(),
    "edip": after_training(),
    "metadip": after_training(100),
    "strainer": after_training(1000),
    "nerp": after_training(),
    "varnet": after_training(0),
    "modl": after_training(0),
    "cascade": Row(
        why_not="There is no picture here. `cascade` applies weights that others trained on\n"
        "cardiac scans. This library cannot train them, and random weights would show nothing."
    ),
    "pnp": sampler(),
    "red": sampler(),
    "dps": sampler(),
    "mcg": sampler(),
    "scoremri": sampler(),
    "ddnm": sampler(),
    "dds": sampler(),
    "diffpir": sampler(),
    "sitcom": sampler(),
}
"""One row for every name of METHODS."""


def run(name: str) -> tuple[Result, str]:
    """Reconstruct the small case of a method; returns the result and what the case is."""
    import method_cases

    import untrained as ut

    row = ROWS[name]
    case = method_cases.CASES[row.case]()
    options: dict[str, Any] = dict(case.options)
    if row.learns == "prior":
        options["prior"] = method_cases.prior()
    elif row.learns == "weights":
        found = method_cases.learned(name)
        options["prior" if name in ("varnet", "modl") else "weights"] = found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ut.Note)
        result = ut.reconstruct(
            case.y,
            case.physics,
            name,
            steps=row.steps,
            settings=row.settings,
            truth=case.truth,
            compare=False,
            progress=False,
            **options,
        )
    return result, case.text


def facts_of(name: str, result: Result, text: str, seconds: float) -> dict[str, Any]:
    """Return what the page says about a run; PSNR in dB against the image that was measured."""
    from untrained.report.words import input_metrics

    before = input_metrics(result, result.about)
    return {
        "case": text,
        "before": None if before is None else round(before["psnr"], 2),
        "psnr": round(result.about.metrics["psnr"], 2),
        "steps": result.steps,
        "settings": list(ROWS[name].settings),
        "learns": ROWS[name].learns,
        "cpu_seconds": round(seconds, 1),
    }


def draw(name: str, result: Result, path: Path) -> None:
    """Draw what was measured, the result and the truth, and a curve beside them.

    The curve is the PSNR of every step; of a method without steps, values along the middle row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    from untrained.report.arrays import display_plane
    from untrained.report.pictures import image_window, in_window

    about = result.about
    planes = {name: display_plane(result.image, about.task)}
    if about.adjoint is not None:
        planes = {"first image": display_plane(about.adjoint, about.task), **planes}
    if about.reference is not None:
        planes["truth"] = display_plane(about.reference, about.task)
    window = image_window(about.task, planes[name], planes.get("truth"))
    figure = Figure(figsize=(9.0, 2.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1, len(planes) + 2)
    for i, (title, plane) in enumerate(planes.items()):
        axes = figure.add_subplot(grid[0, i])
        shown = in_window(plane, window)
        axes.imshow(shown, cmap=window.palette or "gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    axes = figure.add_subplot(grid[0, len(planes) :])
    if result.history.get("psnr"):
        steps = np.arange(1, len(result.history["psnr"]) + 1)
        axes.plot(steps, result.history["psnr"], color="#0072b2", label="image of the step")
        axes.plot(steps, result.history["psnr_output"], color="#d55e00", label="image returned")
        top = max(max(result.history["psnr"]), max(result.history["psnr_output"]))
        axes.set_ylim(top - 18, top + 1.5)
        axes.set_title("PSNR in dB against the truth, by step", fontsize=10)
    else:
        for (title, plane), colour in zip(planes.items(), COLOURS, strict=False):
            axes.plot(plane[len(plane) // 2], color=colour, label=title, linewidth=1.2)
        axes.set_title("values along the middle row", fontsize=10)
    axes.legend(fontsize=8)
    axes.tick_params(labelsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    picture.save(path, "WEBP", quality=80, method=6)


COLOURS = ("#8a8f94", "#d55e00", "#0072b2")


def section(names: list[str], facts: dict[str, dict[str, Any]]) -> str:
    """Return what stands between the marks of a page: a picture and its caption for each method."""
    parts = []
    for name in names:
        if ROWS[name].why_not:
            parts.append(ROWS[name].why_not + "\n")
            continue
        known = facts[name]
        change = f"{known['psnr']:.1f} dB"
        if known["before"] not in (None, known["psnr"]):
            change = f"{known['before']:.1f} dB for the first image, {change} for the result"
        alt = f"{name}: first image, result and truth, and a curve. PSNR: {change}."
        parts.append(f"![{alt}](figures/{name}.webp)\n\n{caption(name, known, change)}\n")
    return "<!-- figure -->\n" + "\n".join(parts) + "<!-- end of figure -->\n"


LEARNED = {
    "": "",
    "prior": " The denoiser was trained on 24 drawn bodies in 200 steps.",
    "weights": " Its weights were learned from one to four drawn bodies in 30 to 1,000 steps.",
}


def caption(name: str, known: dict[str, Any], change: str) -> str:
    """Return the sentences below a picture."""
    how = f" in {known['steps']} steps" if known["steps"] > 1 else ""
    if known["settings"]:
        how += f" with `--set {' '.join(known['settings'])}`"
    few = ""
    if known["before"] is not None and known["psnr"] < known["before"]:
        few = " So short a run is not enough for this method."
    text = (
        f"`{name}`{how} on a small example: {known['case']}.{LEARNED[known['learns']]} "
        f"PSNR: {change}.{few} (`website/method_figures.py`)"
    )
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def pages() -> dict[Path, list[str]]:
    """Return the page of each method, and the methods that it shows."""
    from untrained.methods import METHODS

    found: dict[Path, list[str]] = {}
    for name, card in METHODS.items():
        page = PAGES / ("classical.md" if card.classical else f"{name}.md")
        found.setdefault(page, []).append(name)
    return found


def rewritten(text: str, names: list[str], facts: dict[str, dict[str, Any]]) -> str:
    """Return a page with its figures; they stand at the end of its first section."""
    new = section(names, facts)
    if MARKS.search(text):
        return MARKS.sub(lambda _: new, text)
    before, mark, after = text.partition("\n## The equations\n")
    return f"{before}\n{new}{mark}{after}"


def recorded() -> dict[str, dict[str, Any]]:
    """Return what was measured for each picture that was drawn."""
    if not FACTS.exists():
        return {}
    return dict(json.loads(FACTS.read_text(encoding="utf-8")))


def main() -> None:
    """Draw the named methods, or those without a picture, and write their pages anew."""
    import torch

    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("methods", nargs="*", choices=[*ROWS, []], help="default: what is missing")
    given = told.parse_args()
    torch.set_num_threads(1)
    facts = recorded()
    drawn = [name for name, row in ROWS.items() if not row.why_not]
    for name in given.methods or [n for n in drawn if n not in facts]:
        begun = time.process_time()
        result, text = run(name)
        draw(name, result, FIGURES / f"{name}.webp")
        facts[name] = facts_of(name, result, text, time.process_time() - begun)
        print(name, *(facts[name][k] for k in ("before", "psnr", "cpu_seconds")), flush=True)
        ordered = {n: facts[n] for n in ROWS if n in facts}
        FACTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    for page, names in pages().items():
        shown = [n for n in names if n in facts or ROWS[n].why_not]
        if shown:
            text = page.read_text(encoding="utf-8")
            page.write_text(rewritten(text, shown, facts), encoding="utf-8")


if __name__ == "__main__":
    main()
