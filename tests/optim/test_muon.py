"""Muon: the orthogonalisation, the step's size, separate problems, resume."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from untrained.optim import Muon
from untrained.optim.muon import COEFFICIENTS, is_kernel, orthogonalise


def textbook(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    a, b, c = COEFFICIENTS
    x = matrix / matrix.norm()
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (16, 16)])
def test_it_is_the_newton_schulz_iteration(shape):
    torch.manual_seed(0)
    x = torch.randn(2, *shape, dtype=torch.float64)
    for g in range(2):
        assert torch.allclose(orthogonalise(x)[g], textbook(x[g]), atol=1e-5)


def test_singular_vectors_are_kept_and_values_come_near_one():
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(20, 60), full_matrices=False)
    x = u @ torch.diag(torch.logspace(0, -1.5, 20)) @ v
    y = orthogonalise(x[None])[0]
    values = torch.diag(u.T @ y @ v.T)
    assert values.min() > 0.6
    assert values.max() < 1.25
    assert torch.allclose(u @ torch.diag(values) @ v, y, atol=1e-3)


def test_float32_follows_float64_on_nearly_singular_gradients():
    torch.manual_seed(0)
    for noise in (0.0, 1e-4, 1e-2):
        x = torch.randn(64, 1) @ torch.randn(1, 576) + noise * torch.randn(64, 576)
        reference = textbook(x.double())
        error = (orthogonalise(x[None])[0] - reference).norm() / reference.norm()
        assert error < 2e-3


def test_a_zero_gradient_gives_a_zero_step_and_problems_do_not_mix():
    x = torch.randn(3, 8, 20)
    x[0] = 0
    x[1] = torch.nan
    y = orthogonalise(x)
    assert not y[0].any()
    assert y[1].isnan().all()
    assert torch.allclose(y[2:], orthogonalise(x[2:]), atol=1e-6)


def test_kernels_are_told_from_heads_biases_and_thin_branches():
    shapes = {
        (1, 64, 32, 3, 3): True,
        (2, 8, 8, 3): True,
        (2, 8, 8, 3, 3, 3): True,
        (1, 32, 32, 1, 1): True,
        (1, 4, 64, 1, 1): False,
        (1, 32, 1, 3, 3): False,
        (1, 64): False,
        (1, 64, 64): False,
        (1, 1, 32, 64, 64): False,
    }
    assert {shape: is_kernel(torch.empty(shape)) for shape in shapes} == shapes


@pytest.mark.parametrize("shape", [(1, 16, 64, 3, 3), (1, 64, 4, 3, 3), (1, 32, 32, 1, 1)])
def test_the_first_step_of_a_kernel_has_entries_near_a_fifth_of_the_rate(shape):
    """Near: singular values of a random gradient land between 0.68 and 1.21."""
    torch.manual_seed(0)
    p = nn.Parameter(torch.zeros(shape))
    p.grad = torch.randn(shape) * 1e-3
    Muon([p], lr=0.1).step()
    assert 0.68 * 0.02 < p.detach().square().mean().sqrt().item() < 1.21 * 0.02


def run(
    params: list[nn.Parameter], optimizer: torch.optim.Optimizer, steps: int, start: int = 0
) -> None:
    """Gradients that depend on problem, parameter and step, made for up to two problems."""
    for step in range(start, start + steps):
        for index, p in enumerate(params):
            generator = torch.Generator().manual_seed(100 * step + index)
            p.grad = torch.randn((2, *p.shape[1:]), generator=generator)[-p.shape[0] :] + p.detach()
        optimizer.step()


SHAPES = [(16, 8, 3, 3), (16,), (3, 16, 1, 1), (8, 2, 3, 3)]


def draw() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn((2, *shape), generator=generator) for shape in SHAPES]


def test_two_problems_take_the_steps_each_takes_alone():
    both = [nn.Parameter(t.clone()) for t in draw()]
    last = [nn.Parameter(t[1:].clone()) for t in draw()]
    run(both, Muon(both), 10)
    run(last, Muon(last), 10)
    for a, b in zip(both, last, strict=True):
        assert torch.allclose(a[1:], b, atol=1e-6)


def test_everything_but_kernels_is_adam():
    ours = [nn.Parameter(t.clone()) for t in draw()]
    run(ours, Muon(ours, adam_lr=0.01), 5)
    theirs = [nn.Parameter(t.clone()) for t in draw()]
    adam = torch.optim.Adam(theirs, lr=0.01)
    run(theirs, adam, 5)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-6) != is_kernel(a)


def test_stopping_saving_and_going_on_is_the_same_run():
    whole = [nn.Parameter(t.clone()) for t in draw()]
    run(whole, Muon(whole), 8)
    first = [nn.Parameter(t.clone()) for t in draw()]
    before = Muon(first)
    run(first, before, 5)
    second = [nn.Parameter(p.detach().clone()) for p in first]
    after = Muon(second)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    run(second, after, 3, start=5)
    for a, b in zip(whole, second, strict=True):
        assert torch.equal(a, b)


def test_an_added_group_runs_on_adam_unless_it_says_otherwise():
    image = nn.Parameter(torch.zeros(1, 32, 8, 8))
    weight = nn.Parameter(torch.zeros(1, 8, 8, 3, 3))
    optimizer = Muon([weight])
    optimizer.add_param_group({"params": [image], "lr": 0.1})
    run([weight, image], optimizer, 1)
    assert set(optimizer.state[image]) == {"step", "exp_avg", "exp_avg_sq"}
    assert set(optimizer.state[weight]) == {"momentum"}
    assert image.abs().max().item() == pytest.approx(0.1, rel=1e-3)


def test_parameters_without_a_gradient_stay():
    ours = [nn.Parameter(t) for t in draw()]
    Muon(ours).step()
    assert all(torch.equal(a, b) for a, b in zip(ours, draw(), strict=True))


def test_the_closures_loss_is_returned():
    p = nn.Parameter(torch.ones(1, 3))
    optimizer = Muon([p])

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert (p < 1).all()


def test_it_fits_a_convolution():
    torch.manual_seed(0)
    x, target = torch.randn(4, 8, 12, 12), nn.Conv2d(8, 16, 3, bias=False)
    p = nn.Parameter(torch.zeros(1, 16, 8, 3, 3))
    optimizer = Muon([p], lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (nn.functional.conv2d(x, p[0]) - target(x).detach()).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lr": -1.0}, "lr must not be negative"),
        ({"adam_lr": -1.0}, "adam_lr must not be negative"),
        ({"momentum": 1.0}, "momentum must be in"),
        ({"betas": (0.9, 1.0)}, r"betas\[1\] must be in"),
        ({"steps": 0}, "steps must be at least 1"),
    ],
)
def test_numbers_out_of_range_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Muon([nn.Parameter(torch.zeros(1, 3))], **fields)


def test_kernels_of_one_shape_step_together_as_they_do_alone(monkeypatch):
    """What a GPU does, tried here: the batched products give the same steps up to rounding."""
    from untrained.optim import muon

    g = torch.Generator().manual_seed(0)
    shapes = [(2, 8, 4, 3, 3), (2, 8, 4, 3, 3), (2, 6, 8, 3, 3), (2, 8, 4, 3, 3)]
    kernels = [torch.randn(shape, generator=g) for shape in shapes]
    grads = [torch.randn(shape, generator=g) for shape in shapes]

    def stepped() -> list[torch.Tensor]:
        params = [k.clone().requires_grad_() for k in kernels]
        optimizer = muon.Muon(params)
        for _ in range(3):
            for p, grad in zip(params, grads, strict=True):
                p.grad = grad.clone()
            optimizer.step()
        return [p.detach() for p in params]

    alone = stepped()
    real, sizes = muon.Muon._muon, []

    def together(self, params, group):
        if not sizes:
            sizes.extend(len(alike) for alike in muon._by_shape(self.param_groups[0]["params"]))
            for alike in muon._by_shape(self.param_groups[0]["params"]):
                real(self, alike, group)

    with monkeypatch.context() as patched:
        patched.setattr(muon.Muon, "_muon", together)
        params = [k.clone().requires_grad_() for k in kernels]
        optimizer = muon.Muon(params)
        for _ in range(3):
            sizes.clear()
            for p, grad in zip(params, grads, strict=True):
                p.grad = grad.clone()
            optimizer.step()
    assert sizes == [3, 1]
    for one, other in zip(alone, params, strict=True):
        assert torch.allclose(one, other.detach(), atol=1e-5)
