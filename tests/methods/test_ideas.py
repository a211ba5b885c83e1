"""Each paper's own idea, as an exact limit or as the thing that it says happens."""

import dataclasses
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from untrained import Problem, nets, reconstruct
from untrained import methods as m
from untrained.classical import find_denoiser
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.result import Result
from untrained.core.state import State
from untrained.errors import UserError
from untrained.maths import to_channels
from untrained.methods.oes import largest, save_mask
from untrained.nets import initialise, normalisations
from untrained.physics import MRI, Blur, Denoise, PhaseRetrieval
from untrained.plan import plan
from untrained.rules import Average, Posterior, ZeroCrossing
from untrained.solver.procedure import solve_recipe

SMALL = nets.Compact(widths=(4, 6, 8), skip=2)
ADAM = Engine("adam", lr=0.01, precision="fp32")


def run(method, problem: Problem, net: object = SMALL, engine: Engine = ADAM, **more) -> Result:
    return solve_recipe(Recipe(method=method, net=net, engine=engine, **more), problem)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture(height: int = 17, width: int = 14) -> Problem:
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    image = 0.5 + 0.3 * (x + y).sin()[None, None] + 0.05 * noise(1, 1, height, width)
    return Problem(image, Denoise((1, height, width)), sigma=0.05)


@dataclass(frozen=True)
class Gain:
    """A network that multiplies its input by one number: its Jacobian is known."""

    value: float = 0.5

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        return _Gain(self.value)


class _Gain(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.gain = nn.Parameter(torch.tensor([value]))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gain, self.value)

    def forward(self, z: Tensor) -> Tensor:
        return self.gain * z


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


# rethinking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_the_divergence_of_a_known_map(kind: str) -> None:
    """f(z) = g z has J = g I, so one probe gives g b^T b, or g sum b^2 y, exactly."""
    problem = picture()
    state = State(problem, Gain().build(1, 1), 0)
    method = m.Rethinking(noise=kind, peak=30.0)
    method.start(state)
    _, terms = method.loss(state)
    b, y = state.noise("probe", (1, 17, 14)), problem.y
    if kind == "gaussian":
        expected = 0.05**2 * (2 * 0.5 * b.square().mean() - 1)
    else:
        expected = (2 * 0.5 * (b.square() * y).mean() - y.mean()) / 30
    assert terms["divergence"].item() == pytest.approx(float(expected), rel=1e-5)


def test_sure_estimates_the_error_to_the_clean_image() -> None:
    """Over many noises the mean of SURE is the mean error of f(y) = y / 2, which never saw x."""
    clean, sigma, errors, risks = torch.full((1, 1, 24, 24), 0.4), 0.2, [], []
    for seed in range(60):
        y = clean + sigma * noise(1, 1, 24, 24, seed=seed)
        state = State(Problem(y, Denoise((1, 24, 24)), sigma=sigma), Gain().build(1, 1), seed)
        method = m.Rethinking(spread=0.0)
        method.start(state)
        x, terms = method.loss(state)
        errors.append((x - clean).square().mean().item())
        risks.append((terms["data"] + terms["divergence"]).item())
    spread = np.std(risks) / np.sqrt(len(risks))
    assert abs(np.mean(risks) - np.mean(errors)) < 3 * spread


@pytest.mark.parametrize(
    ("channels", "kind", "spread"), [(3, "gaussian", 0.5), (1, "gaussian", 0.3), (1, "poisson", 0)]
)
def test_the_input_of_rethinking_is_as_noisy_as_the_authors_made_it(
    channels: int, kind: str, spread: float
) -> None:
    """f(z) = z shows its input: y + gamma, gamma of deviation u * spread * sigma."""
    y = torch.full((1, channels, 40, 40), 0.5)
    state = State(Problem(y, Denoise((channels, 40, 40)), sigma=0.1), Gain(1.0).build(1, 1), 0)
    method = m.Rethinking(noise=kind, peak=30.0)
    method.start(state)
    x, _ = method.loss(state)
    u = state.noise("level", (1, 1, 1), "uniform")
    gamma = u * spread * 0.1 * state.noise("gamma", (channels, 40, 40))
    assert torch.allclose(x, y + gamma, atol=1e-6)
    assert torch.equal(x, y) == (spread == 0)


def test_rethinking_needs_the_noise_level_and_names_wrong_kinds() -> None:
    with pytest.raises(UserError, match="needs the noise level"):
        run(m.Rethinking(2), Problem(picture().y, Denoise((1, 17, 14))))
    with pytest.raises(UserError, match="noise='cauchy'"):
        m.Rethinking(noise="cauchy")
    with pytest.raises(UserError, match="peak"):
        m.Rethinking(noise="poisson")


def test_the_zero_crossing_ends_a_run() -> None:
    """The run ends at the first step whose estimate, of one probe, is negative."""
    problem = picture()
    found = run(m.Rethinking(40), problem, Gain(1.0), ADAM, stop=ZeroCrossing(decay=0.0))
    sums = np.array(found.history["data"]) + np.array(found.history["divergence"])
    below = np.flatnonzero(sums < 0) + 1
    expected = int(below[0]) if len(below) else 40
    assert found.steps == expected


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


class _Constant(_Gain):
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


# splitting ------------------------------------------------------------------------------------


def test_the_updates_of_x_and_u(monkeypatch: pytest.MonkeyPatch) -> None:
    from untrained.classical import DENOISERS

    monkeypatch.setitem(DENOISERS, "half", lambda image, strength: image / 2)
    problem = picture()
    for scheme in ("red", "admm", "hqs"):
        module = SMALL.build(32, 1)
        initialise(module, 0)
        state = State(problem, module, 0)
        method = m.DeepRED(beta=2.0, mu=3.0, denoiser="half", scheme=scheme)
        method.start(state)
        state["u"] = torch.full_like(state["u"], 0.0 if scheme == "hqs" else 0.1)
        f, x, u = state.net(state["z"]).detach(), state["x"].clone(), state["u"].clone()
        method.advance(state)
        wanted = (2 * x / 2 + 3 * (f + u)) / 5 if scheme == "red" else (f + u) / 2
        wanted = wanted.clamp(0, 1)
        assert torch.allclose(state["x"], wanted, atol=1e-6)
        dual = u if scheme == "hqs" else u + f - wanted
        assert torch.allclose(state["u"], dual, atol=1e-6)


def deepred_alone(method: m.DeepRED) -> tuple[State, Tensor]:
    """The state of a method at its start, and the first f of a network that is not trained."""
    module = SMALL.build(32, 1)
    initialise(module, 0)
    state = State(picture(), module, 0)
    method.start(state)
    return state, state.net(state["z"]).detach()


def test_the_released_order_keeps_a_denoised_image_for_n_steps(monkeypatch) -> None:
    """x and u move at every step by the step's own output; D(x) is the one of every third."""
    from untrained.classical import DENOISERS

    asked = []

    def half(image: np.ndarray, strength: float) -> np.ndarray:
        asked.append(image.copy())
        return image / 2

    monkeypatch.setitem(DENOISERS, "half", half)
    method = m.DeepRED(beta=2.0, mu=3.0, denoiser="half", inner=1, cache=3, fresh=False, jitter=0.5)
    state, _ = deepred_alone(method)
    x, u = state["x"].clone(), state["u"].clone()
    kept = x.clone()
    for step in range(1, 8):
        f, _ = method.loss(state)
        f = f.detach()
        with torch.no_grad():
            state.step = step  # as `solve` counts before it calls `advance`
            method.advance(state)
        kept = x / 2 if step % 3 == 0 else kept
        x = ((2 * kept + 3 * (f + u)) / 5).clamp(0, 1)
        u = u + f - x
        assert torch.allclose(state["x"], x, atol=1e-6)
        assert torch.allclose(state["u"], u, atol=1e-6)
    assert len(asked) == 2
    with pytest.raises(UserError, match="cache=3"):
        m.DeepRED(cache=3, scheme="hqs")


def test_by_default_x_and_u_move_at_every_nth_step_by_a_new_output() -> None:
    """The paper's order; without jitter and with a network at rest both orders agree."""
    method = m.DeepRED(denoiser="tv", jitter=0.0)
    assert (method.inner, method.cache, method.fresh, method.answer) == (10, 1, True, "f")
    images = []
    for fresh in (True, False):
        one = replace(method, fresh=fresh)
        state, _ = deepred_alone(one)
        one.loss(state)
        with torch.no_grad():
            state.step = 10
            one.advance(state)
        images.append(state["x"])
    assert torch.equal(*images)


@pytest.mark.parametrize("answer", ["f", "x", "x-u"])
def test_the_answer_of_deepred_is_one_of_its_three_images(answer: str) -> None:
    method = m.DeepRED(denoiser="tv", jitter=0.0, answer=answer)
    state, f = deepred_alone(method)
    state["u"] = torch.full_like(state["u"], 0.1)
    wanted = {"f": f, "x": state["x"], "x-u": state["x"] - 0.1}[answer]
    image, terms = method.loss(state)
    assert torch.allclose(image, wanted, atol=1e-6)
    assert terms["data"].requires_grad
    with pytest.raises(UserError, match="answer='u' is unknown; known: f, x, x-u"):
        m.DeepRED(answer="u")


@pytest.mark.parametrize("name", ["nlm", "tv", "dct", "lowrank", "nlbayes"])
def test_every_named_denoiser_removes_noise_from_each_image_alone(name: str) -> None:
    """A smooth picture in white noise of deviation 0.1, twice in a group, real and complex."""
    ramp = torch.linspace(0.2, 0.8, 40).expand(1, 2, 40, 40)
    noisy = torch.cat([ramp + 0.1 * noise(1, 2, 40, 40, seed=seed) for seed in (1, 2)])
    cleaned = find_denoiser(name)(noisy, 0.1)
    assert cleaned.shape == noisy.shape
    for one, before in zip(cleaned, noisy, strict=True):
        assert float((one - ramp[0]).std()) < 0.5 * float((before - ramp[0]).std())
    assert torch.equal(cleaned[1:], find_denoiser(name)(noisy[1:], 0.1))


def test_denoisers_are_found_by_name_or_imported(tmp_path, monkeypatch) -> None:
    (tmp_path / "mydenoiser.py").write_text("def half(image, strength):\n    return image / 2\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    x = noise(2, 3, 8, 9)
    assert torch.equal(find_denoiser("mydenoiser:half")(x, 0.1), x / 2)
    for name in ("nlm", "tv"):
        flat = find_denoiser(name)(0.5 + 0.1 * noise(1, 1, 24, 24), 0.1)
        assert flat.shape == (1, 1, 24, 24)
        assert float(flat.std()) < 0.08
    with pytest.raises(UserError, match="unknown denoiser 'bm3d'"):
        m.DeepRED(denoiser="bm3d")
    with pytest.raises(UserError, match="cannot be imported"):
        m.DeepRED(denoiser="mydenoiser:gone")


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


def test_a_shorter_budget_shortens_what_comes_before_the_image() -> None:
    assert plan("denoise", method="autoencoder", steps=100).recipe.method.training == 50
    kept = plan("denoise", method="autoencoder", steps=100, settings=["training=7"]).recipe
    assert kept.method.training == 7
    whole, half = (plan("denoise", method="oes", steps=n).recipe for n in (0, 600))
    assert half.method.search == 600 * whole.method.search // whole.budget
    whole, half = (plan("denoise", method="sgld", preset="paper", steps=n).recipe for n in (0, 500))
    assert half.output.burn_in == 500 * whole.output.burn_in // whole.budget
