"""What a solve gives back."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from untrained._version import __version__
from untrained.core.history import row_of
from untrained.core.recipe import Recipe
from untrained.core.rule import Stopped


@dataclass(frozen=True)
class Mixture:
    """What an image is made of that leans on a classical one.

    Attributes:
        network: the network's share, in [0, 1].
        classical: what the classical image is, in words.
        held_out, classical_held_out: error of the image, and of the classical one alone, on the
            measurements that were held out from both; None where none were.
        classical_metrics: of the classical image against the reference, if there is one.
    """

    network: float
    classical: str
    held_out: float | None = None
    classical_held_out: float | None = None
    classical_metrics: dict[str, float] | None = None

    @property
    def percent(self) -> int:
        """The network's share in per cent."""
        return round(100 * self.network)

    @property
    def said(self) -> str:
        """The shares, as a part of a sentence."""
        rest = 100 - self.percent
        return f"{self.percent} % network and {rest} % a classical image ({self.classical})"


@dataclass(repr=False)
class About:
    """What a result is about, for its report; a solve does not need any of it.

    Attributes:
        task: `denoise`, `mri`, ...
        method: the method's name.
        preset: the preset asked for, if any.
        source: where the measurements came from (a file's name).
        data: a hash of measurements and operator of each image.
        reference_data: a hash of the reference of each image, empty where there is none.
        seeds: how many seeds the image is the mean of.
        command: a command or expression that repeats the run.
        axes: of the saved array: `YX`, `CYX` or `ZYX`.
        depth: of the input's file, which the result's pictures take on: `png16`, or `tiff` and a
            type (`tiff uint16`); "" for 8 bits.
        notes: what was decided on the user's behalf, a sentence each.
        adjoint: the adjoint image (or the measurement, where it is an image) `(G, C, ...)`.
        classical: the classical answer `(G, C, ...)`, and its name.
        reference: the reference `(G, C, ...)`, used for reporting only, and the PSNR's range.
        weights: where the learned weights come from that it started from, None without any.
        metrics, classical_metrics: `psnr`, `ssim`, ... against the reference.
        mixture: what the image is made of, where it leans on a classical one; of several images
            of one call the first, of several slices the mean.
    """

    task: str = "custom"
    method: str = ""
    preset: str = ""
    source: str = ""
    data: tuple[str, ...] = ()
    reference_data: tuple[str, ...] = ()
    seeds: int = 1
    command: str = ""
    axes: str = "CYX"
    depth: str = ""
    notes: tuple[str, ...] = ()
    adjoint: Tensor | None = None
    classical: Tensor | None = None
    classical_name: str = ""
    reference: Tensor | None = None
    data_range: float | None = None
    weights: dict[str, Any] | None = None
    metrics: dict[str, float] | None = None
    classical_metrics: dict[str, float] | None = None
    mixture: Mixture | None = None

    def __repr__(self) -> str:
        """Name what it tells, without the images."""
        return f"About(task={self.task!r}, method={self.method!r}, notes={len(self.notes)})"


@dataclass(repr=False)
class Result:
    """A reconstruction.

    Attributes:
        image: `(G, C, ...)` in the units of the measurements.
        history: column name -> list, one entry per optimiser step: `phase`, `step`, each term of
            the objective, the stop rule's statistic, and `psnr`/`psnr_output` when a reference
            was given for the record.
        stop: why it ended, per problem.
        recipe: what was run; None for a classical method.
        seed: the seed.
        steps: optimiser steps taken, over all phases of problem 0.
        seconds, cpu_seconds: of `solve`, earlier sittings of a resumed run included.
        device, precision, threads: where and how it ran.
        resumed_from: steps at which the run was taken up again.
        finished: False when it was interrupted and can be resumed.
        std: standard deviation over seeds, where asked for.
        peak_memory_mb: peak of the process in MiB (GPU: reserved), None where unknown.
        about: what the report needs beside the solve's own facts.
        weights, z: the network's weights and input at the end, each `(G, ...)`.
        candidate: which of the recipe's candidates was run, per problem, counted from 0.
        guide: the classical image that the image is mixed with, where it is `(G, C, ...)`.
        dropped: why a fit of all measurements, or a further seed, was not used; empty if none was.
        origins: column of the history -> `objective`, `stop`, `output` or `watch`: whose number
            it is.
    """

    image: Tensor
    history: dict[str, list[float | str]]
    stop: list[Stopped]
    recipe: Recipe | None
    seed: int
    steps: int
    seconds: float
    cpu_seconds: float
    device: str
    precision: str
    threads: int
    resumed_from: list[int] = field(default_factory=list)
    finished: bool = True
    std: Tensor | None = None
    peak_memory_mb: float | None = None
    about: About = field(default_factory=About)
    weights: dict[str, Tensor] = field(default_factory=dict)
    z: Tensor | None = None
    origins: dict[str, str] = field(default_factory=dict)
    candidate: list[int] = field(default_factory=list)
    dropped: str = ""
    guide: Tensor | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on the user's behalf, and doubts about the input, a sentence each."""
        return self.about.notes

    def __repr__(self) -> str:
        """Tell in a line what was run and how it ended; arrays and history by their size."""
        stop = self.stop[0] if self.stop else Stopped("", 0, "")
        parts = [
            f"method={self.about.method!r}, task={self.about.task!r}",
            f"image={tuple(self.image.shape)}, steps={self.steps}, seconds={self.seconds:.1f}",
            f"stop={stop.rule!r} at step {stop.step}",
        ]
        if self.std is not None:
            parts.append("std")
        if self.about.metrics:
            parts.append(f"psnr={self.about.metrics['psnr']:.2f}")
        if not self.finished:
            parts.append("unfinished")
        return f"Result({', '.join(parts)})"

    def settled(self) -> Recipe:
        """The recipe, with what its output rule chose by held-out data fixed.

        Raises:
            ValueError: a classical answer, which has no recipe.
        """
        if self.recipe is None:
            raise ValueError("a classical answer has no recipe")
        row = row_of(self.history, self.stop[0].step)
        method = self.recipe.candidates[self.candidate[0]]
        output = self.recipe.output.settled(row)
        return replace(self.recipe, output=output, method=method, alternative=None)

    def save(self, directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the result directory: arrays, pictures, history, report, and `result.json` last.

        Args:
            directory: where to; made if missing.
            overwrite: replace a finished result of this program that is there.

        Raises:
            UserError: the directory holds a finished result and `overwrite` is False, or files by
                these names that this program did not write, or cannot be written.
        """
        from untrained.report import save_result  # drawing is a later layer; only saving needs it

        return save_result(self, directory, overwrite=overwrite)


def versions() -> dict[str, str]:
    """Versions that the bits of a result depend on."""
    return {
        "untrained": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
    }
