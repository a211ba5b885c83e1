"""A file imports only from layers that stand before its own; see design in CONTRIBUTING."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "untrained"
LAYERS = [
    ["errors", "files", "threads", "ambient", "waiting", "tasks"],
    ["folder"],
    ["maths", "optim"],
    ["physics", "nets"],
    ["checks"],
    ["problem", "scaling", "said", "metrics"],
    ["group", "joined", "slices", "digest"],
    ["classical"],
    ["core"],
    ["solver"],
    ["rules"],
    ["methods"],
    ["pretrain", "doubts"],
    ["data", "plan"],
    ["about"],
    ["api"],
    ["estimate", "report"],
    ["bench"],
    ["cli"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Saving a result draws its report; the import is made when `save` is called.
ALLOWED = {("core/result.py", "report")}
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.stem in RANK)


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_layers(path: Path) -> set[str]:
    """Every layer that the file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("untrained"):
            parts = (node.module or "").split(".")[1:]
            found |= {parts[0]} if parts else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("untrained.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own, name = layer_of(path), path.relative_to(PACKAGE).as_posix()
    for layer in imported_layers(path) & RANK.keys():
        if (name, layer) in ALLOWED or layer == own:
            continue
        assert RANK[layer] <= RANK[own], f"{name} imports {layer}, which is a later layer"


def test_every_file_has_a_layer() -> None:
    top = {layer_of(p) for p in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert top <= RANK.keys()
