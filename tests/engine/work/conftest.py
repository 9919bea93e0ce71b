import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steve import Job
from tests.engine.work.harness import PoolHarness

MakePool = Callable[..., PoolHarness]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event for handlers to wait for. It is set when the test ends, even if it fails."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def make_pool(gate: threading.Event) -> Iterator[MakePool]:
    """`make_pool(workers, handler, **keywords of PoolHarness)` makes a pool that is not started. It is stopped at the end."""
    harnesses: list[PoolHarness] = []

    def make(workers: int, handler: Callable[[Job], Any] = lambda job: None, **keywords: Any) -> PoolHarness:
        harnesses.append(PoolHarness(workers, handler, **keywords))
        return harnesses[-1]

    yield make
    gate.set()
    for harness in harnesses:
        harness.stop()
