"""What an image is made of: the network, and the classical image it leans on, each measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import call

import untrained as ut
from untrained.about import Mixture
from untrained.classical import baseline

FAST = ["net.widths=4,8", "net.skip=2"]
TRUTH = torch.zeros(1, 1, 24, 24)
TRUTH[..., 6:18, 4:20] = 0.7


def measured() -> tuple[torch.Tensor, ut.physics.Blur]:
    physics = ut.physics.Blur(torch.ones(3, 3) / 9, (1, 24, 24))
    noise = torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    return physics.A(TRUTH) + 0.02 * noise, physics


def run(steps: int = 8, **more: Any) -> ut.Result:
    y, physics = measured()
    few = {"steps": steps, "settings": FAST, "progress": False, "compare": False, "truth": TRUTH}
    return ut.reconstruct(y, physics, **{**few, **more})


def test_the_errors_are_those_of_the_chosen_step_on_what_was_hidden() -> None:
    result = run()
    mixture, row = result.about.mixture, result.stop[0].step - 1
    assert mixture.network == result.history["network share"][row]
    assert mixture.held_out == result.history["held-out error"][row]
    y, physics = measured()
    fit, held = ut.Problem(y, physics).split(0.05, seed=0)
    expected = float(fit.expected_misfit(baseline(fit), held))
    assert mixture.classical_held_out == pytest.approx(expected, rel=1e-5)


def test_the_classical_image_is_the_one_in_the_mixture_and_is_scored() -> None:
    """With no share of the network the answer is that image."""
    result = run(settings=[*FAST, "output.share=0", "output.prior=1e9", "stop.again=true"])
    assert result.about.mixture.percent == 0
    torch.testing.assert_close(result.image, result.guide, atol=1e-5, rtol=0)
    scored = ut.metrics.psnr(result.guide, TRUTH, data_range=1.0)
    assert result.about.mixture.classical_metrics["psnr"] == pytest.approx(scored)
    assert result.about.metrics["psnr"] == pytest.approx(scored, abs=0.01)


def test_no_mixture_without_one_and_no_error_where_nothing_was_hidden() -> None:
    assert run(method="dip").about.mixture is None
    assert run(method="tv", settings=(), steps=0).about.mixture is None
    assert run(method="tv", settings=(), steps=0).guide is None
    bare = run(stop="none").about.mixture
    assert bare.held_out is None
    assert bare.classical_held_out is None
    assert bare.classical_metrics["psnr"] > 15


def test_the_note_and_the_shares_agree() -> None:
    result = run()
    assert f"the image is {result.about.mixture.shares}" in result.notes
    for share in (0.0, 0.005, 0.196, 0.5, 0.995, 1.0):
        numbers = [int(word) for word in Mixture(share, "x").shares.split() if word.isdigit()]
        assert sum(numbers) == 100


def test_several_images_and_seeds_keep_the_first_ones() -> None:
    y, physics = measured()
    both = torch.cat([y, y.flip(-1)])
    few = {"steps": 8, "settings": FAST, "progress": False, "compare": False}
    result = ut.reconstruct(both, physics, **few)
    assert result.guide.shape == result.image.shape
    assert any(note.startswith("the first image is ") for note in result.notes)
    seeds = ut.reconstruct(y, physics, seeds=2, **few)
    assert seeds.guide.shape == seeds.image.shape


SMALL = ["--steps", "8", "--no-compare", *(part for s in FAST for part in ("--set", s))]


def test_the_terminal_says_it_once_and_the_file_has_it(tmp_path: Path, capsys: Any) -> None:
    y, _ = measured()
    np.savez(tmp_path / "y.npz", measurement=y[0, 0].numpy(), kernel=np.ones((3, 3)) / 9)
    assert call("reconstruct", "deblur", tmp_path / "y.npz", *SMALL, "--out", tmp_path / "o") == 0
    facts = json.loads((tmp_path / "o" / "result.json").read_text())
    mixture = Mixture(**facts["mixture"])
    said = " ".join(capsys.readouterr().out.split())
    assert said.count(mixture.shares) == 1
    assert f"made of {mixture.shares}" in said
    page = (tmp_path / "o" / "report.html").read_text()
    assert f"house: {mixture.shares}, fitted in" in page
    assert "its classical image: non-local Bayes, low rank, total variation" in page
    assert f"{mixture.classical_held_out:.3g}" in page


def test_an_interrupted_and_resumed_run_tells_the_same(tmp_path: Path) -> None:
    y, _ = measured()
    np.savez(tmp_path / "y.npz", measurement=y[0, 0].numpy(), kernel=np.ones((3, 3)) / 9)
    made = []
    for name, limits in (("whole", [[]]), ("cut", [["--time-limit", "1e-6"], ["--resume"]])):
        for more in limits:
            arguments = [tmp_path / "y.npz", *SMALL, "--quiet", "--out", tmp_path / name, *more]
            assert call("reconstruct", "deblur", *arguments) == 0
        made.append(json.loads((tmp_path / name / "result.json").read_text())["mixture"])
    assert made[0] == made[1]


def test_slices_tell_the_mean_and_notes_of_one_slice_name_it(tmp_path: Path, capsys: Any) -> None:
    y, _ = measured()
    stack = torch.cat([y[0], 0.5 * y[0] + 0.2])[:, None].numpy()[:, 0]
    columns = np.ones(24)
    columns[[1, 3, 5, 18, 20]] = 0
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(stack, axes=(1, 2))), axes=(1, 2))
    np.savez(tmp_path / "k.npz", kspace=kspace[:, None] * columns, mask=columns)
    shown = [tmp_path / "k.npz", "--slice", "all", *SMALL, "--out", tmp_path / "o"]
    assert call("reconstruct", "mri", *shown) == 0
    facts = json.loads((tmp_path / "o" / "result.json").read_text())
    assert " ".join(capsys.readouterr().out.split()).count("a classical image") == 1
    assert not any("a classical image" in note for note in facts["notes"])
    assert facts["mixture"]["held_out"] > 0
