"""Failover by pg_auto_failover: its monitor decides who is promoted and when, its keepers do it, and nobody asks us.

failover.py promotes with its own hands, the moment the primary is gone. Here there is a time without any primary, the old one
is brought back by its keeper, and what stands between the two are the states of the monitor.
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

from tests.pair import free_port

from .cluster import OBSERVER, Cluster, temporary_directory
from .faults import Site, Skipped, fault
from .processes import Warden

RESUME_SECONDS = 5.0
"""From the first write that the new primary takes to the first run of a job that was created there."""

PROMOTED_SECONDS = 60.0
"""How long the monitor may take to give us a primary."""

SETTLED_SECONDS = 90.0
"""How long until there is a primary with a synchronous standby: a base backup waits for a checkpoint."""

STOP_SECONDS = 30.0
"""How long a keeper may take to stop its PostgreSQL at once, and itself."""

MONITOR = {
    "health_check_period": "1s",
    "health_check_timeout": "1s",
    "health_check_retry_delay": "500ms",
    "node_considered_unhealthy_timeout": "4s",
    "primary_demote_timeout": "8s",
    "startup_grace_period": "2s",
}
"""How soon it takes a node for dead. With its own settings, half a minute, a trial would mostly wait. The demotion is given
longer: after that the other takes writes, and a keeper on a busy machine must have stopped the old primary by then."""

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
        """Makes the data directory, or a copy of the primary's, and goes on running."""
        place = ("--pgctl", str(self._pg_ctl), "--pgport", str(self.port), "--hostname", "127.0.0.1")
        self._start("create", kind, *place, "--auth", "trust", "--no-ssl", *arguments, "--run")

    def start(self) -> None:
        """Again, after a crash."""
        self._start("run")

    def crash(self) -> None:
        """kill -9, of it and of its PostgreSQL at once."""
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
        """It keeps its own state beside the data, and finds PostgreSQL's programs in the path."""
        home = str(self._home)
        places = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "PG_REGRESS_SOCK_DIR"), home)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["pg_autoctl", *arguments, "--pgdata", str(self.data)],
                cwd=home,
                # The last of the places is where its PostgreSQL puts its socket: the packages' own is not for everybody.
                env={"PATH": f"{self._pg_ctl.parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **places},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
                group=self._user and "nogroup",
                extra_groups=self._user and [],
            )
        self._warden.watch(-self._process.pid, signal.SIGQUIT)  # minus: the whole group

    def _gone(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._warden.forget(-process.pid)
        self._process = None


class Keepers(Cluster):
    """A monitor and two nodes: the cluster is whichever is the primary. Nothing of it is an embedded server."""

    def __init__(self, monitor: Keeper, nodes: tuple[Keeper, Keeper], superuser: str) -> None:
        self._monitor = monitor
        self._nodes = nodes
        self._superuser = superuser

    def conninfo(self, application: str, port: int | None = None, user: str = "postgres") -> str:
        """Of whichever takes writes; `port`: of a single node, if it does."""
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
            # The socket: it would look for it where its libpq does.
            place = ("--monitor", address, "--listen", "127.0.0.1", "--pghost", str(node.data.parent), "--name", node.name)
            node.create("postgres", "--username", "postgres", "--dbname", "postgres", *place)
            self._until(partial(self._knows, node), PROMOTED_SECONDS)  # the first becomes the primary
            if node is self._nodes[0]:
                self._until(partial(self._writes, node), PROMOTED_SECONDS)
                # The other copies it. Else a base backup, by which a node may come back, waits minutes for its checkpoint.
                self.ask("alter system set checkpoint_completion_target = 0")
                self.ask("select pg_reload_conf()")
        self.wait_until_settled()

    def wait_until_settled(self) -> None:
        """Until commits wait for the standby (they do as long as the state is `primary`): a crash before that would lose what
        nobody had promised to keep."""
        settled = [("primary", "primary"), ("secondary", "secondary")]
        self._until(lambda: sorted(self._states().values()) == settled, SETTLED_SECONDS)

    def crash(self) -> Keeper:
        """The primary; returns when the other takes writes. Whom to start again."""
        old, new = self._roles()
        old.crash()
        self._until(lambda: self._writes(new), PROMOTED_SECONDS)
        return old

    def switch_over(self) -> None:
        """The monitor is asked to; returns when the other takes writes."""
        _, new = self._roles()
        self._ask_monitor("select pgautofailover.perform_failover()")  # which is what `pg_autoctl perform failover` does
        self._until(lambda: self._writes(new), PROMOTED_SECONDS)

    def copy_logs(self, directory: Path) -> None:
        """Of the keepers and of their servers: who looks at a kept ledger wants to know who was primary when."""
        for keeper in (self._monitor, *self._nodes):
            for log in (keeper.log, *(keeper.data / "log").glob("*.log")):
                shutil.copyfile(log, directory / f"{keeper.name}-{log.name}")

    def end(self) -> None:
        for keeper in (*self._nodes, self._monitor):
            keeper.stop()

    def _roles(self) -> tuple[Keeper, Keeper]:
        """Primary and standby."""
        states = self._states()
        first, second = self._nodes
        return (first, second) if states[first.name][0] == "primary" else (second, first)

    def _writes(self, node: Keeper) -> bool:
        """To whom clients are led: a new primary refuses writes until the monitor is sure that the old one is gone."""
        try:
            with psycopg.connect(self.conninfo("observer", node.port), autocommit=True) as connection:
                connection.execute("comment on database postgres is 'written'")
        except psycopg.Error:
            return False
        return True

    def _states(self) -> dict[str, tuple[str, str]]:
        """What each node reported, and what it should become."""
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
    """New ones, gone at the end."""
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
    """Of a PostgreSQL that has the extension, where Debian puts it."""
    extensions = sorted(Path("/usr/share/postgresql").glob("*/extension/pgautofailover.control"))
    if not extensions or not shutil.which("pg_autoctl"):
        raise Skipped(PACKAGES)
    return Path("/usr/lib/postgresql", extensions[-1].parts[-3], "bin/pg_ctl")


@fault(
    "F5d", "pg_auto_failover promotes: the primary and its keeper are killed, or a switchover is asked for",
    trial="a failover", short=0, long=2, open=keepers,
    expects=f"a job created on the new primary runs at most {RESUME_SECONDS:g} s after that takes writes",
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
    """Of the jobs created since then."""
    events = site.events()
    created = {event["k"] for event in events if event["ev"] == "enq_ok" and event["t"] > since}
    return next((event["t"] for event in events if event["ev"] == "run_start" and event["k"] in created), None)
