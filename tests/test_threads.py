"""A number of threads is one thread's own."""

from __future__ import annotations

import threading

import pytest
import torch

from untrained.threads import asked_threads, current_threads, set_threads, use_threads


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
    with asked_threads(None):
        assert torch.get_num_threads() == current_threads()


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
