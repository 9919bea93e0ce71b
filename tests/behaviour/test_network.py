"""A network that refuses, breaks and swallows: how long calls try, and what the manager does about a peer that does not answer.

A small proxy stands in for the network. What each connection does about a dead link: tests/database/test_connection.py.
"""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import Job, JobManager, OutcomeUnknown, Unavailable
from steve._model.tuning import Tuning
from tests.behaviour.proxy import Proxy
from tests.conftest import APPLICATION, until


@pytest.fixture
def silent() -> Iterator[str]:
    """The conninfo of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"host=127.0.0.1 port={server.getsockname()[1]} dbname=x user=x sslmode=disable gssencmode=disable"


def failed(call: Callable[[], object]) -> tuple[Exception, float]:
    """The error that the call raised, and after how many seconds."""
    begun = time.monotonic()
    with pytest.raises(Exception) as caught:
        call()
    return caught.value, time.monotonic() - begun


# -- create_timeout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["create", "create_many", "find", "history", "fetch_all", "migrate"])
def test_a_call_tries_again_for_create_timeout_and_then_raises_unavailable(call: str) -> None:
    manager = JobManager("host=127.0.0.1 port=1 dbname=x user=x", create_timeout=0.6)
    uid = "018f0000-0000-7000-8000-000000000000"
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: manager.create("a"),
        "create_many": lambda: manager.create_many([("a", None)]),
        "find": lambda: manager.find(uid),
        "history": lambda: manager.history(uid),
        "fetch_all": manager.fetch_all,
        "migrate": manager.migrate,
    }
    try:
        error, seconds = failed(calls[call])
    finally:
        manager.stop()
    assert isinstance(error, Unavailable)
    assert re.search(r"within 0\.6 s: .*127\.0\.0\.1", str(error))
    assert 0.3 < seconds < 8  # the default is ten seconds


CANNOT_CONNECT = "error connecting in 'steve'"
"""What the pool logs of each attempt that failed."""


def test_a_call_succeeds_if_the_database_comes_back_in_time(
    make_manager: Callable[..., JobManager], proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=100)
    manager.migrate()
    proxy.refuse()
    created: list[Job] = []
    creator = threading.Thread(target=lambda: created.append(manager.create("a")))
    creator.start()
    until(lambda: CANNOT_CONNECT in caplog.text)
    proxy.accept()
    creator.join(60)
    assert len(created) == 1
    assert manager.fetch_all() == created


def test_a_call_finds_the_database_soon_after_a_long_outage(
    make_manager: Callable[..., JobManager], proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=100)
    manager.migrate()
    proxy.refuse()
    creator = threading.Thread(target=manager.create, args=("a",))
    creator.start()
    # The pool connects twice at a time: once for the connection that broke, and once for the caller. If it waited twice as long
    # after each failure, as pools do, the next wait would now be one of sixteen seconds.
    until(lambda: caplog.text.count(CANNOT_CONNECT) >= 10, timeout=60)
    proxy.accept()
    creator.join(14)
    is_late = creator.is_alive()
    creator.join()
    assert not is_late


def test_start_gives_up_at_the_first_refused_connection() -> None:
    manager = JobManager("host=127.0.0.1 port=1 dbname=x user=x", create_timeout=600)
    error, seconds = failed(manager.start)
    manager.stop()
    assert isinstance(error, Unavailable)
    assert seconds < 60


def test_start_gives_up_after_create_timeout_on_a_server_that_does_not_answer(silent: str) -> None:
    manager = JobManager(silent, create_timeout=2)
    error, seconds = failed(manager.start)
    manager.stop()
    assert isinstance(error, Unavailable)
    assert 1.5 < seconds < 8  # without that, connecting takes ten seconds


def test_the_outcome_of_a_create_is_unknown_if_its_connection_breaks_for_long(
    make_manager: Callable[..., JobManager], proxy: Proxy, conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=2)
    manager.migrate()
    conn.execute("begin")
    conn.execute(f"lock table {schema}.job")  # the INSERT is under way when the network goes
    failed: list[OutcomeUnknown] = []

    def create() -> None:
        try:
            manager.create("a")
        except OutcomeUnknown as error:
            failed.append(error)

    creator = threading.Thread(target=create)
    creator.start()
    until(lambda: conn.execute("select 1 from pg_locks where not granted").fetchone())
    proxy.refuse()
    creator.join(60)
    conn.execute("commit")
    proxy.accept()
    (error,) = failed
    assert error.uid is not None
    until(lambda: [job.uid for job in manager.fetch_all()] == [error.uid])  # it was stored


# -- a peer that acknowledges everything and answers nothing -----------------------------------------------------------------

IMPATIENT = Tuning(answer_within=0.5)
CUT = "connections are cut"
"""What the watchdog logs."""


def sessions(conn: psycopg.Connection, application: str) -> set[int]:
    conn.execute("select pg_stat_clear_snapshot()")  # a transaction would see the same sessions all the time
    query = "select pid from pg_stat_activity where application_name = %s"
    return {pid for (pid,) in conn.execute(query, [application])}


def test_a_started_manager_gets_out_of_a_black_hole(
    make_manager: Callable[..., JobManager], proxy: Proxy, conn: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    application = f"{APPLICATION}-swallowed"
    done: list[UUID] = []
    manager = make_manager(
        make_conninfo(proxy.conninfo, application_name=application),
        lambda job: done.append(job.uid),
        poll_interval=0.1,
        create_timeout=60,
        _tuning=IMPATIENT,
    )
    manager.start()
    first = manager.create("a")
    until(lambda: done == [first.uid])
    before = sessions(conn, application)
    proxy.swallow()
    until(lambda: CUT in caplog.text)
    until(lambda: not before <= sessions(conn, application))  # the proxy has passed on that a connection was closed
    proxy.accept()
    proxy.cut()
    second = manager.create("a")
    until(lambda: done == [first.uid, second.uid], timeout=60)
    assert manager.stop(timeout=60).complete


def test_a_call_in_a_black_hole_ends_with_an_error(make_manager: Callable[..., JobManager], proxy: Proxy) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=2, _tuning=IMPATIENT)
    manager.migrate()
    proxy.swallow()
    error, seconds = failed(lambda: manager.create("a"))
    assert isinstance(error, OutcomeUnknown)
    assert seconds < 25  # without IMPATIENT it takes thirty seconds
    proxy.accept()
    proxy.cut()

    def found() -> list[Job] | None:
        try:
            return manager.fetch_all()
        except Unavailable:
            return None

    assert until(lambda: found() is not None)
    assert found() == []


def test_fetch_all_which_may_take_long_is_not_cut(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    application = f"{APPLICATION}-patient"
    manager = make_manager(make_conninfo(database_url, application_name=application), create_timeout=60, _tuning=IMPATIENT)
    manager.migrate()
    short = make_manager(create_timeout=4, _tuning=IMPATIENT)
    short.fetch_all()  # opens its connection
    with conn.transaction():
        conn.execute(f"lock table {schema}.job")
        found: list[object] = []
        looking = threading.Thread(target=lambda: found.append(manager.fetch_all()))
        looking.start()
        until(lambda: conn.execute("select from pg_locks where not granted").fetchall())
        before = sessions(conn, application)
        with pytest.raises(Unavailable):  # this call began later, waited for the same lock, and was cut
            short.find("018f0000-0000-7000-8000-000000000000")
        assert looking.is_alive()
        assert sessions(conn, application) == before, "fetch_all was cut, and tried again in another session"
    looking.join(30)
    assert found == [[]]
