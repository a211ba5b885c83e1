"""`auto` with a pre-trained denoiser: it earns its share on held-out data; the share is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import untrained as ut
from untrained.core.start import StartWeights
from untrained.core.watch import Watch
from untrained.priors import Denoiser, Provenance, plug_and_play
from untrained.run.plan import plan
from untrained.solver.procedure import solve_recipe

FAST = ["net.widths=4,8", "net.skip=2"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scaled adjoint image stand in for the classical one, which takes seconds."""
    for place in ("untrained.rules.output", "untrained.methods.house"):
        monkeypatch.setattr(f"{place}.baseline", lambda problem: problem.estimate())


def stripes() -> Tensor:
    """Fine texture without repetition, which a classical prior takes for noise."""
    return torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(7)) * 0.8 + 0.1


class Knows(Denoiser):
    """A denoiser that was trained on one picture, and sees it in everything."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__(nn.Module(), Provenance("knows"), channels=1, levels=(0.0, 10.0))
        self.register_buffer("picture", picture)

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        picture = self.get_buffer("picture")
        return picture.expand_as(x) if picture.shape[2:] == x.shape[2:] else x * 0


def measured(truth: Tensor) -> tuple[Tensor, Any]:
    physics = ut.physics.Blur(torch.ones(3, 3) / 9, (1, 24, 24))
    noise = torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    return physics.A(truth) + 0.01 * noise, physics


def run(y: Tensor, physics: Any, prior: Denoiser | None, **more: Any) -> ut.Result:
    few = {"steps": 8, "settings": FAST, "progress": False, "compare": False, "prior": prior}
    if prior is None:
        return ut.reconstruct(y, physics, **{**few, **more})
    with pytest.warns(ut.Note, match="trained elsewhere"):
        return ut.reconstruct(y, physics, **{**few, **more})


def error(image: Tensor, truth: Tensor) -> float:
    return float((image - truth).square().mean())


@pytest.mark.parametrize("task", ["deblur", "inpaint"])
def test_a_prior_that_knows_the_picture_takes_the_share_of_the_classical_image(task: str) -> None:
    truth = stripes()
    y, physics = measured(truth)
    if task == "inpaint":
        mask = torch.rand(24, 24, generator=torch.Generator().manual_seed(3)) > 0.5
        physics = ut.physics.Inpaint(mask.float(), (1, 24, 24))
        y = physics.A(truth)
    alone, both = run(y, physics, None), run(y, physics, Knows(truth))
    mixture = both.about.mixture
    assert mixture.prior + mixture.network > 0.9
    assert mixture.prior_held_out < mixture.classical_held_out
    assert error(both.image, truth) < 0.3 * error(alone.image, truth)


@pytest.mark.parametrize("task", ["deblur", "mri"])
def test_a_prior_that_is_wrong_has_no_share_and_changes_no_bit(task: str) -> None:
    truth = torch.zeros(1, 1, 24, 24)
    truth[..., 6:18, 4:20] = 0.7
    y, physics = measured(truth)
    if task == "mri":
        columns = torch.ones(24)
        columns[[1, 3, 5, 18, 20]] = 0
        physics = ut.physics.MRI(columns, torch.ones(1, 24, 24, dtype=torch.complex64))
        y = physics.A(torch.cat([truth, 0.3 * truth], 1))
    alone, both = run(y, physics, None), run(y, physics, Knows(stripes()))
    assert both.about.mixture.prior == 0
    assert torch.equal(both.image, alone.image)
    assert both.about.mixture.network == alone.about.mixture.network


def test_noise_is_judged_by_steins_estimate() -> None:
    truth = stripes()
    physics = ut.physics.Denoise((1, 24, 24))
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    y = truth + 0.15 * noise
    right, wrong = (
        run(y, physics, Knows(picture), sigma=0.15).about.mixture
        for picture in (truth, stripes().flip(-1))
    )
    assert right.prior / (1 - right.network) > 0.8
    assert wrong.prior / (1 - wrong.network) < 0.2


def test_plug_and_play_with_a_denoiser_that_changes_nothing_solves_the_equations() -> None:
    """D(x) = x: each round is a proximal step, and they end where A u = y."""

    class Same(Knows):
        def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x

    truth = stripes()
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.1, 0.6, 0.1], [0.0, 0.1, 0.0]])
    physics = ut.physics.Blur(kernel, (1, 24, 24))
    problem = ut.Problem(physics.A(truth), physics)
    made = plug_and_play(problem, Same(truth), 0.003)
    seen = problem.physics.A(made)
    torch.testing.assert_close(seen, problem.y, atol=2e-4, rtol=0)


def test_the_share_is_said_everywhere(tmp_path: Path, capsys: Any) -> None:
    y, physics = measured(stripes())
    result = run(y, physics, Knows(stripes()))
    mixture = result.about.mixture
    assert mixture.shares.endswith("% the prior's (plug and play, knows)")
    assert f"the image is {mixture.shares}" in result.notes
    numbers = [int(word) for word in mixture.shares.split() if word.isdigit()]
    assert sum(numbers) == 100
    result.save(tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert facts["mixture"]["prior"] == mixture.prior
    assert facts["mixture"]["prior_name"] == "plug and play, knows"
    page = (tmp_path / "out" / "report.html").read_text()
    assert mixture.shares.replace("'", "&#39;") in page or mixture.shares in page


def test_without_a_prior_nothing_is_said_of_one(tmp_path: Path) -> None:
    y, physics = measured(stripes())
    result = run(y, physics, None)
    result.save(tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert not [name for name in facts["mixture"] if name.startswith("prior")]
    assert facts["recipe"]["output"]["name"] == "blend"


def test_a_resumed_run_has_the_same_bits(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    y, physics = measured(stripes())
    recipe = plan("deblur", prior=Knows(stripes()), steps=8, settings=FAST).recipe
    assert recipe is not None
    start = StartWeights(prior=Knows(stripes()))
    problem = ut.Problem(y, physics)
    whole = solve_recipe(recipe, problem, start=start)
    solve_recipe(recipe, problem, start=start, run_dir=tmp_path, watch=[pause_after(4)])
    resumed = solve_recipe(recipe, problem, start=start, run_dir=tmp_path)
    assert resumed.resumed_from == (4,)
    assert torch.equal(resumed.image, whole.image)
    assert str(resumed.history) == str(whole.history)  # the refit has columns of NaN


def test_where_there_is_nothing_to_mix_a_prior_is_refused() -> None:
    with pytest.raises(ut.UserError, match="this output rule mixes none"):
        plan("deblur", prior=Knows(stripes()), output="last")
    amplitudes = ut.physics.PhaseRetrieval((1, 24, 24), 8)
    with pytest.raises(ut.UserError, match="needs a linear physics"):
        ut.reconstruct(
            amplitudes.A(stripes()), amplitudes, prior=Knows(stripes()), steps=2, progress=False
        )


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((0.1, 0.1), "noise of 0.0118 is asked of the denoiser, and it was trained on 0.1 only"),
        ((0.02, 1.0), "noise of 0.0118 is asked of the denoiser, and it was trained on 0.02 to 1"),
        ((3 / 255, 3 / 255), "trained on noise of 0.0118 only, and is asked at that level alone"),
        ((0.0, 1.0), ""),
    ],
)
def test_a_level_that_a_denoiser_was_not_trained_on_is_said(
    levels: tuple[float, float], said: str
) -> None:
    y, physics = measured(stripes())
    prior = Knows(stripes())
    prior.levels = levels
    notes = run(y, physics, prior, method="deepred", steps=1).notes
    found = [note for note in notes if "noise of" in note]
    assert len(found) == bool(said)
    assert all(said in note for note in found)
