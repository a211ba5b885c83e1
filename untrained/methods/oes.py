"""Optimal Eye Surgeon: find a sparse sub-network at initialisation, then train only that."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.core.state import State
from untrained.errors import UserError
from untrained.files import read_tensors, write_tensors
from untrained.methods.card import REPARAMETERISATION, Card
from untrained.methods.inputs import uniform_input
from untrained.nets import SKIP_OES
from untrained.rules import Average, Last
from untrained.solver.fit import Fit
from untrained.tasks import ALL_TASKS, find_task

SELECTIONS = ("learned", "magnitude")


@dataclass(frozen=True)
class OES(Method):
    r"""Ghosh, Zhang, Sun, Qu, Ravishankar, Wang: Optimal Eye Surgeon (ICML 2024).

    .. math:: (1)\ \min_p E_{m \sim \mathrm{Ber}(p)} \|A f_{\theta_0 \odot m}(z) - y\|^2
              + \lambda\,\mathrm{KL}(\mathrm{Ber}(p) \,\|\, \mathrm{Ber}(p_0)), \qquad
              (2)\ m^* = \text{the largest entries of } p, \qquad
              (3)\ \min_\theta \|A f_{\theta \odot m^*}(z) - y\|^2,\ \theta \text{ from } \theta_0

    Every parameter, biases and normalisations included, is kept or set to zero. Step (1) draws
    one Gumbel-softmax sample per optimiser step, m = sigmoid((logit p + logit u) / T), u ~ U(0, 1).
    The sub-network of step (3) has too few weights to fit noise.

    `select=magnitude` is the paper's baseline: (1) trains all weights instead of p, (2) keeps the
    largest ones, (3) starts those from theta_0 again. A mask found on another image is used with
    `mask=FILE` (see `save_mask`), which leaves out (1).

    The data term is divided by ||A||^2, the largest squared singular value, at which lambda stands.

    Differs from the code: ties at the threshold are broken by position, not by chance.
    The code at hand does not run (an argument is given twice).

    Args:
        rounds: optimiser steps of (1) and (3) together (N = 1).
        search: those of (1).
        search_rate: learning rate of (1) relative to that of (3).
        keep: fraction of the parameters in the sub-network.
        lam: lambda, of the KL term's sum over parameters.
        prior: p_0.
        temperature: T.
        select: `learned` or `magnitude`.
        mask: a file of `save_mask`; empty = find the mask.
        channels, amplitude: of the input, as in DIP.
    """

    name: ClassVar[str] = "oes"
    nonlinear: ClassVar[bool] = True
    rounds: int = 100000
    inner: int = 1
    search: int = 60000
    search_rate: float = 1.0
    keep: float = 0.05
    lam: float = 1e-9
    prior: float = 0.05
    temperature: float = 0.2
    select: str = "learned"
    mask: str = ""
    channels: int = 32
    amplitude: float = 0.1

    def __post_init__(self) -> None:
        if self.select not in SELECTIONS:
            raise UserError(f"select={self.select!r} is unknown; known: {', '.join(SELECTIONS)}")
        if not 0 < self.keep <= 1 or not 0 < self.prior < 1:
            raise UserError(
                f"keep must lie in (0, 1] and prior in (0, 1), got {self.keep} and {self.prior}"
            )

    def input_channels(self, image_channels: int) -> int:
        """Count the channels of z."""
        return self.channels

    def within(self, steps: int) -> OES:
        """(1) keeps its share of the steps."""
        return replace(self, search=steps * self.search // self.rounds)

    def start(self, s: State) -> None:
        """z ~ U(0, amplitude); p = 1/2 (or the weights themselves) is what is trained first."""
        s["z"] = uniform_input(s, self.channels, self.amplitude)
        s.train_net()
        if self.mask:
            self._restart(s, _load_mask(self.mask, s))
            return
        for name, weight in s.weights.items():
            learned = self.select == "learned"
            s[f"search/{name}"] = torch.zeros_like(weight) if learned else weight
            s.train(f"search/{name}", self.search_rate)

    def loss(self, s: State) -> tuple[Tensor, dict[str, Tensor]]:
        """(1) with the sampled mask and the KL term, then (3) with the mask found."""
        if self._searching(s):
            x = s.net(s["z"], {name: self._candidate(s, name) for name in s.weights})
            return x, {"data": s.problem.misfit(x, "norm"), "kl": self._divergence(s)}
        kept = {name: weight * s[f"mask/{name}"] for name, weight in s.weights.items()}
        x = s.net(s["z"], kept)
        data = s.problem.misfit(x, "norm")
        return x, {"data": data, "kl": torch.zeros_like(data)}

    def advance(self, s: State) -> None:
        """(2) after the last step of (1)."""
        if s.step == self.search and not self.mask:
            scores = {name: s[f"search/{name}"].detach() for name in s.weights}
            if self.select == "magnitude":
                scores = {name: score.abs() for name, score in scores.items()}
            self._restart(s, largest(scores, self.keep))

    def _searching(self, s: State) -> bool:
        return s.step < self.search and not self.mask

    def _candidate(self, s: State, name: str) -> Tensor:
        logit = s[f"search/{name}"]
        if self.select == "magnitude":
            return logit
        u = s.noise(f"gumbel/{name}", logit.shape[1:], "uniform").clamp(1e-6, 1 - 1e-6)
        sample = torch.sigmoid((logit + torch.logit(u)) / self.temperature)
        return s.weights[name].detach() * sample

    def _divergence(self, s: State) -> Tensor:
        """lambda KL(Ber(p) || Ber(p_0)), summed over the parameters."""
        total = s.problem.y.new_zeros(s.size)
        if self.select == "magnitude":
            return total
        for name in s.weights:
            logit = s[f"search/{name}"]
            p = torch.sigmoid(logit)
            entropy = p * torch.nn.functional.logsigmoid(logit)
            entropy = entropy + (1 - p) * torch.nn.functional.logsigmoid(-logit)
            cross = p * math.log(self.prior) + (1 - p) * math.log(1 - self.prior)
            total = total + (entropy - cross).flatten(1).sum(1)
        return self.lam * total

    def _restart(self, s: State, masks: dict[str, Tensor]) -> None:
        """Set the weights of the sub-network to theta_0, all others to zero."""
        with torch.no_grad():
            for name, weight in s.weights.items():
                s[f"mask/{name}"] = masks[name]
                weight.mul_(masks[name])


def largest(scores: dict[str, Tensor], fraction: float) -> dict[str, Tensor]:
    """1 at the largest `fraction` of all scores of a problem together, else 0; same shapes."""
    flat = torch.cat([score.flatten(1) for score in scores.values()], dim=1)
    count = max(1, round(fraction * flat.shape[1]))
    chosen = torch.zeros_like(flat)
    order = flat.argsort(dim=1, descending=True, stable=True)
    chosen.scatter_(1, order[:, :count], 1.0)
    parts = chosen.split([score[0].numel() for score in scores.values()], dim=1)
    return {
        name: part.reshape(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def save_mask(result: Fit, path: str | Path) -> None:
    """Write the sub-network of a finished `oes` run, to start another image's from.

    A kept parameter that never left zero counts as dropped.

    Args:
        result: of a run with method `oes`.
        path: a `.safetensors` file.

    Raises:
        UserError: the file cannot be written.
    """
    write_tensors(path, {n: (w[0] != 0).to(torch.float32) for n, w in result.weights.items()})


def _load_mask(path: str, s: State) -> dict[str, Tensor]:
    found = read_tensors(path)
    for name, weight in s.weights.items():
        if name not in found or found[name].shape != weight.shape[1:]:
            shape = tuple(found[name].shape) if name in found else "nothing"
            raise UserError(
                f"mask={path} does not fit the network: '{name}' is {tuple(weight.shape[1:])} "
                f"there and {shape} in the file; use the network that the mask was made with"
            )
    return {
        name: found[name].to(w.device, w.dtype).expand(w.shape) for name, w in s.weights.items()
    }


def recipe(task: str, preset: str) -> Recipe:
    """Return the settings of `preset` on `task`.

    The network is pruned, so every preset keeps its kind.
    """
    linear = not find_task(task).unit_range
    if preset != "paper":
        steps = {"fast": 600, "best": 2000}[preset]
        net = replace(SKIP_OES, kernel_down=3, depth=4, sigmoid=not linear)
        return Recipe(
            method=OES(2 * steps, search=steps, search_rate=30.0),
            net=net,
            engine=Engine("adam", lr=0.01),
            output=Average(decay=0.95, keep_best=False),
            source="a smaller network; a shorter search at 30 times the rate; no stop is needed",
        )
    return Recipe(
        method=OES(),
        net=replace(SKIP_OES, sigmoid=not linear),
        engine=Engine("adam", lr=0.01, precision="fp32"),
        output=Last(),
        source="authors' configuration: 60,000 + 40,000 steps of Adam 0.01, 5% kept",
    )


CARD = Card(
    name="oes",
    title="Optimal Eye Surgeon: a sparse sub-network found before training",
    source="Ghosh, Zhang, Sun, Qu, Ravishankar, Wang, ICML 2024",
    family=REPARAMETERISATION,
    tasks=ALL_TASKS,
    optimises="a mask, then the sub-network",
    recipe=recipe,
)
