"""UGoDIT: one encoder for several scans, with and without what it learned."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lessons import ADAM, SHRINK, SMALL, draw, hole, learned

from untrained import Problem, methods, nets
from untrained.core.recipe import Recipe
from untrained.core.start import StartWeights
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.maths import mse
from untrained.methods.ugodit import RandomEncoder, UGoDITTraining, features
from untrained.nets import initialise
from untrained.physics import CT, MRI, Inpaint, SuperRes
from untrained.pretrain import clean_problem, train
from untrained.problem.group import Group
from untrained.run.plan import plan
from untrained.solver.procedure import fit_together, solve_recipe


def test_the_encoder_rests_at_test_time() -> None:
    weights = learned("ugodit")
    encoder = {n: t for n, t in weights.tensors.items() if n.startswith("encoder.")}
    chosen = plan("inpaint", weights=weights, steps=8, stop="none")
    result = solve_recipe(chosen.recipe, hole(7), start=weights.start(hole(7)))  # type: ignore[arg-type]
    assert all(torch.equal(result.weights[n][0], t) for n, t in encoder.items())
    start = plan("inpaint", weights=weights, steps=8, stop="none", settings=["frozen=false"])
    moved = solve_recipe(start.recipe, hole(7), start=weights.start(hole(7)))  # type: ignore[arg-type]
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
    learned_one = plan("inpaint", weights=learned("ugodit"), settings=["frozen=true"]).recipe
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
    weights = learned("ugodit", steps=40)
    decoders = {n for n in weights.tensors if "@" in n}
    assert {n.partition("@")[2] for n in decoders} == {"0", "1"}
    for index in range(2):  # the image that a decoder was learned from, with its mask
        given, module = weights.start(hole(index)), weights.net.build(1, 1)
        start = State(hole(index), module, seed=0, start=given)
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
        solve_recipe(chosen.recipe, hole(0), start=StartWeights.from_tensors(bare))  # type: ignore[arg-type]


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


def test_a_learned_encoder_that_hurts_is_trained_further() -> None:
    """Random weights far too large stand for features that fit nothing."""
    weights = learned("ugodit")
    problem = Problem(draw(1, 1, 24, 24), Inpaint(torch.ones(24, 24), (1, 24, 24)))
    chosen = plan("inpaint", weights=weights, steps=80, settings=["engine.lr=0.01"])
    assert chosen.recipe is not None
    blind = {n: torch.zeros_like(t) for n, t in weights.tensors.items() if "@" not in n}
    hurt = solve_recipe(chosen.recipe, problem, start=StartWeights.from_tensors(blind))
    assert hurt.candidate == (1,)
    assert "trials of 20 steps had shown that one that is trained further" in hurt.stop[0].reason
    assert hurt.final_recipe().method.frozen is False  # type: ignore[attr-defined]
    assert {"fit", "refit"} == set(hurt.history["phase"])
    assert hurt.steps == len(hurt.history["phase"]) + 2 * 20  # and those of the trial
    assert not any(torch.equal(hurt.weights[n][0], t) for n, t in blind.items() if "conv" in n)


def test_settings_are_the_alternative_s_too() -> None:
    weights = learned("ugodit")
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
    weights = learned("ugodit")
    recipe = plan("inpaint", weights=weights, steps=80).recipe
    assert recipe is not None
    start = weights.start(hole(7))
    whole = solve_recipe(recipe, hole(7), start=start)
    watch = [pause_after(24)]
    paused = solve_recipe(recipe, hole(7), start=start, run_dir=tmp_path, watch=watch)
    assert not paused.finished
    again = solve_recipe(recipe, hole(7), start=start, run_dir=tmp_path)
    assert torch.equal(again.image, whole.image)
    assert again.stop == whole.stop


def test_a_trial_too_short_to_tell_says_nothing() -> None:
    weights = learned("ugodit")
    recipe = plan("inpaint", weights=weights, steps=8).recipe
    assert recipe is not None
    result = solve_recipe(recipe, hole(7), start=weights.start(hole(7)))
    assert result.candidate == (0,)
    assert "trials of" not in result.stop[0].reason
