"""What is learned beforehand: from what, by which equations, and to the same bits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from untrained import METHODS, Problem, methods, nets
from untrained.classical import fbp
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.rule import Watch
from untrained.core.state import State
from untrained.data.phantoms import shepp_logan
from untrained.errors import UserError
from untrained.maths import magnitude, mse
from untrained.methods.card import CLEAN_IMAGES
from untrained.methods.edip import EDIPTraining, first_image
from untrained.methods.metadip import MetaDIPTraining
from untrained.methods.phantoms import phantoms
from untrained.methods.strainer import StrainerTraining
from untrained.methods.ugodit import RandomEncoder, UGoDITTraining, features
from untrained.metrics import psnr
from untrained.nets import initialise
from untrained.physics import CT, MRI, Denoise, Inpaint, SuperRes
from untrained.plan import plan
from untrained.pretrain import Weights, clean_problem, load_weights, train
from untrained.problem.group import Group
from untrained.solver.procedure import fit_together, solve_recipe

SMALL = nets.Compact(widths=(4, 6), skip=2)
ADAM = Engine("adam", lr=0.01, precision="fp32")
SHRINK = {
    "ugodit": ("net.widths=4,6", "net.skip=2"),
    "edip": ("net.widths=4,6", "net.skip=2"),
    "metadip": ("net.widths=4,6", "net.skip=2", "adapt=3"),
    "strainer": ("net.width=8", "net.layers=2"),
    "nerp": ("net.width=8", "net.layers=2", "net.features=4"),
}
NAMES = sorted(name for name, card in METHODS.items() if card.training)
FROM_IMAGES = [n for n in NAMES if METHODS[n].training.learns_from == CLEAN_IMAGES]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def hole(index: int) -> Problem:
    """An image of its own with a mask of its own."""
    mask = draw(9, 11, seed=50 + index) < 0.7
    physics = Inpaint(mask.float(), (1, 9, 11))
    return Problem(physics.A(draw(1, 1, 9, 11, seed=index)), physics)


def inputs(name: str, count: int = 2) -> list[Problem]:
    if name in FROM_IMAGES:
        return [clean_problem(draw(1, 1, 9, 11, seed=i)) for i in range(count)]
    return [hole(i) for i in range(1 if name == "edip" else count)]


def learn(name: str, steps: int = 6, **options: object) -> Weights:
    weights, _ = train(
        name, inputs(name), task="inpaint", settings=SHRINK[name], steps=steps, **options
    )  # type: ignore[arg-type]
    return weights


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["fast", "paper", "best"])
def test_training_and_reconstruction_have_the_same_network(name: str, preset: str) -> None:
    card = METHODS[name]
    for task in card.tasks:
        assert card.training.recipe(task, preset).net == card.recipe(task, preset).net


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_training_ends_with_the_same_bits(
    name: str, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    whole = learn(name)
    learn(name, run_dir=tmp_path, watch=[pause_after(4)])
    resumed = learn(name, run_dir=tmp_path)
    assert resumed.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(t, resumed.tensors[n]) for n, t in whole.tensors.items())
    assert resumed.misfit == whole.misfit


@pytest.mark.parametrize("name", NAMES)
def test_weights_survive_a_file_and_start_a_reconstruction(name: str, tmp_path: Path) -> None:
    weights = learn(name)
    path = weights.save(tmp_path / "w.safetensors")
    read = load_weights(path)
    assert read.facts() == weights.facts()
    assert all(torch.equal(t, read.tensors[n]) for n, t in weights.tensors.items())
    problem = read.start(hole(7))
    chosen = plan("inpaint", weights=read, steps=4, stop="none")
    assert chosen.card.name == name
    result = solve_recipe(chosen.recipe, problem)  # type: ignore[arg-type]
    other = solve_recipe(chosen.recipe, hole(7))  # type: ignore[arg-type]
    assert not torch.equal(result.image, other.image)


def test_the_encoder_rests_at_test_time() -> None:
    weights = learn("ugodit")
    encoder = {n: t for n, t in weights.tensors.items() if n.startswith("encoder.")}
    chosen = plan("inpaint", weights=weights, steps=8, stop="none")
    result = solve_recipe(chosen.recipe, weights.start(hole(7)))  # type: ignore[arg-type]
    assert all(torch.equal(result.weights[n][0], t) for n, t in encoder.items())
    start = plan("inpaint", weights=weights, steps=8, stop="none", settings=["frozen=false"])
    moved = solve_recipe(start.recipe, weights.start(hole(7)))  # type: ignore[arg-type]
    assert not any(torch.equal(moved.weights[n][0], t) for n, t in encoder.items())


def test_without_weights_the_encoder_is_random_and_rests() -> None:
    """The control: drawn as for every other method, and the same at the end."""
    chosen = plan("inpaint", method="ugodit", steps=30, settings=SHRINK["ugodit"])
    assert chosen.card.name == "ugodit, random encoder"
    recipe = chosen.recipe
    assert recipe is not None
    assert recipe.candidates == (recipe.method,)  # a control is not trained further
    assert recipe.method.description == "a random encoder, never trained, with lambda 2"
    result = solve_recipe(recipe, hole(7), seed=3)
    module = recipe.build(hole(7))
    initialise(module, 3)
    for name, drawn in module.named_parameters():
        assert torch.equal(result.weights[name][0], drawn) == name.startswith("encoder."), name
    learned_one = plan("inpaint", weights=learn("ugodit"), settings=["frozen=true"]).recipe
    assert learned_one is not None
    fields = replace(learned_one, method=recipe.method, source="", steps=30)
    assert fields == replace(recipe, source="")  # nothing else differs


@pytest.mark.parametrize("field", ["frozen=false", "decoder=true"])
def test_what_needs_learned_weights_is_refused_without(field: str) -> None:
    with pytest.raises(UserError, match=f"{field} starts from learned weights"):
        plan("inpaint", method="ugodit", settings=[field])
    name, _, value = field.partition("=")
    given = methods.UGoDIT(**{name: value == "true"})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"{field} starts from learned weights"):
        plan("inpaint", method=given)


def test_a_method_object_without_weights_is_the_control_with_its_settings() -> None:
    chosen = plan("inpaint", method=methods.UGoDIT(5, inner=3, lam=0.5))
    assert chosen.recipe is not None
    assert chosen.recipe.method == RandomEncoder(5, inner=3, lam=0.5)
    assert chosen.recipe.budget == 15


def test_a_random_encoder_needs_a_network_that_has_one() -> None:
    recipe = plan("inpaint", method="ugodit", steps=2, settings=["net=deepdecoder"]).recipe
    assert recipe is not None
    with pytest.raises(UserError, match="of an encoder and a decoder"):
        solve_recipe(recipe, hole(0))


def coils(count: int, every: int) -> Problem:
    """A scan of so many coils, of which every so many-th line was measured."""
    turns = 2 * torch.pi * draw(count, 16, 12, seed=1)
    maps = torch.polar(draw(count, 16, 12, seed=2) + 0.2, turns)
    physics = MRI(torch.arange(12) % every == 0, maps)
    return Problem(physics.A(draw(1, 2, 16, 12, seed=count)), physics)


MIXED = {
    "mri": (coils(3, 2), coils(2, 3), coils(1, 1)),
    "ct": tuple(
        Problem(physics.A(draw(1, 1, 16, 16, seed=views)), physics)
        for views in (9, 20)
        for physics in [CT((16, 16), torch.arange(views) * 180.0 / views, 20 + views)]
    ),
    "superres": tuple(
        Problem(physics.A(draw(1, 1, 32, 32, seed=factor)), physics)
        for factor in (2, 4)
        for physics in [SuperRes((1, 32, 32), factor)]
    ),
}


@pytest.mark.parametrize("task", MIXED)
def test_scans_of_different_operators_teach_one_encoder(task: str) -> None:
    """Coils, lines, views, detectors and factors may differ; every one of them counts."""
    problems = MIXED[task]
    sets = ["net=compact", *SHRINK["ugodit"]]
    weights, result = train("ugodit", problems, settings=sets, steps=4)
    assert len(weights.misfit) == len(problems) == len(result.image)
    fewer, _ = train("ugodit", problems[:-1], settings=sets, steps=4)
    name = next(iter(weights.tensors))
    assert not torch.equal(weights.tensors[name], fewer.tensors[name])


def test_the_decoder_that_explains_the_measurements_best_is_the_start() -> None:
    weights = learn("ugodit", steps=40)
    decoders = {n for n in weights.tensors if "@" in n}
    assert {n.partition("@")[2] for n in decoders} == {"0", "1"}
    for index in range(2):  # the image that a decoder was learned from, with its mask
        start = State(weights.start(hole(index)), weights.net.build(1, 1), seed=0)
        start.take_given(start.problem.pretrained)
        methods.UGoDIT(decoder=True).start(start)
        for name in decoders:
            own, _, which = name.partition("@")
            same = torch.equal(start.weights[own][0], weights.tensors[name])
            assert same == (which == str(index)) or torch.equal(
                *(weights.tensors[f"{own}@{i}"] for i in range(2))
            )
    bare = {n: t for n, t in weights.tensors.items() if n not in decoders}
    chosen = plan("inpaint", weights=weights, steps=4, stop="none", settings=["decoder=true"])
    with pytest.raises(UserError, match="no decoders to choose from"):
        solve_recipe(chosen.recipe, hole(0).with_weights(bare))  # type: ignore[arg-type]


@pytest.mark.parametrize(("net", "layers"), [("unet", 4), ("skip", 3)])
def test_the_features_of_table_3_are_every_layer_and_the_output(net: str, layers: int) -> None:
    """The stem is the first layer of a U-Net; the skip network has none."""
    kinds = {
        "unet": nets.UNet(widths=(4, 5, 6, 7)),
        "skip": nets.SkipNet((4, 5, 6), (4, 5, 6), (2,) * 3),
    }
    z = draw(1, 1, 32, 16)  # sides that need no padding
    module = kinds[net].build(1, 1)
    initialise(module, 0)
    s = State(clean_problem(z), module, 0)
    *maps, out = features(s, z)
    assert len(maps) == layers
    assert [m.shape[1] for m in maps] == [4, 5, 6, 7][:layers]
    if net == "unet":
        torch.testing.assert_close(maps[0], module.encoder.stem(z))
    assert torch.equal(out, s.net(z))
    assert not any(layer._forward_hooks for layer in module.modules())


def test_ugodit_of_one_image_is_aseqdip() -> None:
    """The exact limit M = 1 of Algorithm 1."""
    alone = solve_recipe(Recipe(methods.ASeqDIP(4, lam=2.0), SMALL, ADAM), hole(3))
    group = fit_together(Recipe(UGoDITTraining(4), SMALL, ADAM), Group([hole(3)]))
    assert torch.equal(alone.image, group.image)
    assert all(torch.equal(w, group.weights[n]) for n, w in alone.weights.items())


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


def test_each_image_has_its_own_decoder_and_its_own_statistics() -> None:
    group = Group([hole(0), hole(1)])
    recipe = Recipe(UGoDITTraining(4), SMALL, ADAM)
    module = recipe.build(hole(0))
    initialise(module, 0)
    s = State(group, module, 0)
    recipe.method.start(s)
    encoder, decoder = s.part("encoder"), s.part("decoder")
    assert all(len(s.weights[n]) == 1 for n in encoder)
    assert all(len(s.weights[n]) == 2 for n in decoder)
    assert any(not torch.equal(s.weights[n][0], s.weights[n][1]) for n in decoder)
    x, terms = recipe.method.loss(s)
    for g, problem in enumerate(group.problems):
        own = {n: w[g if len(w) > 1 else 0] for n, w in s.weights.items()}
        alone = torch.func.functional_call(module, own, (problem.estimate(),))
        assert torch.equal(x[g : g + 1], alone)
        assert torch.equal(terms["data"][g : g + 1], problem.misfit(alone))
    torch.stack(list(terms.values())).sum().backward()
    together = s.weights[encoder[0]].grad
    parts = []
    for g, problem in enumerate(group.problems):
        own = {n: w.detach()[g if len(w) > 1 else 0].clone() for n, w in s.weights.items()}
        own[encoder[0]].requires_grad_(True)
        out = torch.func.functional_call(module, own, (problem.estimate(),))
        (problem.misfit(out) + 2.0 * mse(out, problem.estimate())).sum().backward()
        parts.append(own[encoder[0]].grad)
    assert together is not None
    torch.testing.assert_close(together[0], parts[0] + parts[1])


def test_a_shared_decoder_is_one_decoder() -> None:
    recipe = Recipe(UGoDITTraining(2, disentangled=False), SMALL, ADAM)
    result = fit_together(recipe, Group([hole(0), hole(1)]))
    assert all(len(weight) == 1 for weight in result.weights.values())


def gained(y: Tensor, weight: float, **how: object) -> tuple[State, MetaDIPTraining, float]:
    """The state of a network f(z) = g z that learns y, its method, and the constant c of
    ||f(z) - y||^2 = c (g - g_0)^2 + rest, with g_0 the best g, which is put at 0.
    """
    method = MetaDIPTraining(channels=1, amplitude=1.0, **how)  # type: ignore[arg-type]
    module = Gain()
    module.gain.data.fill_(weight)
    s = State(Group([clean_problem(0 * y)]), module, 0)
    method.start(s)
    return s, method, float(s["z"].square().mean())


class Gain(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Module()
        self.layer.gain = torch.nn.Parameter(torch.ones(1))

    @property
    def gain(self) -> torch.nn.Parameter:
        return self.layer.gain  # type: ignore[return-value]

    def forward(self, z: Tensor) -> Tensor:
        return self.layer.gain * z  # type: ignore[operator]


@pytest.mark.parametrize("second", [False, True])
def test_metadip_learns_start_and_rates_by_the_gradient_through_its_steps(second: bool) -> None:
    """Take the cost c g^2: a step is g <- (1 - 2 c alpha) g, so that everything is known."""
    s, method, c = gained(draw(1, 1, 9, 11), 1.5, adapt=2, first=0.3, second=second)
    _, terms = method.loss(s)
    terms["data"].sum().backward()
    shrink = 1 - 2 * c * 0.3
    last = 1.5 * shrink**2
    assert terms["data"].item() == pytest.approx(c * last**2, rel=1e-5)
    start, rate = s.weights["layer.gain"].grad, s.weights["log rate/layer"].grad
    outer = 2 * c * last
    # the second gradient is 2 c g_1, and g_1 moves with start and rate
    inner = 2 * c * 1.5 * (1 + shrink), 2 * 2 * c * 1.5 * shrink
    assert start.item() == pytest.approx(outer * (shrink**2 if second else 1), rel=1e-4)  # type: ignore[union-attr]
    assert rate.item() == pytest.approx(-outer * 0.3 * inner[second], rel=1e-4)  # type: ignore[union-attr]


def test_metadip_descends_as_it_was_taught() -> None:
    """On an image learned from the first N steps are those of the training, to the same image."""
    problem = clean_problem(draw(1, 1, 9, 11))
    method = MetaDIPTraining(adapt=4, first=0.05, channels=4)
    module = Recipe(method, SMALL).build(problem)
    initialise(module, 0)
    s = State(Group([problem]), module, 0)
    method.start(s)
    with torch.no_grad():
        for i, name in enumerate(n for n in s.weights if n.startswith("log rate/")):
            s.weights[name] += 0.1 * i  # every layer has a rate of its own
    wanted, _ = method.loss(s)
    learned = {n: w.detach()[0] for n, w in s.weights.items()} | {"input": s["z"][0]}
    descent = Engine("sgd", lr=1.0, precision="fp32")
    recipe = Recipe(methods.MetaDIP(5, channels=4), SMALL, descent)
    found = solve_recipe(recipe, problem.with_weights(learned))
    torch.testing.assert_close(found.image, wanted.detach())
    other = {n: w + 0.5 if n.startswith("log rate/") else w for n, w in learned.items()}
    assert not torch.allclose(solve_recipe(recipe, problem.with_weights(other)).image, wanted)


def test_metadip_weights_carry_a_rate_for_every_layer_and_are_refused_without() -> None:
    weights = learn("metadip", steps=4)
    rates = {n: float(t) for n, t in weights.tensors.items() if n.startswith("log rate/")}
    layers = {n.rpartition(".")[0] for n in weights.tensors if "/" not in n and n != "input"}
    assert {n.removeprefix("log rate/") for n in rates} == layers
    assert len(set(rates.values())) > 1
    chosen = plan("inpaint", weights=weights, steps=2)
    assert chosen.recipe is not None
    assert chosen.seeds(1) == 1
    old = {n: t for n, t in weights.tensors.items() if n not in rates}
    with pytest.raises(UserError, match="lack the learning rate .* learned before metadip learned"):
        solve_recipe(chosen.recipe, hole(0).with_weights(old))


def test_metadip_learns_of_all_images() -> None:
    images = [clean_problem(draw(1, 1, 9, 11, seed=seed)) for seed in (1, 2, 3)]
    sets = ["net.widths=4,6", "net.skip=2", "channels=4", "adapt=4"]
    first, _ = train("metadip", images[:2], settings=sets, steps=4)
    other, _ = train("metadip", images[1:], settings=sets, steps=4)
    turned, _ = train("metadip", images[1::-1], settings=sets, steps=4)
    name = next(iter(first.tensors))
    assert not torch.equal(first.tensors[name], other.tensors[name])
    torch.testing.assert_close(first.tensors[name], turned.tensors[name])


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


REFUSED = {
    "another method": (
        lambda w: plan("inpaint", method="edip", weights=w),
        "for the method ugodit",
    ),
    "another task": (lambda w: plan("denoise", weights=w), "for the task inpaint, not denoise"),
    "no use for them": (lambda w: plan("inpaint", method="dip", weights=w), "random weights"),
    "none given": (lambda _: plan("inpaint", method="edip"), "untrained pretrain edip inpaint"),
    "a random encoder": (
        lambda w: solve_recipe(
            plan("inpaint", method="ugodit", settings=SHRINK["ugodit"], steps=2).recipe,
            w.start(hole(0)),
        ),
        "RandomEncoder is UGoDIT without learned weights",
    ),
    "other channels": (lambda w: w.start(Problem(draw(1, 3, 9, 11), _full(3))), "1 channel"),
    "another network": (
        lambda w: solve_recipe(
            plan("inpaint", weights=w, settings=["net.widths=5,6"], steps=2).recipe,
            w.start(hole(0)),
        ),
        "do not fit the network",
    ),
    "more scales": (
        lambda w: solve_recipe(
            plan("inpaint", weights=w, settings=["net.depth=1"], steps=2).recipe, w.start(hole(0))
        ),
        "no such weight",
    ),
}


def _full(channels: int) -> Inpaint:
    return Inpaint(torch.ones(9, 11), (channels, 9, 11))


@pytest.mark.parametrize("case", REFUSED)
def test_weights_that_do_not_fit_are_refused(case: str) -> None:
    ask, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        ask(learn("ugodit", steps=2))  # type: ignore[no-untyped-call]


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(2)}, other)
    with pytest.raises(UserError, match="not where they come from"):
        load_weights(other)
    other.write_bytes(b"123")
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_weights(other)
    with pytest.raises(UserError, match="there is no file"):
        load_weights(tmp_path / "none.safetensors")
    weights = learn("ugodit", steps=2)
    with pytest.raises(UserError, match="ends otherwise"):
        weights.save(tmp_path / "w.pt")
    weights.save(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="never overwritten unasked"):
        weights.save(tmp_path / "w.safetensors")


@pytest.mark.parametrize("text", ["5", "null", '"a"', "[]", "{}", '{"format": 3, "new": 1}'])
def test_damaged_facts_are_refused(text: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors", {"untrained": text})
    with pytest.raises(UserError, match="is damaged") as refused:
        load_weights(tmp_path / "w.safetensors")
    assert ("format 3" in str(refused.value)) == ("format" in text)


def test_weights_learned_at_another_scale_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("untrained.pretrain.weights.FORMAT", 1)
        learn("ugodit", steps=2).save(tmp_path / "old.safetensors")
    with pytest.raises(UserError, match=r"format 1.*scale.*learn it anew with: untrained pretrain"):
        load_weights(tmp_path / "old.safetensors")


@pytest.mark.parametrize(
    "harm", [lambda t: t * torch.nan, lambda t: t.to(torch.int32), lambda t: t.to(torch.complex64)]
)
def test_weights_that_are_no_finite_numbers_are_refused(
    harm: Callable[[Tensor], Tensor], tmp_path: Path
) -> None:
    weights = learn("ugodit", steps=2)
    harmed = {name: harm(tensor) for name, tensor in weights.tensors.items()}
    replace(weights, tensors=harmed).save(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="is damaged"):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["ugodit", "metadip"])
def test_weights_that_lack_some_are_refused(name: str) -> None:
    weights = learn(name)
    some = {n: t for i, (n, t) in enumerate(weights.tensors.items()) if i % 2 or n == "input"}
    chosen = plan("inpaint", weights=weights, steps=2)
    with pytest.raises(UserError, match="lack"):
        solve_recipe(chosen.recipe, hole(0).with_weights(some))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_several_seeds_only_where_something_is_drawn(name: str) -> None:
    chosen = plan("inpaint", weights=learn(name), steps=2)
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


def test_metadip_refuses_another_size() -> None:
    weights = learn("metadip")
    physics = Inpaint(torch.ones(8, 8), (1, 8, 8))
    chosen = plan("inpaint", weights=weights, steps=2)
    with pytest.raises(UserError, match="come with an input of"):
        solve_recipe(chosen.recipe, weights.start(Problem(draw(1, 1, 8, 8), physics)))  # type: ignore[arg-type]


def test_images_of_several_shapes_are_refused() -> None:
    other = Problem(draw(1, 1, 8, 8), Inpaint(torch.ones(8, 8), (1, 8, 8)))
    with pytest.raises(UserError, match=r"problem 2 has an image of \(1, 8, 8\)"):
        train("ugodit", [hole(0), other], task="inpaint", steps=2)
    with pytest.raises(UserError, match="nothing to learn from"):
        train("ugodit", [], task="inpaint")
    with pytest.raises(UserError, match="learns nothing beforehand"):
        train("dip", [hole(0)], task="inpaint")


def test_a_learned_encoder_that_hurts_is_trained_further() -> None:
    """Random weights far too large stand for features that fit nothing."""
    weights = learn("ugodit")
    problem = Problem(draw(1, 1, 24, 24), Inpaint(torch.ones(24, 24), (1, 24, 24)))
    chosen = plan("inpaint", weights=weights, steps=80, settings=["engine.lr=0.01"])
    assert chosen.recipe is not None
    blind = {n: torch.zeros_like(t) for n, t in weights.tensors.items() if "@" not in n}
    hurt = solve_recipe(chosen.recipe, problem.with_weights(blind))
    assert hurt.candidate == [1]
    assert "trials of 20 steps had shown that one that is trained further" in hurt.stop[0].reason
    assert hurt.settled().method.frozen is False  # type: ignore[attr-defined]
    assert {"fit", "refit"} == set(hurt.history["phase"])
    assert hurt.steps == len(hurt.history["phase"]) + 2 * 20  # and those of the trial
    assert not any(torch.equal(hurt.weights[n][0], t) for n, t in blind.items() if "conv" in n)


def test_settings_are_the_alternative_s_too() -> None:
    weights = learn("ugodit")
    set_both = plan("inpaint", weights=weights, settings=["lam=0.3", "inner=5"]).recipe
    assert set_both is not None
    assert set_both.alternative == replace(set_both.method, frozen=False)  # type: ignore[type-var]
    for frozen in ("true", "false"):  # who says which of the two asks for no trial
        told = plan("inpaint", weights=weights, settings=["lam=0.3", f"frozen={frozen}"]).recipe
        assert told is not None
        assert told.alternative is None


def test_the_trial_of_an_alternative_resumes_to_the_same_bits(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    weights = learn("ugodit")
    recipe = plan("inpaint", weights=weights, steps=80).recipe
    assert recipe is not None
    whole = solve_recipe(recipe, weights.start(hole(7)))
    paused = solve_recipe(recipe, weights.start(hole(7)), run_dir=tmp_path, watch=[pause_after(24)])
    assert not paused.finished
    again = solve_recipe(recipe, weights.start(hole(7)), run_dir=tmp_path)
    assert torch.equal(again.image, whole.image)
    assert again.stop == whole.stop


def test_a_trial_too_short_to_tell_says_nothing() -> None:
    weights = learn("ugodit")
    recipe = plan("inpaint", weights=weights, steps=8).recipe
    assert recipe is not None
    result = solve_recipe(recipe, weights.start(hole(7)))
    assert result.candidate == [0]
    assert "trials of" not in result.stop[0].reason


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
