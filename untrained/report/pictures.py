"""Arrays to PNG pictures with a stated window; one picture pixel per image pixel."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np

from untrained.tasks import find_task

LONGEST_SIDE = 1200
LONGEST_VIEW, LEVELS = 640, 4095
"""Pixels of a side, and codes, of the values that the page's viewer has."""
COLOURS = "magma"
DIVERGING = "RdBu"
"""Red is below the background, resistive; blue is above it, conductive."""
CONTRAST = (2.0, 100.0)


@dataclass(frozen=True)
class Window:
    """Hold the values shown as black and white, or the ends of the colour scale, with a text.

    `palette` names a colour scale; without one pictures are grey. With `logarithmic` equal steps of
    it are equal ratios.
    """

    low: float
    high: float
    text: str
    palette: str = ""
    logarithmic: bool = False


def image_window(task: str, plane: np.ndarray, reference: np.ndarray | None) -> Window:
    """Compute the window common to all pictures of a result.

    [0, 1] for photographs; for MRI and CT from 0 to the 99.5th percentile of the reference, or
    of the reconstruction where there is none. Data of other tasks far outside [0, 1] get their
    0.5th and 99.5th percentiles. Conductivities are coloured, see `contrast_window`.
    """
    if find_task(task).logarithmic:
        return contrast_window(plane if reference is None else reference)
    shown, name = (plane, "reconstruction") if reference is None else (reference, "reference")
    low, high = percentiles(shown, 0.5, 99.5)
    maybe_unit = not find_task(task).few_lines  # the values of scans have units of their own
    if maybe_unit and low >= -0.25 and high <= 1.25:
        return Window(0.0, 1.0, "black is 0, white is 1")
    if maybe_unit:
        ends = f"black is {number(low)}, white is {number(high)}"
        text = f"{ends} (0.5th and 99.5th percentile of the {name})"
        return _not_empty(Window(low, high, text))
    text = f"black is 0, white is {number(high)} (99.5th percentile of the {name})"
    return _not_empty(Window(0.0, high, text))


def contrast_window(plane: np.ndarray) -> Window:
    """Compute the window of positive values around a background, which is its middle.

    It reaches as far to either side, in ratios, as the 0.5th or the 99.5th percentile, at least a
    factor of 2 and at most one of 100; the median counts as the background.
    """
    values = plane[np.isfinite(plane) & (plane > 0)]
    middle = float(np.median(values)) if values.size else 1.0
    low, high = percentiles(values, 0.5, 99.5) if values.size else (middle, middle)
    factor = float(np.clip(max(middle / low, high / middle), *CONTRAST))
    text = (
        f"{number(middle / factor)} to {number(middle * factor)} on a logarithmic scale, white is "
        f"{number(middle)}, the median"
    )
    return Window(middle / factor, middle * factor, text, DIVERGING, logarithmic=True)


def colour_window(*maps: np.ndarray) -> Window:
    """Compute a window from 0 to the 99.5th percentile of all the maps together."""
    _, high = percentiles(np.concatenate([m.ravel() for m in maps]), 0.0, 99.5)
    return _not_empty(Window(0.0, high, f"0 to {number(high)} (99.5th percentile)"))


def number(value: float) -> str:
    """Format a number with three digits, and a minus sign at which no line breaks."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def percentiles(values: np.ndarray, lower: float, upper: float) -> tuple[float, float]:
    """Compute two percentiles of the finite values; (0, 1) where none is finite."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, (lower, upper))
    return float(low), float(high)


def difference(plane: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Compute |plane - reference| `(H, W)`, the mean over colours."""
    error = np.abs(plane - reference)
    return error.mean(axis=-1) if error.ndim == 3 else error


def grey_levels(plane: np.ndarray, window: Window) -> np.ndarray:
    """Convert to 8-bit `(H, W)` or `(H, W, 3)`; values outside the window are clipped."""
    return np.round(255.0 * in_window(plane, window)).astype(np.uint8)


def colours(plane: np.ndarray, window: Window) -> np.ndarray:
    """Convert a map to 8-bit RGB `(H, W, 3)` on the colour scale."""
    from matplotlib import colormaps

    scale = colormaps[window.palette or COLOURS]
    return scale(in_window(plane, window), bytes=True)[..., :3]


def shown_pixels(plane: np.ndarray, window: Window) -> np.ndarray:
    """Convert an image to 8 bits as its window says: grey, or on the colour scale it names."""
    return colours(plane, window) if window.palette else grey_levels(plane, window)


def colour_gradient(stops: int = 9, palette: str = COLOURS) -> list[str]:
    """List a colour scale as hexadecimal colours, low to high."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[palette](i / (stops - 1))) for i in range(stops)]


def png(pixels: np.ndarray, longest: int | None = None) -> bytes:
    """Encode 8-bit pixels as PNG, made smaller where a side exceeds `longest`."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if longest is not None and max(picture.size) > longest:
        factor = longest / max(picture.size)
        size = [max(1, round(side * factor)) for side in picture.size]
        picture = picture.resize((size[0], size[1]), Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def deep_values(plane: np.ndarray) -> tuple[str, tuple[float, float]]:
    """Encode a plane `(H, W)` by 12 bits a pixel, for a window that is chosen on the page.

    Returns:
        A `data:` address of a grey PNG `(2 H, W)`: codes divided by 16 above, their remainders
        below; and the values of codes 0 and 4095. At most LONGEST_VIEW pixels a side.
    """
    values = np.nan_to_num(plane.astype(np.float64), posinf=0.0, neginf=0.0)
    longest = max(values.shape)
    if longest > LONGEST_VIEW:
        values = _smaller(values, LONGEST_VIEW / longest)
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1.0
    codes = np.round((values - low) / (high - low) * LEVELS).astype(np.uint16)
    halves = np.concatenate([codes // 16, codes % 16]).astype(np.uint8)
    return data_uri(png(halves)), (low, high)


def _smaller(plane: np.ndarray, factor: float) -> np.ndarray:
    from PIL import Image

    height, width = (max(1, round(side * factor)) for side in plane.shape)
    picture = Image.fromarray(plane.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=np.float64)


def animated_png(frames: list[np.ndarray], milliseconds: int, longest: int | None = None) -> bytes:
    """Encode 8-bit pictures of one size as an animated PNG that repeats for ever.

    Args:
        frames: `(H, W)` or `(H, W, 3)` each.
        milliseconds: for which each is shown.
        longest: as of `png`.
    """
    from PIL import Image

    pictures = [Image.open(io.BytesIO(png(one, longest))) for one in frames]
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="PNG",
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
    )
    return stream.getvalue()


def data_uri(picture: bytes) -> str:
    """Encode a PNG as the address of an image inside the page."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")


def in_window(plane: np.ndarray, window: Window) -> np.ndarray:
    """Scale values so that the window's ends are 0 and 1, and clip them; NaN is 0."""
    values, ends = plane.astype(np.float64), np.array([window.low, window.high])
    if window.logarithmic:
        values, ends = np.log(np.maximum(values, 0.1 * window.low)), np.log(ends)
    scaled = (values - ends[0]) / (ends[1] - ends[0])
    return np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0)


def _not_empty(window: Window) -> Window:
    if window.high > window.low:
        return window
    return Window(
        window.low, window.low + 1.0, f"{number(window.low)} to {number(window.low + 1.0)}"
    )
