"""What the report says of an image that is not the end of its curves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from report_pages import both

import untrained as ut
from untrained.core.rule import Stopped
from untrained.physics import Inpaint
from untrained.report.after import after_the_curves
from untrained.report.page import render_page
from untrained.rules import Average

SMALL = ["net=compact", "net.widths=4,8", "net.skip=2"]


def inpainted(photo: torch.Tensor, **more: object) -> ut.Result:
    """A short run whose closing step puts the measured pixels back."""
    truth = photo[:, :1]
    mask = torch.rand(truth.shape[2:], generator=torch.Generator().manual_seed(0)) < 0.5
    physics = Inpaint(mask.float(), tuple(truth.shape[1:]))
    given = {"method": "dip", "steps": 30, "settings": SMALL, "progress": False, **more}
    return ut.reconstruct(physics.A(truth), physics, truth=truth, compare=False, **given)


@pytest.mark.parametrize("stop", ["auto", "none"])
def test_the_closing_step_is_told_with_its_gain(photo, stop) -> None:
    result = inpainted(photo, stop=stop)
    reached, last = result.about.metrics["psnr"], result.history["psnr_output"][-1]
    assert reached > last + 0.01
    said = f"the image towards the measurements: the PSNR goes from {last:.2f} to {reached:.2f} dB."
    assert said in after_the_curves(*both(result))
    assert said in render_page(*both(result))


def test_without_a_closing_step_nothing_is_said(photo) -> None:
    result = inpainted(photo, output="last")
    assert result.about.metrics["psnr"] == pytest.approx(result.history["psnr_output"][-1])
    assert after_the_curves(*both(result)) == ""


def test_the_mean_of_seeds_is_told(photo) -> None:
    result = inpainted(photo, seeds=2, output="last")
    reached, last = result.about.metrics["psnr"], result.history["psnr_output"][-1]
    said = "the mean of 2 seeds, of which these are the curves of the first: the PSNR goes from "
    assert f" The curves do not include {said}{last:.2f} to {reached:.2f} dB." in after_the_curves(
        *both(result)
    )


def test_an_image_that_was_kept_counts_from_its_own_step(compared) -> None:
    """Check a run without a second fit; with one the last row is the output that was kept."""
    output = Average(mu=0.1)
    assert output.keep_best
    history = {
        "phase": ["fit"] * 3, "step": [1.0, 2.0, 3.0], "psnr_output": [10.0, 20.0, 12.0],
    }  # fmt: skip
    recipe, stop = replace(compared.recipe, output=output), (Stopped("heldout", 2, ""),)
    compared = replace(compared, recipe=recipe, history=history, stop=stop)
    assert "from 20.00 to 30.00 dB" in after_the_curves(*both(compared))
    compared.history["phase"] = ["fit", "fit", "refit"]
    assert "from 12.00 to 30.00 dB" in after_the_curves(*both(compared))
