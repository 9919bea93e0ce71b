"""A cancel that is asked while a job is claimed, runs, raises, snoozes, is settled or rescued; and transactions of others that
are open over running rows.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext

import psycopg

from steve import Job, JobManager

from .faults import Site, fault
from .processes import Process
from .proxy import Proxy
from .states import log_of

ASK = """
with held as (
  select uid, lease_no
  from {schema}.job
  where status = 'running' and cancel_asked_at is null
  order by random()
  limit %s
  for no key update skip locked
), changed as (
  update {schema}.job
  set cancel_asked_at = clock_timestamp(), cancel_reason = 'chaos'
  where uid in (select uid from held)
)
insert into {schema}.asked select uid, lease_no from held returning uid
"""
"""What cancel() does to running jobs. The table `asked` has the claims under which they ran at that moment."""

CLAIMED_SECONDS = 10.0
"""How long it may take until some job runs."""


class Asking:
    """Asks to cancel a few running jobs every few milliseconds, on a thread of its own, while the block lasts."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0
        site.cluster.ask(f"create table if not exists {site.schema}.asked (uid uuid primary key, lease_no bigint not null)")

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with self._site.cluster.connection("canceller") as connection:
            while not self._ended.wait(0.003):
                self.count += len(connection.execute(ASK.format(schema=self._site.schema).encode(), [2]).fetchall())


def _expect_honoured(site: Site, asked: int) -> None:
    """Each job that was to be cancelled has ended, by a return or as cancelled, under the claim that it had at that time."""
    job, log, claims = (f"{site.schema}.{name}" for name in ("job", "attempt", "asked"))
    ends = dict(site.cluster.ask(f"select status, count(*) from {job} join {claims} using (uid) group by status"))
    site.notes["jobs that were to be cancelled"] = asked
    site.notes["of these cancelled"] = ends.get("cancelled", 0)
    site.expect(ends.get("cancelled"), "none was cancelled")
    site.expect(set(ends) <= {"completed", "cancelled"}, f"they ended otherwise: {ends}")
    ((again,),) = site.cluster.ask(
        f"select count(*) from {log} join {claims} on job_uid = uid where attempt.lease_no > asked.lease_no"
    )
    site.expect(not again, f"{again} ran again after that")
    ((unlogged,),) = site.cluster.ask(
        f"select count(*) from {job} where status = 'cancelled' and 1 <> "
        f"(select count(*) from {log} where job_uid = uid and attempt.status = 'cancelled')"
    )
    site.expect(not unlogged, f"{unlogged} cancelled jobs without one row in the log that says so")
    ((wrong,),) = site.cluster.ask(
        f"select count(*) from {job} where (status = 'cancelled') <> (coalesce(error, '') = 'Cancelled: chaos')"
    )
    site.expect(not wrong, f"{wrong} jobs with another error than their status says")


@fault(
    "C1", "a cancel is asked while jobs are claimed, run, raise, snooze and are settled", trial="half a second of that",
    short=6, long=60, expects="each such job completes or ends cancelled under that claim, and is told once",
)  # fmt: skip
def cancel_under_load(site: Site) -> None:
    site.work(2)
    site.create(threads=2, raising=0.6)
    site.create(threads=1, raising=0.3, do="snooze first")
    with Asking(site) as asking:
        for _ in site.each_trial():
            site.pause(0.4, 0.6)
        site.stop_creators()
    site.rest()
    _expect_honoured(site, asking.count)


@fault(
    "C2", "a cancel is asked, and the reply to the settlement that honours it is lost", trial="a cut", short=10, long=150,
    expects="as C1: after the lost reply the outcome is found, and told as it was written",
)  # fmt: skip
def cancel_and_cut(site: Site) -> None:
    """`settle` cuts the statement, and `commit` the end of a settlement that passes locked rows by: the transaction of the
    careless session keeps the settlers at that."""
    whats = ["settle", "commit"]
    with Proxy(site.cluster.port) as proxy:
        site.work(2, port=proxy.port)
        site.create(threads=3, raising=0.8, own=0)
        site.create(threads=1, raising=0.3, do="snooze first", own=0)
        with Asking(site) as asking:
            for number in site.each_trial():
                what = whats[number % 2]
                holding = Careless(site, 3) if what == "commit" else nullcontext()
                with holding:
                    site.pause(0.3, 0.5)
                    with site.broken(what):
                        proxy.arm(what, "answered" if number // 2 % 2 else "at once")
                        site.expect(site.until(proxy.cut.is_set, 10), f"no {what} came to be cut")
            proxy.disarm()
            site.stop_creators()
        site.rest()
    _expect_honoured(site, asking.count)


@fault(
    "C3", "a cancel is asked, and the process that runs the job is killed", trial="a kill", short=3, long=40,
    expects="as C1: the rescue ends those jobs, and does not run them again",
)  # fmt: skip
def cancel_and_kill(site: Site) -> None:
    site.work(3, manager=site.patient({"lease": 5.0, "heartbeat": 1.0}))
    site.create(threads=2, raising=0.3, ms=(0.0, 60.0))
    with Asking(site) as asking:
        for _ in site.each_trial():
            site.pause(0.3, 1.0)
            victim: Process = site.chance.choice(site.workers)
            site.kill(victim)
            site.respawn(victim).answer()
            site.note("healed")
        site.stop_creators()
    site.rest()
    _expect_honoured(site, asking.count)


# -- locks of others ----------------------------------------------------------------------------------------------------

HELD_SECONDS = 60.0

BRIEF_SECONDS = 5.0

OTHERS_WAIT = 0.3
"""How long the outcome of a job whose row nobody has locked may wait to be written."""

SETTLED_SECONDS = 3.0
"""How long it may take after the end of the lock."""

NAMED_SECONDS = 2.0
"""How long it may take until a log names a session whose lock has lasted for five seconds."""

STEERED_SECONDS = 1.5
"""How long a job runs that a user's transaction is about."""


class Careless:
    """A session that has changed up to `n` running rows, and whose transaction stays open as long as the block."""

    def __init__(self, site: Site, n: int) -> None:
        self._site = site
        self._n = n
        self.uids: list[object] = []
        self.pid = 0

    def __enter__(self) -> Careless:
        schema = self._site.schema
        self._connection = psycopg.connect(self._site.cluster.conninfo("careless"))
        self.pid = self._connection.info.backend_pid
        query = (
            f"update {schema}.job set metadata = '{{}}' where uid in (select uid from {schema}.job where status = 'running' "
            "order by random() limit %s for no key update skip locked) returning uid"
        )

        def take() -> bool:
            self.uids = [uid for (uid,) in self._connection.execute(query.encode(), [self._n]).fetchall()]
            return bool(self.uids)

        self._site.expect(self._site.until(take, CLAIMED_SECONDS), "no job ran")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.rollback()
        self._connection.close()


def _expect_named(site: Site, pid: int) -> None:
    """Some log names the session that keeps outcomes from being written."""
    said = f"locked by process {pid} of PostgreSQL"
    is_named = site.until(lambda: any(said in log_of(worker) for worker in site.workers), NAMED_SECONDS)
    site.expect(is_named, "the session was not named")


def _expect_not_held_up(site: Site, slowest: float) -> None:
    most = OTHERS_WAIT + site.stall(0.3)
    site.expect(slowest <= most, f"another outcome was written {slowest:.2f} s after its job had begun")


@fault(
    "T6", "a transaction of another session, open over a few running rows, under a drain", trial="such a transaction",
    short=2, long=6,
    expects=f"no other outcome waits for more than {OTHERS_WAIT:g} s, the log names the session, and the outcomes of these "
    "jobs are written after its end",
)  # fmt: skip
def rows_locked(site: Site) -> None:
    site.work(2)
    site.create(threads=3, every=0.005, raising=0, many=0.2)
    locked: list[object] = []
    for _ in site.each_trial():
        site.pause(0.3, 0.8)
        seconds = BRIEF_SECONDS if site.trials <= 2 else site.chance.choice([BRIEF_SECONDS, HELD_SECONDS])
        with site.broken(f"{seconds:g} s"), Careless(site, 5) as careless:
            locked += careless.uids
            site.pause(seconds, seconds)
            _expect_named(site, careless.pid)
        open_jobs = f"select count(*) from {site.schema}.job where uid = any(%s) and completed_at is null"
        settled = site.until(lambda: site.cluster.ask(open_jobs, [careless.uids]) == [(0,)], SETTLED_SECONDS)  # noqa: B023
        site.expect(settled, f"outcomes were not written within {SETTLED_SECONDS:g} s after the lock")
    site.stop_creators()
    site.drain()
    ((slowest,),) = site.cluster.ask(
        f"select coalesce(max(extract(epoch from updated_at - started_at)), 0)::double precision from {site.schema}.job "
        "where status = 'completed' and uid <> all(%s)",
        [locked],
    )
    site.notes["rows locked"] = len(locked)
    site.notes["from begin to the written outcome of other jobs, ms at most"] = round(slowest * 1000)
    _expect_not_held_up(site, slowest)


@fault(
    "T7", "transactions of users that cancel and replace running jobs, and meet a key, under a drain", trial="a transaction",
    short=2, long=6,
    expects="as T6; a create that returned the running job holds up nobody; at the end each job ends as the transaction says",
)  # fmt: skip
def users_transactions(site: Site) -> None:
    site.work(2, workers=8)  # three of them are busy with the jobs of the transaction
    site.create(threads=2, every=0.005, raising=0, many=0.2)
    manager = JobManager(site.conninfo(), schema=site.schema)
    try:
        for number in site.each_trial():
            seconds = BRIEF_SECONDS if site.trials <= 2 else site.chance.choice([BRIEF_SECONDS, HELD_SECONDS])
            _use(site, manager, number, seconds)
        site.stop_creators()
        site.drain()
        ((slowest,),) = site.cluster.ask(
            f"select coalesce(max(extract(epoch from updated_at - started_at)), 0)::double precision from {site.schema}.job "
            "where status = 'completed' and queue <> 'steered'",
        )
        site.notes["from begin to the written outcome of other jobs, ms at most"] = round(slowest * 1000)
        _expect_not_held_up(site, slowest)
    finally:
        manager.stop()


def _use(site: Site, manager: JobManager, number: int, seconds: float) -> None:
    """One transaction over three running jobs. It is committed if `number` is even."""
    jobs, takes = {}, STEERED_SECONDS + site.stall(0.5)  # the transaction must find it running
    for what, raises in (("cancel", 1), ("replace", 0), ("return", 0)):
        k = f"steered-{number}-{what}"
        site.steered |= {k, f"{k}-new"}
        payload = {"k": k, "ms": takes * 1000, "raises": raises}
        jobs[what] = manager.create(
            "a", payload, max_attempts=2, backoff_strategy="none", priority=100, queue="steered", unique=k
        )

    def status(job: Job) -> str | None:
        found = manager.find(job)
        return None if found is None else str(found.status)

    def ends(job: Job, as_: str | None, within: float = SETTLED_SECONDS) -> None:
        ended = site.until(lambda: status(job) == as_, within)
        site.expect(ended, f"job {number} is {status(job)} and not {as_} after {seconds:g} s and {within:g} s")

    ran = site.until(lambda: [status(job) for job in jobs.values()] == ["running"] * 3, CLAIMED_SECONDS)
    site.expect(ran, f"the jobs of transaction {number} did not begin")
    with site.broken(f"{seconds:g} s"), psycopg.connect(site.cluster.conninfo("user")) as theirs:
        manager.cancel(jobs["cancel"], "chaos", connection=theirs)
        new = {
            what: manager.create(
                "a", {"k": f"steered-{number}-{what}-new", "ms": 0, "raises": 0}, queue="steered",
                unique=f"steered-{number}-{what}", on_conflict="replace" if what == "replace" else "return", connection=theirs,
            )
            for what in ("replace", "return")
        }  # fmt: skip
        site.expect(new["return"].uid == jobs["return"].uid and new["return"].duplicate, "the create met no key")
        ends(jobs["return"], "completed", takes + SETTLED_SECONDS)  # while the transaction is open
        site.pause(seconds, seconds)
        site.expect(status(jobs["cancel"]) == "running", "an outcome was written over the lock")
        _expect_named(site, theirs.info.backend_pid)
        if number % 2:
            theirs.rollback()
    if number % 2:  # the job that raised is tried again, and takes its time
        ends(jobs["cancel"], "completed", takes + SETTLED_SECONDS)
    else:
        ends(jobs["cancel"], "cancelled")
    ends(jobs["replace"], "completed")
    ends(new["replace"], None if number % 2 else "completed")
