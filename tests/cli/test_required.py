"""Whatever a command cannot do without is asked for: exit 2, and its name."""

from collections.abc import Iterator

import click
import pytest

from untrained.cli import main
from untrained.cli.commands import commands
from untrained.data import TASKS
from untrained.pretrain import TRAINABLE


def leaves(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command, with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *names, name)
        else:
            yield (*names, name), command


LEAVES = dict(leaves(commands))
REQUIRED = [(names, p) for names, c in LEAVES.items() for p in c.params if p.required]
OUT = [
    *(("simulate", task) for task, own in TASKS.items() if own.simulate is not None),
    *(("pretrain", c.name, task) for c in TRAINABLE.values() for task in c.tasks),
]


def spelled(parameter: click.Parameter) -> list[str]:
    return ["x"] if isinstance(parameter, click.Argument) else [parameter.opts[0], "x"]


@pytest.mark.parametrize(("names", "missing"), REQUIRED, ids=str)
def test_what_is_missing_is_named(names, missing, capsys) -> None:
    others = [p for p in LEAVES[names].params if p.required and p is not missing]
    words = [word for p in others if isinstance(p, click.Option) for word in spelled(p)]
    arguments = [p for p in LEAVES[names].params if isinstance(p, click.Argument) and p.required]
    for argument in arguments[: arguments.index(missing) if missing in arguments else None]:
        words += spelled(argument)
    with pytest.raises(SystemExit) as ended:
        main([*names, *words])
    kind = "argument" if isinstance(missing, click.Argument) else "option"
    assert ended.value.code == 2
    hint = missing.get_error_hint(click.Context(LEAVES[names]))
    assert f"Error: Missing {kind} {hint}" in capsys.readouterr().err


def test_every_command_that_writes_a_file_requires_its_name() -> None:
    asked = {names for names, parameter in REQUIRED if parameter.name == "out"}
    assert asked == set(OUT)
