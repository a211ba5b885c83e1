"""A run that a signal ends: status 130, and the same bytes after `--resume`."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import call, picture

LONG = ["--method", "dip", "--steps", 300, "--set", "net.widths=8,16", "--stop", "none"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long run that nothing interrupted, and its input beside it."""
    place = tmp_path_factory.mktemp("whole")
    picture(place / "noisy.npy")
    run = ["reconstruct", "denoise", place / "noisy.npy", *LONG, "--quiet"]
    assert call(*run, "--out", place / "out") == 0
    return place / "out"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_resumes_to_the_same_bytes(
    whole: Path, tmp_path: Path, name: str
) -> None:
    """A real Ctrl-C in a real process: status 130, the best so far kept, then the same bytes."""
    out = tmp_path / "out"
    run = [*map(str, ["reconstruct", "denoise", whole.parent / "noisy.npy", *LONG, "--out", out])]
    command = [sys.executable, "-m", "untrained", *run, "--threads", "1"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE)
    for _ in range(6000):
        if (out / "state.pt").exists() or running.poll() is not None:
            break
        time.sleep(0.01)
    running.send_signal(signal.Signals[name])
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 130, errors
    assert b"--resume" in errors
    assert (out / "reconstruction.npy").exists()
    assert not (out / "result.json").exists()
    reached = int(np.genfromtxt(out / "history.csv", delimiter=",", skip_header=1)[-1, 1])
    assert reached < 300
    assert call(*run, "--quiet", "--resume") == 0
    for file in ("reconstruction.npy", "history.csv"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()
