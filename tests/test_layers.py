"""Imports go strictly down one ordered list, and never in a circle; see CONTRIBUTING."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "untrained"
LAYERS = (
    "_version",
    "errors",
    "own_code",
    "waiting",
    "machine",
    "tasks",
    "checks",
    "files",
    "folder",
    "maths",
    "picture",
    "metrics",
    "flicker",
    "optim",
    "threads",
    "ambient",
    "nets",
    "physics",
    "problem",
    "classical",
    "priors",
    "core",
    "solver",
    "rules",
    "methods",
    "pretrain",
    "doubts",
    "data",
    "lab",
    "uncertainty",
    "about",
    "report",
    "result",
    "run",
    "explore",
    "bench",
    "cli",
    "napari",
    "untrained",  # the names that a user imports, each loaded when asked for
    "__main__",
)
"""Modules and packages of the package; each imports only from what stands before it."""

RANK = {name: rank for rank, name in enumerate(LAYERS)}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(name: str) -> set[str]:
    """Every module of ours that a module imports: at its top, in a function, or for types only."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    ours = {one for one in found if one.partition(".")[0] == "untrained"}
    # what is no module is a name of one
    return {one if one in MODULES else one.rpartition(".")[0] for one in ours} - {name}


GRAPH = {name: imports_of(name) for name in MODULES}


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_strictly_down(name: str) -> None:
    own = layer_of(name)
    for other in GRAPH[name]:
        if layer_of(other) != own:
            assert RANK[layer_of(other)] < RANK[own], f"{name} imports {other}, a later layer"


def test_there_is_no_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(error.args[1][::-1]))


def test_contributing_shows_this_order() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text[text.index("\n    _version,") :].partition("\n\n")[0]
    shown = block.replace("->", ",").replace("\n", "").split(",")
    parts = [name.strip() for name in shown if name.strip()]
    assert parts == [name for name in LAYERS if name not in ("untrained", "__main__")]


def test_the_list_is_that_of_the_package() -> None:
    assert {layer_of(name) for name in MODULES} == set(LAYERS)
