"""Ctrl-C while modules are loaded and files are read: status 130, and no fault of a file."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from untrained.cli import main

LOADING = """
import os, signal, sys

class Pressed:
    def find_spec(self, name, *_):
        if name == {module!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                if {swallowed}:  # as compiled modules do
                    return None
                raise

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Pressed())
from untrained.cli import main
main(["list", "rules"])
"""


@pytest.mark.parametrize("swallowed", [True, False])
@pytest.mark.parametrize("module", ["numpy", "torch", "untrained.cli.commands"])
def test_while_modules_are_loaded(module: str, swallowed: bool) -> None:
    code = LOADING.format(module=module, swallowed=swallowed)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip(), done.stdout) == (130, "interrupted", "")


def test_a_shell_that_ignores_it_is_minded() -> None:
    code = LOADING.format(module="numpy", swallowed=False).replace("default_int_handler", "SIG_IGN")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "heldout" in done.stdout


def pressed(*_: Any, **__: Any) -> None:
    """Swallow Ctrl-C and go on with half a module."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise AttributeError("module 'numpy' has no attribute 'half'") from None


@pytest.mark.parametrize("name", ["half.npz", "half.npy", "half.h5", "half.png"])
def test_no_file_is_called_damaged_for_it(name, tmp_path: Path, capsys, monkeypatch) -> None:
    path = tmp_path / name
    if name == "half.npz":
        np.savez(path, measurement=np.ones((16, 16)))
    else:
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    place = "untrained.data.tasks.photo.open_measurement" if name[-3:] in ("npz", ".h5") else None
    monkeypatch.setattr(place or "untrained.data.tasks.photo.read_pixels", pressed)
    with pytest.raises(SystemExit) as ended:
        main(["reconstruct", "denoise", str(path), "--out", str(tmp_path / "out")])
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not (tmp_path / "out").exists()
