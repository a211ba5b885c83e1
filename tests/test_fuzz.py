"""Some mutants for every reader, through the command line; benchmarks/fuzz.py makes thousands."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from fuzzing import pool, subjects
from fuzzing.every import EVERY
from fuzzing.mutators import as_npy
from fuzzing.subjects import Subject

SMALL_NET = ("--steps", "2", "--set", "net.widths=4,8")


def test_every_reader_reads_or_refuses(tmp_path, monkeypatch):
    """Run one mutant of each reader, and a quarter of the valid files.

    In the test's own process, where a mutant that kills it would be noticed by everybody.
    """
    monkeypatch.setattr(subjects, "NET", SMALL_NET)
    monkeypatch.setattr(pool, "HANG", 300.0)  # a busy machine may take the benchmark's 20 s
    bench = pool.Bench(tmp_path)
    jobs = [(subject, 1) for subject in EVERY] + [(subject, 0) for subject in EVERY[::4]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attempts = [bench.attempt(subject, number, seed=1) for subject, number in jobs]
    assert [(a.subject, a.number, a.faults, a.said) for a in attempts if a.faults] == []
    assert all(a.status == 0 for a in attempts if a.number == 0)
    assert sum(a.status == 2 for a in attempts) > len(attempts) // 5


def test_a_mutant_is_the_same_for_the_same_seed(tmp_path):
    bench = pool.Bench(tmp_path)
    for subject in EVERY[:8]:
        valid = bench.valid(subject)
        one, other = (pool.mutant(subject, valid, 3, seed=5) for _ in range(2))
        assert one == other
        assert one != pool.mutant(subject, valid, 4, seed=5)


@pytest.mark.parametrize(
    ("status", "said", "fault"),
    [
        (1, "untrained: KeyError in.npy", "exit 1"),
        (2, "untrained: it is damaged", "the file is not named"),
        (2, "untrained: in.npy is\ndamaged", "not one paragraph"),
        (2, "untrained: in.npy " + "x" * 2000, "not one paragraph"),
        (2, "untrained: in.npy: \x1b[31m", "raw text of others or control characters"),
        (-1, "Traceback: in.npy", "a traceback, or nothing said"),
    ],
)
def test_what_counts_as_a_fault(tmp_path, status, said, fault):
    """A harness that finds nothing may be blind."""
    found = pool.Attempt("npy", 1, status, 0.1, 0, said)
    assert fault in pool.faults(found, tmp_path / "in.npy", small=True)


def test_time_memory_and_nan_are_watched(tmp_path):
    slow = pool.Attempt("npy", 1, 0, 21.0, 3 * 2**30, "")
    assert pool.faults(slow, tmp_path / "in.npy", small=True) == ["took 21 s", "peak of 3072 MiB"]
    np.save(tmp_path / "reconstruction.npy", np.array([np.nan]))
    assert pool._nan_saved(tmp_path) == ["NaN saved in reconstruction.npy"]


def test_a_refused_valid_file_is_a_fault(tmp_path):
    broken = Subject("x", "a.npy", ("evaluate", "{file}", "{file}"), _empty, as_npy, engine=False)
    found = pool.Bench(tmp_path).attempt(broken, 0, seed=0)
    assert "the valid file is refused" in found.faults


def _empty(path: Path) -> None:
    path.write_bytes(b"")
