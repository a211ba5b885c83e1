"""The solvers of the board: deepinv's own that need no download, and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import deepinv as dinv
import torch
from deepinv.optim import HQS, PGD
from deepinv.optim.data_fidelity import L2
from deepinv.optim.prior import PnP, TVPrior, WaveletPrior
from torch import Tensor, nn
from untrained_solver import Untrained

Build = Callable[[Any, tuple[int, ...], int, float], nn.Module]
"""(physics, image shape, iterations, weight) -> `model(y, physics)`."""


@dataclass(frozen=True)
class Entry:
    """Describe one row of the board.

    Attributes:
        build: makes the model.
        most: iterations at most, the solver's own default; 1 = it has none to set.
        weights: candidates of its regularisation weight, of which the best on a picture that is not
            tested is taken; empty where the solver has none.
        ours: whether the solver is a method of `untrained`.
    """

    build: Build
    most: int = 1
    weights: tuple[float, ...] = ()
    ours: bool = False


class Inverse(nn.Module):
    """The pseudo-inverse, `physics.A_dagger`."""

    def forward(self, y: Tensor, physics: Any, **_: Any) -> Tensor:
        """Return A^+ y."""
        found: Tensor = physics.A_dagger(y)
        return found


def _step(physics: Any, shape: tuple[int, ...]) -> float:
    """Return a step length below 1 / ||A||^2."""
    start = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    return 0.95 / float(physics.compute_norm(start, max_iter=30, verbose=False))


def _tv(physics: Any, shape: tuple[int, ...], count: int, weight: float) -> nn.Module:
    prior, step = TVPrior(n_it_max=30), _step(physics, shape)
    return PGD(data_fidelity=L2(), prior=prior, stepsize=step, lambda_reg=weight, max_iter=count)


def _wavelet(physics: Any, shape: tuple[int, ...], count: int, weight: float) -> nn.Module:
    prior, step = WaveletPrior(level=3, wv="db4", p=1), _step(physics, shape)
    return PGD(data_fidelity=L2(), prior=prior, stepsize=step, lambda_reg=weight, max_iter=count)


def _tgv(physics: Any, shape: tuple[int, ...], count: int, weight: float) -> nn.Module:
    prior, step = PnP(dinv.models.TGVDenoiser(n_it_max=30)), _step(physics, shape)
    return HQS(
        data_fidelity=L2(),
        prior=prior,
        stepsize=step * 10,
        sigma_denoiser=weight,
        max_iter=count,
    )


def _dip(physics: Any, shape: tuple[int, ...], count: int, weight: float) -> nn.Module:
    torch.manual_seed(0)
    side = (4, 4)
    network = dinv.models.ConvDecoder(img_size=shape, in_size=side, channels=64)
    return dinv.models.DeepImagePrior(
        network, img_size=(64, *side), iterations=count, learning_rate=0.01, re_init=True
    )


NARROW = ("net=compact", "net.widths=8,16,32")
"""A network that takes some hundred steps in a few seconds of one core."""


def _ours(method: str, settings: tuple[str, ...] = ()) -> Build:
    def build(physics: Any, shape: tuple[int, ...], count: int, weight: float) -> nn.Module:
        return Untrained(method, steps=count if count > 1 else 0, settings=settings)

    return build


SIZES = (0.003, 0.01, 0.03, 0.1, 0.3)

ENTRIES: dict[str, Entry] = {
    "deepinv: pseudo-inverse": Entry(lambda *_: Inverse()),
    "deepinv: PGD, TV": Entry(_tv, 100, SIZES),
    "deepinv: PGD, wavelets": Entry(_wavelet, 100, SIZES),
    "deepinv: PnP (HQS), TGV": Entry(_tgv, 100, SIZES),
    "deepinv: Deep Image Prior": Entry(_dip, 2500),
    "untrained: tv": Entry(_ours("tv"), ours=True),
    "untrained: nlbayes": Entry(_ours("nlbayes"), ours=True),
    "untrained: dip": Entry(_ours("dip", NARROW), 300, ours=True),
    "untrained: aseqdip": Entry(_ours("aseqdip", NARROW), 300, ours=True),
    "untrained: deepdecoder": Entry(_ours("deepdecoder"), 500, ours=True),
    "untrained: auto": Entry(_ours("auto", NARROW), 250, ours=True),
}
