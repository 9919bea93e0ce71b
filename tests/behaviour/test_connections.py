"""Every way to give a manager its database (`db`), and every connection that may be passed as `create(connection=)`.

Row factories, cursor classes, transactions and session settings of the user's change nothing, and all times are in UTC.
"""

import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row, dict_row, namedtuple_row, scalar_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool, NullConnectionPool

from steve import InvalidJob, Job, JobManager, SchemaError, SteveError
from steve._database.statements.script import Script
from steve._model.tuning import Tuning
from tests.conftest import APPLICATION, until

MakeManager = Callable[..., JobManager]

NEVER_POLLED = 3600.0
"""A `poll_interval`: what happens within a test is not found by the poll."""

HOSTILE = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "default_transaction_isolation": "serializable",
    "search_path": "decoy, pg_temp",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-3",
    "transform_null_equals": "on",
    "plan_cache_mode": "force_generic_plan",
    "quote_all_identifiers": "on",
    "xmlbinary": "hex",
}
"""What a role or a database may set for every session."""

PAYLOAD = {"name": "Žižek 😀 \\ ' \" % %s", "at": 1.1, "big": 2**70}


class Tally:
    """A handler that completes every job with its payload, and remembers the jobs."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> dict[str, Any]:
        self.jobs.append(job)
        return job.payload

    def uids(self) -> list[Any]:
        return [job.uid for job in self.jobs]


@dataclass
class Row:
    """What class_row makes of a row with any columns."""

    def __init__(self, **columns: object) -> None:
        self.__dict__.update(columns)


def hostile(conninfo: str) -> str:
    """The conninfo, with HOSTILE as settings of every session."""
    options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in HOSTILE.items())
    return make_conninfo(conninfo, options=options)


def assert_lives(manager: JobManager) -> None:
    """Take a job through its whole life with this manager: created, run, settled, told, found."""
    tally = Tally()
    told: list[Job] = []
    manager.set_handler("a", tally)
    manager.on_success("a", told.append)
    before = datetime.now(UTC)
    later = datetime(2031, 2, 3, 4, 5, 6, 789_000, timezone(timedelta(hours=-7)))
    manager.start()
    (job,) = manager.create_many([("a", PAYLOAD)])
    waiting = manager.create("a", {"n": 1}, run_at=later)
    (done,) = until(lambda: told)
    manager.stop()
    found = manager.find(job)
    assert done == found
    assert found.result == PAYLOAD
    assert tally.jobs[0].payload == PAYLOAD
    (attempt,) = manager.history(job)
    assert attempt.status == "success"
    assert manager.fetch_all() == [waiting, found]
    assert waiting.run_at == later
    times = [found.created_at, found.updated_at, found.run_at, found.claimed_at, found.started_at, found.completed_at]
    times += [attempt.started_at, attempt.completed_at, tally.jobs[0].created_at, job.created_at, job.run_at, waiting.run_at]
    assert {time.tzinfo for time in times} == {UTC}
    assert abs(found.created_at - before) < timedelta(minutes=5)
    assert found.run_at <= found.claimed_at <= found.completed_at


# -- db: a conninfo -----------------------------------------------------------------------------------------------------


def test_db_may_be_key_value_pairs(make_manager: MakeManager, database_url: str) -> None:
    manager = make_manager(make_conninfo(**conninfo_to_dict(database_url)))
    manager.migrate()
    assert_lives(manager)


def test_db_may_be_a_url(make_manager: MakeManager, database_url: str) -> None:
    given = conninfo_to_dict(database_url)
    user = quote(given.pop("user", ""), safe="") + ":" + quote(given.pop("password", "any"), safe="")
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in given.items())
    manager = make_manager(f"postgresql://{user}@/?{query}")
    manager.migrate()
    assert_lives(manager)


def test_without_db_the_database_is_that_of_steve_database_url(
    make_manager: MakeManager, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEVE_DATABASE_URL", database_url)
    monkeypatch.setenv("PGHOST", "/nowhere")
    manager = make_manager(None)
    monkeypatch.setenv("STEVE_DATABASE_URL", "host=/nowhere")  # read once, when the manager is made
    manager.migrate()
    assert_lives(manager)


def test_without_steve_database_url_it_is_that_of_libpqs_variables(
    make_manager: MakeManager, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    names |= {"application_name": "PGAPPNAME", "sslmode": "PGSSLMODE", "hostaddr": "PGHOSTADDR"}
    monkeypatch.delenv("STEVE_DATABASE_URL", raising=False)
    for name, value in conninfo_to_dict(database_url).items():
        monkeypatch.setenv(names[name], str(value))
    manager = make_manager(None)
    manager.migrate()
    assert_lives(manager)


def test_a_hostile_session_changes_nothing(make_manager: MakeManager, database_url: str) -> None:
    manager = make_manager(hostile(database_url))
    manager.migrate()
    assert_lives(manager)


@pytest.mark.parametrize("limit", ["statement_timeout", "lock_timeout", "idle_session_timeout"])
def test_a_time_limit_of_the_role_ends_nothing_that_the_loops_do(
    make_manager: MakeManager,
    database_url: str,
    conn: psycopg.Connection,
    schema: str,
    limit: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The limit is meant for requests. Here a settlement waits for a lock for longer."""
    manager = make_manager(notify=False, poll_interval=60)
    manager.migrate()
    job = manager.create("a")
    limited = make_manager(
        make_conninfo(database_url, options=f"-c {limit}=300"),
        notify=False,
        poll_interval=60,
        handler=lambda job: locked.wait(60),
    )
    locked = threading.Event()
    longer = "select pg_sleep(0.6)"  # than the limit
    with conn.transaction():
        limited.start(workers=1, migrate=False)
        until(lambda: manager.find(job).status == "running")
        conn.execute(f"lock table {schema}.job in share mode")
        locked.set()
        until(lambda: conn.execute("select from pg_locks where not granted").fetchall())
        conn.execute(longer)
    until(lambda: manager.find(job).status == "completed")
    conn.execute(longer)
    other = manager.create("a")
    limited.set_handler("another", lambda job: None)  # wakes the claimer
    until(lambda: manager.find(other).status == "completed")
    limited.stop()
    failures = [line for line in caplog.messages if "cannot use the database" in line]
    settling = "settling cannot use the database and will try again: LockNotAvailable"  # steve's own limit for its locks
    assert all(line.startswith(settling) for line in failures)


def test_a_search_path_with_tables_of_the_same_names_changes_nothing(
    make_manager: MakeManager, database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    decoy = f"{schema}_decoy"
    conn.execute(f"create schema {decoy}")
    try:
        for table in ("job", "attempt", "process", "migration"):
            conn.execute(f"create table {decoy}.{table} (nothing integer)")
        manager = make_manager(make_conninfo(database_url, options=f"-c search_path={decoy}"))
        manager.migrate()
        assert_lives(manager)
    finally:
        conn.execute(f"drop schema {decoy} cascade")


@pytest.mark.parametrize(
    ("db", "error"),
    [
        (7, TypeError),
        (b"dbname=postgres", TypeError),
        ({"dbname": "postgres"}, TypeError),
        (AsyncConnectionPool("dbname=postgres", open=False), TypeError),
        ("postgresql://ada:sesame@[::1", ValueError),
        ("dbname=postgres sesame", ValueError),
    ],
    ids=["int", "bytes", "dict", "async pool", "broken url", "broken pairs"],
)
def test_what_is_no_database_is_refused_at_once_without_showing_a_password(db: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^db ") as caught:
        JobManager(db)
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


# -- db: a pool ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def make_pool(database_url: str) -> Iterator[Callable[..., ConnectionPool]]:
    """`make_pool(**keywords)`: an open pool of the user's. It is closed after the test, when the managers have been stopped."""
    pools: list[ConnectionPool] = []

    def make(
        pool_class: type[ConnectionPool] = ConnectionPool, conninfo: str = database_url, **keywords: Any
    ) -> ConnectionPool:
        pools.append(pool_class(conninfo, open=True, **({"min_size": 0, "max_size": 5} | keywords)))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def make_pooled(make_pool: Callable[..., ConnectionPool], make_manager: MakeManager) -> MakeManager:
    """`make_pooled(**keywords)`: a manager on a pool with these keywords."""
    return lambda *arguments, **keywords: make_manager(make_pool(*arguments, **keywords))


POOLS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "of as few connections as will do": {"max_size": 5},
    "kept full": {"min_size": 5},
    "null": {"pool_class": NullConnectionPool},
    "null, without a limit": {"pool_class": NullConnectionPool, "max_size": 0},
    "autocommit": {"kwargs": {"autocommit": True}},
    "dict_row": {"kwargs": {"row_factory": dict_row}},
    "dict_row, autocommit": {"kwargs": {"row_factory": dict_row, "autocommit": True}},
    "namedtuple_row": {"kwargs": {"row_factory": namedtuple_row}},
    "class_row": {"kwargs": {"row_factory": class_row(Row)}},
    "scalar_row": {"kwargs": {"row_factory": scalar_row}},
    "ClientCursor": {"kwargs": {"cursor_factory": psycopg.ClientCursor}},
    "RawCursor": {"kwargs": {"cursor_factory": psycopg.RawCursor}},
    "never prepared": {"kwargs": {"prepare_threshold": None}},
    "always prepared": {"kwargs": {"prepare_threshold": 0}},
}


@pytest.mark.parametrize("pool", POOLS)
def test_a_manager_lives_on_a_pool_of_the_user(pool: str, make_pooled: MakeManager) -> None:
    manager = make_pooled(**POOLS[pool])
    manager.migrate()
    assert_lives(manager)


def test_a_pool_of_hostile_sessions_changes_nothing(make_pooled: MakeManager, database_url: str) -> None:
    manager = make_pooled(conninfo=hostile(database_url))
    manager.migrate()
    assert_lives(manager)


def test_a_pool_whose_sessions_do_not_speak_utf8_changes_nothing(make_pooled: MakeManager) -> None:
    manager = make_pooled(kwargs={"client_encoding": "latin1"})
    manager.migrate()
    assert_lives(manager)


def test_a_worker_whose_pool_does_not_speak_utf8_can_claim_what_others_created(
    make_pooled: MakeManager, make_manager: MakeManager
) -> None:
    tally = Tally()
    worker = make_pooled(kwargs={"client_encoding": "latin1"})
    worker.set_handler("a", tally)
    worker.start()
    creator = make_manager()
    jobs = [creator.create("a", PAYLOAD), creator.create("a")]
    until(lambda: sorted(tally.uids()) == [job.uid for job in jobs])
    assert tally.jobs[0].payload == PAYLOAD


@pytest.mark.parametrize("level", list(psycopg.IsolationLevel))
def test_a_pool_whose_transactions_have_another_isolation_level_changes_nothing(
    level: psycopg.IsolationLevel, make_pooled: MakeManager
) -> None:
    def configure(connection: psycopg.Connection) -> None:
        connection.isolation_level = level

    manager = make_pooled(configure=configure)
    manager.migrate()
    assert_lives(manager)


def test_a_pool_gets_back_what_a_manager_without_notify_took(
    make_pool: Callable[..., ConnectionPool], make_manager: MakeManager
) -> None:
    pool = make_pool(max_size=4)  # claim, settle, heartbeat, and one for calls
    manager = make_manager(pool, handlers={"a": Tally()}, notify=False)
    for _ in range(3):
        manager.start()
        job = manager.create("a")
        until(lambda job=job: manager.find(job).status == "completed")
        assert manager.stop().complete
    borrowed = [pool.getconn(timeout=30) for _ in range(4)]  # none is missing
    for connection in borrowed:
        pool.putconn(connection)


@pytest.mark.parametrize("keywords", [{}, {"close_returns": True}], ids=["as it comes", "close_returns"])
def test_the_users_pool_stays_open_and_its_connections_are_as_before(
    make_pool: Callable[..., ConnectionPool], make_manager: MakeManager, keywords: dict[str, Any]
) -> None:
    configured: list[int] = []

    def configure(connection: psycopg.Connection) -> None:
        configured.append(connection.info.backend_pid)
        connection.execute("set application_name = 'configured by the user'")
        connection.execute("set TimeZone = 'Asia/Kathmandu'")
        connection.commit()

    pool = make_pool(max_size=5, configure=configure, **keywords)
    with pool.connection() as connection:
        before = connection.info.backend_pid
    manager = make_manager(pool, handlers={"a": Tally()})
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status == "completed")
    until(lambda: manager.health().listening)
    with pool.connection(timeout=30) as connection:  # four are kept, one is left
        query = "select pid, application_name from pg_stat_activity where pid = any(%s) and pid <> pg_backend_pid()"
        kept = connection.execute(query, [configured]).fetchall()
        assert {name for _, name in kept} == {"configured by the user"}
        assert len(kept) == 4
    assert manager.stop().complete
    assert not pool.closed
    manager.create("a")

    borrowed = [pool.getconn(timeout=30) for _ in range(5)]  # none is missing
    try:
        pids = {connection.info.backend_pid for connection in borrowed}
        assert pids <= set(configured)
        assert not pids & {pid for pid, _ in kept}  # those that the manager kept came back closed
        for connection in borrowed:
            assert connection.execute("show TimeZone").fetchone() == ("Asia/Kathmandu",)
            assert connection.execute("show enable_seqscan").fetchone() == ("on",)
            assert connection.info.transaction_status == TransactionStatus.INTRANS  # still not in autocommit
    finally:
        for connection in borrowed:
            pool.putconn(connection)
    assert before in configured


@pytest.mark.parametrize("pool", ["ours", "theirs"])
def test_a_call_that_is_refused_gives_its_connection_back_as_it_was(
    make_pool: Callable[..., ConnectionPool],
    make_manager: MakeManager,
    database_url: str,
    conn: psycopg.Connection,
    schema: str,
    pool: str,
) -> None:
    name = f"{APPLICATION} of callers"
    conninfo = make_conninfo(database_url, application_name=name)
    theirs = make_pool(conninfo=conninfo, max_size=1)
    manager = make_manager(theirs if pool == "theirs" else conninfo)
    manager.migrate()
    conn.execute(f"alter table {schema}.job add check (priority < 5)")
    sessions = set()
    for _ in range(12):  # more than either pool has
        with pytest.raises(InvalidJob, match="SQLSTATE 23514"):
            manager.create("a", priority=7)
        with pytest.raises(InvalidJob, match="SQLSTATE 23514"):
            manager.create_many([("a", None)] * 3, priority=7)
        sessions.update(conn.execute("select pid from pg_stat_activity where application_name = %s", [name]).fetchall())
    assert len(sessions) == 1
    with theirs.connection() as connection:
        assert not connection.autocommit


def test_callers_of_a_started_manager_share_what_the_pool_has_left(make_pooled: MakeManager) -> None:
    manager = make_pooled(max_size=5)
    manager.migrate()
    manager.set_handler("a", Tally())
    manager.start()
    threads = [threading.Thread(target=lambda: [manager.create("a") for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    until(lambda: len(manager.fetch_all("completed")) == 40)


def test_a_pool_that_is_closed_too_early_does_not_keep_the_manager_from_its_end(
    make_pool: Callable[..., ConnectionPool], make_manager: MakeManager
) -> None:
    tally = Tally()
    pool = make_pool()
    manager = make_manager(pool, handlers={"a": tally})
    manager.start()
    first = manager.create("a")
    until(lambda: manager.find(first).status == "completed")  # by then it has all that it keeps
    pool.close()
    second = make_manager().create("a")
    until(lambda: tally.uids() == [first.uid, second.uid])
    assert manager.stop().complete


def test_a_call_on_a_pool_that_was_closed_fails_at_once(
    make_pool: Callable[..., ConnectionPool], make_manager: MakeManager
) -> None:
    pool = make_pool()
    manager = make_manager(pool)
    pool.close()
    began = time.monotonic()
    with pytest.raises(SteveError, match="closed"):
        manager.create("a")
    assert time.monotonic() - began < 8  # it will not open again by itself, so there is no point in trying for ten seconds


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("pool_class", [ConnectionPool, NullConnectionPool])
def test_a_pool_too_small_is_refused_with_the_reason(
    size: int, pool_class: type[ConnectionPool], make_pool: Callable[..., ConnectionPool], make_manager: MakeManager
) -> None:
    pool = make_pool(pool_class, max_size=size)
    manager = make_manager(pool)
    manager.migrate()  # enough for that
    with pytest.raises(ValueError, match="the pool is too small") as caught:
        manager.start()
    assert "max_size=5" in str(caught.value)
    assert f"not {size}" in str(caught.value)
    job = manager.create("a")
    assert manager.find(job) == job


def test_a_pool_that_is_not_open_is_refused(database_url: str) -> None:
    pool = ConnectionPool(database_url, min_size=0, max_size=4, open=False)
    with pytest.raises(SteveError, match="not open"):
        JobManager(pool)
    pool.open()
    pool.close()
    with pytest.raises(SteveError, match="not open"):
        JobManager(pool)


# -- db: a connection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["idle", "in a transaction", "in a failed transaction", "closed later"])
def test_of_an_open_connection_only_the_conninfo_is_taken(
    state: str, make_manager: MakeManager, database_url: str, conn: psycopg.Connection
) -> None:
    theirs = psycopg.connect(database_url, row_factory=dict_row)
    with closing(theirs):
        theirs.execute("set TimeZone = 'Asia/Kathmandu'")
        theirs.commit()
        if state == "in a transaction":
            theirs.execute("select 1")
        elif state == "in a failed transaction":
            with pytest.raises(psycopg.errors.DivisionByZero):
                theirs.execute("select 1/0")
        query = "select xact_start, query_start, state_change, state, query from pg_stat_activity where pid = %s"
        before = conn.execute(query, [theirs.info.backend_pid]).fetchall()
        status = theirs.info.transaction_status
        manager = make_manager(theirs)
        if state == "closed later":
            theirs.close()
        manager.migrate()
        assert_lives(manager)
        if state != "closed later":
            assert conn.execute(query, [theirs.info.backend_pid]).fetchall() == before
            assert theirs.info.transaction_status == status


def test_a_closed_connection_is_refused(database_url: str) -> None:
    theirs = psycopg.connect(database_url)
    theirs.close()
    with pytest.raises(ValueError, match="closed connection"):
        JobManager(theirs)


# -- create(connection=) ------------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "connect passed")
"""How the caller connects, and what is passed: the connection itself, or a cursor of it."""


def _connect(**keywords: Any) -> Callable[[str], psycopg.Connection]:
    return lambda conninfo: psycopg.connect(conninfo, **keywords)


def _itself(connection: psycopg.Connection) -> object:
    return connection


THEIRS = {
    "a connection": Pair(_connect(), _itself),
    "autocommit": Pair(_connect(autocommit=True), _itself),
    "a cursor": Pair(_connect(), lambda connection: connection.cursor()),
    "a cursor, autocommit": Pair(_connect(autocommit=True), lambda connection: connection.cursor()),
    "dict_row": Pair(_connect(row_factory=dict_row), _itself),
    "namedtuple_row": Pair(_connect(row_factory=namedtuple_row), _itself),
    "class_row": Pair(_connect(row_factory=class_row(Row)), _itself),
    "scalar_row": Pair(_connect(row_factory=scalar_row), _itself),
    "a cursor of dict_row": Pair(_connect(), lambda connection: connection.cursor(row_factory=dict_row)),
    "a binary cursor": Pair(_connect(), lambda connection: connection.cursor(binary=True)),
    "cursors are ClientCursor": Pair(_connect(cursor_factory=psycopg.ClientCursor), _itself),
    "cursors are RawCursor": Pair(_connect(cursor_factory=psycopg.RawCursor), _itself),
    "a ClientCursor": Pair(_connect(), psycopg.ClientCursor),
    "a RawCursor": Pair(_connect(), psycopg.RawCursor),
    "a ServerCursor": Pair(_connect(), lambda connection: connection.cursor(name="a name")),
    "a closed cursor": Pair(_connect(), lambda connection: _closed(connection.cursor())),
    "never prepared": Pair(_connect(prepare_threshold=None), _itself),
    "always prepared": Pair(_connect(prepare_threshold=0), _itself),
}


def _closed(cursor: psycopg.Cursor) -> psycopg.Cursor:
    cursor.close()
    return cursor


@pytest.mark.parametrize("kind", THEIRS)
def test_a_job_is_stored_in_the_callers_transaction(kind: str, manager: JobManager, database_url: str, schema: str) -> None:
    pair = THEIRS[kind]
    with closing(pair.connect(database_url)) as theirs:
        with pytest.raises(ZeroDivisionError), theirs.transaction():
            rolled_back = manager.create("a", connection=pair.passed(theirs))
            raise ZeroDivisionError
        assert manager.find(rolled_back) is None

        with theirs.transaction():
            job = manager.create("a", PAYLOAD, priority=3, connection=pair.passed(theirs))
            jobs = manager.create_many([("b", PAYLOAD), ("c", None)], connection=pair.passed(theirs))
            assert manager.fetch_all() == []
            assert theirs.info.transaction_status == TransactionStatus.INTRANS
        assert manager.fetch_all() == [jobs[1], jobs[0], job]
        assert job.payload == PAYLOAD

        # Without a block: in autocommit it is a transaction of its own; otherwise it begins one, which the caller has to end.
        outside = manager.create("a", connection=pair.passed(theirs))
        many = manager.create_many([("a", {})], connection=pair.passed(theirs))
        if theirs.autocommit:
            assert theirs.info.transaction_status == TransactionStatus.IDLE
        else:
            assert theirs.info.transaction_status == TransactionStatus.INTRANS
            assert manager.find(outside) is None
            theirs.commit()
        assert manager.fetch_all(limit=2) == [many[0], outside]


def test_their_savepoints_count(manager: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url) as theirs:
        kept = manager.create("a", connection=theirs)
        with pytest.raises(ZeroDivisionError), theirs.transaction():
            manager.create("a", connection=theirs)
            raise ZeroDivisionError
    assert manager.fetch_all() == [kept]


@pytest.mark.parametrize("level", list(psycopg.IsolationLevel))
def test_their_isolation_level_is_no_matter(level: psycopg.IsolationLevel, manager: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url) as theirs:
        theirs.isolation_level = level
        theirs.execute("select 1")
        job = manager.create("a", connection=theirs)
        jobs = manager.create_many([("a", {})], connection=theirs)
    assert manager.fetch_all() == [*jobs, job]


@pytest.mark.skipif(not psycopg.Pipeline.is_supported(), reason="this libpq has no pipelines")
@pytest.mark.parametrize("autocommit", [False, True])
def test_a_connection_in_pipeline_mode_will_do_but_for_many_at_once(
    autocommit: bool, manager: JobManager, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=autocommit) as theirs:
        with theirs.pipeline():
            theirs.execute("select 1")
            job = manager.create("a", PAYLOAD, connection=theirs)
            with pytest.raises(psycopg.NotSupportedError, match="COPY cannot be used in pipeline mode"):
                manager.create_many([("a", PAYLOAD)] * 2, connection=theirs)
            theirs.execute("select 2")
        if not autocommit:
            assert manager.fetch_all() == []
    assert manager.fetch_all() == [job]


def test_a_hostile_session_of_theirs_changes_nothing_and_is_left_as_it_was(manager: JobManager, database_url: str) -> None:
    later = datetime(2031, 2, 3, 4, 5, 6, 789_000, timezone(timedelta(hours=-7)))
    with psycopg.connect(hostile(database_url), autocommit=True) as theirs:
        settings = {name: theirs.execute(f"show {name}").fetchone() for name in HOSTILE}
        job = manager.create("a", PAYLOAD, run_at=later, connection=theirs)
        (another,) = manager.create_many([("a", PAYLOAD)], run_at=later, connection=theirs)
        assert {name: theirs.execute(f"show {name}").fetchone() for name in HOSTILE} == settings
    assert manager.fetch_all() == [another, job]
    assert job.run_at == another.run_at == later
    assert {time.tzinfo for one in (job, another) for time in (one.run_at, one.created_at, one.updated_at)} == {UTC}


def test_text_that_their_encoding_holds_arrives_as_it_is(manager: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url, client_encoding="latin1") as theirs:
        job = manager.create("é", {"ü": "ß"}, connection=theirs)
        jobs = manager.create_many([("é", {"ü": "ß"})], connection=theirs)
    assert manager.fetch_all(type="é") == [*jobs, job]
    assert job.payload == {"ü": "ß"}


def test_no_worker_hears_of_a_job_before_the_commit_and_one_does_at_once_after_it(
    make_manager: MakeManager, database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    tally = Tally()
    manager = make_manager(handlers={"a": tally}, poll_interval=NEVER_POLLED)
    manager.start()
    first = manager.create("a")  # from here on it waits for a notification
    until(lambda: tally.uids() == [first.uid])

    conn.execute(f"listen {Script(schema, Tuning()).channel}")
    with psycopg.connect(database_url) as theirs:
        for end in (theirs.rollback, theirs.commit):
            job = manager.create("a", connection=theirs)
            assert list(conn.notifies(timeout=0.1)) == []
            assert tally.uids() == [first.uid]
            end()
    until(lambda: tally.uids() == [first.uid, job.uid])
    assert len(list(conn.notifies(timeout=30, stop_after=1))) == 1


def test_a_notification_in_their_transaction_can_be_left_out(
    manager: JobManager, database_url: str, schema: str, conn: psycopg.Connection
) -> None:
    conn.execute(f"listen {Script(schema, Tuning()).channel}")
    with psycopg.connect(database_url) as theirs:
        manager.create("a", connection=theirs, notify=False)
        manager.create_many([("a", {})], connection=theirs, notify=False)
        theirs.execute("select pg_notify(%s, 'the first')", [Script(schema, Tuning()).channel])
    (heard,) = conn.notifies(timeout=30, stop_after=1)
    assert heard.payload == "the first"


def test_the_drivers_errors_come_through(manager: JobManager, make_manager: MakeManager, database_url: str) -> None:
    calls: list[Callable[[object], object]] = [
        lambda theirs: manager.create("a", connection=theirs),
        lambda theirs: manager.create_many([("a", {})], connection=theirs),
    ]
    for call in calls:
        with psycopg.connect(database_url) as theirs:
            with pytest.raises(psycopg.errors.DivisionByZero):
                theirs.execute("select 1/0")
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                call(theirs)
            theirs.rollback()
            theirs.read_only = True
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                call(theirs)
            theirs.rollback()
        with pytest.raises(psycopg.OperationalError, match="closed"):
            call(theirs)
    assert manager.fetch_all() == []

    elsewhere = make_manager(schema="nowhere")
    with psycopg.connect(database_url) as theirs, pytest.raises(SchemaError, match="nowhere") as caught:
        elsewhere.create("a", connection=theirs)
    assert isinstance(caught.value.__cause__, psycopg.errors.UndefinedTable)
