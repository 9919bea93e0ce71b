"""What the logger `steve` says: a line for the end of each attempt, claims at DEBUG, the start and the stop, and what is wrong.

While the database is away: test_outage.py.
"""

import logging
import re
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import Job, JobManager, Snooze, Status
from steve._model.tuning import Tuning
from tests.conftest import APPLICATION, until

SECRET = "hunter2"


@pytest.fixture
def manager(make_manager: Callable[..., JobManager], caplog: pytest.LogCaptureFixture) -> JobManager:
    """A manager that is not started. All that it logs is caught. It gives no job back, and frees none, while a test looks."""
    caplog.set_level(logging.DEBUG, "steve")
    manager = make_manager(handler=work, _tuning=Tuning(buffer_age=3600.0, reconcile_pause=3600.0))
    manager.migrate()
    return manager


def work(job: Job) -> Any:
    """Do what the payload says."""
    if "snooze" in job.payload and job.attempts == 1:
        raise Snooze(job.payload["snooze"])
    if job.attempts <= job.payload.get("failures", 0):
        raise RuntimeError(job.payload.get("error", f"number {job.attempts}"))
    return job.payload.get("result")


def run(manager: JobManager, *jobs: tuple[str, dict[str, Any]], **keywords: Any) -> list[Job]:
    """Create jobs, start the manager until they are completed or failed, and stop it. Returns the jobs as they were created."""
    with manager:
        created = manager.create_many(jobs, **keywords)
        final = (Status.COMPLETED, Status.FAILED)
        until(lambda: all(found is not None and found.status in final for found in map(manager.find, created)))
    return created


def text_of(record: logging.LogRecord) -> str:
    """The record as it is written to a log file, with its traceback."""
    return logging.Formatter().format(record)


def ends(caplog: pytest.LogCaptureFixture, job: Job) -> list[logging.LogRecord]:
    """The records of a job at INFO and above."""
    return [r for r in caplog.records if getattr(r, "job_uid", None) == str(job.uid) and r.levelno >= logging.INFO]


def test_each_attempts_end_is_one_line_that_says_which_job_and_how_it_ended(
    manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    good, again, bad = run(
        manager,
        ("good", {"result": 1}),
        ("again", {"failures": 1}),
        ("bad", {"failures": 9}),
        max_attempts=2,
        backoff_strategy="none",
    )
    for job, levels in ((good, ["INFO"]), (again, ["WARNING", "INFO"]), (bad, ["WARNING", "ERROR"])):
        records = ends(caplog, job)
        assert [record.levelname for record in records] == levels
        assert [record.job_attempt for record in records] == list(range(1, len(levels) + 1))  # type: ignore[attr-defined]
        assert {(record.name, record.job_uid, record.job_type) for record in records} == {  # type: ignore[attr-defined]
            ("steve", str(job.uid), job.type)
        }
        for number, record in enumerate(records, 1):
            assert f"job {job.uid} ({job.type}) attempt {number} of 2 " in record.message
            assert record.threadName is not None
            assert record.threadName.startswith("steve-worker")
    assert re.search(r" completed after \d+\.\d{3} s$", ends(caplog, good)[0].message)
    assert re.search(r" failed, to be tried again \(in 0\.0 s\) after \d+\.\d{3} s$", ends(caplog, again)[0].message)
    assert re.search(r" failed after \d+\.\d{3} s$", ends(caplog, bad)[1].message)


def test_an_error_is_logged_with_its_traceback_and_a_success_is_one_line(
    manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = run(
        manager, ("good", {}), ("bad", {"failures": 2, "error": "the reason"}), max_attempts=2, backoff_strategy="none"
    )
    for record in ends(caplog, bad):
        text = text_of(record)
        assert text.count("Traceback (most recent call last)") == 1
        assert 'raise RuntimeError(job.payload.get("error"' in text
        assert text.endswith("RuntimeError: the reason")
    assert [text_of(record).count("\n") for record in ends(caplog, good)] == [0]


def test_a_snooze_is_logged_as_one(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    with manager:
        job = manager.create("a", {"snooze": 7})
        until(lambda: ends(caplog, job))
    (record,) = ends(caplog, job)
    assert record.levelname == "INFO"
    assert re.search(r" snoozed \(in 7\.0 s\) after \d+\.\d{3} s$", record.message)


def test_claims_are_logged_at_debug_with_how_many_they_brought(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    run(manager, *[("a", {})] * 30)
    claims = [record for record in caplog.records if record.levelno == logging.DEBUG and record.name == "steve"]
    assert all(record.message.startswith("claimed ") for record in claims)
    assert sum(int(record.message.split()[1]) for record in claims) == 30


def test_payloads_and_results_are_not_logged(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    run(manager, ("a", {"password": SECRET, "result": SECRET}), ("a", {"password": SECRET, "failures": 9}), max_attempts=1)
    assert len(caplog.records) >= 4
    assert SECRET not in caplog.text


def test_a_message_of_any_size_and_content_is_logged_bounded(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    def fail(job: Job) -> None:
        raise RuntimeError("begin " + "ä" * 5_000_000 + " end \x00 \ud800 %s %d {}")

    manager.set_handler("a", fail)
    (job,) = run(manager, ("a", {}), max_attempts=1)
    (record,) = ends(caplog, job)
    text = text_of(record)
    assert len(text.encode()) < 70_000
    assert "RuntimeError: begin" in text
    assert " end \ufffd \ufffd %s %d {}" in text


def test_a_logging_level_above_silences_all_but_trouble(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "steve")
    _, again, bad = run(
        manager, ("a", {}), ("a", {"failures": 1}), ("a", {"failures": 9}), max_attempts=2, backoff_strategy="none"
    )
    assert ends(caplog, again) == []
    assert [record.levelname for record in ends(caplog, bad)] == ["ERROR"]
    assert len(caplog.records) == 1


def test_a_logging_filter_that_raises_loses_no_outcome(manager: JobManager) -> None:
    def broken(record: logging.LogRecord) -> bool:
        if hasattr(record, "job_uid"):
            raise RuntimeError("a defect of the application's")
        return False

    logger = logging.getLogger("steve")
    manager.start()
    logger.addFilter(broken)
    try:
        jobs = manager.create_many([("a", {}), ("a", {"failures": 1})] * 5, max_attempts=1)
        until(lambda: all(manager.history(job) for job in jobs))
        assert {attempt.status for job in jobs for attempt in manager.history(job)} == {"success", "error"}, "none was lost"
    finally:
        logger.removeFilter(broken)


def test_an_error_that_cannot_be_printed_loses_no_outcome(manager: JobManager) -> None:
    def fail(job: Job) -> None:
        raise SyntaxError("no", ("file", 1, 1, 5, 1, 2))  # traceback expects the source line, and finds a number

    manager.set_handler("a", fail)
    with manager:
        job = manager.create("a", max_attempts=1)
        until(lambda: manager.history(job))
        (attempt,) = manager.history(job)
    assert attempt.error_message is not None
    assert attempt.error_message.startswith("SyntaxError: no")


def test_the_outcome_of_a_job_that_was_taken_away_is_dropped_with_one_warning(
    manager: JobManager, gate: threading.Event, conn: psycopg.Connection, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The fence: the job has been claimed, rescued or settled by another process since."""
    begun = threading.Event()
    told: list[tuple[UUID, str]] = []

    def handler(job: Job) -> str:
        begun.set()
        gate.wait(60)
        return "too late"

    manager.set_handler("slow", handler)
    manager.on_attempt(None, lambda job, attempt: told.append((job.uid, job.status)))
    manager.on_done(None, lambda job: told.append((job.uid, "done")))
    manager.start()
    job = manager.create("slow")
    assert begun.wait(60)
    conn.execute(f"update {schema}.job set lease_no = lease_no + 1 where uid = %s", [job.uid])
    gate.set()
    until(lambda: "its outcome (completed) is dropped" in caplog.text)
    neighbour = manager.create("a")
    until(lambda: (neighbour.uid, "done") in told)
    found = manager.find(job)
    assert found is not None
    assert (found.status, found.result, found.completed_at) == (Status.RUNNING, None, None)
    assert manager.history(job) == []
    assert [status for id, status in told if id == job.uid] == ["running"]
    warnings = [record for record in ends(caplog, job) if record.levelno == logging.WARNING]
    assert [record.message for record in warnings] == [
        f"job {job.uid} was taken from this process while attempt 1 ran: its outcome (completed) is dropped"
    ]


@pytest.mark.parametrize("outcome", ["an error", "a snooze"])
def test_the_fence_holds_for_every_outcome(
    manager: JobManager, gate: threading.Event, conn: psycopg.Connection, schema: str, outcome: str
) -> None:
    begun = threading.Event()

    def handler(job: Job) -> None:
        begun.set()
        gate.wait(60)
        raise RuntimeError("too late") if outcome == "an error" else Snooze(0)

    manager.set_handler("slow", handler)
    manager.start()
    job = manager.create("slow")
    assert begun.wait(60)
    before = conn.execute(
        f"update {schema}.job set lease_no = lease_no + 1 where uid = %s returning job.*", [job.uid]
    ).fetchone()
    gate.set()
    neighbour = manager.create("a")
    until(lambda: manager.history(neighbour))
    manager.stop()
    assert conn.execute(f"select job.* from {schema}.job where uid = %s", [job.uid]).fetchone() == before
    assert manager.history(job) == []


def test_the_start_and_what_stops_it_are_logged(manager: JobManager, caplog: pytest.LogCaptureFixture, schema: str) -> None:
    manager.start(workers=3)
    manager.start()
    manager.stop()
    told = [(record.levelname, record.message) for record in caplog.records if record.levelno >= logging.INFO]
    assert told == [
        ("INFO", f"started: 3 workers, schema {schema!r}"),
        ("WARNING", "start() was called while the manager runs: nothing changed; scale() changes its workers"),
    ]


def test_a_handler_that_does_not_return_in_time_is_named_with_where_it_is(
    manager: JobManager, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()

    def never_returns(job: Job) -> None:
        begun.set()
        gate.wait(60)

    manager.set_handler("slow", never_returns)
    manager.start()
    job = manager.create("slow")
    assert begun.wait(60)
    report = manager.stop(timeout=0.1)
    assert not report.complete
    assert [one.uid for one in report.still_running] == [job.uid]
    # A thread of its own logs it, and stop() waits only for a moment until it has.
    (record,) = until(lambda: ends(caplog, job))
    assert record.levelname == "WARNING"
    assert f"job {job.uid} (slow) is still running, here:" in record.message
    assert "gate.wait(60)" in record.message


def test_without_logging_set_up_nothing_is_printed_below_warning(manager: JobManager) -> None:
    logger = logging.getLogger("steve")
    assert logger.handlers == []
    assert logger.propagate


# -- a table that cannot be cleaned up ------------------------------------------------------------------------------------


def test_a_session_that_keeps_scans_slow_is_named(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(handler=work, _tuning=Tuning(slow_scan=-1.0, warn_scan=-1.0, full_scan_every=0, scan_check=0.05))
    with psycopg.connect(make_conninfo(database_url, application_name=f"{APPLICATION} report")) as report:
        report.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        report.execute("select from pg_class")
        old = "select from pg_stat_activity where pid = %s and xact_start < clock_timestamp() - interval '5 s'"
        until(lambda: conn.execute(old, [report.info.backend_pid]).fetchall())
        with manager:
            until(lambda: "dead rows cannot be removed, held by" in caplog.text)
    (line,) = [record.message for record in caplog.records if "dead rows cannot be removed" in record.message]
    assert f"{APPLICATION} report" in line


# -- whatever the application's logging does ------------------------------------------------------------------------------


class Nameless:
    """A listener that can only be called."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attribute for you")

    def __repr__(self) -> str:
        raise RuntimeError("no repr either")

    def __call__(self, job: Job) -> None:
        raise ValueError("no")


TROUBLES = """
create sequence {schema}.trouble;
create function {schema}.trouble() returns trigger language plpgsql as $$
begin
  case nextval('{schema}.trouble')
    when 1 then raise exception 'no' using errcode = '22P05';
    when 2 then raise exception 'away' using errcode = '40001';
    when 3 then perform pg_terminate_backend(pg_backend_pid());
    else null;
  end case;
  return null;
end $$;
create trigger trouble before insert on {schema}.attempt for each statement execute function {schema}.trouble();
"""
"""The first three settlements fail: refused, in a way that passes, and with a connection that breaks. No rollback sets a
sequence back."""


def test_a_filter_that_raises_ends_no_loop(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    """The settler, the dispatcher, the claims, outages, start and stop all log something."""
    told: list[UUID] = []

    def fail(record: logging.LogRecord) -> bool:
        raise RuntimeError("the filter")

    logger = logging.getLogger("steve")
    logger.addFilter(fail)
    try:
        conn.execute(TROUBLES.replace("{schema}", schema).encode())
        manager.on_done(None, Nameless())
        manager.on_done(None, lambda job: told.append(job.uid))
        manager.start()
        jobs = manager.create_many([("a", {}), ("a", {"failures": 9}), ("a", {})], max_attempts=1)
        until(lambda: len(told) == 3)
        assert manager.stop(timeout=60).complete
    finally:
        logger.removeFilter(fail)
    assert sorted(told) == [job.uid for job in jobs]


def test_a_line_names_the_place_that_logs(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    manager.start()
    (record,) = [record for record in caplog.records if record.message.startswith("started:")]
    assert (record.filename, record.funcName) == ("runner.py", "start")


def test_a_listener_that_cannot_even_be_named_is_named_by_its_class(
    manager: JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.on_done(None, Nameless())
    run(manager, ("a", {}))
    assert "a listener raised: a Nameless that cannot be shown" in caplog.text
