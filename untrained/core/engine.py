"""How steps are taken: optimiser, rates, schedule, gradient clipping, precision; no equations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from untrained.core.state import State
from untrained.errors import UserError
from untrained.optim import Muon

OPTIMISERS = ("adam", "adamw", "radam", "muon", "sgd", "none")
PRECISIONS = ("auto", "fp32", "bf16")
SCHEDULES = ("constant", "cosine", "steps")


@dataclass(frozen=True)
class Engine:
    """Hold the settings of the optimiser, and the precision of the network.

    Args:
        optimiser: `adam`; `adamw` (weight decay apart from the gradient); `radam`; `muon`
            (orthogonalised momentum on convolution kernels, Adam on the rest); `sgd` (no
            momentum); `none`, for a method that trains nothing and does all in `advance`.
        lr: learning rate; with Muon, that of the kernels.
        lr_other: with Muon, Adam's rate for everything else.
        warmup: steps over which the rate rises linearly to its value.
        schedule: `constant`; `cosine` down to `final` times the rate at the last step; `steps`:
            times `drop` after every `every` steps.
        final: the cosine schedule's last factor.
        every, drop: of the schedule `steps`.
        weight_decay: of Adam and RAdam, added to the gradient as a multiple of the weights; of
            AdamW, taken off the weights at each step as a multiple of the rate.
        clip: largest norm of the gradient over everything trained; 0 = no clipping.
        precision: of the network: `fp32`, `bf16` (autocast), or `auto`: bf16 where the device
            multiplies it natively (CUDA from Ampere on, CPUs with AMX or AVX512-BF16), fp32
            elsewhere.
        together: how many images or seeds are fitted side by side in one grouped network; 0 = as
            many as a GPU's memory holds, one after another elsewhere.
    """

    optimiser: str = "adam"
    lr: float = 1e-3
    lr_other: float = 2e-3
    warmup: int = 0
    schedule: str = "constant"
    final: float = 0.1
    every: int = 300
    drop: float = 0.9
    weight_decay: float = 0.0
    clip: float = 0.0
    precision: str = "auto"
    together: int = 0

    def __post_init__(self) -> None:
        for field, known in (
            ("optimiser", OPTIMISERS),
            ("precision", PRECISIONS),
            ("schedule", SCHEDULES),
        ):
            value = getattr(self, field)
            if value not in known:
                raise UserError(f"engine.{field}={value!r} is unknown; known: {', '.join(known)}")
        if not self.lr > 0 or not self.lr_other > 0:
            raise UserError(f"engine.lr and engine.lr_other must be positive, got {self.lr}")
        if not self.clip >= 0:
            raise UserError(f"engine.clip must not be negative, got {self.clip}")
        if self.together < 0:
            raise UserError(f"engine.together must not be negative, got {self.together}")
        if self.every < 1:
            raise UserError(f"engine.every must be at least 1, got {self.every}")

    def resolve(self, device: torch.device) -> str:
        """Return the precision on this device, `fp32` or `bf16`."""
        if self.precision != "auto":
            return self.precision
        return "bf16" if _multiplies_bf16(device) else "fp32"

    def groups(self, device: torch.device) -> bool:
        """Return whether images and seeds are fitted side by side on this device."""
        return self.together > 1 or (not self.together and device.type == "cuda")

    def optimizer(self, s: State) -> torch.optim.Optimizer:
        """Build the torch optimiser of every tensor that the method chose to train."""
        trained = list(s.trained())
        if self.optimiser == "none" and not trained:
            return torch.optim.SGD([torch.zeros(0)], lr=self.lr)  # torch wants one tensor
        if not trained or self.optimiser == "none":
            has = "something, and the engine's optimiser is none" if trained else "nothing"
            raise ValueError(f"the method trains {has}: see s.train_net() and s.train(name)")
        if self.optimiser == "muon":
            inside = [w for name, w, rate in trained if name.startswith("net/") and rate == 1.0]
            muon = Muon(inside, self.lr, adam_lr=self.lr_other)
            for name, w, rate in trained:
                if not (name.startswith("net/") and rate == 1.0):
                    muon.add_param_group({"params": [w], "lr": self.lr_other * rate})
            return muon
        rates = sorted({rate for _, _, rate in trained})
        groups = [
            {"params": [w for _, w, r in trained if r == rate], "lr": self.lr * rate}
            for rate in rates
        ]
        if self.optimiser == "sgd":
            return torch.optim.SGD(groups, lr=self.lr)
        if self.optimiser == "radam":
            return torch.optim.RAdam(groups, lr=self.lr, weight_decay=self.weight_decay)
        if self.optimiser == "adamw":
            return torch.optim.AdamW(groups, lr=self.lr, weight_decay=self.weight_decay, fused=True)
        return torch.optim.Adam(groups, lr=self.lr, weight_decay=self.weight_decay, fused=True)

    def factor(self, step: int, total: int) -> float:
        """Compute the schedule's factor of the learning rates at `step` (from 0) of `total`."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "constant":
            return rise
        if self.schedule == "steps":
            return rise * self.drop ** (step // self.every)
        progress = min(1.0, step / max(1, total - 1))
        return rise * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress)))

    def gentler(self, factor: float) -> Engine:
        """Return the same engine with its learning rates multiplied by `factor`."""
        return replace(self, lr=factor * self.lr, lr_other=factor * self.lr_other)

    def clip_gradients(self, s: State) -> None:
        """Scale the gradients of each problem so that their joint norm is at most `clip`."""
        if not self.clip:
            return
        grads = [w.grad for _, w, _ in s.trained() if w.grad is not None]
        total = torch.stack([g.flatten(1).square().sum(1) for g in grads]).sum(0).sqrt()
        scale = (self.clip / total.clamp_min(1e-12)).clamp_max(1.0)
        for g in grads:
            g.mul_(_broadcast(scale, g))


def _broadcast(value: Tensor, like: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (like.ndim - 1))


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, p)() for p in probes if hasattr(torch.cpu, p))
    return False
