"""Failover by pg_auto_failover: its monitor decides which node is promoted and when, and its keepers carry that out.

failover.py promotes the standby itself, as soon as the primary is gone. Here there is a time without any primary, the keeper of
the old primary brings that back, and in between the nodes go through the states of the monitor.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.ports import free_port

from .cluster import OBSERVER, Cluster, temporary_directory
from .faults import Site, Skipped, fault
from .processes import Warden

RESUME_SECONDS = 5.0
"""How long it may take from the first write on the new primary to the first run of a job that was created after it."""

PROMOTED_SECONDS = 60.0
"""How long the monitor may take until there is a primary."""

SETTLED_SECONDS = 90.0
"""How long it may take until there is a primary with a synchronous standby. A base backup waits for a checkpoint."""

STOP_SECONDS = 30.0
"""How long a keeper may take to end after SIGQUIT, which makes it stop its PostgreSQL at once."""

MONITOR = {
    "health_check_period": "1s",
    "health_check_timeout": "1s",
    "health_check_retry_delay": "500ms",
    "node_considered_unhealthy_timeout": "4s",
    "primary_demote_timeout": "8s",
    "startup_grace_period": "2s",
}
"""With these settings the monitor takes a node for dead after seconds. Its defaults are half a minute, and a trial would mostly
wait. The demotion gets longer: when its time is over, the other node takes writes, and by then a keeper on a busy machine
must have stopped the old primary."""

PACKAGES = "pg_auto_failover is not installed (Debian: pg-auto-failover-cli and postgresql-15-auto-failover)"


class Keeper:
    """A pg_autoctl and the PostgreSQL that it starts, in a session of their own."""

    def __init__(self, home: Path, name: str, user: str | None, pg_ctl: Path, warden: Warden) -> None:
        self.name = name
        self.port = free_port()
        self.data = home / name
        self.log = home / f"{name}.log"
        self._home = home
        self._user = user
        self._pg_ctl = pg_ctl
        self._warden = warden
        self._process: subprocess.Popen[bytes] | None = None

    def create(self, kind: str, *arguments: str) -> None:
        """Start it with a new data directory or a copy of the primary's."""
        place = ("--pgctl", str(self._pg_ctl), "--pgport", str(self.port), "--hostname", "127.0.0.1")
        self._start("create", kind, *place, "--auth", "trust", "--no-ssl", *arguments, "--run")

    def start(self) -> None:
        """Start it again after a crash."""
        self._start("run")

    def crash(self) -> None:
        """Send SIGKILL to the keeper and to its PostgreSQL."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._gone(self._process)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._gone(self._process)

    def last_words(self) -> str:
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-5:])

    def _start(self, *arguments: str) -> None:
        """Start pg_autoctl. It keeps its state below the home directory, and finds PostgreSQL's programs on the PATH."""
        home = str(self._home)
        places = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "PG_REGRESS_SOCK_DIR"), home)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["pg_autoctl", *arguments, "--pgdata", str(self.data)],
                cwd=home,
                # PG_REGRESS_SOCK_DIR is for PostgreSQL's socket: not every user may write to the directory of the packages.
                env={"PATH": f"{self._pg_ctl.parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **places},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
                group=self._user and "nogroup",
                extra_groups=self._user and [],
            )
        self._warden.watch(-self._process.pid, signal.SIGQUIT)  # minus: the whole process group

    def _gone(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._warden.forget(-process.pid)
        self._process = None


class Keepers(Cluster):
    """A monitor and two nodes. The cluster is the node that is the primary. None of them is an embedded server."""

    def __init__(self, monitor: Keeper, nodes: tuple[Keeper, Keeper], superuser: str) -> None:
        self._monitor = monitor
        self._nodes = nodes
        self._superuser = superuser

    def conninfo(self, application: str, port: int | None = None, user: str = "postgres") -> str:
        """A conninfo of the node that takes writes. `port`: of the node on that port, if it takes writes."""
        ports = [port] if port else [node.port for node in self._nodes]
        return make_conninfo(
            host=",".join("127.0.0.1" for _ in ports), port=",".join(map(str, ports)), user=user, dbname="postgres",
            target_session_attrs="read-write", sslmode="disable", gssencmode="disable", application_name=application,
        )  # fmt: skip

    @contextmanager
    def connection(self, application: str = "observer", **options: Any) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.conninfo(application), autocommit=True, options=OBSERVER, **options) as one:
            yield one

    def set_up(self) -> None:
        self._monitor.create("monitor")
        self._until(self._is_monitored, PROMOTED_SECONDS)
        for name, value in MONITOR.items():
            self._ask_monitor(f"alter system set pgautofailover.{name} = '{value}'")
        self._ask_monitor("select pg_reload_conf()")
        address = f"postgres://autoctl_node@127.0.0.1:{self._monitor.port}/pg_auto_failover?sslmode=disable"
        for node in self._nodes:
            # --pghost is the socket's directory: pg_autoctl would look for it where its libpq does.
            place = ("--monitor", address, "--listen", "127.0.0.1", "--pghost", str(node.data.parent), "--name", node.name)
            node.create("postgres", "--username", "postgres", "--dbname", "postgres", *place)
            self._until(partial(self._knows, node), PROMOTED_SECONDS)  # the first node becomes the primary
            if node is self._nodes[0]:
                self._until(partial(self._writes, node), PROMOTED_SECONDS)
                # The second node copies this setting. A node may come back by a base backup, which would wait minutes for
                # a checkpoint.
                self.ask("alter system set checkpoint_completion_target = 0")
                self.ask("select pg_reload_conf()")
        self.wait_until_settled()

    def wait_until_settled(self) -> None:
        """Wait until commits wait for the standby, as they do in the state `primary`. A crash before that may lose commits that
        no server promised to keep."""
        settled = [("primary", "primary"), ("secondary", "secondary")]
        self._until(lambda: sorted(self._states().values()) == settled, SETTLED_SECONDS)

    def crash(self) -> Keeper:
        """Crash the primary, and wait until the other node takes writes. Returns the keeper that is to be started again."""
        old, new = self._roles()
        old.crash()
        self._until(lambda: self._writes(new), PROMOTED_SECONDS)
        return old

    def switch_over(self) -> None:
        """Ask the monitor for a failover, and wait until the other node takes writes."""
        _, new = self._roles()
        self._ask_monitor("select pgautofailover.perform_failover()")  # which is what `pg_autoctl perform failover` does
        self._until(lambda: self._writes(new), PROMOTED_SECONDS)

    def copy_logs(self, directory: Path) -> None:
        """Copy the logs of the keepers and of their servers: beside a kept ledger they tell which node was the primary when."""
        for keeper in (self._monitor, *self._nodes):
            for log in (keeper.log, *(keeper.data / "log").glob("*.log")):
                shutil.copyfile(log, directory / f"{keeper.name}-{log.name}")

    def end(self) -> None:
        for keeper in (*self._nodes, self._monitor):
            keeper.stop()

    def _roles(self) -> tuple[Keeper, Keeper]:
        """The keepers of the primary and of the standby."""
        states = self._states()
        first, second = self._nodes
        return (first, second) if states[first.name][0] == "primary" else (second, first)

    def _writes(self, node: Keeper) -> bool:
        """Whether the node takes writes. A new primary refuses them until the monitor is sure that the old one is gone."""
        try:
            with psycopg.connect(self.conninfo("observer", node.port), autocommit=True) as connection:
                connection.execute("comment on database postgres is 'written'")
        except psycopg.Error:
            return False
        return True

    def _states(self) -> dict[str, tuple[str, str]]:
        """For each node the state that it reported, and the state that it should reach."""
        rows = self._ask_monitor("select nodename, reportedstate::text, goalstate::text from pgautofailover.node")
        return {name: (reported, goal) for name, reported, goal in rows}

    def _knows(self, node: Keeper) -> bool:
        return node.name in self._states()

    def _is_monitored(self) -> bool:
        try:
            return not self._states()
        except psycopg.Error:
            return False

    def _ask_monitor(self, query: str) -> list[tuple[Any, ...]]:
        monitor = make_conninfo(host="127.0.0.1", port=self._monitor.port, user=self._superuser, dbname="pg_auto_failover")
        with psycopg.connect(monitor, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def _until(self, predicate: Callable[[], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not predicate():
            if time.monotonic() > deadline:
                words = "; ".join(f"{keeper.name}: {keeper.last_words()}" for keeper in (self._monitor, *self._nodes))
                raise TimeoutError(f"pg_auto_failover has not got there within {seconds:g} s: {words}")
            time.sleep(0.02)


@contextmanager
def keepers(warden: Warden) -> Iterator[Keepers]:
    """A new monitor and two new nodes, removed at the end."""
    pg_ctl = _pg_ctl()
    user = "nobody" if os.geteuid() == 0 else None
    home = temporary_directory()
    if user:
        shutil.chown(home, user)
    monitor, *nodes = (Keeper(home, name, user, pg_ctl, warden) for name in ("monitor", "one", "two"))
    cluster = Keepers(monitor, (nodes[0], nodes[1]), user or getpass.getuser())
    try:
        cluster.set_up()
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(home)


def _pg_ctl() -> Path:
    """The pg_ctl of a PostgreSQL that has the extension, where Debian puts it."""
    extensions = sorted(Path("/usr/share/postgresql").glob("*/extension/pgautofailover.control"))
    if not extensions or not shutil.which("pg_autoctl"):
        raise Skipped(PACKAGES)
    return Path("/usr/lib/postgresql", extensions[-1].parts[-3], "bin/pg_ctl")


@fault(
    "F5d", "pg_auto_failover promotes: the primary and its keeper are killed, or a switchover is asked for",
    trial="a failover", short=0, long=2, open=keepers,
    expects=f"a job that is created on the new primary runs at most {RESUME_SECONDS:g} s after that server takes writes",
)  # fmt: skip
def auto_failover(site: Site) -> None:
    cluster = site.cluster
    assert isinstance(cluster, Keepers)
    site.work(2)
    site.create(threads=3, every=0.006, many=0.3)
    try:
        _take_trials(site, cluster)
    finally:
        cluster.copy_logs(site.directory)


def _take_trials(site: Site, cluster: Keepers) -> None:
    without: dict[str, float] = {}
    back: dict[str, float] = {}
    for number in site.each_trial():
        site.pause(2.0, 3.0)
        cluster.wait_until_settled()
        how = ("crash", "switchover")[number % 2]
        killed = None
        began = time.monotonic()
        with site.broken(how):
            if how == "crash":
                killed = cluster.crash()
            else:
                cluster.switch_over()
        written = time.monotonic()
        site.expect(
            site.until(partial(_first_run, site, written), RESUME_SECONDS),
            f"no new job ran within {RESUME_SECONDS:g} s after the promotion ({how})",
        )
        if first := _first_run(site, written):
            back[how] = max(back.get(how, 0), first - written)
        without[how] = max(without.get(how, 0), written - began)
        if killed:
            killed.start()
        cluster.wait_until_settled()
    for how in without:
        site.notes[f"longest until a primary, {how}, s"] = round(without[how], 2)
        site.notes[f"longest from there to a run, {how}, s"] = round(back.get(how, 0), 2)


def _first_run(site: Site, since: float) -> float | None:
    """When the first of the jobs that were created since then began; None: none has."""
    events = site.events()
    created = {event["k"] for event in events if event["ev"] == "enq_ok" and event["t"] > since}
    return next((event["t"] for event in events if event["ev"] == "run_start" and event["k"] in created), None)
