"""Describe what is done to an image after the last step, which no curve of its report shows."""

from __future__ import annotations

import math

from untrained.about import About
from untrained.report.charts import first_slice
from untrained.report.words import first_psnr
from untrained.solver.fit import Fit

History = dict[str, list[float | str]]


def after_the_curves(fit: Fit, about: About) -> str:
    """Describe how the image differs from the last output of the curves; empty if it does not.

    The output rule's closing step comes after the last step, and the mean of several seeds after
    that. Of several slices the first.
    """
    history = first_slice(fit.history)
    before, after = _before(history, fit), first_psnr(fit, about)
    closed, seeds = _weight(history, fit) > 0, about.seeds
    if before is None or after is None or abs(after - before) < 0.005 or not (closed or seeds > 1):
        return ""
    step = "the closing step, which moves the image towards the measurements"
    mean = f"the mean of {seeds} seeds, of which these are the curves of the first"
    what = " and ".join([step] * closed + [mean] * (seeds > 1))
    return f" The curves do not include {what}: the PSNR goes from {before:.2f} to {after:.2f} dB."


def _weight(history: History, fit: Fit) -> float:
    """Return the weight mu of the closing step: chosen on held-out data, or set; 0 = no step."""
    if "closing mu" in history:
        return float(history["closing mu"][0])
    return float(getattr(getattr(fit.recipe, "output", None), "mu", 0.0))


def _before(history: History, fit: Fit) -> float | None:
    """Return the PSNR of the kept output before the closing step; None where it is not known."""
    values = [float(value) for value in history.get("psnr_output", [])]
    if not values or fit.recipe is None:
        return None
    row = len(values) - 1
    if history["phase"][-1] == "fit" and fit.recipe.output.keep_best:
        rows = zip(history["phase"], history["step"], strict=True)
        chosen = ("fit", float(fit.stop[0].step))
        row = next((i for i, (p, step) in enumerate(rows) if (p, step) == chosen), row)
    return values[row] if math.isfinite(values[row]) else None
