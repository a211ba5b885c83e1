"""`reconstruct` and `reconstructor` from Python."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.methods import find_recipe

FAST = ["net.widths=8,16"]


def measured() -> tuple[Tensor, Tensor, ut.physics.Inpaint]:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 23), indexing="ij")
    truth = (0.5 + 0.4 * torch.sin(5 * x) * torch.cos(4 * y))[None, None]
    mask = torch.rand(20, 23, generator=torch.Generator().manual_seed(0)) < 0.6
    physics = ut.physics.Inpaint(mask, x_shape=(1, 20, 23))
    return physics.A(truth), truth, physics


def reconstruct(y: Tensor, physics, **more) -> ut.Result:
    return ut.reconstruct(y, physics, steps=10, settings=FAST, progress=False, **more)


def test_the_truth_reaches_nothing_but_the_record() -> None:
    y, truth, physics = measured()
    blind, watched = reconstruct(y, physics), reconstruct(y, physics, truth=truth)
    wrong = reconstruct(y, physics, truth=torch.rand_like(truth))
    assert torch.equal(blind.image, watched.image)
    assert torch.equal(blind.image, wrong.image)
    assert blind.stop == watched.stop == wrong.stop
    assert "psnr" not in blind.history
    last = ut.reconstruct(
        y, physics, steps=10, settings=[*FAST, "output.mu=0"], progress=False, truth=truth
    )  # without the closing step, the image is the last one of the record
    assert last.about.metrics["psnr"] == pytest.approx(last.history["psnr_output"][-1])


def test_seeds_are_averaged_and_their_spread_reported() -> None:
    y, _, physics = measured()
    parts = {"steps": 30, "settings": FAST, "compare": False, "progress": False}
    both = ut.reconstruct(y, physics, "dip", seeds=2, **parts)
    first = ut.reconstruct(y, physics, "dip", **parts)
    stop = f"steps:{first.stop[0].step}"
    second = ut.reconstruct(y, physics, "dip", seed=1, stop=stop, **parts)
    torch.testing.assert_close(both.image, torch.stack([first.image, second.image]).mean(0))
    assert both.std is not None
    assert float(both.std.max()) > 0


def test_a_settled_recipe_keeps_the_share_that_was_chosen() -> None:
    y, _, physics = measured()
    result = reconstruct(y, physics, compare=False)
    share = result.history["network share"][result.stop[0].step - 1]
    assert result.settled().output == dataclasses.replace(result.recipe.output, share=share)


def test_the_reconstructor_has_deepinvs_shape() -> None:
    y, _, physics = measured()
    model = ut.reconstructor("dip", steps=5, settings=FAST)
    with torch.no_grad():
        x = model(y, physics)
    assert x.shape == (1, 1, 20, 23)
    assert not x.requires_grad


def test_a_users_own_operator_needs_nothing_of_ours() -> None:
    class Mine:
        x_shape = (1, 12, 12)

        def A(self, x: Tensor) -> Tensor:
            return x.cumsum(-1)[..., ::2]

    x = torch.rand(1, 1, 12, 12)
    result = reconstruct(Mine().A(x), Mine())
    assert result.image.shape == x.shape
    assert result.about.task == "custom"
    assert result.about.classical_name == "tv"


def test_a_nonlinear_operator_runs_where_it_can() -> None:
    class Squared:
        x_shape = (1, 12, 12)
        linear = False

        def A(self, x: Tensor) -> Tensor:
            return x.square()

        def initial(self, y: Tensor) -> Tensor:
            return y.clamp_min(0).sqrt()

    y = torch.rand(1, 1, 12, 12)
    result = reconstruct(y, Squared(), method="dip")
    assert result.image.shape == y.shape
    assert result.about.classical is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "hause"}, "did you mean 'house'"),
        ({"preset": "fats"}, "known: fast"),
        ({"uncertainty": "laplace"}, "known: None, 'seeds'"),
        ({"seeds": 0}, "at least 1"),
        ({"device": "tpu"}, "known: auto"),
        ({"output": "median"}, "known: auto, last"),
        ({"truth": torch.rand(1, 1, 3, 3)}, "the image is"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    y, _, physics = measured()
    with pytest.raises(ut.UserError, match=message):
        reconstruct(y, physics, **options)


BUDGETS_AND_RATES = {"rounds", "search", "training", "rate", "search_rate"}


def equations(recipe) -> dict:
    """What a method says, without budgets and rates; a decoder's width is its network's."""
    fields = dataclasses.asdict(recipe.method)
    free = BUDGETS_AND_RATES | ({"channels"} if hasattr(recipe.net, "start") else set())
    return {field: value for field, value in fields.items() if field not in free}


def test_a_preset_never_changes_the_equations() -> None:
    for name, card in ut.METHODS.items():
        if card.classical or name == "house":
            continue
        for task in card.tasks:
            paper = find_recipe(card, task, "paper")
            for preset in ("fast", "best"):
                found = find_recipe(card, task, preset)
                assert type(found.method) is type(paper.method)
                assert equations(found) == equations(paper), name


def test_every_recipe_can_be_printed_and_hashed() -> None:
    seen = set()
    for name, card in ut.METHODS.items():
        for task in () if card.classical else card.tasks:
            for preset in ut.methods.PRESETS:
                recipe = find_recipe(card, task, preset)
                assert recipe.source
                seen.add((name, recipe.digest()))
    assert len(seen) > 10


class Own:
    """A user's operator, twice the image; `factor` is that of its adjoint."""

    x_shape = (1, 20, 23)

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def A(self, x: Tensor) -> Tensor:
        return 2 * x

    def A_adjoint(self, y: Tensor) -> Tensor:
        return self.factor * y


def test_an_own_operator_s_adjoint_is_checked() -> None:
    y = torch.cat([measured()[0]] * 2)
    with pytest.raises(ut.UserError, match=r"operator Own: A_adjoint is not the adjoint"):
        reconstruct(y, Own(-2.0), compare=False)
    assert "only roughly the adjoint" in reconstruct(y, Own(2.02)).about.notes[-1]
    assert not any("adjoint" in note for note in reconstruct(y, Own(2.0)).about.notes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"truth": torch.full((1, 1, 20, 23), float("nan"))}, "truth must be .* finite"),
        ({"truth": [1.0]}, "truth must be a torch tensor .* got list"),
        ({"sigma": -1.0}, "sigma must be a standard deviation"),
        ({"sigma": float("nan")}, "sigma must be"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"steps": -1}, "steps must be a whole number"),
        ({"settings": "net.widths=8,8"}, "settings must be a list"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict, message: str) -> None:
    y, _, physics = measured()
    with pytest.raises(ut.UserError, match=message):
        ut.reconstruct(y, physics, "dip", progress=False, **wrong)


def test_an_unknown_option_of_a_reconstructor_is_refused_at_once() -> None:
    with pytest.raises(ut.UserError, match="no argument 'step'"):
        ut.reconstructor("dip", step=5)


def test_import_adds_little_to_torch() -> None:
    code = (
        "import time; start = time.process_time(); import torch;"
        "middle = time.process_time(); import untrained;"
        "print((time.process_time() - middle) / (middle - start));"
        "import sys;"
        "print([m for m in ('matplotlib', 'sigpy', 'skimage', 'h5py') if m in sys.modules])"
    )
    shares = []
    for _ in range(3):  # the least of three: a busy machine lengthens either part
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        share, heavy = done.stdout.splitlines()
        assert heavy == "[]"
        shares.append(float(share))
    assert min(shares) < 0.3  # 0.22 on an idle machine that keeps no compiled files
