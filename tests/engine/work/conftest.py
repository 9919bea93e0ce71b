import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steve import Job
from tests.engine.work.harness import PoolHarness

MakePool = Callable[..., PoolHarness]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Something for handlers to wait for. It opens when the test ends, whatever became of it."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def make_pool(gate: threading.Event) -> Iterator[MakePool]:
    """`make_pool(workers, handler, **keywords of PoolHarness)`: a pool that is not started, and that is stopped at the end."""
    harnesses: list[PoolHarness] = []

    def make(workers: int, handler: Callable[[Job], Any] = lambda job: None, **keywords: Any) -> PoolHarness:
        harnesses.append(PoolHarness(workers, handler, **keywords))
        return harnesses[-1]

    yield make
    gate.set()
    for harness in harnesses:
        harness.stop()
