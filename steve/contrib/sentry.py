"""Sentry: an event for each job that fails for good, and the traces and figures of queues.

    sentry_sdk.init(...)
    instrument(manager)

Each attempt has an isolation scope of its own, so that tags and breadcrumbs of one job are not in the events of another. The
trace goes on from the creation, whose headers travel in `metadata["_sentry"]`.

Only after the commit is it known for sure whether a job has failed for good, because its handler may give up on an error. So an
error of the last attempt is sent at once. Any other is withheld until the job has failed, and forgotten if it has not.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.scope import Scope, use_isolation_scope, use_scope
from sentry_sdk.utils import event_from_exception

from steve import Creation, Fail, Job, JobManager, Run
from steve.contrib._ending import Ending, ending_of

KEY = "_sentry"
"""Where the metadata of a job has the headers of its creation."""

ORIGIN = "auto.queue.steve"

MOST_WITHHELD = 100
"""How many errors are withheld: each has its stack, as text."""
MOST_SENT = 10_000
"""How many uids of jobs are kept whose error was sent, until their failure is told of."""


def instrument(manager: JobManager, every_attempt: bool = False) -> Callable[[], None]:
    """Report to Sentry what this manager creates and runs.

    `every_attempt`: send an event for each attempt that fails, not only when the job fails for good. The logger `steve` is
    ignored by Sentry from now on, because it logs the same errors. Returns a function that ends the rest. Raises TypeError.
    """
    if not isinstance(every_attempt, bool):
        raise TypeError(f"every_attempt must be True or False, not {type(every_attempt).__name__}")
    ignore_logger("steve")
    reporter = _Reporter(every_attempt)
    removes = [
        manager.around_create(_around_create),
        manager.around(reporter.around),
        manager.on_failure(None, reporter.on_failure),
    ]

    def remove() -> None:
        for one in removes:
            one()

    return remove


@contextmanager
def _around_create(creation: Creation) -> Iterator[None]:
    if not sentry_sdk.get_client().is_active():
        yield
        return
    first = creation.jobs[0] if creation.jobs else None
    with sentry_sdk.start_span(op="queue.publish", name=str(first.type) if first else "steve", origin=ORIGIN) as span:
        headers = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
        creation.metadata[KEY] = {name: value for name, value in headers.items() if value}
        yield
        span.set_data("messaging.system", "steve")
        if creation.created:
            span.set_data("messaging.destination.name", creation.created[0].queue)
        if len(creation.created) == 1:
            span.set_data("messaging.message.id", str(creation.created[0].uid))
        elif len(creation.jobs) > 1:
            span.set_data("messaging.batch.message_count", len(creation.jobs))


_STATUS: dict[Ending, str] = {
    "success": "ok",
    "snoozed": "ok",
    "cancelled": "cancelled",  # which Sentry does not count as a failure
    "lost": "aborted",
    "error": "internal_error",
}


class _Withheld(NamedTuple):
    event: Any
    hint: dict[str, Any]
    isolation: Scope
    current: Scope


class _Reporter:
    def __init__(self, every_attempt: bool) -> None:
        self._every_attempt = every_attempt
        self._lock = threading.Lock()
        """Protects the two below. Nothing is called under it."""
        self._withheld: OrderedDict[UUID, _Withheld] = OrderedDict()
        self._sent: OrderedDict[UUID, None] = OrderedDict()

    @contextmanager
    def around(self, run: Run) -> Iterator[None]:
        if not sentry_sdk.get_client().is_active():
            yield
            return
        job = run.job
        with sentry_sdk.isolation_scope() as scope:
            _describe(scope, job)
            headers = job.metadata.get(KEY)
            known = {name: text for name, text in headers.items() if isinstance(text, str)} if isinstance(headers, dict) else {}
            transaction = sentry_sdk.continue_trace(known, op="queue.process", name=job.type, source="task", origin=ORIGIN)
            span = sentry_sdk.start_transaction(transaction).__enter__()
            ending: Ending = "success"
            try:
                if span.sampled:
                    _measure(span, run)
                yield
            except BaseException as error:
                ending = ending_of(run, error)
                if ending == "error":
                    self._report(run, error)
                raise
            finally:
                if span.sampled:
                    span.set_status(_STATUS[ending])
                span.__exit__(None, None, None)  # with the exception, a Snooze would be an error

    def _report(self, run: Run, error: BaseException) -> None:
        event, hint = event_from_exception(
            error, client_options=sentry_sdk.get_client().options, mechanism={"type": "steve", "handled": False}
        )
        if self._every_attempt or run.last_attempt or isinstance(error, Fail):
            self._note(self._sent, run.job.uid, None, MOST_SENT)
            sentry_sdk.capture_event(event, hint)
            return
        hint = _light(error)
        scopes = sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()
        self._note(self._withheld, run.job.uid, _Withheld(event, hint, *scopes), MOST_WITHHELD)

    def on_failure(self, job: Job) -> None:
        with self._lock:
            withheld = self._withheld.pop(job.uid, None)
            was_sent = self._sent.pop(job.uid, 0) is None
        if was_sent:
            return
        if withheld is not None:
            with use_isolation_scope(withheld.isolation), use_scope(withheld.current):
                sentry_sdk.capture_event(withheld.event, withheld.hint)
            return
        # Its handler raised nothing: its result cannot be stored, for example, or its processes died.
        with sentry_sdk.isolation_scope() as scope:
            _describe(scope, job)
            sentry_sdk.capture_message(f"job failed: {job.error}", level="error")

    def _note(self, notes: OrderedDict[UUID, Any], uid: UUID, value: object, most: int) -> None:
        with self._lock:
            notes[uid] = value
            notes.move_to_end(uid)
            if len(notes) > most:
                notes.popitem(last=False)


def _light(error: BaseException) -> dict[str, Any]:
    """A hint about this error that does not hold what the error's traceback holds, all of the handler's variables."""
    try:
        return {"exc_info": (type(error), copy.copy(error), None)}
    except Exception:  # an exception class may have a constructor that a copy does not know
        return {}


def _describe(scope: Scope, job: Job) -> None:
    """Says in all events of this scope which job it is about; never its payload. Most attempts have no event, so this is done
    when there is one."""

    def describe(event: Any, hint: Any) -> Any:
        event["tags"] = {**(event.get("tags") or {}), "steve.type": job.type, "steve.queue": job.queue}
        about = {"uid": str(job.uid), "type": job.type, "queue": job.queue, "attempt": job.attempts}
        event["contexts"] = {**(event.get("contexts") or {}), "steve": about}
        return event

    scope.add_event_processor(describe)


def _measure(span: Any, run: Run) -> None:
    """What Sentry's page about queues shows."""
    job = run.job
    span.set_data("messaging.system", "steve")
    span.set_data("messaging.message.id", str(job.uid))
    span.set_data("messaging.destination.name", job.queue)
    span.set_data("messaging.message.retry.count", run.attempt - 1)
    if job.claimed_at is not None:  # both by the database's clock
        waited = (job.claimed_at - job.run_at).total_seconds()
        span.set_data("messaging.message.receive.latency", max(0.0, waited) * 1000)  # milliseconds
