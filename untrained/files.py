"""Write files so that a reader never sees half of one, and never onto an input."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from torch import Tensor

from untrained.errors import UserError

UNWRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)

INPUTS = ("input", "image", "clean image", "clean data")
"""Arguments of which somebody may have a folder full."""

DAY = 86_400.0  # seconds
_WRITING: set[str] = set()
"""Names of the temporary files that this process is writing."""


def sha256(path: str | Path) -> str:
    """Compute the hash of a file's contents, in hexadecimal digits.

    Of a directory that is of all its files, with their names.
    """
    digest = hashlib.sha256()
    if Path(path).is_dir():
        for part in sorted(p for p in Path(path).rglob("*") if p.is_file()):
            digest.update(f"{part.relative_to(path).as_posix()} {sha256(part)}\n".encode())
        return digest.hexdigest()
    with Path(path).open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file beside `path`; on success it takes the place of `path` in one step.

    After an error, a full disk or a kill, `path` is what it was before. What an earlier process
    that was killed left of such a file is removed.

    Raises:
        UserError: the disk is full, or the directory cannot be written; names the path.
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    part = path.with_name(_part_name(path.name))
    _WRITING.add(part.name)
    try:
        remove_stale_parts(path)
        # the name of a file may hold bytes that are no UTF-8, and must not cost the run
        errors = None if "b" in mode else "backslashreplace"
        with part.open(mode.replace("w", "x"), encoding=encoding, errors=errors) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        raise _explained(error, path) from error
    except RuntimeError as error:
        # torch.save hides a failed write behind an error of its own
        if not isinstance(error.__context__, OSError):
            raise
        raise _explained(error.__context__, path) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
        _WRITING.discard(part.name)


def remove_stale_parts(path: Path) -> None:
    """Remove what killed processes left of `path`; a file that is still being written stays."""
    pattern = re.compile(
        re.escape(_part_start(path.name)) + r"([0-9a-f]{6})-([0-9]+)-[0-9a-f]{8}\.part"
    )
    with contextlib.suppress(OSError):
        for other in path.parent.iterdir():
            found = pattern.fullmatch(other.name)
            if found and _is_stale(other, found[1], int(found[2])):
                other.unlink(missing_ok=True)


def _is_stale(part: Path, machine: str, process: int) -> bool:
    """Tell whether nobody writes this file any more: its process is gone, or it is a day old."""
    if time.time() - part.stat().st_mtime > DAY:
        return True
    if process == os.getpid():  # in a container every process may have the same number
        return machine == _machine() and part.name not in _WRITING
    if machine != _machine() or os.name != "posix":  # elsewhere no process can be asked for
        return False
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _part_start(name: str) -> str:
    short = name.encode(errors="surrogateescape")[:150].decode(errors="ignore")
    return f".{short}.untrained-"  # names of files may have 255 bytes


def _part_name(name: str) -> str:
    return f"{_part_start(name)}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def _machine() -> str:
    """Name this machine by six digits."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def require_no_folder(path: str | Path, what: str) -> None:
    """Refuse a folder where a file is expected; `what` says which argument it was.

    Raises:
        UserError: it is one; says how several files are done.
    """
    if not os.path.isdir(path):  # noqa: PTH112, any text
        return
    many = " (`untrained reconstruct` takes folders, each file a job)"
    raise UserError(
        f"{what}: {path} is a folder, and a file is expected: give one of its files"
        f"{many if what in INPUTS else ''}"
    )


def existing_file(path: str | Path, what: str = "input") -> Path:
    """Return `path` as a Path, if a non-empty regular file that may be read stands there.

    Raises:
        UserError: nothing there, a directory, a pipe or a device, an empty file, or no permission;
            `what` says which argument it was.
    """
    file = Path(path)
    try:
        if not file.exists():
            raise UserError(f"{what}: there is no file {file}; check the path")
        require_no_folder(file, what)
        if not file.is_file():
            raise UserError(f"{what}: {file} is a pipe or a device; a file is expected")
        if file.stat().st_size == 0:
            raise UserError(f"{what}: {file} is empty (0 bytes)")
        if not os.access(file, os.R_OK):
            raise UserError(f"{what}: {file} may not be read; check its permissions")
    except (OSError, ValueError) as error:  # ValueError: text that cannot be a path
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{what}: {file} cannot be opened: {reason}") from error
    return file


def existing_folder(path: str | Path, what: str = "input") -> Path:
    """Return `path` as a Path, if a directory that may be read stands there.

    Raises:
        UserError: nothing there, a file, or no permission; `what` says which argument it was.
    """
    folder = Path(path)
    if not folder.exists():
        raise UserError(f"{what}: there is no {folder}; check the path")
    if not folder.is_dir():
        raise UserError(f"{what}: {folder} is a file, and by its name a directory is expected")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(f"{what}: {folder} may not be read; check its permissions")
    return folder


def read_text_file(path: str | Path, what: str, most: int) -> str:
    """Read a UTF-8 text file of at most `most` bytes.

    Raises:
        UserError: as `existing_file`, not UTF-8, or larger.
    """
    file = existing_file(path, what)
    try:
        size = file.stat().st_size
        if size > most:
            raise UserError(
                f"{what}: {file} has {size / 2**20:.1f} MiB, and such a file has {most / 2**20:g} "
                "MiB at most; is it another file?"
            )
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{what}: {file} is no UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise UserError(f"{what}: {file} cannot be read: {error.strerror or error}") from error


def is_regular(path: Path) -> bool:
    """Tell whether `path` is a plain file: no link, folder, pipe or device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def holds(path: Path, hashes: Collection[str]) -> bool:
    """Tell whether `path` is a plain file with one of these SHA-256 hashes."""
    return is_regular(path) and sha256(path) in hashes


def require_new(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a file unasked.

    Args:
        path: where is to be written.
        overwrite: replace a file that is there.

    Raises:
        UserError: a file is there and `overwrite` is False, or something is there that is no file.
    """
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise UserError(f"{path} is a folder, and a file is to be written; choose another --out")
    if not overwrite:
        raise UserError(
            f"{path} is there already, and is never overwritten unasked; add --overwrite to "
            "replace it, or choose another --out"
        )


def require_not_input(targets: Iterable[Path], inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write onto an input, by whatever name, link or spelling it is reached.

    Args:
        targets: the files that are to be written.
        inputs: the files that are read; None and what is no file are passed over.

    Raises:
        UserError: one of the targets is one of the inputs.
    """
    there = [Path(given) for given in inputs if given is not None and _exists(given)]
    for target in targets:
        for given in there:
            if _exists(target) and target.samefile(given):
                raise UserError(
                    f"{target} is an input of this command (given as {given}), and inputs are "
                    "never written; choose another --out"
                )


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # text that cannot be a path
        return False


class SealedWriter:
    """A stream that computes the hash of what passes through it; see `sealed_write`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._digest = stream, hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Write to the stream behind it."""
        self._digest.update(content)
        return self._stream.write(content)

    def flush(self) -> None:
        """Flush the stream behind it."""
        self._stream.flush()

    def footer(self) -> bytes:
        """Return the seal of what was written: a mark of this program and the SHA-256."""
        return SEAL + self._digest.hexdigest().encode() + b"\n"


SEAL = b"\nsealed by untrained "
SEAL_LENGTH = len(SEAL) + 65


@contextlib.contextmanager
def sealed_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Write a file atomically, ended by a seal that `seal_of` checks; raises as `atomic_write`."""
    with atomic_write(path) as stream:
        writer = SealedWriter(stream)
        yield cast("IO[bytes]", writer)  # all that is needed of one
        stream.write(writer.footer())


def is_sealed(path: Path) -> bool:
    """Tell whether the file ends with the mark of `sealed_write`, its contents unread."""
    try:
        if not is_regular(path) or path.stat().st_size < SEAL_LENGTH:
            return False
        with path.open("rb") as stream:
            stream.seek(-SEAL_LENGTH, os.SEEK_END)
            return stream.read(len(SEAL)) == SEAL
    except OSError:  # it may not be read
        return False


def is_whole(path: Path) -> bool:
    """Tell whether a sealed file is bit for bit what was written."""
    left = path.stat().st_size - SEAL_LENGTH
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while left > 0 and (block := stream.read(min(2**20, left))):
            digest.update(block)
            left -= len(block)
        return stream.read() == SEAL + digest.hexdigest().encode() + b"\n"


def make_directory(path: str | Path) -> Path:
    """Create a directory and its parents.

    Raises:
        UserError: it cannot be created, or a file is in its place.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _explained(error, path) from error
    return path


def write_tensors(path: str | Path, tensors: dict[str, Tensor]) -> None:
    """Write named tensors as safetensors, atomically; raises as `atomic_write`."""
    from safetensors.torch import save

    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    with atomic_write(path) as stream:
        stream.write(content)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read named tensors of a safetensors file.

    Raises:
        UserError: missing, unreadable or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    existing_file(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as .safetensors: {error}") from error


def _explained(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return UserError(
            f"the disk is full: {path} could not be written; free some space or choose another "
            "place, then run again (a run that had begun goes on with --resume)"
        )
    reason = error.strerror or str(error)
    if error.errno in UNWRITABLE:
        return UserError(f"{path} cannot be written: {reason}; choose another place with --out")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return UserError(f"{path} cannot be a directory: a file is in its place; choose another")
    if error.errno == errno.ENOENT:
        return UserError(f"{path} cannot be written: its directory does not exist")
    return error
