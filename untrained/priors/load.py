"""Read a pre-trained network from a file: tensors only, and nothing in it is executed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.files import existing_file
from untrained.priors.base import Prior, Provenance
from untrained.priors.dncnn import build_dncnn, is_dncnn


@dataclass(frozen=True)
class Architecture:
    """One layout of a file of weights.

    Attributes:
        title: one line.
        recognises: tells by the names and shapes of the tensors whether a file has this layout.
        build: makes the prior of them; raises UserError where they do not fit.
    """

    title: str
    recognises: Callable[[Mapping[str, Tensor]], bool]
    build: Callable[[Mapping[str, Tensor], Provenance], Prior]


ARCHITECTURES: dict[str, Architecture] = {
    "dncnn": Architecture("DnCNN as KAIR stores it", is_dncnn, build_dncnn),
}
"""What `--prior FILE:NAME` names; without a name the first that recognises the file is taken."""


def split_name(text: str) -> tuple[str, str]:
    """Split FILE[:ARCH]; what follows the last colon counts only if it is a known architecture."""
    file, colon, name = text.rpartition(":")
    return (file, name) if colon and name in ARCHITECTURES else (text, "")


def load_prior(path: str | Path) -> Prior:
    """Read a pre-trained network from FILE or FILE:ARCHITECTURE.

    Raises:
        UserError: a missing or damaged file, one that holds code, or a layout that is unknown or
            not the one that was named.
    """
    name, named = split_name(str(path))
    file = existing_file(name, "--prior")
    tensors = read_tensors(file)
    found = [n for n, one in ARCHITECTURES.items() if one.recognises(tensors)]
    if named and named not in found:
        looks = f"; it looks like {found[0]}" if found else ""
        raise UserError(f"--prior: {file} does not have the layout of {named}{looks}")
    if not found:
        first = ", ".join(list(tensors)[:3])
        raise UserError(
            f"--prior: the layout of {file} ({len(tensors)} tensors: {first}, ...) is none of "
            f"{', '.join(ARCHITECTURES)}"
        )
    architecture = named or found[0]
    provenance = Provenance(architecture, file.name, hashlib.sha256(file.read_bytes()).hexdigest())
    try:
        return ARCHITECTURES[architecture].build(tensors, provenance)
    except UserError as error:
        raise UserError(f"--prior: {file}: {error}") from error


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name.

    Raises:
        UserError: it is damaged, holds other things than tensors, or values that are not finite.
    """
    try:
        loaded = _loaded(file)
    except Exception as error:  # torch raises many kinds, of pickle, zipfile and its own
        raise UserError(
            f"--prior: {file} cannot be read as tensors: {error}; a file that needs code to be "
            "read is never loaded: save its state_dict() alone, as .safetensors"
        ) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise UserError(f"--prior: {file} holds no state_dict (names and tensors)")
    for name, tensor in loaded.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(f"--prior: {file} is damaged: '{name}' holds NaN or infinite values")
    return dict(loaded)


def _loaded(file: Path) -> Any:
    """Read a file of either kind; nothing in it is executed."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)
