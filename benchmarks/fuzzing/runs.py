"""Readers of weights, trained denoisers, paused runs and grids of runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from fuzzing.mutators import as_bytes, as_state, as_text, as_weights
from fuzzing.subjects import NET, SMALL, Subject, read_with
from fuzzing.valid_files import picture

GRID = """
name = "small"
seeds = [0, 1]
time_limit = 60

[[cases]]
task = "denoise"
clean = "clean.npy"
simulate = { sigma = 25.0 }

[[cases]]
task = "ct"
clean = "clean.npy"
simulate = { angles = 12, noise = 0.02 }

[[runs]]
method = "dip"
steps = 10
settings = ["engine.lr=0.01", "net.depth=3"]

[[runs]]
method = ["tv", "adjoint"]

[small]
images = 1
steps = 5
"""


def _grid(path: Path) -> None:
    np.save(path.with_name("clean.npy"), picture())
    path.write_text(GRID)


def _weights(path: Path) -> None:
    from untrained.cli.commands import status

    np.save(path.with_name("input.npy"), picture())
    Image.fromarray((255 * picture()).astype(np.uint8)).save(path.with_name("clean.png"))
    widths = ("--set", "net.layers=2", "--set", "net.width=8")
    said = status(
        ["pretrain", "strainer", "denoise", str(path.with_name("clean.png")), "--steps", "2",
         "--quiet", *widths, "--out", str(path)]
    )  # fmt: skip
    assert said == 0, said
    shutil.rmtree(path.with_name("weights-training"))


def _prior(layout: str) -> Callable[[Path], None]:
    """Write a small pre-trained network and a picture beside it."""

    def make(path: Path) -> None:
        np.save(path.with_name("input.npy"), picture())
        generator = torch.Generator().manual_seed(7)

        def draw(*shape: int) -> torch.Tensor:
            return 0.1 * torch.randn(*shape, generator=generator)

        chain: dict[str, torch.Tensor] = {}
        for i, (outputs, inputs) in enumerate([(6, 1), (6, 6), (1, 6)]):
            chain |= {
                f"model.{2 * i}.weight": draw(outputs, inputs, 3, 3),
                f"model.{2 * i}.bias": draw(outputs),
            }
        if layout == "old torch":
            torch.save({"ema": chain}, path, _use_new_zipfile_serialization=False)
        elif layout == "torch":
            torch.save({"state_dict": chain, "epoch": 3}, path)
        elif layout == "safetensors":
            path.write_bytes(save(chain, {"license": "MIT"}))
        else:
            path.write_bytes(_flax(draw))

    return make


def _flax(draw: Callable[..., torch.Tensor]) -> bytes:
    """A network as SCICO stores it."""
    import msgpack

    def packed(*shape: int) -> Any:
        array = draw(*shape).numpy()
        return msgpack.ExtType(1, msgpack.packb((array.shape, "float32", array.tobytes())))

    norm = {"scale": packed(4), "bias": packed(4)}
    block = {"Conv_0": {"kernel": packed(3, 3, 4, 4)}, "BatchNorm_0": norm}
    statistics = {"BatchNorm_0": {"mean": packed(4), "var": packed(4)}}
    ends = {
        "conv_start": {"kernel": packed(3, 3, 2, 4)},
        "conv_end": {"kernel": packed(3, 3, 4, 2)},
    }
    tree = {
        "params": {"ConvBNBlock_0": block, **ends},
        "batch_stats": {"ConvBNBlock_0": statistics},
    }
    content: bytes = msgpack.packb(tree)
    return content


def _asked(
    name: str, layout: str, file: str, mutate: Callable[..., bytes] | None = None
) -> Subject:
    """A subject: a pre-trained network, asked by a method."""
    command = ("reconstruct", "denoise", "{dir}/input.npy", "--prior", "{file}", "--quiet")
    how = ("--method", "deepred", "--out", "{out}", *NET, *SMALL)
    return Subject(
        f"prior, {name}", file, (*command, *how), _prior(layout), mutate or as_bytes, engine=False
    )


def _state(path: Path) -> None:
    from untrained.cli.commands import status

    np.save(path.parent.parent / "input.npy", picture())
    said = status(
        ["reconstruct", "denoise", str(path.parent.parent / "input.npy"), "--method", "dip",
         "--quiet", "--steps", "6", *SMALL, "--time-limit", "0.001", "--out", str(path.parent)]
    )  # fmt: skip
    assert said == 0, said
    assert path.exists()


RUNS: tuple[Subject, ...] = (
    Subject(
        "weights", "weights.safetensors",
        (*read_with("denoise", "input.npy", "--weights"), *NET), _weights, as_weights, engine=False,
    ),
    _asked("torch", "torch", "prior.pth"),
    _asked("old torch", "old torch", "prior.pt"),
    _asked("safetensors", "safetensors", "prior.safetensors", as_weights),
    _asked("flax", "flax", "prior.mpk"),
    Subject(
        "state", "run/state.pt",
        ("reconstruct", "denoise", "{dir}/../input.npy", "--method", "dip", "--steps", "6",
         *SMALL, "--quiet", "--out", "{dir}", "--resume"),
        _state, as_state, engine=False,
    ),
    Subject(
        "grid", "grid.toml",
        ("bench", "run", "{file}", "--small", "--only", "none", "--quiet", "--out", "{out}"),
        _grid, as_text, engine=False, accepted="no job matches",
    ),
)  # fmt: skip
