"""Faults of the server: sessions that are terminated, crashes, restarts, and a primary that is demoted."""

from __future__ import annotations

from .cluster import replica
from .faults import Site, fault
from .proxy import Proxy


@fault(
    "F3",
    "70 % of the sessions terminated, again and again",
    trial="a storm",
    short=20,
    long=120,
    expects="no process exits; notifications are heard again",
)
def terminate_storm(site: Site) -> None:
    site.work(2)
    site.create(threads=3)
    cut = 0
    for _ in site.each_trial():
        site.pause(0.3, 0.7)
        with site.broken("terminate"):
            cut += site.cluster.terminate(site.application, 0.7)
    site.notes["sessions ended"] = cut
    listening = "select count(*) from pg_stat_activity where application_name = %s and query ilike '%%listen steve%%'"
    heard = site.until(lambda: site.cluster.ask(listening, [site.application]) == [(2,)], 10)
    site.expect(heard, "not every worker listens again")


RESUME_SECONDS = 5.0


@fault(
    "F4",
    "the server crashes, restarts, or loses a process to kill -9",
    trial="a crash",
    short=3,
    long=30,
    expects=f"the first run begins at most {RESUME_SECONDS:g} s after the server is ready",
)
def server_crash(site: Site) -> None:
    site.work(2)
    site.create(threads=3)
    for number in site.each_trial():
        site.pause(1.0, 2.0)
        how = ("immediate", "fast", "kill")[number % 3]
        with site.broken(how):
            if how == "kill":
                site.until(lambda: site.cluster.kill_backend(site.application), 10)
                site.until(lambda: _is_up(site), 30)
            else:
                site.cluster.restart("immediate" if how == "immediate" else "fast")
        site.expect(site.runs_again(RESUME_SECONDS), f"nothing ran within {RESUME_SECONDS:g} s after {how}")


def _is_up(site: Site) -> bool:
    try:
        site.cluster.ask("select 1")
    except Exception:
        return False
    return True


@fault(
    "F6",
    "the server turns read-only (25006) for some seconds",
    trial="a read-only time",
    short=0,
    long=6,
    expects=f"the first run begins at most {RESUME_SECONDS:g} s after the end; steve logs fewer than 5 lines a second",
)
def read_only(site: Site) -> None:
    site.work(2)
    site.create(threads=3)
    seconds = 0.0
    for _ in site.each_trial():
        site.pause(1.0, 2.0)
        with site.broken("read-only"), site.cluster.setting(default_transaction_read_only="on"):
            seconds += site.pause(2.0, 5.0)
        site.expect(site.runs_again(RESUME_SECONDS), f"nothing ran within {RESUME_SECONDS:g} s after")
    _expect_quiet(site, seconds)


@fault(
    "F6b",
    "the address leads to a hot standby for some seconds: a primary that was demoted",
    trial="a demotion",
    short=0,
    long=4,
    expects="as F6",
)
def demotion(site: Site) -> None:
    with replica(site.cluster, site.warden) as standby, Proxy(site.cluster.port) as proxy:
        site.work(2, port=proxy.port)
        site.create(threads=3, port=proxy.port)
        seconds = 0.0
        for _ in site.each_trial():
            site.pause(1.0, 2.0)
            with site.broken("demotion"):
                proxy.lead_to(standby)
                seconds += site.pause(2.0, 5.0)
                proxy.lead_to(site.cluster.port)
            site.expect(site.runs_again(RESUME_SECONDS), f"nothing ran within {RESUME_SECONDS:g} s after")
        _expect_quiet(site, seconds)
        site.rest()


def _expect_quiet(site: Site, seconds: float) -> None:
    for worker in site.workers:
        lines = worker.wrote().count(" will try again: ")
        site.expect(lines < 5 * seconds, f"worker {worker.pid} wrote {lines} lines in {seconds:.1f} s of outage")
