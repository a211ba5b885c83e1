"""Each paper's own idea, as an exact limit or as the thing that it says happens."""

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from small_runs import SMALL, GainNet, noise, picture, run
from torch import Tensor, nn

from untrained import Problem, nets, reconstruct
from untrained import methods as m
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import to_channels
from untrained.methods.oes import largest, save_mask
from untrained.nets import initialise, normalisations
from untrained.physics import MRI, Blur, Denoise, PhaseRetrieval
from untrained.rules import Average, Posterior
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe

# limits in which one method is another --------------------------------------------------------


def test_selfguided_without_guidance_draws_and_moving_input_is_dip() -> None:
    still = m.SelfGuided(8, alpha=0.0, draws=1, spread=0.0, rate=0.0)
    plain = m.DIP(8, jitter=0.0, channels=1, amplitude=1.0)
    assert torch.equal(run(still, picture()).image, run(plain, picture()).image)


def test_sgld_without_noise_is_dip() -> None:
    assert torch.equal(run(m.SGLD(8, noise=0.0), picture()).image, run(m.DIP(8), picture()).image)


def test_refguided_with_dips_noise_as_reference_is_dip() -> None:
    problem, module = picture(), SMALL.build(1, 1)
    z = State(problem, module, 0).noise("z", (1, 17, 14), "uniform")
    guided = Problem(problem.y, problem.physics, guide=z)
    plain = m.DIP(8, jitter=0.0, channels=1, amplitude=1.0)
    assert torch.equal(run(m.RefGuided(8), guided).image, run(plain, problem).image)


def test_refguided_takes_the_nearest_reference() -> None:
    problem = picture()
    far = torch.cat([problem.y + 1, problem.y + 0.01, problem.y - 0.5])
    guided = Problem(problem.y, problem.physics, guide=far)
    assert torch.equal(run(m.RefGuided(1), guided).z, far[1:2])


# dip ------------------------------------------------------------------------------------------


def test_the_mesh_grid_is_the_coordinates_of_every_pixel() -> None:
    z = run(m.DIP(1, input="meshgrid"), picture(5, 9)).z
    assert z.shape == (1, 2, 5, 9)
    assert torch.allclose(z[0, 0], torch.arange(9.0).expand(5, 9) / 8)
    assert torch.allclose(z[0, 1], torch.arange(5.0)[:, None].expand(5, 9) / 4)
    with pytest.raises(UserError, match="input='grid' is unknown; known: noise, meshgrid"):
        m.DIP(input="grid")
    line = Problem(torch.rand(1, 1, 16), Denoise((1, 16)))
    with pytest.raises(UserError, match="images of two axes"):
        run(m.DIP(1, input="meshgrid"), line)


def test_the_kernels_walk_by_a_share_of_their_own_deviation() -> None:
    problem, method = picture(), m.DIP(walk=1 / 50)
    module = nets.Compact(widths=(32, 32)).build(32, 1)
    initialise(module, 0)
    state = State(problem, module, 0)
    method.start(state)
    with torch.no_grad():
        before = {name: w.detach().clone() for name, w in state.weights.items()}
        method.advance(state)
    kernels = 0
    for name, weight in state.weights.items():
        moved = weight.detach() - before[name]
        if weight.ndim == 5 and weight.numel() > 5000:
            assert float(moved.std()) == pytest.approx(float(before[name].std()) / 50, rel=0.05)
            kernels += 1
        elif weight.ndim < 5:
            assert not moved.any()
    assert kernels
    still, walking = (run(m.DIP(3, walk=walk), picture()).image for walk in (0.0, 1 / 50))
    assert not torch.equal(still, walking)


# sgld -----------------------------------------------------------------------------------------


def test_langevin_noise_has_its_size_on_kernels_and_none_elsewhere() -> None:
    problem = picture()
    module = nets.Compact(widths=(32, 32)).build(32, 1)
    initialise(module, 0)
    state = State(problem, module, 0)
    state.rate = 0.01
    method = m.SGLD(noise=2.0)
    method.start(state)
    before = {name: w.detach().clone() for name, w in state.weights.items()}
    method.advance(state)
    for name, weight in state.weights.items():
        moved = (weight.detach() - before[name]).std()
        if weight.ndim == 5 and weight.numel() > 5000:
            assert float(moved) == pytest.approx(0.02, rel=0.05)
        elif weight.ndim < 5:
            assert torch.equal(weight.detach(), before[name])


def test_the_posterior_mean_is_the_mean_of_the_chosen_images() -> None:
    images = []

    class Seen(Average):
        def see(self, s, memory, x, held):
            images.append(x.clone())
            return super().see(s, memory, x, held)

    run(m.SGLD(11), picture(), output=Seen())
    mean = torch.stack([images[i] for i in (4, 7, 10)]).mean(0)
    found = run(m.SGLD(11), picture(), output=Posterior(burn_in=4, every=3)).image
    assert torch.allclose(found, mean, atol=1e-6)


# decoders -------------------------------------------------------------------------------------


def test_a_deep_decoder_cannot_fit_noise_that_an_hourglass_fits() -> None:
    pure = Problem(0.5 + 0.2 * noise(1, 1, 48, 48), Denoise((1, 48, 48)))
    decoder = nets.DeepDecoder(16, depth=3)
    assert sum(p.numel() for p in replace(decoder, sides=(48, 48)).build(16, 1).parameters()) < 2304
    fast = Engine("adam", lr=0.02, precision="fp32")
    small = run(m.DeepDecoderFit(250, channels=16), pure, decoder, fast)
    large = run(m.DIP(250, jitter=0.0), pure, nets.Compact(widths=(32, 32), skip=16), fast)
    assert small.history["data"][-1] > 0.5 * 0.04
    assert large.history["data"][-1] < 0.5 * small.history["data"][-1]


def test_convdecoder_keeps_the_measured_samples() -> None:
    height, width = 16, 13
    physics = MRI(torch.arange(width) % 2 == 0, x_shape=(2, height, width))
    y = physics.A(noise(1, 2, height, width))
    net = nets.ConvDecoder(6, depth=3, start=4)
    found = run(m.ConvDecoderFit(3, channels=6), Problem(y, physics), net)
    assert torch.allclose(physics.A(found.image), y, atol=1e-5)
    with pytest.raises(UserError, match="made for multi-coil MRI"):
        run(m.ConvDecoderFit(3, channels=6), picture(), net)


# oes ------------------------------------------------------------------------------------------


def test_oes_trains_exactly_the_kept_fraction() -> None:
    method = m.OES(30, search=10, keep=0.4)
    found = run(method, picture())
    start = SMALL.build(32, 1)
    initialise(start, 0)
    first = dict(start.named_parameters())
    kept = {name: w[0] != 0 for name, w in found.weights.items()}
    total = sum(k.numel() for k in kept.values())
    # offsets that were kept but never left zero look dropped
    assert 0.35 * total <= sum(int(k.sum()) for k in kept.values()) <= round(0.4 * total)
    moved = [not torch.equal(w[0][kept[n]], first[n][kept[n]]) for n, w in found.weights.items()]
    assert any(moved)


def test_the_largest_scores_are_counted_over_all_tensors_of_a_problem() -> None:
    scores = {"a": torch.tensor([[5.0, 1.0], [0.0, 0.0]]), "b": torch.tensor([[4.0], [9.0]])}
    found = largest(scores, 2 / 3)
    assert found["a"].tolist() == [[1, 0], [1, 0]]  # the tie goes to the first
    assert found["b"].tolist() == [[1], [1]]


def test_a_mask_moves_to_another_image(tmp_path: Path) -> None:
    found = run(m.OES(30, search=10, keep=0.4), picture())
    save_mask(found, tmp_path / "mask.safetensors")
    other = Problem(picture().y.flip(-1), Denoise((1, 17, 14)))
    method = m.OES(10, search=5, mask=str(tmp_path / "mask.safetensors"))
    moved = run(method, other)
    for name, weight in found.weights.items():
        assert bool((moved.weights[name][weight == 0] == 0).all())
    with pytest.raises(UserError, match="does not fit the network"):
        run(method, other, nets.Compact(widths=(4, 8), skip=2))
    with pytest.raises(UserError, match="there is no file"):
        run(m.OES(10, mask=str(tmp_path / "gone.safetensors")), other)


def test_magnitude_pruning_restarts_the_largest_trained_weights() -> None:
    found = run(m.OES(11, search=10, keep=0.4, select="magnitude"), picture())
    trained = run(m.DIP(10, jitter=0.0), picture())
    weights = {n: w.abs() for n, w in trained.weights.items()}
    expected = largest(weights, 0.4)
    zero = torch.cat([(w == 0).flatten() for w in found.weights.values()])
    dropped = torch.cat([(e == 0).flatten() for e in expected.values()])
    assert bool(zero[dropped].all())


# dop ------------------------------------------------------------------------------------------


def test_dop_finds_the_median_where_least_squares_finds_the_mean() -> None:
    """A constant image with one pixel in ten at 1: the l1 fit of a constant is the median."""
    image = torch.full((1, 1, 10, 10), 0.3)
    image[..., 4] = 1.0
    problem = Problem(image, Denoise((1, 10, 10)))
    brightness = m.DIP(4000, jitter=0.0, channels=1)

    @dataclass(frozen=True)
    class Constant:
        def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
            return _Constant()

    descent = Engine("sgd", lr=0.05, precision="fp32")
    mean = run(brightness, problem, Constant(), descent).image
    assert float(mean.mean()) == pytest.approx(float(image.mean()), abs=1e-3)
    robust = m.DOP(4000, ratio=500.0, first=1e-3, jitter=0.0, channels=1)
    assert float(run(robust, problem, Constant(), descent).image.mean()) == pytest.approx(
        0.3, abs=0.01
    )


class _Constant(GainNet):
    def __init__(self) -> None:
        super().__init__(0.0)

    def forward(self, z: Tensor) -> Tensor:
        return self.gain * torch.ones_like(z)


# doubledip ------------------------------------------------------------------------------------


def test_doubledip_draws_magnitude_and_phase_with_networks_of_their_own() -> None:
    physics = PhaseRetrieval((2, 12, 10), 4, complex_image=True)
    image = torch.polar(torch.full((1, 12, 10), 0.7), torch.linspace(0, 3, 10).expand(1, 12, 10))
    problem = Problem(physics.A(to_channels(image)), physics)
    recipe = Recipe(m.DoubleDIP(phase_rate=0.25), net=nets.Compact((4, 6), skip=2, sigmoid=True))
    module = recipe.build(problem)
    initialise(module, 0)
    s = State(problem, module, 0)
    recipe.method.start(s)
    assert {rate for name, rate in s.rates.items() if "copies.0." in name} == {1.0}
    assert {rate for name, rate in s.rates.items() if "copies.1." in name} == {0.25}
    x, _ = recipe.method.loss(s)
    magnitude, phase = (f(z) for f, z in zip(module.copies, s["z"].chunk(2, 1), strict=True))
    expected = to_channels(torch.polar(magnitude.sigmoid(), phase)[:, 0])
    torch.testing.assert_close(x, expected)
    assert float(phase.detach().abs().max()) > 0, "a sigmoid would hold the phase in [0, 1]"


def test_doubledip_of_a_real_image_is_real() -> None:
    physics = PhaseRetrieval((3, 12, 10), 4)
    problem = Problem(physics.A(torch.rand(1, 3, 12, 10)), physics)
    recipe = Recipe(m.DoubleDIP(3), net=nets.Compact((4, 6), skip=2))
    assert solve_recipe(recipe, problem).image.shape == (1, 3, 12, 10)


# drp ------------------------------------------------------------------------------------------


def test_drp_leaves_every_convolution_at_its_random_start() -> None:
    net = nets.SkipNet(down=(8,), up=(8,), skip=(2,), sigmoid=False)
    found = run(m.DRP(5), picture(), net)
    start = net.build(3, 1)
    initialise(start, 0)
    trained = set(normalisations(start))
    for name, weight in start.named_parameters():
        assert torch.equal(found.weights[name][0], weight) == (name not in trained), name


def test_drp_of_the_paper_trains_656_numbers_beside_the_seed() -> None:
    net = m.drp.recipe("denoise", "paper").net
    module = net.build(3, 3)
    parameters = dict(module.named_parameters())
    assert sum(p.numel() for p in parameters.values()) == 82_979
    gains = sum(parameters[name].numel() for name in normalisations(module))
    assert gains == 656


# autoencoder ----------------------------------------------------------------------------------


def test_the_autoencoders_weights_rest_while_its_input_moves() -> None:
    problem = picture()
    guided = Problem(problem.y, problem.physics, guide=torch.rand(2, 1, 17, 14))
    trained = run(m.Autoencoder(6, training=6), guided)
    longer = run(m.Autoencoder(12, training=6), guided)
    assert all(torch.equal(w, longer.weights[n]) for n, w in trained.weights.items())
    assert torch.equal(trained.z, guided.estimate())
    assert not torch.equal(longer.z, guided.estimate())


def test_options_reach_the_method_from_python() -> None:
    problem = picture()
    guide = torch.rand(1, 1, 17, 14)
    found = reconstruct(
        problem.y,
        problem.physics,
        "autoencoder",
        guide=guide,
        settings=["training=3", "lam=0.5", "net.widths=4,8"],
        steps=6,
        progress=False,
        compare=False,
    )
    assert dataclasses.asdict(found.recipe.method)["lam"] == 0.5
    assert found.steps == 6


def test_aseqdip_begins_at_a_blurred_image_itself() -> None:
    """Sec. 3.2 of the paper; where pixels are held out, y would have holes."""
    y = torch.rand(1, 1, 20, 18, generator=torch.Generator().manual_seed(0))
    problem = Problem(y, Blur(torch.ones(3, 3) / 9, x_shape=(1, 20, 18)))
    for given, start in ((problem, problem.y), (problem.split(0.1, 0)[0], None)):
        s = State(given, nets.Compact(widths=(4, 4)).build(1, 1), seed=0)
        m.ASeqDIP().start(s)
        assert torch.equal(s["z"], given.estimate() if start is None else start)


def test_aseqdip_takes_the_adjoint_image_where_the_operator_leaves_the_border_out() -> None:
    class Valid:
        """Blur without the border, as deepinv's: y is smaller than x."""

        task, x_shape = "deblur", (1, 12, 11)

        def A(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(x, 3, 1)

    problem = Problem(torch.rand(1, 1, 10, 9), Valid())
    s = State(problem, nets.Compact(widths=(4, 4)).build(1, 1), seed=0)
    m.ASeqDIP().start(s)
    assert torch.equal(s["z"], problem.estimate())


def test_a_shorter_budget_shortens_what_comes_before_the_image() -> None:
    assert plan("denoise", method="autoencoder", steps=100).recipe.method.training == 50
    kept = plan("denoise", method="autoencoder", steps=100, settings=["training=7"]).recipe
    assert kept.method.training == 7
    whole, half = (plan("denoise", method="oes", steps=n).recipe for n in (0, 600))
    assert half.method.search == 600 * whole.method.search // whole.budget
    whole, half = (plan("denoise", method="sgld", preset="paper", steps=n).recipe for n in (0, 500))
    assert half.output.burn_in == 500 * whole.output.burn_in // whole.budget
