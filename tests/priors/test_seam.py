"""A pre-trained network reaches a method, its provenance the result, and nothing trains it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import untrained as ut
from untrained.core.state import State
from untrained.nets import NoNet
from untrained.physics import Denoise
from untrained.priors import GaussianDenoiser, load_prior
from untrained.run.plan import plan


@dataclass(frozen=True)
class Shrinks(ut.Method):
    """Ask the prior once a step; nothing is trained."""

    name: ClassVar[str] = "shrinks"
    rounds: int = 3
    inner: int = 1

    def start(self, s: State) -> None:
        s["x"] = s.problem.y.clone()

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        return s["x"], {"data": s.problem.misfit(s["x"])}

    def advance(self, s: State) -> None:
        s["x"] = s.denoiser.denoise(s["x"], 0.5)


def dncnn(path: Path, channels: int = 1) -> Path:
    generator = torch.Generator().manual_seed(0)
    sizes = [(8, channels), (8, 8), (channels, 8)]
    tensors = {}
    for i, (outputs, inputs) in enumerate(sizes):
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        tensors |= {
            f"model.{2 * i}.weight": 0.1 * weight,
            f"model.{2 * i}.bias": torch.zeros(outputs),
        }
    torch.save(tensors, path)
    return path


def test_a_method_that_trains_nothing_runs_in_the_loop() -> None:
    mean, y = torch.full((1, 4, 4), 0.5), torch.rand(2, 1, 4, 4)
    prior = GaussianDenoiser(mean, torch.eye(16))
    result = ut.solve(
        Shrinks(),
        ut.Problem(y, Denoise((1, 4, 4))),
        net=NoNet(),
        engine=ut.Engine("none"),
        output=ut.rules.Last(),
        prior=prior,
    )
    # the image of the third step is that after two rounds
    expected = mean + (y - mean) / 1.25**2
    torch.testing.assert_close(result.image, expected)


def test_a_prior_is_frozen_and_asked_by_channel(tmp_path: Path) -> None:
    prior = load_prior(dncnn(tmp_path / "w.pth"))
    assert not any(weight.requires_grad for weight in prior.parameters())
    x = torch.rand(2, 3, 12, 12)
    each = torch.cat([prior.denoise(x[:, c : c + 1], 0.1) for c in range(3)], 1)
    torch.testing.assert_close(prior.denoise(x, 0.1), each)


def test_a_safetensors_file_is_read(tmp_path: Path) -> None:
    tensors = torch.load(dncnn(tmp_path / "w.pth"), weights_only=True)
    save_file(tensors, tmp_path / "w.safetensors")
    x = torch.rand(1, 1, 12, 12)
    same = load_prior(tmp_path / "w.pth").denoise(x, 0.1)
    assert torch.equal(load_prior(tmp_path / "w.safetensors").denoise(x, 0.1), same)
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ut.UserError, match="no file of weights"):
        load_prior(tmp_path / "w.safetensors")


def test_weights_that_were_not_saved_are_no_prior() -> None:
    problem = ut.pretrain.clean_problem(torch.rand(1, 1, 16, 16))
    settings = ["net.widths=4,4", "crop=16"]
    weights, _ = ut.pretrain.train("denoiser", [problem], steps=1, settings=settings)
    y = torch.rand(1, 1, 16, 16)
    with pytest.raises(ut.UserError, match="got Weights.*saved first"):
        ut.reconstruct(y, Denoise((1, 16, 16)), "pnp", prior=weights, progress=False)  # type: ignore[arg-type]


def test_the_result_says_which_prior_was_asked(tmp_path: Path) -> None:
    file = dncnn(tmp_path / "w.pth")
    y = torch.rand(1, 1, 32, 32)
    with pytest.warns(ut.Note, match="trained elsewhere"):
        result = ut.reconstruct(
            y, Denoise((1, 32, 32)), "deepred", steps=20, prior=file, progress=False, compare=False
        )
    assert result.about.prior is not None
    assert result.about.prior["architecture"] == "dncnn"
    assert result.about.prior["file"] == "w.pth"
    assert len(result.about.prior["sha256"]) == 64


def test_a_method_that_asks_no_prior_refuses_one(tmp_path: Path) -> None:
    prior = load_prior(dncnn(tmp_path / "w.pth"))
    with pytest.raises(ut.UserError, match="'dip' asks no pre-trained network; a denoiser serves"):
        plan("denoise", method="dip", prior=prior)


def test_another_prior_is_another_run(tmp_path: Path) -> None:
    y, physics = torch.rand(1, 1, 32, 32), Denoise((1, 32, 32))
    first = load_prior(dncnn(tmp_path / "w.pth"))
    chosen = plan("denoise", method="deepred", prior=first)
    problem = ut.Problem(y, physics)
    assert chosen.digest(problem) != plan("denoise", method="deepred").digest(problem)
