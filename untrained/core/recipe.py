"""A recipe: everything a run needs to know, frozen, printable, hashable."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, get_args, get_type_hints

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
        """Build a network; its weights are drawn later, from the seed."""


PARTS = ("method", "net", "engine", "stop", "output", "guard")
"""Names of the parts of a recipe that a setting (`--set PART.FIELD=VALUE`) can change."""

SCALE = "mean squared singular value; CT images by FBP"
"""Name of the scale by which data terms and images are divided, see `Problem`. It stands in
every recipe, so that a run begun, or weights learned, at another scale are never continued at
this one."""

MOST_WHOLE = 2**31 - 1
"""Largest whole number that a setting may have, that of a 32-bit integer."""

LEAST = 20
"""Smallest number of steps of a trial; after fewer, the methods' errors tell nothing yet."""


@dataclass(frozen=True)
class Recipe:
    """Hold everything that a run needs: method, network, engine, rules and budget.

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
        alternative: the method with another value of some field; takes over where a quarter of
            the budget shows that it predicts held-out measurements better; tried only by stop rules
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
    alternative: Method | None = None
    source: str = ""

    @property
    def budget(self) -> int:
        """Optimiser steps in total, N x K unless set."""
        return self.steps or self.method.rounds * self.method.inner

    @property
    def undecided(self) -> bool:
        """Whether a field of the method still needs a value, found on held-out measurements."""
        return self.method not in self.method.candidates()

    @property
    def candidates(self) -> tuple[Method, ...]:
        """The methods to try; the one that predicts held-out measurements best is run."""
        own = self.method.candidates()
        return own if self.alternative is None else own + self.alternative.candidates()

    @property
    def trial(self) -> int:
        """Number of steps of each candidate's trial: a quarter of the budget; 0 = no trial.

        There is none of a single candidate or without held-out measurements, nor, unless a field
        has no value yet, where it is too short to tell.
        """
        steps = self.budget // 4
        if self.undecided:
            return max(steps, LEAST)
        asked = len(self.candidates) > 1 and self.stop.holdout > 0
        return steps if asked and steps >= LEAST else 0

    def check(self) -> None:
        """Refuse what cannot be run.

        Raises:
            UserError: a field has no value, and the stop rule holds nothing out to find it by; or
                a network that draws every pixel from its coordinates is to be given another input.
        """
        if getattr(self.net, "coordinates", False) and not self.method.coordinates:
            name = type(self.net).__name__
            raise UserError(
                f"{name} draws every pixel from its coordinates, which {self.method.name} does not "
                f"give it: take --method inr --set net={name.lower()}, or another network "
                f"({', '.join(n for n, kind in NETS.items() if not _of_coordinates(kind))})"
            )
        if self.method.of_coordinates_only and not getattr(self.net, "coordinates", False):
            raise UserError(
                f"{self.method.name} is a network of coordinates, and {type(self.net).__name__} is "
                "none: take net=siren or net=wire, or `--method dip` for this network"
            )
        if self.undecided and not self.stop.holdout:
            raise UserError(
                f"lam=auto of {self.method.name} is found on held-out measurements, and the stop "
                f"rule '{self.stop.name}' holds none out; give a number (lam=1), or take "
                "--stop heldout (stop='heldout' in Python)"
            )

    def build(self, problem: Problem) -> nn.Module:
        """Build the network for images of this problem's shape.

        A sigmoid is left out where the image is complex: its parts may be negative.
        """
        sides = problem.x_shape[1:]
        if self.method.framewise and len(sides) == 3:
            sides = sides[1:]
        net: Any = self.net
        if problem.complex_image and getattr(net, "sigmoid", False):
            net = replace(net, sigmoid=False)
        if len(sides) == 3 and problem.physics.is_series and hasattr(net, "for_series"):
            net = net.for_series(sides[0])
        if hasattr(net, "sides"):
            net = replace(net, sides=tuple(sides))
        inputs = self.method.channels_of_input(problem.x_shape)
        outputs = self.method.output_channels(problem)
        copies = [net.build(inputs, outputs, len(sides)) for _ in range(self.method.copies)]
        module: nn.Module = copies[0] if len(copies) == 1 else SideBySide(copies)
        return with_careful_convolutions(module)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain JSON values; equal recipes give equal dictionaries."""
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
            "alternative": None if self.alternative is None else _describe(self.alternative),
            "scale": SCALE,
            "source": self.source,
        }

    def digest(self) -> str:
        """Compute a hash of the settings (without `source`)."""
        settings = {k: v for k, v in self.to_dict().items() if k != "source"}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def with_steps(self, steps: int) -> Recipe:
        """Return the recipe with another budget.

        What comes before the first image that counts (training, search, burn-in) keeps its share of
        the budget.
        """
        output = self.output.within(steps, self.budget)
        other = None if self.alternative is None else self.alternative.within(steps)
        return replace(
            self, steps=steps, method=self.method.within(steps), alternative=other, output=output
        )

    def with_setting(self, assignment: str) -> Recipe:
        """Return the recipe with one assignment applied, see `with_settings`."""
        return self.with_settings([assignment])

    def with_settings(self, assignments: Sequence[str]) -> Recipe:
        """Return the recipe with all `--set` assignments of a run applied together.

        Each part is built once, from all its fields, so that fields which have to agree
        (`net.down`, `net.up`, `net.skip`) can be set beside each other. Of two values of one field
        the later holds.

        `lam=2` sets a field of the method, `net.depth=5`, `engine.lr=1e-3`, `stop.patience=200`,
        `output.decay=0.9` those of the others; `net=unet` takes another network with its own
        defaults; `rounds=50` takes the place of the preset's number of steps. The alternative
        follows; where the two no longer differ, because the field is the one that sets them apart,
        there is none.

        Raises:
            UserError: not FIELD=VALUE, an unknown field or network, a value of another type, or
                values that do not go together.
        """
        made, parts = self, dict[str, list[Setting]]()
        for setting in map(Setting.of, assignments):
            if setting.part == "net" and not setting.field:
                made = replace(made, net=made._other_net(setting.text))
            else:
                parts.setdefault(setting.part, []).append(setting)
        for part, settings in parts.items():
            made = made._with_part(part, settings)
        return made

    def _with_part(self, part: str, settings: Sequence[Setting]) -> Recipe:
        """Return the recipe with these fields of one of its parts changed."""
        target = getattr(self, part) if part in PARTS else None
        if target is None:
            raise UserError(f"{settings[0]}: '{part}' is none of {', '.join(PARTS)}")
        changed = with_fields(target, settings)
        if part != "method":
            return replace(self, **{part: changed})
        counts = [one for one in settings if one.field in ("rounds", "inner")]
        for one in counts:
            if getattr(changed, one.field) < 1:
                raise UserError(f"{one}: there is no run of less than 1; give 1 or more")
        # the preset's number of steps would take no notice of rounds
        steps = 0 if any(one.field == "rounds" for one in counts) else self.steps
        other = None if self.alternative is None else with_fields(self.alternative, settings)
        other = None if other == changed else other
        return replace(self, method=changed, steps=steps, alternative=other)

    def _other_net(self, name: str) -> NetSpec:
        """Build the default network of that name; its output keeps the range of the task."""
        if name not in NETS:
            raise UserError(f"--set net={name}: there is no such network; {', '.join(NETS)}")
        net: NetSpec = NETS[name]()
        bounded = getattr(self.net, "sigmoid", None)
        if bounded is None or not hasattr(net, "sigmoid"):
            return net
        return replace(net, sigmoid=bounded)  # type: ignore[type-var]


def _of_coordinates(kind: Any) -> bool:
    return bool(getattr(kind, "coordinates", False))


@dataclass(frozen=True)
class Setting:
    """One `--set`: the field of a part of the recipe, and its value as text."""

    part: str
    field: str
    text: str
    assignment: str

    @classmethod
    def of(cls, assignment: str) -> Setting:
        """Parse `lam=2` (method), `net.depth=5` (network) or `net=unet` (no field) into a setting.

        Raises:
            UserError: there is no `=`.
        """
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: expected FIELD=VALUE, for example lam=2")
        part, dot, field_ = name.strip().rpartition(".")
        if name.strip() == "net":
            part, dot, field_ = "net", ".", ""
        return cls(part if dot else "method", field_, text.strip(), assignment)

    def __str__(self) -> str:
        return f"--set {self.assignment}"


def with_fields(target: Any, settings: Sequence[Setting]) -> Any:
    """Return a copy of the dataclass `target` with all these fields set, checked once.

    A field that it has not is looked for in the two sides of a combined rule.
    """
    hints, sides = get_type_hints(type(target)), _sides(target)
    changes: dict[str, Any] = {}
    inside: dict[str, list[Setting]] = {}
    for one in settings:
        if one.field in {f.name for f in dataclasses.fields(target)}:
            changes[one.field] = _parse(one, hints[one.field], getattr(target, one.field))
            continue
        holders = [side for side in sides if _has_field(getattr(target, side), one.field)]
        if not holders:
            raise UserError(_unknown(target, one))
        inside.setdefault(holders[0], []).append(one)
    for side, own in inside.items():
        changes[side] = with_fields(getattr(target, side), own)
    return replace(target, **changes)


def _sides(target: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(target) if f.name in ("left", "right")]


def _has_field(target: Any, name: str) -> bool:
    own = {f.name for f in dataclasses.fields(target)}
    return name in own or any(_has_field(getattr(target, side), name) for side in _sides(target))


def _unknown(target: Any, setting: Setting) -> str:
    if _sides(target):
        return f"{setting}: no rule of {target} has a field '{setting.field}'"
    has = ", ".join(f.name for f in dataclasses.fields(target))
    return f"{setting}: {type(target).__name__} has no field '{setting.field}'; it has: {has}"


def _parse(setting: Setting, hint: Any, current: Any) -> Any:
    """Parse the text of a setting by the type of the field's value, or of what may replace None."""
    text, choices = setting.text, get_args(hint)
    if type(None) in choices and text.lower() == "none":
        return None
    words = [word for choice in choices for word in get_args(choice)]  # of a Literal
    if text.lower() in words:
        return text.lower()
    kind = type(current) if current is not None and current not in words else choices[0]
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind is tuple:
            return tuple(type(current[0])(part) for part in text.strip("()").split(",") if part)
        value = kind(text)
    except (ValueError, KeyError):
        raise UserError(
            f"{setting}: '{text}' is not a {kind.__name__} (the value now is {current!r})"
        ) from None
    if kind is int and abs(value) > MOST_WHOLE:
        raise UserError(f"{setting}: whole numbers up to {MOST_WHOLE:,} are taken")
    return value


def _describe(thing: Any) -> dict[str, Any]:
    described = {"name": getattr(thing, "name", type(thing).__name__)}
    for name, value in _fields_of(thing).items():
        inner = dataclasses.is_dataclass(value) or isinstance(value, (Stop, Output, Guard))
        described[name] = _describe(value) if inner else value
    return described


def _fields_of(thing: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name; of any other rule, the text of its attributes."""
    if dataclasses.is_dataclass(thing):
        return {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}
    return {name: repr(value) for name, value in vars(thing).items()}
