"""How long an invisible watermark survives while a network learns the picture that carries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.fft import dctn, idctn
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.rule import Frame
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.lab.result import Finding, Lab, LabResult
from untrained.methods.refguided import RefGuided
from untrained.metrics import psnr
from untrained.nets import Compact
from untrained.own_code import call, load_callable
from untrained.physics import Denoise
from untrained.problem import Problem
from untrained.solver.procedure import solve_recipe

Array = np.ndarray
Decoder = Callable[[Array], Any]
"""A picture `(C, H, W)` in [0, 1] -> its bits, each 0 or 1 (or False or True)."""

DETECTED = 0.75
"""Bit accuracy from which on a mark counts as detected, as in the paper's code."""
DECODED = 60
"""Steps, evenly spread, whose image is decoded at most."""
KIND = "decoder"


def watermark(seed: int, full: bool) -> LabResult:
    r"""Liang, Li, Sun (TMLR 2025): a network learns a picture before it learns the mark in it.

    A network whose input is the marked picture y itself is fitted to y,

    .. math:: \min_\theta \|f_\theta(y) - y\|^2, \qquad
              a_t = \tfrac1n \#\{i : D(f_{\theta_t}(y))_i = b_i\}

    b are the n bits that the decoder D reads in y. By spectral bias the picture comes first and a
    mark of high frequencies later: where an image early in the run is close to y while its bit
    accuracy a_t is below what counts as detection (0.75 in their code), the mark does not survive
    a Deep Image Prior. Their measure of a mark's robustness is the PSNR to y of the best such
    image: the lower it is, the more the picture must suffer. It is drawn as bit accuracy against
    PSNR. No image is kept: this is a test for those who design marks.

    Without a decoder of your own the mark is `SpreadSpectrum`, with about 22 coefficients a bit.
    What is claimed then: the decoder reads every bit in y, and few more than half in the clean
    picture; the last image has the mark, and more of it than the first one decoded. A bit on more
    coefficients survives longer: with 177 each none of the images decoded had lost the mark, from
    22 dB on. Of your own decoder (`--decoder`, `--image`) nothing is claimed.
    """
    from skimage.data import camera

    side, steps = (128, 600) if full else (32, 90)
    block = 512 // side
    clean = camera().reshape(side, block, side, block).mean((1, 3))[None] / 255
    mark = SpreadSpectrum(bits=256 if full else 16, seed=seed)
    message = np.random.default_rng(seed).integers(0, 2, mark.bits)
    marked = mark.embed(clean, message)
    columns = run(mark.decode, marked, message, seed, steps)
    accuracy = columns["bit accuracy"]
    findings = [
        Finding("bit accuracy in the marked picture", agreement(mark, marked, message), ">=", 1.0),
        Finding("bit accuracy in the clean picture", agreement(mark, clean, message), "<=", 0.85),
        Finding("PSNR of the marked picture (dB)", _psnr(marked, clean), ">=", 30.0),
        Finding("bit accuracy of the last image", accuracy[-1], ">=", DETECTED),
        Finding("  more than the first's by", accuracy[-1] - accuracy[0], ">=", 0.1),
    ]
    return _result(findings, columns)


def robustness(spec: str, marked: Array, seed: int, full: bool) -> LabResult:
    """Draw bit accuracy against PSNR for a decoder of your own; see `watermark`.

    Args:
        spec: `FILE.py:CALLABLE` or `MODULE:CALLABLE`: a picture `(C, H, W)`, float64 in [0, 1], to
            its bits.
        marked: a picture that carries a mark, `(C, H, W)` in [0, 1].
        seed: of the network.
        full: 600 steps; else 90.

    Raises:
        UserError: the decoder cannot be loaded, fails, or gives no bits.
    """
    found, _ = load_callable(spec, KIND)

    def decode(picture: Array) -> Any:
        return call(found, spec, KIND, picture)

    message = _bits(decode(marked), spec)
    columns = run(decode, marked, message, seed, 600 if full else 90, spec)
    findings = [
        Finding("bits", float(message.size)),
        Finding("bit accuracy of the last image", columns["bit accuracy"][-1]),
    ]
    return _result(findings, columns)


class SpreadSpectrum:
    """A mark of our own: every bit is spread over many coefficients of the picture's DCT.

    The coefficients of a ring of middle frequencies are dealt out to the bits; each gets a sign. A
    bit is read as the sign of the sum of its coefficients times their signs. Embedding moves that
    sum to a fixed distance from zero, on the side that the message says, unless it is there:
    spread spectrum (Cox, Kilian, Leighton, Shamoon, IEEE TIP 6, 1997) that takes off what the
    picture itself contributes (Malvar and Florencio, IEEE TSP 51, 2003).

    Args:
        bits: length of the message.
        strength: the distance, as the standard deviation of a mark in a flat grey picture, whose
            values are in [0, 1].
        seed: the key: how coefficients and signs are drawn.
    """

    LOW, HIGH = 0.35, 0.75

    def __init__(self, bits: int = 32, strength: float = 0.012, seed: int = 0) -> None:
        self.bits, self.strength, self.seed = bits, strength, seed

    def embed(self, picture: Array, message: Array) -> Array:
        """Add a message of 0 and 1 to a picture `(C, H, W)`, cut to [0, 1]."""
        owner, sign = self._dealt(picture.shape[-2:])
        inside = owner >= 0
        count = np.bincount(owner[inside], minlength=self.bits)
        wanted = (2 * message - 1) * self.strength * np.sqrt(owner.size / inside.sum()) * count
        there = self._sums(picture)
        missing = np.where(there * wanted >= wanted**2, 0.0, wanted - there) / count
        mark = np.zeros(owner.shape)
        mark[inside] = sign[inside] * missing[owner[inside]]
        marked: Array = np.clip(picture + idctn(mark, norm="ortho"), 0, 1)
        return marked

    def decode(self, picture: Array) -> Array:
        """Read the bits of a picture `(C, H, W)`."""
        bits: Array = (self._sums(picture) > 0).astype(int)
        return bits

    def _sums(self, picture: Array) -> Array:
        """Sum each bit's coefficients times their signs, `(bits,)`."""
        owner, sign = self._dealt(picture.shape[-2:])
        inside = owner >= 0
        seen = (dctn(picture.mean(0), norm="ortho") * sign)[inside]
        sums: Array = np.bincount(owner[inside], weights=seen, minlength=self.bits)
        return sums

    def _dealt(self, size: tuple[int, ...]) -> tuple[Array, Array]:
        """Deal the coefficients out: the bit of each (-1: none), and signs, both `(H, W)`."""
        generator = np.random.default_rng(self.seed)
        rows, columns = (np.arange(n) / n for n in size)
        radius = np.hypot(rows[:, None], columns)
        inside = (radius >= self.LOW) & (radius <= self.HIGH)
        owner = np.full(size, -1)
        owner[inside] = generator.permutation(np.arange(inside.sum()) % self.bits)
        return owner, generator.choice((-1.0, 1.0), size)


class _Decoded(Watch):
    """Decode the image of some steps, and compare it with the marked picture."""

    def __init__(self, accuracy: Callable[[Array], float], marked: Array, every: int) -> None:
        self.accuracy, self.marked, self.every = accuracy, marked, every
        self.rows: list[tuple[float, float, float]] = []

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Keep step, bit accuracy and PSNR; the history gets no further column."""
        if frame.step % self.every == 0:
            image = frame.x[0].double().clamp(0, 1).numpy()
            self.rows.append((frame.step, self.accuracy(image), _psnr(image, self.marked)))
        return {}


def run(
    decode: Decoder, marked: Array, message: Array, seed: int, steps: int, name: str = ""
) -> dict[str, Array]:
    """Fit a network to a marked picture and decode on the way; the columns of the curve.

    Args:
        decode: the decoder.
        marked: `(C, H, W)` in [0, 1].
        message: the bits that count as right.
        seed, steps: of the fit; Adam at 0.01, as in the paper.
        name: of the decoder, for messages.
    """
    y = torch.from_numpy(marked)[None].float()
    problem = Problem(y, Denoise(tuple(marked.shape)), guide=y)

    def accuracy(image: Array) -> float:
        return float((_bits(decode(image), name, message.size) == message).mean())

    watch = _Decoded(accuracy, marked, max(1, steps // DECODED))
    engine = Engine("adam", lr=0.01, precision="fp32")
    recipe = Recipe(RefGuided(steps), Compact(widths=(16, 32, 64), skip=4, sigmoid=True), engine)
    solve_recipe(recipe, problem, seed=seed, watch=[watch])
    names = ("step", "bit accuracy", "PSNR to the marked picture (dB)")
    return dict(zip(names, np.array(watch.rows).T, strict=True))


def best_without(columns: dict[str, Array]) -> float | None:
    """Find the largest PSNR of an image whose mark is not detected; None where there is none."""
    lost = columns["bit accuracy"] < DETECTED
    return float(columns["PSNR to the marked picture (dB)"][lost].max()) if lost.any() else None


def agreement(mark: SpreadSpectrum, picture: Array, message: Array) -> float:
    """Compute the share of right bits in a picture."""
    return float((mark.decode(picture) == message).mean())


def _bits(values: Any, name: str, count: int = 0) -> Array:
    """Return what a decoder gave as an array of 0 and 1; `count` of them, where that is known."""
    try:
        bits = np.asarray(values, dtype=float).ravel()
    except (TypeError, ValueError):
        bits = np.empty(0)
    if not bits.size or not np.isin(bits, (0, 1)).all() or (count and bits.size != count):
        wanted = f"{count} bits, as in the marked picture" if count else "bits, each 0 or 1"
        raise UserError(
            f"decoder {name} must return {wanted}, got {np.shape(values) or values!r}; round "
            "probabilities first"
        )
    return bits


def _psnr(image: Array, reference: Array) -> float:
    return psnr(
        *(torch.from_numpy(np.ascontiguousarray(a)) for a in (image, reference)), data_range=1.0
    )


def _result(findings: list[Finding], columns: dict[str, Array]) -> LabResult:
    """Add what the curve says of the mark's robustness; draw it."""
    lost = best_without(columns)
    notes: tuple[str, ...] = ()
    if lost is None:
        notes = (f"no decoded image is below a bit accuracy of {DETECTED}: the mark survived",)
    else:
        findings = [*findings, Finding("best PSNR without the mark (dB)", lost)]

    def draw(figure: Any) -> None:
        step, accuracy, quality = columns.values()
        axes = figure.subplots(1, 2)
        axes[0].plot(quality, accuracy, ".-")
        axes[0].set(xlabel="PSNR to the marked picture (dB)", ylabel="bit accuracy")
        axes[1].plot(step, accuracy)
        axes[1].set(xlabel="step", ylabel="bit accuracy")
        for one in axes:
            one.axhline(DETECTED, color="grey", linestyle="--", label="detected from here on")
            one.set_ylim(-0.02, 1.04)
        axes[0].legend(fontsize=8)

    return LabResult(findings, dict(columns), columns, draw, notes)


LAB = Lab(
    "watermark",
    "how long an invisible watermark survives a Deep Image Prior",
    "Liang, Li, Sun, TMLR 2025 (arXiv 2502.13998)",
    watermark,
    robustness,
)
