"""Name the ways to an error bar, and hold their settings (`--uncertainty`, `--level`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from untrained.core.recipe import Setting, with_fields
from untrained.errors import UserError, shown

PREFIX = "uncertainty."
"""What a `--set` begins with that is meant for these settings."""


@dataclass(frozen=True)
class Ensemble:
    """Take the spread of several runs from other random starts (deep ensembles).

    Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017. All members see the same measurements and
    each stops by itself.

    Args:
        bootstrap: further members fit other measurements: the first member's prediction plus its
            own residuals, each with a random sign (the wild bootstrap: Wu, Ann. Statist. 14, 1986).
            So the spread also holds what the noise of the measurements does. The image is then the
            first member's, since the others saw more noise than was measured.
    """

    name: ClassVar[str] = "ensemble"
    bootstrap: bool = False


@dataclass(frozen=True)
class SGLD:
    """Take the spread of a walk about the fit, by stochastic gradient Langevin dynamics.

    The method of Cheng et al. (CVPR 2019, see `untrained.methods.sgld`) around any method: from the
    step that its stop rule chose, each step also adds noise to the convolution kernels. A method
    that samples already (`sgld`) gives the samples of its own walk.

    Args:
        steps: of the walk; 0 = as many as the fit took, at least 100.
        burn_in: share of these that does not count.
        noise: standard deviation of the noise over the learning rate (the paper: 2).
        keep: most images that are kept of it, at even distances.
    """

    name: ClassVar[str] = "sgld"
    steps: int = 0
    burn_in: float = 0.25
    noise: float = 0.5
    keep: int = 32


@dataclass(frozen=True)
class Linearised:
    """Take the spread of a Gaussian model: the network linearised at its fit (Laplace).

    Antoran, Barbano, Leuschner, Hernandez-Lobato, Jin, "Uncertainty estimation for computed
    tomography with a linearised deep image prior", TMLR 2023 (arXiv 2203.00479); see
    `untrained.uncertainty.linearised`.

    Args:
        samples: images drawn from the posterior.
        rank: 0: each sample by conjugate gradients, which conditions it on the measurements as far
            as they converge. Above 0: the closed form on so many leading directions of the
            prior's covariance, which leaves out the rest and says how much that is.
        probes: products that find the leading directions for the marginal likelihood.
        iterations: most steps of conjugate gradients for a sample.
    """

    name: ClassVar[str] = "linearised"
    samples: int = 24
    rank: int = 0
    probes: int = 64
    iterations: int = 30


Way = Ensemble | SGLD | Linearised
WAYS: dict[str, type[Way]] = {way.name: way for way in (Ensemble, SGLD, Linearised)}

LEVEL = 0.9
MEMBERS = 4
"""Members of an ensemble where --seeds does not say more."""


def find_way(asked: str | Way | None) -> Way | None:
    """Return the settings for a name, or those given; None for None.

    Raises:
        UserError: an unknown name.
    """
    if asked is None or isinstance(asked, (Ensemble, SGLD, Linearised)):
        return asked
    if not isinstance(asked, str) or asked not in WAYS:
        known = ", ".join(f"'{name}'" for name in WAYS)
        raise UserError(f"uncertainty={shown(asked)} is unknown; known: {known}, or None")
    return WAYS[asked]()


def parted_settings(settings: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part `--set` assignments: (those of the recipe, those that begin with `uncertainty.`)."""
    if isinstance(settings, str):
        raise UserError(f"settings must be a list of FIELD=VALUE, got the text '{settings}'")
    own = [one for one in settings if one.strip().startswith(PREFIX)]
    return [one for one in settings if one not in own], own


def with_settings(way: Way | None, settings: Sequence[str]) -> Way | None:
    """Return the settings with assignments `uncertainty.FIELD=VALUE` applied, and check them.

    Raises:
        UserError: there is no --uncertainty, an unknown field, or a value out of its range.
    """
    if way is None:
        if settings:
            raise UserError(
                f"--set {settings[0]}: there is no --uncertainty in this run (uncertainty= in "
                "Python); give one, or leave the setting out"
            )
        return None
    made: Way = with_fields(way, [Setting.of(one) for one in settings]) if settings else way
    least = {"steps": 0, "noise": 0, "keep": 2, "samples": 2, "rank": 0, "probes": 2}
    for name, value in dataclasses.asdict(made).items():
        if name in (*least, "iterations") and not value >= least.get(name, 1):
            raise UserError(
                f"uncertainty.{name} must be at least {least.get(name, 1)}, got {value}"
            )
    if isinstance(made, SGLD) and not 0 <= made.burn_in < 1:
        raise UserError(f"uncertainty.burn_in must lie in [0, 1), got {made.burn_in}")
    return made


def check_level(level: float) -> float:
    """Return the level of the intervals as a number.

    Raises:
        UserError: it is none between 0 and 1.
    """
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise UserError(f"level must lie between 0 and 1, for example 0.9, got {shown(level)}")
    return float(level)
