"""The connections whose statements end when the run should: at its deadline, when its job is cancelled, or when it is lost.

A handler registers one with `current_run().interrupting(connection)`, for the time of a block. The thread that watches the
deadlines looks at it then and, as long as the block lasts, every 50 ms: the handler may have been between two statements. It
sends nothing itself, because that takes a connection of its own and may take long. Each cancel has a short-lived thread.

No cancel may hit a statement after the block. So leaving the block waits for a cancel that is under way; when the server has
sent it, it hits the statement that runs at that moment or none. If that takes too long, the connection is closed: its session
ends, and the cancel hits nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from math import inf

from steve._database.caller import psycopg_connection
from steve._database.failures import Connection
from steve._database.interrupt import cancel_statement, is_active
from steve._engine.work.deadlines import Deadlines
from steve._engine.work.limit import Limit
from steve._model.claimed import ClaimKey
from steve._runtime.log import logger

AGAIN = 0.05
PATIENCE = 5.0
"""How many seconds a cancel may take."""


class _Block:
    """One connection, registered."""

    def __init__(self, *, claim: ClaimKey, connection: Connection, limit: Limit | None, must_end: Callable[[], bool]) -> None:
        self.claim = claim
        self.limit = limit
        self.at = inf if limit is None else limit.deadline
        self.is_over = False
        self.must_end = must_end
        self._has_failed = False
        self._connection = connection
        # Held while a cancel is under way, by the thread that sends it. Taken without waiting, except by `leave`.
        self._sending = threading.Lock()

    def look(self, now: float) -> float | None:
        if not self.must_end():
            return None if self.limit is None or now >= self.limit.deadline else self.limit.deadline
        if is_active(self._connection) and self._sending.acquire(blocking=False):
            if self.limit is not None and now >= self.limit.deadline:
                self.limit.was_cancelled = True
            try:
                threading.Thread(target=self._send, name="steve-interrupt", daemon=True).start()
            except RuntimeError:  # the system starts no thread at present
                self._sending.release()
        return now + AGAIN

    def _send(self) -> None:
        try:
            if not self.is_over:
                cancel_statement(self._connection, PATIENCE)
        except Exception as error:
            level = logging.DEBUG if self._has_failed else logging.WARNING  # it is tried again and again
            self._has_failed = True
            logger.log(level, "job %s: PostgreSQL could not be asked to cancel its statement: %s", self.claim[0], error)
        finally:
            self._sending.release()

    def leave(self) -> None:
        is_quiet = self._sending.acquire(timeout=PATIENCE)
        self.is_over = True
        if is_quiet:
            self._sending.release()
        else:
            logger.warning(
                "job %s: a cancel of its statement is under way for %g s: the connection is closed", self.claim[0], PATIENCE
            )
            self._connection.close()


class Interrupts:
    def __init__(self, *, deadlines: Deadlines, must_end: Callable[[ClaimKey], bool]) -> None:
        """`must_end(claim)`: whether the job is lost or to be cancelled."""
        self._deadlines = deadlines
        self._must_end = must_end
        self._blocks: dict[int, _Block] = {}  # by id(); single operations on a dict are atomic

    @contextmanager
    def block(self, claim: ClaimKey, connection: object, limit: Limit | None) -> Iterator[None]:
        """Raises TypeError if `connection` is none."""
        block = _Block(
            claim=claim,
            connection=psycopg_connection(connection),
            limit=limit,
            must_end=lambda: (limit is not None and time.monotonic() >= limit.deadline) or self._must_end(claim),
        )
        window = None if limit is None else limit.window
        if window is not None:
            window.shut()
        try:
            self._blocks[id(block)] = block
            # Ask after the block is registered: a cancel that is heard of before that does not see it.
            if limit is not None or block.must_end():
                self._deadlines.watch(block, 0.0 if block.must_end() else block.at)
            yield
        finally:
            self._blocks.pop(id(block), None)
            block.leave()
            if limit is not None:
                self._deadlines.over()
            if window is not None:
                window.unshut()

    def look_at(self, claims: Collection[ClaimKey]) -> None:
        """These jobs are lost or to be cancelled. From any thread."""
        if self._blocks:
            for block in list(self._blocks.values()):
                if block.claim in claims:
                    self._deadlines.watch(block, 0.0)
