"""The thread of the waits. It announces that somebody waits, hears that jobs have ended, and looks which ones.

An outage of the database ends no wait: the thread tries to reach it again, and looks at all jobs as soon as it can. A wait ends
with an error if the tables are wrong, if the job's row cannot be read, or if the manager has ended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from steve._database.backoff import Backoff
from steve._database.failures import DatabaseFailure, Misconfigured, Refused
from steve._database.statements.audit import Entry
from steve._database.statements.waits import Ended
from steve._model.tuning import Tuning
from steve._runtime.log import logger
from steve._runtime.socket_wait import SocketWait
from steve._waits.book import Book, Wait
from steve._waits.pace import Pace
from steve.errors import NotRunning, SteveError, Unavailable
from steve.job import Job

ENDED = "the manager was stopped before job {} has ended: it may end later, in another process"
BUGS_MOST = 10
"""After so many unexpected failures in a row all waits fail."""
CANCEL_AGAIN = 0.1
"""After so many seconds a job is tried again that was to be cancelled and was locked."""


class Cancel(NamedTuple):
    """Somebody gave a future up: cancel the job if it has not begun."""

    uid: UUID
    entry: Entry | None


class WaitPort(Protocol):
    """What the thread asks of the database: `DatabaseWaits`. The methods raise DatabaseFailure and SteveError."""

    @property
    def listens(self) -> bool: ...
    def is_connected(self) -> bool: ...
    def listen(self) -> int | None: ...
    def announce(self, *, notify: bool) -> None: ...
    def hear(self) -> bool: ...
    def find_ended(self, uids: Collection[UUID]) -> Ended: ...
    def cancel(self, uids: Sequence[UUID], entry: Entry | None, *, told: bool) -> tuple[list[Job], list[UUID]]: ...
    def explain(self) -> None: ...
    def cut(self) -> None: ...
    def close(self) -> None: ...
    def leave_to_parent(self) -> None: ...


class ManagerPort(Protocol):
    """The part of the manager that runs jobs. From any thread."""

    stops: int
    stop_asked_at: float

    def has_ended(self, seconds: float) -> bool: ...

    def wants_cancelled(self) -> bool: ...

    def on_cancelled(self, jobs: Sequence[Job]) -> None: ...


class WaitLoop:
    def __init__(self, *, database: WaitPort, manager: ManagerPort, retire: Callable[[WaitLoop], bool], tuning: Tuning) -> None:
        """`retire(loop)`: whether this thread may end, because nobody waits. After it has returned True, nobody adds to
        `inbox`."""
        self.inbox: deque[Wait | Cancel] = deque()
        self.ended = threading.Event()
        self.ident: int | None = None
        self._database = database
        self._manager = manager
        self._retire = retire
        self._tuning = tuning
        self._book = Book(tuning)
        self._pace = Pace(tuning)
        self._backoff = Backoff(tuning)
        self._bell = SocketWait()
        self._cancels: list[Cancel] = []
        self._cancel_at = 0.0
        self.is_asked_to_end = False
        self._is_hinted = False
        self._is_away = False
        self._retry_at = 0.0
        self._bugs = 0
        self._descriptor: int | None = None
        self._is_prepared = False
        self._announced_at = float("-inf")
        self._busy_at = time.monotonic()

    # -- from any thread ------------------------------------------------------------------------------------------------

    def put(self, one: Wait | Cancel) -> None:
        self.inbox.append(one)
        self._bell.wake()

    def ask_to_stop(self) -> None:
        self.is_asked_to_end = True
        self._bell.wake()

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """Wait until all waits have ended, after `ask_to_stop()`. If the database does not answer, they end without it."""
        if self.ident == threading.get_ident():  # called by a function of the user's, on this thread
            return False
        if not self.ended.wait(self._tuning.shutdown_grace if seconds is None else seconds):
            self._database.cut()
            self.ended.wait(self._tuning.shutdown_grace)
        return self.ended.is_set()

    def leave_to_parent(self) -> None:
        """In the child of a fork, where this thread does not exist."""
        self._database.leave_to_parent()

    # -- the thread -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self.ident = threading.get_ident()
        try:
            while True:
                try:
                    if self._turn():
                        break
                except BaseException as error:  # whatever was raised into this thread: somebody waits for it
                    logger.exception("the thread of the waits failed; it goes on")
                    self._on_bug(error)
        finally:
            self._database.close()
            self.ended.set()
            self._bell.close()

    def _turn(self) -> bool:
        """Does what is due, and waits for the next cause. Returns whether the thread has ended."""
        self._bell.rearm()
        is_over = self.is_asked_to_end  # read before the inbox, to which nobody adds after that
        self._take_inbox()
        now = time.monotonic()
        if is_over:
            self._give_up(list(self._book.waits()))
            return True
        self._end_what_cannot_end(now)
        if self._book or self._cancels:
            self._busy_at = now
        elif now - self._busy_at >= self._tuning.wait_linger and self._retire(self):
            return True
        if now >= self._retry_at:
            try:
                self._work(now)
            except DatabaseFailure as error:
                self._on_failure(error)
            except SteveError as error:  # the user's pool cannot be used any more
                self._book.fail(error)
                self._cancels.clear()
        self._bell.wait(self._descriptor, max(0.0, self._seconds(time.monotonic())))
        return False

    def _take_inbox(self) -> None:
        while self.inbox:
            one = self.inbox[0]
            if isinstance(one, Cancel):
                self._cancels.append(one)
            else:
                if not self._book:
                    self._pace.begin()
                self._book.add(one, time.monotonic())
            self.inbox.popleft()  # only now, in case something breaks this thread off

    def _work(self, now: float) -> None:
        """Raises DatabaseFailure."""
        if not self._is_prepared or not self._database.is_connected():
            if not self._book and not self._cancels:
                return
            self._prepare()
        if self._database.hear():
            self._is_hinted = True
        if self._book and now >= self._announced_at + self._tuning.wait_renewal:
            self._announce(notify=now >= self._announced_at + self._tuning.wait_announced)
        if self._cancels and now >= self._cancel_at:
            self._send_cancels()
        if self._book and (self._is_hinted or self._book.next_due() <= now) and not self._pace.seconds_to_next(now):
            self._look(now)
        if self._is_away:
            self._is_away = False
            logger.info("jobs can be waited for again")
        self._bugs = 0
        self._backoff.reset()

    def _prepare(self) -> None:
        """Announce before the first look: what is written shows that the server is the primary."""
        self._is_prepared = False
        self._descriptor = self._database.listen()
        self._announce(notify=True)
        self._is_hinted = True  # notifications that were sent before are lost
        self._is_prepared = True

    def _announce(self, *, notify: bool) -> None:
        self._database.announce(notify=notify)
        self._announced_at = time.monotonic()

    def _seconds(self, now: float) -> float:
        """How long there is nothing to do, unless the bell rings or a notification comes."""
        if not self._book and not self._cancels:
            return self._busy_at + self._tuning.wait_linger - now
        if now < self._retry_at:
            return self._retry_at - now
        seconds = self._announced_at + self._tuning.wait_renewal - now
        if self._cancels:
            seconds = min(seconds, self._cancel_at - now)
        if self._book:
            due_in = 0.0 if self._is_hinted else self._book.next_due() - now
            seconds = min(seconds, max(due_in, self._pace.seconds_to_next(now)))
        return seconds

    # -- looking --------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        self._book.drop_done()
        uids = self._book.due(now, all=self._is_hinted)
        was_hinted, self._is_hinted = self._is_hinted, False
        try:
            self._look_at(uids)
        except BaseException:
            self._is_hinted = was_hinted
            raise
        self._pace.looked(now, time.monotonic())

    def _look_at(self, uids: Sequence[UUID]) -> None:
        try:
            ended = self._database.find_ended(uids)
        except Refused as error:
            flaw: Exception = error
        except (DatabaseFailure, SteveError):
            raise
        except Exception as error:
            flaw = error
        else:
            self._book.found(uids, ended, time.monotonic())
            return
        # One of the rows cannot be read.
        if len(uids) > 1:
            self._look_at(uids[: len(uids) // 2])
            self._look_at(uids[len(uids) // 2 :])
        else:
            text = f"job {uids[0]} cannot be read: {type(flaw).__name__}"
            self._book.fail(SteveError(text), [wait for wait in self._book.waits() if wait.uid == uids[0]])

    def _send_cancels(self) -> None:
        """Those that somebody does by name are sent one by one, and all others together."""
        now = time.monotonic()
        told = self._manager.wants_cancelled()
        groups = [[one] for one in self._cancels if one.entry is not None]
        groups.append([one for one in self._cancels if one.entry is None])
        for group in filter(None, groups):
            try:
                cancelled, locked = self._database.cancel([one.uid for one in group], group[0].entry, told=told)
            except (Misconfigured, Refused) as error:
                logger.warning("the jobs of %d futures that were given up cannot be cancelled: %s", len(group), error)
                cancelled, locked = [], []
            self._cancels = [one for one in self._cancels if one not in group or one.uid in locked]
            self._manager.on_cancelled(cancelled)
        self._cancel_at = now + CANCEL_AGAIN

    # -- failures -------------------------------------------------------------------------------------------------------

    def _on_failure(self, error: DatabaseFailure) -> None:
        if isinstance(error, Misconfigured):
            try:
                self._database.explain()
            except Unavailable:
                pass
            except SteveError as explained:
                self._book.fail(explained)
                self._cancels.clear()
        if not self._is_away and self._book:
            self._is_away = True
            logger.warning("jobs cannot be waited for at present: %s", error)
        self._begin_anew()

    def _on_bug(self, error: BaseException) -> None:
        """Something failed that never should. If it does again and again, nobody waits in vain."""
        self._bugs += 1
        if self._bugs >= BUGS_MOST:
            self._book.fail(SteveError(f"jobs cannot be waited for: {type(error).__name__}; the log has more"))
            self._cancels.clear()
            self._bugs = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Connect again, after a pause."""
        self._is_prepared = False
        self._descriptor = None
        self._database.close()
        self._retry_at = time.monotonic() + self._backoff.next()

    # -- ends -----------------------------------------------------------------------------------------------------------

    def _end_what_cannot_end(self, now: float) -> None:
        """The manager was asked to stop since some waits began."""
        manager = self._manager
        stopped = [wait for wait in self._book.waits() if wait.stops != manager.stops]
        if stopped and not manager.has_ended(0):
            is_over = now - manager.stop_asked_at >= self._tuning.wait_stopping
            stopped = [wait for wait in stopped if wait.is_own and is_over]
        if stopped:
            self._give_up(stopped)

    def _give_up(self, waits: Sequence[Wait]) -> None:
        """The manager has ended, and these waits end with it. Their jobs may have ended just before."""
        try:
            if self._is_prepared and waits:
                self._look_at(self._book.due(0.0, all=True))
            if self._is_prepared and self._cancels:
                self._send_cancels()
        except (DatabaseFailure, SteveError):
            pass
        for wait in waits:
            wait.future.fail(NotRunning(ENDED.format(wait.uid)))
        self._book.drop_done()
