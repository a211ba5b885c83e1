"""The lab: the theory of untrained networks as code that runs, and the Jacobian it stands on.

A lab is a function in a file of its own, whose docstring holds the statement; it returns what the
statement predicts beside what was found, arrays, curves and a picture. `LABS` lists them.
"""

from __future__ import annotations

import difflib

from untrained.errors import UserError
from untrained.lab import (
    analytic,
    bias_variance,
    compressed,
    educated,
    es_dip,
    factorisation,
    fixed_point,
    ntk_filter,
    regimes,
    residual,
    spectral_bias,
    watermark,
)
from untrained.lab.jacobian import Jacobian
from untrained.lab.result import Finding, Lab, LabResult, save, table

LABS: dict[str, Lab] = {
    one.name: one
    for one in (
        ntk_filter.LAB,
        spectral_bias.LAB,
        compressed.LAB,
        regimes.LAB,
        bias_variance.LAB,
        es_dip.LAB,
        factorisation.LAB,
        residual.LAB,
        fixed_point.LAB,
        analytic.LAB,
        educated.LAB,
        watermark.LAB,
    )
}
"""Name -> lab, in the order of the story that docs/primer.md tells."""


def find_lab(name: str) -> Lab:
    """Return the lab of that name.

    Raises:
        UserError: there is none.
    """
    if name not in LABS:
        near = difflib.get_close_matches(name, LABS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UserError(f"there is no lab '{name}'; there are {', '.join(LABS)}{hint}")
    return LABS[name]


__all__ = ["LABS", "Finding", "Jacobian", "Lab", "LabResult", "find_lab", "save", "table"]
