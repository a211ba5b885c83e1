"""The command line says how idle CPU threads wait, before torch is loaded; nobody else does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from untrained.cli import WAITING, wait_asleep

MPS = "PYTORCH_ENABLE_MPS_FALLBACK"  # read by torch on Apple's GPUs alone
CLEAN = {name: value for name, value in os.environ.items() if name not in (*WAITING, MPS)}


def python(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=CLEAN | more,
        capture_output=True,
        text=True,
        check=True,
    )


def test_importing_the_package_sets_nothing_that_concerns_threads():
    told = python(
        "-c",
        "import os; before = dict(os.environ); import untrained; import untrained.cli; "
        "untrained.reconstruct; print(*set(os.environ.items()) - set(before.items()))",
    ).stdout
    assert told.strip() == str((MPS, "1"))


@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP")
@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}], ids=["default", "user's"])
def test_a_command_lets_idle_threads_sleep_unless_it_is_told_otherwise(given):
    told = python("-m", "untrained", "list", "methods", OMP_DISPLAY_ENV="true", **given).stderr
    wanted = given.get("OMP_WAIT_POLICY", "PASSIVE")
    assert f"OMP_WAIT_POLICY = '{wanted}'" in told


def test_a_user_who_has_said_it_in_another_way_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "modules", {})
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_asleep()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that it is taken back afterwards
    monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_where_torch_is_loaded_it_is_too_late_and_nothing_is_set(monkeypatch):
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    wait_asleep()
    assert "OMP_WAIT_POLICY" not in os.environ
