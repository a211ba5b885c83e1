"""DIP together with a diffusion model: each method's idea in an exact limit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from small_priors import small_prior
from small_runs import ADAM, SMALL, picture
from torch import Tensor

from untrained import METHODS, Problem
from untrained import methods as m
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.start import StartWeights
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods import find_recipe
from untrained.methods.diffusion import conjugate_gradients, vp_levels
from untrained.methods.lora import Adapter
from untrained.nets import NoNet, initialise
from untrained.physics import MRI, Denoise, Inpaint, Stack
from untrained.priors import Denoiser, GaussianDenoiser
from untrained.result import Result
from untrained.solver.procedure import solve_recipe

STILL = Engine("adamw", lr=1e-30, weight_decay=0.01, precision="fp32")
ADAMW = replace(STILL, lr=0.01)


def run(
    method: m.DDIP | m.UDiGDIP | m.CDDIP | m.ASeqDIP | m.DeepRED,
    problem: Problem,
    prior: Denoiser | None = None,
    net: object = SMALL,
    engine: Engine = ADAM,
) -> Result:
    recipe = Recipe(method=method, net=net, engine=engine)  # type: ignore[arg-type]
    return solve_recipe(recipe, problem, start=StartWeights(prior=prior))


def columns(count: int = 1) -> Problem:
    """A picture of which every third column is missing."""
    clean = torch.cat([picture(12, 9).y * (1 - 0.1 * i) for i in range(count)])
    physics = Inpaint((torch.arange(9) % 3 > 0).float().expand(12, 9), (1, 12, 9))
    return Problem(physics.A(clean), physics)


def scan(count: int = 1) -> Problem:
    """Two coils, half of the lines: what is measured is no part of the image."""
    generator = torch.Generator().manual_seed(3)
    sizes, turns = (torch.rand(2, 12, 9, generator=generator) for _ in range(2))
    physics = MRI(torch.arange(9) % 2 == 0, torch.polar(sizes + 0.2, 6.28 * turns))
    return Problem(physics.A(torch.rand(count, 2, 12, 9, generator=generator)), physics)


def state_of(problem: Problem, prior: Denoiser) -> State:
    return State(problem, NoNet().build(1, 1), 0, start=StartWeights(prior=prior))


# udig -----------------------------------------------------------------------------------------


def test_udig_without_purification_is_aseqdip() -> None:
    problem = columns()
    plain = run(m.ASeqDIP(4), problem)
    purified = run(m.UDiGDIP(4, level=0.0), problem, small_prior())
    assert torch.equal(purified.image, plain.image)
    assert purified.history == plain.history
    other = run(m.UDiGDIP(4, level=0.2), problem, small_prior())
    assert not torch.equal(other.image, plain.image)


@pytest.mark.parametrize("jumps", [1, 3])
def test_purification_of_a_normal_prior_shrinks_towards_its_mean(jumps: int) -> None:
    """Each step from sigma to sigma' multiplies x - mu by (c + sigma sigma') / (c + sigma^2)."""
    mean, variance, level = 0.5, 0.04, 0.3
    prior = GaussianDenoiser(torch.full((1, 12, 9), mean), variance * torch.eye(108))
    problem = columns()
    state, method = state_of(problem, prior), m.UDiGDIP(level=level, jumps=jumps)
    x = problem.estimate()
    made = method._purified(state, x)
    factor = 1.0
    for j in range(jumps):
        sigma, lower = level * (1 - j / jumps), level * (1 - (j + 1) / jumps)
        factor *= (variance + sigma * lower) / (variance + sigma**2)
    noisy = x + level * state.noise("purify", (1, 12, 9))
    torch.testing.assert_close(made, mean + factor * (noisy - mean), atol=1e-5, rtol=1e-5)


def test_a_level_that_the_prior_does_not_know_is_brought_to_one_that_it_does() -> None:
    problem, prior = columns(), small_prior((0.1, 0.2))
    state = state_of(problem, prior)
    x = problem.estimate()
    far, near = (m.UDiGDIP(level=level)._purified(state, x) for level in (5.0, 0.2))
    assert torch.equal(far, near)


# ddip -----------------------------------------------------------------------------------------


def dds(problem: Problem, prior: Denoiser, method: m.DDIP) -> Tensor:
    """Chung et al. 2024 in the VP view: estimate, conjugate gradients, DDIM; no adaptation."""
    levels = vp_levels("linear", method.rounds, prior.levels, unit_range=problem.unit_range)
    state = state_of(problem, prior)
    shares = [1 / (1 + sigma**2) for sigma in levels]
    x = shares[0] ** 0.5 * levels[0] * state.noise("first", problem.x_shape)
    for k, (a, lower) in enumerate(pairwise(shares)):
        state.step = (k + 1) * method.inner
        clean = prior.denoise(x / a**0.5, levels[k])
        predicted = (x - a**0.5 * clean) / (1 - a) ** 0.5
        target = conjugate_gradients(problem, clean, method.solve)
        noise = state.noise("ddim", problem.x_shape)
        fresh = (1 - method.eta**2) ** 0.5 * predicted + method.eta * noise
        x = lower**0.5 * target + (1 - lower) ** 0.5 * fresh
    return problem.to_units(target)


def test_ddip_at_rate_zero_is_dds() -> None:
    problem, prior, method = scan(2), small_prior(), m.DDIP(5, inner=2)
    still = run(method, problem, prior, NoNet(), STILL).image
    torch.testing.assert_close(still, dds(problem, prior, method), atol=1e-5, rtol=1e-4)
    adapted = run(method, problem, prior, NoNet(), ADAMW).image
    assert float((adapted - still).abs().max()) > 1e-3


def test_adaptation_explains_the_measurements_and_leaves_the_prior_alone() -> None:
    """Check that what is fitted is the adapted model's own estimate, without inner steps."""
    problem, prior = scan(), small_prior((0.9, 1.0))
    before = {name: weight.clone() for name, weight in prior.named_parameters()}
    found = run(m.DDIP(1, inner=60, solve=0), problem, prior, NoNet(), ADAMW)
    data = found.history["data"]
    assert data[-1] < 0.5 * data[0]  # type: ignore[operator]
    assert all(torch.equal(w, before[n]) for n, w in prior.named_parameters())
    assert not any(w.requires_grad or w.grad is not None for w in prior.parameters())


def test_an_adapter_of_full_rank_is_a_change_of_the_kernels() -> None:
    problem, prior = columns(2), small_prior()
    state = state_of(problem, prior)
    adapter = Adapter(state, rank=99)
    adapter.start(state)
    x = problem.estimate()[:1]
    assert torch.equal(adapter.denoise(state, x, 0.3, 0), prior.denoise(x, 0.3))
    with torch.no_grad():
        for name in state.rates:
            generator = torch.Generator().manual_seed(len(name))
            state[name][1].copy_(torch.randn(state[name][1].shape, generator=generator))
    changed = small_prior()
    with torch.no_grad():
        for name, weight in changed.named_parameters():
            if name.endswith("weight"):
                up, down = (state[f"lora/{name}/{which}"][1] for which in "BA")
                weight += (up @ down).reshape(weight.shape)
    torch.testing.assert_close(adapter.denoise(state, x, 0.3, 1), changed.denoise(x, 0.3))
    # that of the other problem is as it was
    assert torch.equal(adapter.denoise(state, x, 0.3, 0), prior.denoise(x, 0.3))


def test_a_prior_without_layers_cannot_be_adapted() -> None:
    prior = GaussianDenoiser(torch.zeros(1, 12, 9), torch.eye(108))
    with pytest.raises(UserError, match="no convolution and no linear layer"):
        run(m.DDIP(2, inner=1), columns(), prior, NoNet(), ADAMW)


def volume(depth: int = 4) -> Problem:
    turns = torch.rand(2, 8, 6, generator=torch.Generator().manual_seed(1))
    one = MRI(torch.arange(6) % 2 == 0, torch.polar(torch.ones(2, 8, 6), turns))
    images = torch.rand(1, 2, depth, 8, 6, generator=torch.Generator().manual_seed(2))
    physics = Stack(one, depth)
    return Problem(physics.A(images), physics)


def test_ddip_at_rate_zero_on_a_volume_is_dds_of_each_slice() -> None:
    from untrained.problem.slices import slices_of

    problem, prior, method = volume(), small_prior(), m.DDIP(3, inner=2, samples=2)
    whole = run(method, problem, prior, NoNet(), STILL).image
    state = state_of(problem, prior)
    levels = vp_levels("linear", 3, prior.levels)
    for d, one in enumerate(slices_of(problem)):
        state.step = 0
        x = levels[0] * state.noise("first", problem.x_shape)[:, :, d]
        for k, sigma in enumerate(levels[:-1]):
            state.step = (k + 1) * method.inner
            clean = prior.denoise(x, sigma)
            target = conjugate_gradients(one, clean, method.solve)
            noise = state.noise("ddim", problem.x_shape)[:, :, d]
            rest = (1 - method.eta**2) ** 0.5 * (x - clean) / sigma + method.eta * noise
            x = target + levels[k + 1] * rest
        torch.testing.assert_close(problem.from_units(whole)[:, :, d], target, atol=1e-5, rtol=1e-4)


def test_one_adapter_serves_all_slices_of_a_volume() -> None:
    problem, prior = volume(), small_prior()
    found = run(m.DDIP(2, inner=8, samples=2), problem, prior, NoNet(), ADAMW)
    assert found.image.shape == (1, 2, 4, 8, 6)
    still = run(m.DDIP(2, inner=8, samples=2), problem, prior, NoNet(), STILL)
    moved = (found.image - still.image).flatten(3).abs().amax((0, 1, 3))
    assert bool((moved > 0).all())  # also of slices that no step of a round had drawn


# cddip ----------------------------------------------------------------------------------------


class Identity(NoNet):
    """A network with one weight, a gain of one."""

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> torch.nn.Module:
        from small_runs import GainNet

        return GainNet(1.0)


def test_cddip_with_a_network_that_repeats_its_input_is_the_models_own_recursion() -> None:
    """With a normal prior N(mu, c): z = mu + c/(c + sigma^2) (z + sigma n - mu) at each level."""
    mean, variance = 0.5, 0.04
    prior = GaussianDenoiser(torch.full((1, 12, 9), mean), variance * torch.eye(108))
    problem, method = columns(), m.CDDIP(5, inner=2)
    found = run(method, problem, prior, Identity(), STILL)
    state, levels = state_of(problem, prior), vp_levels("cosine", 5, unit_range=True)
    z = torch.zeros(1, 1, 12, 9)
    for k, sigma in enumerate(levels[:-1]):
        state.step = k * method.inner
        noise = state.noise("again" if k else "first", (1, 12, 9))
        z = mean + variance / (variance + sigma**2) * (z + sigma * noise - mean)
        z = z.clamp(0, 1)
    torch.testing.assert_close(found.image, z, atol=1e-3, rtol=1e-3)


def test_cddip_with_everything_measured_and_a_network_that_can_draw_it_is_the_image() -> None:
    """A free gain at each pixel: whatever the prior says, N steps reach y."""

    class Free(NoNet):
        def build(self, in_channels: int, out_channels: int, dim: int = 2) -> torch.nn.Module:
            return FreeNet()

    class FreeNet(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offset = torch.nn.Parameter(torch.zeros(1, 17, 14))

        def reset_parameters(self) -> None:
            torch.nn.init.zeros_(self.offset)

        def forward(self, z: Tensor) -> Tensor:
            return z + self.offset

    problem = picture()
    prior = GaussianDenoiser(torch.full((1, 17, 14), 0.5), 0.04 * torch.eye(17 * 14))
    engine = Engine("sgd", lr=0.4 * 17 * 14, precision="fp32")
    found = run(m.CDDIP(3, inner=30), problem, prior, Free(), engine)
    torch.testing.assert_close(found.image, problem.y, atol=1e-4, rtol=1e-4)


# what all have in common ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ddip", "cddip"])
def test_a_prior_of_one_level_leaves_a_sampler_nowhere_to_go(name: str) -> None:
    recipe = find_recipe(METHODS[name], "inpaint", "fast")
    start = StartWeights(prior=small_prior((0.1, 0.1)))
    with pytest.raises(UserError, match="knows one level only"):
        solve_recipe(recipe, columns(), start=start)


@pytest.mark.parametrize("name", ["ddip", "cddip"])
def test_a_smaller_budget_keeps_the_levels(name: str) -> None:
    recipe = find_recipe(METHODS[name], "inpaint", "paper")
    fewer = recipe.with_steps(100).method
    assert (fewer.rounds, fewer.rounds * fewer.inner) == (recipe.method.rounds, 100)
    assert recipe.with_steps(7).method.rounds == 7


# deepred --------------------------------------------------------------------------------------


def test_deepred_with_a_denoiser_that_changes_nothing_splits_and_no_more() -> None:
    """D(x) = x: x moves to (beta x + mu (f + u)) / (beta + mu); at x = f, u = 0 it stays there."""
    problem = picture()
    prior = small_prior((0.0, 0.0))  # at sigma 0 the small prior is the identity
    module = SMALL.build(32, 1)
    initialise(module, 0)
    state = State(problem, module, 0, start=StartWeights(prior=prior))
    method = m.DeepRED(beta=2.0, mu=3.0)
    method.start(state)
    f = state.net(state["z"]).detach()
    inside = f.clamp(0, 1)
    state["x"], state["u"] = inside, inside - f
    x, u = state["x"].clone(), state["u"].clone()
    with torch.no_grad():
        method.advance(state)
    torch.testing.assert_close(state["x"], x)
    torch.testing.assert_close(state["u"], u + f - x)


def test_a_denoise_problem_of_any_size_is_padded_for_the_prior() -> None:
    problem = Problem(torch.rand(1, 3, 11, 7), Denoise((3, 11, 7)))
    image = run(m.DDIP(2, inner=1), problem, small_prior(), NoNet(), ADAMW).image
    assert image.shape == (1, 3, 11, 7)
