"""Pools for notebooks: each task is done where it is asked for, at once.

A cell's process goes on as a fork of itself, and a fork has neither the threads nor the children of a pool that an
earlier cell made: it would wait for them for ever.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import process, thread
from multiprocessing import context, dummy, pool
from typing import Any


class Done(futures.Future):
    """A task that is done, as `concurrent.futures` and as `multiprocessing` have it."""

    def __init__(self, task: Callable[..., Any], arguments: Iterable[Any], named: dict[str, Any]) -> None:
        super().__init__()
        try:
            self.set_result(task(*arguments, **named))
        except Exception as error:
            self.set_exception(error)

    def get(self, timeout: float | None = None) -> Any:
        """Return the result, or raise what the task raised."""
        return self.result(timeout)

    def wait(self, _timeout: float | None = None) -> None:
        """Return at once."""

    ready = futures.Future.done

    def successful(self) -> bool:
        """Tell whether the task raised nothing."""
        return self.exception() is None


class Executor(futures.Executor):
    """Stands in for the executors of `concurrent.futures`."""

    def __init__(
        self, _workers: int | None = None, *_: Any, initializer: Any = None, initargs: tuple = (), **__: Any
    ) -> None:
        if initializer:
            initializer(*initargs)

    def submit(self, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Done:
        """Do a task."""
        return Done(task, arguments, named)


class Pool:
    """Stands in for the pools of `multiprocessing`."""

    def __init__(
        self, _processes: int | None = None, initializer: Any = None, initargs: tuple = (), *_: Any, **__: Any
    ):
        if initializer:
            initializer(*initargs)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def apply_async(
        self,
        task: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Any = None,
        error_callback: Any = None,
    ) -> Done:
        """Do a task, then call back."""
        done = Done(task, args, kwds or {})
        called = callback if done.successful() else error_callback
        if called:
            called(done.result() if done.successful() else done.exception())
        return done

    def starmap_async(
        self, task: Any, rows: Iterable[Iterable[Any]], _chunk: Any = None, *back: Any, **named: Any
    ) -> Done:
        """Do a task for each row of arguments."""
        return self.apply_async(lambda: [task(*row) for row in rows], (), None, *back, **named)

    def map_async(self, task: Any, values: Iterable[Any], _chunk: Any = None, *back: Any, **named: Any) -> Done:
        """Do a task for each value."""
        return self.starmap_async(task, ((value,) for value in values), None, *back, **named)

    def imap(self, task: Any, values: Iterable[Any], _chunk: Any = 1) -> Iterator[Any]:
        """Return the results one by one."""
        return iter(self.map(task, values))

    imap_unordered = imap

    def apply(self, task: Any, args: Iterable[Any] = (), kwds: dict[str, Any] | None = None) -> Any:
        """Return the result of a task."""
        return self.apply_async(task, args, kwds).get()

    def map(self, task: Any, values: Iterable[Any], _chunk: Any = None) -> list[Any]:
        """Return the results."""
        return self.map_async(task, values).get()

    def starmap(self, task: Any, rows: Iterable[Iterable[Any]], _chunk: Any = None) -> list[Any]:
        """Return the results, each of a row of arguments."""
        return self.starmap_async(task, rows).get()

    def close(self) -> None:
        """Do nothing, as do `terminate` and `join`."""

    terminate = join = close


def take_over() -> None:
    """Let these pools be what `multiprocessing` and `concurrent.futures` give from now on."""
    for name, module in (("ThreadPoolExecutor", thread), ("ProcessPoolExecutor", process)):
        for place in (futures, module):
            setattr(place, name, Executor)
    for place in (multiprocessing, dummy, pool):
        place.Pool = Pool  # type: ignore[attr-defined]
    pool.ThreadPool = Pool  # type: ignore[assignment,misc]
    context.BaseContext.Pool = lambda _context, *given, **named: Pool(*given, **named)  # type: ignore
