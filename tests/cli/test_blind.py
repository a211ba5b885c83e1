"""`deblur --kernel estimate` from a picture to a result, its resume, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call, picture
from PIL import Image

import untrained as ut
from untrained.core.watch import Watch
from untrained.metrics import moved_view, psnr
from untrained.physics import BlindBlur
from untrained.problem import Problem
from untrained.run.case import Case, RunSettings
from untrained.run.execute import run
from untrained.run.plan import plan

SHORT = ["--steps", "6", "--set", "net.widths=8,16", "--quiet"]


@pytest.fixture
def blurred(tmp_path: Path) -> Path:
    picture(tmp_path / "clean.npy")
    kernel = np.zeros((5, 5))
    kernel[1:4, 3:5] = [[1, 2], [3, 1], [1, 0]]
    np.save(tmp_path / "k.npy", kernel)
    out = tmp_path / "y.npz"
    command = ["simulate", "deblur", tmp_path / "clean.npy", "--kernel", tmp_path / "k.npy"]
    assert call(*command, "--out", out) == 0
    return out


def test_the_kernel_is_estimated_saved_and_used(blurred: Path, tmp_path: Path) -> None:
    """Two stages, the first method's name and recipe, a kernel of sum 1, and an aligned PSNR."""
    out = tmp_path / "out"
    given = ["--kernel", "estimate:5", *SHORT, "--out", out]
    assert call("reconstruct", "deblur", blurred, *given) == 0
    kernel = np.load(out / "kernel.npy")
    assert kernel.shape == (5, 5)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert (kernel >= 0).all()
    with Image.open(out / "kernel.png") as drawn:
        assert drawn.size == (5, 5)
    facts = json.loads((out / "result.json").read_text())
    assert (facts["method"], facts["estimated"]) == ("selfdeblur", ["kernel"])
    assert facts["classical"]["method"] == "tv"
    assert {"fit", "second fit"} <= set(_column(out, "phase"))
    assert "Estimated kernel" in (out / "report.html").read_text()
    image, truth = (
        torch.from_numpy(np.load(path))[None, None].float()
        for path in (out / "reconstruction.npy", tmp_path / "clean.npy")
    )
    aligned = psnr(image, moved_view(truth, image, 4), data_range=1.0)
    assert facts["metrics"]["psnr"] == pytest.approx(aligned, abs=1e-3)
    again = call("reconstruct", "deblur", blurred, *given, "--resume")
    assert again == 0


def _column(out: Path, name: str) -> list[str]:
    rows = [line.split(",") for line in (out / "history.csv").read_text().splitlines()]
    place = rows[0].index(name)
    return [row[place] for row in rows[1:]]


def test_a_resumed_second_stage_gives_the_same_bits(
    tmp_path: Path, pause_after: Callable[[int], Watch]
) -> None:
    """Interrupted in the second stage; the first one resumes as every method does."""
    y = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    physics, small = BlindBlur(5, (1, 16, 16)), ["net.widths=8,16"]
    how = {"settings": small, "steps": 6, "progress": False, "compare": False}
    whole = ut.reconstruct(y, physics, **how)
    assert whole.theta["kernel"].shape == (1, 5, 5)
    chosen = plan("deblur", settings=small, steps=6, unknown=("kernel",))
    paused = RunSettings(compare=False, run_dir=tmp_path, watch=[pause_after(10)])
    (half,) = run(chosen, [Case(Problem(y, physics))], paused)
    assert not half.finished
    left = RunSettings(compare=False, run_dir=tmp_path)
    (resumed,) = run(chosen, [Case(Problem(y, physics))], left)
    assert torch.equal(resumed.image, whole.image)
    assert torch.equal(resumed.theta["kernel"], whole.theta["kernel"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--kernel", "estimate:two"], "side of a square"),
        (["--kernel", "estimate:21"], "more than half of a picture"),
        (["--kernel", "estimate", "--method", "dip"], "needs a known kernel"),
        (["--kernel", "estimate", "--seeds", "2"], "leave seeds out"),
        (["--kernel", "estimate", "--uncertainty", "ensemble"], "error bar"),
        (["--method", "selfdeblur"], "--kernel estimate"),
    ],
)
def test_what_cannot_be_is_refused(
    blurred: Path, tmp_path: Path, given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("reconstruct", "deblur", blurred, *given, "--out", tmp_path / "no") == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_classical_method_takes_the_gaussian_guess_and_says_so(
    blurred: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tv"
    given = ["--kernel", "estimate:5", "--method", "tv", "--quiet", "--out", out]
    assert call("reconstruct", "deblur", blurred, *given) == 0
    facts = json.loads((out / "result.json").read_text())
    assert any("takes a guess" in note for note in facts["notes"])
    assert not facts["estimated"]


def test_a_shifted_reference_is_found_by_whole_and_quarter_pixels() -> None:
    """Exact for whole pixels; with a spline, nearer for a half."""
    y, x = torch.meshgrid(*[torch.arange(32.0)] * 2, indexing="ij")

    def scene(down: float, right: float) -> torch.Tensor:
        return ((x - right) / 3).sin()[None, None] * ((y - down) / 4).cos()

    moved = moved_view(scene(0, 0), scene(2, -3))
    known = ~moved.isnan()
    torch.testing.assert_close(moved[known], scene(2, -3)[known], rtol=0, atol=1e-5)
    assert known[0, 0, 2:, :-3].all()
    wanted = scene(1.5, 0.25)
    errors = [
        float((moved_view(scene(0, 0), wanted, parts) - wanted).square().nanmean())
        for parts in (1, 4)
    ]
    assert errors[1] < 1e-4 < errors[0]
