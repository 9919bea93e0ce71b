"""Failover: the primary is gone, its physical standby is promoted, and the old primary comes back as a standby.

Clients know both addresses and connect to the server that takes writes (`target_session_attrs=read-write`).
"""

from __future__ import annotations

from tests.pair import ask

from .cluster import Twins, ended, twins
from .faults import Site, fault

RESUME_SECONDS = 5.0
"""How long it may take from the promotion to the first run."""

LEFT_SECONDS = 10.0
"""How long heartbeats may go on to a server that refuses them: two intervals."""


@fault(
    "F5", "the primary crashes and its synchronous standby is promoted", trial="a failover", short=0, long=14,
    expects=f"the first run begins at most {RESUME_SECONDS:g} s after the promotion", open=lambda warden: twins(warden, True),
)  # fmt: skip
def synchronous(site: Site) -> None:
    cluster = _begin(site)
    for number in site.each_trial():
        site.pause(2.0, 3.0)
        _fail_over(site, cluster)
        cluster.rejoin(rewind=number % 2 == 0)


@fault(
    "F5b", "the same with an asynchronous standby that lags behind", trial="a failover", short=0, long=10,
    expects="only what the standby had not received is lost", open=lambda warden: twins(warden, False),
)  # fmt: skip
def asynchronous(site: Site) -> None:
    cluster = _begin(site)
    for number in site.each_trial():
        site.pause(2.0, 3.0)
        cluster.pair.detach()
        site.pause(0.1, 0.5)
        _fail_over(site, cluster)
        _note_tail(site, cluster)
        cluster.rejoin(rewind=number % 2 == 0)
    site.notes["jobs never received"] = len(site.gone)
    site.notes["jobs received in an earlier state"] = len(site.undone)
    site.expect(site.gone, "the standby had received everything: nothing was tried")


@fault(
    "F5c", "the primary is demoted: it refuses writes (25006) and keeps its sessions; the standby is promoted",
    trial="a demotion", short=0, long=6, expects="as F5; no heartbeat stays with the old primary",
    open=lambda warden: twins(warden, True),
)  # fmt: skip
def demoted(site: Site) -> None:
    cluster = _begin(site)
    for _ in site.each_trial():
        site.pause(2.0, 3.0)
        with site.broken("demotion"):
            cluster.hand_over()
        site.expect(site.runs_again(RESUME_SECONDS), f"nothing ran within {RESUME_SECONDS:g} s after the promotion")
        site.expect(
            site.until(lambda: not _heartbeats_left(site, cluster), LEFT_SECONDS), "the old primary still has heartbeats"
        )
        cluster.end_old()
        cluster.rejoin(rewind=True)


def _heartbeats_left(site: Site, cluster: Twins) -> int:
    """The number of heartbeat sessions with the old primary. Other sessions notice the demotion at their next use."""
    beating = f"select count(*) from pg_stat_activity where application_name = '{site.application}' and query ilike '%process%'"
    return int(str(ask(cluster.pair.standby, beating)[0][0]))


def _begin(site: Site) -> Twins:
    assert isinstance(site.cluster, Twins)
    site.work(2)
    site.create(threads=3, every=0.006, many=0.3)
    return site.cluster


def _fail_over(site: Site, cluster: Twins) -> None:
    with site.broken("failover"):
        cluster.fail_over()
    site.expect(site.runs_again(RESUME_SECONDS), f"nothing ran within {RESUME_SECONDS:g} s after the promotion")


def _note_tail(site: Site, cluster: Twins) -> None:
    """Note what the standby never received: what is in the old primary and not in the new one."""
    states = f"select payload->>'k', status from {site.schema}.job"
    ends = f"select k, lease_no, completed_at from {ended(site.schema)}"
    (old_states, old_ends) = cluster.pair.look_into_old(states, ends)
    new_jobs = {k for k, _ in cluster.ask(states)}
    site.gone |= {str(k) for k, _ in old_states} - new_jobs
    site.undone |= {str(k) for k, status in old_states if status == "running"}
    site.undone |= {str(end[0]) for end in set(old_ends) - set(cluster.ask(ends))} - site.gone
