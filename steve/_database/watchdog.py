"""Breaks connections that have not answered for too long. All managers of a process share one daemon thread for that.

Keepalives and tcp_user_timeout notice when the other end is gone. But a proxy that hangs, or that has a frozen host behind it,
acknowledges every byte and never answers. Only a clock reveals that.

The watchdog watches the statements of the loops, with more patience for a loop that proves to be slow, and those of callers. It
does not watch `migrate` and `fetch_all`, which may take long on large tables, nor statements on a caller's own connection.
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
        # Protects all attributes below. Under it, only move data and break connections. A connection is taken out of _deadlines
        # before it can be closed, so the number of its socket cannot have been given to another socket.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._deadlines: dict[Connection, float] = {}
        self._is_running = False
        self._wakes_at = 0.0

    def call(self, statement: Callable[[Connection], T], connection: Connection, seconds: float) -> T:
        """Call the statement with the connection, and break the connection if that takes longer than `seconds`."""
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
                self._deadlines.pop(connection, None)  # None: in the child of a fork there is no entry

    def cut(self, connection: Connection) -> None:
        """Break the connection now, if a statement is under way on it."""
        with self._lock:
            if connection in self._deadlines:
                _break(connection)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, name="steve-watchdog", daemon=True).start()
        except RuntimeError:  # at the interpreter's exit nothing is watched any more
            self._is_running = False

    def _run(self) -> None:
        """Runs until there is nothing to watch. The next call starts another thread."""
        try:
            while self._look():
                pass
        except BaseException:
            self._is_running = False
            raise

    def _look(self) -> bool:
        """Break the connections that are overdue, or wait for the next deadline. Returns False if there is nothing to watch."""
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
"""The thread checks at least so often whether there is anything left to watch."""


def _break(connection: Connection) -> None:
    """Shut the socket down, so that the thread that waits for the answer reads the end of the stream. The descriptor stays
    open, because only its owner may close it."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)


watchdog = Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watchdog.__init__)  # type: ignore[misc]
