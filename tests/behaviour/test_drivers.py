"""`connection=` with every driver: what is done on it is part of its transaction, and the same comes back as on psycopg 3."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.orm import Session

from steve import AlreadyExists, InvalidJob, Job, JobManager, NewJob, NotPossible, SchemaError, SteveError, current_run, grants
from tests.conftest import until
from tests.drivers import FEW, HOLDERS, Held, django_connections, engine_of, hold_django, hold_psycopg2

MakeManager = Callable[..., JobManager]


@pytest.fixture(params=list(HOLDERS))
def held(request: pytest.FixtureRequest, database_url: str) -> Iterator[Held]:
    with HOLDERS[request.param](database_url) as held:
        yield held


@pytest.fixture(params=FEW)
def other(request: pytest.FixtureRequest, database_url: str) -> Iterator[Held]:
    with HOLDERS[request.param](database_url) as held:
        yield held


FULL: dict[str, Any] = {
    "max_attempts": 7,
    "backoff_strategy": "none",
    "queue": "mail",
    "priority": -3,
    "delay": timedelta(hours=3, microseconds=7),
    "tags": {"a": "ä€", "n": 3, "b": True},
    "metadata": {"x": [1, None, "\u2028"]},
    "expires_in": 90_000.5,
    "timeout": 12.0,
}
PAYLOAD = {"text": "Ä € \U0001f600 ' \" \\ % %s :x ::y $1", "n": [1.5, 10**30, None, True, {"deep": {}}]}

# -- the transaction ----------------------------------------------------------------------------------------------------


def test_a_job_is_committed_and_rolled_back_with_the_callers_writes(manager: JobManager, held: Held, schema: str) -> None:
    held.run(f'create table "{schema}".orders (uid uuid)')
    held.commit()
    kept = []
    for _ in range(3):
        for end in (held.rollback, held.commit):
            job = manager.create("a", PAYLOAD, connection=held.connection)
            held.run(f"insert into \"{schema}\".orders values ('{job.uid}')")
            (many,) = manager.create_many([("b", {})], connection=held.connection)
            assert manager.find(job) is None
            end()
        kept += [job, many]
        assert manager.find(job) == job
    assert sorted(manager.fetch_all(), key=lambda job: job.uid) == sorted(kept, key=lambda job: job.uid)
    stored = {str(row[0]) for row in held.run(f'select uid from "{schema}".orders')}
    assert stored == {str(job.uid) for job in kept if job.type == "a"}


def test_all_that_a_job_can_have_is_stored(manager: JobManager, held: Held) -> None:
    def create(*args: Any, **options: Any) -> Job:
        return manager.create(*args, **options, connection=held.connection)

    made = [
        create("ä", PAYLOAD, **FULL),
        create("a", PAYLOAD, **FULL, unique="schlüssel", unique_for=60),
        create("a", run_at=datetime(2999, 1, 2, tzinfo=UTC), expires_at=datetime(3000, 1, 1, tzinfo=UTC)),
        *manager.create_many([("b", PAYLOAD), NewJob("c", {"x": 1}, **FULL)], connection=held.connection),
        *manager.create_many(
            [("b", PAYLOAD), NewJob("c", unique="k", unique_for=5), NewJob("d", **FULL, unique="ö")], connection=held.connection
        ),
    ]
    assert [manager.find(job, connection=held.connection) for job in made] == made
    held.commit()
    assert [manager.find(job) for job in made] == made
    assert manager.fetch_all(queue="mail", tags={"n": 3}, connection=held.connection) == manager.fetch_all(queue="mail")


def test_workers_hear_of_a_job_at_the_commit(make_manager: MakeManager, manager: JobManager, other: Held) -> None:
    done: list[str] = []
    worker = make_manager(handler=lambda job: done.append(job.type), poll_interval=600)
    worker.start(migrate=False)
    manager.create("a", connection=other.connection)
    manager.create_many([("b", {})], connection=other.connection)
    manager.create("c", unique="k", connection=other.connection)
    other.commit()
    until(lambda: sorted(done) == ["a", "b", "c"])


# -- the other calls ----------------------------------------------------------------------------------------------------


def test_jobs_are_changed_in_the_transaction(manager: JobManager, held: Held) -> None:
    job, late, gone = manager.create_many([("a", PAYLOAD), NewJob("a", **FULL), ("c", {})])
    theirs = held.connection
    moved = manager.reschedule(job, delay=timedelta(days=2, seconds=1.5), connection=theirs)
    assert moved is not None
    assert moved.run_at > job.run_at + timedelta(days=2)
    at = datetime(2999, 7, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert manager.reschedule(job, run_at=at, connection=theirs).run_at == at  # type: ignore[union-attr]
    assert manager.set_priority(job, 9, connection=theirs).priority == 9  # type: ignore[union-attr]
    cancelled = manager.cancel(late, "wegen Ä", connection=theirs)
    assert (cancelled.status, cancelled.error) == ("cancelled", "Cancelled: wegen Ä")  # type: ignore[union-attr]
    manager.cancel(gone, connection=theirs)
    assert manager.delete(gone, connection=theirs).uid == gone.uid  # type: ignore[union-attr]
    assert manager.find(gone, connection=theirs) is None
    assert manager.retry(late, 3, connection=theirs).status == "pending"  # type: ignore[union-attr]
    with pytest.raises(NotPossible, match="pending"):
        manager.retry(late, connection=theirs)
    assert manager.cancel(gone, connection=theirs) is None
    assert manager.find(job) == job
    seen = [manager.find(one, connection=theirs) for one in (job, late, gone)]
    held.commit()
    assert [manager.find(one) for one in (job, late, gone)] == seen


def test_a_retry_whose_key_is_taken_leaves_the_transaction_alive(manager: JobManager, held: Held) -> None:
    old = manager.create("a", unique="k")
    manager.cancel(old)
    new = manager.create("a", unique="k")
    with pytest.raises(NotPossible, match=str(new.uid)):
        manager.retry(old, connection=held.connection)
    held.run("select 1")


def test_many_jobs_are_changed_in_the_transaction(manager: JobManager, other: Held) -> None:
    jobs = manager.create_many([NewJob("a", tags={"n": 1}), NewJob("a", unique="k"), ("b", {})])
    theirs = other.connection
    assert manager.cancel_all(type="a", connection=theirs).done == 2
    assert manager.retry_all(type="a", dry_run=True, connection=theirs).done == 2
    assert manager.retry_all(type="a", connection=theirs).done == 2
    assert manager.cancel_all(type="a", tags={"n": 1}, connection=theirs).done == 1
    assert manager.delete_all(type="a", connection=theirs).done == 1
    other.commit()
    assert [job and job.status for job in map(manager.find, jobs)] == [None, "pending", "pending"]


def test_attempts_and_log_lines_look_the_same(make_manager: MakeManager, manager: JobManager, held: Held) -> None:
    import logging

    def handler(job: Job) -> None:
        logging.getLogger("tests").warning("Ä %s", job.type)
        if job.attempts == 1:
            raise ValueError("wrong Ä")

    worker = make_manager(handler=handler, capture_logs="WARNING")
    job = worker.create("a", backoff_strategy="none")
    worker.start(migrate=False)
    until(lambda: worker.find(job).status == "completed")  # type: ignore[union-attr]
    until(lambda: len(worker.logs(job)) == 2)
    assert worker.history(job, connection=held.connection) == worker.history(job)
    assert len(worker.history(job)) == 2
    assert worker.logs(job, connection=held.connection) == worker.logs(job)
    assert worker.find(job, connection=held.connection) == worker.find(job)


def test_a_handler_completes_its_job_in_its_own_transaction(make_manager: MakeManager, manager: JobManager, held: Held) -> None:
    failures: list[BaseException] = []

    def handler(job: Job) -> None:
        try:
            with pytest.raises(ValueError, match="bytes"):
                current_run().complete("x" * 100, connection=held.connection)
            current_run().complete({"Ä": job.attempts}, connection=held.connection)
            if job.attempts == 1:
                held.rollback()
                raise ValueError("again")
            held.commit()
            with pytest.raises(NotPossible, match="already"):
                current_run().complete({}, connection=held.connection)
            held.rollback()
        except AssertionError as error:
            failures.append(error)
            raise

    worker = make_manager(handler=handler, max_result_bytes=50)
    job = worker.create("a", backoff_strategy="none")
    worker.start(migrate=False)
    until(lambda: (worker.find(job) or job).status in ("completed", "failed"))
    worker.stop()
    assert not failures
    assert worker.find(job).result == {"Ä": 2}  # type: ignore[union-attr]


def test_complete_outside_a_transaction_is_refused(make_manager: MakeManager, manager: JobManager, database_url: str) -> None:
    django = django_connections(database_url)["default"]
    django.inc_thread_sharing()
    alone = psycopg2.connect(database_url)
    alone.autocommit = True
    engine = engine_of(database_url, "psycopg2", isolation_level="AUTOCOMMIT")
    refused: list[str] = []

    def handler(job: Job) -> None:
        with engine.connect() as connection:
            for theirs in (django, alone, connection):
                with pytest.raises(ValueError, match="autocommit"):
                    current_run().complete(connection=theirs)
                refused.append(type(theirs).__name__)
        with pytest.raises(TypeError, match="not None"):
            current_run().complete(connection=None)
        django.close()

    worker = make_manager(handler=handler)
    job = worker.create("a")
    worker.start(migrate=False)
    until(lambda: worker.find(job).status == "completed")  # type: ignore[union-attr]
    alone.close()
    assert len(refused) == 3


# -- keys ---------------------------------------------------------------------------------------------------------------


def test_a_key_that_is_taken_gives_the_job_that_has_it(manager: JobManager, held: Held) -> None:
    first = manager.create("a", {"n": 1}, unique="k")
    again = manager.create("a", {"n": 2}, unique="k", connection=held.connection)
    assert (again.uid, again.duplicate, again.payload) == (first.uid, True, {"n": 1})
    with pytest.raises(AlreadyExists) as caught:
        manager.create("a", unique="k", on_conflict="raise", connection=held.connection)
    assert caught.value.job.uid == first.uid
    replaced = manager.create("b", {"n": 3}, unique="k", on_conflict="replace", priority=7, connection=held.connection)
    assert (replaced.uid, replaced.duplicate, replaced.type, replaced.payload) == (first.uid, True, "b", {"n": 3})
    held.commit()
    assert manager.find(first) == manager.find(replaced)
    assert manager.find(first).priority == 7  # type: ignore[union-attr]


def test_a_running_job_that_is_replaced_loses_its_key(make_manager: MakeManager, manager: JobManager, other: Held) -> None:
    begun, end = threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        begun.set()
        end.wait(60)

    worker = make_manager(handlers={"a": handler})
    old = worker.create("a", unique="k")
    worker.start(1, migrate=False)
    assert begun.wait(60)
    new = manager.create("b", unique="k", on_conflict="replace", unique_for=60, connection=other.connection)
    other.commit()
    end.set()
    assert new.uid != old.uid
    assert not new.duplicate
    assert manager.create("b", unique="k").uid == new.uid
    assert manager.find(old).unique is None  # type: ignore[union-attr]


def test_a_window_outlives_its_job(manager: JobManager, other: Held) -> None:
    first = manager.create("a", unique="k", unique_for=60, connection=other.connection)
    manager.cancel(first, connection=other.connection)
    assert manager.create("a", unique="k", unique_for=60, connection=other.connection).uid == first.uid
    assert manager.create("a", unique="k", connection=other.connection).uid != first.uid
    manager.cancel_all(type="a", connection=other.connection)
    manager.delete_all(type="a", connection=other.connection)
    ghost = manager.create("a", unique="k", unique_for=60, connection=other.connection)
    assert (ghost.uid, ghost.status, ghost.duplicate) == (first.uid, "deleted", True)


def test_many_jobs_with_keys_are_one_thing(manager: JobManager, other: Held) -> None:
    there = manager.create("a", unique="k1")
    jobs = [NewJob("a", unique="k1"), ("b", {}), NewJob("c", {"n": 1}, unique="k2"), NewJob("c", {"n": 2}, unique="k2")]
    made = manager.create_many(jobs, connection=other.connection)
    assert [job.duplicate for job in made] == [True, False, False, True]
    assert made[0].uid == there.uid
    assert made[2].uid == made[3].uid
    before = len(manager.fetch_all(connection=other.connection))
    with pytest.raises(AlreadyExists):
        manager.create_many([("b", {}), NewJob("a", unique="k1", on_conflict="raise")], connection=other.connection)
    assert len(manager.fetch_all(connection=other.connection)) == before == 3
    changed = manager.create_many(
        [NewJob("z", unique="k1"), NewJob("z", unique="k3")], on_conflict="replace", connection=other.connection
    )
    assert [(job.type, job.duplicate) for job in changed] == [("z", True), ("z", False)]
    other.commit()


def test_two_creates_of_one_key_at_one_moment_make_one_job(manager: JobManager, database_url: str, other: Held) -> None:
    for on_conflict in ("return", "replace", "raise"):
        with psycopg.connect(database_url) as first:
            job = manager.create("a", unique=on_conflict, connection=first)
            results: list[Any] = []

            def create(on_conflict: Any = on_conflict, results: list[Any] = results) -> None:
                try:
                    results.append(
                        manager.create("b", unique=on_conflict, on_conflict=on_conflict, connection=other.connection)
                    )
                    other.commit()
                except Exception as error:
                    other.rollback()
                    results.append(error)

            thread = threading.Thread(target=create)
            thread.start()
            with psycopg.connect(database_url, autocommit=True) as look:
                until(lambda: look.execute("select 1 from pg_locks where not granted").fetchall())
        thread.join(60)
        (result,) = results
        assert isinstance(result, AlreadyExists if on_conflict == "raise" else Job), result
        assert (result.job if on_conflict == "raise" else result).uid == job.uid
    assert len(manager.fetch_all()) == 3


# -- one statement ------------------------------------------------------------------------------------------------------


def counted(held: Held, sent: list[str]) -> Any:
    """What the caller passes, which notes in `sent` what is sent on it."""
    connection = held.connection
    if hasattr(connection, "execute_wrappers"):
        connection.execute_wrappers.append(lambda execute, sql, *more: sent.append(sql) or execute(sql, *more))
    elif hasattr(connection, "get_transaction_status"):

        class Counting(psycopg2.extensions.cursor):
            def execute(self, query: Any, vars: Any = None) -> Any:
                sent.append(query)
                return super().execute(query, vars)

        connection.cursor_factory = Counting
    else:
        target = connection.connection() if isinstance(connection, Session) else connection
        sqlalchemy.event.listen(target, "before_cursor_execute", lambda conn, cursor, sql, *more: sent.append(sql))
    return connection


def test_each_call_sends_one_statement(manager: JobManager, other: Held) -> None:
    other.run("select 1")  # SQLAlchemy asks a new connection for its version
    sent: list[str] = []
    theirs = counted(other, sent)
    job = manager.create("a")
    taken = manager.create("a", unique="taken")
    ended = manager.create("a")
    manager.cancel(ended)

    def create_taken() -> None:
        with pytest.raises(AlreadyExists):
            manager.create("a", unique="taken", on_conflict="raise", connection=theirs)

    calls: list[Callable[[], object]] = [
        create_taken,
        lambda: manager.create("a", connection=theirs),
        lambda: manager.create("a", **FULL, connection=theirs),
        lambda: manager.create("a", unique="free", connection=theirs),
        lambda: manager.create("a", unique="window", unique_for=60, connection=theirs),
        lambda: manager.create("a", unique="taken", connection=theirs),
        lambda: manager.create("a", unique="taken", on_conflict="replace", connection=theirs),
        lambda: manager.create_many([("a", PAYLOAD)] * 100, connection=theirs),
        lambda: manager.create_many([NewJob("a", unique="taken"), NewJob("a", unique="more"), ("a", {})], connection=theirs),
        lambda: manager.find(taken, connection=theirs),
        lambda: manager.history(taken, connection=theirs),
        lambda: manager.fetch_all(connection=theirs),
        lambda: manager.logs(taken, connection=theirs),
        lambda: manager.reschedule(job, delay=1, connection=theirs),
        lambda: manager.set_priority(job, 1, connection=theirs),
        lambda: manager.cancel(job, connection=theirs),
        lambda: manager.retry(ended, connection=theirs),
        lambda: manager.delete(job, connection=theirs),
    ]
    for call in calls:
        sent.clear()
        call()
        assert len(sent) == 1, sent


def test_a_thousand_jobs_are_one_statement(manager: JobManager, other: Held) -> None:
    sent: list[str] = []
    theirs = counted(other, sent)
    manager.create_many([NewJob("a", {"n": n}, unique=f"k{n}" if n % 2 else None) for n in range(1_000)], connection=theirs)
    other.commit()
    assert len([sql for sql in sent if "insert into" in sql]) == 1
    assert len(manager.fetch_all(limit=2_000)) == 1_000


# -- autocommit, cursors, kinds of rows ---------------------------------------------------------------------------------


def test_without_a_transaction_the_job_is_committed_at_once(manager: JobManager, database_url: str) -> None:
    django = django_connections(database_url)["default"]
    alone = psycopg2.connect(database_url)
    alone.autocommit = True
    with engine_of(database_url, "psycopg2", isolation_level="AUTOCOMMIT").connect() as connection:
        for theirs in (django, alone, connection):
            job = manager.create("a", connection=theirs)
            assert manager.find(job) == job
            with manager.acting_as("ada"):
                manager.cancel(job, connection=theirs)
            assert manager.find(job).status == "cancelled"  # type: ignore[union-attr]
    django.close()
    alone.close()


def test_who_acts_is_written_in_the_transaction(
    manager: JobManager, other: Held, schema: str, conn: psycopg.Connection
) -> None:
    job = manager.create("a")
    for end in (other.rollback, other.commit):
        with manager.acting_as("ada"):
            manager.cancel(job, connection=other.connection)
        end()
    (row,) = conn.execute(f'select actor, action, done from "{schema}".audit').fetchall()  # type: ignore[arg-type]
    assert row == ("ada", "cancel", 1)


@pytest.mark.parametrize(
    "factory", [psycopg2.extras.RealDictCursor, psycopg2.extras.DictCursor, psycopg2.extras.NamedTupleCursor]
)
def test_the_cursors_of_psycopg2_may_return_other_rows(factory: Any, manager: JobManager, database_url: str) -> None:
    theirs = psycopg2.connect(database_url, cursor_factory=factory)
    job = manager.create("a", PAYLOAD, **FULL, connection=theirs)
    with theirs.cursor() as cursor:
        assert manager.find(job, connection=cursor) == job
    theirs.close()


def test_the_styles_and_the_zone_of_the_session_do_not_matter(manager: JobManager, other: Held) -> None:
    for setting in ("time zone 'Asia/Kathmandu'", "datestyle to 'German'", "intervalstyle to 'sql_standard'"):
        other.run(f"set {setting}")
    job = manager.create("a", {"Ä": "ö"}, **FULL, connection=other.connection)
    assert manager.find(job, connection=other.connection) == job
    at = datetime(2999, 7, 1, tzinfo=UTC)
    assert manager.reschedule(job, run_at=at, connection=other.connection).run_at == at  # type: ignore[union-attr]
    other.commit()
    assert manager.find(job).payload == {"Ä": "ö"}  # type: ignore[union-attr]


def test_a_session_in_another_encoding_carries_every_payload(manager: JobManager, database_url: str) -> None:
    theirs = psycopg2.connect(database_url, client_encoding="latin1")
    job = manager.create("ä", PAYLOAD, tags={"€": "€"}, metadata={"€": "€"}, connection=theirs)
    (many,) = manager.create_many([NewJob("€", PAYLOAD, unique="€")], connection=theirs)
    theirs.commit()
    theirs.close()
    assert manager.find(job) == job
    assert manager.find(many) == many


def test_a_cursor_of_django_will_do(manager: JobManager, database_url: str) -> None:
    with hold_django(database_url) as held:
        with held.connection.cursor() as cursor:
            job = manager.create("a", connection=cursor)
        assert manager.find(job, connection=held.connection) == job


# -- SQLAlchemy ---------------------------------------------------------------------------------------------------------


def test_a_session_with_several_binds_takes_bind(manager: JobManager, database_url: str) -> None:
    engine, elsewhere = engine_of(database_url, "psycopg"), sqlalchemy.create_engine("sqlite://")

    class Base(sqlalchemy.orm.DeclarativeBase):
        pass

    with Session(binds={Base: elsewhere}) as session:
        with pytest.raises(TypeError, match="bind="):
            manager.create("a", connection=session)
        job = manager.create("a", connection=session, bind=engine)
        assert manager.find(job, connection=session, bind=engine) == job
        assert manager.cancel(job, connection=session, bind=engine).status == "cancelled"  # type: ignore[union-attr]
        (many,) = manager.create_many([("b", {})], connection=session, bind=engine)
        assert manager.find(many) is None
        session.commit()
    assert manager.find(many) == many


def test_an_async_session_runs_it_in_its_own_transaction(manager: JobManager, database_url: str) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession

    async def main() -> tuple[Job, Job]:
        engine = engine_of(database_url, "asyncpg")
        async with AsyncSession(engine) as session:
            with pytest.raises(TypeError, match="run_sync"):
                manager.create("a", connection=session)
            lost = await session.run_sync(lambda sync: manager.create("a", PAYLOAD, **FULL, connection=sync))
            await session.rollback()
            kept = await session.run_sync(lambda sync: manager.create("a", PAYLOAD, **FULL, unique="k", connection=sync))
            await session.run_sync(lambda sync: manager.create_many([("b", PAYLOAD)] * 3, connection=sync))
            assert await session.run_sync(lambda sync: manager.find(kept, connection=sync)) == kept
            await session.commit()
        await engine.dispose()
        return lost, kept

    lost, kept = asyncio.run(main())
    assert manager.find(lost) is None
    assert manager.find(kept) == kept
    assert len(manager.fetch_all()) == 4


# -- statement() --------------------------------------------------------------------------------------------------------


async def asyncpg_connection(database_url: str) -> Any:
    import asyncpg

    parts = conninfo_to_dict(database_url)
    return await asyncpg.connect(
        host=parts["host"],
        port=int(str(parts.get("port", 5432))),
        user=parts["user"],
        password=parts.get("password"),
        database=parts["dbname"],
        server_settings={"application_name": str(parts.get("application_name", ""))},
    )


def test_asyncpg_sends_the_statement(manager: JobManager, database_url: str) -> None:
    options: list[dict[str, Any]] = [{}, FULL, FULL | {"unique": "k"}, {"unique": "w", "unique_for": 60}]

    async def main() -> None:
        connection = await asyncpg_connection(database_url)
        for more in options:
            for is_kept in (False, True):
                sql, parameters, uid = manager.statement("ä", PAYLOAD, **more, paramstyle="numeric_dollar")
                transaction = connection.transaction()
                await transaction.start()
                assert len(await connection.fetch(sql, *parameters)) == 1
                await (transaction.commit() if is_kept else transaction.rollback())
                job = manager.find(uid)
                assert (job is not None) == is_kept
            assert job is not None
            assert job.payload == PAYLOAD
            assert (job.unique, job.timeout, job.tags) == (more.get("unique"), more.get("timeout"), more.get("tags", {}))
            if more.get("unique"):
                sql, parameters, uid = manager.statement("ä", **more, paramstyle="numeric_dollar")
                assert await connection.fetch(sql, *parameters) == []
        await connection.close()

    asyncio.run(main())
    assert len(manager.fetch_all()) == len(options)


def test_other_paramstyles(manager: JobManager, database_url: str, schema: str) -> None:
    sql, parameters, uid = manager.statement("a", PAYLOAD, **FULL)
    with hold_psycopg2(database_url) as held, held.connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        held.commit()
    assert manager.find(uid).payload == PAYLOAD  # type: ignore[union-attr]
    sql, parameters, uid = manager.statement("a", PAYLOAD, **FULL, paramstyle="named")
    with engine_of(database_url, "pg8000").begin() as connection:
        connection.execute(sqlalchemy.text(sql), parameters)
    assert manager.find(uid).payload == PAYLOAD  # type: ignore[union-attr]


def test_a_schema_may_have_any_name(make_manager: MakeManager, database_url: str, conn: psycopg.Connection) -> None:
    name = 'a:b ::c %d %s "$1" \\'
    manager = make_manager(schema=name)
    try:
        manager.migrate()
        for holder in HOLDERS.values():
            with holder(database_url) as held:
                job = manager.create("a", unique="k", connection=held.connection)
                assert manager.find(job, connection=held.connection) == job
                held.rollback()
        sql, parameters, uid = manager.statement("a", paramstyle="named")
        with engine_of(database_url, "psycopg").begin() as connection:
            connection.execute(sqlalchemy.text(sql), parameters)
        assert manager.find(uid) is not None
    finally:
        conn.execute(psycopg.sql.SQL("drop schema if exists {} cascade").format(psycopg.sql.Identifier(name)))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"on_conflict": "raise", "unique": "k"}, TypeError, "on_conflict must be 'return', not 'raise'"),
        ({"on_conflict": "replace", "unique": "k"}, TypeError, "on_conflict must be 'return'"),
        ({"paramstyle": "qmark"}, ValueError, "pyformat, named, numeric_dollar, not 'qmark'"),
        ({"paramstyle": None}, TypeError, "paramstyle must be a str, not NoneType"),
        ({"priority": 1000}, InvalidJob, "priority"),
        ({"notify": "yes"}, InvalidJob, "notify"),
    ],
)
def test_what_statement_refuses(manager: JobManager, options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        manager.statement("a", **options)


def test_hooks_are_around_the_making_of_a_statement(manager: JobManager) -> None:
    seen: list[Any] = []

    @manager.around_create
    def hook(creation: Any) -> Iterator[None]:
        creation.metadata["trace"] = "x"
        yield
        seen.append(creation.created)

    statement = manager.statement("a", {"n": 1})
    assert statement.parameters["metadata"] == '{"trace":"x"}'
    assert seen == [()]


# -- errors -------------------------------------------------------------------------------------------------------------


def test_missing_tables_say_what_to_do(make_manager: MakeManager, held: Held) -> None:
    elsewhere = make_manager(schema="nowhere")
    calls: list[Callable[[], object]] = [
        lambda: elsewhere.create("a", connection=held.connection),
        lambda: elsewhere.create("a", unique="k", connection=held.connection),
        lambda: elsewhere.create_many([("a", {})], connection=held.connection),
        lambda: elsewhere.find("01a21e21-0ed1-7780-8895-78f0e4c3598f", connection=held.connection),
        lambda: elsewhere.cancel("01a21e21-0ed1-7780-8895-78f0e4c3598f", connection=held.connection),
        lambda: elsewhere.cancel_all(type="a", connection=held.connection),
    ]
    for call in calls:
        with pytest.raises(SchemaError, match=r"manager\.migrate\(\)") as caught:
            call()
        assert "'nowhere'" in str(caught.value)
        assert "does not exist" in str(caught.value.__cause__)
        held.rollback()


def test_the_drivers_own_errors_come_through_as_they_are(manager: JobManager, held: Held) -> None:
    with pytest.raises(Exception, match="division") as theirs:
        held.run("select 1/0")
    for call in (
        lambda: manager.create("a", connection=held.connection),
        lambda: manager.create_many([("a", {})], connection=held.connection),
        lambda: manager.set_priority("01a21e21-0ed1-7780-8895-78f0e4c3598f", 1, connection=held.connection),
    ):
        with pytest.raises(Exception, match=r"aborted|25P02") as caught:
            call()
        assert not isinstance(caught.value, SteveError)
        assert type(caught.value).__module__ == type(theirs.value).__module__
        assert (caught.value.__cause__ is None) == (theirs.value.__cause__ is None)
    held.rollback()


def test_a_producer_needs_no_other_rights_than_elsewhere(
    manager: JobManager, other: Held, schema: str, conn: psycopg.Connection
) -> None:
    role = f"{schema}_producer"
    conn.execute(f'create role "{role}"')  # type: ignore[arg-type]
    try:
        for unique in (False, True):
            conn.execute(grants(schema, producer=role, unique=unique))  # type: ignore[arg-type]
            other.run(f'set role "{role}"')
            manager.create("a", connection=other.connection)
            manager.create("a", PAYLOAD, **FULL, connection=other.connection)
            manager.create_many([NewJob("a", PAYLOAD, **FULL)] * 2, connection=other.connection)
            if unique:
                for on_conflict in ("return", "replace", "raise"):
                    key = {"unique": on_conflict, "on_conflict": on_conflict, "unique_for": 60}
                    manager.create("a", **key, connection=other.connection)  # type: ignore[arg-type]
                manager.create("a", unique="replace", on_conflict="replace", connection=other.connection)
            other.rollback()
    finally:
        other.rollback()
        conn.execute(f'drop owned by "{role}"; drop role "{role}"')  # type: ignore[arg-type]
