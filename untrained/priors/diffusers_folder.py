"""A folder of diffusers: config.json, weights, and the schedule beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from untrained.errors import UserError
from untrained.files import existing_file, read_text_file, sha256
from untrained.priors.base import Provenance
from untrained.priors.diffusion import PLAIN, SYMMETRIC, VPDenoiser, linear_schedule
from untrained.priors.extra import library
from untrained.priors.fitting import load_exactly
from untrained.priors.tensors import read_licence, read_tensors

NAME = "diffusers"
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
MOST_TEXT = 2**20


class _Sample(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inside = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        noise: Tensor = self.inside(x, t).sample
        return noise


def load_folder(folder: Path) -> VPDenoiser:
    """Read an unconditional network that predicts noise (`UNet2DModel`).

    Args:
        folder: of the network, or of a pipeline with the network in `unet` and `scheduler` beside.

    Raises:
        UserError: files that are missing or damaged, or a network of another kind.
    """
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    config = _json(unet / "config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise UserError(f"its network is {config.get('_class_name')}; UNet2DModel is expected")
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise UserError("it is told the class of an image, which is not known here")
    schedule = _schedule(folder)
    there = [unet / name for name in WEIGHTS if (unet / name).exists()]
    file = existing_file(there[0] if there else unet / WEIGHTS[0], "weights")
    tensors = read_tensors(file)
    model = library("diffusers").UNet2DModel
    try:
        with torch.device("meta"):
            network: nn.Module = model.from_config(config)
    except (AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"its config.json makes no network: {error}") from error
    load_exactly(network, tensors)
    channels = int(config["in_channels"])
    return VPDenoiser(
        _Sample(network),
        Provenance(NAME, folder.resolve().name, sha256(file), read_licence(file)),
        schedule=schedule,
        channels=channels,
        units=PLAIN if channels == 2 else SYMMETRIC,
        multiple=2 ** (len(config["down_block_types"]) - 1),
    )


def _schedule(folder: Path) -> Tensor:
    """Read the schedule of a pipeline; that of Ho et al. where none stands there."""
    file = folder / "scheduler" / "scheduler_config.json"
    file = file if file.exists() else folder / "scheduler_config.json"
    told: dict[str, Any] = _json(file) if file.exists() else {}
    kind = told.get("prediction_type", "epsilon")
    if kind != "epsilon":
        raise UserError(f"it predicts '{kind}'; networks that predict the noise (epsilon) are read")
    shape = told.get("beta_schedule", "linear")
    first, last = told.get("beta_start", 1e-4), told.get("beta_end", 0.02)
    steps = told.get("num_train_timesteps", 1000)
    if not (0 < first < last < 1 and isinstance(steps, int) and 2 <= steps <= 10**6):
        raise UserError(f"its schedule from {first} to {last} in {steps} steps is none")
    if shape == "linear":
        return linear_schedule(first, last, steps)
    if shape == "scaled_linear":
        betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64).square()
        return (1 - betas).cumprod(0)
    raise UserError(f"its schedule is '{shape}'; linear and scaled_linear are read")


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text_file(file, "folder of diffusers", MOST_TEXT))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file.name} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{file.name} holds no object with names")
    return found
