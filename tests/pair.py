"""A primary and its physical standby, whose roles change: what the suite and the chaos tests fail over.

Both are embedded servers on TCP ports of their own: clients are given both addresses and find the primary themselves.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve import embedded
from steve.embedded import Server

SYNCED_SECONDS = 60.0
"""How long a standby may take to have received everything."""

SETTINGS = {"listen_addresses": "127.0.0.1", "wal_log_hints": "on", "wal_keep_size": "512MB"}
"""The last two: for pg_rewind, and for a standby that comes back to what it missed."""


class Pair:
    """`synchronous`: a commit waits for the standby, while there is one; the one that was promoted waits for nobody until the
    other has rejoined it."""

    def __init__(self, primary: Server, standby: Server, ports: tuple[int, int], synchronous: bool) -> None:
        self.primary = primary
        self.standby = standby
        self.ports = ports
        self._synchronous = synchronous
        copy(primary, standby)
        self._follow()

    def conninfo(self, **parameters: str) -> str:
        """Of whichever takes writes."""
        return make_conninfo(
            host="127.0.0.1,127.0.0.1", port=",".join(map(str, self.ports)), user="postgres", dbname="postgres",
            target_session_attrs="read-write", **parameters,
        )  # fmt: skip

    def promote(self) -> None:
        """The standby becomes the primary; the other has been stopped, or takes no writes any more."""
        run(self.standby, "pg_ctl", "promote")
        self.primary, self.standby = self.standby, self.primary

    def demote(self) -> None:
        """The primary takes no writes any more (25006), and ends nobody's session."""
        ask(self.primary, "alter system set default_transaction_read_only = on", "select pg_reload_conf()")
        self.wait_until_synced()

    def detach(self) -> None:
        """The standby receives nothing more: what is committed from now on is lost with the primary."""
        ask(self.standby, "alter system set primary_conninfo = ''", "select pg_reload_conf()")
        while ask(self.standby, "select count(*) from pg_stat_wal_receiver") != [(0,)]:
            time.sleep(0.01)

    def look_into_old(self, *queries: str) -> list[list[tuple[object, ...]]]:
        """What the old primary had stored when it crashed. Nobody else reaches it meanwhile: it would take writes."""
        with (self.standby._home / "data" / "postgresql.auto.conf").open("a") as file:
            file.write("listen_addresses = ''\nsynchronous_standby_names = ''\n")
        self.standby.start()
        found = [ask(self.standby, query) for query in queries]
        self.standby.stop()
        return found

    def rejoin(self, rewind: bool) -> None:
        """The old primary, which is down, becomes the standby: of its own data, or by a new copy."""
        if rewind:
            ask(self.primary, "checkpoint")  # else pg_rewind may read the timeline before the promotion
            source = self.primary.conninfo
            # The first way ends cleanly what crashed; then it throws away what the other never received.
            run(self.standby, "pg_rewind", "--source-server", source)
            _configure(self.standby, self.primary)
        else:
            shutil.rmtree(self.standby._home / "data")
            copy(self.primary, self.standby)
        self._follow()

    def wait_until_synced(self) -> None:
        """Until the standby has received all that is committed now."""
        ((position,),) = ask(self.primary, "select pg_current_wal_flush_lsn()::text")
        streamed = f"select count(*) from pg_stat_replication where state = 'streaming' and flush_lsn >= '{position}'"
        until = time.monotonic() + SYNCED_SECONDS
        while ask(self.primary, streamed) != [(1,)]:
            if time.monotonic() > until:
                raise TimeoutError(f"the standby has not caught up: {self.standby._last_words()}")
            time.sleep(0.02)

    def _follow(self) -> None:
        self.standby.start()
        self.wait_until_synced()
        if self._synchronous:
            ask(self.primary, "alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
            while ask(self.primary, "select sync_state from pg_stat_replication") != [("sync",)]:
                time.sleep(0.02)
            self.wait_until_synced()  # what was committed until then, nobody had waited for


@contextmanager
def pair(synchronous: bool) -> Iterator[Pair]:
    """A new one, gone at the end."""
    ports = free_port(), free_port()
    with embedded.server(port=str(ports[0]), **SETTINGS) as first, beside(first, ports[1]) as second:
        yield Pair(first, second, ports, synchronous)


@contextmanager
def beside(server: Server, port: int) -> Iterator[Server]:
    """A place for a second server with the first one's programs; gone at the end."""
    home = Path(tempfile.mkdtemp(prefix="steve-", dir=server._home.parent))
    if server._user:
        shutil.chown(home, server._user)
    second = Server(home, server.bin.parents[1], server._user, str(port))
    try:
        yield second
    finally:
        second.stop("immediate")
        shutil.rmtree(home)


def copy(source: Server, target: Server) -> None:
    """A base backup, ready to start as the source's standby."""
    run(target, "pg_basebackup", "-d", source.conninfo, "-c", "fast")
    _configure(target, source)


def _configure(standby: Server, primary: Server) -> None:
    """A copy has the settings of its source; what comes last counts."""
    data = standby._home / "data"
    port = conninfo_to_dict(standby.conninfo)["port"]
    source = primary.conninfo.replace("'", "''")
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(f"port = {port}\nprimary_conninfo = '{source}'\nsynchronous_standby_names = ''\n")
    (data / "standby.signal").touch()
    if standby._user:
        shutil.chown(data / "standby.signal", standby._user)


def run(server: Server, program: str, *arguments: str) -> None:
    """One of PostgreSQL's programs on the server's data, to its end."""
    process = server._popen(program, *arguments)
    if process.wait(120):
        raise RuntimeError(f"{program} failed: {server._last_words()}")


def ask(server: Server, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last."""
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
