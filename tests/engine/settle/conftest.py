"""The settler's fixture: a ledger."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.settle.ledger import Ledger


@pytest.fixture
def make_ledger() -> Iterator[Callable[..., Ledger]]:
    """`make_ledger(**tuning)` makes a Ledger. Its settler is not started, and it is ended after the test."""
    ledgers: list[Ledger] = []

    def make(**tuning: Any) -> Ledger:
        ledgers.append(Ledger(**tuning))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(make_ledger: Callable[..., Ledger]) -> Ledger:
    return make_ledger()
