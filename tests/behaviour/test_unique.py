"""`create` and `create_many` with `unique`: one open job a key, what a conflict does, windows, and tries that are sent again.

With real threads and transactions: a conflict is decided by PostgreSQL's unique index, not by a look before it.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest

from steve import AlreadyExists, InvalidJob, Job, JobManager, NewJob, Status, SteveError
from steve._client.calls import Calls
from steve._client.create import Creator
from steve._client.enqueue import checked, checked_many
from steve._client.unique import UniqueJobs, settle_keys
from steve._database.connections import Connections
from steve._database.statements import statements_for
from steve._database.statements.script import channel_of
from steve._database.statements.unique import UniqueStatements
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from tests.conftest import until

MakeManager = Callable[..., JobManager]


class Tables:
    """Moves jobs by SQL, as an engine would, and counts them."""

    def __init__(self, conn: psycopg.Connection, schema: str) -> None:
        self._conn = conn
        self._schema = schema

    def run(self, job: Job) -> None:
        self._update(job, "status = 'running', process_id = 1, claimed_at = now(), attempts = 1, lease_no = lease_no + 1")

    def end(self, job: Job, status: str = "completed") -> None:
        self._update(job, f"status = '{status}', process_id = null, completed_at = now()")

    def delete(self, job: Job) -> None:
        self._conn.execute(f"delete from {self._schema}.job where uid = %s".encode(), [job.uid])

    def _update(self, job: Job, what: str) -> None:
        assert self._conn.execute(f"update {self._schema}.job set {what} where uid = %s".encode(), [job.uid]).rowcount == 1

    def open(self, key: str) -> int:
        query = f"select count(*) from {self._schema}.job where unique_key = %s and completed_at is null"
        return self._conn.execute(query.encode(), [key]).fetchone()[0]

    def end_window(self, key: str) -> None:
        self._conn.execute(f"update {self._schema}.unique_window set until = now() where key = %s".encode(), [key])

    def count(self, table: str) -> int:
        return self._conn.execute(f"select count(*) from {self._schema}.{table}".encode()).fetchone()[0]


@pytest.fixture
def tables(conn: psycopg.Connection, schema: str, manager: JobManager) -> Tables:
    return Tables(conn, schema)


# -- a conflict -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "running"])
def test_while_a_job_of_the_key_is_open_create_returns_it(manager: JobManager, tables: Tables, state: str) -> None:
    first = manager.create("a", {"n": 1}, unique="k", tags={"tenant": "acme"})
    assert (first.unique, first.duplicate) == ("k", False)
    if state == "running":
        tables.run(first)
    second = manager.create("b", {"n": 2}, unique="k")
    assert second.duplicate
    assert (second.uid, second.type, second.payload, second.tags, second.status) == (
        first.uid, "a", {"n": 1}, {"tenant": "acme"}, state,
    )  # fmt: skip
    assert tables.count("job") == 1


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_once_the_job_has_ended_its_key_is_free(manager: JobManager, tables: Tables, status: str) -> None:
    first = manager.create("a", unique="k")
    tables.end(first, status)
    second = manager.create("a", unique="k")
    assert not second.duplicate
    assert second.uid != first.uid


def test_a_conflict_raises_where_that_was_asked(manager: JobManager) -> None:
    first = manager.create("a", unique="k", on_conflict="raise")
    with pytest.raises(AlreadyExists, match=f"there is a job with unique 'k': {first.uid}, pending") as caught:
        manager.create("a", unique="k", on_conflict="raise")
    assert isinstance(caught.value, SteveError)
    assert caught.value.job.uid == first.uid


def test_replace_gives_a_pending_job_all_that_the_new_one_has(manager: JobManager, tables: Tables) -> None:
    first = manager.create("a", {"n": 1}, unique="k", queue="slow", tags={"n": 1}, metadata={"m": 1}, timeout=1, expires_in=1)
    second = manager.create(
        "b", {"n": 2}, unique="k", on_conflict="replace", priority=3, max_attempts=7, backoff_strategy="none",
        delay=60, tags={"n": 2}, metadata={"m": 2}, timeout=2, expires_in=3600,
    )  # fmt: skip
    assert (second.uid, second.created_at, second.attempts, second.duplicate) == (first.uid, first.created_at, 0, True)
    assert (second.type, second.queue, second.payload, second.priority) == ("b", "default", {"n": 2}, 3)
    assert (second.max_attempts, second.backoff_strategy, second.timeout) == (7, "none", 2.0)
    assert (second.tags, second.metadata) == ({"n": 2}, {"m": 2})
    assert timedelta(seconds=59) < second.run_at - first.created_at < timedelta(seconds=90)
    assert second.expires_at > second.run_at
    assert manager.fetch_all()[0].uid == first.uid
    assert tables.count("job") == 1


def test_replace_beside_a_running_job_makes_a_new_one_which_has_the_key(manager: JobManager, tables: Tables) -> None:
    first = manager.create("a", {"n": 1}, unique="k")
    tables.run(first)
    second = manager.create("a", {"n": 2}, unique="k", on_conflict="replace")
    assert (second.duplicate, second.payload, second.unique) == (False, {"n": 2}, "k")
    assert second.uid != first.uid
    former = manager.find(first)
    assert (former.unique, former.status, former.payload) == (None, Status.RUNNING, {"n": 1})
    assert manager.create("a", unique="k").uid == second.uid


def test_a_running_handler_is_not_disturbed_by_a_replace(manager: JobManager) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def handler(job: Job) -> None:
        seen.append(job.payload["n"])
        begun.set()
        go_on.wait(30)

    manager.set_handler("a", handler)
    manager.start()
    first = manager.create("a", {"n": 1}, unique="k")
    assert begun.wait(30)
    second = manager.create("a", {"n": 2}, unique="k", on_conflict="replace")
    go_on.set()
    until(lambda: all(manager.find(job).status is Status.COMPLETED for job in (first, second)))
    assert sorted(seen) == [1, 2]


# -- at the same moment -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["return", "raise", "replace"])
def test_many_threads_that_create_one_key_make_one_job(make_manager: MakeManager, tables: Tables, how: Any) -> None:
    manager = make_manager()
    start = threading.Barrier(16)

    def create(number: int) -> Job:
        start.wait(30)
        try:
            return manager.create("a", {"n": number}, unique="k", on_conflict=how)
        except AlreadyExists as error:
            return error.job

    with ThreadPoolExecutor(16) as threads:
        jobs = list(threads.map(create, range(16)))
    assert len({job.uid for job in jobs}) == 1
    assert tables.count("job") == tables.open("k") == 1


@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("many", [False, True])
def test_a_create_waits_for_the_transaction_that_has_the_key(
    manager: JobManager, conn: psycopg.Connection, database_url: str, ending: str, many: bool
) -> None:
    with psycopg.connect(database_url) as theirs, ThreadPoolExecutor(1) as thread:
        first = manager.create("a", {"n": 1}, unique="k", connection=theirs)
        made = (
            thread.submit(lambda: manager.create_many([NewJob("a", {"n": 2}, unique="k")])[0])
            if many
            else thread.submit(lambda: manager.create("a", {"n": 2}, unique="k"))
        )
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%%unique%%'"
        until(lambda: conn.execute(waiting).fetchone()[0])
        getattr(theirs, ending)()
        second = made.result(30)
    assert second.duplicate == (ending == "commit")
    assert (second.uid == first.uid) == (ending == "commit")


class EndsMeanwhile(UniqueStatements):
    """Between the insertion that found the key taken and the look for the job that has it, that job ends."""

    tables: Tables
    job: Job

    def find_holder(self, connection: psycopg.Connection, key: str, **more: Any) -> Job | None:
        self.tables.end(self.job)
        return super().find_holder(connection, key, **more)

    def find_unique(self, connection: psycopg.Connection, jobs: Any, **more: Any) -> Any:
        if tables := getattr(self, "tables", None):
            del self.tables
            tables.end(self.job)
        return super().find_unique(connection, jobs, **more)

    def replace_jobs(self, connection: psycopg.Connection, jobs: Any, notify: bool, **more: Any) -> Any:
        if tables := getattr(self, "tables", None):
            del self.tables
            tables.end(self.job)
        return super().replace_jobs(connection, jobs, notify, **more)


@pytest.mark.parametrize("how", ["return", "raise", "replace"])
@pytest.mark.parametrize("many", [False, True])
def test_if_the_holder_ends_before_the_look_the_job_is_inserted_after_all(
    manager: JobManager, tables: Tables, database_url: str, schema: str, how: Any, many: bool
) -> None:
    statements = statements_for(Settings(schema=schema))
    unique = EndsMeanwhile(statements.unique._script)
    unique.tables, unique.job = tables, manager.create("a", unique="k")
    maker = UniqueJobs(jobs=statements.jobs, unique=unique, keep=60.0)
    insert = checked(NewJob("a", unique="k", on_conflict=how), Settings())
    with psycopg.connect(database_url, autocommit=True) as connection:
        if many:
            (made,) = maker.create_many(connection, [insert], sparing=False, resent=False)
        else:
            made = maker.create(connection, insert, False, statements.jobs.insert_job, sparing=False, resent=False)
    assert not made.duplicate
    assert made.uid == insert.uid


# -- sent again -------------------------------------------------------------------------------------------------------------


class TwiceSent:
    """In place of the connections of a manager: the reply to the first try of each call is lost. `between()` runs before the
    second try."""

    def __init__(self, connection: psycopg.Connection, between: Callable[[], object]) -> None:
        self._connection = connection
        self._between = between

    def call(self, statement: Callable[[psycopg.Connection], Any], **more: Any) -> Any:
        statement(self._connection)
        self._between()
        return statement(self._connection)


Resend = Callable[..., Any]


@pytest.fixture
def resend(manager: JobManager, database_url: str, schema: str) -> Iterator[Resend]:
    """`resend(jobs, between)`: create them; the reply is lost, `between()` is called, and they are sent again."""
    settings = Settings(schema=schema)
    statements = statements_for(settings)
    with psycopg.connect(database_url, autocommit=True) as connection:

        def create(jobs: NewJob | list[NewJob], between: Callable[[], object] = lambda: None) -> Any:
            twice = cast(Connections, TwiceSent(connection, between))
            calls = Calls(connections=twice, statements=statements, settings=settings)
            creator = Creator(statements=statements, calls=calls, connections=twice, settings=settings)
            if isinstance(jobs, NewJob):
                return creator.create(checked(jobs, settings), False, None)
            return creator.create_many(checked_many(jobs, NewJob("a"), settings), False, None)

        yield create


HOWS: list[Any] = ["return", "raise", "replace"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("window", [None, 60])
@pytest.mark.parametrize("many", [False, True])
def test_a_job_that_is_sent_again_is_its_own_and_no_duplicate(
    tables: Tables, resend: Resend, how: Any, window: float | None, many: bool
) -> None:
    new = NewJob("a", unique="k", on_conflict=how, unique_for=window)
    job = resend([NewJob("a"), new])[1] if many else resend(new)
    assert not job.duplicate
    assert tables.open("k") == 1
    assert tables.count("job") == 1 + many


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("many", [False, True])
def test_a_job_that_is_sent_again_after_it_has_ended_is_not_made_twice(
    manager: JobManager, tables: Tables, resend: Resend, how: Any, many: bool
) -> None:
    def others() -> None:
        (first,) = manager.fetch_all()
        tables.end(first)
        manager.create("a", {"n": 2}, unique="k")

    new = NewJob("a", {"n": 1}, unique="k", on_conflict=how)
    job = resend([new], others)[0] if many else resend(new, others)
    assert not job.duplicate
    assert sorted(job.payload["n"] for job in manager.fetch_all()) == [1, 2], "the job of the other caller is as it was"


@pytest.mark.parametrize("many", [False, True])
def test_a_replace_that_is_sent_again_does_not_undo_a_later_one(manager: JobManager, resend: Resend, many: bool) -> None:
    first = manager.create("a", {"n": 1}, unique="k")
    new = NewJob("a", {"n": 2}, unique="k", on_conflict="replace")

    def later() -> None:
        assert manager.find(first).payload == {"n": 2}
        manager.create("a", {"n": 3}, unique="k", on_conflict="replace")

    job = resend([new], later)[0] if many else resend(new, later)
    assert (job.uid, job.duplicate) == (first.uid, True)
    assert [job.payload for job in manager.fetch_all()] == [{"n": 3}]


@pytest.mark.parametrize("many", [False, True])
def test_a_replace_that_is_sent_again_after_the_job_has_ended_makes_no_other(
    manager: JobManager, tables: Tables, resend: Resend, many: bool
) -> None:
    first = manager.create("a", {"n": 1}, unique="k")
    new = NewJob("a", {"n": 2}, unique="k", on_conflict="replace")
    job = resend([new], lambda: tables.end(first))[0] if many else resend(new, lambda: tables.end(first))
    assert (job.uid, job.status) == (first.uid, Status.COMPLETED)
    assert tables.count("job") == 1


@pytest.mark.parametrize("many", [False, True])
def test_a_replace_beside_a_running_job_that_is_sent_again_makes_one_job(
    manager: JobManager, tables: Tables, resend: Resend, many: bool
) -> None:
    first = manager.create("a", {"n": 1}, unique="k")
    tables.run(first)
    new = NewJob("a", {"n": 2}, unique="k", on_conflict="replace")
    job = resend([new])[0] if many else resend(new)
    assert (job.duplicate, job.payload) == (False, {"n": 2})
    assert tables.count("job") == 2


class LandsLate(UniqueStatements):
    """The server carries out the first try right after the second one has looked for it, and found nothing."""

    first_try: Callable[[], object]

    def find_unique(self, connection: psycopg.Connection, jobs: Any, **more: Any) -> Any:
        found = super().find_unique(connection, jobs, **more)
        first_try, self.first_try = self.first_try, lambda: None
        first_try()
        return found


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("many", [False, True])
def test_a_first_try_that_the_server_carries_out_late_is_no_conflict_for_the_second(
    manager: JobManager, tables: Tables, database_url: str, schema: str, how: Any, many: bool
) -> None:
    statements = statements_for(Settings(schema=schema))
    unique = LandsLate(statements.unique._script)
    maker = UniqueJobs(jobs=statements.jobs, unique=unique, keep=60.0)
    insert = checked(NewJob("a", unique="k", on_conflict=how), Settings())
    with psycopg.connect(database_url, autocommit=True) as late, psycopg.connect(database_url, autocommit=True) as connection:
        unique.first_try = lambda: statements.jobs.insert_job(late, insert, False)
        if many:
            (made,) = maker.create_many(connection, [insert], sparing=False, resent=True)
        else:
            made = maker.create(connection, insert, False, statements.jobs.insert_job, sparing=False, resent=True)
    assert (made.uid, made.duplicate) == (insert.uid, False)
    assert tables.count("job") == 1


def test_a_replace_that_the_server_carries_out_late_is_noticed_by_its_note(
    manager: JobManager, database_url: str, schema: str
) -> None:
    """The second try has looked and found nothing yet: then its own statement fails, and it looks again."""
    first = manager.create("a", {"n": 1}, unique="k")
    statements = statements_for(Settings(schema=schema))
    maker = UniqueJobs(jobs=statements.jobs, unique=statements.unique, keep=60.0)
    insert = checked(NewJob("a", {"n": 2}, unique="k", on_conflict="replace"), Settings())
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(2):  # without `resent`, nothing is looked for before
            job = maker.create(connection, insert, False, statements.jobs.insert_job, sparing=False, resent=False)
            manager.create("a", {"n": 3}, unique="k", on_conflict="replace")
            (many,) = maker.create_many(connection, [insert], sparing=False, resent=False)
    assert job.uid == many.uid == first.uid
    assert manager.find(first).payload == {"n": 3}


# -- windows ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [False, True])
def test_within_its_window_there_is_no_second_job_whatever_became_of_the_first(
    manager: JobManager, tables: Tables, many: bool
) -> None:
    def create(**more: Any) -> Job:
        new = NewJob("a", unique="k", unique_for=timedelta(hours=1), **more)
        return manager.create_many([new])[0] if many else manager.create("a", unique="k", unique_for=3600, **more)

    first = create()
    assert not first.duplicate
    tables.end(first, "failed")
    for how in HOWS[::2]:
        again = create(on_conflict=how)
        assert (again.uid, again.duplicate, again.status) == (first.uid, True, Status.FAILED)
    with pytest.raises(AlreadyExists) as caught:
        create(on_conflict="raise")
    assert caught.value.job.uid == first.uid
    tables.end_window("k")
    assert not create().duplicate


@pytest.mark.parametrize("many", [False, True])
def test_a_window_outlives_its_job(manager: JobManager, tables: Tables, many: bool) -> None:
    first = manager.create("a", unique="k", unique_for=3600)
    tables.end(first)
    assert manager.prune(older_than=timedelta(0)) == 1
    new = NewJob("a", {"n": 2}, unique="k", unique_for=3600)
    again = manager.create_many([new])[0] if many else manager.create("a", {"n": 2}, unique="k", unique_for=3600)
    assert (again.uid, again.duplicate, again.status) == (first.uid, True, "deleted")
    assert abs(again.created_at - first.created_at) < timedelta(seconds=1)


def test_a_window_that_is_over_does_not_free_the_key_of_an_open_job(manager: JobManager, tables: Tables) -> None:
    first = manager.create("a", unique="k", unique_for=3600)
    tables.end_window("k")
    assert manager.create("a", unique="k", unique_for=3600).uid == first.uid
    tables.end(first)
    assert not manager.create("a", unique="k", unique_for=3600).duplicate


def test_without_unique_for_a_window_does_not_count(manager: JobManager, tables: Tables) -> None:
    tables.end(manager.create("a", unique="k", unique_for=3600))
    assert not manager.create("a", unique="k").duplicate


def test_a_replace_beside_a_running_job_moves_the_window(manager: JobManager, tables: Tables) -> None:
    first = manager.create("a", unique="k", unique_for=3600)
    tables.run(first)
    tables.end_window("k")
    second = manager.create("a", unique="k", unique_for=3600, on_conflict="replace")
    tables.end(second)
    assert manager.create("a", unique="k", unique_for=3600).uid == second.uid


def test_many_threads_that_create_one_key_with_a_window_make_one_job(make_manager: MakeManager, tables: Tables) -> None:
    manager = make_manager()
    start = threading.Barrier(16)

    def create(number: int) -> Job:
        start.wait(30)
        job = manager.create("a", {"n": number}, unique="k", unique_for=3600)
        if not job.duplicate:
            tables.end(job)
        return job

    with ThreadPoolExecutor(16) as threads:
        jobs = list(threads.map(create, range(16)))
    assert len([job for job in jobs if not job.duplicate]) == tables.count("job") == 1


def test_a_window_that_another_transaction_opens_counts_once_it_is_committed(
    manager: JobManager, tables: Tables, conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    """Even if its job has ended by then, so that the key is free."""
    with psycopg.connect(database_url) as theirs, ThreadPoolExecutor(1) as thread:
        first = manager.create("a", unique="k", unique_for=3600, connection=theirs)
        theirs.execute(f"update {schema}.job set status = 'cancelled', completed_at = now()")
        made = thread.submit(lambda: manager.create("a", unique="k", unique_for=3600))
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%%unique%%'"
        until(lambda: conn.execute(waiting).fetchone()[0])
        theirs.commit()
        again = made.result(30)
    assert (again.uid, again.duplicate, again.status) == (first.uid, True, Status.CANCELLED)
    assert tables.count("job") == 1


@pytest.mark.parametrize("many", [False, True])
def test_a_window_that_was_opened_without_a_job_is_closed_again(
    manager: JobManager, tables: Tables, conn: psycopg.Connection, database_url: str, schema: str, many: bool
) -> None:
    """A job without a window takes the key after the look and before the insertion."""
    with psycopg.connect(database_url) as theirs, ThreadPoolExecutor(1) as thread:
        plain = manager.create("a", unique="k", connection=theirs)
        new = NewJob("a", unique="k", unique_for=3600)
        made = thread.submit(
            lambda: manager.create_many([new])[0] if many else manager.create("a", unique="k", unique_for=3600)
        )
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%%unique%%'"
        until(lambda: conn.execute(waiting).fetchone()[0])
        theirs.commit()
        assert made.result(30).uid == plain.uid
    tables.end(plain)
    assert not manager.create("a", unique="k", unique_for=3600).duplicate


def test_a_duty_deletes_windows_and_notes_that_are_over(
    make_manager: MakeManager, manager: JobManager, tables: Tables, conn: psycopg.Connection, schema: str
) -> None:
    for number in range(5):
        manager.create("a", unique=f"k{number}", unique_for=3600)
        manager.create("a", unique=f"k{number}", unique_for=3600, on_conflict="replace")
        if number:
            tables.end_window(f"k{number}")
    conn.execute(
        f"update {schema}.replacement set until = now() where uid > (select min(uid::text)::uuid from {schema}.replacement)"
    )
    worker = make_manager(_tuning=Tuning(clean_windows=0.05, clean_most=2))
    worker.start()
    until(lambda: tables.count("unique_window") == tables.count("replacement") == 1)
    assert conn.execute(f"select key from {schema}.unique_window").fetchall() == [("k0",)]


def test_processes_that_delete_windows_at_once_pass_each_other_by(
    manager: JobManager, tables: Tables, database_url: str, schema: str
) -> None:
    for number in range(4):
        manager.create("a", unique=f"k{number}", unique_for=3600)
        tables.end_window(f"k{number}")
    statements = statements_for(Settings(schema=schema)).unique
    with psycopg.connect(database_url) as one, psycopg.connect(database_url) as another:
        assert statements.clean_windows(one, 3) == 3
        assert statements.clean_windows(another, 10) == 1
        one.rollback()
        assert statements.clean_windows(another, 10) == 3


# -- many -------------------------------------------------------------------------------------------------------------------


def test_create_many_stores_jobs_with_and_without_a_key_in_their_order(manager: JobManager, tables: Tables) -> None:
    there = manager.create("a", {"n": 0}, unique="there")
    jobs = manager.create_many(
        [
            NewJob("a", {"n": 1}, unique="z"),
            ("b", {"n": 2}),
            NewJob("a", {"n": 3}, unique="there"),
            NewJob("a", {"n": 4}, unique="y", tags={"t": 1}),
            NewJob("a", {"n": 5}, tags={"t": 2}, timeout=3),
        ]
    )
    assert [job.payload["n"] for job in jobs] == [1, 2, 0, 4, 5]
    assert [job.duplicate for job in jobs] == [False, False, True, False, False]
    assert jobs[2].uid == there.uid
    assert [manager.find(job) for job in (*jobs[:2], *jobs[3:])] == [*jobs[:2], *jobs[3:]]


def test_in_create_many_a_conflict_that_raises_stores_nothing(manager: JobManager, tables: Tables) -> None:
    there = manager.create("a", unique="there")
    with pytest.raises(AlreadyExists) as caught:
        manager.create_many([NewJob("a"), NewJob("a", unique="k"), NewJob("a", unique="there", on_conflict="raise")])
    assert caught.value.job.uid == there.uid
    assert tables.count("job") == 1


def keyed(*jobs: tuple[str | None, str]) -> list[Any]:
    return [checked(NewJob("a", unique=key, on_conflict=cast(Any, how)), Settings()) for key, how in jobs]


@pytest.mark.parametrize(
    ("jobs", "winners"),
    [
        ([("k", "return"), ("k", "return"), ("k", "raise")], [0, 0, 0]),
        ([("k", "return"), ("k", "replace")], [1, 1]),
        ([("k", "replace"), ("k", "return")], [0, 0]),
        ([("k", "replace"), ("k", "replace"), ("k", "replace")], [2, 2, 2]),
        ([("k", "return"), (None, "return"), ("l", "return"), (None, "return"), ("l", "replace")], [0, 1, 4, 3, 4]),
    ],
)
def test_which_of_several_jobs_with_one_key_is_sent(jobs: list[tuple[str | None, str]], winners: list[int]) -> None:
    inserts = keyed(*jobs)
    places, sent = settle_keys(inserts)
    assert places == [inserts[winner].uid_number for winner in winners]
    assert sorted(one.uid for one in sent) == sorted({inserts[w].uid for w in winners if inserts[w].key is not None})


def test_of_one_key_twice_in_a_call_one_job_is_made(manager: JobManager, tables: Tables) -> None:
    jobs = manager.create_many([NewJob("a", {"n": n}, unique="k", on_conflict="replace") for n in range(3)])
    assert {job.uid for job in jobs} == {jobs[2].uid}
    assert [job.payload["n"] for job in jobs] == [2, 2, 2]
    assert [job.duplicate for job in jobs] == [True, True, False]
    assert tables.count("job") == 1


def test_create_many_replaces_pending_and_running_jobs_alike(manager: JobManager, tables: Tables) -> None:
    pending, running = manager.create("a", {"n": 1}, unique="p"), manager.create("a", {"n": 2}, unique="r")
    tables.run(running)
    jobs = manager.create_many([NewJob("a", {"n": n}, unique=key) for n, key in enumerate("prx", 10)], on_conflict="replace")
    assert [job.payload["n"] for job in jobs] == [10, 11, 12]
    assert [job.duplicate for job in jobs] == [True, False, False]
    assert jobs[0].uid == pending.uid
    assert manager.find(running).unique is None


def test_two_calls_with_the_same_keys_in_opposite_order_do_not_block_each_other(
    make_manager: MakeManager, tables: Tables
) -> None:
    keys = [f"k{number}" for number in range(200)]
    managers = [make_manager() for _ in range(4)]
    start = threading.Barrier(4)

    def create(number: int) -> int:
        start.wait(30)
        mine = keys if number % 2 else keys[::-1]
        jobs = managers[number].create_many([NewJob("a", unique=key) for key in mine])
        return sum(not job.duplicate for job in jobs)

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(create, range(4))) == 200
    assert tables.count("job") == 200


# -- in the caller's transaction ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("autocommit", [False, True])
def test_on_the_callers_connection_a_conflict_leaves_the_transaction_usable(
    manager: JobManager, tables: Tables, database_url: str, autocommit: bool
) -> None:
    there = manager.create("a", {"n": 0}, unique="there")
    with psycopg.connect(database_url, autocommit=autocommit) as theirs:
        made = manager.create("a", unique="k", connection=theirs)
        assert manager.create("a", unique="k", connection=theirs).uid == made.uid
        with pytest.raises(AlreadyExists):
            manager.create("a", unique="there", on_conflict="raise", connection=theirs)
        with pytest.raises(AlreadyExists):
            manager.create_many([("a", {}), NewJob("a", unique="there")], on_conflict="raise", connection=theirs)
        changed = manager.create("a", {"n": 1}, unique="there", on_conflict="replace", connection=theirs)
        many = manager.create_many([NewJob("b", unique="there"), NewJob("b", unique="l"), ("c", {})], connection=theirs)
        assert (changed.uid, many[0].uid, many[0].payload) == (there.uid, there.uid, {"n": 1})
        if not autocommit:
            assert manager.find(made) is None, "nothing is committed before the caller commits"
            theirs.rollback()
    assert tables.count("job") == (4 if autocommit else 1)
    assert manager.find(there).payload == {"n": 1 if autocommit else 0}


@pytest.mark.parametrize("how", ["return", "raise"])
def test_a_duplicate_in_an_open_transaction_does_not_lock_the_job_that_is_there(
    manager: JobManager, conn: psycopg.Connection, database_url: str, schema: str, how: Any
) -> None:
    """Otherwise that transaction would hold up the settlement of the job."""
    there = manager.create("a", unique="there")
    windowed = manager.create("a", unique="w", unique_for=3600)
    with psycopg.connect(database_url) as theirs:
        for key, window in (("there", None), ("w", 3600)):
            try:
                manager.create("b", unique=key, unique_for=window, on_conflict=how, connection=theirs)
                manager.create_many([NewJob("b", unique=key, unique_for=window)], connection=theirs)
            except AlreadyExists:
                pass
        locked = f"select uid from {schema}.job where uid = any(%s) for update nowait"
        assert len(conn.execute(locked, [[there.uid, windowed.uid]]).fetchall()) == 2
        assert conn.execute(f"select key from {schema}.unique_window for update nowait").fetchall() == [("w",)]


# -- nobody is told -----------------------------------------------------------------------------------------------------------


def test_a_duplicate_notifies_nobody(manager: JobManager, database_url: str, schema: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f"listen {channel_of(schema)}")

        def heard() -> int:
            listener.execute(f"notify {channel_of(schema)}, 'mark'")
            count = 0
            for notification in listener.notifies(timeout=30):
                if notification.payload == "mark":
                    break
                count += 1
            return count

        manager.create("a", unique="k", unique_for=60)
        assert heard() == 1
        manager.create("a", unique="k")
        manager.create("a", unique="k", unique_for=60)
        manager.create_many([NewJob("a", unique="k")])
        with psycopg.connect(database_url) as theirs:
            manager.create("a", unique="k", connection=theirs)
            manager.create_many([NewJob("a", unique="k")], connection=theirs)
        with pytest.raises(AlreadyExists):
            manager.create_many([NewJob("a", unique="k")], on_conflict="raise")
        manager.create("a", unique="k", on_conflict="replace", delay=60)
        assert heard() == 0
        manager.create("a", unique="k", on_conflict="replace")
        assert heard() == 1, "it is due earlier now"
        manager.create_many([NewJob("a", unique="k"), NewJob("a", unique="l")])
        assert heard() == 1


def test_on_done_is_not_called_for_a_duplicate(manager: JobManager, tables: Tables) -> None:
    told: list[tuple[str, UUID]] = []
    begun, go_on = threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        begun.set()
        go_on.wait(30)

    manager.set_handler("a", handler)
    manager.start()
    first = manager.create("a", unique="k", on_done=lambda job: told.append(("first", job.uid)))
    assert begun.wait(30)
    manager.create("a", unique="k", on_done=lambda job: told.append(("duplicate", job.uid)))
    go_on.set()
    until(lambda: told)
    manager.stop()
    assert told == [("first", first.uid)]


# -- oddities -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["k" * 255, "é" * 255, " ", 'a"b\\c', "{null}", "NULL", "a,b", "\n", "😀"])
@pytest.mark.parametrize("many", [False, True])
def test_any_text_may_be_a_key(manager: JobManager, key: str, many: bool) -> None:
    for place in range(2):
        job = (
            manager.create_many([NewJob("a", unique=key, unique_for=1000)])[0]
            if many
            else manager.create("a", unique=key, unique_for=1000)
        )
        assert (job.unique, job.duplicate) == (key, place == 1)


def test_a_trigger_that_swallows_the_job_is_named(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    conn.execute(f"create function {schema}.swallow() returns trigger language plpgsql as 'begin return null; end'")
    conn.execute(f"create trigger swallow before insert on {schema}.job for each row execute function {schema}.swallow()")
    for call in (lambda: manager.create("a", unique="k"), lambda: manager.create_many([NewJob("a", unique="k")])):
        with pytest.raises(SteveError, match="'k' was not stored: a trigger"):
            call()


def test_an_error_of_the_data_is_an_invalid_job(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    conn.execute(f"alter table {schema}.job add constraint small check (payload ->> 'n' is null)")
    for call in (
        lambda: manager.create("a", {"n": 1}, unique="k"),
        lambda: manager.create_many([NewJob("a", {"n": 1}, unique="k")]),
    ):
        with pytest.raises(InvalidJob):
            call()
