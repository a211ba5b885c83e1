"""A lambda that is found on held-out measurements instead of being given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeVar

from untrained.core.method import Method

Lam = float | Literal["auto"]
"""A number, or `auto`: the one of TRIED that predicts held-out measurements best."""

TRIED = (1.0, 0.1, 0.01)
"""A larger one holds the image back where little is measured, a smaller one changes little more
(docs/methods/aseqdip.md has the table)."""

M = TypeVar("M", bound=Method)


def with_each_lambda(method: M) -> tuple[M, ...]:
    """Return the method with every lambda to be tried; alone where its own is a number."""
    field: Any = method
    if field.lam != "auto":
        return (method,)
    return tuple(replace(field, lam=value) for value in TRIED)


def number(lam: Lam) -> float:
    """Return the value of a lambda.

    Raises:
        ValueError: it is `auto`, which a method does not run with.
    """
    if lam == "auto":
        raise ValueError("a method runs with a number for lambda; 'auto' is found by trials")
    return float(lam)
