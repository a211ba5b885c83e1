"""A result that no network had to be fitted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from untrained.about import About
from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.rule import Never, Stopped
from untrained.result import Result


@pytest.fixture
def blank_curves() -> None:
    """Draw the curves of reports in this folder."""


@dataclass(frozen=True)
class Toy(Method):
    name = "toy"
    rounds: int = 6
    inner: int = 1
    lam: float = 0.5

    def start(self, s):
        s.train_net()

    def loss(self, s):
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x)}


def history() -> dict[str, list[float | str]]:
    nan = float("nan")
    return {
        "step": [1.0, 2.0, 3.0, 1.0, 2.0],
        "data": [0.3, 0.1, 1 / 30, 0.3, 0.1],
        "held-out error": [0.4, 0.2, 0.25, nan, nan],
        "psnr": [10.0, 20.0, 21.0, 10.0, 22.0],
        "psnr_output": [10.0, 15.0, 18.0, 10.0, 16.0],
        "phase": ["fit"] * 3 + ["refit"] * 2,
    }


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """A result for an image `(G, C, H, W)`; keyword arguments go into its `About`."""

    def make(image: torch.Tensor, **about: object) -> Result:
        known = {"task": "denoise", "source": "photo.png", "command": "untrained reconstruct"}
        return Result(
            image=image,
            history=history(),
            origins={"data": "objective", "held-out error": "stop", "psnr": "watch"},
            stop=(Stopped("heldout", 2, "the error was smallest at step 2"),) * len(image),
            recipe=Recipe(Toy(), engine=Engine(), stop=Never(), source="made up"),
            seed=3,
            steps=5,
            seconds=1.25,
            cpu_seconds=2.5,
            device="cpu",
            precision="fp32",
            threads=1,
            about=About(**{**known, **about}),
        )

    return make


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the curves out of the page; drawing them is most of the time a page takes."""
    monkeypatch.setattr("untrained.report.page.draw", lambda chart, theme: b"")
    monkeypatch.setattr("untrained.report.page.hover_data", lambda chart: "")


@pytest.fixture
def photo() -> torch.Tensor:
    return torch.rand(1, 3, 12, 30, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def compared(make_result, photo) -> Result:
    """Everything a report can show: a reference, a classical answer, a spread."""
    result = make_result(
        0.9 * photo + 0.05,
        method="toy",
        preset="fast",
        notes=("alpha was dropped",),
        reference=photo,
        adjoint=0.5 * photo,
        classical=0.8 * photo,
        classical_name="tv",
        data_range=1.0,
        metrics={"psnr": 30.0, "ssim": float("nan")},
        classical_metrics={"psnr": 27.5, "ssim": 0.8},
    )
    return replace(result, std=0.01 * photo)
