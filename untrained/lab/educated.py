"""EDIP: what pre-training does to the Jacobian's spectrum, to the layers, and to the null space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.core.rule import Never
from untrained.core.start import StartWeights
from untrained.core.state import State
from untrained.data.phantoms import brain, shepp_logan
from untrained.lab.linear import null_projector
from untrained.lab.result import Finding, Lab, LabResult
from untrained.lab.reuse import (
    OtherInput,
    Spectra,
    drift,
    first_state,
    last_state,
    layers,
    similarity,
)
from untrained.methods.dip import DIP
from untrained.methods.edip import recipe as edip_recipe
from untrained.metrics import lf_ratio, psnr
from untrained.nets import Compact, UNet
from untrained.physics import CT
from untrained.pretrain.train import train
from untrained.problem import Problem
from untrained.rules import Last
from untrained.solver.fit import Fit
from untrained.solver.procedure import solve_recipe

Array = np.ndarray
NOISE = 0.02
"""Standard deviation of the noise relative to the mean of A x."""


@dataclass(frozen=True, eq=False)
class Setting:
    """Hold what all runs of the lab share.

    Args:
        size: of the images.
        views: of the scan.
        net: the network, the same for all.
        steps: of every run.
        count: singular values.
        seed: of networks and noise.
    """

    size: int
    views: int
    net: Compact
    steps: int
    count: int
    seed: int

    def scan(self, image: Array) -> tuple[Problem, Tensor]:
        """Measure an image by CT; return the problem and the truth `(1, 1, n, n)`."""
        x = torch.from_numpy((image / image.max()).astype(np.float32))[None, None]
        angles = np.arange(self.views) * 180 / self.views
        physics = CT((self.size, self.size), angles, round(1.45 * self.size))
        y = physics.A(x)
        draw = np.random.default_rng(self.seed).standard_normal(tuple(y.shape))
        noise = torch.from_numpy(draw.astype(np.float32)) * NOISE * y.mean()
        return Problem(y + noise, physics), x

    def recipe(self, **fields: Any) -> Recipe:
        """Return EDIP's recipe of the fast preset; `fields` are those of `OtherInput`."""
        made = replace(edip_recipe("ct", "fast"), net=self.net, stop=Never(), output=Last())
        return replace(made, method=OtherInput(self.steps, **fields), steps=0)


def educated(seed: int, full: bool) -> LabResult:
    r"""EDIP's spectra and insights (Barbano et al., IEEE TCI 2022; slides), UGoDIT's LF ratio.

    Educated DIP trains f on random shapes x with f(A^+ y) = x, and fine-tunes it on one scan,

    .. math:: \min_\theta \|A f_\theta(z) - y\|^2 + \gamma\,\mathrm{TV}(f_\theta(z)),
              \qquad z = A^+ y

    The singular values of A J, J the Jacobian at the weights of step t, govern what the next steps
    fit. The authors report, and these are observations of networks, not theorems: those of DIP
    shift greatly during the run, those of EDIP stay; layers change little (feature reuse), so that
    the encoder can rest; a foreign input does little harm; what pre-training has put into the null
    space of A is structure that nothing measured, which fine-tuning amends in part.

    Three runs on one scan by the same optimiser: DIP (input noise), the same from z = A^+ y, and
    EDIP. Their spectra are found before, in the middle and after, and the rms change of log s is
    compared. Layers are compared by linear CKA before and after; EDIP again with the encoder at
    rest, learned and random, and with noise or another scan's image as its input. z = A^T F y has
    no part in the null space N(A), so that all that the first image has there was drawn by the
    network: its error relative to that of z is reported for shapes as it was trained on
    (Shepp-Logan) and for a brain, before and after. UGoDIT's ratio of low frequencies (its Eq. 6)
    is that of the layers of three encoders: EDIP's, UGoDIT's, and one learned with one decoder.
    Only the order of the drifts, and of the layers' similarity, is claimed.
    """
    own = (
        Setting(32, 12, Compact(widths=(8, 16, 16), skip=0), 200, 20, seed)
        if full
        else Setting(16, 6, Compact(widths=(4, 8), skip=0), 12, 4, seed)
    )
    found = observe(own, 800 if full else 24, 400 if full else 8)
    curves = {"index": np.arange(own.count)} | {
        f"{name}, step {step}": values
        for name, steps in found.spectra.items()
        for step, values in sorted(steps.items())
    }
    arrays = {
        "similarity": np.array(list(found.same.values())),
        "lf ratio": np.array([*found.low.values(), found.low_after]),
        "null space": np.array(list(found.unseen.values())),
    }
    return LabResult(found.findings(own.steps), arrays, curves, found.draw)


@dataclass(frozen=True, eq=False)
class Observed:
    """Hold what the runs of the lab gave.

    Args:
        spectra: singular values of A J by run and step.
        same: similarity of the encoder's layers before and after, by run.
        quality: PSNR after each run, in dB.
        unseen: error in N(A) over that of A^+ y, before and after, by the kind of image.
        low: LF ratio of every layer, by encoder.
        low_after: that of EDIP's after its run.
    """

    spectra: dict[str, dict[int, Array]]
    same: dict[str, list[float]]
    quality: dict[str, float]
    unseen: dict[str, tuple[float, float]]
    low: dict[str, list[float]]
    low_after: list[float]

    def findings(self, steps: int) -> list[Finding]:
        """State the numbers, and the two orders that are claimed."""
        drifts = {name: drift(found[0], found[steps]) for name, found in self.spectra.items()}
        alike = {name: float(np.mean(values)) for name, values in self.same.items()}
        ratio = drifts["EDIP"][0] / drifts["DIP"][0]
        gain = alike["EDIP"] - alike["DIP, input A^+ y"]
        return [
            Finding("singular values, drift of EDIP / that of DIP", ratio, "<=", 1.0),
            *(Finding(f"  rms change of log s, {name}", d[0]) for name, d in drifts.items()),
            *(
                Finding(f"  the same without a common factor, {name}", d[1])
                for name, d in drifts.items()
            ),
            Finding(
                "layers before and after, CKA: EDIP less that from random weights", gain, ">=", 0.0
            ),
            *(Finding(f"  mean over the encoder, {name}", value) for name, value in alike.items()),
            *(Finding(f"PSNR after the run, {name}", v) for name, v in self.quality.items()),
            *(
                Finding(f"error in N(A) over that of A^+ y, {of}, {when}", value)
                for of, pair in self.unseen.items()
                for when, value in zip(("before", "after"), pair, strict=True)
            ),
            *(
                Finding(f"LF ratio, encoder layer {i + 1}, {name}", value)
                for name, values in self.low.items()
                for i, value in enumerate(values[:-1])
            ),
        ]

    def draw(self, figure: Any) -> None:
        """Draw the spectra, the similarity of layers and the PSNR."""
        axes = figure.subplots(1, 3)
        for colour, (name, found) in enumerate(self.spectra.items()):
            for step, style in zip(sorted(found), (":", "--", "-"), strict=True):
                label = name if style == "-" else None
                axes[0].semilogy(found[step], style, color=f"C{colour}", label=label)
        axes[0].set(title="A J: before (dots), middle, after", xlabel="index of s")
        axes[0].legend(fontsize=8)
        for name, values in self.same.items():
            axes[1].plot(range(1, len(values) + 1), values, "o-", label=name)
        axes[1].set(title="layers before and after: CKA", xlabel="layer of the encoder")
        axes[1].set_ylim(0, 1.05)
        axes[1].legend(fontsize=8)
        axes[2].barh(list(self.quality), list(self.quality.values()))
        axes[2].set(title="PSNR after the run, dB")
        axes[2].tick_params(labelsize=7)


def observe(own: Setting, learned: int, shared: int) -> Observed:
    """Run DIP and EDIP on one scan, after `learned` steps of training, UGoDIT after `shared`."""
    problem, truth = own.scan(np.abs(brain(own.size)))
    start = pretrained(own, problem, learned)
    usual = own.recipe()
    noise = replace(usual, method=DIP(own.steps, jitter=0.0))
    runs = {
        "DIP": followed(own, noise, problem, None),
        "DIP, input A^+ y": followed(own, usual, problem, None),
        "EDIP": followed(own, usual, problem, start),
    }
    fits = variants(own, problem, start) | {name: fit for name, (fit, _) in runs.items()}
    last = runs["EDIP"][0]
    given = {"DIP, input A^+ y": None, "EDIP": start}
    unseen = {
        "shapes": null_errors(own, *own.scan(shepp_logan(own.size)), start),
        "brain": null_errors(own, problem, truth, start, last),
    }
    first = [lf_ratio(one) for one in layers(first_state(usual, problem, start))]
    return Observed(
        spectra={name: found for name, (_, found) in runs.items()},
        same={n: layer_similarity(usual, problem, g, runs[n][0]) for n, g in given.items()},
        quality={name: psnr(fit.image, truth, data_range=1.0) for name, fit in fits.items()},
        unseen=unseen,
        low={"EDIP": first, **ugodit_ratios(own, problem, shared)},
        low_after=[lf_ratio(one) for one in layers(last_state(usual, problem, last))],
    )


def pretrained(own: Setting, problem: Problem, steps: int) -> StartWeights:
    """Learn the weights of EDIP's network on random shapes, by the scan's geometry."""
    widths = ",".join(map(str, own.net.widths))
    settings = [f"net.widths={widths}", f"net.skip={own.net.skip}", "batch=4"]
    weights, _ = train("edip", [problem], settings=settings, steps=steps, seed=own.seed)
    return weights.start(problem)


def ugodit_ratios(own: Setting, problem: Problem, steps: int) -> dict[str, list[float]]:
    """Return the LF ratio of every layer of encoders that UGoDIT learns from three turned scans.

    With a decoder for each image, and with one for all (its Eq. 5). Layers are those at A^H y of a
    scan that neither has seen, first the encoder's, then the output.
    """
    picture = shepp_logan(own.size)
    scans = [own.scan(np.rot90(picture, turns).copy())[0] for turns in range(3)]
    widths = ",".join(map(str, own.net.widths))
    found = {}
    for name, apart in (("UGoDIT", "true"), ("one decoder", "false")):
        settings = [f"net.widths={widths}", f"disentangled={apart}"]
        weights, _ = train("ugodit", scans, settings=settings, steps=steps, seed=own.seed)
        recipe = replace(own.recipe(), net=UNet(widths=own.net.widths))
        s = State(problem, recipe.build(problem), 0, start=weights.start(problem))
        s["z"] = problem.estimate()
        found[name] = [lf_ratio(one) for one in layers(s)]
    return found


def followed(
    own: Setting, recipe: Recipe, problem: Problem, start: StartWeights | None
) -> tuple[Fit, dict[int, Array]]:
    """Run a recipe; return the fit and the spectra of A J before, in the middle and after."""
    watch = Spectra((own.steps // 2, own.steps), own.count)
    watch.look(first_state(recipe, problem, start), 0)
    fit = solve_recipe(recipe, problem, seed=own.seed, watch=[watch], start=start)
    return fit, watch.found


def layer_similarity(
    recipe: Recipe, problem: Problem, start: StartWeights | None, fit: Fit
) -> list[float]:
    """Compare the encoder's layers before and after a run, by linear CKA."""
    before = layers(first_state(recipe, problem, start))[:-1]
    after = layers(last_state(recipe, problem, fit))[:-1]
    return [similarity(a, b) for a, b in zip(before, after, strict=True)]


def variants(own: Setting, problem: Problem, start: StartWeights) -> dict[str, Fit]:
    """Run EDIP with the encoder at rest, learned and random, and with foreign inputs."""
    asked: dict[str, tuple[Recipe, StartWeights | None]] = {
        "EDIP, encoder at rest": (own.recipe(frozen=True), start),
        "random encoder at rest": (own.recipe(frozen=True), None),
        "EDIP, input noise": (own.recipe(source="noise"), start),
        "EDIP, another scan's input": (own.recipe(source="turned"), start),
    }
    return {
        name: solve_recipe(recipe, problem, seed=own.seed, start=given)
        for name, (recipe, given) in asked.items()
    }


def null_errors(
    own: Setting, problem: Problem, truth: Tensor, start: StartWeights, fit: Fit | None = None
) -> tuple[float, float]:
    """Return the squared error in N(A) of EDIP's image over that of A^+ y, before and after."""
    recipe = own.recipe()
    s = first_state(recipe, problem, start)
    with torch.no_grad():
        first = problem.to_units(recipe.method.loss(s)[0])
    fit = fit or solve_recipe(recipe, problem, seed=own.seed, start=start)
    return unseen(problem, [first, fit.image], truth)


def unseen(problem: Problem, images: Sequence[Tensor], truth: Tensor) -> tuple[float, float]:
    """Return |N (x - truth)|^2 / |N truth|^2 of two images, N the projector onto N(A), exact."""
    units = torch.eye(truth.numel()).reshape(-1, *truth.shape[1:])
    columns = torch.cat([problem.physics.A(one) for one in units.split(1)]).flatten(1)
    N = null_projector(columns.T.double().numpy())

    def energy(e: Tensor) -> float:
        return float(((N @ e.flatten().double().numpy()) ** 2).sum())

    whole = max(energy(truth), 1e-30)
    first, last = (energy(one - truth) / whole for one in images)
    return first, last


LAB = Lab(
    "edip-spectra",
    "What pre-training does to spectrum, layers and null space, for DIP and EDIP",
    "Barbano et al., IEEE TCI 2022; UGoDIT, Liang et al., NeurIPS 2025",
    educated,
)
