"""What being seen from outside costs a job: the hooks of OpenTelemetry, Prometheus and Sentry alone, without a database.

    python -m tests.benchmarks.seen

OpenTelemetry is compared with the same calls of its SDK, written down by hand; the exporter drops what it gets. The figures are
microseconds a job, the least of several rounds, without what a hook that does nothing takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import sentry_sdk
from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind
from prometheus_client import CollectorRegistry

from steve import Creation, Job, NewJob
from steve._runtime.hooks import Hooks, within
from steve.contrib import otel, prometheus, sentry
from steve.run import Run

ROUNDS, CALLS = 60, 300  # short rounds, so that some of them are undisturbed
BARS = {"OpenTelemetry": 1.3, "Prometheus": 15.0, "Sentry, unsampled": 60.0}
"""OpenTelemetry: times the calls by hand; the others: microseconds."""


class Dropped(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Collected:
    """Stands for a manager: keeps the hooks."""

    def __init__(self) -> None:
        self.run, self.creation = Hooks(), Hooks()
        self.around, self.around_create = self.run.add, self.creation.add

    def on_failure(self, type: None, listener: object) -> Callable[[], None]:
        return lambda: None


def job_with(metadata: dict[str, Any]) -> Job:
    now = datetime.now(UTC)
    return Job(
        uuid4(),
        "mail",
        "welcome",
        0,
        {},
        None,
        None,
        "running",
        1,
        0,
        5,
        "exp",
        now,
        now,
        now,
        now,
        None,
        None,
        metadata=metadata,
    )


def seconds_of(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter() - begun) / CALLS)
    return best


def hooked(hooks: Hooks, argument: Callable[[], object]) -> float:
    """Microseconds of these hooks around a call that does nothing."""

    def nothing(argument: object) -> Iterator[None]:
        yield

    none = Hooks()
    none.add(nothing)
    return 1e6 * (
        seconds_of(lambda: within(hooks.wraps("welcome"), argument(), int))
        - seconds_of(lambda: within(none.wraps("welcome"), argument(), int))
    )


def by_hand() -> tuple[float, float]:
    """The same calls of the SDK, for an attempt and for a creation."""
    tracers, meters = providers()
    tracer, meter = tracers.get_tracer("bare"), meters.get_meter("bare")
    counter, histogram = meter.create_counter("a"), meter.create_histogram("b")
    uid = str(uuid4())

    def process(carrier: dict[str, str]) -> None:
        origin = propagate.extract(carrier)
        link = Link(trace.get_current_span(origin).get_span_context())
        attributes = {
            "messaging.system": "steve",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "mail",
            "steve.job.type": "welcome",
        }
        context = trace.set_span_in_context(trace.get_current_span(), origin)
        more = {**attributes, "messaging.message.id": uid, "steve.job.attempt": 1}
        span = tracer.start_span("process welcome", context, SpanKind.CONSUMER, more, [link])
        token = contexts.attach(trace.set_span_in_context(span, context))
        counter.add(1, attributes)
        contexts.detach(token)
        span.end()
        histogram.record(0.001, attributes)

    def create() -> None:
        attributes = {
            "messaging.system": "steve",
            "messaging.operation.name": "create",
            "messaging.operation.type": "send",
            "messaging.destination.name": "mail",
            "steve.job.type": "welcome",
        }
        span = tracer.start_span("create welcome", kind=SpanKind.PRODUCER, attributes=attributes)
        context = trace.set_span_in_context(span)
        propagate.inject({}, context)
        token = contexts.attach(context)
        contexts.detach(token)
        span.set_attribute("messaging.message.id", uid)
        span.end()
        histogram.record(0.001, attributes)
        counter.add(1, attributes)

    carrier = carrier_of(tracers)
    return 1e6 * seconds_of(lambda: process(carrier)), 1e6 * seconds_of(create)


def providers() -> tuple[TracerProvider, MeterProvider]:
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(Dropped()))
    return tracers, MeterProvider([InMemoryMetricReader()])


def carrier_of(tracers: TracerProvider) -> dict[str, str]:
    carrier: dict[str, str] = {}
    propagate.inject(carrier, trace.set_span_in_context(tracers.get_tracer("bare").start_span("create")))
    return carrier


def run_of(metadata: dict[str, Any]) -> Run:
    job = job_with(metadata)
    return Run(job, (job.uid, 1), None, True)  # type: ignore[arg-type]  # the handler returns, so nobody asks the signals


def creation_of(created: tuple[Job, ...]) -> Creation:
    creation = Creation((NewJob("welcome", queue="mail"),))
    creation.created = created
    return creation


def main() -> None:
    tracers, meters = providers()
    manager: Any = Collected()
    otel.instrument(manager, tracer_provider=tracers, meter_provider=meters)
    run, created = run_of({"_otel": carrier_of(tracers)}), (job_with({}),)
    attempt, creation = hooked(manager.run, lambda: run), hooked(manager.creation, lambda: creation_of(created))
    bare_attempt, bare_creation = by_hand()
    ratio = (attempt + creation) / (bare_attempt + bare_creation)
    print(
        f"OpenTelemetry: {attempt:.1f} + {creation:.1f} us, by hand {bare_attempt:.1f} + {bare_creation:.1f} us: {ratio:.2f} x"
    )

    manager = Collected()
    prometheus.instrument(manager, CollectorRegistry())
    counted = hooked(manager.run, lambda: run)
    print(f"Prometheus: {counted:.1f} us")

    manager = Collected()
    sentry_sdk.init("https://public@sentry.invalid/1", traces_sample_rate=0.0, default_integrations=False)
    sentry.instrument(manager)
    headers = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
    run = run_of({"_sentry": headers})
    attempt, creation = hooked(manager.run, lambda: run), hooked(manager.creation, lambda: creation_of(created))
    print(f"Sentry, unsampled: {attempt:.1f} + {creation:.1f} us")

    figures = {"OpenTelemetry": ratio, "Prometheus": counted, "Sentry, unsampled": attempt}
    print({name: "ok" if figures[name] <= bar else f"over {bar}" for name, bar in BARS.items()})


if __name__ == "__main__":
    main()
