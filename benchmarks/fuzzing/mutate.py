"""Mutants of a valid file: of its bytes, of its text, and of the arrays it holds.

Every mutator takes a `random.Random` and gives the same mutant for the same seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]

ODD_INTEGERS = (0, 1, 2, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
ODD_NUMBERS = (
    "0", "-1", "1", "2", "3.5", "1e3", "1e9", "1e-9", "1e38", "-3.4e38", "1e308", "1e-320", "1e400",
    "nan", "inf", "-inf", "9223372036854775807", "99999999999999999999", "true", "null", '"x"',
    "[]", "{}", "[1, 2, 3]", '"' + "a" * 300 + '"', '"\\u001b[31m"',
)  # fmt: skip
ODD_KEYS = ("\x1b[31mred", "a\nb", "mask2", "ключ", "..", "/x", "", "n" * 300, "measurement ")


# bytes ---------------------------------------------------------------------------------------


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    """Damage bytes one to three times, as disks, networks and attackers do."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = draw.choice(DAMAGES)(bytearray(data), draw)
    return data


def _flip(data: bytearray, draw: random.Random) -> bytes:
    if data:
        data[_place(data, draw)] ^= 1 << draw.randrange(8)
    return bytes(data)


def _set(data: bytearray, draw: random.Random) -> bytes:
    if data:
        data[_place(data, draw)] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
    return bytes(data)


def _integer(data: bytearray, draw: random.Random) -> bytes:
    """An integer of 2, 4 or 8 bytes where a length or an offset may stand."""
    width, order = draw.choice((2, 4, 8)), draw.choice(("little", "big"))
    value = draw.choice(ODD_INTEGERS) % 256**width
    if draw.random() < 0.3:
        value = draw.randrange(256**width)
    at = _place(data, draw)
    data[at : at + width] = value.to_bytes(width, order)
    return bytes(data)


def _noise(data: bytearray, draw: random.Random) -> bytes:
    at, length = _place(data, draw), draw.randrange(1, 64)
    data[at : at + length] = bytes(draw.randrange(256) for _ in range(length))
    return bytes(data)


def _zeros(data: bytearray, draw: random.Random) -> bytes:
    at, length = _place(data, draw), draw.choice((4, 16, 64, 512))
    data[at : at + length] = bytes(min(length, len(data) - at))
    return bytes(data)


def _cut(data: bytearray, draw: random.Random) -> bytes:
    return bytes(data[: _place(data, draw)])


def _drop(data: bytearray, draw: random.Random) -> bytes:
    at = _place(data, draw)
    del data[at : at + draw.randrange(1, 128)]
    return bytes(data)


def _double(data: bytearray, draw: random.Random) -> bytes:
    at, length = _place(data, draw), draw.randrange(1, 256)
    data[at:at] = data[at : at + length]
    return bytes(data)


def _append(data: bytearray, draw: random.Random) -> bytes:
    return bytes(data) + bytes(draw.randrange(256) for _ in range(draw.randrange(1, 64)))


def _place(data: bytearray, draw: random.Random) -> int:
    """Anywhere, but more often at the two ends, where headers and tables stand."""
    size = max(1, len(data))
    near = draw.random()
    if near < 0.35:
        return draw.randrange(min(size, 256))
    if near < 0.5:
        return size - 1 - draw.randrange(min(size, 256))
    return draw.randrange(size)


DAMAGES: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    _flip, _flip, _flip, _set, _set, _integer, _integer, _noise, _zeros, _cut, _drop, _double,
    _append,
)  # fmt: skip


# text ----------------------------------------------------------------------------------------


def mutate_text(text: str, draw: random.Random) -> bytes:
    """Numbers, words, lines and brackets of a TOML, JSON or plain text changed."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        text = draw.choice((_number, _number, _number, _word, _line, _bracket, _deep))(text, draw)
    if draw.random() < 0.15:
        return mutate_bytes(text.encode("utf-8", "replace"), draw)
    return text.encode("utf-8", "replace")


def _number(text: str, draw: random.Random) -> str:
    found = list(re.finditer(r"-?\d+(\.\d+)?(e-?\d+)?", text))
    return _replaced(text, found, draw.choice(ODD_NUMBERS), draw)


def _word(text: str, draw: random.Random) -> str:
    other = draw.choice(("x", "", "ä\u202e", "\x1b[2J", "n" * 500, '"', "..", "/dev/zero", "/dev"))
    return _replaced(text, list(re.finditer(r"\w+", text)), other, draw)


def _line(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    at = draw.randrange(len(lines))
    if draw.random() < 0.5:
        lines.insert(draw.randrange(len(lines)), lines[at])
    else:
        del lines[at]
    return "".join(lines)


def _bracket(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text) + 1)
    return text[:at] + draw.choice("[]{}\"'=,:#\n\x00") + text[at:]


def _deep(text: str, draw: random.Random) -> str:
    deep = draw.choice((50, 2_000, 100_000))
    value = "[" * deep + "]" * deep
    found = list(re.finditer(r"-?\d+(\.\d+)?", text))
    return _replaced(text, found, value, draw)


def _replaced(text: str, found: list[re.Match[str]], other: str, draw: random.Random) -> str:
    if not found:
        return text + other
    one = draw.choice(found)
    return text[: one.start()] + other + text[one.end() :]


# arrays --------------------------------------------------------------------------------------


def mutate_arrays(arrays: Arrays, draw: random.Random) -> Arrays:
    """The same file with odd values, types, shapes or names of its arrays."""
    arrays = dict(arrays)
    for _ in range(draw.choice((1, 1, 2))):
        if not arrays:
            break
        key = draw.choice(sorted(arrays))
        kind = draw.random()
        if kind < 0.12:
            arrays[draw.choice(ODD_KEYS)] = arrays[key]
        elif kind < 0.2:
            del arrays[key]
        else:
            arrays[key] = mutate_array(arrays[key], draw)
    return arrays


def mutate_array(array: np.ndarray, draw: random.Random) -> np.ndarray:
    """Make one array of odd values, type or shape."""
    change = draw.choice((_values, _values, _values, _scaled, _kind, _shape, _shape))
    with np.errstate(all="ignore"):
        return change(np.array(array), draw)


def _values(array: np.ndarray, draw: random.Random) -> np.ndarray:
    odd = draw.choice((np.nan, np.inf, -np.inf, -3.4e38, 1e38, 1e20, 65535.0, -1.0, 0.0, 1e-40))
    flat = array.astype(np.result_type(array, np.float32) if array.dtype.kind in "biufc" else "S8")
    if flat.dtype.kind == "S":
        return flat
    flat = np.array(flat)
    count = draw.choice((1, 1, 3, max(1, flat.size // 200), max(1, flat.size // 3), flat.size))
    if flat.size:
        where = [draw.randrange(flat.size) for _ in range(count)] if count < flat.size else ...
        flat.reshape(-1)[where] = odd
    return flat


def _scaled(array: np.ndarray, draw: random.Random) -> np.ndarray:
    if array.dtype.kind not in "iufc":
        return array
    factor = draw.choice((-1, 0, 255, 1e-30, 1e-9, 1e9, 1e30, 1e-45, 1e300))
    return np.asarray(array * factor)


def _kind(array: np.ndarray, draw: random.Random) -> np.ndarray:
    kinds = (">f4", ">f8", ">c8", ">i2", "f2", "g", "G", "u1", "i1", "i8", "u8", "?", "c16", "S3",
             "U4", "M8[s]", "V8")  # fmt: skip
    try:
        return array.astype(draw.choice(kinds))
    except (TypeError, ValueError):
        return array


def _shape(array: np.ndarray, draw: random.Random) -> np.ndarray:
    changes: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
        np.transpose,
        lambda a: a[..., None],
        lambda a: a[None],
        np.ravel,
        lambda a: a[..., :1],
        lambda a: a[:1],
        lambda a: a[..., :0],
        lambda a: a[..., ::-1],
        lambda a: a[..., :-1],
        lambda a: np.concatenate([a, a], axis=-1),
        lambda a: np.repeat(a[None], 3, 0),
        lambda a: np.reshape(a, (1,) * 12 + a.shape),
        np.squeeze,
    )
    try:
        return draw.choice(changes)(array)
    except (IndexError, ValueError):
        return array
