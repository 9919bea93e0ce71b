"""Faults between a process and its database: a network that swallows everything, a cable that is pulled, and a pooler
that gives each transaction another session.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.behaviour.proxy import Proxy
from tests.bouncer import PGBOUNCER, SESSIONS, bouncer

from .faults import Site, Skipped, fault

ANSWER_SECONDS = 35.0
"""How long a call may wait for an answer that will not come."""

HOLE_SECONDS = 38.0


@fault(
    "F9", "a network that acknowledges everything and delivers nothing, for 38 s", trial="a black hole", short=0, long=3,
    expects=f"no call waits longer than {ANSWER_SECONDS:g} s for an answer; other processes run the jobs; "
    "the process works again 5 s after the end",
)  # fmt: skip
def black_hole(site: Site) -> None:
    with Proxy(site.conninfo()) as network:
        site.work(1, manager={"lease": 10.0, "heartbeat": 1.0})
        (cut_off,) = site.work(1, port=network.port, manager={"lease": 10.0, "heartbeat": 1.0})
        site.create(threads=2, every=0.02, raising=0)
        longest = 0.0
        for _ in site.each_trial():
            site.pause(6.0, 8.0)
            site.note("fault", what="black hole", pid=cut_off.pid)
            network.swallow()
            until = time.monotonic() + HOLE_SECONDS
            while time.monotonic() < until:
                longest = max(longest, network.waited())
                time.sleep(0.1)
            network.accept()
            network.cut()
            site.note("healed")
            site.expect(site.runs_again(5), "nothing ran within 5 s after")
        site.notes["longest wait for an answer, s"] = round(longest, 1)
        site.expect(1 < longest < ANSWER_SECONDS, f"a call waited {longest:.1f} s for an answer")
        site.rest()


NOTICED_SECONDS = 12.0
"""How long a process may take to notice that nothing arrives any more."""

DOWN_SECONDS = 15.0

BACK_SECONDS = 12.0
"""How long a process may take to work again: an attempt to connect that began before that may first take its ten seconds."""


@fault(
    "F10", "the cable is pulled, for 15 s: packets vanish, no connection ends", trial="a time without", short=0, long=5,
    expects=f"the fault is noticed within {NOTICED_SECONDS:g} s; the process works again {BACK_SECONDS:g} s after the end",
)  # fmt: skip
def half_open(site: Site) -> None:
    with cable() as (namespace, address), Proxy(site.conninfo(), address) as network:
        site.work(1, manager={"lease": 10.0, "heartbeat": 1.0})
        (cut_off,) = site.work(
            1, conninfo=network.conninfo, within=["ip", "netns", "exec", namespace], manager={"lease": 10.0, "heartbeat": 1.0}
        )
        site.create(threads=2, every=0.02, raising=0)
        longest = 0.0
        for _ in site.each_trial():
            site.pause(6.0, 8.0)
            said = cut_off.wrote().count(" will try again: ")
            site.note("fault", what="cable", pid=cut_off.pid)
            began = time.monotonic()
            _ip("link", "set", namespace, "down")
            noticed = site.until(lambda said=said: cut_off.wrote().count(" will try again: ") > said, DOWN_SECONDS)
            longest = max(longest, time.monotonic() - began)
            site.expect(noticed, f"nothing was noticed within {DOWN_SECONDS:g} s")
            time.sleep(max(0.0, began + DOWN_SECONDS - time.monotonic()))
            _ip("link", "set", namespace, "up")
            site.note("healed")
            back = site.until(lambda: _begins_of(site, cut_off.pid), BACK_SECONDS)
            site.expect(back, f"the process ran nothing within {BACK_SECONDS:g} s after")
        site.notes["noticed after, s"] = round(longest, 1)
        site.expect_at_most(NOTICED_SECONDS, longest, f"it took {longest:.1f} s to notice")
        network.cut()  # the server has not noticed some dead connections yet: by its settings it takes two hours
        time.sleep(2.0)
        site.rest()


def _begins_of(site: Site, pid: int) -> bool:
    """Whether that process has begun a handler since the last fault was over."""
    events = site.events()
    healed = max(event["t"] for event in events if event["ev"] == "healed")
    return any(event["ev"] == "run_start" and event["pid"] == pid and event["t"] > healed for event in events)


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """A network namespace with one cable into it. Yields the name of both, and the address of our end of the cable."""
    if os.geteuid() or shutil.which("ip") is None:
        raise Skipped("needs root and iproute2")
    name, far = f"steve{os.getpid()}", "eth0"
    here, there = "10.231.77.1", "10.231.77.2"
    try:
        _ip("netns", "add", name)
        try:
            _ip("link", "add", name, "type", "veth", "peer", "name", far, "netns", name)
            _ip("address", "add", f"{here}/30", "dev", name)
            _ip("link", "set", name, "up")
            _ip("-n", name, "address", "add", f"{there}/30", "dev", far)
            _ip("-n", name, "link", "set", far, "up")
            yield name, here
        finally:
            _ip("netns", "del", name)  # the cable goes with it
    except subprocess.CalledProcessError as error:
        raise Skipped(f"no network namespace: {error.stderr.strip()}") from None


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


POOLED_SECONDS = 5.0

FREE_SECONDS = 10.0
"""How long it may take until there is a moment in which no session has an advisory lock."""


@fault(
    "F14", "PgBouncer in transaction mode, with two sessions for three processes and their creators", trial="5 s of load",
    short=1, long=12,
    expects="the database reports no error; no setting, statement, LISTEN or lock is left in PgBouncer's sessions",
)  # fmt: skip
def pooler(site: Site) -> None:
    if PGBOUNCER is None:
        raise Skipped("PgBouncer is not installed")
    with bouncer(site.conninfo()) as port:
        site.work(3, port=port, manager={"poll_interval": 0.2})
        site.create(threads=4, every=0.02, port=port)
        for _ in site.each_trial():
            site.note("fault", what="mixed sessions")
            site.pause(POOLED_SECONDS, POOLED_SECONDS)
            site.note("healed")
        site.stop_creators()
        site.drain()
        held = (
            "select count(*) from pg_locks join pg_stat_activity using (pid)"
            " where locktype = 'advisory' and application_name = %s"
        )  # by statements under way, too, and by sessions for ever
        is_free = site.until(lambda: site.cluster.ask(held, [site.application]) == [(0,)], FREE_SECONDS)
        site.expect(is_free, "advisory locks are left")
        sessions = site.cluster.sessions(site.application)
        site.expect(0 < sessions <= SESSIONS, f"the pooler has {sessions} sessions")
        site.rest()
        site.expect(not site.met.total(), f"errors of the database: {dict(site.met)}")
