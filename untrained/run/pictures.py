"""Draw what an image leaves of its measurements, for the report."""

from __future__ import annotations

from dataclasses import replace

import torch

from untrained.picture import Picture
from untrained.problem import Problem
from untrained.solver.fit import Fit


def measurement_pictures(problem: Problem, fit: Fit) -> tuple[Picture, ...]:
    """Draw the residual A(x) - y of the first image, as its operator does.

    A large scan whose image took no solver gets none: A alone would take longer than the image.
    """
    if fit.recipe is None and problem.physics.few_views() is not None:
        return ()
    one = problem.each()[0]
    with torch.no_grad():
        image = one.from_units(fit.image[:1].to(one.y))
        residual = one.A(image) - one.y
        # entries that were not measured are 0, whatever the operator makes of them
        mask = one.physics.sampling_mask(one.y)
        residual = residual if mask is None else residual * (mask != 0)
    size, largest = float(one.y.norm()), float(one.y.abs().max())
    if not largest or not bool(residual.isfinite().all()):
        return ()
    picture = one.physics.residual_picture(residual[0].float() / largest)
    if picture is None:
        return ()
    share = 100 * float(residual.norm()) / size
    told = (
        f"A(x) − y, the part of the measurements that the image does not explain: {share:.2g} % of "
        "them (root mean square). Noise looks the same everywhere. Edges or lines come from an "
        "error of the image or of the operator."
    )
    return (replace(picture, caption=" ".join(filter(None, (told, picture.caption)))),)
