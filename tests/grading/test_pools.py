"""Pools whose tasks are done at once behave as those do that they stand in for."""

import concurrent.futures
import multiprocessing

import pytest

from moe_lessons.grading.pools import Executor, Pool


def half(n):
    return n / 2


@pytest.mark.parametrize("executor", [Executor, concurrent.futures.ThreadPoolExecutor], ids=["ours", "python's"])
def test_an_executor_does_what_it_is_asked(executor):
    begun = []
    with executor(2, initializer=begun.append, initargs=("begun",)) as pool:
        tasks = [pool.submit(half, n) for n in (4, 6)]
        failing = pool.submit(lambda: 1 / 0)
        assert {task.result(1) for task in concurrent.futures.as_completed(tasks, 5)} == {2, 3}
        assert list(pool.map(divmod, [7, 8], [2, 3])) == [(3, 1), (2, 2)]
        assert isinstance(failing.exception(5), ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            failing.result(5)
    assert set(begun) == {"begun"}


@pytest.mark.parametrize("kind", [Pool, multiprocessing.pool.ThreadPool], ids=["ours", "python's"])
def test_a_pool_does_what_it_is_asked(kind):
    called, begun = [], []
    with kind(1, begun.append, ("begun",)) as pool:
        assert pool.map(half, [4, 6], 1) == list(pool.imap(half, [4, 6])) == [2, 3]
        assert sorted(pool.imap_unordered(half, [4, 6])) == [2, 3]
        assert pool.starmap(divmod, [(7, 2)]) == pool.starmap_async(divmod, [(7, 2)]).get(5) == [(3, 1)]
        assert pool.apply(int, ("12",), {"base": 3}) == 5
        done = pool.apply_async(half, (4,), callback=called.append)
        done.wait(5)
        assert (done.ready(), done.successful(), done.get(5)) == (True, True, 2)
        assert pool.map_async(half, [4], callback=called.append).get(5) == [2]
        failing = pool.map_async(half, ["a"], error_callback=called.append)
        failing.wait(5)
        assert not failing.successful()
        with pytest.raises(TypeError):
            failing.get(5)
    pool.terminate()
    pool.join()
    assert [str(type(one).__name__) for one in called] == ["float", "list", "TypeError"]
    assert begun == ["begun"]
