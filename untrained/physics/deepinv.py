"""Our operators as operators of deepinv. The other way needs nothing: theirs work unchanged."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from untrained.errors import UserError


def to_deepinv(physics: Any) -> Any:
    """Make a `deepinv.physics.LinearPhysics` with the operator's `A` and `A_adjoint`.

    Shapes need no conversion: the layout of deepinv is ours. The operator becomes a submodule, so
    `.to(device)` moves it.

    Args:
        physics: a linear object with `A` and `A_adjoint`.

    Raises:
        UserError: the operator is nonlinear, deepinv is not installed, or it cannot be imported.
    """
    if not getattr(physics, "linear", True):
        raise UserError(
            f"{type(physics).__name__} is nonlinear; only linear operators go to deepinv this way."
        )
    deepinv = _import_deepinv()
    wrapped = deepinv.physics.LinearPhysics(A=physics.A, A_adjoint=physics.A_adjoint)
    wrapped.untrained = physics
    return wrapped


def _import_deepinv() -> ModuleType:
    try:
        import deepinv
    except ImportError as error:
        raise UserError(
            "this needs deepinv, which is not installed or lacks a dependency "
            f"({error}): pip install 'untrained[deepinv]'."
        ) from error
    except RuntimeError as error:
        if "torchvision" not in str(error):
            raise
        raise UserError(
            f"deepinv cannot be imported because its torchvision does not fit this torch "
            f"({error}). Install the torchvision that was built for your torch, from the same "
            "index: see https://pytorch.org/get-started/locally."
        ) from error
    return deepinv
