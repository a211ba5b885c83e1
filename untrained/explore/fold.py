"""Find a field of view that is smaller than the object: two parts of it share a pixel."""

from __future__ import annotations

import torch

from untrained.data import Measurement
from untrained.errors import UserError, doubting
from untrained.maths import to_complex
from untrained.physics.coilmaps import espirit_maps
from untrained.physics.mri import MRI

FOLDED = 0.02  # of the object: no sound scan of six had a second set anywhere, folded ones 0.12
OPTION = ("--map-sets", "2")


@doubting
def fold_doubts(measurement: Measurement) -> tuple[str, ...]:
    """Doubt one set of coil maps where ESPIRiT's second eigenvalue is 1, too, on a part.

    Args:
        measurement: of a slice on a grid, of several coils; of others nothing is said.
    """
    physics, y = measurement.physics, measurement.y
    if not isinstance(physics, MRI) or y.ndim != 5 or y.shape[2] < 2:
        return ()
    kspace = to_complex(y)[0]
    try:
        with torch.no_grad():
            maps = espirit_maps(kspace, kspace.abs().amax(0) > 0, sets=2)
    except UserError:  # too few lines in the centre
        return ()
    first, second = (maps != 0).any(1).float().sum((1, 2)).tolist()
    share = second / max(first, 1.0)
    if share < FOLDED:
        return ()
    return (
        f"the field of view is smaller than the object: on {100 * share:.0f} % of it two parts "
        "share a pixel, which the coils see through maps of their own; one set of maps cannot "
        "explain both, and leaves a fold-over in the middle: --map-sets 2",
    )
