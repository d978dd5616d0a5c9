"""Work on many files by threads, with a few results under way at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from hw3lib.core.cores import threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None) -> Iterator[Result]:
    """``function`` of each item, in order, worked out ahead by threads.

    Unlike ``ThreadPoolExecutor.map``, which takes all items at once and keeps a future for each, it holds only a few,
    so that memory does not grow with their number.

    Args:
        function: what it raises is raised here, when its item's turn comes.
        items: taken as they are needed.
        workers: threads; None takes :func:`hw3lib.core.cores.threads`.
    """
    workers = workers or threads()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
