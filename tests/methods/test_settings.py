"""Settings of a recipe: how they are set, one by one and together, and what is refused."""

import pytest
from method_table import NAMES, TABLE

from untrained import METHODS
from untrained.errors import UserError
from untrained.methods import find_recipe
from untrained.nets import UNet
from untrained.pretrain.train import training_recipe
from untrained.run.plan import plan


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_names_method_and_field(name: str) -> None:
    with pytest.raises(UserError, match=f"{type(TABLE[name].method).__name__}.*'gamma_ray'"):
        TABLE[name].with_setting("gamma_ray=1")


def test_another_network_keeps_the_range_of_the_output() -> None:
    bounded = TABLE["dip"].with_setting("net=skip").with_setting("net.sigmoid=true")
    other = bounded.with_setting("net=unet").with_setting("net.widths=8,16")
    assert other.net == UNet(widths=(8, 16), sigmoid=True)
    assert other.method == bounded.method
    with pytest.raises(UserError, match="no such network; skip, unet, compact"):
        bounded.with_setting("net=resnet")


def test_settings_that_have_to_agree_are_set_together() -> None:
    """Three lists of one entry per scale: any one of them alone is refused."""
    lists = ["net.down=8,16,32", "net.up=8,16,32", "net.skip=0,2,2"]
    recipe = find_recipe(METHODS["dip"], "denoise", "paper")
    for order in (lists, lists[::-1]):
        net = plan("denoise", method="dip", preset="paper", settings=order).recipe.net
        assert (net.down, net.up, net.skip) == ((8, 16, 32), (8, 16, 32), (0, 2, 2))
        assert net == recipe.with_settings(["net=skip", *order]).net
    assert training_recipe(METHODS["metadip"], "denoise", "paper", lists).net == net
    with pytest.raises(UserError, match="one entry per scale each, got 3, 3 and 5"):
        recipe.with_settings(lists[:2])
    assert recipe.with_settings(["rounds=5", "rounds=7"]).budget == 7


def test_a_setting_whose_value_is_none_takes_one_of_its_type() -> None:
    recipe = find_recipe(METHODS["rethinking"], "denoise", "fast")
    assert recipe.with_setting("spread=0.25").method.spread == 0.25
    assert recipe.with_settings(["spread=0.25", "spread=none"]).method.spread is None
    with pytest.raises(UserError, match="'wide' is not a float"):
        recipe.with_setting("spread=wide")
    with pytest.raises(UserError, match="'many' is not a int"):
        find_recipe(METHODS["dip"], "denoise", "fast").with_settings(["net.depth=many"])


def test_settings_reach_both_sides_of_a_combined_rule() -> None:
    sets = ["stop.window=7", "stop.patience=9", "stop.steps=8"]
    stop = plan("denoise", method="dip", stop="wmv | steps:5", settings=sets).recipe.stop
    assert (stop.left.window, stop.left.patience, stop.right.steps) == (7, 9, 8)


@pytest.mark.parametrize(("name", "inner"), [("dip", 1), ("aseqdip", 2), ("house", 1)])
def test_rounds_that_are_asked_for_are_taken(name: str, inner: int) -> None:
    recipe = find_recipe(METHODS[name], "denoise", "fast").with_setting("rounds=50")
    assert recipe.budget == 50 * inner
