"""Look into a file of torch before torch opens it: what its tensors claim, and whether it is code.

torch's own `weights_only` executes nothing, but believes what a pickle says of sizes: a file of a
kilobyte can ask for terabytes. Here the few instructions that a state_dict is made of are followed,
with stand-ins for tensors, and nothing is called.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from untrained.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
"""Begins a file of torch before version 1.6: pickles one after another, and then the numbers."""
TENSOR = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor")
PARAMETER = "torch._utils _rebuild_parameter"
HARMLESS = (
    "collections OrderedDict",
    "torch Size",
    "torch device",
    "torch.serialization _get_layout",
)
BYTES = {
    "Double": 8,
    "Long": 8,
    "ComplexFloat": 8,
    "ComplexDouble": 16,
    "Float": 4,
    "Int": 4,
    "Half": 2,
    "BFloat16": 2,
    "Short": 2,
    "Char": 1,
    "Byte": 1,
    "Bool": 1,
}
"""Size of a number, by the name of the storage's type."""
LARGEST_PICKLE = 2**28


@dataclass(frozen=True)
class Storage:
    """Numbers of a file: name of their record, how many, and bytes of each."""

    key: str
    count: int
    itemsize: int


@dataclass(frozen=True)
class Name:
    """Something that the pickle refers to by name, and that is not looked up here."""

    text: str


class _Inert:
    """What something harmless would make; it takes what is put into it."""


def check_pickled(file: Path, way_out: str) -> None:
    """Refuse a file of torch whose pickle holds code, or whose tensors claim more than it holds.

    Args:
        file: a zip archive of torch, or its older format.
        way_out: what the user can do about a file that needs code.

    Raises:
        UserError: names what was found.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if sizes[name] > LARGEST_PICKLE:
                raise UserError(f"the part of it that names its tensors has {sizes[name]:,} bytes")
            with archive.open(name) as stream:
                storages = _followed(stream, way_out).storages
        folder = name.removesuffix("data.pkl")
        for one in storages:
            held = sizes.get(f"{folder}data/{one.key}", 0)
            _require(one.count * one.itemsize, held, f"the numbers '{one.key}'")
        return
    size = file.stat().st_size
    with file.open("rb") as stream:
        if _followed(stream, way_out).stack[-1:] != [MAGIC]:
            raise UserError(f"it is a pickle, and no state_dict of torch; {way_out}")
        storages = []
        for _ in range(4):  # version, system, the object, keys of its numbers
            storages += _followed(stream, way_out).storages
    _require(sum(one.count * one.itemsize for one in set(storages)), size, "its numbers")


def _require(claimed: int, held: int, what: str) -> None:
    if claimed > held:
        raise UserError(f"{what} in it claim {claimed:,} bytes, and it has {held:,}; it is damaged")


CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
MADE: dict[str, Any] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
VALUES = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"),
    *("BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
MARK = object()


class _Machine:
    """Stack and memory of a pickle."""

    def __init__(self, way_out: str) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.storages: list[Storage] = []
        self.way_out = way_out

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        stack = self.stack
        if name in VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in MADE:
            stack.append(MADE[name]())
        elif name == "MARK":
            stack.append(MARK)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memory[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memory[len(self.memory)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memory[int(argument)])
        elif name == "GLOBAL":
            stack.append(self._named(argument))
        elif name == "STACK_GLOBAL":
            last, first = stack.pop(), stack.pop()
            stack.append(self._named(f"{first} {last}"))
        elif name == "BINPERSID":
            stack.append(self._stored(stack.pop()))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(self._made(called, arguments))
        elif name not in ("PROTO", "FRAME", "STOP"):
            self._collect(name)

    def _collect(self, name: str) -> None:
        """Carry out an instruction that takes several things off the stack."""
        stack = self.stack
        if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("TUPLE", "LIST", "DICT", "SETITEMS", "APPENDS", "ADDITEMS"):
            items = []
            while (one := stack.pop()) is not MARK:
                items.append(one)
            items.reverse()
            if name in ("TUPLE", "LIST"):
                stack.append({"TUPLE": tuple, "LIST": list}[name](items))
            elif name == "DICT":
                stack.append({})
        elif name in ("SETITEM", "APPEND", "BUILD", "POP"):
            del stack[-2 if name == "SETITEM" else -1 :]
        else:
            raise UserError(f"it is no plain state_dict (instruction {name}); {self.way_out}")

    def _named(self, text: str) -> Name:
        if text in (*TENSOR, PARAMETER, *HARMLESS) or _storage_bytes(text):
            return Name(text)
        raise UserError(f"it holds code ({text.replace(' ', '.')}); {self.way_out}")

    def _stored(self, told: Any) -> Storage:
        kind, typed, key, _, count = told[:5]
        itemsize = _storage_bytes(typed.text) if isinstance(typed, Name) else 0
        if kind != "storage" or not itemsize or not isinstance(count, int) or count < 0:
            raise UserError("it refers to numbers in a way that is not torch's; it is damaged")
        found = Storage(str(key), count, itemsize)
        self.storages.append(found)
        return found

    def _made(self, called: Any, arguments: tuple[Any, ...]) -> Any:
        """Stand in for what a call would make; of a tensor check that it lies in its storage."""
        if not isinstance(called, Name):
            raise UserError(f"it calls something that is no name; {self.way_out}")
        if called.text == PARAMETER:
            return arguments[0]
        if called.text not in TENSOR:
            return _Inert()
        storage, offset, size, stride = arguments[:4]
        if not isinstance(storage, Storage) or len(size) != len(stride):
            raise UserError("it describes a tensor in a way that is not torch's; it is damaged")
        if min((*size, *stride, offset), default=0) < 0:
            raise UserError(f"it holds a tensor of size {tuple(size)}; it is damaged")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        # a stride of 0 makes many numbers out of one
        if math.prod(size) and max(last + 1, math.prod(size)) > storage.count:
            raise UserError(
                f"a tensor of size {tuple(size)} in it has {storage.count:,} numbers; it is damaged"
            )
        return _Inert()


def _storage_bytes(text: str) -> int:
    """Return the bytes of a number of a storage's type, named `torch FloatStorage`; 0 else."""
    module, _, name = text.partition(" ")
    return BYTES.get(name.removesuffix("Storage"), 0) if module == "torch" else 0


def _followed(stream: IO[bytes], way_out: str) -> _Machine:
    """Follow one pickle of a stream to its end."""
    machine = _Machine(way_out)
    for operation, argument, _ in pickletools.genops(stream):
        machine.step(operation.name, argument)
    return machine
