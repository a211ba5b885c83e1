"""MetaDIP: starting weights and rates learned through the steps that they are used in."""

import pytest
import torch
from lessons import SMALL, draw, hole, learned
from torch import Tensor

from untrained import Problem, methods
from untrained.core.engine import Engine
from untrained.core.recipe import Recipe
from untrained.core.start import StartWeights
from untrained.core.state import State
from untrained.errors import UserError
from untrained.methods.metadip import MetaDIPTraining
from untrained.nets import initialise
from untrained.physics import Inpaint
from untrained.pretrain import clean_problem, train
from untrained.problem.group import Group
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe


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
    found = solve_recipe(recipe, problem, start=StartWeights.from_tensors(learned))
    torch.testing.assert_close(found.image, wanted.detach())
    other = {n: w + 0.5 if n.startswith("log rate/") else w for n, w in learned.items()}
    faster = solve_recipe(recipe, problem, start=StartWeights.from_tensors(other))
    assert not torch.allclose(faster.image, wanted)


def test_metadip_weights_carry_a_rate_for_every_layer_and_are_refused_without() -> None:
    weights = learned("metadip", steps=4)
    rates = {n: float(t) for n, t in weights.tensors.items() if n.startswith("log rate/")}
    layers = {n.rpartition(".")[0] for n in weights.tensors if "/" not in n and n != "input"}
    assert {n.removeprefix("log rate/") for n in rates} == layers
    assert len(set(rates.values())) > 1
    chosen = plan("inpaint", weights=weights, steps=2)
    assert chosen.recipe is not None
    assert chosen.seeds(1) == 1
    old = {n: t for n, t in weights.tensors.items() if n not in rates}
    with pytest.raises(UserError, match="lack the learning rate .* learned before metadip learned"):
        solve_recipe(chosen.recipe, hole(0), start=StartWeights.from_tensors(old))


def test_metadip_learns_of_all_images() -> None:
    images = [clean_problem(draw(1, 1, 9, 11, seed=seed)) for seed in (1, 2, 3)]
    sets = ["net.widths=4,6", "net.skip=2", "channels=4", "adapt=4"]
    first, _ = train("metadip", images[:2], settings=sets, steps=4)
    other, _ = train("metadip", images[1:], settings=sets, steps=4)
    turned, _ = train("metadip", images[1::-1], settings=sets, steps=4)
    name = next(iter(first.tensors))
    assert not torch.equal(first.tensors[name], other.tensors[name])
    torch.testing.assert_close(first.tensors[name], turned.tensors[name])


def test_metadip_refuses_another_size() -> None:
    weights = learned("metadip")
    physics = Inpaint(torch.ones(8, 8), (1, 8, 8))
    recipe, problem = plan("inpaint", weights=weights).recipe, Problem(draw(1, 1, 8, 8), physics)
    assert recipe is not None
    with pytest.raises(UserError, match="come with an input of"):
        solve_recipe(recipe, problem, start=weights.start(problem))
