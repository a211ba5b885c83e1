"""Checks of the fields of a network's description, and what `depth` does to a list of widths."""

from __future__ import annotations

from untrained.errors import UserError, shown

MAX_DEPTH = 10
MAX_SCALES = 16
MAX_LAYERS = 1000
MAX_WIDTH = 2**16
DIMS = (1, 2, 3)


def check_width(name: str, value: int, *, smallest: int = 1, largest: int = MAX_WIDTH) -> None:
    """Raise UserError unless `value` is an int from `smallest` to `largest`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise UserError(f"{name} must be a whole number of at least {smallest}, got {shown(value)}")
    if value > largest:
        raise UserError(f"{name} must be at most {largest}, got {shown(value)}")


def check_widths(name: str, values: tuple[int, ...], *, smallest: int = 1) -> None:
    """Raise UserError unless `values` is a non-empty tuple of ints of at least `smallest`."""
    if not isinstance(values, tuple) or not values:
        raise UserError(
            f"{name} must be a tuple of channel counts, one per scale, got {shown(values)}."
        )
    if len(values) > MAX_SCALES:
        raise UserError(f"{name} has {len(values)} entries, and at most {MAX_SCALES} are taken.")
    for value in values:
        check_width(f"every entry of {name}", value, smallest=smallest)


def check_kernel(name: str, value: int) -> None:
    """Raise UserError unless `value` is an odd positive int."""
    check_width(name, value)
    if value % 2 == 0:
        raise UserError(f"{name} must be odd so that a pixel has a centre tap, got {value}.")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise UserError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise UserError(f"{name} must be one of {', '.join(allowed)}; got {value!r}.")


def check_depth(depth: int | None) -> None:
    """Raise UserError unless `depth` is None or an int in 1..MAX_DEPTH."""
    if depth is None:
        return
    check_width("depth", depth)
    if depth > MAX_DEPTH:
        raise UserError(
            f"depth must be at most {MAX_DEPTH}, got {depth}: every scale halves the image, "
            f"and the input is padded to a multiple of 2**depth."
        )


def check_build(in_channels: int, out_channels: int, dim: int) -> None:
    """Raise UserError unless channels are positive ints and `dim` is 1, 2 or 3."""
    check_width("in_channels", in_channels)
    check_width("out_channels", out_channels)
    if dim not in DIMS:
        raise UserError(f"dim must be 1, 2 or 3 (the number of spatial axes), got {dim!r}.")


def per_scale(widths: tuple[int, ...], depth: int | None) -> tuple[int, ...]:
    """Cut `widths` to `depth` entries, or repeat its last entry; None leaves it unchanged."""
    if depth is None:
        return widths
    return widths[:depth] + widths[-1:] * (depth - len(widths))
