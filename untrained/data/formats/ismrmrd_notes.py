"""What is said of an ISMRMRD file: how its readouts were sorted and put in place."""

from __future__ import annotations

import numpy as np

from untrained.data.formats.ismrmrd_header import Encoding
from untrained.data.formats.ismrmrd_lines import Lines

LARGER = 1.02  # field of view that was encoded over the one meant, along a phase encoding


def scan_notes(
    lines: Lines, encoding: Encoding, times: np.ndarray | None, shots: bool
) -> tuple[str, ...]:
    """Say what was decided: which readouts count for what, and where their samples went.

    Args:
        lines, encoding: all readouts, and what the header says of them.
        times: how often each position of a plane was measured, `(H, W)`; None on a trajectory.
        shots: whether samples lie on a trajectory.
    """
    sorted_as = f"ISMRMRD, readouts: {'; '.join(_uses(lines, encoding, times, shots))}"
    placed = [] if shots else _places(encoding)
    return (sorted_as, *([f"of the encoded space {'; '.join(placed)}"] if placed else []))


def _uses(lines: Lines, encoding: Encoding, times: np.ndarray | None, shots: bool) -> list[str]:
    """Count the readouts by what they are for."""
    said = [f"{len(lines.image)} of images"]
    if len(lines.noise):
        said.append(f"{len(lines.noise)} of noise")
    if len(lines.calibration) and not shots:
        apart = encoding.separate_calibration
        purpose = "a scan of its own for coil maps alone" if apart else "which fill k-space"
        said.append(f"{len(lines.calibration)} of calibration, {purpose}")
    if lines.left_out:
        said.append(f"{lines.left_out} others (navigators, phase correction) left out")
    if times is not None and times.max() > 1:
        said.append(f"up to {int(times.max())} of one place (averages), averaged")
    return said


def _places(encoding: Encoding) -> list[str]:
    """Say what part of the encoded space the image shows, and along which axes."""
    count, kept, said = encoding.matrix[0], encoding.readout(), []
    if kept < count:
        said.append(f"{count} samples of a readout became {kept}, without its oversampling")
    if encoding.matrix[2] > 1:
        said.append(
            f"the {kept} positions along the readout are the slices (a 3-D scan), and rows and "
            "columns the two phase encodings"
        )
    whole, part = encoding.field[1], encoding.field_shown[1]
    if part and whole > LARGER * part:
        said.append(
            f"all {whole:.4g} mm are shown from top to bottom, of which {part:.4g} were meant"
        )
    return said
