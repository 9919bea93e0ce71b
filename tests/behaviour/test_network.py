"""The way to the database: how long calls try, how a dead link is noticed. A small proxy stands in for the network."""

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import JobManager, OutcomeUnknown, Unavailable
from steve._client.calls import Calls
from steve._database.connection import connect, connect_arguments
from steve._database.pool import Connections
from steve._database.watchdog import Watchdog
from tests.behaviour.proxy import Proxy
from tests.conftest import until

TCP = {
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


@pytest.fixture
def deaf() -> Iterator[str]:
    """The conninfo of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"host=127.0.0.1 port={server.getsockname()[1]} dbname=x user=x sslmode=disable gssencmode=disable"


def seconds(call: Callable[[], object], error: type[Exception]) -> float:
    """How long it took until the call raised that."""
    begun = time.monotonic()
    with pytest.raises(error):
        call()
    return time.monotonic() - begun


# -- create_timeout -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["create", "create_many", "find", "history", "fetch_all", "migrate"])
def test_a_call_tries_again_for_create_timeout_and_says_that_the_database_is_unavailable(call: str) -> None:
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
        assert 0.3 < seconds(calls[call], Unavailable) < 3
    finally:
        manager.stop()


def test_a_call_is_done_when_the_database_comes_back_in_time(make_manager: Callable[..., JobManager], proxy: Proxy) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=20)
    manager.migrate()
    proxy.refuse()
    threading.Timer(0.5, proxy.accept).start()
    job = manager.create("a")
    assert manager.fetch_all() == [job]


def test_a_call_finds_the_database_soon_after_it_is_back_however_long_it_was_away(
    make_manager: Callable[..., JobManager], proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=30)
    manager.migrate()
    proxy.refuse()
    creator = threading.Thread(target=manager.create, args=("a",))
    creator.start()
    # Two attempts each time: for the connection that broke, and for the caller. Waiting twice as long after each failure, the
    # pool has now come to four seconds.
    until(lambda: caplog.text.count("error connecting in 'steve'") >= 6)
    proxy.accept()
    creator.join(3)
    back_in_time = not creator.is_alive()
    creator.join()
    assert back_in_time


def test_start_gives_up_at_the_first_refused_connection() -> None:
    manager = JobManager("host=127.0.0.1 port=1 dbname=x user=x", create_timeout=60)
    assert seconds(manager.start, Unavailable) < 2
    manager.stop()


def test_start_gives_up_after_create_timeout_on_a_server_that_says_nothing(deaf: str) -> None:
    manager = JobManager(deaf, create_timeout=2)
    assert 1.5 < seconds(manager.start, Unavailable) < 4
    manager.stop()


def test_a_create_whose_connection_breaks_and_stays_away_is_of_unknown_outcome(
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
    creator.join(10)
    conn.execute("commit")
    proxy.accept()
    (error,) = failed
    assert error.uid is not None
    until(lambda: [job.uid for job in manager.fetch_all()] == [error.uid])  # this one was stored


# -- what notices a dead link -------------------------------------------------------------------------------------------


def test_a_connection_notices_a_dead_link_by_itself(proxy: Proxy) -> None:
    with connect(proxy.conninfo, 10) as connection:
        set_there = connection.info.get_parameters()
        assert {name: set_there.get(name) for name in TCP} == TCP
        assert set_there["connect_timeout"] == "10"
        with socket.socket(fileno=connection.fileno()) as ours:
            options = {
                "keepalives": ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                "keepalives_idle": ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                "keepalives_interval": ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                "keepalives_count": ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                "tcp_user_timeout": ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            }
            ours.detach()
    assert {name: str(value) for name, value in options.items()} == TCP


def test_the_callers_pool_has_the_same(make_manager: Callable[..., JobManager], proxy: Proxy) -> None:
    manager = make_manager(proxy.conninfo)
    manager.migrate()
    found = manager._calls.call(lambda connection: connection.info.get_parameters())
    assert {name: found.get(name) for name in TCP} == TCP


def test_what_the_user_has_set_stays() -> None:
    given = {"keepalives": "0", "tcp_user_timeout": "7", "connect_timeout": "3", "application_name": "mine"}
    arguments = connect_arguments(make_conninfo("dbname=x", **given), 10)
    assert {name: arguments[name] for name in given} == given
    assert arguments["keepalives_idle"] == 5


def test_what_the_environment_or_a_service_has_set_stays(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "4")
    assert "connect_timeout" not in connect_arguments("dbname=x", 10)
    file = tmp_path / "services"
    file.write_text("[shop]\ndbname=x\nkeepalives_idle=77\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    assert "keepalives_idle" not in connect_arguments("service=shop", 10)
    monkeypatch.setenv("PGSERVICE", "shop")
    arguments = connect_arguments("", 10)
    assert "keepalives_idle" not in arguments
    assert arguments["keepalives_count"] == 3


def test_nobody_waits_longer_for_a_connection_than_for_the_call() -> None:
    assert [connect_arguments("", timeout)["connect_timeout"] for timeout in (0.05, 2.5, 60)] == [1, 3, 10]


def test_an_attempt_to_connect_that_timed_out_leaves_no_socket_open() -> None:
    """Whoever keeps the error, and though nobody collects garbage."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        conninfo = f"host=127.0.0.1 port={server.getsockname()[1]} dbname=x user=x sslmode=disable gssencmode=disable"
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(psycopg.errors.ConnectionTimeout, match="timeout expired") as kept:
                connect(conninfo, 1)
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(5)
                while accepted.recv(4096):  # what it had sent; then the end, or this times out
                    pass
            assert kept.value.sqlstate is None
        finally:
            gc.enable()


# -- a black hole that acknowledges everything ----------------------------------------------------------------------------


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> Watchdog:
    """A watchdog of the test's own, and impatient: the process's may be asleep for half a minute already."""
    watchdog = Watchdog()
    monkeypatch.setattr("steve._database.pool.watchdog", watchdog)
    for module in ("_watchdog", "_pool", "_calls", "_create"):
        monkeypatch.setattr(f"steve.{module}.ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(Connections.call, "__defaults__", (None, 1.0))
    monkeypatch.setattr(Connections.once, "__defaults__", (1.0,))
    monkeypatch.setattr(Calls.call, "__defaults__", (None, 1.0))
    return watchdog


def test_a_started_manager_gets_out_of_a_black_hole(
    make_manager: Callable[..., JobManager], proxy: Proxy, soon: Watchdog
) -> None:
    done: list[int] = []
    manager = make_manager(proxy.conninfo, lambda job: done.append(job.id), poll_interval=0.1)
    manager.start()
    first = manager.create("a")
    until(lambda: done == [first.id])
    proxy.swallow()
    until(lambda: soon._deadlines)
    waiting = set(soon._deadlines)
    until(lambda: all(connection.closed for connection in waiting), timeout=3)
    proxy.accept()
    proxy.cut()
    second = manager.create("a")
    until(lambda: done == [first.id, second.id], timeout=15)
    assert manager.stop(timeout=20).complete


@pytest.mark.usefixtures("soon")
def test_a_call_in_a_black_hole_ends_with_an_error(make_manager: Callable[..., JobManager], proxy: Proxy) -> None:
    manager = make_manager(proxy.conninfo, create_timeout=1)
    manager.migrate()
    proxy.swallow()
    assert seconds(lambda: manager.create("a"), OutcomeUnknown) < 4
    proxy.accept()
    proxy.cut()
    assert manager.fetch_all() == []


@pytest.mark.usefixtures("soon")
def test_what_may_take_long_is_not_cut(make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str) -> None:
    manager = make_manager()
    manager.migrate()
    with conn.transaction():
        conn.execute(f"lock table {schema}.job")
        found: list[object] = []
        looking = threading.Thread(target=lambda: found.append(manager.fetch_all()))
        looking.start()
        looking.join(2.5)
        assert looking.is_alive()
    looking.join(5)
    assert found == [[]]
