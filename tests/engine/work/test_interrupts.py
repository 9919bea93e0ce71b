"""How a registered connection is asked to cancel its statement, given a system that sometimes starts no thread.

With real statements: behaviour/test_timeouts.py.
"""

import threading
from uuid import UUID

import pytest
from psycopg import pq

from steve._engine.work.interrupts import AGAIN, _Block
from tests.conftest import until


class Active:
    """A connection on which a statement is under way."""

    closed = False
    transaction_status = pq.TransactionStatus.ACTIVE

    def __init__(self) -> None:
        self.cancels = 0
        self.info = self

    def cancel_safe(self, *, timeout: float) -> None:
        self.cancels += 1


def block_of(connection: Active) -> _Block:
    return _Block(claim=(UUID(int=1), 1), connection=connection, limit=None, must_end=lambda: True)  # type: ignore[arg-type]


def test_a_cancel_for_which_there_is_no_thread_now_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Active()
    block = block_of(connection)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert block.look(7.0) == 7.0 + AGAIN
    assert connection.cancels == 0
    assert block.look(8.0) == 8.0 + AGAIN
    until(lambda: connection.cancels == 1)
    block.leave()
    assert not connection.closed


def test_a_connection_whose_block_is_over_is_asked_nothing() -> None:
    connection = Active()
    block = block_of(connection)
    block.leave()
    block.look(7.0)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "steve-interrupt"])
    assert connection.cancels == 0
