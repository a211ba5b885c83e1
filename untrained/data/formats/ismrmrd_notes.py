"""What is said of an ISMRMRD file: how its readouts were sorted and put in place."""

from __future__ import annotations

import numpy as np

from untrained.data.formats.ismrmrd_header import Encoding
from untrained.data.formats.ismrmrd_lines import Lines

LARGER = 1.02  # field of view that was encoded over the one meant, along a phase encoding


def scan_notes(
    lines: Lines, encoding: Encoding, times: np.ndarray | None, shots: bool
) -> tuple[str, ...]:
    """Say what was decided.

    Args:
        lines, encoding: all readouts, and what the header says of them.
        times: how often each position of a plane was measured, `(H, W)`; None on a trajectory.
        shots: whether samples lie on a trajectory.
    """
    kinds = [f"{len(lines.image)} of images"]
    kinds += [f"{len(lines.noise)} of noise"] * bool(len(lines.noise))
    kinds += [f"{len(lines.calibration)} of calibration alone"] * bool(len(lines.calibration))
    other = f", {lines.left_out} others (navigators, phase correction) left out"
    notes = [f"ISMRMRD, readouts: {', '.join(kinds)}{other if lines.left_out else ''}"]
    count, kept = encoding.matrix[0], encoding.readout()
    if not shots and kept < count:
        notes.append(f"readout oversampling removed: {count} samples became {kept}")
    if encoding.matrix[2] > 1 and not shots:
        notes.append(
            f"a 3-D scan: its slices are the {kept} positions along the readout, rows and columns "
            "both phase encodings"
        )
    if times is not None and times.max() > 1:
        most = int(times.max())
        notes.append(f"what was measured up to {most} times (averages) was averaged")
    if len(lines.calibration) and not shots:
        notes.append(
            "calibration lines are a scan of their own: only coil maps come from them"
            if encoding.separate_calibration
            else "calibration lines are of the same scan: they fill k-space"
        )
    whole, part = encoding.field[1], encoding.field_shown[1]
    if not shots and part and whole > LARGER * part:
        notes.append(
            f"the image shows the encoded {whole:.4g} mm, of {part:.4g} mm meant, along rows"
        )
    return tuple(notes)
