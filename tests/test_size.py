"""Files and functions of the package stay short: at most 400 and 60 lines."""

import ast
from pathlib import Path

import untrained

PACKAGE = Path(untrained.__file__).parent
MOST_FILE, MOST_FUNCTION = 400, 60
LONGER = {
    *("reconstruct", "plan", "train", "evaluate"),
}
"""Files and functions that are longer today; this list only gets shorter."""


def lengths() -> dict[str, tuple[int, int]]:
    """Count the lines of each file and function, with how many there may be."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name, text = path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")
        found[name] = (len(text.splitlines()), MOST_FILE)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or 0) - node.lineno + 1
                found[f"{name}: {node.name}"] = (count, MOST_FUNCTION)
    return found


def test_no_file_and_no_function_is_too_long() -> None:
    longer = {
        name: lines
        for name, (lines, most) in lengths().items()
        if lines > most and name.rpartition("/")[2].rpartition(": ")[2] not in LONGER
    }
    assert not longer, f"split these: {longer}"
