"""Threads that work ahead of the network and behind it."""

from __future__ import annotations

import pytest

from utils.inference.pipeline import Behind, ahead


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_ahead_keeps_the_order_and_ends_with_none(threads):
    tasks = ((lambda i=i: i if i < 50 else None) for i in range(1000))
    assert list(ahead(tasks, threads)) == list(range(50))
    assert list(ahead(((lambda i=i: i) for i in range(7)), threads)) == list(range(7))


def test_ahead_is_not_far_ahead():
    started = []
    results = ahead(((lambda i=i: started.append(i) or i) for i in range(100)), 2)
    next(results)
    assert len(started) <= 4
    results.close()


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_behind_is_raised(threads):
    def fail() -> None:
        raise ValueError("full disk")

    with pytest.raises(ValueError, match="full disk"), Behind(threads) as behind:
        behind.do(fail)
    done = []
    with Behind(threads) as behind:
        for index in range(20):
            behind.do(done.append, index)
    assert sorted(done) == list(range(20))
