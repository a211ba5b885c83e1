"""A number of threads is one thread's own."""

from __future__ import annotations

import threading

import pytest
import torch

import untrained as ut
from untrained.threads import (
    at_most_threads,
    current_threads,
    set_threads,
    threads_for,
    use_threads,
)


def elsewhere() -> int:
    """The number with which a new thread begins."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_it_holds_inside_and_for_this_thread_alone():
    before, others = torch.get_num_threads(), elsewhere()
    with use_threads(3):
        assert current_threads() == torch.get_num_threads() == 3
        assert elsewhere() == others
        with use_threads(2):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before
    assert elsewhere() == others


def test_it_ends_with_an_error_too():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), use_threads(3):
        raise KeyError
    assert torch.get_num_threads() == before


def test_none_is_asked_for():
    before = torch.get_num_threads()
    with at_most_threads(None):
        assert torch.get_num_threads() == current_threads() == before


def test_many_threads_at_once_keep_their_own():
    wrong: list[int] = []
    others = elsewhere()

    def work(count: int) -> None:
        for _ in range(20):
            with use_threads(count):
                torch.ones(8).sum()
                if torch.get_num_threads() != count:
                    wrong.append(count)

    threads = [threading.Thread(target=work, args=(count,)) for count in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert elsewhere() == others


def test_a_thread_that_sets_it_for_good_sets_it_for_itself():
    others = elsewhere()
    found: list[int] = []

    def work() -> None:
        set_threads(5)
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [5]
    assert elsewhere() == others


@pytest.mark.parametrize(
    ("threads", "sides", "count"),
    [
        (2, (64, 64), 1),
        (2, (256, 256), 1),
        (2, (320, 320), 2),
        (2, (16, 16, 16), 1),
        (2, (40, 40, 40), 2),
        (8, (199, 200), 1),
        (8, (200, 200), 8),
        (1, (512, 512), 1),
    ],
)
def test_the_number_follows_the_size_and_the_cores(threads, sides, count):
    with at_most_threads(threads):
        assert threads_for(sides) == count


def test_a_run_says_its_number_and_leaves_the_callers():
    y = torch.rand(1, 1, 320, 320, generator=torch.Generator().manual_seed(0))
    physics = ut.physics.Denoise()
    how = {"settings": ["net.widths=4,8"], "steps": 2, "progress": False, "compare": False}
    with use_threads(2):
        large = ut.reconstruct(y, physics, "dip", **how)
        small = ut.reconstruct(y[..., :32, :32], physics, "dip", **how)
        classical = ut.reconstruct(y[..., :32, :32], physics, "dct", progress=False)
        assert torch.get_num_threads() == 2
    assert (large.threads, small.threads, classical.threads) == (2, 1, 1)


def test_a_run_that_goes_on_takes_the_threads_that_it_had(tmp_path, pause_after):
    y = torch.rand(1, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    how = {"net": ut.nets.Compact(widths=(4, 8)), "steps": 4, "run_dir": tmp_path}
    problem = ut.Problem(y, ut.physics.Denoise())
    with use_threads(3):
        ut.solve(ut.methods.DIP(), problem, watch=[pause_after(2)], **how)
    last = ut.solve(ut.methods.DIP(), problem, **how)
    assert (last.threads, last.resumed_from) == (3, (2,))
