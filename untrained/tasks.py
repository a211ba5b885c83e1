"""One row for every task: what its images and its measurements are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Task:
    """A row: the properties of a task's images and measurements.

    Code outside methods/ and cli/ asks for a property (`find_task(name).only_noise`), never for a
    name. Presets and classical methods have constants that were tuned per task; a new task gets
    those that hold "elsewhere". So a new task needs its operator, loader, simulator and a row here.

    Attributes:
        name: as typed on the command line.
        linear: whether methods that need an adjoint apply; an operator of the user's may be of
            either kind.
        jacobian: whether a nonlinear operator has a Jacobian, so that Gauss-Newton applies.
        unit_range: whether images live in [0, 1]: photographs.
        complex_image: whether two channels are the real and the imaginary part of an image:
            `always`, `never`, `two-channel` where an image may have one channel or two, or
            `operator` where only the operator says (its `complex_image`).
        channels: number of channels of an image where it is the same for all; else None.
        bounded: whether the measurements hardly hold an image in [0, 1], so that the last layer of
            a network has to.
        measures: what a single measurement is: a pixel of a picture (`pixels`), a combination of
            the whole image (`codes`), a line of k-space (`lines`), a projection (`views`);
            `other` where nothing is known.
        only_noise: whether noise is all that stands between image and measurements.
        blurred: whether each pixel is measured as a mean of its neighbours, by a known kernel.
        coarse: whether the measurements are the pixels of a smaller picture of the image.
        missing_pixels: whether pixels are measured directly or not at all.
        ambiguous_orientation: whether the measurements are the same for an image that is turned,
            moved or of the other sign.
        processed: whether the measurements are frames of a video that something else processed one
            by one; only methods made for that apply.
        logarithmic: whether values that are positive spread over decades around a background, so
            that pictures show their logarithm in colours.
        input_name: what the report calls the first image, before any reconstruction.
        sigma_option: whether `--sigma` gives the noise level.
        sigma_in_file: whether a measurement file may hold the noise level.
    """

    name: str
    linear: bool = True
    jacobian: bool = False
    unit_range: bool = False
    complex_image: Literal["never", "two-channel", "operator", "always"] = "never"
    channels: int | None = None
    bounded: bool = False
    measures: Literal["pixels", "codes", "lines", "views", "other"] = "other"
    only_noise: bool = False
    blurred: bool = False
    coarse: bool = False
    missing_pixels: bool = False
    ambiguous_orientation: bool = False
    processed: bool = False
    logarithmic: bool = False
    input_name: str = "adjoint"
    sigma_option: bool = False
    sigma_in_file: bool = True

    @property
    def few_lines(self) -> bool:
        """Whether whole lines or views are measured, of which there are too few to judge by."""
        return self.measures in ("lines", "views")

    @property
    def fills_image(self) -> bool:
        """Whether a measurement stands at the place of each pixel, measured or not."""
        return self.only_noise or self.missing_pixels


_ROWS = (
    Task(
        "denoise",
        unit_range=True,
        measures="pixels",
        only_noise=True,
        input_name="measurement",
        sigma_option=True,
    ),
    Task(
        "inpaint",
        unit_range=True,
        bounded=True,
        measures="pixels",
        missing_pixels=True,
        input_name="measurement",
        sigma_option=True,
    ),
    Task("superres", unit_range=True, measures="pixels", coarse=True),
    Task("deblur", unit_range=True, measures="pixels", blurred=True),
    Task("nldeblur", linear=False, unit_range=True, bounded=True, input_name="measurement"),
    Task("cs", unit_range=True, measures="codes"),
    Task(
        "phase",
        linear=False,
        unit_range=True,
        complex_image="two-channel",
        bounded=True,
        measures="codes",
        ambiguous_orientation=True,
    ),
    Task(
        "mri",
        complex_image="always",
        channels=2,
        measures="lines",
        input_name="zero-filled adjoint",
        sigma_in_file=False,
    ),
    Task("ct", channels=1, measures="views", input_name="back-projection"),
    Task(
        "eit",
        linear=False,
        jacobian=True,
        channels=1,
        logarithmic=True,
        input_name="one linearised step",
    ),
    Task(
        "video", unit_range=True, measures="pixels", processed=True, input_name="processed frames"
    ),
    Task("custom", complex_image="operator"),
)

CUSTOM = "custom"
"""The task of an operator that names none, or an unknown one."""

TASKS: dict[str, Task] = {row.name: row for row in _ROWS}
ALL_TASKS = tuple(name for name, row in TASKS.items() if not row.processed)
"""Names of what methods that accept a nonlinear physics (`Method.nonlinear`) do."""

LINEAR_TASKS = tuple(name for name in ALL_TASKS if TASKS[name].linear)
"""Names of what methods that need an adjoint do."""

JACOBIAN_TASKS = tuple(name for name, row in TASKS.items() if row.jacobian)
"""Names of what Gauss-Newton does."""


SERIES_TASKS = ("denoise", "inpaint", "superres", "mri")
"""Names of what takes a time series (`--series`)."""


def find_task(name: str) -> Task:
    """Look up the row of a task; that of `custom` for a name that nobody knows."""
    return TASKS.get(name, TASKS[CUSTOM])
