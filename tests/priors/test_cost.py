"""The memory and the work of a prior are counted before it is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from command_line import call
from torch import Tensor, nn
from weight_files import hammernik, kair, trained, write_torch

import untrained as ut
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.nets import NoNet
from untrained.physics import Denoise
from untrained.priors import Denoiser, Provenance, load_prior
from untrained.priors.cost import prior_cost
from untrained.solver import memory as room
from untrained.solver.memory import memory_need

LAYERS, WIDTH, SIDE = 5, 16, 32
IMAGE = 4 * SIDE * SIDE  # bytes of one channel


class Chain(Denoiser):
    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        clean: Tensor = self.network(x)
        return clean


def chain() -> Chain:
    widths = [1, *[WIDTH] * LAYERS, 1]
    layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)]
    return Chain(nn.Sequential(*layers), Provenance("chain"), channels=1, levels=(0.0, 1.0))


def test_a_pass_needs_two_layers_and_its_gradient_all_of_them() -> None:
    plain = prior_cost(chain(), (1, 1, SIDE, SIDE), gradient=False)
    assert plain.stored == chain().stored_bytes == 4 * chain().parameter_count
    assert 2 * WIDTH * IMAGE <= plain.passing <= (2 * WIDTH + 3) * IMAGE
    # a convolution's input is kept for the gradient of its weights only, and they are frozen
    products = 2 * 9 * SIDE * SIDE * (2 * WIDTH + (LAYERS - 1) * WIDTH**2)
    assert plain.products == products
    kept = prior_cost(chain(), (1, 1, SIDE, SIDE), gradient=True)
    assert kept.passing >= plain.passing
    assert kept.products == 2 * products


class Bent(Chain):
    """Whose every layer is needed for the gradient with respect to its input."""

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        for layer in self.network.children():
            x = layer(x).sigmoid()
        return x


def test_what_a_gradient_keeps_is_counted() -> None:
    bent = Bent(chain().network, Provenance("bent"), channels=1, levels=(0.0, 1.0))
    plain = prior_cost(bent, (2, 1, SIDE, SIDE), gradient=False).passing
    kept = prior_cost(bent, (2, 1, SIDE, SIDE), gradient=True).passing
    assert plain <= 2 * (3 * WIDTH + 4) * IMAGE
    assert kept >= 2 * LAYERS * WIDTH * IMAGE


def test_counting_takes_no_memory_and_leaves_the_prior_alone() -> None:
    prior = chain()
    before = {n: t.clone() for n, t in prior.state_dict().items()}
    prior_cost(prior, (1, 3, 4000, 4000), gradient=True)
    assert all(torch.equal(t, before[n]) for n, t in prior.state_dict().items())
    assert {t.device.type for t in prior.state_dict().values()} == {"cpu"}


class Looks(Chain):
    """Asks for a number, which there is none of without computing."""

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x * float(x.mean())


def test_a_prior_that_cannot_be_counted_is_run_all_the_same() -> None:
    looks = Looks(chain().network, Provenance("looks"), channels=1, levels=(0.0, 1.0))
    cost = prior_cost(looks, (1, 1, SIDE, SIDE), gradient=False)
    assert (cost.stored, cost.passing, cost.products) == (looks.stored_bytes, 0, 0.0)


@pytest.mark.parametrize("name", ["hammernik", "d5c5", "modl"])
def test_a_reconstructors_layers_are_counted(name: str) -> None:
    cost = prior_cost(trained(name), (1, 2, 24, 20), gradient=False)
    assert cost.products > 0
    assert cost.passing > 0


@dataclass(frozen=True)
class Asks(ut.Method):
    """Ask the prior once a step."""

    name: ClassVar[str] = "asks"
    rounds: int = 3
    inner: int = 1

    def start(self, s: State) -> None:
        s["x"] = s.problem.y.clone()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        return s["x"], {"data": s.problem.misfit(s["x"])}


class Follows(Asks):
    differentiates: ClassVar[bool] = True


def test_the_step_of_a_method_counts_its_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ut.Problem(torch.rand(1, 1, SIDE, SIDE), Denoise((1, SIDE, SIDE)))
    recipe = Recipe(Asks(), NoNet(), ut.Engine("none"))
    prior = Bent(chain().network, Provenance("bent"), channels=1, levels=(0.0, 1.0))
    alone, asked = memory_need(recipe, problem), memory_need(recipe, problem, prior)
    follows = memory_need(replace(recipe, method=Follows()), problem, prior)
    assert alone.full < asked.full < follows.full
    assert asked.products > 0
    monkeypatch.setattr(room, "available_memory", lambda device: (asked.full + follows.full) // 2)
    options = {"net": NoNet(), "engine": ut.Engine("none"), "prior": prior}
    assert ut.solve(Asks(), problem, **options).finished
    with pytest.raises(UserError, match="a step needs about"):
        ut.solve(Follows(), problem, **options)


def test_a_dry_run_tells_of_the_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_torch(tmp_path / "w.pth", kair())
    np.save(tmp_path / "y.npy", np.full((32, 32), 0.5, np.float32))
    parts = ["reconstruct", "denoise", tmp_path / "y.npy", "--method", "deepred"]
    assert call(*parts, "--prior", file, "--dry-run", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["prior"] == f"dncnn, {load_prior(file).parameter_count:,} weights"
    assert facts["prior_memory_mb"] >= 0
    assert facts["peak_memory_mb"] > 0


def test_a_dry_run_counts_a_trained_network_that_takes_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from untrained.run import estimate

    monkeypatch.setattr(estimate, "LIMIT", 0.0)
    file = write_torch(tmp_path / "w.pth", hammernik())
    kspace = np.ones((2, 24, 20), np.complex64)
    np.savez(tmp_path / "scan.npz", kspace=kspace, maps=np.ones((2, 24, 20), np.complex64))
    parts = ["reconstruct", "mri", tmp_path / "scan.npz", "--method", "varnet", "--prior", file]
    assert call(*parts, "--dry-run", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["measured"] is False
    assert facts["seconds_per_step"] >= 0
    assert facts["steps"] == 1
