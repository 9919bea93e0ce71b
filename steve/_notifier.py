"""The thread that hears NOTIFY, on its own connection, and does nothing else: a listener that stops reading for more than
milliseconds would hold back the cleaning up of the whole database.

A notification is a hint: it wakes the hand, which looks for itself. The poll remains for those that are lost.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable

from ._log import logger
from ._outage import Backoff, Outage
from .errors import Trouble
from .settings import PROOF_SECONDS

# An idle process waits anew for each job that others create: poll costs one system call a wait, epoll five, and a descriptor
# that a process may have no more of. One epoll kept for all waits would go on reporting a socket that is closed here and still
# open in the child of a fork.
Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)


class Notifier:
    def __init__(
        self,
        listen: Callable[[], int | None],
        hear: Callable[[], list[str]],
        close: Callable[[], None],
        wake: Callable[[bool], None],
        stand_back_seconds: Callable[[], float],
        outage: Outage,
    ) -> None:
        """`listen` (re)opens the connection if need be and returns its socket's number, None behind a pooler, where nobody can
        listen; `hear` returns what has arrived; `stand_back_seconds()`: for how long to leave it unheard; `wake(everywhere)`
        makes the hand look."""
        self._listen = listen
        self._hear = hear
        self._close = close
        self._wake = wake
        self._stand_back_seconds = stand_back_seconds
        self._outage = outage
        self._backoff = Backoff()
        self._ended = False
        self.listening = False
        # A byte on this pair ends the wait at once.
        self._near_end, self._far_end = socket.socketpair()

    def end(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):  # it has seen the end by itself already
            self._far_end.send(b".")

    def run(self) -> None:
        while not self._ended:
            try:
                descriptor = self._listen()
                if descriptor is None:
                    logger.warning(
                        "no notification comes through the connection pooler: new jobs are found by the poll, and the death of "
                        "this process is noticed when its lease is over; with listen_db, a conninfo that leads to PostgreSQL "
                        "itself, both happen at once"
                    )
                    self._outage.worked("listening")
                    break
                self._outage.worked("listening")
                self._backoff.reset()
                self._wake(True)  # whatever was notified before is lost: look once
                self.listening = True
                while self._wait(descriptor, PROOF_SECONDS):
                    # Before hearing, not before looking: to hear takes a processor, too.
                    if seconds := self._stand_back_seconds():
                        time.sleep(seconds)
                    heard = self._hear()
                    if not heard:  # an idle connection does not notice by itself that the other end is gone or frozen
                        self._listen()
                        heard = self._hear()
                    if heard:
                        self._wake("back" in heard)
            except Trouble as error:
                self.listening = False
                self._outage.failed("listening", error)
                self._wait(None, self._backoff.next())
        self.listening = False
        self._close()
        self._near_end.close()
        self._far_end.close()

    def _wait(self, descriptor: int | None, seconds: float | None) -> bool:
        """Until there is something to hear, or the end; whether it is not the end."""
        with Selector() as selector:
            selector.register(self._near_end, selectors.EVENT_READ)
            if descriptor is not None:
                selector.register(descriptor, selectors.EVENT_READ)
            selector.select(seconds)
        return not self._ended
