"""The thread of the waits. It announces that somebody waits, hears that jobs have ended, and looks which ones.

An outage of the database ends no wait: the thread tries to reach it again, and looks at all jobs as soon as it can. A wait ends
with an error if the tables are wrong, if the job's row cannot be read, or if the manager has ended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol
from uuid import UUID

from steve._database.failures import DatabaseFailure, Misconfigured, Refused
from steve._model.tuning import Tuning
from steve._runtime.log import logger
from steve._runtime.socket_wait import SocketWait
from steve._waits.book import EVERYTHING, Book, Wait
from steve._waits.cancels import Cancel, Cancels, ListenerPort
from steve._waits.pace import Pace
from steve._waits.session import Session, WaitPort
from steve.errors import NotRunning, SteveError, Unavailable

ENDED = "the manager was stopped before job {} has ended: it may end later, in another process"
BUGS_MOST = 10
"""After so many unexpected failures in a row all waits fail."""


class ManagerPort(ListenerPort, Protocol):
    """The engines of the manager: `ForCallers`. From any thread."""

    @property
    def stops(self) -> int: ...
    @property
    def stop_asked_at(self) -> float: ...
    def has_ended(self) -> bool: ...


class WaitLoop:
    def __init__(self, *, database: WaitPort, manager: ManagerPort, retire: Callable[[WaitLoop], bool], tuning: Tuning) -> None:
        """`retire(loop)`: whether this thread may end, because nobody waits. After it has returned True, nobody adds to
        `inbox`."""
        self.inbox: deque[Wait | Cancel] = deque()
        self.thread = threading.Thread(target=self._run, name="steve-waits", daemon=True)
        self._database = database
        self._manager = manager
        self._retire = retire
        self._tuning = tuning
        self.book = Book(tuning)
        self.cancels = Cancels(database=database, listeners=manager)
        self.session = Session(database=database, tuning=tuning)
        self._pace = Pace(tuning)
        self._bell = SocketWait()
        # Protects the next, and what is added to the inbox: nothing is added that nobody takes. It may be taken twice, because
        # a signal handler may give a future up.
        self._gate = threading.RLock()
        self._is_asked_to_end = False
        self._sleeps_until = inf  # by time.monotonic(); inf also while this thread does not sleep
        self._bugs = 0
        self._busy_at = time.monotonic()

    # -- from any thread ------------------------------------------------------------------------------------------------

    def put(self, one: Wait | Cancel) -> bool:
        """Returns False if this thread is ending."""
        with self._gate:
            if self._is_asked_to_end:
                return False
            self.inbox.append(one)
        # A thousand waits that begin together need not wake the thread a thousand times. It takes the inbox after it has set
        # this to infinity, so it misses nothing.
        if isinstance(one, Cancel) or self._sleeps_until > time.monotonic() + self._tuning.wait_first:
            self._bell.wake()
        return True

    def ask_to_stop(self) -> None:
        with self._gate:
            self._is_asked_to_end = True
        self._bell.wake()

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """Wait until all waits have ended, after `ask_to_stop()`. If the database does not answer, they end without it."""
        thread = self.thread
        if thread is threading.current_thread():  # called by a function of the user's, on this thread
            return False
        if thread.ident is None:  # the system has started no more threads
            return True
        thread.join(self._tuning.shutdown_grace if seconds is None else seconds)
        if thread.is_alive():
            self._database.cut()
            thread.join(self._tuning.shutdown_grace)
        return not thread.is_alive()

    def leave_to_parent(self) -> None:
        """In the child of a fork, where this thread does not exist."""
        self._database.leave_to_parent()

    # -- the thread -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                try:
                    if self._turn():
                        break
                except BaseException as error:  # whatever was raised into this thread: somebody waits for it
                    logger.exception("the thread of the waits failed; it goes on")
                    self._bugs += 1
                    if self._bugs >= BUGS_MOST:
                        text = f"jobs cannot be waited for: {type(error).__name__}; the log has more"
                        self._fail_all(SteveError(text))
                    self.session.begin_anew()
        finally:
            self._database.close()
            self._bell.close()

    def _turn(self) -> bool:
        """Does what is due, and waits for the next cause. Returns whether the thread has ended."""
        self._sleeps_until = inf
        self._bell.rearm()
        is_over = self._is_asked_to_end  # read before the inbox, to which nobody adds after that
        self._take_inbox()
        now = time.monotonic()
        if is_over:
            self._give_up(list(self.book.waits()))
            return True
        self._end_what_cannot_end(now)
        if self._is_needed():
            self._busy_at = now
        elif now - self._busy_at >= self._tuning.wait_linger and self._retire(self):
            return True
        if now >= self.session.retry_at:
            try:
                self._work(now)
            except DatabaseFailure as error:
                self._on_failure(error)
            except SteveError as error:  # the user's pool cannot be used any more
                self._fail_all(error)
        seconds = max(0.0, self._seconds(time.monotonic()))
        self._sleeps_until = time.monotonic() + seconds
        self._bell.wait(self.session.descriptor, seconds)
        return False

    def _is_needed(self) -> bool:
        return bool(self.book or self.cancels.waiting)

    def _take_inbox(self) -> None:
        while self.inbox:
            one = self.inbox[0]
            if isinstance(one, Cancel):
                self.cancels.waiting.append(one)
            else:
                if not self.book:
                    self._pace.begin()
                created_at = (one.uid.int >> 80) / 1000  # if it is a UUIDv7; otherwise that is long ago, or still to come
                age = time.time() - created_at if created_at > self.session.listens_since else inf
                self.book.add(one, time.monotonic(), age)
            self.inbox.popleft()  # only now, in case something breaks this thread off

    def _work(self, now: float) -> None:
        """Raises DatabaseFailure."""
        self.book.hear(self.session.refresh(now, somebody_waits=self._is_needed()), now)
        if not self.cancels.seconds_to_next(now):
            self.cancels.send(now)
        self._look()
        if self._is_needed() and self.session.is_to_announce(now):
            # After the first look, since it waits for the commits of others that notify.
            self.book.hear(self.session.announce(now), now)
            self._look()
        self._bugs = 0
        self.session.worked()

    def _seconds(self, now: float) -> float:
        """How long there is nothing to do, unless the bell rings or a notification comes."""
        if not self._is_needed():
            return self._busy_at + self._tuning.wait_linger - now
        if now < self.session.retry_at:
            return self.session.retry_at - now
        due_in = 0.0 if self.book.hints and self.book else self.book.next_due() - now
        look_in = max(due_in, self._pace.seconds_to_next(now))
        return min(self.session.seconds_to_renewal(now), self.cancels.seconds_to_next(now), look_in)

    # -- looking --------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look if a look is due. Raises DatabaseFailure."""
        now = time.monotonic()  # to connect and to announce may have taken long, which is no part of the look
        if not self.book or not (self.book.hints or self.book.next_due() <= now) or self._pace.seconds_to_next(now):
            return
        self.book.drop_done()
        hints = self.book.take_hints()
        try:
            look_at(self._database, self.book, self.book.due(now, hints), is_primary=self.session.is_primary)
        except BaseException:
            self.book.hints = hints
            raise
        self._pace.looked(now, time.monotonic())

    # -- failures and ends ----------------------------------------------------------------------------------------------

    def _on_failure(self, error: DatabaseFailure) -> None:
        if isinstance(error, Misconfigured):
            try:
                self._database.explain()
            except Unavailable:
                pass
            except SteveError as explained:
                self._fail_all(explained)
        self.session.failed(error, somebody_waits=bool(self.book))

    def _fail_all(self, error: SteveError) -> None:
        self.book.fail(error)
        self.cancels.waiting.clear()
        self._bugs = 0

    def _end_what_cannot_end(self, now: float) -> None:
        """The manager was asked to stop since some waits began, or the engine of a handler that waits stops."""
        manager = self._manager
        has_ended = self.book.least_stops != manager.stops and manager.has_ended()
        stopped = [wait for wait in self.book.waits() if wait.stops != manager.stops] if has_ended else []
        if now - manager.stop_asked_at >= self._tuning.wait_stopping:
            stopped += [wait for wait in self.book.waits() if wait.engine is not None and wait.engine.stopping]
        if stopped:
            self._give_up(stopped)

    def _give_up(self, waits: Sequence[Wait]) -> None:
        """The manager has ended, and these waits end with it. Their jobs may have ended just before."""
        try:
            if self.session.is_prepared and waits:
                self.book.drop_done()
                look_at(self._database, self.book, self.book.due(0.0, EVERYTHING), is_primary=self.session.is_primary)
            if self.session.is_prepared and self.cancels.waiting:
                self.cancels.send(time.monotonic())
        except (DatabaseFailure, SteveError):
            pass
        for wait in waits:
            wait.future.fail(NotRunning(ENDED.format(wait.uid)))
        self.book.drop_done()


def look_at(database: WaitPort, book: Book, uids: Sequence[UUID], *, is_primary: bool) -> None:
    """Look which of these jobs have ended. If the rows of some cannot be read, the waits for these alone fail. `is_primary`:
    the server is known to be the primary. Otherwise it is not believed that a job does not exist. Raises DatabaseFailure."""
    try:
        ended = database.find_ended(uids)
    except Refused as error:
        flaw: Exception = error
    except (DatabaseFailure, SteveError):
        raise
    except Exception as error:
        flaw = error
    else:
        if not is_primary:
            uids, ended = [uid for uid in uids if uid not in ended.missing], ended._replace(missing=set())
        book.found(uids, ended, time.monotonic())
        return
    if len(uids) > 1:
        look_at(database, book, uids[: len(uids) // 2], is_primary=is_primary)
        look_at(database, book, uids[len(uids) // 2 :], is_primary=is_primary)
    elif uids:
        text = f"job {uids[0]} cannot be read: {type(flaw).__name__}"
        book.fail(SteveError(text), [wait for wait in book.waits() if wait.uid == uids[0]])
