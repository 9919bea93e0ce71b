"""What follows a commit: listeners are told, the claimer learns when a retry is due, and the figures count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from steve._engine.events.event import Event, cancelled_event
from steve._engine.events.listeners import Listeners
from steve._engine.figures.figures import Figures
from steve._engine.records.records import Records
from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve.job import Job, Progress


class AfterCommit(NamedTuple):
    """What keeps something about the runs that are settled."""

    records: Records
    figures: Figures


class EventsPort(Protocol):
    """The dispatcher, as the settler's thread sees it."""

    def put(self, event: Event) -> None: ...

    def end(self) -> None:
        """No event comes after this."""

    def is_full(self, seconds: float = 0.0) -> bool:
        """Whether too many events wait, after a wait of so many seconds at most."""


class Commits:
    """Implements `CommitPort`. It also tells the listeners of jobs that ended in a rescue, or that have expired."""

    def __init__(
        self,
        *,
        process: str,
        expect: Callable[[str, float], None],
        listeners: Listeners,
        dispatcher: EventsPort,
        doubt_tables: Callable[[], None],
        after: AfterCommit,
    ) -> None:
        """`expect(queue, seconds)`: a job of this queue will be due in so many seconds."""
        self._process = process
        self._expect = expect
        self._listeners = listeners
        self._dispatcher = dispatcher
        self._doubt_tables = doubt_tables
        self._records = after.records
        self._figures = after.figures

    def on_begun(self, event: Event) -> None:
        self._dispatcher.put(event)

    def on_settled(self, verdict: Verdict, settled: Settled | None) -> None:
        if verdict.due_in is not None:
            self._expect(verdict.job.queue, verdict.due_in)
        progress = self._records.settled(verdict.job) if self._records.ended else None
        if settled is not None:  # None: no listener wanted to know when the statement was sent
            self._tell(self._process, verdict, settled, progress)

    def on_group_settled(self, verdicts: Sequence[Verdict]) -> None:
        self._figures.settled(verdicts)

    def on_rescued(self, process: str, verdict: Verdict, settled: Settled) -> None:
        """`process`: the name of the process that held the job."""
        self._figures.crashed(verdict)
        if verdict.is_final:
            self._tell(process, verdict, settled)

    def on_expired(self, verdict: Verdict, settled: Settled) -> None:
        """The job never began, and this process has cancelled it."""
        self._figures.settled([verdict])
        self._tell(self._process, verdict, settled)

    def on_cancelled(self, job: Job) -> None:
        """A call has cancelled this job before it ran."""
        event = cancelled_event(job, self._process)
        if event.verdict is not None and self._listeners.want(event.verdict):
            self._dispatcher.put(event)

    def is_full(self, seconds: float = 0.0) -> bool:
        """Whether more events wait for slow listeners than there should be, after a wait of so many seconds at most."""
        return self._dispatcher.is_full(seconds)

    def _tell(self, process: str, verdict: Verdict, settled: Settled, progress: Progress | None = None) -> None:
        if self._listeners.want(verdict):
            self._dispatcher.put(Event(verdict.job, process, verdict, settled, progress))

    def on_dropped(self) -> None:
        self._doubt_tables()

    def on_all_settled(self) -> None:
        self._dispatcher.end()
