"""The reply to a statement is lost, so that the client cannot know whether it was committed: create, claim and settlement."""

from __future__ import annotations

from .faults import Site, fault
from .proxy import LATE_SECONDS, How, Proxy

WAIT_SECONDS = 10.0
"""How long it may take until the statement that is to be cut is sent."""

LOOK_SECONDS = 75.0
"""How long the jobs of a late claim may lie: if its process looked for them too early, it looks again after a minute."""


def _cut(site: Site, *whats: str, raising: float = 0.05) -> None:
    hows: list[How] = ["answered", "at once"]
    with Proxy(site.cluster.port) as proxy:
        site.work(2, port=proxy.port)
        many, own = (0.3 if what in whats else 0.05 for what in ("create_many", "commit"))
        site.create(threads=3, port=proxy.port, many=many, own=own, raising=raising)
        for number in site.each_trial():
            site.pause(0.02, 0.1)
            with site.broken(whats[number % len(whats)]):
                proxy.arm(whats[number % len(whats)], hows[number // len(whats) % 2])
                site.expect(site.until(proxy.cut.is_set, WAIT_SECONDS), "no statement came to be cut")
        proxy.disarm()
        site.rest()


@fault(
    "F8a", "the reply to create, create_many and a caller's COMMIT is lost", trial="a cut", short=20, long=200,
    expects="each job is stored once",
)  # fmt: skip
def cut_create(site: Site) -> None:
    _cut(site, "create", "create_many", "commit")


@fault("F8b", "the reply to a claim is lost", trial="a cut", short=20, long=200, expects="the jobs that the claim took are run")
def cut_claim(site: Site) -> None:
    _cut(site, "claim")


@fault(
    "F8c", "the reply to a settlement is lost, of jobs that succeed at once", trial="a cut", short=20, long=200,
    expects="each job is settled once, and its listeners are called once; no attempt has a row of its own",
)  # fmt: skip
def cut_settle(site: Site) -> None:
    """The settler finds each outcome in the row of its job."""
    _cut(site, "settle", raising=0)
    _expect_written_down(site, in_log=False)


@fault(
    "F8e", "the reply to a settlement is lost, of jobs that raise first", trial="a cut", short=20, long=200,
    expects="each job is settled once, and its listeners are called once; each attempt has a row of its own",
)  # fmt: skip
def cut_settle_logged(site: Site) -> None:
    """The settler finds each outcome in the row of the attempt, also after the attempt that succeeds."""
    _cut(site, "settle", raising=1)
    _expect_written_down(site, in_log=True)


def _expect_written_down(site: Site, in_log: bool) -> None:
    """All attempts have rows of their own, or all stand in the rows of their jobs; and no outcome was dropped."""
    ((logged,),) = site.cluster.ask(f"select count(*) from {site.schema}.attempt")
    ((in_rows,),) = site.cluster.ask(f"select count(*) from {site.schema}.job where process is not null")
    site.expect(
        bool(logged) == in_log and bool(in_rows) != in_log, f"{logged} attempts have rows, {in_rows} stand in those of jobs"
    )
    site.expect(not site.met["verdicts dropped"], f"{site.met['verdicts dropped']} outcomes were dropped")


@fault(
    "F8d", "a connection is lost before its statement has reached the server, which executes it later", trial="a cut",
    short=0, long=60, expects="as F8a to F8c",
)  # fmt: skip
def cut_late(site: Site) -> None:
    whats = ["create", "create_many", "claim", "settle"]
    with Proxy(site.cluster.port) as proxy:
        # More jobs than the workers can run at once, so that a claim finds some whenever it arrives
        site.work(2, port=proxy.port, workers=1)
        # Many jobs raise first, so that some outcomes are found in rows of attempts and some in rows of jobs
        site.create(threads=3, port=proxy.port, many=0.1, ms=(5.0, 20.0), raising=0.5)
        for number in site.each_trial():
            site.pause(0.02, 0.1)
            with site.broken(whats[number % len(whats)]):
                proxy.arm(whats[number % len(whats)], "late", site.chance.uniform(0.0, LATE_SECONDS))
                site.expect(site.until(proxy.cut.is_set, WAIT_SECONDS), "no statement came to be cut")
        proxy.disarm()
        site.stop_creators()
        site.drain(LOOK_SECONDS)
        site.rest()
