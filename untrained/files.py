"""Writing files so that a reader never sees half of one, and telling them apart."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

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


def sha256(path: str | Path) -> str:
    """Hash of a file's contents, in hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Open a temporary file beside `path`; on success it takes the place of `path` in one step.

    After an error, a full disk or a kill, `path` is what it was before.

    Raises:
        UserError: the disk is full, or the directory cannot be written; names the path.
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".part", dir=path.parent
        )
        with os.fdopen(handle, mode, encoding=encoding) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _default_permissions(temporary)
        Path(temporary).replace(path)
        temporary = ""
    except OSError as error:
        raise _explained(error, path) from error
    except RuntimeError as error:
        # torch.save hides a failed write behind an error of its own
        if not isinstance(error.__context__, OSError):
            raise
        raise _explained(error.__context__, path) from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


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
    """Named tensors of a safetensors file.

    Raises:
        UserError: missing, unreadable or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as .safetensors: {error}") from error


def _default_permissions(path: str) -> None:
    """mkstemp files are private; a result should be as readable as any other new file."""
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(0o666 & ~mask)


def _explained(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return UserError(
            f"the disk is full: {path} could not be written; free some space or choose another "
            "place, then run again with --resume"
        )
    reason = error.strerror or str(error)
    if error.errno in UNWRITABLE:
        return UserError(f"{path} cannot be written: {reason}; choose another place with --out")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return UserError(f"{path} cannot be a directory: a file is in its place; choose another")
    if error.errno == errno.ENOENT:
        return UserError(f"{path} cannot be written: its directory does not exist")
    return error
