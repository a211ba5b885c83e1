"""PSNR of every image of a run, inside the scored region; and how long the run may take."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from untrained.core.rule import Frame, Stopped
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.data import Measurement
from untrained.errors import UserError
from untrained.metrics import psnr, same_view, ssim, usual_range
from untrained.tasks import find_task

REGIONS = ("all", "disc")
DISC = 0.46  # radius of the disc, of the image's side


class Score:
    """The quality of an image of one measurement. Holds the truth, which no method is handed.

    Args:
        measurement: with a reference.
        region: `all`, or `disc`: the disc that every view of a scan sees. Outside it filtered
            backprojection, which references of measured scans are made by, is not valid.
        device: where the images to be scored are.

    Raises:
        UserError: there is no reference, or it is zero.
    """

    def __init__(self, measurement: Measurement, region: str, device: torch.device) -> None:
        truth = measurement.reference
        if truth is None:
            raise UserError(
                f"{measurement.source} holds no reference, so nothing can be scored; add "
                "`reference` to the file, or simulate the case from a clean image"
            )
        self.device = device
        truth = truth.to(device)
        self._region = _disc(truth) if region == "disc" else torch.ones_like(truth)
        self._truth = truth * self._region
        self._turned = find_task(measurement.task).ambiguous_orientation
        self._range = usual_range(self._truth, unit=find_task(measurement.task).unit_range)
        if self._range == 0:
            raise UserError(f"{measurement.source}: the reference is zero where it is scored")
        # the mean over the region, from the mean over the image
        self._shift = 10 * float(torch.log10(self._region.mean()))

    def psnr(self, image: Tensor) -> float:
        """Return the PSNR in dB over the region; complex images by magnitude."""
        return psnr(image * self._region, self._like(image), data_range=self._range) + self._shift

    def ssim(self, image: Tensor) -> float:
        """Return the SSIM of the image, blackened outside the region."""
        return ssim(image * self._region, self._like(image), data_range=self._range)

    def known(self) -> Tensor:
        """Return the truth `(1, C, ...)`; of a disc the square inside it, NaN around that."""
        if bool((self._region > 0).all()):
            return self._truth
        half = DISC * self._truth.shape[-1] / 2**0.5
        inside = [
            ((torch.arange(n, device=self.device) - (n - 1) / 2).abs() <= half)
            for n in self._truth.shape[-2:]
        ]
        return self._truth.where(inside[0][:, None] & inside[1], torch.nan)

    def _like(self, image: Tensor) -> Tensor:
        """Return the truth, turned as the image where measurements do not tell how it lies."""
        return same_view(self._truth, image) if self._turned else self._truth


class Scored(Watch):
    """Records the PSNR of every image and output; keeps the best and the newest output.

    Images are kept in the units of the measurements: the scale of a problem differs between a
    part of the measurements and all of them.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self._best = -float("inf")
        self.best: Tensor | None = None
        self.last: Tensor | None = None

    def alone(self, row: int) -> Scored:
        """Make another for further seeds: what is kept is the first one's."""
        return Scored(self._score)

    def begin(self, phase: str, total: int, step: int) -> None:
        """Forget the phase before."""
        self._best, self.best, self.last = -float("inf"), None, None

    def columns(self, s: State, frame: Frame) -> dict[str, Tensor]:
        """Record `psnr` of the image and `psnr_output` of the output, before any closing step."""
        image, self.last = s.problem.to_units(frame.x), s.problem.to_units(frame.out)
        found = {"psnr": self._score.psnr(image), "psnr_output": self._score.psnr(self.last)}
        if found["psnr_output"] > self._best:
            self._best, self.best = found["psnr_output"], self.last
        return {name: torch.tensor([value]) for name, value in found.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"value": self._best, "best": self.best, "last": self.last}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take up the two images."""
        self._best = saved["value"]
        self.best, self.last = (saved[name].to(self._score.device) for name in ("best", "last"))


class Limit(Watch):
    """Cut a job after `seconds` of wall time, earlier calls included; 0 = never."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._before, self._began = seconds, 0.0, time.monotonic()

    @property
    def used(self) -> float:
        """Count the seconds so far."""
        return self._before + time.monotonic() - self._began

    def interrupted(self) -> Stopped | None:
        """Cut the job once the time is used up."""
        if not self._seconds or self.used < self._seconds:
            return None
        return Stopped("time limit", 0, f"it was cut after {self._seconds:g} s")

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"used": self.used}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on counting."""
        self._before, self._began = saved["used"], time.monotonic()


def _disc(like: Tensor) -> Tensor:
    """Mark the inside of the disc by 1, the outside by 0."""
    height, width = like.shape[-2:]
    y = torch.arange(height, device=like.device)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=like.device)[None] - (width - 1) / 2
    return ((y**2 + x**2).sqrt() < DISC * width).float().expand_as(like).clone()
