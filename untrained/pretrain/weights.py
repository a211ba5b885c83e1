"""Learned weights as a file: tensors and where they come from, and no code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from untrained._version import versions
from untrained.core.start import CHOICE, StartWeights
from untrained.errors import UserError
from untrained.files import atomic_write, existing_file, require_new
from untrained.nets import net_from_dict
from untrained.problem import Problem

FORMAT = 2
"""1 was learned with the data term divided by the largest squared singular value, and images of CT
by the level of their backprojection; see CHANGELOG."""

KEY = "untrained"
SUFFIX = ".safetensors"
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Weights:
    """What `train` learned, with its provenance.

    Attributes:
        method: the method that they are for.
        task, preset: of the training.
        image: `(C, ...)`, the shape of the images that were learned from.
        recipe: the training's settings, plain JSON values; `recipe["net"]` is the network.
        inputs: what was learned from, `{"name": ..., "sha256": ...}` each.
        data: a hash of each measurement that was learned from, its operator and noise included.
        scans: what the operators of CT and MRI measured, in words, each kind once.
        seed, steps, seconds: of the training.
        misfit: the final data term of each image that was learned from.
        tensors: the weights by name, without a leading axis.
        versions: of the library and of what its bits depend on.
    """

    method: str
    task: str
    preset: str
    image: tuple[int, ...]
    recipe: dict[str, Any]
    inputs: tuple[dict[str, str], ...]
    seed: int
    steps: int
    seconds: float
    misfit: tuple[float, ...]
    tensors: dict[str, Tensor] = field(repr=False)
    data: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def net(self) -> Any:
        """Return the description of the network that they belong to."""
        return net_from_dict(self.recipe["net"])

    @property
    def whole(self) -> bool:
        """Tell whether they are all of the network's, and not its encoder's alone."""
        return not all(name.startswith("encoder.") or CHOICE in name for name in self.tensors)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a safetensors file, atomically.

        Raises:
            UserError: another suffix, a file that is there, or one that cannot be written.
        """
        path = check_path(path, overwrite=overwrite)
        with atomic_write(path) as stream:
            stream.write(self.content())
        return path

    def content(self) -> bytes:
        """Return the bytes of the file that `save` writes."""
        from safetensors.torch import save

        tensors = {name: t.detach().cpu().contiguous() for name, t in self.tensors.items()}
        return save(tensors, {KEY: json.dumps({"format": FORMAT, **self.facts()})})

    def facts(self) -> dict[str, Any]:
        """Everything but the tensors, plain JSON values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del values["tensors"]
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    def start(self, problem: Problem) -> StartWeights:
        """Return what the network of a problem starts from.

        Raises:
            UserError: its images have other channels.
        """
        channels = problem.x_shape[0]
        if self.image[0] != channels:
            raise UserError(
                f"these weights are for images of {self.image[0]} channel(s), and this one has "
                f"{channels}; learn others from images like it"
            )
        return StartWeights.from_tensors(self.tensors)

    def doubts(self, problem: Problem) -> tuple[str, ...]:
        """Say where a scan differs from those that they were learned for."""
        found = scans_of([problem])
        if not self.scans or set(found) <= set(self.scans):
            return ()
        return (
            f"the weights were learned for another scan than this: they know {self.scans[0]}; "
            f"this is {found[0] if found else f'a problem of {problem.task}'}",
        )

    def check(self, method: str, task: str) -> None:
        """Refuse weights that do not serve for a reconstruction.

        Raises:
            UserError: they were learned for another method or task.
        """
        for what, ours, wanted in (("method", self.method, method), ("task", self.task, task)):
            if ours != wanted:
                raise UserError(
                    f"these weights were learned for the {what} {ours}, not {wanted}; learn "
                    f"others with: untrained pretrain {method} {task} INPUT... --out FILE"
                )


def scans_of(problems: Sequence[Problem]) -> tuple[str, ...]:
    """Say what the operators of CT and MRI problems measure, each kind once."""
    scans = [p.physics.described() for p in problems if p.traits.few_lines]
    return tuple(dict.fromkeys(scan for scan in scans if scan))


def check_path(path: str | Path, *, overwrite: bool) -> Path:
    """Return where weights may be written; raises as `Weights.save`."""
    path = Path(path)
    if path.suffix != SUFFIX:
        raise UserError(f"weights are written as {SUFFIX}, and {path} ends otherwise")
    require_new(path, overwrite=overwrite)
    return path


def load_weights(path: str | Path) -> Weights:
    """Read weights; nothing in the file is executed.

    Raises:
        UserError: missing, damaged, of another format, or not written by `pretrain`.
    """
    from safetensors import SafetensorError, safe_open

    existing_file(path, "--weights")
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise UserError(f"{path} cannot be read as weights ({SUFFIX}): {error}") from error
    except SafetensorError as error:
        raise UserError(
            f"{path} cannot be read as weights ({SUFFIX}): {error}; it may be cut short or another "
            "kind of file: copy it again, or learn it anew"
        ) from error
    if text is None:
        raise UserError(
            f"{path} holds tensors, but not where they come from: it was not written by "
            "`untrained pretrain`"
        )
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES or not bool(tensor.isfinite().all()):
            raise UserError(
                f"{path} is damaged: '{name}' holds {tensor.dtype}, or NaN or infinite values; "
                "weights are finite float32; copy it again, or learn it anew"
            )
    try:
        return _weights(json.loads(text), tensors)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} was written by another version of untrained, or is damaged: {error}"
        ) from error


def _weights(facts: Any, tensors: dict[str, Tensor]) -> Weights:
    """Rebuild what `Weights.facts` were of; raises what damaged ones cause."""
    if not isinstance(facts, dict):
        raise ValueError(f"its facts are {type(facts).__name__}")
    made_by = facts.pop("format")
    if made_by != FORMAT:
        raise ValueError(
            f"it is of format {made_by}, and this version reads {FORMAT}, since the scale of data "
            "terms and images has changed; learn it anew with: untrained pretrain"
        )
    facts |= {name: tuple(facts[name]) for name in ("image", "inputs", "misfit")}
    facts |= {name: tuple(facts.get(name, ())) for name in ("data", "scans")}
    weights = Weights(tensors=tensors, **facts)
    net_from_dict(weights.recipe["net"])
    if len(weights.image) < 2 or not all(isinstance(n, int) and n > 0 for n in weights.image):
        raise ValueError(f"its images are {weights.image}")
    for entry in weights.inputs:
        entry.get("name", "")
    return weights
