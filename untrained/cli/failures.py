"""What a person is told of an error, and the exit status that belongs to it."""

from __future__ import annotations

import os
import traceback

from untrained.errors import UserError, one_paragraph
from untrained.solver.memory import is_out_of_memory

BAD_INPUT = 2
FAILED = 1


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit status of an error and one paragraph on it.

    2 is bad input, and what does not fit into memory is too large an input; 1 is anything else.
    `UNTRAINED_DEBUG=1` also prints the traceback.
    """
    if os.environ.get("UNTRAINED_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, UserError):
        return BAD_INPUT, str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = one_paragraph(f"{where}{error.strerror or error}")
        return BAD_INPUT, (
            f"{text}; check the path, and who may read and write it (set UNTRAINED_DEBUG=1 for "
            "details)"
        )
    if is_out_of_memory(error):
        return BAD_INPUT, (
            "there is not enough memory for this; take a smaller image, network or number of "
            "steps; `reconstruct ... --dry-run` tells what a run needs (set UNTRAINED_DEBUG=1 for "
            "details)"
        )
    text = one_paragraph(f"{type(error).__name__}: {error}")
    return FAILED, f"{text} (set UNTRAINED_DEBUG=1 for details)"
