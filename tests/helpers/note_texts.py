"""Every text of the package's source that becomes a note."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import untrained as ut

PACKAGE = Path(ut.__file__).resolve().parent
SOURCES = (
    "run/evaluate.py",
    "data",
    "doubts",
    "pretrain/weights.py",
    "physics/base.py",
    "physics/check.py",
)
ALSO = {  # texts that functions return which give notes by another name
    "solver/refit.py": ("_fall_back",),
    "run/plan.py": ("notes",),
    "uncertainty/ensemble.py": ("_average",),
    "about.py": ("shares",),
    "physics/masks.py": ("plane_mask",),
    "data/simulate/encoded.py": ("_said",),
    "doubts/ct.py": ("_left_out",),
}
PARTS = (
    # of a run's own result.json, which is signed: tests/physics/test_map_sets.py
    "the root of the sum of their squares is compared",
    # labels of arrays and files
    "slice {}", "' in {}", "--kernel: {}", "{}, A_adjoint", "'reference' in ",
    "(H, W) or (C, H, W)", "a picture (", ", enlarged ", "k-space of {} coils (--coils)",
    "the {}x{} image", "{}, frame {}", "clean volume", "volume_shape: {}", "--trajectory: {}",
    # parts of a note that has a row
    "what was given", "the first image", " of the positions", "; leave it out of the file",
    "in a JPEG black is not ", "black may not be exactly 0", " times as wide as",
    ", and a read-out noise of {} photons",
    "opposite views", "the centres of mass of the views", "; the file's own maps are left out",
    "next to nothing, or one value,", "detector bin", ", {} channels", "from {} to {}",
    "{} on average", " with a Gaussian of ",
    "{} others (navigators", "of one place (averages)", "of calibration, {}", "coil maps alone",
    "which fill k-space", "its calibration scan", "samples of a readout became", "(a 3-D scan)",
    "from top to bottom", "samples further in are", "is there an empty background?",
    "own noise scan stays unused", "that --noise-from {} finds",
    "an image of several --map-sets", "a scan on a trajectory",
    "and left out, as not measured", "the middle {}x{} of",
    # why a mean of seeds was cut short, which is told as the end of the run
    " seeds are in the image",
)  # fmt: skip
"""Parts of texts that are collected, and no notes of their own."""


def text_of(node: ast.AST) -> str:
    """The constant parts of a text, with a mark for each value in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return ""


def gives_notes(function: ast.FunctionDef, file: str) -> bool:
    """Tell whether a function makes notes, from its return type, arguments and names."""
    if function.name in ALSO.get(file, ()):
        return True
    returns = ast.unparse(function.returns) if function.returns else ""
    names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute)}
    names |= {a.arg for a in function.args.args}
    return "notes" in names or "tuple[str, ...]" in returns


def texts_of(function: ast.FunctionDef) -> Iterator[str]:
    """The texts in a function that are not raised, asserted or compared, and no keys."""
    skipped: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise | ast.Assert | ast.Subscript | ast.arguments | ast.Compare):
            skipped |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(inner) for inner in ast.walk(node) if inner is not node}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
    for node in ast.walk(function):
        text = text_of(node)
        if id(node) not in skipped and " " in text.strip() and len(text) >= 12:
            yield text


def constants_of(tree: ast.Module, function: ast.FunctionDef, file: str) -> Iterator[str]:
    """The texts of the constants that a function names, of its own file or of another one."""
    named = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and n.id.isupper()}
    raised = {
        n.id
        for node in ast.walk(function)
        if isinstance(node, ast.Raise)
        for n in ast.walk(node)
        if isinstance(n, ast.Name)
    }
    module = __import__(f"untrained.{file[:-3].replace('/', '.')}", fromlist=["x"])
    for name in sorted(named - raised):
        value = getattr(module, name, None)
        if isinstance(value, str) and " " in value.strip() and len(value) >= 12:
            yield value


def every_text() -> Iterator[tuple[str, str]]:
    paths = [path for name in (*SOURCES, *ALSO) for path in sorted(matching(name))]
    for path in dict.fromkeys(paths):
        file = path.relative_to(PACKAGE).as_posix()
        whole = any(file == name or file.startswith(f"{name}/") for name in SOURCES)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or not gives_notes(node, file):
                continue
            if not whole and node.name not in ALSO[file]:
                continue
            for text in (*texts_of(node), *constants_of(tree, node, file)):
                yield f"{file}: {node.name}", text


def matching(name: str) -> list[Path]:
    return list((PACKAGE / name).rglob("*.py")) or [PACKAGE / name]
