"""The PostgreSQL of a run, an embedded server on a TCP port of its own, with fsync; and what faults do to it and ask it.

A stop with `immediate` kills the processes of the server, not the machine. Pages that the operating system has accepted survive
it, so a missing fsync would not show here.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import embedded
from steve.embedded import StopMode
from tests.pair import Pair, beside, copy, pair, user_of
from tests.ports import free_port

from .checker import AttemptRow, JobRow
from .processes import Warden

OBSERVER = (
    "-c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off -c idle_in_transaction_session_timeout=0"
)
"""Options of the observer's sessions, so that settings that a fault changes for all sessions do not apply to them."""


NAME = "coalesce(payload->>'k', payload->'kwargs'->>'k')"
"""Of a job, or of a task of Django's."""


def ended(schema: str) -> str:
    """For a FROM: the attempts that have ended, those in the log and those for which a job's own row stands. An attempt that is
    written down twice is there twice."""
    return f"""(
      select uid, {NAME} as k, type, run_at, attempt.lease_no, number, attempt.process, attempt.started_at,
        attempt.completed_at, attempt.status
      from {schema}.attempt
      join {schema}.job on uid = job_uid
      union all
      select uid, {NAME}, type, run_at, lease_no, attempts, process, started_at, completed_at, 'success'
      from {schema}.job
      where process is not null
    ) as ended"""


@contextmanager
def opened(warden: Warden, **settings: str) -> Iterator[Cluster]:
    """A new cluster, removed at the end."""
    port = free_port()
    with embedded.server(listen_addresses="127.0.0.1", port=str(port), **settings) as server:
        cluster = Cluster(server, port, warden)
        try:
            yield cluster
        finally:
            warden.forget(cluster.pid)


class Cluster:
    """A `conninfo` leads over TCP and has no TLS, so that a proxy in between can read the protocol."""

    def __init__(self, server: embedded.Server, port: int, warden: Warden) -> None:
        self.port = port
        self.bin = server.bin
        self.server = server
        self._warden = warden
        self._watch()

    def conninfo(self, application: str, port: int | None = None, user: str = "postgres") -> str:
        """`port`: that of a proxy, if the connections should lead through it."""
        return make_conninfo(
            host="127.0.0.1", port=port or self.port, user=user, dbname="postgres", sslmode="disable",
            gssencmode="disable", application_name=application,
        )  # fmt: skip

    # -- done to it -----------------------------------------------------------------------------------------------------

    def restart(self, mode: StopMode) -> None:
        self.stop(mode)
        self.start()

    def stop(self, mode: StopMode) -> None:
        self._warden.forget(self.pid)
        self.server.stop(mode)

    def start(self) -> None:
        self.server.start()
        self._watch()

    def kill_backend(self, application: str) -> bool:
        """Send SIGKILL to a server process of such a session, so that the server resets itself as after a crash.

        Returns whether there was one.
        """
        pids = self.ask("select pid from pg_stat_activity where application_name = %s order by random() limit 1", [application])
        for (pid,) in pids:
            os.kill(pid, signal.SIGKILL)
        return bool(pids)

    def terminate(self, application: str, share: float = 1.0, query: str = "%") -> int:
        """End a share of the sessions, chosen at random. Returns how many."""
        return int(
            self.ask(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity "
                "where application_name = %s and query ilike %s and random() < %s",
                [application, query, share],
            )[0][0]
        )

    @contextmanager
    def setting(self, **settings: str) -> Iterator[None]:
        """Change the settings of all sessions, also of open ones, for the length of the block."""
        try:
            self._set(lambda name: sql.SQL("alter system set {} = {}").format(sql.Identifier(name), settings[name]), settings)
            yield
        finally:
            self._set(lambda name: sql.SQL("alter system reset {}").format(sql.Identifier(name)), settings)

    def _set(self, statement: Callable[[str], sql.Composed], settings: dict[str, str]) -> None:
        with self.connection() as connection:
            for name in settings:
                connection.execute(statement(name))
            connection.execute("select pg_reload_conf()")

    def own(self, directory: Path) -> None:
        """Give the directory to the user that the server runs as."""
        if user := user_of(self.server):
            shutil.chown(directory, user)

    # -- looked at ------------------------------------------------------------------------------------------------------

    @contextmanager
    def connection(self, application: str = "observer", **options: Any) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(
            self.server.conninfo, autocommit=True, application_name=application, options=OBSERVER, **options
        ) as one:
            yield one

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.connection() as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def jobs(self, schema: str) -> list[JobRow]:
        rows = self.ask(f"select {NAME}, status, crashes, result->>'by' from {schema}.job")
        return [JobRow(*row) for row in rows]

    def attempts(self, schema: str) -> list[AttemptRow]:
        rows = self.ask(f"select k, number, status, split_part(process, ':', 2)::integer from {ended(schema)}")
        return [AttemptRow(*row) for row in rows]

    def sessions(self, application: str) -> int:
        return int(self.ask("select count(*) from pg_stat_activity where application_name = %s", [application])[0][0])

    # -------------------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self.server.pid is not None
        return self.server.pid

    def _watch(self) -> None:
        self._warden.watch(self.pid, signal.SIGQUIT)


class Twins(Cluster):
    """A primary and its standby. The cluster is the server that is the primary."""

    def __init__(self, pair: Pair, warden: Warden) -> None:
        super().__init__(pair.primary, pair.ports[0], warden)
        self.pair = pair
        self._watch_standby()

    def conninfo(self, application: str, port: int | None = None, user: str = "postgres") -> str:
        return self.pair.conninfo(application_name=application, sslmode="disable", gssencmode="disable")

    def fail_over(self) -> None:
        """Crash the primary and promote the standby."""
        self.stop("immediate")
        self.pair.promote()
        self.server = self.pair.primary

    def hand_over(self) -> None:
        """Demote the primary, which keeps running with all its sessions, and promote the standby."""
        self.pair.demote()
        self.pair.promote()
        self.server = self.pair.primary

    def end_old(self) -> None:
        """Stop the old primary, which was demoted."""
        assert self.pair.standby.pid is not None
        self._warden.forget(self.pair.standby.pid)
        self.pair.standby.stop()

    def rejoin(self, rewind: bool) -> None:
        self.pair.rejoin(rewind)
        self._watch_standby()

    def _watch_standby(self) -> None:
        assert self.pair.standby.pid is not None
        self._warden.watch(self.pair.standby.pid, signal.SIGQUIT)


@contextmanager
def twins(warden: Warden, synchronous: bool) -> Iterator[Twins]:
    with pair(synchronous) as both:
        cluster = Twins(both, warden)
        try:
            yield cluster
        finally:
            for server in (both.primary, both.standby):
                if server.pid is not None:
                    warden.forget(server.pid)


@contextmanager
def replica(cluster: Cluster, warden: Warden) -> Iterator[int]:
    """A hot standby of the cluster. Yields its port."""
    port = free_port()
    with beside(cluster.server, port) as standby:
        copy(cluster.server, standby)
        standby.start()
        assert standby.pid is not None
        pid = standby.pid
        warden.watch(pid, signal.SIGQUIT)
        try:
            yield port
        finally:
            warden.forget(pid)


def temporary_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="steve-chaos-"))
