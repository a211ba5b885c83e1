"""Is the operator what it says it is? The dot test, and a report for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from untrained.errors import UserError
from untrained.maths import power_iteration
from untrained.physics.autograd import device_of
from untrained.physics.base import WEIGHTINGS, Physics
from untrained.physics.foreign import as_physics, has_adjoint, has_map, image_shape, is_linear

ADJOINT_TOLERANCE = 1e-4
UNDECLARED = (
    "A is not linear; set linear = False on the operator if so it is meant to be, and take out "
    "noise or a constant if A adds one"
)
IN_PLACE = "{} changes its argument in place; copy it first, for example x = x.clone()"
NO_FUNCTION = (
    "{} gives another answer for the same image each time: does it draw noise, or keep a state? An "
    "operator is a function, and noise belongs into the measurements"
)
REPEATS = 3
VARIES = 1e-4  # relative; the order of sums on a GPU changes less
# Unmatched projector pairs, common in tomography, stay below; a wrong sign or scale does not.
WRONG_ADJOINT = 0.1


def dot_test(
    physics: Any,
    x_shape: Sequence[int] | None = None,
    y_shape: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    batch: int = 1,
) -> float:
    """Compute |<A x, y> - <x, A^H y>| / (||A x|| ||y||) for random x: Claerbout's dot test.

    y is half random, half A x: two random vectors of a million entries are so nearly orthogonal
    that an adjoint wrong by 1 % would show as 1e-5 only.

    Args:
        physics: an object with `A` and `A_adjoint`.
        x_shape: image shape without the batch axis; default `physics.x_shape`.
        y_shape: measurement shape without the batch axis that `A` must produce; None: any.
        dtype: float32 (expect < 1e-5) or float64 (expect < 1e-10; `physics.double()` first).
        seed: of the random x and y.
        batch: how many images at a time, for an operator that has something for each.

    Raises:
        UserError: no image shape, or a result of `A` or `A_adjoint` of another shape.
    """
    shape = _shape(physics, x_shape)
    generator = torch.Generator().manual_seed(seed)
    device = device_of(physics)
    x = torch.randn(batch, *shape, generator=generator, dtype=dtype).to(device)
    with torch.no_grad():
        Ax = physics.A(x)
        if y_shape is not None and tuple(Ax.shape[1:]) != tuple(y_shape):
            raise UserError(f"A returns shape {tuple(Ax.shape)}, expected (1, *{tuple(y_shape)}).")
        noise = torch.randn(Ax.shape, generator=generator, dtype=Ax.dtype).to(device)
        y = noise / noise.norm() + Ax / Ax.norm().clamp_min(1e-30)
        back = physics.A_adjoint(y)
    if back.shape != x.shape:
        raise UserError(
            f"A_adjoint returns shape {tuple(back.shape)} for an image of {tuple(x.shape)}; it "
            "must map measurements back to the shape of the image."
        )
    return abs(_inner(Ax, y) - _inner(x, back)) / max(float(Ax.norm() * y.norm()), 1e-30)


def require_function(operator: Physics, x_shape: Sequence[int], name: str, batch: int = 1) -> None:
    """Refuse an operator that gives another answer for the same image.

    Raises:
        UserError: it draws noise at each call, or keeps a state.
    """
    if fault := _varies(operator, x_shape, batch):
        raise UserError(f"operator {name}: {fault}")


def require_float32(y: Any, name: str) -> None:
    """Refuse measurements that no method takes.

    Raises:
        UserError: they are no tensor, complex, or of another precision.
    """
    if not isinstance(y, Tensor):
        raise UserError(f"operator {name}: A must return a torch tensor, not {type(y).__name__}")
    if y.dtype != torch.float32:
        hint = "complex values as two real channels" if y.is_complex() else "add .float()"
        raise UserError(f"operator {name}: A must return float32, not {y.dtype}; {hint}")


def check_consistent(y: Tensor, physics: Physics, x_shape: tuple[int, ...]) -> None:
    """Refuse measurements of another shape than the operator's."""
    probe = torch.zeros(len(y), *x_shape, device=y.device)
    with torch.no_grad():
        got = tuple(_real(physics, "A", physics.A(probe)).shape[1:])
        if physics.linear:
            _real(physics, "A_adjoint", physics.A_adjoint(torch.zeros_like(y)))
    if got != tuple(y.shape[1:]):
        raise UserError(
            f"y has shape {tuple(y.shape)} but {physics.class_name()}.A maps an image of shape "
            f"(B, {', '.join(map(str, x_shape))}) to (B, {', '.join(map(str, got))}); "
            "check the operator's settings or the measurement's layout"
        )


def check_weighting(weighting: str, physics: Physics) -> str:
    """Return the weighting if there is one of that name and the operator can do it."""
    if weighting not in WEIGHTINGS:
        raise UserError(f"unknown data weighting '{weighting}'; known: {', '.join(WEIGHTINGS)}")
    if weighting != "uniform" and weighting not in physics.weightings:
        raise UserError(
            f"data weighting '{weighting}' needs a physics with weight(r, name); "
            f"{physics.class_name()} has none; use weighting='uniform'"
        )
    return weighting


def _real(physics: Physics, name: str, values: Any) -> Tensor:
    """Return what an operator gave, if it is a tensor of real floating values."""
    if isinstance(values, Tensor) and values.is_floating_point():
        return values
    found = f"{values.dtype} values" if isinstance(values, Tensor) else type(values).__name__
    raise UserError(
        f"{physics.class_name()}.{name} must return a torch tensor of real floating values, got "
        f"{found}; complex values travel as two real channels (untrained.maths.to_channels)"
    )


def _varies(operator: Physics, x_shape: Sequence[int], batch: int = 1) -> str:
    """Say why A or A_adjoint is no function of its argument; empty where it is one."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, *x_shape, generator=generator).to(device_of(operator))
    with torch.no_grad():
        found = [operator.A(x.clone()) for _ in range(REPEATS)]
        if _spread(found) > VARIES:
            return NO_FUNCTION.format("A")
        if operator.linear and bool(found[0].isfinite().all()):
            back = [operator.A_adjoint(found[0].clone()) for _ in range(REPEATS)]
            if _spread(back) > VARIES:
                return NO_FUNCTION.format("A_adjoint")
    return ""


def _spread(answers: list[Tensor]) -> float:
    """Return the largest distance of two answers, relative to the first."""
    # not asked to be 0 by the callers: sums on a GPU differ by rounding
    first, *others = (answer.double() for answer in answers)
    if any(other.shape != first.shape for other in others):
        return float("inf")
    size = float(first.norm())
    return max(float((other - first).norm()) for other in others) / max(size, 1e-300)


def adjoint_notes(
    operator: Any, x_shape: Sequence[int], name: str, batch: int = 1
) -> tuple[str, ...]:
    """Note where an operator's own adjoint is inexact.

    Raises:
        UserError: it is none, or the operator is no function.
    """
    physics = as_physics(operator, x_shape)
    touched = _writes(physics, x_shape, batch)
    if touched:
        raise UserError(f"operator {name}: {touched}")
    require_function(physics, x_shape, name, batch)
    if not physics.linear:
        return ()
    error = dot_test(physics, x_shape, batch=batch)
    if not error <= WRONG_ADJOINT and batch == 1 and not is_linear(physics, x_shape):
        raise UserError(f"operator {name}: {UNDECLARED}")
    if not error <= WRONG_ADJOINT:
        raise UserError(
            f"operator {name}: A_adjoint is not the adjoint of A (dot test {error:.1e}); leave "
            "it out to have it derived, or see `untrained check-operator`"
        )
    if error > ADJOINT_TOLERANCE:
        return (f"A_adjoint is only roughly the adjoint of A (dot test {error:.1e})",)
    return ()


def _writes(operator: Physics, x_shape: Sequence[int], batch: int = 1) -> str:
    """Say which of A and A_adjoint changes its argument in place; empty where neither does."""
    x = torch.rand(batch, *x_shape, generator=torch.Generator().manual_seed(0))
    given = x.to(device_of(operator), copy=True)
    with torch.no_grad():
        y = operator.A(given)
        if not torch.equal(given.cpu(), x):
            return IN_PLACE.format("A")
        if operator.linear and bool(y.isfinite().all()):
            before = y.clone()
            operator.A_adjoint(y)
            if not torch.equal(before, y):
                return IN_PLACE.format("A_adjoint")
    return ""


def _inner(a: Tensor, b: Tensor) -> float:
    """Compute Re<a, b> in double, so that the test measures the operator and not the sum."""
    wide = torch.complex128 if a.is_complex() or b.is_complex() else torch.float64
    return float(torch.vdot(a.flatten().to(wide), b.flatten().to(wide)).real)


@dataclass(frozen=True)
class OperatorReport:
    """What `check_operator` found; times in seconds, shapes without the batch axis.

    `adjoint` is `own` or `derived` (by autograd); `adjoint_error` is the dot test's, or None for
    a nonlinear operator; `norm` estimates the largest singular value of A.
    """

    name: str
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    dtype: str
    linear: bool
    adjoint: str
    adjoint_error: float | None
    norm: float | None
    seconds_forward: float
    seconds_adjoint: float
    ok: bool
    verdict: str

    def __str__(self) -> str:
        rows = [
            ("operator", self.name),
            ("image", f"(B, {', '.join(map(str, self.x_shape))})"),
            ("measurements", f"(B, {', '.join(map(str, self.y_shape))}) {self.dtype}"),
            ("linear", "yes" if self.linear else "no"),
            ("adjoint", self.adjoint),
            ("adjoint error", _number(self.adjoint_error)),
            ("norm of A", _number(self.norm)),
            ("time of A", f"{1e3 * self.seconds_forward:.1f} ms"),
            ("time of adjoint", f"{1e3 * self.seconds_adjoint:.1f} ms"),
            ("verdict", self.verdict),
        ]
        return "\n".join(f"{label:<16}{value}" for label, value in rows)


def check_operator(obj: Any, x_shape: Sequence[int] | None = None, seed: int = 0) -> OperatorReport:
    """Run every check on an operator: shapes, linearity, adjoint, norm and speed.

    Args:
        obj: anything `as_physics` accepts.
        x_shape: image shape without the batch axis; default `obj.x_shape`.
        seed: of the dot test.

    Raises:
        UserError: as `as_physics`, if no image shape is known, or A does not return float32.
    """
    shape = _shape(obj, x_shape)
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed)).to(device_of(obj))
    if has_map(obj):
        with torch.no_grad():
            require_float32(obj.A(x.clone()), type(obj).__name__)
    physics = as_physics(obj, shape)
    misuse = _misuse(physics, shape)
    linear = physics.linear and is_linear(physics, shape)
    with torch.no_grad():
        y = physics.A(x)
        back_shape = tuple(physics.A_adjoint(y).shape)
        seconds_forward = _seconds(physics.A, x)
        seconds_adjoint = _seconds(physics.A_adjoint, y)
    error = dot_test(physics, shape, seed=seed) if linear and not misuse else None
    ok, verdict = _verdict(linear, error, back_shape == tuple(x.shape), bool(y.isfinite().all()))
    if ok and physics.linear and not linear:
        ok, verdict = False, UNDECLARED
    if misuse:
        ok, verdict = False, misuse
    return OperatorReport(
        name=type(obj).__name__,
        x_shape=shape,
        y_shape=tuple(y.shape[1:]),
        dtype=str(y.dtype).removeprefix("torch."),
        linear=linear,
        adjoint="own" if has_adjoint(obj) else "derived by automatic differentiation",
        adjoint_error=error,
        norm=_norm(physics, shape, x) if linear else None,
        seconds_forward=seconds_forward,
        seconds_adjoint=seconds_adjoint,
        ok=ok,
        verdict=verdict,
    )


def _misuse(physics: Physics, x_shape: Sequence[int]) -> str:
    """Say what the operator does to a batch that it must not; empty where all is well."""
    pair = torch.rand(2, *x_shape, generator=torch.Generator().manual_seed(0)).to(
        device_of(physics)
    )
    touched = _writes(physics, x_shape) or _varies(physics, x_shape)
    if touched:
        return touched
    with torch.no_grad():
        try:
            found = physics.A(pair)
        except (RuntimeError, ValueError):  # it may hold something for a single image
            return ""
    if len(found) != 2:
        return f"A drops the batch axis: of two images it makes {tuple(found.shape)}, not (2, ...)"
    return ""


def _verdict(
    linear: bool, error: float | None, shapes_agree: bool, finite: bool
) -> tuple[bool, str]:
    if not finite:
        return False, "A returns NaN or infinite values"
    if not shapes_agree:
        return False, "A_adjoint does not return the image's shape"
    if error is None or not linear:
        return True, "nonlinear: usable, but only by methods that need no adjoint"
    if error > ADJOINT_TOLERANCE:
        return False, (
            f"A_adjoint is not the adjoint of A (error {error:.1e}, allowed "
            f"{ADJOINT_TOLERANCE:.0e}); leave it out to have it derived"
        )
    return True, "linear, with an exact adjoint"


def _norm(physics: Physics, shape: tuple[int, ...], like: Tensor) -> float:
    with torch.no_grad():
        largest = power_iteration(lambda x: physics.A_adjoint(physics.A(x)), (1, *shape), like)
    return largest**0.5


def _seconds(function: Callable[[Tensor], Tensor], value: Tensor, repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(value)
        if value.is_cuda:
            torch.cuda.synchronize(value.device)
        times.append(time.perf_counter() - start)
    return min(times)


def _shape(obj: Any, x_shape: Sequence[int] | None) -> tuple[int, ...]:
    shape = image_shape(obj, x_shape)
    if shape is None:
        raise UserError(
            f"the image's shape is not known: {type(obj).__name__} has no x_shape; set "
            "x_shape = (C, H, W) on it or pass x_shape."
        )
    return shape


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
