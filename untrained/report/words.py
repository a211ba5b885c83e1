"""Write the texts of a report: the verdict, what to try next, numbers with units."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from untrained.about import About
from untrained.core.recipe import Recipe
from untrained.methods import METHODS
from untrained.metrics import comparable, nrmse, psnr, ssim, usual_range
from untrained.report.arrays import is_complex
from untrained.solver.fit import Fit
from untrained.solver.stage import DIVERGED
from untrained.tasks import find_task

FLAT = 1e-3  # standard deviation over the largest value
LEVEL = 0.05  # dB; smaller differences round to 0.0
DECIMALS = {
    "psnr": ("{:.2f} dB", "PSNR"),
    "ssim": ("{:.3f}", "SSIM"),
    "held-out error": ("{:.3g}", "held-out error"),
}


@dataclass(frozen=True)
class Hint:
    """Hold one thing to try next: what to add to the command, and its purpose."""

    option: str
    text: str


def method_name(fit: Fit, about: About) -> str:
    """Return the method's name, from the recipe where `about` has none."""
    if about.method or fit.recipe is None:
        return about.method or "unnamed method"
    return str(fit.recipe.to_dict()["method"]["name"])


def input_name(fit: Fit, about: About) -> str:
    """Return the name of `about.adjoint` for this task."""
    adjoint = about.adjoint
    if adjoint is not None and adjoint.shape != fit.image.shape:
        return "measurement"
    return find_task(about.task).input_name


def input_metrics(fit: Fit, about: About) -> dict[str, float]:
    """Compute PSNR, SSIM and NRMSE of the adjoint image; empty without a matching reference."""
    if about.adjoint is None or about.reference is None or about.data_range is None:
        return {}
    if about.adjoint.shape != about.reference.shape:
        return {}
    pair = (about.adjoint, about.reference)
    return {
        "psnr": psnr(*pair, data_range=about.data_range),
        "ssim": ssim(*pair, data_range=about.data_range),
        "nrmse": nrmse(*pair),
    }


def first_classical_psnr(fit: Fit, about: About) -> float | None:
    """Return the PSNR of the classical answer to the first slice, in dB; None without one.

    The curves of the report are those of the first slice.
    """
    if len(fit.image) == 1 or about.classical is None or about.reference is None:
        return (about.classical_metrics or {}).get("psnr")
    return _of_the_first(fit, about, about.classical)


def first_psnr(fit: Fit, about: About) -> float | None:
    """Return the PSNR of the first slice of the image, in dB; None without a reference."""
    if len(fit.image) == 1 or about.reference is None:
        return (about.metrics or {}).get("psnr")
    return _of_the_first(fit, about, fit.image)


def _of_the_first(fit: Fit, about: About, images: Tensor) -> float | None:
    assert about.reference is not None
    pair = (
        comparable(image[:1], is_complex(fit.image, about.task))
        for image in (images, about.reference)
    )
    image, truth = pair
    width = usual_range(truth, unit=find_task(about.task).unit_range)
    return psnr(image, truth, data_range=width) if width > 0 else None


def verdict(fit: Fit, about: About, of_input: dict[str, float]) -> str:
    """Write one line: how good the image is if a reference is known, else what was done."""
    name = method_name(fit, about)
    reached = (about.metrics or {}).get("psnr")
    if reached is None or math.isnan(reached):
        return _what_was_done(fit, about)
    if math.isinf(reached):
        return f"{name}: equal to the reference, pixel by pixel."
    parts = [f"{name}: {reached:.1f} dB"]
    others = [(about.classical_name, (about.classical_metrics or {}).get("psnr"))]
    if about.mixture is not None and about.mixture.classical != about.classical_name:
        own = (about.mixture.classical_metrics or {}).get("psnr")
        others.append(("its classical image", own))
    others.append((f"the {input_name(fit, about)}", of_input.get("psnr")))
    parts += [
        _gap(reached - value, other)
        for other, value in others
        if value is not None and math.isfinite(value) and other not in ("", name)
    ]
    made = "" if about.mixture is None else f"; made of {about.mixture.shares}"
    return ", ".join(parts) + made


def state_of(fit: Fit) -> str:
    """Return a warning where the run did not end as it should; empty otherwise."""
    if not fit.finished:
        return "Not finished: this is the image so far, and the run can be taken up again."
    if any(stop.rule == DIVERGED for stop in fit.stop):
        return "The run diverged: this is the last image that could be kept."
    if is_flat(fit):
        return "The image is flat: the network draws nothing, whatever its input."
    return ""


def is_flat(fit: Fit) -> bool:
    """Return whether an image is nearly constant, as from a network with a layer cut off."""
    planes = fit.image.flatten(1)
    return bool((planes.std(1) <= FLAT * planes.abs().amax(1)).any())


def hints(fit: Fit, about: About) -> list[Hint]:
    """List what to try next."""
    if not fit.finished:
        return [Hint("--resume", "go on from where this run was interrupted")]
    if fit.recipe is None:
        return [Hint("--method auto", "fit an untrained network and compare")]
    rule, found = fit.stop[0].rule, []
    if rule == DIVERGED:
        rate = fit.recipe.engine.lr / 3
        found.append(Hint(f"--set engine.lr={rate:.1g}", "smaller steps, against divergence"))
    if is_flat(fit) and "keep" in fit.recipe.to_dict()["method"]:
        found.append(Hint("--set keep=0.2", "keep more weights: a layer may be cut off"))
    if rule == "budget":
        found += _more_steps(fit.recipe, fit.stop[0].step)
    if rule not in ("budget", DIVERGED):
        found.append(
            Hint("--stop none", "use the whole budget and see whether it stopped too early")
        )
    if _below_classical(fit, about) and about.classical_name in METHODS:
        text = "the answer that was better here, or use its image (classical.npy)"
        found.append(Hint(f"--method {about.classical_name}", text))
    if about.preset != "best":
        found.append(Hint("--preset best", "the best quality; it takes longer"))
    text = "another random start: where two images differ, the data do not decide"
    return [*found, Hint(f"--seed {fit.seed + 1}", text)]


def _more_steps(recipe: Recipe, chosen: int) -> list[Hint]:
    """Suggest a larger budget where the stop rule could not act, or took the last step."""
    rule, budget = recipe.stop, recipe.budget
    if not math.isfinite(rule.earliest) or not rule.chooses or chosen < budget:
        return []
    if rule.ignored >= budget:
        text = f"the stop rule considers no step before {rule.ignored + 1}"
    elif recipe.output.keep_best:
        text = "a larger budget, because the last step was the best"
    else:  # the newest image is returned, whichever was best
        return []
    steps = max(2 * budget, 2 * rule.ignored, math.ceil(rule.earliest))
    return [Hint(f"--steps {steps}", text)]


def duration(seconds: float) -> str:
    """Format seconds in units that are easy to read."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def error_bar(about: About) -> list[tuple[str, str]]:
    """List what is known of the error bar, name and text; empty without one."""
    told = about.uncertainty
    if told is None:
        return []
    level, units = f"{100 * told.level:g} %", {k: round(v) for k, v in told.units.items()}
    promise = (
        f"at least {level} of new measurements like these, on average over draws"
        if told.guaranteed
        else f"about {level}: {units.get('calibrate', 0)} units are too few for a guarantee"
    )
    rows = {
        "Way": told.method,
        "Test measurements within their interval": f"{100 * told.coverage_heldout:.1f} % of those "
        f"of {units.get('test', 0)} units (before calibration {100 * told.coverage_raw:.1f} %)",
        "Promise, for measurements": promise,
        "Chi-square of the test measurements": f"{told.chi_square:.2f} (1 is right)",
        "Chi-square of what was fitted": "–"
        if told.chi_square_fit is None
        else f"{told.chi_square_fit:.2f} (below 1 it fits noise)",
        "Variance that the measurements speak to": "–"
        if told.measured_share is None
        else f"{100 * told.measured_share:.0f} %; of the rest nothing was checked",
        "Factor on the spread, quantile": f"{told.factor:.3g}, {told.quantile:.3g}",
    }
    if told.reference:
        before, after = (100 * told.reference[name] for name in ("before", "after"))
        rows["Reference within its interval"] = f"{after:.1f} % (before calibration {before:.1f} %)"
    return list(rows.items())


def row_label(fit: Fit, about: About, label: str) -> str:
    """Return the heading of an image's row, with its part in a mixture if there is one."""
    mixture = about.mixture
    if label == method_name(fit, about):
        return label if mixture is None else f"{label}, {mixture.percent} % network"
    if mixture is not None and label == mixture.classical:
        return f"its classical image: {label}"
    if mixture is not None and label == mixture.prior_name:
        return f"the prior's image: {label}"
    return label


def metric_label(name: str) -> str:
    """Return the heading of a metric's column."""
    return DECIMALS[name][1] if name in DECIMALS else name.upper()


def metric_text(name: str, value: float | None) -> str:
    """Format a metric's value with its unit."""
    if value is None or math.isnan(value):
        return "–"
    return DECIMALS.get(name, ("{:.4f}", ""))[0].format(value)


def _what_was_done(fit: Fit, about: About) -> str:
    name, time = method_name(fit, about), f"{duration(fit.seconds)} on {fit.device}"
    missing = "There is no reference, so the quality was not measured."
    if fit.recipe is None:
        return f"{name}: a classical reconstruction in {time}. {missing}"
    made = "an untrained network" if about.mixture is None else about.mixture.shares
    return f"{name}: {made}, fitted in {fit.steps} steps, {time}. {missing}"


def _gap(decibels: float, other: str) -> str:
    if abs(decibels) < LEVEL:
        return f"equal to {other}"
    return (
        f"{decibels:+.1f} dB over {other}" if decibels > 0 else f"{-decibels:.1f} dB below {other}"
    )


def _below_classical(fit: Fit, about: About) -> bool:
    ours = (about.metrics or {}).get("psnr")
    theirs = (about.classical_metrics or {}).get("psnr")
    return ours is not None and theirs is not None and theirs - ours >= LEVEL
