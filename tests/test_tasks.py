"""A task is a row of `tasks.py`: nobody else compares its name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from untrained.data import TASKS as READ
from untrained.tasks import ALL_TASKS, LINEAR_TASKS, TASKS, find_task

PACKAGE = Path(__file__).resolve().parents[1] / "untrained"
OWN = ("tasks.py", "data/tasks/", "data/simulate/", "methods/", "physics/", "cli/")
"""Where a name may be compared: loaders and simulators belong to one task, the papers' settings and
the options of commands are stated for some tasks."""


def compared_tasks(source: str) -> Iterator[str]:
    """Find every comparison with the name of a task; `phase` is a column of the history, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            values = [part for side in sides for part in ast.walk(side)]
            names = {part.value for part in values if isinstance(part, ast.Constant)} & TASKS.keys()
            if names - {"phase"} or (names and "task" in ast.unparse(node)):
                yield ast.unparse(node)
        elif isinstance(node, ast.MatchValue) and ast.literal_eval(node.value) in TASKS:
            yield ast.unparse(node)


def test_the_search_finds_comparisons() -> None:
    source = 'a = task == "mri"\nb = p.task in ("ct", "x")\nc = m.task != "phase"\nd = n == "phase"'
    assert len(list(compared_tasks(source))) == 3


def test_no_file_compares_the_name_of_a_task() -> None:
    found = {
        name: compared
        for path in PACKAGE.rglob("*.py")
        if not (name := path.relative_to(PACKAGE).as_posix()).startswith(OWN)
        and (compared := list(compared_tasks(path.read_text(encoding="utf-8"))))
    }
    assert not found, "ask for an attribute of the row: find_task(name)"


def test_every_task_is_read_and_has_a_row() -> None:
    assert list(TASKS) == list(READ)
    assert all(name == row.name for name, row in TASKS.items())


def test_linear_tasks_are_those_whose_operator_may_be_linear() -> None:
    assert set(ALL_TASKS) - set(LINEAR_TASKS) == {"nldeblur", "phase", "eit"}


@pytest.mark.parametrize("name", ["", "film", "my task"])
def test_an_unknown_name_has_the_row_of_custom(name: str) -> None:
    assert find_task(name).name == "custom"
