"""One table: every network method against every promise that all of them make."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from small_priors import small_prior
from torch import Tensor
from weight_files import APPLIED, trained

from untrained import METHODS, Problem, nets
from untrained import methods as m
from untrained.classical import CLASSICAL as ANSWERS
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.start import LOG_RATE, StartWeights
from untrained.core.state import State
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.methods import PRESETS, find_recipe
from untrained.methods.card import (
    CLASSICAL,
    FAMILIES,
    HYBRID,
    LOW_DATA,
    NOTHING,
    PRETRAINED,
    PRIOR,
    WEIGHTS,
)
from untrained.nets import UNet, initialise, normalisations
from untrained.physics import (
    EIT,
    MRI,
    BlindBlur,
    Blur,
    Denoise,
    Inpaint,
    PhaseRetrieval,
    Processed,
    Series,
    disc_mesh,
)
from untrained.pretrain.train import training_recipe
from untrained.priors import DENOISER, GaussianDenoiser
from untrained.result import Result
from untrained.rules.watch import Reference
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe
from untrained.tasks import SERIES_TASKS

SIDES = (19, 14)
SMALL = nets.Compact(widths=(4, 6, 8), skip=2)
ADAM = Engine("adam", lr=0.01, precision="fp32")
STEPS = 12


def small(method: Method, net: object = SMALL, engine: Engine = ADAM) -> Recipe:
    return Recipe(method=method, net=net, engine=engine)  # type: ignore[arg-type]


def frozen(method: Method, engine: Engine | None = None) -> Recipe:
    """No network of its own."""
    return small(method, nets.NoNet(), engine or Engine("none", precision="fp32"))


TABLE: dict[str, Recipe] = {
    "aseqdip": small(m.ASeqDIP(6)),
    "autoencoder": small(m.Autoencoder(12, training=5)),
    "cascade": small(m.Cascade(12), nets.NoNet(), Engine("none", precision="fp32")),
    "cddip": small(m.CDDIP(4, inner=3), engine=Engine("adamw", lr=0.01, precision="fp32")),
    "convdecoder": small(m.ConvDecoderFit(12, channels=6), nets.ConvDecoder(6, depth=3, start=4)),
    "ddip": small(
        m.DDIP(4, inner=3, rank=2), nets.NoNet(), Engine("adamw", lr=1e-3, precision="fp32")
    ),
    "ddnm": frozen(m.DDNM(12, travel=2, stretch=3)),
    "dds": frozen(m.DDS(12)),
    "deepdecoder": small(m.DeepDecoderFit(12, channels=6), nets.DeepDecoder(6, depth=2)),
    "deepred": small(m.DeepRED(4, inner=3, denoiser="tv")),
    "diffpir": frozen(m.DiffPIR(12)),
    "dip": small(m.DIP(12, walk=0.02)),
    "dop": small(m.DOP(12, first=1e-2), engine=Engine("sgd", lr=0.5, precision="fp32")),
    "doubledip": small(m.DoubleDIP(12)),
    "dps": frozen(m.DPS(12, zeta=3.0)),
    "drp": small(m.DRP(12, walk=1e-3), nets.SkipNet(down=(6,), up=(6,), skip=(2,), sigmoid=False)),
    "tddip": small(m.TDDIP(12, frames=2), nets.TimeNet(6, 2, 8)),
    "dvp": small(m.DVP(12, irt=True), nets.VCN(4, 2)),
    "edip": small(m.EDIP(12)),
    "fillin": small(m.FillIn(12)),
    "house": small(m.House(12)),
    "inr": small(m.INR(12), nets.Siren(8, 2, omega=10.0, features=4)),
    "mcg": frozen(m.MCG(12)),
    "metadip": small(m.MetaDIP(12), engine=Engine("sgd", lr=1.0, precision="fp32")),
    "modl": small(m.MoDL(12), nets.NoNet(), Engine("none", precision="fp32")),
    "nerp": small(m.NeRP(12), nets.Siren(8, 2, features=4)),
    "oes": small(m.OES(12, search=5, keep=0.8)),
    "pnp": frozen(m.PnP(12)),
    "red": frozen(m.RED(12)),
    "refguided": small(m.RefGuided(12)),
    "rethinking": small(m.Rethinking(12), nets.S2SNet(4, 6, (6, 4), depth=2)),
    "scoremri": frozen(m.ScoreMRI(12)),
    "selfdeblur": small(m.SelfDeblur(12, switch=0.5, hidden=5, noise=4, kernel_rate=1.0)),
    "selfguided": small(m.SelfGuided(12, rate=10.0)),
    "sgld": small(m.SGLD(12, noise=0.1)),
    "sitcom": frozen(m.SITCOM(4, 3), Engine("adam", lr=0.3, precision="fp32")),
    "strainer": small(m.Strainer(12), nets.Siren(8, 2)),
    "tvdip": small(m.TVDIP(12)),
    "udig": small(m.UDiGDIP(6)),
    "ugodit": small(m.UGoDIT(6)),
    "varnet": small(m.VarNet(12), nets.NoNet(), Engine("none", precision="fp32")),
}
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
NAMES = sorted(TABLE)
IN_A_TANK = [n for n in NAMES if "eit" in METHODS[n].tasks and METHODS[n].needs == NOTHING]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def mri(count: int = 1, coils: int = 3) -> Problem:
    """Complex, half of the lines, odd and even sides."""
    width = SIDES[1]
    turns = 2 * torch.pi * draw(coils, *SIDES, seed=1)
    maps = torch.polar(draw(coils, *SIDES, seed=2) + 0.2, turns)
    physics = MRI(torch.arange(width) % 2 == 0, maps)
    image = torch.stack([smooth(i) for i in range(count)])
    return Problem(physics.A(image), physics, guide=draw(2, 2, *SIDES, seed=5))


def smooth(index: int) -> Tensor:
    y, x = torch.meshgrid(*(torch.linspace(0, 3, n) for n in SIDES), indexing="ij")
    return torch.stack([(x + y + index).sin(), (x - y * (index + 1)).cos()])


def photograph(count: int = 1) -> Problem:
    image = torch.stack([smooth(i)[:1] * 0.4 + 0.5 for i in range(count)])
    noisy = image + 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(3))
    physics = Denoise(tuple(image.shape[1:]))
    return Problem(noisy, physics, sigma=0.05, guide=draw(2, 1, *SIDES, seed=6))


def diffraction(count: int = 1) -> Problem:
    """Amplitudes of a complex image."""
    physics = PhaseRetrieval((2, *SIDES), 6, complex_image=True)
    image = torch.stack([smooth(i) for i in range(count)]) / 2
    return Problem(physics.A(image), physics)


def holes(count: int = 1) -> Problem:
    """A third of the pixels is missing."""
    clean = photograph(count).y
    physics = Inpaint(draw(*SIDES, seed=8) > 1 / 3, (1, *SIDES))
    return Problem(physics.A(clean), physics)


def clip(count: int = 1) -> Problem:
    """Three frames, each processed on its own."""
    frames = torch.stack([smooth(i)[:1] * 0.4 + 0.5 for i in range(3)], dim=1)[None]
    gains = torch.stack([torch.linspace(0.8, 1.2, 3) + 0.05 * i for i in range(count)])
    y = frames * gains[:, None, :, None, None]
    return Problem(y, Processed(frames, 1))


def blurred(count: int = 1) -> Problem:
    """By a kernel that is unknown."""
    clean = photograph(count).y
    kernel = draw(5, 5, seed=4)
    physics = BlindBlur(5, (1, *SIDES))
    return Problem(Blur(kernel, (1, *SIDES)).A(clean), physics)


def cine(count: int = 1) -> Problem:
    """Three frames of columns, other ones in each."""
    frames = [MRI(torch.arange(SIDES[1]) % 3 == t, x_shape=(2, *SIDES)) for t in range(3)]
    image = torch.stack([torch.stack([smooth(i + t) for t in range(3)], 1) for i in range(count)])
    physics = Series(frames)
    return Problem(physics.A(image), physics)


def tank(count: int = 1) -> Problem:
    """Voltages of conductive and resistive bodies in a disc with 8 electrodes."""
    disc = disc_mesh(8, size=0.04, edges=2)
    pairs = torch.eye(8).double() - torch.eye(8).double().roll(1, 0)
    physics = EIT(disc, pairs.numpy(), pairs.numpy(), (1, *SIDES))
    image = torch.stack([smooth(i)[:1].exp() for i in range(count)])
    return Problem(physics.A(image), physics)


def problem_for(name: str, count: int = 1) -> Problem:
    if name == "cascade":
        return mri(count, coils=1)
    if METHODS[name].tasks == ("phase",):
        return diffraction(count)
    if METHODS[name].tasks == SERIES_TASKS:
        return cine(count)
    if METHODS[name].tasks == ("video",):
        return clip(count)
    if METHODS[name].tasks == ("deblur",):
        return blurred(count)
    if METHODS[name].tasks == ("inpaint",):
        return holes(count)
    return mri(count) if "mri" in METHODS[name].tasks else photograph(count)


def learned(name: str, problem: Problem) -> dict[str, Tensor]:
    """What a training would have left: an encoder, or the whole network."""
    if not METHODS[name].pretrained:
        return {}
    module = TABLE[name].build(problem)
    initialise(module, 77)
    whole = {n: w.detach() for n, w in module.named_parameters()}
    if name == "metadip":
        rates = {LOG_RATE + n.rpartition(".")[0]: torch.tensor(0.1 + 0.01 * len(n)) for n in whole}
        return whole | {n: rate.log() for n, rate in rates.items()}
    part = name in ("strainer", "ugodit")
    return {n: w for n, w in whole.items() if n.startswith("encoder.") or not part}


@cache
def gaussian(shape: tuple[int, ...]) -> GaussianDenoiser:
    """The exact prior of smooth images."""
    axes = torch.meshgrid(*(torch.arange(n) for n in shape[1:]), indexing="ij")
    places = torch.stack([a.flatten() for a in axes], 1).float()
    covariance = torch.exp(-torch.cdist(places, places).square() / 50)
    return GaussianDenoiser(torch.zeros(shape), torch.block_diag(*[covariance] * shape[0]))


def start_for(name: str, problem: Problem) -> StartWeights:
    start = StartWeights.from_tensors(learned(name, problem))
    if name in APPLIED:
        return replace(start, prior=trained(APPLIED[name]))
    if METHODS[name].needs != PRIOR:
        return start
    exact = METHODS[name].family == PRETRAINED
    return replace(start, prior=gaussian(problem.x_shape) if exact else small_prior())


def run(name: str, problem: Problem, **options: object) -> Result:
    start = start_for(name, problem)
    return solve_recipe(TABLE[name], problem, start=start, **options)  # type: ignore[arg-type]


def test_the_table_has_every_network_method() -> None:
    assert {name for name, card in METHODS.items() if not card.classical} == set(TABLE)


def test_every_card_says_what_kind_of_method_it_is_and_what_it_needs() -> None:
    assert {card.family for card in METHODS.values()} | {PRETRAINED} == set(FAMILIES)
    for name, card in METHODS.items():
        assert card.name == name
        assert card.classical == (card.family == CLASSICAL) == (name in ANSWERS)
        assert (card.training is not None) == (card.needs == WEIGHTS)
        if card.needs != NOTHING:
            assert card.family in ((HYBRID, PRETRAINED) if card.needs == PRIOR else (LOW_DATA,))
        if card.needs == PRIOR:
            assert card.prior


def test_no_class_is_without_a_row() -> None:
    """Require a row in the table of tests/pretrain for every training of a card."""
    here = {type(recipe.method) for recipe in TABLE.values()}
    trainings = {
        type(training_recipe(card, card.tasks[0], "fast").method)
        for card in METHODS.values()
        if card.training
    }
    ours = "untrained.methods."
    own = {kind for kind in Method.__subclasses__() if kind.__module__.startswith(ours)}
    assert own == here | trainings


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_task_has_a_recipe_whose_network_can_be_built(name: str, preset: str) -> None:
    for task in METHODS[name].tasks:
        recipe = find_recipe(METHODS[name], task, preset)
        assert recipe.method.name == name
        assert recipe.source
        assert recipe.budget > 0
        problem = mri() if task == "mri" else photograph()
        with torch.device("meta"):
            count = sum(p.numel() for p in recipe.build(problem).parameters())
        assert (count == 0) == isinstance(recipe.net, nets.NoNet)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_settings_are_in_single_precision(name: str) -> None:
    """Check the reconstruction, and what is learned before it."""
    card = METHODS[name]
    recipes = [card.recipe] + ([card.training.recipe] if card.training else [])
    for recipe in recipes:
        for task in card.tasks:
            assert name in ("house", "fillin") or recipe(task, "paper").engine.precision == "fp32"


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


@pytest.mark.parametrize("name", NAMES)
def test_nonlinear_tasks_are_claimed_by_those_that_need_no_adjoint(name: str) -> None:
    claimed = {"phase", "nldeblur", "eit"} & set(METHODS[name].tasks)
    special = name in ("convdecoder", "rethinking")  # of one task each
    assert bool(claimed) == (TABLE[name].method.nonlinear and not special)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_names_method_and_field(name: str) -> None:
    with pytest.raises(UserError, match=f"{type(TABLE[name].method).__name__}.*'gamma_ray'"):
        TABLE[name].with_setting("gamma_ray=1")


def test_another_network_keeps_the_range_of_the_output() -> None:
    bounded = TABLE["dip"].with_setting("net=skip").with_setting("net.sigmoid=true")
    other = bounded.with_setting("net=unet").with_setting("net.widths=8,16")
    assert other.net == UNet(widths=(8, 16), sigmoid=True)
    assert other.method == bounded.method
    with pytest.raises(UserError, match="no such network; skip, unet, compact"):
        bounded.with_setting("net=resnet")


def test_settings_that_have_to_agree_are_set_together() -> None:
    """Three lists of one entry per scale: any one of them alone is refused."""
    lists = ["net.down=8,16,32", "net.up=8,16,32", "net.skip=0,2,2"]
    recipe = find_recipe(METHODS["dip"], "denoise", "paper")
    for order in (lists, lists[::-1]):
        net = plan("denoise", method="dip", preset="paper", settings=order).recipe.net
        assert (net.down, net.up, net.skip) == ((8, 16, 32), (8, 16, 32), (0, 2, 2))
        assert net == recipe.with_settings(["net=skip", *order]).net
    assert training_recipe(METHODS["metadip"], "denoise", "paper", lists).net == net
    with pytest.raises(UserError, match="one entry per scale each, got 3, 3 and 5"):
        recipe.with_settings(lists[:2])
    assert recipe.with_settings(["rounds=5", "rounds=7"]).budget == 7


def test_a_setting_whose_value_is_none_takes_one_of_its_type() -> None:
    recipe = find_recipe(METHODS["rethinking"], "denoise", "fast")
    assert recipe.with_setting("spread=0.25").method.spread == 0.25
    assert recipe.with_settings(["spread=0.25", "spread=none"]).method.spread is None
    with pytest.raises(UserError, match="'wide' is not a float"):
        recipe.with_setting("spread=wide")
    with pytest.raises(UserError, match="'many' is not a int"):
        find_recipe(METHODS["dip"], "denoise", "fast").with_settings(["net.depth=many"])


def test_settings_reach_both_sides_of_a_combined_rule() -> None:
    sets = ["stop.window=7", "stop.patience=9", "stop.steps=8"]
    stop = plan("denoise", method="dip", stop="wmv | steps:5", settings=sets).recipe.stop
    assert (stop.left.window, stop.left.patience, stop.right.steps) == (7, 9, 8)


@pytest.mark.parametrize("name", ["refguided", "autoencoder"])
def test_a_missing_or_misshapen_guide_is_named(name: str) -> None:
    physics = Inpaint(torch.ones(8, 9), (1, 8, 9))
    with pytest.raises(UserError, match=f"{name} needs clean images"):
        run(name, Problem(draw(1, 1, 8, 9), physics))
    with pytest.raises(UserError, match=r"guide has shape \(1, 1, 9, 8\).*\(1, 8, 9\)"):
        Problem(draw(1, 1, 8, 9), physics, guide=draw(1, 1, 9, 8))


@pytest.mark.parametrize(("name", "inner"), [("dip", 1), ("aseqdip", 2), ("house", 1)])
def test_rounds_that_are_asked_for_are_taken(name: str, inner: int) -> None:
    recipe = find_recipe(METHODS[name], "denoise", "fast").with_setting("rounds=50")
    assert recipe.budget == 50 * inner


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
