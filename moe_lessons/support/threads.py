"""How many threads torch computes with: one for the course's small experiments."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, then with as many as before. For a `with`, or as a decorator.

    Products of small matrices gain nothing from a second thread. And where another program runs beside them, threads
    wait for one another at every product: a training of seconds then takes minutes.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
