"""Who hears nothing from the database for too long gets a broken connection instead: one daemon thread for the process.

Keepalives and tcp_user_timeout notice a peer that is gone. One that acknowledges every byte and answers none (a proxy that
hangs, a host that is frozen behind one) only the clock reveals. `_pool` has watched what the loops do, with more patience where
it proves to be slow, and what callers do to jobs they name. Not watched are migrations and `fetch_all`, which may take as long
as the tables are large.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from ._connection import Connection
from ._log import logger
from .settings import ANSWER_SECONDS

T = TypeVar("T")


class Watchdog:
    def __init__(self) -> None:
        # Protects the two below. Whoever uses a connection takes it out before it may be closed: under the lock a connection
        # that is in has its own socket, and not one of somebody else's that got its number.
        self._lock = threading.Lock()
        self._deadlines: dict[Connection, float] = {}
        self._running = False

    def call(self, statement: Callable[[Connection], T], connection: Connection, seconds: float) -> T:
        """What the statement makes of the connection, which is cut after so many seconds, ANSWER_SECONDS at least."""
        with self._lock:
            self._deadlines[connection] = time.monotonic() + seconds
            start, self._running = not self._running, True
        if start:
            self._start()
        try:
            return statement(connection)
        finally:
            with self._lock:
                self._deadlines.pop(connection, None)  # gone in the child of a fork

    def cut(self, connection: Connection) -> None:
        """Now, if a statement is under way on it."""
        with self._lock:
            if connection in self._deadlines:
                _cut(connection)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, name="steve-watchdog", daemon=True).start()
        except RuntimeError:  # the interpreter exits: nobody watches any more
            self._running = False

    def _run(self) -> None:
        """Nobody needs to wake it: what is registered while it sleeps is due after it wakes."""
        try:
            seconds = ANSWER_SECONDS
            while seconds:
                time.sleep(seconds)
                seconds = self._look()
        except BaseException:
            self._running = False  # the next who calls starts another
            raise

    def _look(self) -> float:
        """Cut who is overdue; in how many seconds to look again, 0: there is nobody to watch."""
        with self._lock:
            if not self._deadlines:
                self._running = False
                return 0.0
            now = time.monotonic()
            overdue = [connection for connection, deadline in self._deadlines.items() if deadline <= now]
            for connection in overdue:
                self._deadlines[connection] = math.inf
                _cut(connection)
            seconds = min(ANSWER_SECONDS, max(min(self._deadlines.values()) - now, 0.01))
        if overdue:
            logger.warning(
                "the database has not answered for %g s or more: %d connections are cut", ANSWER_SECONDS, len(overdue)
            )
        return seconds


def _cut(connection: Connection) -> None:
    """Whoever waits for its answer reads the end of the stream. The descriptor stays open: it is not ours to close."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


watchdog = Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.__init__)  # type: ignore[misc]
