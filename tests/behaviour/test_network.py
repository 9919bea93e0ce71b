"""The network between a manager and its database: how long calls try, and how a link is given up on which nothing comes back.
A small proxy stands in for the network.

What a single connection notices by itself: tests/database/test_connection.py.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from steve import JobManager, OutcomeUnknown, Unavailable
from steve._model.tuning import Tuning
from tests.behaviour.proxy import Proxy
from tests.conftest import until


@pytest.fixture
def deaf() -> Iterator[str]:
    """The conninfo of a server that takes connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"host=127.0.0.1 port={server.getsockname()[1]} dbname=x user=x sslmode=disable gssencmode=disable"


def seconds(call: Callable[[], object]) -> float:
    """How long it took until the call raised Unavailable."""
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    return time.monotonic() - begun


# -- create_timeout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["create", "create_many", "find", "history", "fetch_all", "migrate"])
def test_a_call_tries_for_create_timeout_and_raises_unavailable(call: str) -> None:
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
        with pytest.raises(Unavailable, match=r"within 0\.6 s: .*127\.0\.0\.1"):
            calls[call]()
        assert 0.3 < seconds(calls[call]) < 8  # by default it is 10
    finally:
        manager.stop()


def test_a_call_succeeds_when_the_database_comes_back_in_time(make_manager: Callable[..., JobManager], proxy: Proxy) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=20)
    manager.migrate()
    proxy.refuse()
    threading.Timer(0.5, proxy.accept).start()
    job = manager.create("a")
    assert manager.fetch_all() == [job]


def test_a_call_finds_the_database_soon_after_however_long_an_outage(
    make_manager: Callable[..., JobManager], proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=30)
    manager.migrate()
    proxy.refuse()
    creator = threading.Thread(target=manager.create, args=("a",))
    creator.start()
    # Two attempts each time: for the connection that broke, and for the caller. A pool that waits twice as long after each
    # failure would by now wait for many seconds.
    until(lambda: caplog.text.count("error connecting in 'steve'") >= 10, timeout=60)
    proxy.accept()
    creator.join(10)
    back_in_time = not creator.is_alive()
    creator.join()
    assert back_in_time


def test_start_gives_up_at_the_first_refused_connection() -> None:
    manager = JobManager("host=127.0.0.1 port=1 dbname=x user=x", create_timeout=60)
    assert seconds(manager.start) < 30
    manager.stop()


def test_start_gives_up_after_create_timeout_on_a_server_that_says_nothing(deaf: str) -> None:
    manager = JobManager(deaf, create_timeout=2)
    assert 1.5 < seconds(manager.start) < 9  # by default it is 10
    manager.stop()


def test_a_create_whose_connection_breaks_for_good_is_of_unknown_outcome(
    make_manager: Callable[..., JobManager], proxy: Proxy, conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=1)
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
    until(lambda: [job.uid for job in manager.fetch_all()] == [error.uid])  # this one was stored


# -- a black hole that acknowledges everything ----------------------------------------------------------------------------


IMPATIENT = Tuning(answer_within=1.0)
"""A connection counts as dead when a statement has had no answer for a second."""

CUT = "the database has not answered in time"


def test_a_started_manager_gets_out_of_a_black_hole(
    make_manager: Callable[..., JobManager], proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []
    manager = make_manager(proxy.conninfo, lambda job: done.append(job.id), poll_interval=0.1, _tuning=IMPATIENT)
    manager.start()
    first = manager.create("a")
    until(lambda: done == [first.id])
    proxy.swallow()
    until(lambda: CUT in caplog.text, timeout=60)
    proxy.accept()
    proxy.cut()
    second = manager.create("a")
    until(lambda: done == [first.id, second.id], timeout=60)
    assert manager.stop(timeout=60).complete


def test_a_call_in_a_black_hole_ends_with_an_error(make_manager: Callable[..., JobManager], proxy: Proxy) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=1, _tuning=IMPATIENT)
    manager.migrate()
    proxy.swallow()
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        manager.create("a")
    assert time.monotonic() - began < 20  # by default a connection is given half a minute
    proxy.accept()
    proxy.cut()
    assert manager.fetch_all() == []


def test_a_statement_that_may_take_long_is_not_cut(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str
) -> None:
    """Beside one that may not, which is cut meanwhile."""
    manager = make_manager(_tuning=Tuning(answer_within=0.2))
    manager.migrate()
    found: list[object] = []
    with conn.transaction():
        conn.execute(f"lock table {schema}.job")
        looking = threading.Thread(target=lambda: found.append(manager.fetch_all()))
        looking.start()
        until(lambda: conn.execute("select from pg_locks where not granted").fetchall())
        other = make_manager(create_timeout=0.5, _tuning=Tuning(answer_within=0.2))
        with pytest.raises(Unavailable):
            other.find("018f0000-0000-7000-8000-000000000000")
        assert looking.is_alive()
    looking.join(60)
    assert found == [[]]
