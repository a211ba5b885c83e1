"""What is learned beforehand: from what, by which equations, and to the same bits."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lessons import ADAM, FROM_IMAGES, NAMES, SHRINK, draw, hole, inputs, learn, learned
from torch import Tensor

from untrained import METHODS, Problem, nets
from untrained.classical import fbp
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.data.phantoms import shepp_logan
from untrained.errors import UserError
from untrained.maths import magnitude
from untrained.methods.edip import EDIPTraining, first_image
from untrained.methods.phantoms import phantoms
from untrained.methods.strainer import StrainerTraining
from untrained.metrics import psnr
from untrained.nets import initialise
from untrained.physics import CT, MRI, Denoise, Inpaint
from untrained.pretrain import clean_problem, load_weights, train
from untrained.problem.group import Group
from untrained.run.plan import plan
from untrained.solver.procedure import fit_together, solve_recipe


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["fast", "paper", "best"])
def test_training_and_reconstruction_have_the_same_network(name: str, preset: str) -> None:
    card = METHODS[name]
    for task in card.tasks:
        assert card.training.recipe(task, preset).net == card.recipe(task, preset).net


@pytest.mark.parametrize("name", NAMES)
def test_the_objective_of_a_training_falls(name: str) -> None:
    settings = (*SHRINK[name], "engine.lr=0.01")
    _, result = train(name, inputs(name), task="inpaint", settings=settings, steps=40)
    data = [float(v) for v in result.history["data"]]
    assert min(data[-5:]) < data[0]


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_weights_other_seed_other_weights(name: str) -> None:
    first, again, other = learned(name).tensors, learn(name).tensors, learn(name, seed=1).tensors
    assert all(torch.equal(t, again[n]) for n, t in first.items())
    assert any(not torch.equal(t, other[n]) for n, t in first.items())


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_training_ends_with_the_same_bits(
    name: str, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    whole = learned(name)
    learn(name, run_dir=tmp_path, watch=[pause_after(4)])
    resumed = learn(name, run_dir=tmp_path)
    assert resumed.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(t, resumed.tensors[n]) for n, t in whole.tensors.items())
    assert resumed.misfit == whole.misfit


@pytest.mark.parametrize("name", NAMES)
def test_weights_survive_a_file_and_start_a_reconstruction(name: str, tmp_path: Path) -> None:
    weights = learned(name)
    path = weights.save(tmp_path / "w.safetensors")
    read = load_weights(path)
    assert read.facts() == weights.facts()
    assert all(torch.equal(t, read.tensors[n]) for n, t in weights.tensors.items())
    chosen = plan("inpaint", weights=read, steps=4, stop="none")
    assert chosen.card.name == name
    result = solve_recipe(chosen.recipe, hole(7), start=read.start(hole(7)))  # type: ignore[arg-type]
    other = solve_recipe(chosen.recipe, hole(7))  # type: ignore[arg-type]
    assert not torch.equal(result.image, other.image)


@pytest.mark.parametrize("name", FROM_IMAGES)
def test_clean_images_are_learned(name: str) -> None:
    """With each training's own network and rate; the image's variance is 0.022."""
    image = torch.from_numpy(shepp_logan(32))[None, None]
    steps = 15 if name == "metadip" else 100  # each of which takes ten of gradient descent
    _, result = train(name, [clean_problem(image)], task="superres", steps=steps)
    assert min(map(float, result.history["data"])) < 0.006


def test_one_input_for_all_passes_a_shared_encoder_once() -> None:
    group = Group(inputs("strainer", 3))
    method = StrainerTraining(4)
    module = Recipe(method, nets.Siren(8, 2)).build(group.select(0))
    initialise(module, 0)
    s = State(group, module, 0)
    method.start(s)
    seen: list[Tensor] = []
    with module.encoder.register_forward_hook(lambda *call: seen.append(call[1][0])):  # type: ignore[union-attr]
        once = s.net(s["z"])
        assert [len(z) for z in seen] == [1]
        each = s.net(s["z"].expand(3, *s["z"].shape[1:]))
    assert len(seen) == 4
    torch.testing.assert_close(once, each)


def test_phantoms_are_new_at_every_step_and_the_same_for_a_seed() -> None:
    physics = CT((16, 16), torch.arange(0.0, 180.0, 20.0), 24)
    problem = Problem(physics.A(draw(1, 1, 16, 16)), physics)
    s = State(Group([problem] * 3), torch.nn.Identity(), 0)
    first = phantoms(s)
    assert first.shape == (3, 1, 16, 16)
    assert torch.equal(first, phantoms(s))
    assert not torch.equal(first[0], first[1])
    assert float(first.min()) >= 0
    assert first.flatten(1).amax(1).max() == 1
    s.step = 1
    assert not torch.equal(first, phantoms(s))
    turned = phantoms(State(Group([mri()]), torch.nn.Identity(), 0), complex_image=True)
    assert turned.shape == (1, 2, 16, 12)
    assert float(turned.min()) < 0


def mri() -> Problem:
    turns = 2 * torch.pi * draw(3, 16, 12, seed=1)
    physics = MRI(torch.arange(12) % 2 == 0, torch.polar(draw(3, 16, 12, seed=2) + 0.2, turns))
    return Problem(physics.A(draw(1, 2, 16, 12)), physics)


def test_edip_learns_the_inverse_of_this_geometry_and_starts_from_its_fbp() -> None:
    physics = CT((16, 16), torch.arange(0.0, 180.0, 20.0), 24)
    problem = Problem(physics.A(draw(1, 1, 16, 16)), physics)
    recipe = Recipe(EDIPTraining(60), nets.Compact(widths=(8, 8), skip=4), ADAM)
    history = fit_together(recipe, Group([problem] * 2)).history["data"]
    assert sum(history[-10:]) < 0.5 * sum(history[:10])  # type: ignore[arg-type]
    torch.testing.assert_close(first_image(problem), fbp(problem))


def test_clean_images_are_scaled_as_reconstructions_are() -> None:
    problem = clean_problem(50 * draw(1, 2, 30, 30), unit_range=False)
    level = torch.quantile(torch.linalg.vector_norm(problem.y, dim=1).flatten(), 0.999)
    assert float(level) == pytest.approx(1.0)
    assert isinstance(problem.physics, Denoise)


@pytest.mark.parametrize("name", NAMES)
def test_several_seeds_only_where_something_is_drawn(name: str) -> None:
    chosen = plan("inpaint", weights=learned(name), steps=2)
    if name in ("ugodit", "strainer"):
        assert chosen.seeds(2) == 2
    else:
        with pytest.raises(UserError, match="every seed gives the same image"):
            chosen.seeds(2)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_goes_on_with_its_own_data_only(
    name: str, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    learn(name, run_dir=tmp_path, watch=[pause_after(4)])
    other = [clean_problem(p.y.flip(-1)) for p in inputs(name)]
    if name not in FROM_IMAGES:
        other = [Problem(p.y, Inpaint(p.physics.mask[0].flip(-1), p.x_shape)) for p in inputs(name)]
    with pytest.raises(UserError, match="data"):
        train(name, other, task="inpaint", settings=SHRINK[name], steps=6, run_dir=tmp_path)


def test_what_a_task_has_not_is_not_learned() -> None:
    grey = clean_problem(draw(1, 1, 9, 11))
    with pytest.raises(UserError, match="images of mri have 2"):
        train("metadip", [grey], task="mri")
    with pytest.raises(UserError, match="learns from measurements of mri"):
        train("ugodit", [hole(0)], task="mri")
    with pytest.raises(UserError, match="steps must be a whole number"):
        train("metadip", [grey], task="denoise", steps=-1)


def test_images_of_several_shapes_are_refused() -> None:
    other = Problem(draw(1, 1, 8, 8), Inpaint(torch.ones(8, 8), (1, 8, 8)))
    with pytest.raises(UserError, match=r"problem 2 has an image of \(1, 8, 8\)"):
        train("ugodit", [hole(0), other], task="inpaint", steps=2)
    with pytest.raises(UserError, match="nothing to learn from"):
        train("ugodit", [], task="inpaint")
    with pytest.raises(UserError, match="learns nothing beforehand"):
        train("dip", [hole(0)], task="inpaint")


def test_the_psnr_of_known_images_is_recorded_and_changes_nothing() -> None:
    truth = draw(1, 1, 9, 11, seed=1)
    options = {"task": "inpaint", "settings": SHRINK["ugodit"], "steps": 3}
    problems = [hole(0), hole(1)]
    blind, _ = train("ugodit", problems, **options)  # type: ignore[arg-type]
    seen, result = train("ugodit", problems, references=[None, truth], **options)  # type: ignore[arg-type]
    assert blind.tensors.keys() == seen.tensors.keys()
    assert all(torch.equal(blind.tensors[n], seen.tensors[n]) for n in blind.tensors)
    assert "psnr 1" not in result.history
    assert len(result.history["psnr 2"]) == 3
    last = psnr(result.image[1:], truth, data_range=1.0)
    assert result.history["psnr 2"][-1] == pytest.approx(last, abs=1e-4)
    with pytest.raises(UserError, match=r"references: 1 were given for 2 images"):
        train("ugodit", problems, references=[truth], **options)  # type: ignore[arg-type]


def test_the_psnr_of_complex_images_is_that_of_their_magnitudes() -> None:
    truth = draw(1, 2, 12, 12) - 0.5
    physics = MRI(torch.ones(12, 12))
    scan = Problem(physics.A(truth), physics)
    small = ["net.widths=4,6"]
    _, result = train("ugodit", [scan], settings=small, steps=2, references=[truth])
    peak = float(magnitude(truth).max())
    last = psnr(magnitude(result.image), magnitude(truth), data_range=peak)
    assert result.history["psnr 1"][-1] == pytest.approx(last, abs=1e-4)
