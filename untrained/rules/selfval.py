"""Self-validation: an autoencoder that learns the images so far judges the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from untrained.core.rule import Frame, Memory, Stop
from untrained.core.state import State
from untrained.errors import UserError
from untrained.nets import DrawnFrom, initialise
from untrained.rules.autoencoder import Autoencoder, structure
from untrained.rules.minimum import (
    full,
    improved,
    no_decrease,
    see_minimum,
    start_minimum,
    waited,
)

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True)
class SelfValidation(Stop):
    r"""Self-validation: an autoencoder repeats the newest image (Li et al., BMVC 2021).

    .. math:: e_t = \|g_t(x_t) - x_t\|^2 / n, \qquad
              g_{t+1} = g_t - \text{Adam step on } \|g(x) - x\|^2,\ x \in \{x_{t-W+1}, ..., x_t\}

    The autoencoder g (see `Autoencoder`) is trained beside the run on its last W images, and
    tested on each image before it learns it. Images that keep their structure become easy to
    repeat; when noise comes in, which differs from step to step, they become harder. The run
    ends when e has not fallen below its minimum for `patience` steps. It does not end before
    the window is full.

    The images are taken on a grid of `side` points per axis by dropping pixels (or repeating
    them), not by averaging, which would remove the noise that is looked for.

    Differs from the released code: that trains at 512x512 for a whole pass over the window per
    step (`side=512, batch=32, updates=8`), which takes many times longer than the reconstruction;
    its Adam forgets its moments at every step; its images and outputs are confined to [0, 1].

    Memory: `window` images of `side` points per axis, and three copies of the autoencoder's
    weights. Each step costs `updates` passes of `batch` images through the autoencoder.

    Args:
        window: W, images that it learns from.
        patience: P, steps without a new minimum.
        side: points per axis that the autoencoder sees, a power of two.
        batch: images per update, drawn from the window.
        updates: Adam steps per step of the run.
        lr: Adam's rate.
    """

    name: ClassVar[str] = "selfval"
    window: int = 256
    patience: int = 500
    side: int = 64
    batch: int = 8
    updates: int = 1
    lr: float = 1e-3

    def __post_init__(self) -> None:
        if self.side < 8 or self.side & (self.side - 1):
            raise UserError(f"stop.side must be a power of two of at least 8, got {self.side}")
        for field in ("window", "batch", "updates"):
            if getattr(self, field) < 1:
                raise UserError(f"stop.{field} must be at least 1, got {getattr(self, field)}")

    @property
    def ignored(self) -> int:
        """Number of steps before the window is full, which cannot be the best."""
        return self.window - 1

    @property
    def earliest(self) -> float:
        """First step that can end a run: `patience` steps after the earliest possible minimum."""
        return self.window + self.patience

    def start(self, s: State, m: Memory) -> None:
        """Draw the autoencoder's weights for every problem; the window is empty."""
        start_minimum(s, m)
        channels, dim = s.problem.x_shape[0], len(s.problem.x_shape) - 1
        with DrawnFrom(0):  # building draws weights that are drawn again
            net = Autoencoder(channels, dim, self.side)
        drawn = {seed: _drawn(net, seed) for seed in s.seeds}
        for name in net.state_dict():
            each = torch.stack([drawn[seed][name] for seed in s.seeds])
            m[f"net/{name}"] = each.to(s.device)
        for name, _ in net.named_parameters():
            for moment in ("mean", "square"):
                m[f"{moment}/{name}"] = torch.zeros_like(m[f"net/{name}"])
        m["updates"] = full(s, 0.0)

    def see(self, s: State, m: Memory, frame: Frame) -> None:
        """Put the image into the window; once it is full, test the autoencoder, then train it."""
        x = _on_grid(frame.x, self.side)
        if "ring" not in m:
            m["ring"] = x.new_zeros(len(x), self.window, *x.shape[1:])
        m["ring"][:, (frame.step - 1) % self.window].copy_(x)
        if frame.step < self.window:
            return
        net = structure(x.shape[1], x.ndim - 2, self.side)
        errors = [_error(net, _own(net, m, g), x[g : g + 1]) for g in range(s.size)]
        see_minimum(m, frame.step, torch.stack(errors))
        for k in range(self.updates):
            drawn = s.noise(f"selfval/{k}", (self.window,), "uniform")
            m["updates"] = m["updates"] + 1
            for g in range(s.size):
                chosen = drawn[g].argsort()[: self.batch]
                self._update(net, m, g, m["ring"][g, chosen])

    def _update(self, net: nn.Module, m: Memory, g: int, images: Tensor) -> None:
        """Take one Adam step of problem g's autoencoder; weights and statistics change in place."""
        net.train()
        tensors = _own(net, m, g)
        names = [name for name, _ in net.named_parameters()]
        with torch.enable_grad():  # the loop calls rules without gradients
            leaves = {name: tensors[name].detach().requires_grad_() for name in names}
            repeated = functional_call(net, {**tensors, **leaves}, (images,))
            loss = functional.mse_loss(repeated, images)
            gradients = torch.autograd.grad(loss, [leaves[name] for name in names])
        count = float(m["updates"][g])
        for name, gradient in zip(names, gradients, strict=True):
            mean, square = m[f"mean/{name}"][g], m[f"square/{name}"][g]
            mean.lerp_(gradient, 1 - BETAS[0])
            square.lerp_(gradient.square(), 1 - BETAS[1])
            scale = (square / (1 - BETAS[1] ** count)).sqrt_().add_(EPSILON)
            tensors[name].sub_(self.lr / (1 - BETAS[0] ** count) * mean / scale)

    def done(self, m: Memory) -> Tensor:
        """Return whether `patience` steps went by without a new minimum, bool `(G,)`."""
        return waited(m, self.patience)

    def improved(self, m: Memory) -> Tensor | None:
        """Return whether this step is a new minimum, bool `(G,)`; None before the first one."""
        return improved(m)

    def statistic(self, m: Memory) -> dict[str, Tensor]:
        """Return the error e of the autoencoder on this step's image, `(G,)`."""
        return {"autoencoder error": m["value"]}

    def reason(self, m: Memory) -> str:
        """Return the reason for the end: the step and the value of the minimum."""
        return no_decrease(m, "the error of the autoencoder", self.patience)


def _on_grid(x: Tensor, side: int) -> Tensor:
    return functional.interpolate(x, size=(side,) * (x.ndim - 2), mode="nearest")


def _drawn(net: nn.Module, seed: int) -> dict[str, Tensor]:
    initialise(net, seed)
    return {name: value.clone() for name, value in net.state_dict().items()}


def _own(net: nn.Module, m: Memory, g: int) -> dict[str, Tensor]:
    """Return weights and statistics of problem g's autoencoder, as views into the memory."""
    return {name: m[f"net/{name}"][g] for name in net.state_dict()}


def _error(net: nn.Module, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
    net.eval()
    return (functional_call(net, tensors, (x,)) - x).square().mean()
