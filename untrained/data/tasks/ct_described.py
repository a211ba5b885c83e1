"""Geometry that others store as a JSON text beside a sinogram, in our keys.

The files of the Helsinki Tomography Challenge 2022 and other scans of that laboratory hold
`parameters_json`, the scanner's own description; some hold `geometry_json`.
"""

from __future__ import annotations

import json
import math
from typing import Any

from untrained.data.formats import ArrayFile
from untrained.errors import UserError, shown

DESCRIPTIONS = ("geometry_json", "parameters_json")
"""Arrays of text that describe a scan."""

NAMES = {
    "source_origin": ("distanceSourceOrigin", "source_to_origin_mm", "source_origin"),
    "source_detector": ("distanceSourceDetector", "source_to_detector_mm", "source_detector"),
    "detector_pitch": ("pixelSizePost", "detector_pixel_mm", "detector_pitch", "pixelSize"),
}
"""Our keys, and what the descriptions call them; binned pixels before those of the panel."""

BEAMS = ("geometryType", "type", "geometry")
"""What the descriptions call the kind of beam."""

MOST_TEXT = 2**20


def read_described(file: ArrayFile) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the geometry of a description in a file; nothing where there is none; and a note.

    A sinogram with one row a view is the central plane of a cone beam, which is a fan.

    Raises:
        UserError: a description that is no JSON object, or holds no usable length.
    """
    name = next((one for one in DESCRIPTIONS if one in file.keys), None)
    if name is None:
        return {}, ()
    given = _parsed(file, name)
    beam = " ".join(str(given[key]) for key in BEAMS if key in given).lower()
    lengths = {}
    for key, names in NAMES.items():
        for other in names:
            if other in given:
                lengths[key] = _length(given[other], f"'{other}' of {file.label(name)}")
                break
    turning = {"source_origin", "source_detector"} <= lengths.keys()
    if not turning or not ("fan" in beam or "cone" in beam):
        return {}, (f"'{name}' describes no fan or cone beam, and is not used",)
    found = {"geometry": "fan", **lengths}
    words = ", ".join(f"{key} {value:g}" for key, value in lengths.items())
    return found, (f"the geometry is that of the file's '{name}': a fan, {words}",)


def _parsed(file: ArrayFile, name: str) -> dict[str, Any]:
    value = file.read(name)
    text = str(value.reshape(-1)[0]) if value.size else ""
    try:
        given = json.loads(text) if len(text) <= MOST_TEXT else None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file.label(name)} is not valid JSON: {error}") from error
    if not isinstance(given, dict):
        raise UserError(f"{file.label(name)} must be a JSON object of at most {MOST_TEXT} letters")
    return given


def _length(value: Any, label: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 < number < math.inf:
        raise UserError(f"{label} must be a positive length, found {shown(value)}")
    return number
