"""A method's card: what it is, where it is from, what it needs, and its recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from untrained.core.recipe import Recipe
from untrained.methods.presets import check_preset

CLASSICAL = "classical"
EARLY_STOPPING = "early stopping"
REGULARISATION = "regularisation"
REPARAMETERISATION = "re-parameterisation"
HYBRID = "hybrid"
PRETRAINED = "pre-trained"
LOW_DATA = "low-data"

FAMILIES = {
    CLASSICAL: "no network",
    EARLY_STOPPING: "the fit ends before the network has learned the noise",
    REGULARISATION: "terms of the objective, or random steps, keep the noise out",
    REPARAMETERISATION: "other weights or another network stand for the image",
    HYBRID: "a network together with another reconstruction or a denoiser",
    LOW_DATA: "a few other images, real or drawn, help",
    PRETRAINED: "a network that has seen many images: the rivals of DIP",
}
"""What keeps the noise out of a method's image. Early stopping, regularisation, re-parameterisation
and hybrid are the Sections III-A to III-D of the tutorial "Understanding Untrained Deep Models for
Inverse Problems: Algorithms and Theory"; low-data is what the UGoDIT paper (Sec. 2) calls methods
that learn from a few images."""

NOTHING = "nothing"
CLEAN_IMAGES = "clean images"
WEIGHTS = "learned weights"
PRIOR = "a pre-trained network"
"""What a method needs beside the measurements (`Card.needs`)."""

MEASUREMENTS = "measurements"
GEOMETRY = "the geometry of a scan"
PAIRS = "measurements with their true images"
"""What weights are learned from (`Training.learns_from`), or CLEAN_IMAGES."""

RecipeOf = Callable[[str, str], Recipe]
"""(task, preset) -> Recipe."""


@dataclass(frozen=True)
class Training:
    """How `untrained pretrain` learns the weights of a method.

    Attributes:
        title: one line.
        learns_from: MEASUREMENTS, CLEAN_IMAGES, GEOMETRY or PAIRS.
        recipe: (task, preset) -> Recipe of the training.
        encoder: whether the encoder is kept, instead of the whole network.
        decoders: whether the decoders are kept too, each image's.
        input: whether the network's input is kept too.
        drawn: whether the images are drawn, `batch` of them a step.
        keep: of the training of a prior, which is one network for a batch of `batch` crops or
            scans a step: (weights) -> the tensors of its file; None elsewhere.
    """

    title: str
    learns_from: str
    recipe: RecipeOf
    encoder: bool = False
    decoders: bool = False
    input: bool = False
    drawn: bool = False
    keep: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None


@dataclass(frozen=True)
class Card:
    """A method as `untrained list methods` shows it.

    Attributes:
        name: what `--method` takes.
        title: one line.
        source: the paper.
        family: one of FAMILIES.
        tasks: where it applies.
        optimises: what it fits; `nothing` for a formula, `the image` for a classical solver.
        recipe: (task, preset) -> Recipe; None for a classical method.
        needs: what it needs beside the measurements: NOTHING, CLEAN_IMAGES (`--guide`),
            WEIGHTS (`--weights`) or PRIOR (`--prior`).
        prior: which kind of pre-trained network it can use, `DENOISER` or `RECONSTRUCTOR` of
            `untrained.priors`; "" for none.
        training: how its weights are learned, where it needs some.
        control: of a pre-trained method, what is run without weights; None where it needs them.
        control_of: of a control, the method that it is held against.
        note: what is said before a run, and in its result.
    """

    name: str
    title: str
    source: str
    family: str
    tasks: tuple[str, ...]
    optimises: str
    recipe: RecipeOf | None = None
    needs: str = NOTHING
    prior: str = ""
    training: Training | None = None
    control: Card | None = None
    control_of: str = ""
    note: str = ""

    @property
    def classical(self) -> bool:
        """Tell whether it fits no network."""
        return self.recipe is None

    @property
    def pretrained(self) -> bool:
        """Tell whether it starts from weights that `untrained pretrain` learned."""
        return self.training is not None

    def trained(self) -> Training:
        """Return how the weights are learned; ValueError for a method that needs none."""
        if self.training is None:
            raise ValueError(f"'{self.name}' starts from random weights")
        return self.training

    @property
    def guided(self) -> bool:
        """Tell whether it uses clean images of similar content (`--guide`)."""
        return self.needs == CLEAN_IMAGES


def find_recipe(card: Card, task: str, preset: str) -> Recipe:
    """Return the recipe of a network method.

    Raises:
        UserError: an unknown preset.
    """
    check_preset(preset)
    if card.recipe is None:
        raise ValueError(f"'{card.name}' fits no network and has no recipe")
    return card.recipe(task, preset)
