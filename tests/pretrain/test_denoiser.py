"""A denoiser trained on the user's own images: its equations, its limits, its files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from untrained import METHODS, nets
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.physics import Denoise
from untrained.pretrain import clean_problem, load_weights, train
from untrained.pretrain.denoiser import DenoiserTraining, mean_square, stein_risk, target
from untrained.priors import Denoiser, GaussianDenoiser, load_prior
from untrained.priors.edm import EDMDenoiser, precondition
from untrained.problem import Problem
from untrained.problem.training_set import TrainingSet
from untrained.run.plan import plan

SMALL = ("net.widths=8,8", "net.features=8", "batch=2", "crop=16")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def smooth(seed: int, side: int = 16) -> Tensor:
    """Draw a smooth picture `(1, 1, side, side)` in [0, 1]."""
    coarse = draw(1, 1, 4, 4, seed=seed)
    return torch.nn.functional.interpolate(coarse, size=side, mode="bilinear")


def learn(steps: int = 4, images: list[Problem] | None = None, more: tuple = (), **options):
    images = images or [clean_problem(smooth(i)) for i in range(3)]
    settings = (*options.pop("settings", SMALL), *more)
    options = {"task": "denoise", "settings": settings, "steps": steps} | options
    return train("denoiser", images, **options)[0]


def loaded(folder: Path, **options) -> EDMDenoiser:
    prior = load_prior(learn(**options).save(folder / "p.safetensors"))
    assert isinstance(prior, EDMDenoiser)
    return prior


# the equations ----------------------------------------------------------------------------------
def test_without_its_network_it_is_the_best_linear_denoiser_of_white_images() -> None:
    mean, deviation = torch.tensor([0.3, 0.6]), torch.tensor(0.2)
    x, sigma = normal(3, 2, 4, 4), torch.tensor([0.01, 0.3, 5.0])
    exact = GaussianDenoiser(mean.reshape(2, 1, 1).expand(2, 4, 4), 0.04 * torch.eye(32))
    ours = precondition(lambda z: torch.zeros_like(z[:, :-1]), x, sigma, mean, deviation)
    torch.testing.assert_close(ours, exact.denoise(x, sigma))


def test_the_network_sees_and_predicts_numbers_of_variance_one() -> None:
    mean, deviation = torch.tensor([0.5]), torch.tensor(0.3)
    for level in (0.01, 0.3, 10.0):
        x0 = 0.5 + 0.3 * normal(100, 1, 32, 32, seed=1)
        x, sigma = x0 + level * normal(100, 1, 32, 32, seed=2), torch.full((100,), level)
        seen: list[Tensor] = []

        def network(z: Tensor, seen: list[Tensor] = seen) -> Tensor:
            seen.append(z)
            return torch.zeros_like(z[:, :1])

        without = precondition(network, x, sigma, mean, deviation)
        one = precondition(lambda z: torch.ones_like(z[:, :1]), x, sigma, mean, deviation)
        wanted = (x0 - without) / (one - without)  # what F has to say for D = x0
        assert float(seen[0][:, 0].std()) == pytest.approx(1, abs=0.01)
        assert float(wanted.std()) == pytest.approx(1, abs=0.01)
        torch.testing.assert_close(
            seen[0][:, 1], (sigma.log() / 4)[:, None, None].expand(-1, 32, 32)
        )


def blurred(x: Tensor) -> Tensor:
    """Denoise by a fixed filter, about as well as a network does early."""
    return 0.1 + 0.8 * torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)


def test_steins_risk_is_the_loss_with_the_clean_image_in_expectation() -> None:
    count, x0 = 4000, smooth(0, side=8)
    sigma = torch.full((count,), 0.3)
    x = x0 + 0.3 * normal(count, 1, 8, 8, seed=1)
    apart = stein_risk(blurred, x, sigma, normal(count, 1, 8, 8, seed=2)) - mean_square(
        blurred(x) - x0
    )
    assert abs(float(apart.mean())) < 4 * float(apart.std()) / count**0.5
    wrong = apart + 0.09  # what is left where the noise's own part is forgotten
    assert abs(float(wrong.mean())) > 4 * float(wrong.std()) / count**0.5


def test_the_noisy_target_prefers_the_same_denoiser_as_the_clean_image() -> None:
    """The two losses differ by a number that is the same for every denoiser."""
    count, own, level, x0 = 4000, 0.2, 0.35, smooth(0, side=8)
    y = x0 + own * normal(count, 1, 8, 8, seed=1)
    x = y + (level**2 - own**2) ** 0.5 * normal(count, 1, 8, 8, seed=2)
    t = target(x, y, torch.full((count,), level), torch.full((count,), own))
    apart = [mean_square(d - t) - mean_square(d - x0) for d in (blurred(x), 0.5 * x)]
    difference = apart[0] - apart[1]
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / count**0.5
    assert torch.equal(target(x, x0, torch.ones(count), torch.zeros(count)), x + (x0 - x))


# what is learned --------------------------------------------------------------------------------
def test_with_one_image_the_denoiser_tends_to_it(tmp_path: Path) -> None:
    image = smooth(3)
    prior = loaded(
        tmp_path,
        steps=250,
        images=[clean_problem(image)],
        more=("flips=none", "engine.lr=0.01", "average=0.95", "centre=4", "spread=0.5", "batch=4"),
    )
    noisy = image + normal(8, 1, 16, 16)
    error = mean_square(prior.denoise(noisy, 1.0) - image).mean()
    assert float(error) < 0.3 * float(image.var())  # of the noise, 1, little is left


def test_noisy_images_alone_teach_a_denoiser_down_to_their_own_level(tmp_path: Path) -> None:
    noise, clean = 0.2, [smooth(i) for i in range(20)]
    noisy = [
        clean_problem(image + noise * normal(1, 1, 16, 16, seed=i), noise=noise)
        for i, image in enumerate(clean)
    ]
    prior = loaded(
        tmp_path, steps=100, images=noisy, more=("engine.lr=0.01", "average=0.95", "batch=8")
    )
    assert prior.levels[0] == pytest.approx(noise)
    test = smooth(100)
    x = test + noise * normal(8, 1, 16, 16, seed=7)
    assert float(mean_square(prior.denoise(x, noise) - test).mean()) < 0.4 * noise**2


def test_no_level_below_the_noise_of_an_image_is_drawn() -> None:
    images = [clean_problem(smooth(i), noise=(0.0, 0.3)[i]) for i in range(2)]
    method = DenoiserTraining(batch=64, crop=16)
    s = State(TrainingSet(images, 64, 16), nets.NoiseUNet((4,), 4).build(2, 1), 0)
    method.start(s)
    y, own = method.draw(s)
    assert set(own.tolist()) == {0.0, float(torch.tensor(0.3))}
    sigma = method.draw_levels(s, own)
    assert bool((sigma >= own.clamp_min(method.low)).all())
    assert bool((sigma <= method.high).all())
    assert float(sigma[own == 0].min()) < 0.3
    assert y.shape == (64, 1, 16, 16)


def test_the_phase_of_complex_images_is_turned() -> None:
    image = torch.cat([smooth(0), torch.zeros(1, 1, 16, 16)], 1)
    problem = clean_problem(image, unit_range=False)
    images = TrainingSet([problem], 16, 16, turned=True)
    assert images.mean().tolist() == [0, 0]
    method = DenoiserTraining(batch=16, crop=16, flips="none")
    s = State(images, nets.NoiseUNet((4,), 4).build(3, 2), 0)
    method.start(s)
    crops, _ = method.draw(s)
    sizes = torch.linalg.vector_norm(crops, dim=1)
    torch.testing.assert_close(sizes, problem.y[:, 0].expand(16, -1, -1))
    angles = torch.atan2(crops[:, 1, 8, 8], crops[:, 0, 8, 8])
    assert float(angles.std()) > 1


# seeds, interruption, files ---------------------------------------------------------------------
def test_an_interrupted_training_ends_with_the_same_bits(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    noisy = [clean_problem(smooth(i), noise=0.3) for i in range(3)]
    whole = learn(6, noisy).tensors
    learn(6, noisy, run_dir=tmp_path, watch=[pause_after(4)])
    resumed = learn(6, noisy, run_dir=tmp_path).tensors
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    other = learn(6, noisy, seed=1).tensors
    assert not torch.equal(whole["network.stem.weight"], other["network.stem.weight"])


def test_the_file_is_a_prior_and_no_start_of_weights(tmp_path: Path) -> None:
    weights = learn()
    path = weights.save(tmp_path / "p.safetensors")
    read = load_weights(path)
    assert read.facts() == weights.facts()
    prior = load_prior(path)
    assert prior.provenance.architecture == "untrained-denoiser"
    assert prior.facts()["parameters"] == sum(
        t.numel() for n, t in weights.tensors.items() if n.startswith("network.")
    )
    assert prior.denoise(draw(2, 1, 13, 18), 0.1).shape == (2, 1, 13, 18)
    with pytest.raises(UserError, match="--prior"):
        plan("denoise", weights=read)


def test_a_training_goes_on_from_a_prior(tmp_path: Path) -> None:
    first = loaded(tmp_path, steps=20)
    still = learn(1, more=("engine.lr=1e-12", "engine.lr_other=1e-12"), prior=first)
    for name, tensor in first.network.named_parameters():
        torch.testing.assert_close(still.tensors[f"network.{name}"], tensor)
    images = [clean_problem(smooth(i)) for i in range(5, 8)]
    assert learn(1, images, prior=first).tensors["edm.mean"] == first.mean
    with pytest.raises(UserError, match=r"images of 1 channel\(s\), and these have 3"):
        learn(1, [clean_problem(draw(1, 3, 16, 16))], prior=first)
    other = GaussianDenoiser(torch.zeros(1, 2, 2), torch.eye(4))
    with pytest.raises(UserError, match="gaussian is a layout that is read, and not written"):
        learn(1, prior=other)


def public(folder: Path) -> Denoiser:
    sizes, tensors = [(8, 1), (8, 8), (1, 8)], {}
    for i, (outputs, inputs) in enumerate(sizes):
        tensors[f"model.{2 * i}.weight"] = 0.1 * normal(outputs, inputs, 3, 3, seed=i)
        tensors[f"model.{2 * i}.bias"] = torch.zeros(outputs)
    save_file(tensors, folder / "dncnn_25.safetensors")
    prior = load_prior(folder / "dncnn_25.safetensors")
    assert isinstance(prior, Denoiser)
    return prior


def test_a_training_goes_on_from_a_public_denoiser_and_keeps_its_layout(tmp_path: Path) -> None:
    first = public(tmp_path)
    images = [clean_problem(smooth(i)) for i in range(8)]
    still = learn(
        1, images, ("engine.lr=1e-12", "engine.lr_other=1e-12"), prior=first, settings=SMALL[2:]
    )
    assert still.tensors.keys() == load_file(tmp_path / "dncnn_25.safetensors").keys()
    x = draw(1, 1, 9, 9)
    still.save(tmp_path / "same_25.safetensors")
    same = load_prior(tmp_path / "same_25.safetensors")
    torch.testing.assert_close(same.denoise(x, 0.1), first.denoise(x, 0.1))
    more = learn(60, images, ("engine.lr=0.01", "average=0.9"), prior=first, settings=SMALL[2:])
    better = load_prior(more.save(tmp_path / "more_25.safetensors"))
    test, level = smooth(100), first.levels[0]
    noisy = test + level * normal(4, 1, 16, 16)
    errors = [float(mean_square(p.denoise(noisy, level) - test).mean()) for p in (first, better)]
    assert errors[1] < 0.6 * errors[0]


def test_the_networks_that_a_training_of_a_prior_refuses(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="described, and not there"):
        nets.KnownNet("dncnn", 3).build(1, 1)
    with pytest.raises(UserError, match="only a training of 'denoiser' goes on from a network"):
        train("nerp", [clean_problem(smooth(0))], task="denoise", prior=public(tmp_path))


def test_another_prior_is_another_training(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    first = loaded(tmp_path)
    learn(6, run_dir=tmp_path / "run", watch=[pause_after(2)], prior=first)
    with pytest.raises(UserError, match="data"):
        learn(6, run_dir=tmp_path / "run")


# what is refused --------------------------------------------------------------------------------
def test_images_of_several_sizes_are_learned_from_and_of_several_kinds_are_not() -> None:
    sizes = [clean_problem(draw(1, 1, *sides)) for sides in ((16, 20), (33, 17))]
    assert learn(2, sizes).image == (1, 16, 16)
    with pytest.raises(UserError, match="images of 1 and 3 channels"):
        learn(2, [clean_problem(draw(1, c, 16, 16)) for c in (1, 3)])
    with pytest.raises(UserError, match="crops of 1 pixels are too small"):
        learn(2, [clean_problem(draw(1, 1, 1, 16))])
    with pytest.raises(UserError, match="no picture"):
        learn(2, [Problem(draw(1, 1, 8, 8, 8), Denoise((1, 8, 8, 8)))])


@pytest.mark.parametrize(
    "setting",
    ["flips=upside", "batch=0", "low=0", "low=30", "average=1", "spread=0", "net.features=3"],
)
def test_settings_without_sense_are_refused(setting: str) -> None:
    with pytest.raises(UserError):
        learn(1, more=(setting,))


def test_noise_above_the_highest_level_and_the_paper_preset_are_refused() -> None:
    with pytest.raises(UserError, match="own noise, 30, is not below"):
        learn(1, [clean_problem(smooth(0), noise=30.0)])
    with pytest.raises(UserError, match="no published settings"):
        learn(1, preset="paper")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("edm.levels", torch.tensor([1.0, 0.5]), "noise levels 1 to 0.5"),
        ("edm.levels", torch.tensor([1.0]), r"\(1,\); expected"),
        ("edm.deviation", torch.tensor(0.0), "must be positive"),
        ("edm.mean", torch.tensor([float("nan")]), "NaN"),
        ("edm.mean", torch.zeros(3), "do not fit together"),
        ("network.head.weight", torch.zeros(2, 2), "do not fit together"),
        ("network.stem.weight", None, "not those of our network"),
        ("network.bottom.first.bias", None, "do not fit together"),
        ("network.extra.weight", torch.zeros(1), "do not fit together"),
    ],
)
def test_damaged_files_are_refused(
    name: str, value: Tensor | None, says: str, tmp_path: Path
) -> None:
    tensors = load_file(learn(1).save(tmp_path / "p.safetensors"))
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, tmp_path / "q.safetensors")
    with pytest.raises(UserError, match=says) as caught:
        load_prior(tmp_path / "q.safetensors")
    assert "q.safetensors" in str(caught.value)


def test_its_card_is_no_method() -> None:
    assert "denoiser" not in METHODS
