"""A primary and its physical standby, which can change roles, for the tests and the chaos tests of failover.

Both are embedded servers on TCP ports of their own. Clients are given both addresses and find the primary themselves.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve import embedded
from steve.embedded import Server
from tests.ports import free_port

SYNCED_SECONDS = 60.0
"""How long a standby may take to receive everything."""

SETTINGS = {"listen_addresses": "127.0.0.1", "wal_log_hints": "on", "wal_keep_size": "512MB"}
"""pg_rewind needs `wal_log_hints`. `wal_keep_size` keeps what a standby missed until it comes back."""


class Pair:
    """`synchronous`: a commit waits for the standby while there is one. After a promotion the new primary waits
    for no other server until the old one has rejoined it."""

    def __init__(self, primary: Server, standby: Server, ports: tuple[int, int], synchronous: bool) -> None:
        self.primary = primary
        self.standby = standby
        self.ports = ports
        self._synchronous = synchronous
        copy(primary, standby)
        self._follow()

    def conninfo(self, **parameters: str) -> str:
        """A conninfo that leads to the server that takes writes."""
        return make_conninfo(
            host="127.0.0.1,127.0.0.1", port=",".join(map(str, self.ports)), user="postgres", dbname="postgres",
            target_session_attrs="read-write", **parameters,
        )  # fmt: skip

    def promote(self) -> None:
        """Make the standby the primary. The old primary must have been stopped, or refuse writes."""
        run(self.standby, "pg_ctl", "promote")
        self.primary, self.standby = self.standby, self.primary

    def demote(self) -> None:
        """Make the primary refuse writes (25006). Its sessions go on."""
        ask(self.primary, "alter system set default_transaction_read_only = on", "select pg_reload_conf()")
        self.wait_until_synced()

    def detach(self) -> None:
        """Cut the standby off: what is committed from now on is lost with the primary."""
        ask(self.standby, "alter system set primary_conninfo = ''", "select pg_reload_conf()")
        while ask(self.standby, "select count(*) from pg_stat_wal_receiver") != [(0,)]:
            time.sleep(0.01)

    def look_into_old(self, *queries: str) -> list[list[tuple[object, ...]]]:
        """The rows of these queries in the old primary, as it was when it crashed. Clients cannot reach that server meanwhile,
        because it would take their writes."""
        with (home_of(self.standby) / "data" / "postgresql.auto.conf").open("a") as file:
            file.write("listen_addresses = ''\nsynchronous_standby_names = ''\n")
        self.standby.start()
        found = [ask(self.standby, query) for query in queries]
        self.standby.stop()
        return found

    def rejoin(self, rewind: bool) -> None:
        """Make the old primary, which is down, the standby: with `rewind` from its own data, otherwise from a new copy."""
        if rewind:
            ask(self.primary, "checkpoint")  # otherwise pg_rewind may read the timeline from before the promotion
            source = self.primary.conninfo
            # pg_rewind first recovers a server that crashed, and then discards what the new primary never received.
            run(self.standby, "pg_rewind", "--source-server", source)
            _configure(self.standby, self.primary)
        else:
            shutil.rmtree(home_of(self.standby) / "data")
            copy(self.primary, self.standby)
        self._follow()

    def wait_until_synced(self) -> None:
        """Return when the standby has received all that is committed now."""
        ((position,),) = ask(self.primary, "select pg_current_wal_flush_lsn()::text")
        streamed = f"select count(*) from pg_stat_replication where state = 'streaming' and flush_lsn >= '{position}'"
        until = time.monotonic() + SYNCED_SECONDS
        while ask(self.primary, streamed) != [(1,)]:
            if time.monotonic() > until:
                raise TimeoutError(f"the standby has not caught up: {last_words(self.standby)}")
            time.sleep(0.02)

    def _follow(self) -> None:
        self.standby.start()
        self.wait_until_synced()
        if self._synchronous:
            ask(self.primary, "alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
            while ask(self.primary, "select sync_state from pg_stat_replication") != [("sync",)]:
                time.sleep(0.02)
            self.wait_until_synced()  # commits before this point did not wait for the standby


@contextmanager
def pair(synchronous: bool) -> Iterator[Pair]:
    """A new pair, which is removed at the end."""
    ports = free_port(), free_port()
    with embedded.server(port=str(ports[0]), **SETTINGS) as first, beside(first, ports[1]) as second:
        yield Pair(first, second, ports, synchronous)


@contextmanager
def beside(server: Server, port: int) -> Iterator[Server]:
    """A second server with the programs of the first one. It is not started, and it is removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="steve-", dir=home_of(server).parent))
    user = user_of(server)
    if user:
        shutil.chown(home, user)
    second = Server(home, server.bin.parents[1], user, str(port))
    try:
        yield second
    finally:
        second.stop("immediate")
        shutil.rmtree(home)


def copy(source: Server, target: Server) -> None:
    """Make a base backup that is ready to start as a standby of the source."""
    run(target, "pg_basebackup", "-d", source.conninfo, "-c", "fast")
    _configure(target, source)


def _configure(standby: Server, primary: Server) -> None:
    """Give the copy settings of its own in place of its source's: the last line of the file that sets a value counts."""
    data = home_of(standby) / "data"
    port = conninfo_to_dict(standby.conninfo)["port"]
    source = primary.conninfo.replace("'", "''")
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(f"port = {port}\nprimary_conninfo = '{source}'\nsynchronous_standby_names = ''\n")
    (data / "standby.signal").touch()
    if user := user_of(standby):
        shutil.chown(data / "standby.signal", user)


def home_of(server: Server) -> Path:
    """The directory with its socket, its data and its log."""
    return Path(str(conninfo_to_dict(server.conninfo)["host"]))


def user_of(server: Server) -> str | None:
    """The system user that the server runs as; None: the user that we run as."""
    return home_of(server).owner() if os.geteuid() == 0 else None


def last_words(server: Server) -> str:
    """The end of its log."""
    return " | ".join((home_of(server) / "log").read_text(errors="replace").splitlines()[-5:])


def run(server: Server, program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on the server's data."""
    home, user = home_of(server), user_of(server)
    command = [str(server.bin / program), "-D", str(home / "data"), *arguments]
    with (home / "log").open("ab") as log:
        # In a session of its own, so that Ctrl-C in the terminal does not reach it.
        process = subprocess.Popen(
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            user=user, group=user and pwd.getpwnam(user).pw_gid, extra_groups=user and [],
        )  # fmt: skip
    if process.wait(120):
        raise RuntimeError(f"{program} failed: {last_words(server)}")


def ask(server: Server, *statements: str) -> list[tuple[object, ...]]:
    """Execute the statements, and return the rows of the last one."""
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
