"""`run.complete()` and `run.transaction()`: what a handler writes and the end of its job are committed together, or not at all.

The handlers write into a table `effect`. Whatever happens, it has as many rows of a job as the job has completed.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from steve import (
    Cancel,
    Fail,
    ForkedProcessError,
    Job,
    JobManager,
    LeaseLost,
    NotPossible,
    NotRunning,
    Run,
    SchemaError,
    Snooze,
    Status,
    SteveError,
    Unavailable,
    current_run,
)
from tests.behaviour.proxy import Proxy
from tests.conftest import until

MakeManager = Callable[..., JobManager]


class Shop:
    """A manager, the table `effect`, and what the listeners were told."""

    def __init__(self, manager: JobManager, url: str, schema: str, conn: psycopg.Connection) -> None:
        self.manager = manager
        self.url = url
        self.schema = schema
        self.conn = conn
        self.told: list[Job] = []
        self.caught: list[BaseException] = []
        manager.on_done(None, self.told.append)
        conn.execute(self._sql("create table {}.effect (job uuid not null, note text)"))

    def _sql(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(sql.Identifier(self.schema))

    def connect(self, **keywords: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, **keywords)

    def write(self, connection: psycopg.Connection[Any], note: str = "") -> None:
        """The effect of the job that runs."""
        connection.execute(self._sql("insert into {}.effect values (%s, %s)"), [current_run().job.uid, note])

    def effects(self, job: Job) -> list[str]:
        rows = self.conn.execute(self._sql("select note from {}.effect where job = %s"), [job.uid]).fetchall()
        return [note for (note,) in rows]

    def catching(self, call: Callable[[], object]) -> None:
        """Note what the call raises, and raise it."""
        try:
            call()
        except BaseException as error:
            self.caught.append(error)
            raise

    def do(self, handler: Callable[[Job], Any], **keywords: Any) -> Job:
        """Have the handler run a job, and return the job when it has ended and was told."""
        job = self.begin(handler, **keywords)
        return self.end(job)

    def begin(self, handler: Callable[[Job], Any], **keywords: Any) -> Job:
        self.manager.set_handler("a", handler)
        self.manager.start(1)
        return self.manager.create("a", **({"max_attempts": 1} | keywords))

    def end(self, job: Job) -> Job:
        until(lambda: [one for one in self.told if one.uid == job.uid])
        found = self.manager.find(job)
        assert found is not None
        (told,) = (one for one in self.told if one.uid == job.uid)
        assert (told.status, told.result, told.error) == (found.status, found.result, found.error)
        assert told.completed_at == found.completed_at
        return found

    def history(self, job: Job) -> list[str]:
        return [str(attempt.status) for attempt in self.manager.history(job)]

    def log(self) -> int:
        """How many rows the log of attempts has."""
        row = self.conn.execute(self._sql("select count(*) from {}.attempt")).fetchone()
        assert row is not None
        return int(row[0])

    def rob(self, job: Job) -> None:
        """What a rescue does, before the process hears of it."""
        text = "update {}.job set status = 'pending', lease_no = lease_no + 1, process_id = null, claimed_at = null "
        self.conn.execute(self._sql(text + ", run_at = now() + interval '1 hour' where uid = %s"), [job.uid])


@pytest.fixture
def shop(make_manager: MakeManager, database_url: str, schema: str, conn: psycopg.Connection) -> Shop:
    manager = make_manager()
    manager.migrate()
    return Shop(manager, database_url, schema, conn)


# -- committed, rolled back, open ---------------------------------------------------------------------------------------


def test_the_effect_and_the_completion_are_committed_together(shop: Shop) -> None:
    seen: list[Any] = []

    def handler(job: Job) -> str:
        with shop.connect() as connection:
            shop.write(connection)
            current_run().complete({"rows": 1}, connection=connection)
            found = shop.manager.find(job)
            assert found is not None
            seen.append((found.status, shop.effects(job)))
        found = shop.manager.find(job)
        assert found is not None
        seen.append((found.status, shop.effects(job)))
        return "not this"

    job = shop.do(handler)
    assert seen == [(Status.RUNNING, []), (Status.COMPLETED, [""])]
    assert (job.status, job.result, job.attempts) == (Status.COMPLETED, {"rows": 1}, 1)
    assert (shop.history(job), shop.log()) == (["success"], 0)
    assert job.started_at is not None
    assert job.claimed_at is not None
    assert job.completed_at is not None
    assert job.claimed_at <= job.started_at <= job.completed_at


def test_a_later_attempt_that_completes_has_its_row_in_the_log(shop: Shop) -> None:
    def handler(job: Job) -> None:
        with shop.connect() as connection:
            shop.write(connection)
            current_run().complete(job.attempts, connection=connection)
            if job.attempts == 1:
                raise ValueError

    job = shop.do(handler, max_attempts=2, backoff_strategy="none")
    assert (job.status, job.result, shop.effects(job)) == (Status.COMPLETED, 2, [""])
    assert (shop.history(job), shop.log()) == (["error", "success"], 2)


def test_a_row_left_from_another_life_of_the_job_does_not_stop_the_completion(shop: Shop) -> None:
    def handler(job: Job) -> None:
        if job.attempts == 1:
            raise ValueError
        shop.conn.execute(
            shop._sql(
                "insert into {0}.attempt select uid, lease_no, 9, 'x', now(), now(), 'error' from {0}.job where uid = %s"
            ),
            [job.uid],
        )
        with shop.connect() as connection:
            current_run().complete(connection=connection)

    job = shop.do(handler, max_attempts=2, backoff_strategy="none")
    assert (job.status, shop.history(job)) == (Status.COMPLETED, ["error", "success"])


RAISED = {
    "ValueError": ValueError("no"),
    "Fail": Fail("no"),
    "Snooze": Snooze(100),
    "Cancel": Cancel("no"),
    "exit": SystemExit(),
}


@pytest.mark.parametrize("error", RAISED.values(), ids=RAISED)
def test_what_a_handler_raises_after_its_commit_changes_nothing(
    shop: Shop, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def handler(job: Job) -> None:
        with shop.connect() as connection:
            shop.write(connection)
            current_run().complete("done", connection=connection)
        raise error

    job = shop.do(handler)
    assert (job.status, job.result, job.error, shop.effects(job)) == (Status.COMPLETED, "done", None, [""])
    assert (shop.history(job), shop.log()) == (["success"], 0)
    assert f"job {job.uid} has completed: the transaction of attempt 1 was committed" in caplog.text
    assert ", unless its complete() was committed" in caplog.text


def test_what_raises_before_the_commit_undoes_both_and_fails_the_attempt(shop: Shop) -> None:
    def handler(job: Job) -> None:
        with shop.connect() as connection:
            shop.write(connection)
            current_run().complete(connection=connection)
            raise ValueError("no")

    job = shop.do(handler)
    assert (job.status, job.error, shop.effects(job)) == (Status.FAILED, "ValueError: no", [])
    assert shop.history(job) == ["error"]


def test_after_a_rollback_the_return_value_counts(shop: Shop) -> None:
    def handler(job: Job) -> str:
        with shop.connect() as connection:
            current_run().complete("this is rolled back", connection=connection)
            connection.rollback()
        return "this counts"

    assert shop.do(handler).result == "this counts"


def test_a_completion_that_is_rolled_back_to_a_savepoint_is_none(shop: Shop) -> None:
    def handler(job: Job) -> str:
        with shop.connect() as connection:
            shop.write(connection)
            with connection.transaction(force_rollback=True):
                current_run().complete("this is rolled back", connection=connection)
        return "this counts"

    job = shop.do(handler)
    assert (job.result, shop.effects(job)) == ("this counts", [""])


def test_a_cursor_will_do(shop: Shop) -> None:
    def handler(job: Job) -> None:
        with shop.connect() as connection, connection.cursor() as cursor:
            current_run().complete(connection=cursor)

    assert shop.do(handler).status is Status.COMPLETED


def test_the_connection_of_a_pool_may_go_back_before_the_handler_returns(shop: Shop, database_url: str) -> None:
    """The pool commits at the end of the block. A connection that is put back with an open transaction is rolled back."""
    with ConnectionPool(database_url, min_size=1, max_size=1, open=True) as pool:

        def handler(job: Job) -> str:
            connection = pool.getconn()
            shop.write(connection, "put back")
            current_run().complete("put back", connection=connection)
            pool.putconn(connection)
            with pool.connection() as connection:
                shop.write(connection, "committed")
                current_run().complete("committed", connection=connection)
            with pool.connection() as connection:
                connection.execute("select 1")
            return "returned"

        job = shop.do(handler)
    assert (job.result, shop.effects(job)) == ("committed", ["committed"])


def test_a_hook_may_commit_what_the_handler_has_completed(shop: Shop) -> None:
    opened: list[psycopg.Connection[Any]] = []

    def around(run: Run) -> Iterator[None]:
        with shop.connect() as connection:
            opened.append(connection)
            yield

    def handler(job: Job) -> str:
        shop.write(opened[-1])
        current_run().complete("completed", connection=opened[-1])
        return "returned"

    shop.manager.around(around)
    job = shop.do(handler)
    assert (job.result, shop.effects(job)) == ("completed", [""])


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_transaction_that_the_handler_leaves_open_decides_later_and_holds_up_nothing(
    shop: Shop, is_committed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    connection = shop.connect(application_name="left open")
    try:
        shop.manager.set_handler("b", lambda job: "done")

        def handler(job: Job) -> str:
            shop.write(connection)
            current_run().complete("completed", connection=connection)
            return "returned"

        job = shop.begin(handler)
        until(lambda: shop.manager.health().blockers)
        until(lambda: "left open" in caplog.text)
        other = shop.manager.create("b")
        until(lambda: [one for one in shop.told if one.uid == other.uid])
        assert [one for one in shop.told if one.uid == job.uid] == []
        if is_committed:
            connection.commit()
        else:
            connection.rollback()
    finally:
        connection.close()
    job = shop.end(job)
    assert (job.result, shop.effects(job)) == (("completed", [""]) if is_committed else ("returned", []))
    until(lambda: not shop.manager.health().blockers)


def test_a_job_ends_at_the_commit_though_its_handler_runs_on(shop: Shop) -> None:
    committed, go_on = threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        with shop.connect() as connection:
            current_run().complete(connection=connection)
        committed.set()
        assert go_on.wait(60)

    try:
        job = shop.begin(handler, unique="key")
        assert committed.wait(60)
        found = shop.manager.find(job)
        assert found is not None
        assert found.status is Status.COMPLETED
        assert not shop.manager.create("b", unique="key").duplicate, "its key is free"
        assert shop.told == []
    finally:
        go_on.set()
    shop.end(job)


def test_a_follow_up_job_exists_if_and_only_if_the_job_completed(shop: Shop) -> None:
    def handler(job: Job) -> None:
        with shop.connect() as connection:
            shop.manager.create("next", {"of": job.attempts}, connection=connection)
            current_run().complete(connection=connection)
            if job.attempts == 1:
                raise ValueError

    shop.do(handler, max_attempts=2, backoff_strategy="none")
    assert [one.payload for one in shop.manager.fetch_all(type="next")] == [{"of": 2}]


def test_a_cancel_that_was_asked_does_not_undo_a_completion(shop: Shop) -> None:
    def handler(job: Job) -> None:
        shop.manager.cancel(job)
        with shop.connect() as connection:
            current_run().complete("done", connection=connection)

    job = shop.do(handler)
    assert (job.status, job.result) == (Status.COMPLETED, "done")


def test_a_cancel_during_a_serializable_handler_fails_the_attempt(shop: Shop) -> None:
    def handler(job: Job) -> None:
        with shop.connect() as connection:
            connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            shop.write(connection)
            shop.manager.cancel(job)
            shop.catching(lambda: current_run().complete(connection=connection))

    job = shop.do(handler, max_attempts=2)
    assert [type(one) for one in shop.caught] == [psycopg.errors.SerializationFailure]
    assert (job.status, shop.effects(job)) == (Status.CANCELLED, [])


def test_a_conflict_that_is_nobodys_cancel_is_retried(shop: Shop) -> None:
    def handler(job: Job) -> None:
        with shop.connect() as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            shop.write(connection)
            if job.attempts == 1:
                shop.conn.execute(shop._sql("update {}.job set priority = 1 where uid = %s"), [job.uid])
            current_run().complete(connection=connection)

    job = shop.do(handler, max_attempts=2, backoff_strategy="none")
    assert (job.status, shop.effects(job), shop.history(job)) == (Status.COMPLETED, [""], ["error", "success"])


# -- lost jobs and other refusals ---------------------------------------------------------------------------------------


def test_a_lost_job_raises_and_its_transaction_cannot_be_committed_even_if_the_handler_catches_that(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    returned = threading.Event()

    def handler(job: Job) -> str:
        try:
            with shop.connect() as connection:
                shop.write(connection)
                shop.rob(job)
                with suppress(LeaseLost):
                    shop.catching(lambda: current_run().complete(connection=connection))
                connection.commit()
            return "dropped"
        finally:
            returned.set()

    job = shop.begin(handler)
    assert returned.wait(60)
    until(lambda: "is dropped" in caplog.text)
    (error,) = shop.caught
    assert isinstance(error, LeaseLost)
    assert f"job {job.uid} was taken from this process while attempt 1 ran (it is pending now)" in str(error)
    assert (shop.effects(job), shop.told) == ([], [])
    found = shop.manager.find(job)
    assert found is not None
    assert (found.status, found.result) == (Status.PENDING, None)


def test_a_lost_job_that_another_claim_completed_stays_as_it_is(shop: Shop) -> None:
    """The old process comes back late, when the job has run elsewhere."""

    def handler(job: Job) -> None:
        shop.conn.execute(
            shop._sql(
                "update {}.job set status = 'completed', lease_no = lease_no + 1, process_id = null, completed_at = now(), "
                "claimed_at = now(), result = '1', process = 'other:1' where uid = %s"
            ),
            [job.uid],
        )
        with shop.connect() as connection:
            shop.write(connection)
            shop.catching(lambda: current_run().complete(2, connection=connection))

    job = shop.begin(handler)
    until(lambda: shop.caught)
    assert isinstance(shop.caught[0], LeaseLost)
    shop.manager.stop()
    found = shop.manager.find(job)
    assert found is not None
    assert (found.result, shop.effects(job), shop.told) == (1, [], [])


def test_a_lost_job_that_runs_under_another_claim_cannot_be_completed(shop: Shop) -> None:
    """Twice: under a later lease, and under the same one, which a standby that is promoted gives out again."""
    changes = ["lease_no = lease_no + 1", "lease_no = lease_no - 1, claimed_at = claimed_at + interval '1 second'"]

    def handler(job: Job) -> None:
        for change in changes:
            shop.conn.execute(shop._sql("update {}.job set process_id = 7, " + change + " where uid = %s"), [job.uid])
            with shop.connect() as connection:
                shop.write(connection)
                with suppress(LeaseLost):
                    shop.catching(lambda: current_run().complete(connection=connection))
                connection.commit()

    job = shop.begin(handler)
    until(lambda: len(shop.caught) == 2)
    assert [type(error) for error in shop.caught] == [LeaseLost, LeaseLost]
    shop.manager.stop()
    found = shop.manager.find(job)
    assert found is not None
    assert (found.status, shop.effects(job), shop.told) == (Status.RUNNING, [], [])


def test_a_second_completion_raises_and_undoes_what_is_written_with_it(shop: Shop) -> None:
    """As when a handler tries again because the reply to its COMMIT was lost."""

    def handler(job: Job) -> None:
        for note in ("first", "second"):
            with shop.connect() as connection:
                shop.write(connection, note)
                shop.catching(lambda: current_run().complete(note, connection=connection))  # noqa: B023

    job = shop.do(handler)
    assert (job.status, job.result, shop.effects(job)) == (Status.COMPLETED, "first", ["first"])
    (error,) = shop.caught
    assert isinstance(error, NotPossible)
    assert "has been completed by this run already" in str(error)
    assert error.job.uid == job.uid


def test_after_a_rollback_a_job_may_be_completed_again(shop: Shop) -> None:
    def handler(job: Job) -> None:
        with shop.connect() as connection:
            for note in ("first", "second"):
                shop.write(connection, note)
                current_run().complete(note, connection=connection)
                if note == "first":
                    connection.rollback()

    job = shop.do(handler)
    assert (job.result, shop.effects(job)) == ("second", ["second"])


def test_a_completion_beside_an_open_one_raises_instead_of_waiting_for_ever(shop: Shop) -> None:
    def handler(job: Job) -> str:
        with shop.connect() as first, shop.connect() as second:
            shop.write(first)
            current_run().complete("first", connection=first)
            second.execute("set lock_timeout = '10s'")
            shop.write(second)
            with suppress(NotPossible):
                shop.catching(lambda: current_run().complete("second", connection=second))
            second.commit()
        return "returned"

    job = shop.do(handler)
    assert "in a transaction that is still open" in str(shop.caught[0])
    assert (job.result, shop.effects(job)) == ("first", [""])


def test_outside_a_transaction_nothing_is_completed(shop: Shop) -> None:
    def handler(job: Job) -> str:
        with shop.connect(autocommit=True) as connection, suppress(ValueError):
            shop.catching(lambda: current_run().complete("completed", connection=connection))
        return "returned"

    assert shop.do(handler).result == "returned"
    assert "autocommit" in str(shop.caught[0])


def test_a_transaction_block_in_autocommit_mode_will_do(shop: Shop) -> None:
    def handler(job: Job) -> str:
        with shop.connect(autocommit=True) as connection, connection.transaction():
            current_run().complete("completed", connection=connection)
        return "returned"

    assert shop.do(handler).result == "completed"


def test_a_connection_to_another_database_is_named(shop: Shop, database_url: str, conn: psycopg.Connection) -> None:
    def handler(job: Job) -> None:
        with psycopg.connect(make_conninfo(database_url, dbname="template1")) as connection:
            shop.catching(lambda: current_run().complete(connection=connection))

    job = shop.do(handler)
    (error,) = shop.caught
    assert isinstance(error, SchemaError)
    assert "it leads to database 'template1'" in str(error)
    assert job.status is Status.FAILED


def test_a_job_that_is_not_in_the_database_of_the_connection_is_not_called_lost(shop: Shop) -> None:
    def handler(job: Job) -> None:
        with shop.connect() as connection:
            connection.execute(shop._sql("delete from {}.job where uid = %s"), [job.uid])
            shop.catching(lambda: current_run().complete(connection=connection))

    shop.do(handler)
    (error,) = shop.caught
    assert type(error) is SteveError
    assert "pass a connection to the database of the manager" in str(error)


def test_a_snapshot_from_before_the_claim_is_not_called_a_lost_job(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        shop.manager.migrate()
        job = shop.manager.create("a", max_attempts=1)
        connection.execute("select 1 from pg_class limit 1").fetchone()  # takes the snapshot

        def handler(job: Job) -> None:
            shop.catching(lambda: current_run().complete(connection=connection))

        shop.manager.set_handler("a", handler)
        shop.manager.start(1)
        shop.end(job)
        connection.rollback()
    (error,) = shop.caught
    assert type(error) is SteveError
    assert "begin the transaction in the handler" in str(error)


BAD: dict[str, tuple[Any, str]] = {
    "no connection": (None, "complete: connection must be the one on which your transaction is open, not None"),
    "a conninfo": ("host=x", "of SQLAlchemy's, not builtins.str"),
}


@pytest.mark.parametrize(("connection", "text"), BAD.values(), ids=BAD)
def test_what_is_no_connection_is_refused(shop: Shop, connection: Any, text: str) -> None:
    def handler(job: Job) -> None:
        with suppress(TypeError):
            shop.catching(lambda: current_run().complete(connection=connection))

    assert shop.do(handler).status is Status.COMPLETED
    assert text in str(shop.caught[0])


BAD_RESULTS: dict[str, tuple[Any, str]] = {
    "a set": ({"a": {1}}, 'complete: result["a"] is a set'),
    "not a number": (float("nan"), "complete: result is nan"),
    "too large": ("x" * 2_000, "complete: the result has 2002 bytes, more than max_result_bytes=1000"),
}


@pytest.mark.parametrize(("result", "text"), BAD_RESULTS.values(), ids=BAD_RESULTS)
def test_a_result_that_cannot_be_stored_is_refused_before_anything_is_sent(
    make_manager: MakeManager, database_url: str, schema: str, conn: psycopg.Connection, result: Any, text: str
) -> None:
    manager = make_manager(max_result_bytes=1_000)
    manager.migrate()
    shop = Shop(manager, database_url, schema, conn)

    def handler(job: Job) -> str:
        with shop.connect() as connection:
            with suppress(ValueError):
                shop.catching(lambda: current_run().complete(result, connection=connection))
            shop.write(connection)
        return "returned"

    job = shop.do(handler)
    assert text in str(shop.caught[0])
    assert (job.result, shop.effects(job)) == ("returned", [""])


def test_a_thread_that_the_handler_left_behind_cannot_complete_the_job(shop: Shop) -> None:
    runs: list[Run] = []

    def handler(job: Job) -> str:
        runs.append(current_run())
        return "returned"

    job = shop.do(handler)
    with shop.connect() as connection, pytest.raises(SteveError) as caught:
        runs[0].complete("late", connection=connection)
    assert isinstance(caught.value, NotRunning)
    assert "its run is over" in str(caught.value)
    assert job.result == "returned"


def test_the_child_of_a_fork_in_the_handler_cannot_complete_the_job(shop: Shop) -> None:
    def handler(job: Job) -> str:
        child = os.fork()
        if not child:
            code = 1
            try:
                with shop.connect() as connection:
                    current_run().complete("child", connection=connection)
            except ForkedProcessError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        return "parent"

    assert shop.do(handler).result == "parent"


# -- run.transaction() --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["a conninfo", "a pool"])
def on_either(
    request: pytest.FixtureRequest, make_manager: MakeManager, database_url: str, schema: str, conn: psycopg.Connection
) -> Iterator[Shop]:
    """A shop whose manager has a conninfo, or a pool of the user's."""
    if request.param == "a conninfo":
        manager = make_manager()
        manager.migrate()
        yield Shop(manager, database_url, schema, conn)
        return
    with ConnectionPool(database_url, min_size=1, max_size=8, open=True) as pool:
        manager = make_manager(pool)
        manager.migrate()
        yield Shop(manager, database_url, schema, conn)
        manager.stop()


def test_a_transaction_of_the_run_completes_the_job_at_its_end(on_either: Shop) -> None:
    def handler(job: Job) -> str:
        with current_run().transaction() as connection:
            on_either.write(connection)
            found = on_either.manager.find(job, connection=connection)
            assert found is not None
            assert found.status is Status.RUNNING
        return "not this"

    job = on_either.do(handler)
    assert (job.status, job.result, on_either.effects(job)) == (Status.COMPLETED, None, [""])


def test_a_transaction_of_the_run_takes_a_result_by_complete(on_either: Shop) -> None:
    def handler(job: Job) -> None:
        run = current_run()
        with run.transaction() as connection:
            on_either.write(connection)
            run.complete({"rows": 1}, connection=connection)
            on_either.write(connection)

    job = on_either.do(handler)
    assert (job.result, on_either.effects(job)) == ({"rows": 1}, ["", ""])


def test_a_transaction_of_the_run_completes_though_a_savepoint_in_it_was_rolled_back(on_either: Shop) -> None:
    def handler(job: Job) -> None:
        run = current_run()
        with run.transaction() as connection:
            on_either.write(connection)
            with connection.transaction(force_rollback=True):
                run.complete("given", connection=connection)

    job = on_either.do(handler)
    assert (job.result, on_either.effects(job)) == ("given", [""])


def test_what_the_block_raises_comes_through_and_undoes_all(on_either: Shop) -> None:
    def handler(job: Job) -> str:
        def block() -> None:
            with current_run().transaction() as connection:
                on_either.write(connection)
                connection.execute("select 1/0")

        with suppress(psycopg.errors.DivisionByZero):
            on_either.catching(block)
        return "returned"

    job = on_either.do(handler)
    assert [type(one) for one in on_either.caught] == [psycopg.errors.DivisionByZero]
    assert (job.result, on_either.effects(job)) == ("returned", [])


def test_a_lost_job_undoes_the_transaction_of_its_run(on_either: Shop) -> None:
    def handler(job: Job) -> None:
        def block() -> None:
            with current_run().transaction() as connection:
                on_either.write(connection)
                on_either.rob(job)

        on_either.catching(block)

    job = on_either.begin(handler)
    until(lambda: on_either.caught)
    assert isinstance(on_either.caught[0], LeaseLost)
    assert on_either.effects(job) == []


def test_all_workers_may_be_in_transactions_while_others_create_jobs(make_manager: MakeManager, schema: str) -> None:
    together = threading.Barrier(30)

    def handler(job: Job) -> None:
        with current_run().transaction():
            together.wait(60)

    manager = make_manager(handlers={"a": handler})
    manager.start(30)
    manager.create_many([("a", None)] * 30)
    until(lambda: len(manager.fetch_all("completed")) == 30)


def test_without_a_connection_in_time_the_transaction_is_unavailable(
    proxy: Proxy, make_manager: MakeManager, database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=4.0)
    manager.migrate()
    shop = Shop(manager, database_url, schema, conn)

    def handler(job: Job) -> str:
        def block() -> None:
            with current_run().transaction():
                pytest.fail("there is no connection")

        proxy.refuse()
        with suppress(Unavailable):
            shop.catching(block)
        proxy.accept()
        return "returned"

    assert shop.do(handler).result == "returned"
    assert "the database could not be used" in str(shop.caught[0])


def test_a_broken_connection_of_the_pool_is_replaced_before_the_block_begins(
    proxy: Proxy, make_manager: MakeManager, database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    manager = make_manager(proxy.conninfo)
    manager.migrate()
    shop = Shop(manager, database_url, schema, conn)

    def handler(job: Job) -> None:
        manager.find(job)  # opens a connection of the pool
        proxy.cut()
        with current_run().transaction() as connection:
            shop.write(connection)

    job = shop.do(handler)
    assert (job.status, shop.effects(job)) == (Status.COMPLETED, [""])


# -- lost replies, and the process that hears of losses -----------------------------------------------------------------


def test_a_commit_whose_reply_is_lost_has_completed_the_job_though_the_handler_raises(
    shop: Shop, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def handler(job: Job) -> None:
        with psycopg.connect(proxy.conninfo) as connection:
            shop.write(connection)
            current_run().complete("done", connection=connection)
            connection.pgconn.send_query(b"commit")
            until(lambda: shop.effects(job))
            proxy.cut()
            shop.catching(connection.commit)

    job = shop.do(handler)
    assert isinstance(shop.caught[0], psycopg.OperationalError)
    assert (job.status, job.result, shop.effects(job)) == (Status.COMPLETED, "done", [""])


def test_a_run_that_has_completed_is_not_told_that_its_job_was_lost(
    shop: Shop, make_manager: MakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    """The row of the process is gone, so the process asks the tables which of its running jobs it still holds."""
    manager = make_manager(heartbeat=0.1)
    committed, go_on, lost = threading.Event(), threading.Event(), []

    def handler(job: Job) -> None:
        with shop.connect() as connection:
            current_run().complete(connection=connection)
        committed.set()
        assert go_on.wait(60)
        lost.append(current_run().lost)

    def plain(job: Job) -> None:
        assert go_on.wait(60)
        lost.append(current_run().lost)

    try:
        manager.set_handler("a", handler)
        manager.set_handler("plain", plain)
        manager.start(2)
        job = manager.create("a")
        other = manager.create("plain")
        assert committed.wait(60)
        until(lambda: (found := manager.find(other)) is not None and found.status == "running")
        shop.rob(other)
        shop.conn.execute(shop._sql("delete from {}.process"))
        until(lambda: f"job {other.uid} was taken from this process" in caplog.text)
    finally:
        go_on.set()
    until(lambda: len(lost) == 2)
    assert sorted(lost) == [False, True]
    assert f"job {job.uid} was taken" not in caplog.text
