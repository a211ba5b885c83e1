"""The command line in the test's own process, and what it left on disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from untrained.cli import main


def call(*arguments: object) -> int:
    """Run a command; returns its exit status."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return int(ended.value.code or 0)


def picture(path: Path) -> None:
    """Write a small smooth picture."""
    y, x = np.mgrid[0:26, 0:22]
    np.save(path, (0.5 + 0.3 * np.sin(x / 3) * np.cos(y / 4)).astype(np.float32))


def tree(path: Path) -> dict[str, object]:
    """Everything below a folder: links by what they point to, files by what they hold."""

    def entries() -> Iterator[tuple[str, object]]:
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                one = Path(folder) / name
                if one.is_symlink():
                    yield str(one), str(one.readlink())
                else:
                    yield str(one), one.read_bytes() if one.is_file() else None

    return dict(entries())
