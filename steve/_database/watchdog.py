"""Breaks connections that have not answered for too long: one daemon thread for the process, which all managers share.

Keepalives and tcp_user_timeout notice a peer that is gone. Only a clock reveals a peer that acknowledges every byte and answers
none, such as a proxy that hangs, or that has a frozen host behind it. The watchdog watches the statements of the loops, with
more patience for a loop that proves to be slow, and those of the calls that name their jobs. It does not watch migrations and
`fetch_all`, which take longer the larger the tables are.
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

from steve._database.failures import Connection
from steve._runtime.log import logger

T = TypeVar("T")


class Watchdog:
    def __init__(self) -> None:
        # Protects all below; only move data and break connections under it. While a connection is in _deadlines, its socket is
        # its own and not another one that was given the same number: it is taken out before it can be closed.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._deadlines: dict[Connection, float] = {}
        self._is_running = False
        self._wakes_at = 0.0

    def call(self, statement: Callable[[Connection], T], connection: Connection, seconds: float) -> T:
        """Call the statement with the connection, and break the connection if that takes longer than so many seconds."""
        deadline = time.monotonic() + seconds
        with self._lock:
            self._deadlines[connection] = deadline
            start, self._is_running = not self._is_running, True
            if deadline < self._wakes_at:
                self._changed.notify()
        if start:
            self._start()
        try:
            return statement(connection)
        finally:
            with self._lock:
                self._deadlines.pop(connection, None)  # None: in the child of a fork it is not there

    def cut(self, connection: Connection) -> None:
        """Break it now, if a statement is under way on it."""
        with self._lock:
            if connection in self._deadlines:
                _break(connection)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, name="steve-watchdog", daemon=True).start()
        except RuntimeError:  # the interpreter exits: nothing is watched any more
            self._is_running = False

    def _run(self) -> None:
        """Ends when there is nothing to watch: the next call starts another thread."""
        try:
            while self._look():
                pass
        except BaseException:
            self._is_running = False
            raise

    def _look(self) -> bool:
        """Break the connections that are overdue, and wait for the next deadline; False: there is nothing to watch."""
        with self._lock:
            if not self._deadlines:
                self._is_running, self._wakes_at = False, 0.0
                return False
            now = time.monotonic()
            overdue = [connection for connection, deadline in self._deadlines.items() if deadline <= now]
            for connection in overdue:
                self._deadlines[connection] = math.inf
                _break(connection)
            if not overdue:
                self._wakes_at = min(min(self._deadlines.values()), now + IDLE_SECONDS)
                self._changed.wait(self._wakes_at - now)
        if overdue:
            logger.warning("the database has not answered in time: %d connections are cut", len(overdue))
        return True


IDLE_SECONDS = 30.0
"""The thread looks at least so often whether there is anything to watch."""


def _break(connection: Connection) -> None:
    """The thread that waits for the answer reads the end of the stream. The descriptor stays open: it is not ours to close."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


watchdog = Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.__init__)  # type: ignore[misc]
