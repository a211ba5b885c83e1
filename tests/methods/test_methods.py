"""Every network method of the table against every promise that all of them make."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_problems import SIDES, draw, mri, problem_for, tank
from method_table import NAMES, TABLE, run, small, start_for
from small_priors import small_prior
from torch import Tensor
from weight_files import APPLIED

from untrained import METHODS, Problem
from untrained import methods as m
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.methods.card import NOTHING, PRETRAINED
from untrained.nets import initialise, normalisations
from untrained.physics import Inpaint
from untrained.priors import DENOISER
from untrained.rules.watch import Reference
from untrained.solver.procedure import solve_recipe

STEPS = 12
# of the weights; all of them elsewhere
TRAINED = {
    "drp": "normalisations",
    "inr": "layers",
    "nerp": "layers",
    "oes": "sub-network",
    "ugodit": "decoder",
}
DETERMINED = ("edip", "nerp", "pnp", "red", *APPLIED)
"""By the learned weights and the measurements: nothing is drawn."""
VARIABLES = {
    "autoencoder": {"z"},
    "ddip": {f"lora/network.{layer}.weight/{which}" for layer in (0, 2) for which in "AB"},
    "dop": {"g", "h"},
    "drp": {"z", "gain", "offset"},
    "selfdeblur": {f"kernel/{n}.{p}" for n in ("first", "second") for p in ("weight", "bias")},
    "selfguided": {"z"},
    "sitcom": {"v"},
}
IN_A_TANK = [n for n in NAMES if "eit" in METHODS[n].tasks and METHODS[n].needs == NOTHING]


@pytest.mark.parametrize("name", NAMES)
def test_the_objective_falls(name: str) -> None:
    recipe = replace(TABLE[name], steps=40 if name not in ("oes", "autoencoder") else 0)
    if name == "oes":
        recipe = replace(recipe, method=m.OES(60, search=10, keep=0.8))
    if name == "autoencoder":
        recipe = replace(recipe, method=m.Autoencoder(60, training=20))
    problem = problem_for(name)
    data = solve_recipe(recipe, problem, start=start_for(name, problem)).history["data"]
    if name in APPLIED:  # every step shows the same image
        assert len(set(data)) == 1
        return
    later = 10 if name == "oes" else 20 if name == "autoencoder" else 0
    before: object = data[later]
    if METHODS[name].family == PRETRAINED:  # some fit y from the first step on
        before = float(problem.misfit(torch.zeros(1, *problem.x_shape))) / 10
    assert min(data[-5:]) < before  # type: ignore[operator,type-var]


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bits_other_seed_other_image(name: str) -> None:
    first, again = (run(name, problem_for(name), seed=3) for _ in range(2))
    assert torch.equal(first.image, again.image)
    assert first.history == again.history
    other = run(name, problem_for(name), seed=4)
    assert torch.equal(first.image, other.image) == (name in DETERMINED)


@pytest.mark.parametrize("at", [4, 7])
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_is_bit_identical(
    name: str, at: int, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    """Step 7 is in the middle of a round of aseqdip and deepred, and in oes' second phase."""
    whole = run(name, problem_for(name))
    paused = run(name, problem_for(name), run_dir=tmp_path, watch=[pause_after(at)])
    assert not paused.finished
    resumed = run(name, problem_for(name), run_dir=tmp_path)
    assert resumed.resumed_from == (at,)
    assert torch.equal(resumed.image, whole.image)
    assert resumed.history == whole.history
    assert all(torch.equal(w, resumed.weights[n]) for n, w in whole.weights.items())


def test_the_released_order_of_deepred_resumes_to_the_same_bits(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    """Step 7 lies between two denoised images, of which the first is kept."""
    method = m.DeepRED(12, inner=1, cache=5, fresh=False, answer="x-u", denoiser="dct")
    whole = solve_recipe(small(method), mri())
    solve_recipe(small(method), mri(), run_dir=tmp_path, watch=[pause_after(7)])
    resumed = solve_recipe(small(method), mri(), run_dir=tmp_path)
    assert resumed.resumed_from == (7,)
    assert torch.equal(resumed.image, whole.image)


@pytest.mark.parametrize("name", NAMES)
def test_only_what_the_paper_optimises_is_optimised(name: str) -> None:
    recipe, problem = TABLE[name], problem_for(name)
    module = recipe.build(problem)
    initialise(module, 0)
    state = State(problem, module, 0, start=start_for(name, problem))
    recipe.method.start(state)
    weights = {n[4:] for n in state.rates if n.startswith("net/")}
    variables = {n for n in state.rates if not n.startswith(("net/", "search/"))}
    everything = set(state.weights)
    expected = {
        "normalisations": set(normalisations(module)),
        "decoder": {n for n in everything if n.startswith("decoder.")},
        "layers": {n for n in everything if "frequencies" not in n},
    }.get(TRAINED.get(name, ""), everything)
    assert weights == expected
    assert variables == VARIABLES.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_its_singles(name: str) -> None:
    both = problem_for(name, count=2)
    together = run(name, both)
    for i in range(2):
        assert torch.equal(together.image[i : i + 1], run(name, both.select(i)).image)


@pytest.mark.parametrize("name", IN_A_TANK)
def test_impedance_tomography_is_done_alike(name: str) -> None:
    """Positive, the same bits for the same seed, and a batch is its singles."""
    both = tank(2)
    together, again = run(name, both), run(name, tank(2))
    assert torch.equal(together.image, again.image)
    assert together.image.shape == (2, 1, *SIDES)
    assert bool((together.image > 0).all())
    assert not torch.equal(*together.image)
    assert torch.equal(together.image[1:], run(name, both.select(1)).image)


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_changes_nothing(name: str) -> None:
    problem = problem_for(name)
    truth = draw(*problem.y[:1].shape[:1], *problem.x_shape, seed=9)
    seen = run(name, problem, watch=[Reference(truth, 1.0)])
    assert torch.equal(seen.image, run(name, problem_for(name)).image)
    assert len(seen.history["psnr"]) == STEPS


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].prior == DENOISER])
def test_a_method_that_takes_gradients_through_its_prior_says_so(name: str) -> None:
    """The memory of such a pass is counted before a run."""
    problem = problem_for(name)
    start = start_for(name, problem)
    prior = small_prior() if start.prior is None else start.prior
    ask, kept = prior.estimate, set()

    def watched(x: Tensor, sigma: Tensor) -> Tensor:
        found = ask(x, sigma)
        if not x.is_meta:  # the count itself
            kept.add(found.requires_grad)
        return found

    prior.estimate = watched
    solve_recipe(replace(TABLE[name], steps=4), problem, start=replace(start, prior=prior))
    assert (True in kept) == TABLE[name].method.differentiates


@pytest.mark.parametrize("name", ["refguided", "autoencoder"])
def test_a_missing_or_misshapen_guide_is_named(name: str) -> None:
    physics = Inpaint(torch.ones(8, 9), (1, 8, 9))
    with pytest.raises(UserError, match=f"{name} needs clean images"):
        run(name, Problem(draw(1, 1, 8, 9), physics))
    with pytest.raises(UserError, match=r"guide has shape \(1, 1, 9, 8\).*\(1, 8, 9\)"):
        Problem(draw(1, 1, 8, 9), physics, guide=draw(1, 1, 9, 8))


SET_FOR_NORM_ONE = {
    *("deepred", "dop", "drp", "edip", "house", "metadip", "oes", "sgld", "tvdip"),
}
"""Methods whose weights, steps or clipping were set for an operator of norm one."""


@pytest.mark.parametrize(
    "name", sorted(TABLE.keys() - {"convdecoder", "doubledip", "dop", "dvp", "fillin"})
)
def test_what_the_data_term_is_divided_by(name: str) -> None:
    """A paper's lambda meets the mean squared singular value, ours the largest one, as ever."""
    problem, recipe = problem_for(name), TABLE[name]
    module = recipe.build(problem)
    initialise(module, 0)
    state = State(problem, module, 0, start=start_for(name, problem))
    recipe.method.start(state)
    image, terms = recipe.method.loss(state)
    found = terms["data"].square() if name == "drp" else terms["data"]
    if name == "metadip":  # its steps are those of the network's own image, before c
        found = found * state["c"].flatten().square()
    by = "norm" if name in SET_FOR_NORM_ONE else "mean"
    torch.testing.assert_close(found, state.problem.misfit(image, by))
