"""steve.contrib.otel with OpenTelemetry's SDK, whose exporter keeps what it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from steve import Cancel, Fail, InvalidJob, Job, JobManager, NewJob, Run, Snooze
from steve.contrib._ending import judge
from steve.contrib.otel import instrument
from steve.testing import drain
from tests.contrib.seen.programs import ended, start


class Sdk:
    """An SDK of its own, beside the global one."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def instrument(self, manager: JobManager, parent: bool = False) -> Callable[[], None]:
        return instrument(manager, parent, tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        (found,) = [one for one in self.spans if one.name == name]
        return found

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def sdk() -> Sdk:
    return Sdk()


def test_a_creation_and_an_attempt_have_the_names_of_the_conventions(manager: JobManager, sdk: Sdk) -> None:
    manager.set_handler("welcome", lambda job: None)
    sdk.instrument(manager)
    job = manager.create("welcome", queue="mail")
    drain(manager)
    create, process = sdk.span("create welcome"), sdk.span("process welcome")
    assert (create.kind.name, process.kind.name) == ("PRODUCER", "CONSUMER")
    assert dict(create.attributes or {}) == {
        "messaging.system": "steve",
        "messaging.operation.name": "create",
        "messaging.operation.type": "send",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(job.uid),
        "steve.job.type": "welcome",
    }
    assert dict(process.attributes or {}) == {
        "messaging.system": "steve",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": str(job.uid),
        "steve.job.type": "welcome",
        "steve.job.attempt": 1,
    }


def test_an_attempt_is_linked_to_the_creation_in_a_trace_of_its_own(manager: JobManager, sdk: Sdk) -> None:
    manager.set_handler("welcome", lambda job: None)
    sdk.instrument(manager)
    manager.create("welcome")
    drain(manager)
    create, process = sdk.span("create welcome"), sdk.span("process welcome")
    assert process.parent is None
    assert [link.context.span_id for link in process.links] == [create.context.span_id]
    assert process.context.trace_id != create.context.trace_id


def test_an_attempt_is_a_child_of_the_creation_when_asked(manager: JobManager, sdk: Sdk) -> None:
    manager.set_handler("welcome", lambda job: None)
    sdk.instrument(manager, parent=True)
    manager.create("welcome")
    drain(manager)
    create, process = sdk.span("create welcome"), sdk.span("process welcome")
    assert process.parent is not None
    assert (process.parent.span_id, process.context.trace_id) == (create.context.span_id, create.context.trace_id)
    assert process.links == ()


def test_the_baggage_of_the_creation_is_there_in_the_handler(manager: JobManager, sdk: Sdk) -> None:
    seen: list[object] = []
    manager.set_handler("welcome", lambda job: seen.append(baggage.get_baggage("tenant")))
    sdk.instrument(manager)
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        job = manager.create("welcome")
    finally:
        context.detach(token)
    assert set(job.metadata["_otel"]) == {"traceparent", "baggage"}
    drain(manager)
    assert seen == ["acme"]


def test_a_batch_is_one_span_with_a_count_and_each_of_its_jobs_is_counted(manager: JobManager, sdk: Sdk) -> None:
    sdk.instrument(manager)
    manager.create_many([("welcome", {}), ("remind", {}), ("remind", {})])
    create = sdk.span("create")
    assert (create.attributes or {})["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in (create.attributes or {})
    sent = {point.attributes["steve.job.type"]: point.value for point in sdk.points("messaging.client.sent.messages")}
    assert sent == {"welcome": 1, "remind": 2}


def test_a_job_that_was_there_already_is_not_counted_as_sent(manager: JobManager, sdk: Sdk) -> None:
    sdk.instrument(manager)
    manager.create("welcome", unique="ada")
    manager.create("welcome", unique="ada")
    (sent,) = sdk.points("messaging.client.sent.messages")
    assert sent.value == 1


def test_an_error_of_the_handler_is_on_the_span_and_on_the_metric(manager: JobManager, sdk: Sdk) -> None:
    def handler(job: Job) -> None:
        raise ValueError("no address")

    manager.set_handler("welcome", handler)
    sdk.instrument(manager)
    manager.create("welcome", max_attempts=1)
    drain(manager, raise_errors=False)
    process = sdk.span("process welcome")
    assert (process.status.status_code.name, process.status.description) == ("ERROR", "no address")
    assert (process.attributes or {})["error.type"] == "builtins.ValueError"
    assert [event.name for event in process.events] == ["exception"]
    (duration,) = sdk.points("messaging.process.duration")
    assert (duration.attributes["error.type"], duration.count) == ("builtins.ValueError", 1)
    (consumed,) = sdk.points("messaging.client.consumed.messages")
    assert consumed.value == 1


def test_an_error_that_cannot_be_printed_changes_nothing_for_the_job(manager: JobManager, sdk: Sdk) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("mute")

    def handler(job: Job) -> None:
        raise Mute

    manager.set_handler("welcome", handler)
    sdk.instrument(manager)
    job = manager.create("welcome", max_attempts=1)
    drain(manager, raise_errors=False)
    (attempt,) = manager.history(job)
    assert "Mute" in str(attempt.error_type)
    assert sdk.span("process welcome").status.status_code.name == "ERROR"


def test_a_snooze_is_no_error(manager: JobManager, sdk: Sdk) -> None:
    def handler(job: Job) -> None:
        raise Snooze(60)

    manager.set_handler("welcome", handler)
    sdk.instrument(manager)
    manager.create("welcome")
    drain(manager)
    process = sdk.span("process welcome")
    assert process.status.status_code.name == "UNSET"
    assert (process.attributes or {})["steve.attempt.outcome"] == "snoozed"


def test_a_creation_that_is_refused_is_an_error_of_its_span(manager: JobManager, sdk: Sdk) -> None:
    sdk.instrument(manager)
    with pytest.raises(InvalidJob):
        manager.create("", {})
    with pytest.raises(InvalidJob):
        manager.create(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidJob):
        manager.create_many([NewJob("welcome", queue=[])])  # type: ignore[arg-type]
    assert {span.status.status_code.name for span in sdk.spans} == {"ERROR"}
    assert sdk.points("messaging.client.sent.messages") == []
    assert {point.attributes["error.type"] for point in sdk.points("messaging.client.operation.duration")} == {
        "steve.InvalidJob"
    }


@pytest.mark.parametrize("carrier", ["x", 7, [], {"traceparent": 7}, {"traceparent": "no"}, {"baggage": None}])
def test_a_job_whose_metadata_has_no_context_of_ours_runs(manager: JobManager, sdk: Sdk, carrier: object) -> None:
    manager.set_handler("welcome", lambda job: None)
    sdk.instrument(manager)
    job = manager.create("welcome", metadata={"_otel": carrier})
    drain(manager)
    found = manager.find(job)
    assert found is not None
    assert found.status == "completed"
    assert sdk.span("process welcome").links == ()


def test_the_statement_for_another_driver_carries_the_context(manager: JobManager, sdk: Sdk) -> None:
    sdk.instrument(manager)
    statement = manager.statement("welcome")
    assert "traceparent" in str(statement.parameters)
    (sent,) = sdk.points("messaging.client.sent.messages")
    assert sent.value == 1


def test_without_an_sdk_nothing_is_added_to_a_job(manager: JobManager) -> None:
    manager.set_handler("welcome", lambda job: None)
    instrument(manager)
    job = manager.create("welcome")
    drain(manager)
    assert job.metadata == {}


def test_what_instrument_returns_ends_it(manager: JobManager, sdk: Sdk) -> None:
    manager.set_handler("welcome", lambda job: None)
    remove = sdk.instrument(manager)
    remove()
    manager.create("welcome")
    drain(manager)
    assert sdk.spans == []


def test_parent_is_a_bool(manager: JobManager) -> None:
    with pytest.raises(TypeError, match="parent must be True or False, not int"):
        instrument(manager, 1)  # type: ignore[arg-type]


PROGRAM = """
    import json, sys
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from steve import JobManager
    from steve.contrib.otel import instrument

    what, database, schema, parent = sys.argv[1:]
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    manager = JobManager(database, schema=schema)
    instrument(manager, parent=bool(int(parent)))

    if what == "view":
        with trace.get_tracer("shop").start_as_current_span("GET /order"):
            manager.create("order")
    elif what == "order":
        manager.set_handler("order", lambda job: str(manager.create("receipt").uid))
        manager.run(burst=True)
    else:
        manager.set_handler("receipt", lambda job: None)
        manager.run(burst=True)

    print(json.dumps([
        {
            "name": span.name,
            "trace": span.context.trace_id,
            "id": span.context.span_id,
            "parent": span.parent and span.parent.span_id,
            "links": [(link.context.trace_id, link.context.span_id) for link in span.links],
        }
        for span in exporter.get_finished_spans()
    ]))
"""


@pytest.mark.parametrize("parent", [False, True])
def test_a_view_its_job_and_the_jobs_job_are_one_linked_trace_over_three_processes(
    database_url: str, schema: str, manager: JobManager, parent: bool
) -> None:
    spans: dict[str, dict[str, Any]] = {}
    for what in ("view", "order", "receipt"):
        written = ended(start(PROGRAM, what, database_url, schema, str(int(parent))))
        spans |= {span["name"]: span for span in written}
    view, create, process, create_2, process_2 = (
        spans[name] for name in ("GET /order", "create order", "process order", "create receipt", "process receipt")
    )
    assert create["parent"] == view["id"]
    assert create_2["parent"] == process["id"]
    if parent:
        assert (process["parent"], process_2["parent"]) == (create["id"], create_2["id"])
        assert len({span["trace"] for span in spans.values()}) == 1
    else:
        assert process["links"] == [[create["trace"], create["id"]]]
        assert process_2["links"] == [[create_2["trace"], create_2["id"]]]
        assert create_2["trace"] == process["trace"] != view["trace"]


@pytest.mark.parametrize(
    ("error", "cancelled", "lost", "ending"),
    [
        (ValueError(), False, False, "error"),
        (Fail("no"), False, False, "error"),
        (Cancel("no"), False, False, "cancelled"),
        (Snooze(1), False, False, "snoozed"),
        (ValueError(), True, False, "cancelled"),
        (Snooze(1), True, False, "cancelled"),
        (ValueError(), True, True, "lost"),
    ],
)
def test_how_an_attempt_ends(error: BaseException, cancelled: bool, lost: bool, ending: str) -> None:
    assert judge(error, cancelled=cancelled, lost=lost) == ending


def test_a_span_of_a_hook_further_out_is_the_parent(manager: JobManager, sdk: Sdk) -> None:
    tracer = sdk.tracers.get_tracer("shop")

    def outer(run: Run) -> Iterator[None]:
        with tracer.start_as_current_span("outer"):
            yield

    manager.around(outer)
    manager.set_handler("welcome", lambda job: None)
    sdk.instrument(manager)
    manager.create("welcome")
    drain(manager)
    process = sdk.span("process welcome")
    assert process.parent == sdk.span("outer").get_span_context()
    assert len(process.links) == 1
