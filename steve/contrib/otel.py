"""OpenTelemetry: a span for each call of `create` and for each attempt, and the metrics of messaging.

    from steve.contrib.otel import instrument

    instrument(manager)

The names are those of OpenTelemetry's semantic conventions for messaging: a queue is a destination, a job a message. The
context of the span that creates a job travels in `metadata["_otel"]`. It has a place of its own there, because other tracers
write a `baggage` too.

A job may run long after its creation, in a trace that was sampled otherwise. So an attempt begins a trace of its own, which is
linked to the creation, unless `instrument` is told otherwise.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from steve import Creation, Job, JobManager, NewJob, Run, __version__
from steve.contrib._ending import ending_of, name_of

KEY = "_otel"
"""Where the metadata of a job has the context of its creation."""

SCOPE = "steve.contrib.otel"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The buckets that the semantic conventions advise, in seconds."""


def instrument(
    manager: JobManager,
    parent: bool = False,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Callable[[], None]:
    """Trace what this manager creates and runs, and measure it.

    `parent`: make the span of the creation the parent of the attempts' spans, so that they are part of its trace. Otherwise
    they are linked to it. `tracer_provider`, `meter_provider`: None: the global ones.
    Returns a function that ends it. Raises TypeError.
    """
    if not isinstance(parent, bool):
        raise TypeError(f"parent must be True or False, not {type(parent).__name__}")
    telemetry = _Telemetry(parent, tracer_provider, meter_provider)
    removes = [manager.around_create(telemetry.around_create), manager.around(telemetry.around)]

    def remove() -> None:
        for one in removes:
            one()

    return remove


class _Telemetry:
    """The two hooks, and the instruments that they share."""

    def __init__(self, parent: bool, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        self._is_parent = parent
        self._tracer = trace.get_tracer(SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(SCOPE, __version__, meter_provider)
        self._sent = meter.create_counter("messaging.client.sent.messages", "{message}", "Jobs that were created.")
        self._consumed = meter.create_counter("messaging.client.consumed.messages", "{message}", "Attempts that began.")
        self._create_seconds = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "How long calls of create took.",
            explicit_bucket_boundaries_advisory=BOUNDS,
        )
        self._process_seconds = meter.create_histogram(
            "messaging.process.duration", "s", "How long attempts took.", explicit_bucket_boundaries_advisory=BOUNDS
        )

    @contextmanager
    def around_create(self, creation: Creation) -> Iterator[None]:
        lane = _lane_of(creation.jobs)
        attributes = _attributes("create", "send", *lane)
        if len(creation.jobs) > 1:
            attributes["messaging.batch.message_count"] = len(creation.jobs)
        name = f"create {lane[1]}" if lane[1] else "create"
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        context = trace.set_span_in_context(span)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context)
        if carrier:
            creation.metadata[KEY] = carrier
        token = contexts.attach(context)
        begun = time.perf_counter()
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            _record(span, raised)
            raise
        finally:
            contexts.detach(token)
            self._end_create(span, creation, time.perf_counter() - begun, error)
            del error  # its traceback refers to this frame

    def _end_create(self, span: Span, creation: Creation, seconds: float, error: BaseException | None) -> None:
        created = creation.created or creation.jobs  # `statement` stores nothing itself
        queue, kind = _lane_of(created)
        if queue and not _lane_of(creation.jobs)[0]:  # it was not known before
            span.set_attribute("messaging.destination.name", queue)
        if len(creation.created) == 1:
            span.set_attribute("messaging.message.id", str(creation.created[0].uid))
        span.end()
        shared = _attributes("create", "send", queue, kind)
        if error is not None:
            self._create_seconds.record(seconds, {**shared, "error.type": name_of(error)})
            return
        self._create_seconds.record(seconds, shared)
        if len(created) == 1:
            if not _is_duplicate(created[0]):
                self._sent.add(1, shared)
            return
        for lane, number in Counter(_lane(job) for job in created if not _is_duplicate(job)).items():
            self._sent.add(number, _attributes("create", "send", *lane))

    @contextmanager
    def around(self, run: Run) -> Iterator[None]:
        job = run.job
        shared = _attributes("process", "process", job.queue, job.type)
        context, links = self._origin(job.metadata.get(KEY))
        span = self._tracer.start_span(
            f"process {job.type}",
            context,
            SpanKind.CONSUMER,
            {**shared, "messaging.message.id": str(job.uid), "steve.job.attempt": run.attempt},
            links,
        )
        token = contexts.attach(trace.set_span_in_context(span, context))
        self._consumed.add(1, shared)
        begun = time.perf_counter()
        try:
            yield
        except BaseException as raised:
            seconds = time.perf_counter() - begun
            ending = ending_of(run, raised)
            span.set_attribute("steve.attempt.outcome", ending)
            if ending == "error":
                _record(span, raised)
                shared["error.type"] = name_of(raised)
            raise
        else:
            seconds = time.perf_counter() - begun
        finally:
            contexts.detach(token)
            span.end()
            self._process_seconds.record(seconds, shared)

    def _origin(self, carrier: Any) -> tuple[Context | None, list[Link]]:
        """The context in which an attempt begins, and the links of its span. None: the current context. It has the baggage of
        the creation in any case."""
        if not isinstance(carrier, dict):
            return None, []
        known = {name: value for name, value in carrier.items() if isinstance(value, str)}  # anybody may write metadata
        origin = propagate.extract(known)
        creation = trace.get_current_span(origin).get_span_context()
        if self._is_parent or not creation.is_valid:
            return origin, []
        here = trace.get_current_span()  # none, unless a hook further out, or around the thread, has made one
        return trace.set_span_in_context(here, origin), [Link(creation)]


def _is_duplicate(job: NewJob | Job) -> bool:
    return isinstance(job, Job) and job.duplicate


def _lane(job: NewJob | Job) -> tuple[str | None, str | None]:
    """Its queue and its type; None where they are not known, or not valid, yet."""
    return (
        job.queue if isinstance(job.queue, str) else None,
        job.type if isinstance(job.type, str) else None,
    )


def _lane_of(jobs: tuple[NewJob, ...] | tuple[Job, ...]) -> tuple[str | None, str | None]:
    """The queue and the type that all of them have; None where they differ."""
    if len(jobs) == 1:
        return _lane(jobs[0])
    queues, types = {_lane(job)[0] for job in jobs}, {_lane(job)[1] for job in jobs}
    return queues.pop() if len(queues) == 1 else None, types.pop() if len(types) == 1 else None


def _attributes(name: str, operation: str, queue: str | None, type: str | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": "steve",
        "messaging.operation.name": name,
        "messaging.operation.type": operation,
    }
    if queue:
        attributes["messaging.destination.name"] = queue
    if type:
        attributes["steve.job.type"] = type
    return attributes


def _record(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", name_of(error))
    span.set_status(Status(StatusCode.ERROR))
    with suppress(Exception):  # the str() of an error may raise
        span.set_status(Status(StatusCode.ERROR, str(error)))
        span.record_exception(error)
