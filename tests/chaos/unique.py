"""Many creates of one key at once, while replies are lost and processes are killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .cuts import WAIT_SECONDS
from .deaths import LIVED_SECONDS, QUICK
from .faults import Site, fault
from .proxy import How, Proxy

PROCESSES, THREADS, CREATES = 4, 4, 500
"""Creators: each of the threads creates so many jobs, on average..."""

CUTS = 20
"""... while so many statements are cut. For more cuts it creates more, since a cut needs a create."""

KILLS = 4


@fault(
    "F24", f"{PROCESSES * THREADS} threads create one key {CREATES} times each; replies are lost, and workers are killed",
    trial="a cut", short=20, long=100,
    expects=f"never two open jobs of the key; each create returns a job that exists; none of steve's own fails; {KILLS} kills",
)  # fmt: skip
def one_key(site: Site) -> None:
    _one_key(site, "return", ["create_unique", "commit"])


@fault(
    "F24b", "as F24, and each create replaces the job that is there", trial="a cut", short=20, long=100,
    expects="never two open jobs of the key; the last job is that of a create after which no other began",
)  # fmt: skip
def one_key_replaced(site: Site) -> None:
    _one_key(site, "replace", ["create_unique", "replace", "commit"])
    _expect_last(site)


def _one_key(site: Site, how: str, whats: list[str]) -> None:
    hows: list[How] = ["answered", "at once"]
    with Proxy(site.cluster.port) as proxy, _watched(site):
        site.work(3, port=proxy.port, manager=site.patient(QUICK))
        site.pause(LIVED_SECONDS, LIVED_SECONDS)  # after that they judge each other
        site.create(
            PROCESSES, port=proxy.port, threads=THREADS, keys=1, on_conflict=how,
            most=THREADS * CREATES * max(1, -(-site.trials // CUTS)),
            every=0.02, many=0.02, own=0.1, raising=0.05 if how == "return" else 0, ms=(0.0, 3.0),
        )  # fmt: skip
        kill_at = {round(site.trials * (number + 1) / (KILLS + 1)) for number in range(KILLS)}
        for number in site.each_trial():
            site.pause(0.05, 0.2)
            with site.broken(whats[number % len(whats)]):
                proxy.arm(whats[number % len(whats)], hows[number // len(whats) % 2])
                site.expect(site.until(proxy.cut.is_set, WAIT_SECONDS), "no statement came to be cut")
            if number in kill_at:
                worker = site.chance.choice(site.workers)
                site.kill(worker)
                site.respawn(worker).answer()
        proxy.disarm()
        site.rest()
    events = site.events()
    # A create in a transaction of the caller's own is not sent again.
    failed = [event for event in events if event["ev"] == "enq_fail" and event["why"] != "SteveError: rolled back"]
    site.expect(not failed, f"{len(failed)} creates failed, the first of them: {failed[:1]}")
    duplicates = [event for event in events if "of" in event]
    site.expect(duplicates, "no create found the key taken")
    site.notes["duplicates"] = len(duplicates)
    site.notes["kills"] = len([event for event in events if event["ev"] == "death"])
    stored = {k for (k,) in site.cluster.ask(f"select payload ->> 'k' from {site.schema}.job")}
    if how == "return":
        lost = [event["of"] for event in duplicates if event["of"] not in stored]
        site.expect(not lost, f"{len(lost)} creates returned a job that does not exist: {lost[:3]}")
    else:
        # A job that was replaced has the name of the last create, and the log has its attempts under this name.
        site.gone |= {event["k"] for event in events if event["ev"] == "enq_ok"} - stored
        site.undone |= stored


@contextmanager
def _watched(site: Site) -> Iterator[None]:
    """Looks all the time for two open jobs of one key."""
    over = threading.Event()
    query = f"""
        select unique_key, count(*) from {site.schema}.job
        where unique_key is not null and status not in ('completed', 'failed', 'cancelled') group by 1 having count(*) > 1
    """
    seen = []

    def watch() -> None:
        with site.cluster.connection("observer") as connection:
            while not over.wait(0.01):
                seen.extend(connection.execute(query.encode()).fetchall())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    site.expect(not seen, f"two jobs of one key were open: {seen[:3]}")


def _expect_last(site: Site) -> None:
    """A create that began after another had returned was carried out after it. So the last job is none that was there before
    some create began."""
    ((last,),) = site.cluster.ask(f"select payload ->> 'k' from {site.schema}.job order by uid desc limit 1")
    creates = [event for event in site.events() if event["ev"] == "enq_ok"]
    ended = [event["t"] for event in creates if event["k"] == last]
    later = [event["k"] for event in creates if ended and event["begun"] > ended[0]]
    site.expect(not later, f"the last job is that of {last}, and {len(later)} creates began after it: {later[:3]}")
