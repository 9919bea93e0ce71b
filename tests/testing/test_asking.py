"""`perform`, `enqueued` and the assertions, `clear`, `crash_point`."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import Cancel, Fail, InvalidJob, Job, JobFailed, JobManager, NotRunning, Retry, Run, Snooze, TimedOut, current_run
from steve.testing import (
    assert_enqueued,
    clear,
    crash_point,
    drain,
    enqueued,
    perform,
    refute_enqueued,
)
from tests.conftest import until

MakeManager = Callable[..., JobManager]


@pytest.fixture
def nowhere() -> JobManager:
    """A manager without a database."""
    return JobManager("postgresql://localhost:1/nothing", create_timeout=0.05)


# -- perform ----------------------------------------------------------------------------------------------------------------


def test_perform_returns_what_the_handler_returned_after_json(nowhere: JobManager) -> None:
    nowhere.set_handler("a", lambda job: (job.payload, (1, 2)))
    assert perform(nowhere, "a", {"pair": (3, 4)}) == [{"pair": [3, 4]}, [1, 2]]


def test_perform_returns_none_for_none(nowhere: JobManager) -> None:
    nowhere.set_handler("a", lambda job: None)
    assert perform(nowhere, "a") is None


def test_perform_calls_the_function_of_a_task(nowhere: JobManager) -> None:
    @nowhere.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    assert perform(nowhere, "add", {"x": 1, "y": 2}) == 3


def test_the_run_is_that_of_the_attempt(nowhere: JobManager) -> None:
    seen: list[Any] = []

    def work(job: Job) -> None:
        run = current_run()
        run.progress(1, 2)
        seen.append((run.attempt, run.last_attempt, run.stopping, job.tags, job.metadata, job.max_attempts))

    nowhere.set_handler("a", work)
    perform(nowhere, "a", attempt=2, max_attempts=3, tags={"tenant": "acme"}, metadata={"locale": "de"})
    perform(nowhere, "a", attempt=3, max_attempts=3)
    assert seen == [(2, False, False, {"tenant": "acme"}, {"locale": "de"}, 3), (3, True, False, {}, {}, 3)]


def test_the_hooks_are_around_it(nowhere: JobManager) -> None:
    seen: list[str] = []

    @contextmanager
    def around(run: Run) -> Iterator[None]:
        seen.append("before")
        yield
        seen.append("after")

    nowhere.around(around)
    nowhere.set_handler("a", lambda job: seen.append("handler"))
    perform(nowhere, "a")
    assert seen == ["before", "handler", "after"]


@pytest.mark.parametrize(
    "error", [LookupError("no"), Snooze(5), Retry(5, "later"), Fail("never"), Cancel("enough"), SystemExit(3)], ids=repr
)
def test_perform_raises_what_the_handler_raised(nowhere: JobManager, error: BaseException) -> None:
    def work(job: Job) -> None:
        raise error

    nowhere.set_handler("a", work)
    with pytest.raises(type(error)) as caught:
        perform(nowhere, "a")
    assert caught.value is error


def test_a_timeout_is_raised(nowhere: JobManager) -> None:
    def slow(job: Job) -> None:
        current_run().wait(30)
        current_run().check()

    nowhere.handler("slow", timeout=0.05)(slow)
    with pytest.raises(TimedOut, match=r"after 0\.05 s"):
        perform(nowhere, "slow")


def test_a_result_that_cannot_be_stored_is_a_failure(nowhere: JobManager) -> None:
    nowhere.set_handler("a", lambda job: {1, 2})
    with pytest.raises(JobFailed, match="ResultNotStorable"):
        perform(nowhere, "a")


def test_a_completion_needs_a_database(nowhere: JobManager) -> None:
    nowhere.set_handler("a", lambda job: current_run().complete(connection=None))
    with pytest.raises(NotRunning):
        perform(nowhere, "a")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("b",), ValueError, "no handler for 'b'"),
        (("",), InvalidJob, "type"),
        (("a", {"when": datetime(2026, 1, 1, tzinfo=UTC)}), InvalidJob, 'payload\\["when"\\]'),
        (("a", None, 0), ValueError, "attempt must be 1 to 10,000, not 0"),
        (("a", None, "1"), TypeError, "attempt must be an int, not str"),
        (("a", None, True), TypeError, "attempt must be an int, not bool"),
    ],
    ids=repr,
)
def test_perform_names_what_cannot_be(
    nowhere: JobManager, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    nowhere.set_handler("a", lambda job: None)
    with pytest.raises(error, match=message):
        perform(nowhere, *arguments)


# -- enqueued ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(manager: JobManager) -> JobManager:
    manager.create("mail", {"to": "ada", "copies": [1, 2], "more": {"a": 1, "b": 2}}, tags={"tenant": "acme"})
    manager.create("mail", {"to": "eve"}, queue="slow", priority=5, delay=3600)
    manager.create("report", unique="month")
    return manager


def test_enqueued_finds_jobs_by_what_they_have_at_least(shop: JobManager) -> None:
    def names(*arguments: Any, **wanted: Any) -> list[str | None]:
        return [job.payload.get("to") for job in enqueued(shop, *arguments, **wanted)]

    assert names() == ["ada", "eve", None]
    assert names("mail") == ["ada", "eve"]
    assert names("mail", {"to": "ada"}) == ["ada"]
    assert names(payload={"copies": (1, 2), "more": {"b": 2}}) == ["ada"]
    assert names(payload={"copies": [1]}) == []
    assert names(payload={"more": {"c": 1}}) == []
    assert names(queue="slow") == names(priority=5) == ["eve"]
    assert names(priority=0) == ["ada", None]
    assert names(tags={"tenant": "acme"}) == ["ada"]
    assert names(unique="month") == [None]
    (eve,) = enqueued(shop, queue="slow")
    assert abs(eve.run_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=5)
    for off, found in ((-1.1, []), (-0.9, ["eve"]), (0.9, ["eve"]), (1.1, [])):
        assert names(run_at=eve.run_at + timedelta(seconds=off)) == found


def test_jobs_that_do_not_wait_are_not_enqueued(shop: JobManager) -> None:
    shop.set_handler("report", lambda job: None)
    drain(shop)
    shop.cancel(assert_enqueued(shop, "mail", {"to": "eve"}))
    assert [job.payload["to"] for job in enqueued(shop)] == ["ada"]


def test_more_than_a_page_of_jobs_is_found(manager: JobManager) -> None:
    manager.create_many([("a", {"n": number}) for number in range(1_005)])
    assert [job.payload["n"] for job in enqueued(manager, "a")] == list(range(1_005))


def test_an_assertion_that_holds_returns_the_job(shop: JobManager) -> None:
    assert assert_enqueued(shop, "mail", count=2).payload["to"] == "ada"
    assert assert_enqueued(shop, unique="month").type == "report"
    refute_enqueued(shop, "mail", {"to": "bob"})


def test_an_assertion_that_fails_shows_what_is_there(shop: JobManager) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(shop, "mail", {"to": "bob"}, queue="slow", tags={"tenant": "acme"})
    first, *jobs = str(caught.value).splitlines()
    assert first == ("no job 'mail' payload={'to': 'bob'} queue='slow' tags={'tenant': 'acme'} waits to be run; these do:")
    assert "'to': 'ada'" in jobs[0]
    assert "tags={'tenant': 'acme'}" in jobs[0]
    assert "queue='slow' priority=5 run_at=" in jobs[1]
    assert jobs[2] == "  'report' {} unique='month'"


def test_a_wrong_count_and_a_job_too_many_are_told(shop: JobManager) -> None:
    with pytest.raises(AssertionError, match=r"2 jobs 'mail' wait to be run, not 1; these do:"):
        assert_enqueued(shop, "mail", count=1)
    with pytest.raises(AssertionError, match=r"a job 'report' should not wait to be run:\n  'report' {} unique='month'"):
        refute_enqueued(shop, "report")
    with pytest.raises(AssertionError, match=r"2 jobs 'mail' should not wait"):
        refute_enqueued(shop, "mail")
    with pytest.raises(ValueError, match="use refute_enqueued"):
        assert_enqueued(shop, "other", count=0)


def test_the_message_says_that_there_is_none_or_that_it_has_run(manager: JobManager, database_url: str) -> None:
    with pytest.raises(AssertionError, match=r"there is no job at all \(a job of a transaction that is not committed"):
        assert_enqueued(manager, "a")
    with psycopg.connect(database_url) as connection, pytest.raises(AssertionError, match=r"there is no job at all$"):
        assert_enqueued(manager, "a", connection=connection)
    manager.set_handler("a", lambda job: None)
    manager.create("a")
    drain(manager)
    with pytest.raises(AssertionError, match=r"do not wait any more:\n  'a' {} status='completed'"):
        assert_enqueued(manager, "a")


def test_a_long_list_is_cut_short(manager: JobManager) -> None:
    manager.create_many([("a", {"text": "x" * 500})] * 30)
    with pytest.raises(AssertionError, match="and 10 more") as caught:
        assert_enqueued(manager, "b")
    assert len(str(caught.value)) < 6_000


def test_a_job_that_is_not_committed_is_seen_on_its_connection(manager: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        manager.create("a", connection=connection)
        assert_enqueued(manager, "a", connection=connection)
        refute_enqueued(manager, "a")
        connection.rollback()
        refute_enqueued(manager, "a", connection=connection)


# -- clear ------------------------------------------------------------------------------------------------------------------


def test_clear_leaves_no_row_of_a_test(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    def fail(job: Job) -> None:
        raise LookupError

    manager.set_handler("a", fail)
    manager.create("a", unique="once", unique_for=60)
    manager.set_schedule("nightly", type="a", every=timedelta(hours=1))
    manager.pause(type="b")
    with manager.acting_as("ada"):
        manager.pause(type="c")
    drain(manager, raise_errors=False)
    clear(manager)
    query = "select table_name from information_schema.tables where table_schema = %s"
    tables = {name for (name,) in conn.execute(query, [schema]).fetchall()}
    kept = {"migration", "process", "waiter"}
    assert kept < tables
    counts = {
        name: conn.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(schema, name))).fetchone()
        for name in tables - kept
    }
    assert {name: count for name, count in counts.items() if count != (0,)} == {}


def test_clear_is_part_of_the_callers_transaction(manager: JobManager, database_url: str) -> None:
    manager.create("a")
    with psycopg.connect(database_url) as connection:
        clear(manager, connection)
        assert enqueued(manager, connection=connection) == []
        connection.rollback()
    assert_enqueued(manager, "a", count=1)


# -- crash_point ------------------------------------------------------------------------------------------------------------


def crash(url: str, schema: str, point: Any, file: Path, started: bool) -> None:
    """In a process of its own."""
    manager = JobManager(url, schema=schema)

    def work(job: Job) -> None:
        with file.open("a") as written:
            written.write("handled\n")

    @contextmanager
    def around(run: Run) -> Iterator[None]:
        yield
        with file.open("a") as written:
            written.write("left\n")

    manager.around(around, types=["a"])
    manager.set_handler("a", work)
    manager.set_handler("b", lambda job: None)
    (job,) = enqueued(manager, "a")
    with crash_point(manager, point, types="a"):
        if started:
            manager.start(1)
            manager.wait(job, timeout=60)
        else:
            drain(manager)


@pytest.mark.parametrize("started", [False, True], ids=["drained", "started"])
@pytest.mark.parametrize(("point", "written"), [("after claim", ""), ("before settle", "handled\nleft\n")])
def test_a_job_whose_process_was_killed_is_drained_again(
    manager: JobManager, database_url: str, schema: str, tmp_path: Path, point: str, written: str, started: bool
) -> None:
    manager.create("b")
    job = manager.create("a")
    file = tmp_path / "written"
    file.touch()
    process = multiprocessing.get_context("spawn").Process(target=crash, args=(database_url, schema, point, file, started))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert file.read_text() == written
    manager.set_handler("a", lambda job: "done")

    def drained() -> list[Any]:  # the server notices in a moment that the session is gone
        return drain(manager, types="a")

    (ran,) = until(drained)
    assert ran.job.uid == job.uid
    assert (ran.job.result, ran.attempt, ran.job.crashes) == ("done", 2, 1)
    assert [attempt.status for attempt in manager.history(job)] == ["crashed", "success"]
    assert manager.processes() == []


def test_a_point_that_is_none_is_named(nowhere: JobManager) -> None:
    message = "one of 'after claim', 'before settle', not 'later'"
    with pytest.raises(ValueError, match=message), crash_point(nowhere, "later"):  # type: ignore[arg-type]
        pass


def test_after_the_block_nothing_crashes(nowhere: JobManager) -> None:
    nowhere.set_handler("a", lambda job: 7)
    with crash_point(nowhere, "after claim", types=["b"]):
        assert perform(nowhere, "a") == 7, "it is for another type"
    with crash_point(nowhere, "after claim"):
        pass
    assert perform(nowhere, "a") == 7
