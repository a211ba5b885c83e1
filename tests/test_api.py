"""`reconstruct` and `reconstructor` from Python."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import untrained as ut
from untrained.api import run
from untrained.core.rule import Watch
from untrained.methods import find_recipe
from untrained.plan import Plan, plan
from untrained.problem.digest import data_digest

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


def eight_steps() -> tuple[Plan, ut.Problem, Tensor]:
    """A plan without a stop rule, its problem, and the truth."""
    y, truth, physics = measured()
    chosen = plan("inpaint", method="dip", steps=8, settings=FAST, stop="none")
    return chosen, ut.Problem(y, physics), truth


def test_a_pause_in_a_further_seed_keeps_the_finished_ones(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    chosen, problem, _ = eight_steps()
    first, whole = (run(chosen, problem, seeds=n, compare=False) for n in (1, 3))
    parts = {"seeds": 3, "compare": False, "run_dir": tmp_path}
    part = run(chosen, problem, watch=[pause_after(10)], **parts)
    assert not part.finished
    assert part.stop[0].rule == "interrupted"
    assert "1 of 3 seeds are in the image" in part.stop[0].reason
    assert torch.equal(part.image, first.image)
    assert part.steps == 10
    assert torch.equal(run(chosen, problem, **parts).image, whole.image)


def test_a_reference_may_come_and_go_between_two_sittings(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    chosen, problem, truth = eight_steps()
    whole = run(chosen, problem, compare=False)
    for before, after in ((None, truth), (truth, None)):
        parts = {"compare": False, "run_dir": tmp_path / str(before is None)}
        run(chosen, problem, truth=before, watch=[pause_after(3)], **parts)
        rest = run(chosen, problem, truth=after, **parts)
        assert torch.equal(rest.image, whole.image)
        known = [value == value for value in rest.history["psnr"]]
        assert known == [before is not None] * 3 + [after is not None] * 5
        assert rest.history["data"] == whole.history["data"]


def test_an_operator_that_writes_into_its_argument_is_refused() -> None:
    class Forward:
        x_shape = (1, 12, 12)

        def A(self, x: Tensor) -> Tensor:
            x *= 2
            return x

        def A_adjoint(self, y: Tensor) -> Tensor:
            return 2 * y

    class Backward(Forward):
        def A(self, x: Tensor) -> Tensor:
            return 2 * x

        def A_adjoint(self, y: Tensor) -> Tensor:
            y *= 2
            return y

    for operator, name in ((Forward(), "A"), (Backward(), "A_adjoint")):
        y = torch.rand(1, 1, 12, 12)
        before = y.clone()
        with pytest.raises(ut.UserError, match=f"{name} changes its argument in place"):
            ut.reconstruct(y, operator, "adjoint", progress=False)
        assert torch.equal(y, before)


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
        ({"uncertainty": "seeds"}, "give seeds=2 or more"),
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
                ours, published = equations(found), equations(paper)
                if (name, task) == ("aseqdip", "ct"):  # N may follow the released code
                    assert (ours.pop("inner"), published.pop("inner")) == (10, 2)
                    assert "N = 10 as in the released code" in found.source
                assert ours == published, name


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
        ({"truth": torch.rand(1, 1, 20, 23), "data_range": 0.0}, "positive and finite, got data"),
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


def test_a_reference_of_zeros_is_refused_before_the_run() -> None:
    columns = (torch.arange(24) % 2).float()
    physics = ut.physics.MRI(columns, x_shape=(2, 16, 24))
    y = physics.A(torch.rand(1, 2, 16, 24))
    with pytest.raises(ut.UserError, match="reference of zeros"):
        ut.reconstruct(y, physics, "cgsense", truth=torch.zeros(1, 2, 16, 24), progress=False)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_a_caller_without_gradients_gets_the_same(around) -> None:
    y, _, physics = measured()
    plain = reconstruct(y, physics, method="dip").image
    with around():
        inside = reconstruct(y.clone(), physics, method="dip").image
    assert torch.equal(inside, plain)
    assert torch.equal(reconstruct(y.clone().requires_grad_(), physics, method="dip").image, plain)


class Returns:
    """An operator of a user whose A and A_adjoint return another kind of values."""

    x_shape = (1, 16, 16)

    def __init__(self, change) -> None:
        self.change = change

    def A(self, x: Tensor) -> Tensor:
        return self.change(x.flip(-1))

    A_adjoint = A


@pytest.mark.parametrize("method", ["dip", "tv", "house"])
def test_an_operator_in_double_precision_works_in_single(method: str) -> None:
    y = torch.rand(1, 1, 16, 16)
    options = {"settings": ["net.widths=8,8"], "steps": 4} if method != "tv" else {}
    found = ut.reconstruct(y, Returns(Tensor.double), method, progress=False, **options)
    same = ut.reconstruct(y, Returns(Tensor.float), method, progress=False, **options)
    assert found.image.dtype == torch.float32
    assert torch.equal(found.image, same.image)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda x: x.to(torch.complex64), "complex64"),
        (Tensor.int, "int32"),
        (lambda x: x.detach().numpy(), "ndarray"),
    ],
)
def test_what_an_operator_returns_is_checked(change, found: str) -> None:
    with pytest.raises(ut.UserError, match=f"Returns.A must return .* got .*{found}"):
        ut.reconstruct(torch.rand(1, 1, 16, 16), Returns(change), progress=False)


def test_an_adjoint_tells_the_shape_of_an_operator_in_numpy() -> None:
    class Mirror:
        def A(self, x: Tensor) -> Tensor:
            return torch.from_numpy(x.numpy()[..., ::-1].copy())

        A_adjoint = A

    assert reconstruct(torch.rand(1, 1, 12, 12), Mirror()).image.shape == (1, 1, 12, 12)


def test_a_task_that_an_operator_cannot_do_is_treated_as_custom() -> None:
    class Sums:
        x_shape, task = (1, 16, 16), "ct"

        def A(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(-1), x.sum(-2)], -1)

    assert reconstruct(Sums().A(torch.rand(1, 1, 16, 16)), Sums()).about.task == "custom"


@pytest.mark.parametrize("method", ["fbp", "tv", "dct", "auto"])
def test_three_views_are_enough_where_none_is_held_out(method: str) -> None:
    physics = ut.physics.CT((16, 16), [0.0, 60.0, 120.0], 24)
    y = physics.A(torch.rand(1, 1, 16, 16))
    if method == "auto":
        with pytest.raises(ut.UserError, match="--stop none"):
            ut.reconstruct(y, physics, steps=4, progress=False)
    options = {"stop": "none", "steps": 4} if method == "auto" else {}
    result = ut.reconstruct(y, physics, method, progress=False, **options)
    assert bool(result.image.isfinite().all())
    assert result.about.classical is not None


@pytest.mark.parametrize("task", ["denoise", "inpaint", "ct", "mri"])
def test_measurements_of_zeros_are_refused_and_would_be_an_image_of_zeros(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone they are nonsense; a slice of a volume may hold nothing else."""
    physics = {
        "denoise": ut.physics.Denoise((1, 24, 24)),
        "inpaint": ut.physics.Inpaint((torch.arange(24) % 2).expand(24, 24)),
        "ct": ut.physics.CT((24, 24), range(0, 180, 15), 34),
        "mri": ut.physics.MRI((torch.arange(24) % 3 != 1).float(), x_shape=(2, 24, 24)),
    }[task]
    y = torch.zeros_like(physics.A(torch.zeros(1, *(physics.x_shape or (1, 24, 24)))))
    with pytest.raises(ut.UserError, match="zero everywhere"):
        ut.reconstruct(y, physics, "dct", progress=False)
    monkeypatch.setattr("untrained.api.check_contents", lambda y: None)
    for method in ("dct", "auto"):
        options = {"steps": 4} if method == "auto" else {}
        image = ut.reconstruct(y, physics, method, progress=False, **options).image
        assert float(image.abs().max()) < 0.1


def test_a_run_is_resumed_for_the_same_noise_level_and_operator_only(tmp_path) -> None:
    y = torch.rand(1, 1, 16, 16)
    kernel = torch.ones(3, 3)
    made = [
        ({"sigma": 0.1}, ut.physics.Denoise((1, 16, 16))),
        ({"sigma": 0.3}, ut.physics.Denoise((1, 16, 16))),
        ({}, ut.physics.Blur(kernel, (1, 16, 16))),
        ({}, ut.physics.Blur(kernel, (1, 16, 16), boundary="circular")),
    ]
    for first, other in (made[:2], made[2:]):
        folder = tmp_path / str(len(first[0]))
        options = {"method": "dip", "run_dir": folder}
        image = reconstruct(y, first[1], **options, **first[0]).image
        with pytest.raises(ut.UserError, match="other settings"):
            reconstruct(y, other[1], **options, **other[0])
        assert torch.equal(reconstruct(y, first[1], **options, **first[0]).image, image)


def test_a_run_at_another_scale_is_not_gone_on_with(tmp_path, monkeypatch) -> None:
    y, physics = torch.rand(1, 1, 16, 16), ut.physics.Denoise((1, 16, 16))
    with monkeypatch.context() as before:
        before.setattr("untrained.core.recipe.SCALE", "largest squared singular value")
        reconstruct(y, physics, method="dip", run_dir=tmp_path)
    with pytest.raises(ut.UserError, match=r"recipe.scale was .*largest.*start again with"):
        reconstruct(y, physics, method="dip", run_dir=tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.eye(3).to_sparse(), 2 * torch.eye(3).to_sparse()),
        (torch.arange(6)[::2], torch.arange(6)[1::2]),
        (torch.ones(3, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.bfloat16)),
        (torch.tensor(1j), torch.tensor(1j).conj()),
        (np.ones(3), np.zeros(3)),
        (np.float32(1), np.float32(2)),
        ({"turns": [1, 2]}, {"turns": [1, 3]}),
    ],
)
def test_the_hash_of_an_operator_sees_what_it_is_made_of(one, other) -> None:
    class Own:
        x_shape = (1, 4, 4)

        def __init__(self, part) -> None:
            self.part = part

        def A(self, x: Tensor) -> Tensor:
            return x

        A_adjoint = A

    y = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    first, again, changed = (data_digest(ut.Problem(y, Own(part))) for part in (one, one, other))
    assert first == again != changed


def test_two_real_channels_are_no_complex_image() -> None:
    physics = ut.physics.CT((24, 24), range(0, 180, 15), 34, channels=2)
    x = 1 + torch.rand(1, 2, 24, 24)
    result = ut.reconstruct(physics.A(x), physics, "fbp", truth=-x, progress=False)
    assert result.about.metrics["psnr"] < 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "tv", "preset": "fats"}, "known: fast"),
        ({"method": "tv", "seeds": 2}, "leave seeds out"),
        ({"method": "house", "settings": ["rounds=0"]}, "give 1 or more"),
        ({"method": "dip", "guide": torch.zeros(1, 1, 20, 23)}, "takes no notice of --guide"),
        ({"method": "dip", "seeds": 1.5}, "seeds must be a whole number"),
        ({"method": "dip", "seed": "a"}, "seed must be a whole number"),
        ({"method": "dip", "sigma": "a"}, "sigma must be a standard deviation"),
        ({"method": "dip", "stop": "time:nan"}, "positive and finite"),
        ({"method": "dip", "stop": "wmv:1.5"}, "a positive whole number"),
        ({"method": "dip", "settings": ["output.mu=-1"]}, "output.mu must be"),
        ({"method": "dip", "settings": ["output.decay=2"]}, "output.decay must be"),
        ({"method": "house", "settings": ["output.share=7"]}, "output.share must lie"),
        ({"method": "dip", "settings": ["stop.patience=-3"]}, "stop.patience must be"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict, message: str) -> None:
    y, _, physics = measured()
    with pytest.raises(ut.UserError, match=message):
        ut.reconstruct(y, physics, progress=False, **options)


def test_photographs_of_255_are_refused() -> None:
    with pytest.raises(ut.UserError, match="divide them by 255"):
        ut.reconstruct(255 * torch.rand(1, 1, 8, 8), ut.physics.Denoise(), progress=False)
