"""Every method's card and recipes: its row in the table, what it needs, the tasks it claims."""

import pytest
import torch
from method_problems import mri, photograph
from method_table import NAMES, TABLE

from untrained import METHODS, nets
from untrained.classical import CLASSICAL as ANSWERS
from untrained.core.method import Method
from untrained.methods import PRESETS, find_recipe
from untrained.methods.card import (
    CLASSICAL,
    FAMILIES,
    HYBRID,
    LOW_DATA,
    NOTHING,
    PRETRAINED,
    PRIOR,
    WEIGHTS,
)
from untrained.pretrain.train import training_recipe


def test_the_table_has_every_network_method() -> None:
    assert {name for name, card in METHODS.items() if not card.classical} == set(TABLE)


def test_every_card_says_what_kind_of_method_it_is_and_what_it_needs() -> None:
    assert {card.family for card in METHODS.values()} | {PRETRAINED} == set(FAMILIES)
    for name, card in METHODS.items():
        assert card.name == name
        assert card.classical == (card.family == CLASSICAL) == (name in ANSWERS)
        assert (card.training is not None) == (card.needs == WEIGHTS)
        if card.needs != NOTHING:
            assert card.family in ((HYBRID, PRETRAINED) if card.needs == PRIOR else (LOW_DATA,))
        if card.needs == PRIOR:
            assert card.prior


def test_no_class_is_without_a_row() -> None:
    """Require a row in the table of tests/pretrain for every training of a card."""
    here = {type(recipe.method) for recipe in TABLE.values()}
    trainings = {
        type(training_recipe(card, card.tasks[0], "fast").method)
        for card in METHODS.values()
        if card.training
    }
    ours = "untrained.methods."
    own = {kind for kind in Method.__subclasses__() if kind.__module__.startswith(ours)}
    assert own == here | trainings


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_task_has_a_recipe_whose_network_can_be_built(name: str, preset: str) -> None:
    for task in METHODS[name].tasks:
        recipe = find_recipe(METHODS[name], task, preset)
        assert recipe.method.name == name
        assert recipe.source
        assert recipe.budget > 0
        problem = mri() if task == "mri" else photograph()
        with torch.device("meta"):
            count = sum(p.numel() for p in recipe.build(problem).parameters())
        assert (count == 0) == isinstance(recipe.net, nets.NoNet)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_settings_are_in_single_precision(name: str) -> None:
    """Check the reconstruction, and what is learned before it."""
    card = METHODS[name]
    recipes = [card.recipe] + ([card.training.recipe] if card.training else [])
    for recipe in recipes:
        for task in card.tasks:
            assert name in ("house", "fillin") or recipe(task, "paper").engine.precision == "fp32"


@pytest.mark.parametrize("name", NAMES)
def test_nonlinear_tasks_are_claimed_by_those_that_need_no_adjoint(name: str) -> None:
    claimed = {"phase", "nldeblur", "eit"} & set(METHODS[name].tasks)
    special = name in ("convdecoder", "rethinking")  # of one task each
    assert bool(claimed) == (TABLE[name].method.nonlinear and not special)
