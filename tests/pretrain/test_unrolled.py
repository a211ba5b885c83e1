"""The supervised arm: unrolled networks against their exact limits, and as files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from untrained import Problem
from untrained.core.watch import Watch
from untrained.errors import UserError
from untrained.nets import ModlNet, VarNetNet, initialise
from untrained.physics import MRI, Denoise, Inpaint
from untrained.pretrain import train
from untrained.priors import load_prior
from untrained.priors.unrolled import OwnReconstructor, conjugate_gradients, first_image

SMALL = {
    "varnet": ("net.widths=4,6", "net.cascades=2"),
    "modl": ("net.widths=4,6", "net.iterations=2"),
}
NAMES = sorted(SMALL)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def scan(seed: int) -> tuple[Problem, Tensor]:
    """A smooth picture with half of its pixels, and the picture."""
    truth = torch.nn.functional.interpolate(draw(1, 1, 3, 3, seed=seed), (9, 11), mode="bilinear")
    mask = draw(9, 11, seed=50 + seed) < 0.5
    physics = Inpaint(mask.float(), (1, 9, 11))
    return Problem(physics.A(truth), physics), truth


def learn(name: str, steps: int = 4, count: int = 2, more: tuple[str, ...] = (), **options):
    problems, truths = zip(*(scan(i) for i in range(count)), strict=True)
    options = {"references": truths, "settings": (*SMALL[name], *more)} | options
    return train(name, problems, task="inpaint", steps=steps, **options)[0]


def loaded(name: str, folder: Path, *given, **options) -> OwnReconstructor:
    prior = load_prior(learn(name, *given, **options).save(folder / "r.safetensors"))
    assert isinstance(prior, OwnReconstructor)
    assert prior.method == name
    return prior


# exact limits -----------------------------------------------------------------------------------
def mri() -> Problem:
    turns = 2 * torch.pi * draw(3, 16, 12, seed=1)
    physics = MRI(torch.arange(12) % 2 == 0, torch.polar(draw(3, 16, 12, seed=2) + 0.2, turns))
    return Problem(physics.A(draw(1, 2, 16, 12)), physics)


def test_a_variational_network_without_regulariser_is_gradient_descent(tmp_path: Path) -> None:
    problem = mri()
    network = VarNetNet(3, (4, 6)).build(2, 2)
    initialise(network, 0)
    for part in network.parts:
        torch.nn.init.zeros_(part.head.weight)
    torch.nn.init.constant_(network.steps, 0.7)
    tensors = {f"varnet.{n}": t.detach() for n, t in network.state_dict().items()}
    save_file(tensors, tmp_path / "v.safetensors")
    prior = load_prior(tmp_path / "v.safetensors")
    x = problem.estimate()
    for _ in range(3):
        x = x - 0.7 * problem.A_adjoint(problem.A(x) - problem.y) / problem.norm_squared
    torch.testing.assert_close(prior.reconstruct(problem), x)


def test_modl_without_denoiser_is_proximal_iteration(tmp_path: Path) -> None:
    """With N = 0 every iteration solves a regularised least squares problem about the last image;
    on kept pixels that is a weighted mean, in closed form."""
    problem, _ = scan(0)
    network = ModlNet(2, (4, 6)).build(1, 1)
    initialise(network, 0)
    torch.nn.init.zeros_(network.part.head.weight)
    tensors = {f"modl.{n}": t.detach() for n, t in network.state_dict().items()}
    tensors["modl.iterations"] = torch.tensor(2.0)
    save_file(tensors, tmp_path / "m.safetensors")
    x, seen, lam = first_image(problem), problem.physics.A(torch.ones(1, 1, 9, 11)), 0.05
    for _ in range(2):
        x = (problem.y + lam * x) / (seen + lam)
    found = load_prior(tmp_path / "m.safetensors").reconstruct(problem)
    torch.testing.assert_close(found, x)


def test_conjugate_gradients_solve_and_stay_at_a_solution() -> None:
    matrix = torch.diag(torch.tensor([1.0, 2.0, 5.0])) + 0.1
    right = draw(2, 3)

    def normal(x: Tensor) -> Tensor:
        return x @ matrix

    exact = torch.linalg.solve(matrix, right.T).T
    torch.testing.assert_close(conjugate_gradients(normal, right, torch.zeros(2, 3)), exact)
    torch.testing.assert_close(conjugate_gradients(normal, right, exact), exact)
    assert bool(conjugate_gradients(normal, torch.zeros(2, 3), torch.zeros(2, 3)).eq(0).all())


@pytest.mark.parametrize("name", NAMES)
def test_with_one_pair_the_image_tends_to_its_reference(name: str, tmp_path: Path) -> None:
    problem, truth = scan(0)
    prior = loaded(name, tmp_path, 150, 1, more=("engine.lr=0.01", "average=0.9"))
    before = (problem.estimate() - truth).square().mean()
    after = (prior.reconstruct(problem) - truth).square().mean()
    assert float(after) < 0.05 * float(before)


# files, seeds, interruption ---------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_training_ends_with_the_same_bits(
    name: str, tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    whole = learn(name, 6).tensors
    learn(name, 6, run_dir=tmp_path, watch=[pause_after(4)])
    resumed = learn(name, 6, run_dir=tmp_path).tensors
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(tensor, resumed[n]) for n, tensor in whole.items())
    other = learn(name, 6, seed=1).tensors
    assert any(not torch.equal(tensor, other[n]) for n, tensor in whole.items())


def test_another_reference_is_another_training(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    learn("varnet", 6, run_dir=tmp_path, watch=[pause_after(2)])
    with pytest.raises(UserError, match="data"):
        learn("varnet", 6, run_dir=tmp_path, references=[scan(5)[1]] * 2)


@pytest.mark.parametrize("name", NAMES)
def test_measurements_that_do_not_fit_are_refused(name: str, tmp_path: Path) -> None:
    prior = loaded(name, tmp_path)
    colour = Problem(draw(1, 3, 9, 11), Denoise((3, 9, 11)))
    with pytest.raises(UserError, match=r"1 channel\(s\), and this image is \(3, 9, 11\)"):
        prior.reconstruct(colour)
    assert prior.reconstruct(Problem(draw(2, 1, 16, 7), Denoise((1, 16, 7)))).shape == (2, 1, 16, 7)


def test_pairs_need_references_of_their_shape() -> None:
    with pytest.raises(UserError, match="input 2 has none"):
        learn("varnet", references=[scan(0)[1], None])
    with pytest.raises(UserError, match="0 are given"):
        learn("varnet", references=[])
    with pytest.raises(UserError, match=r"reference of input 1 is \(1, 9, 10\)"):
        learn("varnet", references=[scan(0)[1][..., :-1], scan(1)[1]])


@pytest.mark.parametrize(
    ("name", "tensor", "value", "says"),
    [
        ("varnet", "varnet.steps", torch.ones(3), "do not fit together"),
        ("varnet", "varnet.parts.0.stem.weight", None, "not those of our network"),
        ("modl", "modl.iterations", torch.tensor(-1.0), "number of iterations is -1"),
        ("modl", "modl.log_lambda", None, "do not fit together"),
    ],
)
def test_damaged_files_are_refused(
    name: str, tensor: str, value: Tensor | None, says: str, tmp_path: Path
) -> None:
    tensors = load_file(learn(name, 1).save(tmp_path / "p.safetensors"))
    if value is None:
        del tensors[tensor]
    else:
        tensors[tensor] = value
    save_file(tensors, tmp_path / "q.safetensors")
    with pytest.raises(UserError, match=says):
        load_prior(tmp_path / "q.safetensors")
