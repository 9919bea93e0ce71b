"""steve.contrib.sentry with the SDK and a transport that keeps what it gets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from steve import Cancel, Fail, Job, JobManager, Retry, Snooze, current_run
from steve.contrib.sentry import instrument
from steve.testing import drain
from tests.conftest import until


class Kept(Transport):
    """Keeps what it gets."""

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    def _of(self, kind: str) -> list[Any]:
        return [item.payload.json for one in self.envelopes for item in one.items if item.type == kind]

    @property
    def events(self) -> list[Any]:
        return self._of("event")

    @property
    def transactions(self) -> list[Any]:
        return self._of("transaction")


@pytest.fixture
def init() -> Iterator[Callable[..., Kept]]:
    """`init(**options)` sets the SDK up, until the end of the test."""

    def init(**options: Any) -> Kept:
        transport = Kept()
        integrations = [LoggingIntegration(), DedupeIntegration()]  # the others patch Python for all tests
        sentry_sdk.init(
            "https://public@sentry.invalid/1",
            transport=transport,
            default_integrations=False,
            integrations=integrations,
            **options,
        )
        return transport

    yield init
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def fails(job: Job) -> None:
    raise ValueError(f"attempt {job.attempts}")


def titles(events: list[Any]) -> list[str]:
    return [event["exception"]["values"][-1]["value"] if "exception" in event else event["message"] for event in events]


def test_of_a_job_that_fails_there_is_one_event_of_its_last_attempt(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init()
    manager.set_handler("welcome", fails)
    instrument(manager)
    job = manager.create("welcome", {"email": "ada@example.com"}, queue="mail", max_attempts=3, backoff_strategy="none")
    drain(manager, scheduled=True, raise_errors=False)
    assert titles(kept.events) == ["attempt 3"]
    (event,) = kept.events
    assert event["tags"] == {"steve.type": "welcome", "steve.queue": "mail"}
    assert event["contexts"]["steve"] == {"uid": str(job.uid), "type": "welcome", "queue": "mail", "attempt": 3}
    assert event["exception"]["values"][-1]["mechanism"] == {"type": "steve", "handled": False}
    assert "ada@example.com" not in str(event["contexts"])


def test_what_steve_logs_is_no_second_event_with_workers_of_its_own(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init()
    manager.set_handler("welcome", fails)
    instrument(manager)
    with manager:
        job = manager.create("welcome", max_attempts=2, backoff_strategy="none")
        manager.wait(job, 60)
    assert titles(kept.events) == ["attempt 2"]
    logging.getLogger("shop").error("another logger is heard")
    assert len(kept.events) == 2


def test_an_event_for_each_attempt_when_asked(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init()
    manager.set_handler("welcome", fails)
    instrument(manager, every_attempt=True)
    manager.create("welcome", max_attempts=2, backoff_strategy="none")
    drain(manager, scheduled=True, raise_errors=False)
    assert titles(kept.events) == ["attempt 1", "attempt 2"]


def test_a_job_that_succeeds_in_the_end_is_no_event(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init()

    def handler(job: Job) -> None:
        if job.attempts < 3:
            raise ValueError("not yet")

    manager.set_handler("welcome", handler)
    instrument(manager)
    manager.create("welcome", max_attempts=3, backoff_strategy="none")
    drain(manager, scheduled=True, raise_errors=False)
    assert kept.events == []


@pytest.mark.parametrize(
    ("word", "events", "status"),
    [
        (Snooze(60), 0, "ok"),
        (Cancel("no"), 0, "cancelled"),
        (Retry(60), 0, "internal_error"),
        (Fail("broken"), 1, "internal_error"),
    ],
)
def test_a_handlers_word_is_an_event_only_if_the_job_fails(
    manager: JobManager, init: Callable[..., Kept], word: BaseException, events: int, status: str
) -> None:
    kept = init(traces_sample_rate=1.0)

    def handler(job: Job) -> None:
        raise word

    manager.set_handler("welcome", handler)
    instrument(manager)
    manager.create("welcome", max_attempts=5)
    drain(manager, raise_errors=False)
    assert len(kept.events) == events
    (process,) = kept.transactions
    assert process["contexts"]["trace"]["status"] == status


def test_an_error_that_the_handler_gives_up_on_is_an_event_although_attempts_are_left(
    manager: JobManager, init: Callable[..., Kept]
) -> None:
    kept = init(traces_sample_rate=1.0)

    def handler(job: Job) -> None:
        sentry_sdk.set_tag("tenant", "acme")
        raise KeyError("address")

    manager.set_handler("welcome", handler, give_up_on=(KeyError,))
    instrument(manager)
    manager.create("welcome", max_attempts=5)
    drain(manager, raise_errors=False)
    (event,) = kept.events
    assert (event["exception"]["values"][-1]["type"], event["tags"]["tenant"]) == ("KeyError", "acme")
    (process,) = [one for one in kept.transactions if one["transaction"] == "welcome"]
    assert event["contexts"]["trace"]["trace_id"] == process["contexts"]["trace"]["trace_id"]


def test_errors_that_the_program_ignores_are_ignored_when_withheld_too(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init(ignore_errors=[KeyError])

    def handler(job: Job) -> None:
        raise KeyError("address")

    manager.set_handler("welcome", handler, give_up_on=(KeyError,))
    instrument(manager)
    manager.create("welcome", max_attempts=5)
    drain(manager, raise_errors=False)
    assert kept.events == []


def test_a_job_that_fails_without_an_error_of_its_handler_is_an_event(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init()
    manager.set_handler("welcome", lambda job: {1, 2})
    instrument(manager)
    manager.create("welcome", max_attempts=1)
    drain(manager, raise_errors=False)
    (event,) = kept.events
    assert "ResultNotStorable" in event["message"]


def test_a_job_that_was_cancelled_while_it_ran_is_no_event(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init()

    def handler(job: Job) -> None:
        manager.cancel(job)
        until(lambda: current_run().cancelled)
        raise ValueError("cleaned up")

    manager.set_handler("welcome", handler)
    instrument(manager)
    with manager:
        job = manager.create("welcome", max_attempts=1)
        assert manager.wait(job, 60).status == "cancelled"
    assert kept.events == []


def test_the_trace_goes_on_from_the_creation_with_the_figures_of_queues(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init(traces_sample_rate=1.0)
    manager.set_handler("welcome", lambda job: None)
    instrument(manager)
    with sentry_sdk.start_transaction(name="GET /order", op="http.server"):
        job = manager.create("welcome", queue="mail")
    drain(manager)
    view, process = kept.transactions
    (publish,) = [span for span in view["spans"] if span["op"] == "queue.publish"]
    trace = process["contexts"]["trace"]
    assert (trace["op"], trace["trace_id"], trace["parent_span_id"]) == (
        "queue.process",
        view["contexts"]["trace"]["trace_id"],
        publish["span_id"],
    )
    assert {name: publish["data"][name] for name in ("messaging.destination.name", "messaging.message.id")} == {
        "messaging.destination.name": "mail",
        "messaging.message.id": str(job.uid),
    }
    data = trace["data"]
    assert (data["messaging.destination.name"], data["messaging.message.id"]) == ("mail", str(job.uid))
    assert data["messaging.message.retry.count"] == 0
    assert 0 <= data["messaging.message.receive.latency"] < 60_000
    assert trace["status"] == "ok"


def test_tags_and_breadcrumbs_of_one_job_are_not_in_the_event_of_another(
    manager: JobManager, init: Callable[..., Kept]
) -> None:
    kept = init()

    def with_a_scope() -> Iterator[None]:
        sentry_sdk.get_isolation_scope()  # handlers run in copies of this context, which would share the scope
        yield

    def handler(job: Job) -> None:
        if "tag" in job.payload:
            sentry_sdk.set_tag("tenant", job.payload["tag"])
            sentry_sdk.add_breadcrumb(message="was here")
        else:
            raise ValueError("no")

    manager.set_handler("welcome", handler)
    manager.around_thread(with_a_scope)
    instrument(manager)
    manager.start(workers=1)
    try:
        manager.wait(manager.create("welcome", {"tag": "acme"}), 60)
        manager.wait(manager.create("welcome", max_attempts=1), 60)
    finally:
        manager.stop()
    (event,) = kept.events
    assert "tenant" not in event["tags"]
    assert "was here" not in str(event.get("breadcrumbs"))


@pytest.mark.parametrize("headers", ["x", 7, {"sentry-trace": 7}, {"sentry-trace": "no", "baggage": "=;"}])
def test_a_job_whose_metadata_has_no_headers_of_ours_runs(
    manager: JobManager, init: Callable[..., Kept], headers: object
) -> None:
    init(traces_sample_rate=1.0)
    manager.set_handler("welcome", lambda job: None)
    instrument(manager)
    job = manager.create("welcome", metadata={"_sentry": headers})
    (ran,) = drain(manager)
    assert ran.job.uid == job.uid
    found = manager.find(job)
    assert found is not None
    assert found.status == "completed"


def test_without_an_sdk_nothing_is_added_to_a_job(manager: JobManager) -> None:
    manager.set_handler("welcome", lambda job: None)
    instrument(manager)
    job = manager.create("welcome")
    drain(manager)
    assert job.metadata == {}


def test_what_instrument_returns_ends_it(manager: JobManager, init: Callable[..., Kept]) -> None:
    kept = init()
    manager.set_handler("welcome", fails)
    remove = instrument(manager)
    remove()
    job = manager.create("welcome", max_attempts=1)
    drain(manager, raise_errors=False)
    assert (kept.events, job.metadata) == ([], {})


def test_every_attempt_is_a_bool(manager: JobManager) -> None:
    with pytest.raises(TypeError, match="every_attempt must be True or False, not str"):
        instrument(manager, "yes")  # type: ignore[arg-type]
