"""A method, a classical answer, a network, a stop rule, an operator and a task are added to a copy
of the package, each by the files that CONTRIBUTING names and no other, and used from end to end.

File formats: tests/data/test_adding_format.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import untrained

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Addition:
    """A new file, and the lines that go before some others in those that are there."""

    file: str
    content: str
    before: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


ADDITIONS = {
    "a method": Addition(
        "untrained/methods/calm.py",
        '''
"""Calm: DIP whose output is kept small."""

from dataclasses import dataclass
from typing import ClassVar

from untrained.core.method import Method
from untrained.core.recipe import Recipe
from untrained.methods.card import REGULARISATION, Card
from untrained.methods.presets import fast
from untrained.tasks import LINEAR_TASKS


@dataclass(frozen=True)
class Calm(Method):
    name: ClassVar[str] = "calm"
    rounds: int = 40
    inner: int = 1
    lam: float = 0.1

    def start(self, s):
        s["z"] = s.problem.estimate()
        s.train_net()

    def loss(self, s):
        x = s.net(s["z"])
        return x, {"data": s.problem.misfit(x), "size": self.lam * x.square().flatten(1).mean(1)}


def recipe(task: str, preset: str) -> Recipe:
    return fast(Calm(), task, "best" if preset == "paper" else preset, "this test")


CARD = Card(
    name="calm",
    title="DIP whose output is kept small",
    source="nobody 2026",
    family=REGULARISATION,
    tasks=LINEAR_TASKS,
    optimises="the network",
    recipe=recipe,
)
''',
        {
            "untrained/methods/__init__.py": [
                ("from untrained.methods.card", "from untrained.methods.calm import CARD as CALM"),
                ("        DIP_CARD,", "        CALM,"),
            ],
            "untrained/methods/citing.py": [('    "dip": (', '    "calm": (),')],
        },
    ),
    "a classical answer": Addition(
        "untrained/classical/half.py",
        '''
"""Half of the first image."""


def half(problem):
    return 0.5 * problem.estimate()
''',
        {
            "untrained/classical/__init__.py": [
                ("from untrained.classical.linear", "from untrained.classical.half import half"),
                ('    "adjoint": adjoint,', '    "half": half,'),
            ],
            "untrained/methods/classical.py": [
                (
                    '    Card(\n        "adjoint",',
                    '    Card("half", "half of it", "none", CLASSICAL, LINEAR_TASKS, "nothing"),',
                )
            ],
        },
    ),
    "a network": Addition(
        "untrained/nets/plain.py",
        '''
"""Two convolutions."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Plain:
    """Two convolutions."""

    width: int = 8

    def build(self, in_channels: int, out_channels: int, dim: int = 2) -> nn.Module:
        first = nn.Conv2d(in_channels, self.width, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), nn.Conv2d(self.width, out_channels, 1))
''',
        {
            "untrained/nets/__init__.py": [
                ("from untrained.nets.randomness", "from untrained.nets.plain import Plain"),
                ('    "skip": SkipNet,', '    "plain": Plain,'),
            ]
        },
    ),
    "a stop rule": Addition(
        "untrained/rules/early.py",
        '''
"""Ends after a few steps."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from untrained.core.rule import Stop


@dataclass(frozen=True)
class Early(Stop):
    """Ends after `patience` steps."""

    name: ClassVar[str] = "early"
    patience: int = 9

    def start(self, s, m):
        m["step"] = torch.zeros(s.size)

    def see(self, s, m, frame):
        m["step"] = m["step"] + 1

    def done(self, m):
        return m["step"] >= self.patience

    def statistic(self, m):
        return {"steps seen": m["step"]}

    def reason(self, m):
        return "it was early"
''',
        {
            "untrained/rules/parse.py": [
                ("from untrained.rules.selfval", "from untrained.rules.early import Early"),
                ("        HeldOut,\n        WMV,", "        Early,"),
            ]
        },
    ),
    "an operator": Addition(
        "untrained/physics/flip.py",
        '''
"""The image upside down."""

from untrained.physics.kinds import LinearPhysics


class Flip(LinearPhysics):
    task = "upside"
    unit_range = True

    def __init__(self, x_shape):
        super().__init__(x_shape, x_shape)

    def A(self, x):
        return x.flip(2)

    def A_adjoint(self, y):
        return y.flip(2)
''',
        {
            "untrained/physics/__init__.py": [
                ("from untrained.physics.inpaint", "from untrained.physics.flip import Flip"),
                ('    "FanBeam",', '    "Flip",'),
            ]
        },
    ),
    "a task": Addition(
        "untrained/data/tasks/upside.py",
        '''
"""Load a picture that is upside down; the operator is the one added above."""

from untrained.data.tasks.photo import photo_measurement, read_photo
from untrained.physics import Flip


def load_upside(path, *, key=None):
    photo = read_photo(path, key=key)
    physics = Flip(tuple(photo.y.shape[1:]))
    return photo_measurement("upside", path, photo, physics, photo.sigma, photo.notes)
''',
        {
            "untrained/tasks.py": [
                (
                    '    Task("ct", channels=1',
                    '    Task("upside", unit_range=True, input_name="turned image"),',
                )
            ],
            "untrained/data/__init__.py": [
                (
                    "from untrained.errors import",
                    "from untrained.data.tasks.upside import load_upside",
                ),
                (
                    '        TaskFiles(\n            "custom",',
                    '        TaskFiles("upside", "Turn it.", "any", guarded(load_upside), None),',
                ),
            ],
            "untrained/cli/reconstruct.py": [
                (
                    '@reconstruct.command()\n@INPUTS\n@click.option(\n    "--physics",',
                    '''
@reconstruct.command()
@INPUTS
@shared_options
def upside(options: Options, inputs: tuple[str, ...]) -> int:
    """Turn it."""
    return reconstruct_inputs("upside", inputs, options, partial(TASKS["upside"].load))


''',
                )
            ],
        },
    ),
}
USE = """
import numpy as np, torch
import untrained as ut
from untrained.cli.commands import status

clean = torch.rand(1, 1, 12, 13, generator=torch.Generator().manual_seed(0))
np.save("y.npy", clean[0, 0].numpy())
short = ["--quiet", "--no-compare", "--threads", "1"]
line = ["reconstruct", "denoise", "y.npy", *short]
net = ["--set", "net=plain", "--set", "net.width=6", "--set", "lam=0.2", "--stop", "early:4"]
assert status([*line, "--method", "calm", *net, "--out", "network"]) == 0
assert status([*line, "--method", "half", "--out", "half"]) == 0
turn = ["reconstruct", "upside", "y.npy", *short]
assert status([*turn, "--method", "adjoint", "--out", "upside"]) == 0
assert status([*turn, "--steps", "3", "--stop", "none", "--out", "turned"]) == 0
assert (np.load("upside/reconstruction.npy") - clean[0, 0].numpy()[::-1]).max() < 1e-5
assert status(["list", "tasks"]) == 0
assert status(["list", "methods"]) == status(["list", "nets"]) == status(["list", "rules"]) == 0
flip = ut.physics.Flip((1, 12, 13))
assert ut.physics.check_operator(flip).ok
found = ut.reconstruct(clean.flip(2), flip, "cgsense", progress=False, compare=False)
assert (found.image - clean).abs().max() < 1e-3
"""


def add(addition: Addition, root: Path) -> None:
    (root / addition.file).write_text(addition.content.lstrip())
    for name, lines in addition.before.items():
        text = (root / name).read_text(encoding="utf-8")
        for there, new in lines:
            assert text.count(there) == 1, f"{name}: {there}"
            text = text.replace(there, f"{new}\n{there}")
        (root / name).write_text(text, encoding="utf-8")


def test_what_is_added_is_used_from_end_to_end(tmp_path: Path) -> None:
    shutil.copytree(Path(untrained.__file__).parent, tmp_path / "untrained")
    for addition in ADDITIONS.values():
        add(addition, tmp_path)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    for listed in ("calm  ", "half  ", "nobody 2026", "plain  ", "early  ", "upside  "):
        assert listed in ran.stdout
    facts = json.loads((tmp_path / "network" / "result.json").read_text())
    assert facts["method"] == "calm"
    assert facts["recipe"]["method"]["lam"] == 0.2
    assert facts["recipe"]["net"] == {"name": "Plain", "width": 6}
    assert facts["steps"] == 4
    assert "it was early" in json.dumps(facts["stop"])
    assert "steps seen" in (tmp_path / "network" / "history.csv").read_text().splitlines()[0]
    assert json.loads((tmp_path / "half" / "result.json").read_text())["method"] == "half"
    assert json.loads((tmp_path / "turned" / "result.json").read_text())["task"] == "upside"
    assert "turned image" in (tmp_path / "turned" / "report.html").read_text().lower()


@pytest.mark.parametrize("kind", ADDITIONS)
def test_contributing_names_exactly_these_files(kind: str) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {kind} \|([^|]*\|[^|]*)\|", text, re.MULTILINE)
    named = set(re.findall(r"`(untrained/[^`]*)`", row))
    addition = ADDITIONS[kind]
    new = str(Path(addition.file).with_name("NAME.py"))
    assert named == {new, *addition.before}
