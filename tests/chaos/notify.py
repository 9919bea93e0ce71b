"""NOTIFY and LISTEN: many at once, a listener that does not read, one that is cut off, and notifications of other programs."""

from __future__ import annotations

import signal
import threading
import time

from .faults import Site, fault

LATE_SECONDS = 3.0
"""How long a job may wait while its listener connects again."""


@fault("F15a", "64 threads create as fast as they can", trial="2,000 jobs", short=0, long=3, expects="every create returns")
def many_creators(site: Site) -> None:
    site.work(2)
    heard: list[object] = []
    over = threading.Event()

    def listen() -> None:
        with site.cluster.connection() as connection:
            connection.execute(f"listen {_channel(site)}".encode())
            while not over.is_set():
                heard.extend(connection.notifies(timeout=0.2))

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        with site.broken("load"):
            for _ in site.each_trial():
                site.create(threads=64, every=0, most=2_000, many=0, own=0, ms=(0, 0), raising=0)
                (answer,) = site.stop_creators()
                site.expect(set(answer) <= {"p99", "slowest", "enq_ok"}, f"creates failed: {answer}")
                site.notes["create, p99 ms"] = round(max(answer["p99"] * 1000, site.notes.get("create, p99 ms", 0)))
    finally:
        over.set()
        listener.join()
    site.notes["notifications"] = len(heard)


@fault(
    "F15b", "a listening process is stopped (SIGSTOP) while 20 MB of notifications flow", trial="a stop of 3 s",
    short=0, long=4, expects="creates go on",
)  # fmt: skip
def deaf_listener(site: Site) -> None:
    site.work(2)
    site.create(threads=3)
    for _ in site.each_trial():
        site.pause(0.5, 1.0)
        worker = site.chance.choice(site.workers)
        before = _created(site)
        site.note("fault", what="SIGSTOP", pid=worker.pid)
        worker.signal(signal.SIGSTOP)
        try:
            until = time.monotonic() + 3
            with site.cluster.connection() as connection:
                for _ in range(3_000):
                    connection.execute("select pg_notify(%s, repeat('x', 7000))", [_channel(site)])
            time.sleep(max(until - time.monotonic(), 0))
        finally:
            worker.signal(signal.SIGCONT)
            site.note("healed")
        site.expect(_created(site) - before > 50, "creates stood still")


@fault(
    "F15c", "the listening session is terminated every second", trial="a cut", short=0, long=15,
    expects="no job waits for the poll, which comes every 30 s",
)  # fmt: skip
def listener_cut(site: Site) -> None:
    site.work(2, manager={"poll_interval": 30})
    site.create(threads=2, every=0.05, raising=0, ms=(0, 1))
    for _ in site.each_trial():
        time.sleep(1)
        with site.broken("listener"):
            site.cluster.terminate(site.application, query="%listen steve%")
    site.stop_creators()
    site.drain()
    created = {event["k"]: event["t"] for event in site.events() if event["ev"] == "enq_ok"}
    waits = [
        event["t"] - created[event["k"]] for event in site.events() if event["ev"] == "run_start" and event["k"] in created
    ]
    site.notes["longest wait, s"] = round(max(waits), 2)
    site.expect_at_most(LATE_SECONDS, max(waits), f"a job waited {max(waits):.2f} s")


@fault(
    "F15d",
    "other sessions send arbitrary notifications on steve's channel",
    trial="500 notifications",
    short=0,
    long=10,
    expects="no process exits",
)
def junk(site: Site) -> None:
    site.work(2)
    site.create(threads=2)
    texts = ["", "back", "x" * 7999, "\u2603" * 2000, "{", "'; drop table job; --", "%s", "\\x00", "back back", "\u202e"]
    with site.cluster.connection() as connection:
        for _ in site.each_trial():
            with site.broken("junk"):
                for _ in range(500):
                    connection.execute("select pg_notify(%s, %s)", [_channel(site), site.chance.choice(texts)])
                    site.pause(0, 0.002)


def _channel(site: Site) -> str:
    from steve._database.statements.script import channel_of

    return channel_of(site.schema)


def _created(site: Site) -> int:
    return int(site.cluster.ask(f"select count(*) from {site.schema}.job")[0][0])
