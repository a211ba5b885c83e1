"""Ideas about denoising, as exact limits: SURE of Rethinking-DIP, the splitting of DeepRED."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import ADAM, SMALL, Gain, noise, picture, run
from torch import Tensor

from untrained import Problem
from untrained import methods as m
from untrained.classical import find_denoiser
from untrained.core.state import State
from untrained.errors import UserError
from untrained.nets import initialise
from untrained.physics import Denoise
from untrained.rules import ZeroCrossing


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
