"""The XML header of an ISMRMRD file: matrix, field of view and counters of each encoding."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from untrained.errors import UserError

MOST_TEXT = 2**24  # bytes; a header with all protocol parameters of a scanner has about 2**18
LARGEST_MATRIX = 4096
SEPARATE = ("separate", "external")
"""Calibration modes whose lines are of another scan, and belong into no image."""


@dataclass(frozen=True)
class Encoding:
    """One encoding of a header.

    Attributes:
        matrix, shown: samples (x, y, z) of the encoded space and pixels of the image meant.
        field, field_shown: their fields of view in mm; 0 where the header has none.
        centres: counters of the lines through the centre, (step 1, step 2); None where unknown.
        trajectory: its kind, in lower case.
        separate_calibration: whether calibration lines are of a scan of their own.
    """

    matrix: tuple[int, int, int]
    shown: tuple[int, int, int]
    field: tuple[float, float, float]
    field_shown: tuple[float, float, float]
    centres: tuple[int | None, int | None]
    trajectory: str
    separate_calibration: bool

    def readout(self) -> int:
        """Count the samples that are left of a readout without its oversampling."""
        whole, part = self.field[0], self.field_shown[0]
        if whole > 0 and part > 0:  # the matrix of the image may be interpolated, the field is not
            return min(self.matrix[0], max(1, round(self.matrix[0] * part / whole)))
        return min(self.matrix[0], self.shown[0])


def read_encodings(text: bytes, label: str) -> list[Encoding]:
    """Read the encodings of a header.

    Args:
        text: the XML.
        label: the file, for messages.

    Raises:
        UserError: no XML, entities in it, or an encoding without a matrix.
    """
    if len(text) > MOST_TEXT:
        raise UserError(f"{label}: its XML header has {len(text)} bytes, which no scan needs")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise UserError(f"{label}: its XML header defines entities, which are never expanded")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{label}: its XML header cannot be read: {error}") from error
    for element in root.iter():
        element.tag = re.sub(r"^\{[^}]*\}", "", str(element.tag))  # the namespace
    found = [_encoding(element, label) for element in root.findall("encoding")]
    if not found:
        raise UserError(f"{label}: its XML header has no <encoding>, so that lines have no place")
    return found


def _encoding(element: ElementTree.Element, label: str) -> Encoding:
    matrix = _matrix(element, "encodedSpace", label)
    shown = matrix if element.find("reconSpace") is None else _matrix(element, "reconSpace", label)
    mode = element.findtext("parallelImaging/calibrationMode", "").strip().lower()
    return Encoding(
        matrix,
        shown,
        _field(element, "encodedSpace"),
        _field(element, "reconSpace"),
        (_centre(element, "kspace_encoding_step_1"), _centre(element, "kspace_encoding_step_2")),
        element.findtext("trajectory", "cartesian").strip().lower(),
        mode in SEPARATE,
    )


def _matrix(element: ElementTree.Element, space: str, label: str) -> tuple[int, int, int]:
    words = [element.findtext(f"{space}/matrixSize/{axis}", "").strip() for axis in "xyz"]
    sizes = [int(word) if re.fullmatch(r"[0-9]{1,6}", word) else 0 for word in words]
    if not all(1 <= size <= LARGEST_MATRIX for size in sizes):
        given = " x ".join(word[:20] or "nothing" for word in words)
        raise UserError(
            f"{label}: <matrixSize> of <{space}> in its XML header is {given}; three whole numbers "
            f"from 1 to {LARGEST_MATRIX} are expected"
        )
    return sizes[0], sizes[1], sizes[2]


def _field(element: ElementTree.Element, space: str) -> tuple[float, float, float]:
    sides = []
    for axis in "xyz":
        try:
            side = float(element.findtext(f"{space}/fieldOfView_mm/{axis}", "0"))
        except ValueError:
            side = 0.0
        sides.append(side if 0 < side < 1e6 else 0.0)
    return sides[0], sides[1], sides[2]


def _centre(element: ElementTree.Element, limit: str) -> int | None:
    word = element.findtext(f"encodingLimits/{limit}/center", "").strip()
    return int(word) if re.fullmatch(r"[0-9]{1,6}", word) else None
