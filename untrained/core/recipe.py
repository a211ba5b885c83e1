"""A recipe: everything a run needs to know, frozen, printable, hashable."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, get_type_hints

from torch import nn

from untrained.core.engine import Engine
from untrained.core.method import Method
from untrained.core.rule import Guard, Last, Never, Output, Stop
from untrained.errors import UserError
from untrained.nets import NETS, Compact, SideBySide
from untrained.nets.blocks import with_careful_convolutions
from untrained.problem import Problem


class NetSpec(Protocol):
    """A network's description: a frozen dataclass that can build it.

    One with a field `sides` makes images of one size only, which `Recipe.build` fills in.
    """

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        """A new network; its weights are drawn later, from the seed."""


SCALE = "mean squared singular value; CT images by FBP"
"""What data terms and images are divided by, see `Problem`. It stands in every recipe, so that
what was begun or learned at another scale is never gone on with at this one."""

LEAST = 20
"""Steps below which a trial of two methods tells nothing."""


@dataclass(frozen=True)
class Recipe:
    """What a preset is.

    Args:
        method: the paper's equations and settings.
        net: the network's builder.
        engine: how steps are taken.
        stop: when to end before the budget.
        output: which image is returned.
        guard: what undoes a failure.
        weighting: the data weighting of the problem.
        steps: budget in optimiser steps; 0 = the method's own rounds x inner.
        seeds: the result is the mean of at least this many runs.
        rival: the method with another value of some field; takes over where a quarter of the
            budget shows that it predicts held-out measurements better; asked only by stop rules
            that hold some out.
        source: where the settings come from.
    """

    method: Method
    net: NetSpec = field(default_factory=Compact)
    engine: Engine = field(default_factory=Engine)
    stop: Stop = field(default_factory=Never)
    output: Output = field(default_factory=Last)
    guard: Guard | None = None
    weighting: str = "uniform"
    steps: int = 0
    seeds: int = 1
    rival: Method | None = None
    source: str = ""

    @property
    def budget(self) -> int:
        """Optimiser steps in total, N x K unless set."""
        return self.steps or self.method.rounds * self.method.inner

    @property
    def trial(self) -> int:
        """Steps in which method and rival are tried: a quarter of the budget; 0 = no trial.

        There is none without a rival or held-out measurements, nor where it is too short to tell.
        """
        steps = self.budget // 4
        asked = self.rival is not None and self.stop.holdout > 0
        return steps if asked and steps >= LEAST else 0

    def build(self, problem: Problem) -> nn.Module:
        """The network for images of this problem's shape.

        A sigmoid is left out where the image is complex: its parts may be negative.
        """
        channels, *sides = problem.x_shape
        net: Any = self.net
        if problem.complex_image and getattr(net, "sigmoid", False):
            net = replace(net, sigmoid=False)
        if hasattr(net, "sides"):
            net = replace(net, sides=tuple(sides))
        inputs, outputs = self.method.input_channels(channels), self.method.output_channels(problem)
        copies = [net.build(inputs, outputs, len(sides)) for _ in range(self.method.copies)]
        module: nn.Module = copies[0] if len(copies) == 1 else SideBySide(copies)
        return with_careful_convolutions(module)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; equal recipes give equal dictionaries."""
        return {
            "method": _describe(self.method),
            "net": _describe(self.net),
            "engine": _describe(self.engine),
            "stop": _describe(self.stop),
            "output": _describe(self.output),
            "guard": None if self.guard is None else _describe(self.guard),
            "weighting": self.weighting,
            "steps": self.budget,
            "seeds": self.seeds,
            "rival": None if self.rival is None else _describe(self.rival),
            "scale": SCALE,
            "source": self.source,
        }

    def digest(self) -> str:
        """Hash of the settings (not of `source`)."""
        settings = {k: v for k, v in self.to_dict().items() if k != "source"}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def with_steps(self, steps: int) -> Recipe:
        """Another budget; what comes before the first image that counts keeps its share of it."""
        output = self.output.within(steps, self.budget)
        rival = None if self.rival is None else self.rival.within(steps)
        return replace(
            self, steps=steps, method=self.method.within(steps), rival=rival, output=output
        )

    def with_setting(self, assignment: str) -> Recipe:
        """One `--set`: `lam=2` sets a field of the method, `net.depth=5`, `engine.lr=1e-3`,
        `stop.patience=200`, `output.decay=0.9` those of the others; `net=unet` takes another
        network with its own defaults; `rounds=50` takes the place of the preset's number of
        steps. The rival follows; where the two no longer differ, because
        the field is the one that sets them apart, there is none.

        Raises:
            UserError: not FIELD=VALUE, an unknown field or network, or a value of another type.
        """
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: expected FIELD=VALUE, for example lam=2")
        if name.strip() == "net":
            return replace(self, net=self._other_net(text.strip()))
        part, dot, setting = name.strip().rpartition(".")
        part = part if dot else "method"
        known = ("method", "net", "engine", "stop", "output", "guard")
        target = getattr(self, part) if part in known else None
        if target is None:
            raise UserError(f"--set {assignment}: '{part}' is none of {', '.join(known)}")
        changed = replace_field(target, setting, text.strip(), assignment)
        if part == "method" and setting in ("rounds", "inner") and getattr(changed, setting) < 1:
            raise UserError(f"--set {assignment}: there is no run of less than 1; give 1 or more")
        if (part, setting) == ("method", "rounds") and self.steps:
            # the preset's number of steps would take no notice of it
            return replace(self, steps=0).with_setting(assignment)
        if part == "method" and self.rival is not None:
            rival = replace_field(self.rival, setting, text.strip(), assignment)
            return replace(self, method=changed, rival=None if rival == changed else rival)
        return replace(self, **{part: changed})

    def _other_net(self, name: str) -> NetSpec:
        """The network of that name; the range of its output stays what the task needs."""
        if name not in NETS:
            raise UserError(f"--set net={name}: there is no such network; {', '.join(NETS)}")
        net: NetSpec = NETS[name]()
        bounded = getattr(self.net, "sigmoid", None)
        return net if bounded is None else replace(net, sigmoid=bounded)  # type: ignore[type-var]


def replace_field(target: Any, name: str, text: str, assignment: str) -> Any:
    """A copy of the dataclass `target` with field `name` parsed from `text`."""
    fields = {f.name: f for f in dataclasses.fields(target)}
    nested = [n for n in fields if n in ("left", "right")]
    if name not in fields and nested:
        return _replace_nested(target, nested, name, text, assignment)
    if name not in fields:
        raise UserError(
            f"--set {assignment}: {type(target).__name__} has no field '{name}'; "
            f"it has: {', '.join(fields)}"
        )
    hint = get_type_hints(type(target))[name]
    return replace(target, **{name: _parse(text, hint, getattr(target, name), assignment)})


def _replace_nested(target: Any, sides: list[str], name: str, text: str, assignment: str) -> Any:
    """Set the field on whichever side of a combined rule has it."""
    for side in sides:
        try:
            changed = replace_field(getattr(target, side), name, text, assignment)
        except UserError:
            continue
        return replace(target, **{side: changed})
    raise UserError(f"--set {assignment}: no rule of {target} has a field '{name}'")


def _parse(text: str, hint: Any, current: Any, assignment: str) -> Any:
    kind = type(current) if current is not None else int
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind is tuple:
            return tuple(type(current[0])(part) for part in text.strip("()").split(",") if part)
        if kind is int and "None" in str(hint) and text.lower() == "none":
            return None
        value = kind(text)
    except (ValueError, KeyError):
        raise UserError(
            f"--set {assignment}: '{text}' is not a {kind.__name__} (the value now is {current!r})"
        ) from None
    return value


def _describe(thing: Any) -> dict[str, Any]:
    described = {"name": getattr(thing, "name", type(thing).__name__)}
    for f in dataclasses.fields(thing):
        value = getattr(thing, f.name)
        described[f.name] = _describe(value) if dataclasses.is_dataclass(value) else value
    return described
