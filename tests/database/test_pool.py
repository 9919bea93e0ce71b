"""The connections that callers borrow, given a pool of the user's."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from steve import ForkedProcessError
from steve._database.connections import Connections
from steve._database.failures import Connection
from steve._model.settings import Settings
from tests.conftest import until


class Interrupted(BaseException):
    """What a time limit of the application's raises in its signal handler."""


@pytest.fixture
def pool(database_url: str) -> Iterator[ConnectionPool]:
    with ConnectionPool(database_url, min_size=1, max_size=5, open=True) as pool:
        yield pool


@pytest.fixture
def connections(pool: ConnectionPool) -> Connections:
    return Connections(db=pool, listen_db=None, settings=Settings())


def test_the_child_of_a_fork_may_not_even_open_the_pool(connections: Connections) -> None:
    connections.reset_after_fork(started=False)
    with pytest.raises(ForkedProcessError, match="make a pool and a manager here"):
        connections.open(1)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system cannot send a signal to a thread")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Interrupted])
def test_what_interrupts_a_statement_on_the_users_pool_comes_through(
    kind: type[BaseException], connections: Connections, pool: ConnectionPool, conn: psycopg.Connection
) -> None:
    main = threading.main_thread().ident
    assert main is not None
    tries: list[int] = []  # the sessions

    def sleep(connection: Connection) -> None:
        tries.append(connection.info.backend_pid)
        connection.execute("select pg_sleep(20)")

    def raises(number: int, frame: object) -> None:
        raise kind

    def interrupt() -> None:
        sleeping = "select true from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
        until(lambda: tries and conn.execute(sleeping, tries[-1:]).fetchone())
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raises)
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(kind):
            connections.call(sleep)
    finally:
        interrupter.join()
        signal.signal(signal.SIGUSR1, before)
        conn.execute("select pg_terminate_backend(%s)", tries[:1])  # it may sleep on, and notice nothing
    assert len(tries) == 1
    with pool.connection() as connection:
        assert not connection.autocommit
