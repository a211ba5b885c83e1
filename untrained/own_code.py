"""Load a user's own Python: `FILE.py:NAME` or `MODULE:NAME`, of an operator or of a method."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from untrained.errors import UserError

PACKAGE = Path(__file__).resolve().parent


def load_callable(spec: str, kind: str) -> tuple[Callable[..., Any], ModuleType]:
    """Import the callable that `spec` names, and the module it stands in.

    Modules of the current directory can be imported.

    Args:
        spec: `FILE.py:NAME` or `MODULE:NAME`.
        kind: `operator` or `method`, for messages.

    Raises:
        UserError: no such module, file or name, an error inside the module, or not a callable.
    """
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UserError(
            f"{kind} '{spec}' must be MODULE:CALLABLE or FILE.py:CALLABLE, for example "
            f"{kind}s.py:build"
        )
    module = _import(place, kind)
    found = getattr(module, name, None)
    if not callable(found):
        offered = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__
        ]
        raise UserError(
            f"{kind} {place} has no callable '{name}'; it offers {', '.join(offered) or 'none'}"
        )
    return found, module


def build(spec: str, kind: str) -> Any:
    """Import what `spec` names and call it without arguments; raises as `load_callable`.

    Raises:
        UserError: the user's own code fails.
    """
    found, _ = load_callable(spec, kind)
    return call(found, spec, kind)


def call(found: Callable[..., Any], spec: str, kind: str, *arguments: Any) -> Any:
    """Call the user's code with the current directory importable; raises as `own_code`."""
    with own_code(spec, kind), _current_directory():
        return found(*arguments)


@contextmanager
def own_code(place: str, kind: str) -> Iterator[None]:
    """Turn any failure of the user's code, also its call of sys.exit, into one sentence.

    Raises:
        UserError: what failed, with the last line of the user's own code.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{kind} {place} failed with {type(error).__name__}: {error}{_line_of(error)}"
        ) from error


def _import(place: str, kind: str) -> ModuleType:
    with own_code(place, kind), _current_directory():
        if not place.endswith(".py"):
            return importlib.import_module(place)
        file = Path(place)
        if not file.is_file():
            raise UserError(f"{kind}: there is no file {place}")
        # two files of one name in different folders are two modules
        digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]
        name = f"untrained_user_{file.stem}_{digest}"
        module_spec = importlib.util.spec_from_file_location(name, file)
        if module_spec is None or module_spec.loader is None:
            raise UserError(f"{kind} {place} cannot be imported")
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[name] = module  # dataclasses and pickling look themselves up here
        module_spec.loader.exec_module(module)
        return module


def _line_of(error: BaseException) -> str:
    """Name the last line of the user's own code on the way to an error; "" where there is none."""
    paths = sysconfig.get_paths()
    others = [PACKAGE, *(Path(paths[name]) for name in ("stdlib", "purelib", "platlib"))]
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and not any(folder in Path(frame.filename).parents for folder in others)
    ]
    if not theirs:
        return ""
    return f" (line {theirs[-1].lineno} of {theirs[-1].filename}: {theirs[-1].line})"


@contextmanager
def _current_directory() -> Iterator[None]:
    """Put the current directory first on the import path."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
