"""What a result is about: task, source, classical answer, measures and notes, for its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from untrained.data.formats.base import SAME, Companion, Units
from untrained.picture import Picture
from untrained.uncertainty.summary import Uncertainty


@dataclass(frozen=True)
class Mixture:
    """Describe the two images, a network's and a classical one, that an image is mixed of.

    Attributes:
        network: the network's share, in [0, 1].
        classical: what the classical image is, in words.
        held_out, classical_held_out: error of the image, and of the classical one alone, on the
            measurements that were held out from both; None where none were.
        classical_metrics: of the classical image against the reference, if there is one.
        prior: the share of a pre-trained denoiser's image, in [0, 1]; None where none was asked.
        prior_name: what that image is, in words.
        prior_held_out: its error on the measurements that were held out.
    """

    network: float
    classical: str
    held_out: float | None = None
    classical_held_out: float | None = None
    classical_metrics: dict[str, float] | None = None
    prior: float | None = None
    prior_name: str = ""
    prior_held_out: float | None = None

    @property
    def percent(self) -> int:
        """Return the network's share in per cent."""
        return round(100 * self.network)

    @property
    def shares(self) -> str:
        """Return the shares as a part of a sentence."""
        own = 0 if self.prior is None else min(round(100 * self.prior), 100 - self.percent)
        rest = 100 - self.percent - own
        if self.prior is None:
            return f"{self.percent} % network and {rest} % a classical image ({self.classical})"
        return (
            f"{self.percent} % network, {rest} % a classical image ({self.classical}) and {own} % "
            f"the prior's ({self.prior_name})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values; those of a prior only where one was asked."""
        facts = dict(vars(self))
        if self.prior is None:
            facts = {name: value for name, value in facts.items() if not name.startswith("prior")}
        return facts


@dataclass(frozen=True, repr=False)
class About:
    """Hold what a report tells beside the fit; the fit itself needs none of it.

    Attributes:
        task: `denoise`, `mri`, ...
        method: the method's name.
        preset: the preset asked for, if any.
        source: where the measurements came from (a file's name).
        data: a hash of measurements and operator of each image.
        reference_data: a hash of the reference of each image, empty where there is none.
        seeds: how many seeds the image is the mean of.
        command: a command or expression that repeats the run.
        axes: of the saved array: `YX`, `CYX`, `ZYX`, or `TYX` and `TCYX` of a time series.
        deep: whether the pictures have 16 bits, as the input's file had.
        units: what 0 and 1 of the image are in the input's file.
        companion: how the image is written in the format of that file, too.
        notes: what was decided on the user's behalf, a sentence each.
        adjoint: the adjoint image (or the measurement, where it is an image) `(G, C, ...)`.
        classical: the classical answer `(G, C, ...)`, and its name.
        reference: the reference `(G, C, ...)`, used for reporting only, and the PSNR's range.
        weights: where the learned weights come from that it started from, None without any.
        prior: the pre-trained network that the method asked, see `Prior.facts`; None without any.
        metrics, classical_metrics: `psnr`, `ssim`, ... against the reference.
        mesh: values of the image on the operator's own mesh, see `Physics.on_mesh`; of several
            images the first. Empty without one.
        pictures: further panels of the report: the residual of the measurements, and what a task
            adds. Of several images the first's.
        uncertainty: how an error bar was found and checked, where one was asked for.
        half, null_std: half of its intervals' width, and the calibrated deviation of what no
            measurement speaks to, `(G, C, ...)`; None without one, or for a nonlinear operator.
        found: what was unknown of the operator and was estimated, by name, see `Physics.named`.
        mixture: what the image is made of, where it leans on a classical one; of several images
            of one call the first, of several slices or tiles the mean.
        tiles: `size`, `overlap` (pixels) and `count` of the tiles that the image was worked on in;
            None where it was not.
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
    deep: bool = False
    units: Units = SAME
    companion: Companion | None = None
    notes: tuple[str, ...] = ()
    adjoint: Tensor | None = None
    classical: Tensor | None = None
    classical_name: str = ""
    reference: Tensor | None = None
    data_range: float | None = None
    weights: dict[str, Any] | None = None
    prior: dict[str, Any] | None = None
    metrics: dict[str, float] | None = None
    classical_metrics: dict[str, float] | None = None
    mesh: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    found: dict[str, np.ndarray] = field(default_factory=dict)
    mixture: Mixture | None = None
    tiles: dict[str, int] | None = None
    uncertainty: Uncertainty | None = None
    half: Tensor | None = None
    null_std: Tensor | None = None

    def __repr__(self) -> str:
        """Return task, method and the number of notes as text, without the images."""
        return f"About(task={self.task!r}, method={self.method!r}, notes={len(self.notes)})"
