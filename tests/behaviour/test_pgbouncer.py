"""A real PgBouncer in transaction mode in between: every transaction gets another session, and nothing may stay behind there.

Its pool has two sessions for all the connections that the managers open.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

from steve import JobManager
from steve._database.connection import Route, connect, prepare_for_call, prepare_for_loop
from tests.behaviour.test_connections import HOSTILE, PAYLOAD, Tally, assert_lives
from tests.bouncer import PGBOUNCER, SESSIONS, bouncer
from tests.conftest import until

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="needs pgbouncer, for example the Debian package of that name")

NEVER_POLLED = 3600.0
TRACKED = {"client_encoding", "application_name", "DateStyle", "TimeZone", "standard_conforming_strings"}
"""Settings that PgBouncer itself gives every session as its client has them."""


@pytest.fixture
def bounced(database_url: str) -> Iterator[str]:
    """The conninfo that leads through the PgBouncer."""
    name = conninfo_to_dict(database_url)["application_name"]
    with bouncer(database_url) as port:
        yield make_conninfo(host="127.0.0.1", port=port, dbname="bounced", user="anybody", application_name=name)


def left_behind(bounced: str) -> list[list[object]]:
    """What stays in the two sessions that the PgBouncer has: settings, prepared statements, LISTENs, advisory locks."""
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(psycopg.connect(bounced, prepare_threshold=None)) for _ in range(SESSIONS)]
        pids = {session.execute("select pg_backend_pid()").fetchone() for session in sessions}  # both are in a transaction now
        assert len(pids) == SESSIONS
        query = """
            select array(select name || '=' || setting from pg_settings where source = 'session' and setting <> reset_val
                         and name <> all(%s)),
                   array(select name from pg_prepared_statements), array(select pg_listening_channels()),
                   array(select objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())"""
        return [[one for found in session.execute(query, [list(TRACKED)]) for one in found if one] for session in sessions]


def test_several_managers_work_without_any_setting(
    bounced: str, make_manager: Callable[..., JobManager], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tally = Tally()
    managers = [make_manager(bounced, tally, poll_interval=0.2) for _ in range(3)]
    for manager in managers:
        manager.start(workers=4)
    creators = [
        threading.Thread(target=lambda manager=manager: [manager.create("a", PAYLOAD) for _ in range(40)])
        for manager in managers
    ]
    for creator in creators:
        creator.start()
    many = managers[0].create_many([("b", {"n": n}) for n in range(2_000)])
    for creator in creators:
        creator.join(60)
    until(lambda: len(tally.jobs) == 2_120, timeout=60)
    for manager in managers:
        assert manager.stop(timeout=60).complete
    assert len(managers[0].fetch_all("completed", limit=10_000)) == 2_120
    assert {job.attempts for job in managers[0].fetch_all(limit=10_000)} == {1}
    assert managers[0].find(many[7]).result == {"n": 7}
    for manager in managers:
        manager.stop()
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 3, said  # once for each manager
    assert {level for level, _ in said} == {"WARNING"}
    assert all("listen_db" in text for _, text in said)
    assert left_behind(bounced) == [[], []]


def test_a_role_with_settings_of_its_own_changes_nothing(
    bounced: str, make_manager: Callable[..., JobManager], conn: psycopg.Connection
) -> None:
    kept = {name: value for name, value in HOSTILE.items() if name not in TRACKED}
    for name, value in kept.items():
        conn.execute(f"alter role current_user set {name} = {'decoy' if name == 'search_path' else repr(value)}")
    try:
        manager = make_manager(bounced)
        manager.migrate()
        assert_lives(manager)
    finally:
        conn.execute("alter role current_user reset all")


def test_without_a_session_of_its_own_a_heartbeat_holds_no_lock_and_the_lease_counts(
    bounced: str, make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(bounced, Tally(), heartbeat=0.1, lease=0.5)
    manager.start()
    seen: set[tuple[object, ...]] = set()

    def has_beaten_often() -> bool:
        seen.update(conn.execute(f"select heartbeat_at, locked from {schema}.process").fetchall())
        return len(seen) > 10  # more than it takes psycopg to prepare a statement

    until(has_beaten_often)
    assert {locked for _, locked in seen} == {False}
    assert manager.stop().complete
    assert left_behind(bounced) == [[], []]


def test_a_process_is_shown_and_asked_about_through_it(bounced: str, make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(bounced, handlers={"a": lambda job: None})
    manager.start()
    assert manager.why(manager.create("a", delay=60)).codes == ("not_due",)
    assert "no_handler" in manager.why(manager.create("b")).codes
    (process,) = manager.processes()
    assert (process.alive, process.types) == (True, ("a",))


def test_a_process_waits_for_jobs_by_looking(bounced: str, make_manager: Callable[..., JobManager]) -> None:
    worker, waiter = make_manager(bounced, Tally(), poll_interval=0.05), make_manager(bounced)
    worker.start()
    jobs = waiter.create_many([("a", {"n": n}) for n in range(50)])
    assert [job.result for job in waiter.wait_all(jobs, 60)] == [{"n": n} for n in range(50)]
    future = waiter.future(waiter.create("a", delay=3600))
    future.cancel()
    until(lambda: len(waiter.fetch_all("cancelled")) == 1)
    assert worker.stop().complete
    waiter.stop()
    assert left_behind(bounced) == [[], []]


def test_listen_db_restores_the_notifications_and_the_lock_of_the_process(
    bounced: str,
    make_manager: Callable[..., JobManager],
    conn: psycopg.Connection,
    schema: str,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tally = Tally()
    manager = make_manager(bounced, tally, listen_db=database_url, poll_interval=NEVER_POLLED)
    manager.start()
    assert conn.execute(f"select locked from {schema}.process").fetchall() == [(True,)]
    created = [manager.create("a")]
    until(lambda: tally.uids() == [job.uid for job in created])
    for _ in range(3):
        created.append(manager.create("a"))
        until(lambda: tally.uids() == [job.uid for job in created])
    assert manager.stop().complete
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert left_behind(bounced) == [[], []]


def test_a_listen_db_that_leads_through_the_pooler_too_is_noticed(
    bounced: str, make_manager: Callable[..., JobManager], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(database_url, Tally(), listen_db=bounced)
    manager.start()
    until(lambda: [record for record in caplog.records if "no notification comes" in record.getMessage()])
    assert manager.stop().complete
    assert left_behind(bounced) == [[], []]


def test_a_pool_of_the_user_that_leads_through_it_works(bounced: str, make_manager: Callable[..., JobManager]) -> None:
    with ConnectionPool(bounced, min_size=0, max_size=5, kwargs={"prepare_threshold": None}, open=True) as pool:
        manager = make_manager(pool, poll_interval=0.2)
        manager.migrate()
        assert_lives(manager)
        manager.stop()
    assert left_behind(bounced) == [[], []]


def test_all_connections_know_of_a_pooler_that_one_of_them_has_met(bounced: str, database_url: str) -> None:
    """The session whose number a pooler tells a connection may happen to be the first one that the connection gets."""
    route = Route()
    with connect(database_url, 10, lambda connection: prepare_for_loop(connection, route)) as direct:
        assert not route.has_pooler
        assert direct.prepare_threshold is not None
    with connect(bounced, 10, lambda connection: prepare_for_call(connection, route)):
        assert route.has_pooler
    with connect(database_url, 10, lambda connection: prepare_for_loop(connection, route)) as by_chance:
        assert by_chance.prepare_threshold is None
        assert by_chance.execute("show enable_seqscan").fetchone() == ("on",)
