"""What works between one `start()` and the end after it: the rooms, their threads and their connections, wired here.

A job's walk, left to right; each arrow is a queue that nobody waits at:

    Hand --Claimed--> Crew (run, judge) --Verdict--> Pile, Settler --Event--> Dispatcher, Listeners

Who ends whom, in the same order: the last worker gives back the hand and closes the pile; the settler settles the rest and
closes the dispatcher; the dispatcher tells the rest, and ends the notifier, the periodic threads and the connections.

Workers, settler and dispatcher are non-daemon: an interpreter that exits without `stop()` waits for what was begun to be
committed and told. The others are daemons, and end when nobody needs them: the notifier; the heartbeat, which goes on while a
last handler runs; the maintenance, which never waits for the database, so that it gives back the hand in time; and the scanner,
which does what may take long there: full scans while they are slow, and the rescue of other processes' jobs; and the watcher,
which tells whoever asked for it when all this no longer works.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from . import _json
from ._alive import Alive
from ._claim import Claim, Hand
from ._connection import Connection, Line
from ._exit import interpreter
from ._health import Health, Idle, Watch, judged
from ._log import logger
from ._maintenance import Duty, Maintenance
from ._notifier import Notifier
from ._outage import Outage
from ._pool import Lines
from ._processes import Processes
from ._reconcile import Held
from ._settle import Pile, Settler
from ._settlement import Settlement
from ._store import Claims, Demand, Store
from ._threads import Threads, aside
from ._worker import Crew, log_stacks
from .errors import SchemaError, Trouble, Unknown
from .handlers import Handlers
from .job import Job, Settled, Status
from .listeners import Dispatcher, Event, Listeners
from .outcome import Verdict
from .settings import (
    HAND_AGE,
    LOG_SECONDS,
    LOST_CHECK,
    ONCE_MOST,
    PARTING_SECONDS,
    REPLACE_SECONDS,
    SCAN_CHECK,
    WARN_SCAN,
    WATCH_SECONDS,
    Settings,
)


@dataclass(frozen=True, slots=True)
class StopReport:
    """What `stop()` found when it returned."""

    complete: bool
    """Everything that was begun is finished, committed and told."""
    still_running: tuple[Job, ...] = ()
    """Jobs whose handlers had not returned in time."""
    returned: int = 0
    """Jobs that were claimed but not begun, and given back."""
    unsettled: int = 0
    """Outcomes that are not in the database yet."""
    untold: int = 0
    """Events that listeners have not heard yet."""
    seconds: float = 0.0


StopReport.__module__ = "steve"


class Engine:
    """One run of a manager. `own_threads`: marks the threads of all the manager's runs."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        handlers: Handlers,
        listeners: Listeners,
        workers: int,
        lines: Lines,
        own_threads: threading.local,
        watch: Watch,
    ) -> None:
        self.stopping = False
        host = socket.gethostname().encode("ascii", "backslashreplace").decode()  # a database in LATIN1 holds no other
        self.process = f"{host}:{os.getpid()}"
        self._store = store
        self._settings = settings
        self._listeners = listeners
        self._lines = lines
        self._warned = False
        self._own_threads = own_threads
        self._threads = Threads(workers, own_threads)
        self._watch = watch
        self._was_ok = True
        self._restarted = 0
        self._parting_at = inf
        self._once_put = 0  # events, when it was last looked for on_done= of others
        self._ended = threading.Event()
        processes = Processes(store.schema)
        process_id = secrets.randbits(62)
        registered = lines.heartbeat.call(
            lambda c: processes.register_process(c, process_id, self.process, settings.lease, lines.heartbeat.session(c))
        )
        self._process_id = registered.id
        if lines.claim.pooler is not lines.heartbeat.pooler and not lines.claim.call(
            lambda c: processes.is_registered(c, process_id)
        ):
            lines.heartbeat.call(lambda c: store.deregister_process(c, process_id))
            raise SchemaError("listen_db leads to another database than db: the row that this process wrote there is not here")
        if registered.restricted and (problems := lines.claim.call(lambda c: store.check_access(c, worker=True))):
            self._deregister()
            raise SchemaError(f'schema "{settings.schema}" cannot be worked on: {"; ".join(problems)}')
        outage = self._outage = Outage()
        self._dispatcher = Dispatcher(listeners, self._on_all_told)
        self._pile = Pile()
        self._settler = Settler(
            self._pile,
            Settlement(lines.settle, store, self.process, settings.notify, listeners.want),
            self._on_settled,
            lambda: self._alive.doubt_tables(),
            self._dispatcher.put,
            outage,
            self._dispatcher.end,
        )
        self._hand = Hand(
            self._claim_on(lines.claim),
            lambda answered: lines.claim.call(lambda c: store.find_claimed(c, self._process_id, answered)),
            self._pile.put,
            handlers,
            outage,
            settings.poll_interval,
            workers,
        )
        self._maintenance = Maintenance(
            [
                Duty("give back an old hand", HAND_AGE / 4, self._give_back_old),
                Duty("part from a database that does not answer", PARTING_SECONDS / 8, self._part),
                Duty("replace dead workers", REPLACE_SECONDS, self._replace_dead),
            ],
            self._stop_now,
        )
        self._crew = Crew(
            workers,
            self.process,
            self._threads.submit,
            self._hand,
            self._pile,
            handlers,
            listeners,
            self._dispatcher,
            self.ask_to_stop,
            self._on_last_worker,
            settings.max_result_bytes,
        )
        self._alive = Alive(
            settings,
            self.process,
            registered,
            lines,
            outage,
            self._crew,
            self._held,
            self._on_rescued,
        )
        self._scanner = Maintenance(
            [
                Duty("look everywhere", SCAN_CHECK, self._scan_when_slow),
                Duty("rescue", SCAN_CHECK, self._rescue),
                Duty("take up what was lost", LOST_CHECK, self._crew.take_up_lost),
                Duty("forget who waits for others", settings.lease, self._forget_once),
            ]
        )
        self._watcher = Maintenance([Duty("watch the health", WATCH_SECONDS, self._watch_health)])
        self._notifier = (
            Notifier(self._listen, self._hear, self._lines.listen.close, self._hand.wake, self._hand.stand_back_seconds, outage)
            if settings.notify
            else None
        )

    def start(self) -> None:
        """Raises RuntimeError where the system starts no more threads. Whatever it raises, nothing of this run is left then."""
        try:
            interpreter.ends_after(self)
            self._threads.start_workers()
            for name, run, daemon in self._loops():
                self._threads.loop(name, run, daemon=daemon)
            self._crew.start()
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """It could not be started as a whole."""
        self.ask_to_stop()
        self._crew.stop()
        # What has got no thread comes to its end on this one; each is ended by one before it.
        for name, run, _ in self._loops():
            if not self._threads.has_loop(name):
                run()
        self._ended.wait()

    def _loops(self) -> list[tuple[str, Callable[[], None], bool]]:
        """Name, function, and whether it is a daemon."""
        loops: list[tuple[str, Callable[[], None], bool]] = [
            ("steve-settler", self._settler.run, False),
            ("steve-dispatcher", self._dispatcher.run, False),
            ("steve-maintenance", self._maintenance.run, True),
            ("steve-scanner", self._scan, True),
            ("steve-heartbeat", self._alive.heartbeat.run, True),
            ("steve-watcher", self._watcher.run, True),
        ]
        if self._notifier is not None:
            loops.append(("steve-notifier", self._notifier.run, True))
        return loops

    # -- what the manager asks ------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """The handlers have changed."""
        self._hand.wake(everywhere=True)

    def ask_to_stop(self) -> None:
        """Returns at once; takes no lock and logs nothing: for signal handlers."""
        self.stopping = True
        self._hand.close()  # here, not on another thread: from now on nothing is claimed
        self._maintenance.ask_to_stop()

    def is_own_thread(self) -> bool:
        """Whether the calling thread is one of the manager's, which the end of an engine waits for; or works for a handler,
        which waits for it, in a context that was copied from the handler's (asyncio.to_thread)."""
        return hasattr(self._own_threads, "mark") or self._crew.signals.are_of_current_run()

    def health(self) -> Health:
        """Without asking anybody: cheap, and never waiting."""
        now = time.monotonic()
        lines = self._lines._asdict()
        names = ["claim", "settle", "heartbeat", *(["listen"] if self._notifier is not None else [])]
        health = Health(
            ok=True,
            running=True,
            dead_threads=tuple(self._threads.dead()),
            restarted_threads=self._threads.restarted + self._crew.broken,
            answered={name: at and now - at for name in names for at in [lines[name].answered_at]},
            listening=None if self._notifier is None or self._lines.listen.pooler.found else self._notifier.listening,
            heartbeat_age=self._alive.heartbeat.age(),
            oldest_unsettled=self._settler.oldest(),
            scan_seconds=self._hand.marks.scan_seconds,
        )
        failing, seconds = self._outage.now()
        idle = Idle(0.0, 0.0, 0.0)
        if len(self._crew.running) >= self._threads.workers:  # nobody claims while all are busy: what failed then says nothing
            failing = [loop for loop in failing if loop != "claiming"]
        else:
            unclaimed = now - max(self._hand.claimed_at, self._crew.freed_at)
            alone = now - max(self._hand.alone_since, self._crew.freed_at) if self._hand.last_chance else 0.0
            idle = Idle(unclaimed, alone, unclaimed if self._dispatcher.brake.check() else 0.0)
        return judged(self._settings, health, failing, seconds, idle, self._alive.access)

    def has_ended(self) -> bool:
        return self._ended.is_set()

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """At most so long; whether it has come."""
        return self._ended.wait(seconds)

    def stop(self, timeout: float | None) -> StopReport:
        """Ask, wait for the end, at most so many seconds, and report."""
        began = time.monotonic()
        self.ask_to_stop()
        complete = not self.is_own_thread() and self._ended.wait(timeout)
        still_running = list(self._crew.running.values())
        if not complete and not self.is_own_thread():
            aside(lambda: log_stacks(still_running), LOG_SECONDS)
        return StopReport(
            complete=complete and not self._settler.waiting(),
            still_running=tuple(one.job.job(_json.decode_or_text, Status.RUNNING) for one in still_running),
            returned=self._hand.returned,
            unsettled=self._settler.waiting(),
            untold=self._dispatcher.waiting(),
            seconds=time.monotonic() - began,
        )

    def leave_to_parent(self) -> None:
        """In the child of a fork, where none of its threads are."""
        self._lines.leave_to_parent()

    # -- the end, in the order of the walk ------------------------------------------------------------------------------

    def _stop_now(self) -> None:
        """On the maintenance thread: the workers may all be busy, and the hand must not wait for them."""
        self._parting_at = time.monotonic() + PARTING_SECONDS
        self._crew.stop()
        self._hand.give_back()

    def _on_last_worker(self) -> None:
        self._settler.last_chance()  # first: the end of the hand may have to wait for the database, too, though not as long
        self._hand.end()  # what a claim brought that was under way
        self._pile.end()
        self._threads.end_workers()

    def _on_all_told(self) -> None:
        try:
            if self._notifier is not None:
                self._notifier.end()
            self._scanner.end()
            self._watcher.end()
            self._alive.heartbeat.end()  # before the row is deleted: a heartbeat would insert it again
            # Else it may hold jobs, and its row says which process does. Where the database is away the row stays, too: the
            # session is gone, and others see that.
            if not self._settler.waiting() and not self._hand.in_doubt() and self._outage.now()[1] < PARTING_SECONDS / 2:
                self._deregister()
        except Exception as error:  # whatever it is, this is the end: the loops that are told of it must not wait
            logger.warning("this process could not be deregistered: %s", error)
        finally:
            self._maintenance.end()  # not before: it cuts what has no answer
            self._lines.claim.close()
            self._lines.settle.close()
            self._ended.set()

    def _deregister(self) -> None:
        def deregister(connection: Connection) -> None:
            self._store.deregister_process(connection, self._process_id)

        try:
            self._lines.settle.call(deregister)
        except Unknown:  # it may have broken long ago, when nothing was to be settled: on a new one
            self._lines.settle.call(deregister)

    # -- between the rooms ----------------------------------------------------------------------------------------------

    def _on_settled(self, verdict: Verdict, settled: Settled | None) -> None:
        """After the commit, on the settler's thread. Who began to listen while it was under way hears from the next one on."""
        if verdict.status is Status.PENDING and verdict.delay is not None:
            self._hand.expect(verdict.delay)
        if settled is not None and self._listeners.want(verdict):
            self._dispatcher.put(Event(verdict.job, self.process, verdict, settled))

    def _scan(self) -> None:
        self._scanner.run()
        self._lines.scan.close()

    def _scan_when_slow(self) -> None:
        """On the scanner's thread: the full scans that a claim must not wait for."""
        marks = self._hand.marks
        if not marks.slow:
            self._lines.scan.close()
            self._outage.worked("the full scan")
            self._warned = False
        elif not marks.full_scan_in() and not self.stopping:
            try:
                self._crew.look_everywhere(self._claim_on(self._lines.scan))
                if marks.scan_seconds > WARN_SCAN and not self._warned:
                    self._warn_of_horizon(marks.scan_seconds)
                    self._warned = True
            except Trouble as error:
                self._outage.failed("the full scan", error)
            else:
                self._outage.worked("the full scan")

    def _replace_dead(self) -> None:
        self._crew.resubmit(self._threads.replace_dead())
        before, self._restarted = self._restarted, self._threads.restarted + self._crew.broken
        if self._restarted > before:  # whoever was broken off may have had a job in his hands
            self._alive.doubt_everything()

    def _watch_health(self) -> None:
        """On a thread of its own: what is told may take its time."""
        health = self.health()
        if health.ok is not self._was_ok and not self.stopping:
            self._was_ok = health.ok
            if health.ok:
                logger.warning("healthy again")
            else:
                logger.error("not healthy: %s", "; ".join(health.problems))
            self._watch.tell(health)

    def _rescue(self) -> None:
        self._alive.work(stopping=self.stopping)

    def _on_rescued(self, process: str, verdict: Verdict, settled: Settled) -> None:
        """A job that a rescue failed: after the commit, on the scanner's thread."""
        if self._listeners.want(verdict):
            self._dispatcher.put(Event(verdict.job, process, verdict, settled))

    def _held(self) -> Held:
        """In the order in which a job moves, so that none is passed by but one that is being drawn."""
        at_hand = {(job.id, job.lease_no) for job in self._hand.jobs()}
        return Held(at_hand | set(self._crew.claims()) | self._settler.claims(), *self._pile.progress())

    def _part(self) -> None:
        """On the maintenance thread, once the manager stops: where nothing runs and no outcome waits, nothing is owed that
        would be worth waiting for a statement that has no answer."""
        if time.monotonic() >= self._parting_at and not self._crew.running and not self._settler.waiting():
            self._parting_at = time.monotonic() + PARTING_SECONDS
            for line in (self._lines.claim, self._lines.scan, self._lines.settle):
                line.cut()

    def _forget_once(self) -> None:
        """On the scanner's thread: on_done= of jobs that another process has finished."""
        uids = self._listeners.once()[:ONCE_MOST]  # the oldest
        put, told = self._dispatcher.progress()
        if told < self._once_put:
            return  # an event that was put by the last look waits to be told
        self._once_put = put
        if uids:
            with suppress(Trouble):
                found = self._lines.scan.call(lambda c: self._store.find_open(c, uids))
                self._listeners.forget_over(set(uids) - found)

    def _warn_of_horizon(self, seconds: float) -> None:
        holders = self._lines.scan.call(self._store.find_horizon)
        names = "; ".join(f"{name}{'' if age is None else f', for {age:.0f} s'}" for name, age in holders[:5])
        logger.warning("looking through the queue took %.2f s: dead rows cannot be removed, held by %s", seconds, names or "?")

    def _give_back_old(self) -> None:
        self._hand.give_back(HAND_AGE)

    def _claim_on(self, line: Line) -> Claim:
        queues, max_crashes = self._settings.queues, self._settings.max_crashes

        def claim(demand: Demand) -> Claims:
            return line.call(lambda c: self._store.claim_jobs(c, self._process_id, queues, max_crashes, demand))

        return claim

    def _listen(self) -> int | None:
        def listen(connection: Connection) -> int | None:
            return connection.fileno() if self._store.listen(connection) else None

        return None if self._lines.listen.pooler.found else self._lines.listen.call(listen)

    def _hear(self) -> list[str]:
        return self._lines.listen.call(self._store.hear)


def stop_all(engines: Sequence[Engine], timeout: float | None) -> StopReport:
    """The last engine of a manager, and those of earlier starts whose handlers have not returned: one report of all."""
    if not engines:
        return StopReport(complete=True)
    began = time.monotonic()
    reports = []
    for engine in engines:
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
        reports.append(engine.stop(left))
    return StopReport(
        complete=all(report.complete for report in reports),
        still_running=tuple(job for report in reports for job in report.still_running),
        returned=sum(report.returned for report in reports),
        unsettled=sum(report.unsettled for report in reports),
        untold=sum(report.untold for report in reports),
        seconds=time.monotonic() - began,
    )
