"""Files and functions of the package stay short: at most 400 and 60 lines."""

import ast
from pathlib import Path

import untrained

PACKAGE = Path(untrained.__file__).parent
MOST_FILE, MOST_FUNCTION = 400, 60
"""A function counts from the end of its docstring, which says what all arguments mean."""


def lengths() -> dict[str, tuple[int, int]]:
    """Count the lines of each file and function, with how many there may be."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name, text = path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")
        found[name] = (len(text.splitlines()), MOST_FILE)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = ast.get_docstring(node) is not None
                start = node.body[0].end_lineno if documented else node.lineno - 1
                count = (node.end_lineno or 0) - (start or 0)
                found[f"{name}: {node.name}"] = (count, MOST_FUNCTION)
    return found


def test_no_file_and_no_function_is_too_long() -> None:
    longer = {name: lines for name, (lines, most) in lengths().items() if lines > most}
    assert not longer, f"split these: {longer}"
