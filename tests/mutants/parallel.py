"""Tries several mutants at a time: each has a PostgreSQL to itself, because some tests look at all that their server does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from steve import embedded

from .catalog import Mutant
from .trial import CONTROL, Site, Trial, take, wrong_with

T = TypeVar("T")


class Sites:
    """Places for tests. At each, one thing is tried at a time."""

    def __init__(self, sites: Sequence[Site], executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._free: SimpleQueue[Site] = SimpleQueue()
        for site in sites:
            self._free.put(site)

    def check_sound(self, mutants: Iterable[Mutant]) -> str:
        """Run the tests of the mutants and the control on an unbroken copy, file by file. Returns what is wrong, or ""."""
        files: dict[str, list[str]] = {}
        for test in dict.fromkeys([CONTROL, *(mutant.test for mutant in mutants)]):
            files.setdefault(test.partition("::")[0], []).append(test)
        return next(filter(None, self._do(partial(wrong_with, tests) for tests in files.values())), "")

    def take(self, mutants: Iterable[Mutant]) -> Iterator[Trial]:
        """Try the mutants. A trial is told as soon as it has ended, so their order may differ from that of the mutants."""
        return self._do(partial(take, mutant) for mutant in mutants)

    def _do(self, tasks: Iterable[Callable[[Site], T]]) -> Iterator[T]:
        futures = [self._executor.submit(self._at_a_free_site, task) for task in tasks]
        return (future.result() for future in as_completed(futures))

    def _at_a_free_site(self, task: Callable[[Site], T]) -> T:
        site = self._free.get()
        try:
            return task(site)
        finally:
            self._free.put(site)


@contextmanager
def sites(count: int, limit: float) -> Iterator[Sites]:
    """So many sites with embedded servers; or one, with the PostgreSQL at STEVE_TEST_DATABASE_URL. What runs at them when the
    block ends is ended."""
    url = os.environ.get("STEVE_TEST_DATABASE_URL")
    over = threading.Event()
    with ExitStack() as stack:
        urls = [url] if url else [stack.enter_context(embedded.server(fsync="off")).conninfo for _ in range(count)]
        executor = ThreadPoolExecutor(len(urls))
        try:
            yield Sites([Site(url, limit, over) for url in urls], executor)
        finally:
            over.set()
            executor.shutdown(cancel_futures=True)
