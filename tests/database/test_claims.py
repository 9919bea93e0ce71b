"""What the statements of a claim return, called one by one as a process does it, without its threads."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from steve import JobManager
from steve._database.statements.claims import ClaimStatements
from steve._database.statements.script import Script
from steve._engine.claim.watermarks import BEGINNING, Watermarks
from steve._model.claim import ClaimReply, Demand, Watermark
from steve._model.pauses import Paused
from steve._model.tuning import Tuning

PRIORITIES = (-100, -1, 0, 5, 100)
TUNING = Tuning(full_scan_every=10**9)
"""After the first full scan, there is no other."""


@pytest.fixture
def claims(manager: JobManager, schema: str) -> Callable[..., ClaimStatements]:
    """`claims(*queues)`: of a process that serves these queues; none: all."""
    return lambda *queues: ClaimStatements(Script(schema, TUNING), queues or None)


@pytest.fixture
def create(conn: psycopg.Connection, schema: str) -> Callable[..., UUID]:
    """`create(type, age, queue=, priority=)`: a job that has been due for so many seconds. Returns its uid."""
    now = conn.execute("select now()").fetchone()[0]
    query = sql.SQL("insert into {}.job (queue, type, priority, run_at) values (%s, %s, %s, %s) returning uid")

    def insert(type: str = "a", age: float = 60.0, *, queue: str = "default", priority: int = 0) -> UUID:
        values = [queue, type, priority, now - timedelta(seconds=age)]
        (uid,) = conn.execute(query.format(sql.Identifier(schema)), values).fetchone()
        return uid

    return insert


def demand(n: int, watermarks: Any = None, *, unknown_most: int | None = None, **mosts: int) -> Demand:
    """For the types in `mosts`; with `unknown_most` for all others, too."""
    return Demand(n, mosts, unknown_most or 0, unknown_most is not None, watermarks)


def uids(reply: ClaimReply) -> list[UUID]:
    return [job.uid for job in reply.jobs]


class Process:
    """Claims again and again, as a claimer does."""

    def __init__(self, statements: ClaimStatements, conn: psycopg.Connection) -> None:
        self._statements = statements
        self._conn = conn
        self.watermarks = Watermarks(tuning=TUNING)

    def claim(self, n: int, **mosts: int) -> ClaimReply:
        wanted = demand(n, self.watermarks.now(), **mosts)
        reply = self._statements.claim_jobs(self._conn, 1, 3, wanted)
        cut_off = reply.cut_off or bool(reply.left_over)
        self.watermarks.claimed(reply, full_scan=wanted.watermarks is None, cut_off=cut_off)
        return reply


Claims = Callable[..., ClaimStatements]
Create = Callable[..., UUID]


# -- the fleet's lock -----------------------------------------------------------------------------------------------------


def test_of_two_claims_under_the_fleets_lock_one_is_refused_and_takes_nothing(
    claims: Claims, create: Create, conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    crashed, plain = create(), create()
    update = sql.SQL("update {}.job set crashes = 1, attempts = 1 where uid = %s").format(sql.Identifier(schema))
    conn.execute(update, [crashed])
    statements = claims()
    wanted = demand(1, a=1)._replace(fleet_lock=True, crashed=1)
    with psycopg.connect(database_url, autocommit=True) as other:
        with conn.transaction():
            assert not statements.claim_jobs(conn, 1, 3, wanted._replace(n=0, crashed=0)).refused
            refused = statements.claim_jobs(other, 2, 3, wanted)
            assert (refused.refused, refused.jobs) == (True, [])
            assert refused.next_due_in is None
            unlocked = statements.claim_jobs(other, 2, 3, wanted._replace(fleet_lock=False, crashed=0))
            assert uids(unlocked) == [plain], "a claim that needs no lock is not held up"
        assert uids(statements.claim_jobs(other, 2, 3, wanted)) == [crashed]


# -- the peek -------------------------------------------------------------------------------------------------------------


class Sent(Script):
    """Remembers the names of the statements that it sends."""

    def __init__(self, schema: str) -> None:
        super().__init__(schema, TUNING)
        self.names: list[str] = []

    def rows(self, *arguments: Any, **keywords: Any) -> Any:
        self.names.append(arguments[1])
        return super().rows(*arguments, **keywords)


PEEK = ["peek"]
CLAIM = ["peek", "claim_jobs"]
LATER = -3600.0


@pytest.mark.parametrize(
    ("jobs", "sent", "brings", "due_in"),
    [
        ([], PEEK, 0, None),
        ([("a", LATER, 0)], PEEK, 0, 3600),
        ([("b", LATER * 2, 7), ("a", LATER, 0), ("b", LATER * 3, -7)], PEEK, 0, 3600),
        ([("a", 60.0, 0)], CLAIM, 1, None),
        ([("a", LATER, 7), ("b", LATER, 3), ("a", 60.0, -7), ("a", LATER, -9)], CLAIM, 1, 3600),
        ([("b", 60.0, 0)], CLAIM, 0, None),
        ([("b", 60.0, 7), ("a", 60.0, 0)], CLAIM, 1, None),
    ],
    ids=[
        "no job", "a later one", "later ones of many priorities", "a due one", "a due one of a low priority", "one of others",
        "one of others in front",
    ],
)  # fmt: skip
def test_a_claim_that_peeks_looks_for_jobs_only_if_one_is_due(
    jobs: list[tuple[str, float, int]], sent: list[str], brings: int, due_in: float | None,
    create: Create, manager: JobManager, conn: psycopg.Connection, schema: str,
) -> None:  # fmt: skip
    for type, age, priority in jobs:
        create(type, age, priority=priority)
    script = Sent(schema)
    reply = ClaimStatements(script, None).claim_jobs(conn, 1, 3, demand(5, a=5)._replace(peek=True))
    assert script.names == sent
    assert len(reply.jobs) == brings
    assert reply.found_nothing() == (sent == PEEK), "what others serve is due, too"
    assert reply.next_due_in == (due_in and pytest.approx(due_in, abs=60.0))
    assert reply.scan_seconds >= 0.0


def test_a_crashed_job_is_not_overlooked_by_a_peek(
    claims: Claims, create: Create, conn: psycopg.Connection, schema: str
) -> None:
    crashed = create()
    update = sql.SQL("update {}.job set crashes = 1, attempts = 1 where uid = %s").format(sql.Identifier(schema))
    conn.execute(update, [crashed])
    wanted = demand(1, a=1)._replace(peek=True, crashed=1)
    assert uids(claims().claim_jobs(conn, 1, 3, wanted)) == [crashed]


# -- the order ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", [None, dict.fromkeys(PRIORITIES, BEGINNING)], ids=["full scans", "above watermarks"])
def test_jobs_of_many_queues_and_types_come_by_priority_then_due_time_then_uid(
    above: dict[int, Watermark] | None, claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    chance = random.Random(7)
    jobs = []
    for _ in range(400):
        priority, age = chance.choice(PRIORITIES), chance.randrange(1, 60)  # of some seconds several
        uid = create(f"type {chance.randrange(8)}", age, queue=f"queue {chance.randrange(5)}", priority=priority)
        jobs.append((-priority, -age, uid))
    create("type 1", -3600.0, priority=100)  # not yet due
    statements, found = claims(), []
    while some := uids(statements.claim_jobs(conn, 1, 3, demand(37, above, unknown_most=37))):
        found.append(some)
    assert [len(some) for some in found] == [37] * 10 + [30]
    assert [uid for some in found for uid in some] == [uid for *_, uid in sorted(jobs)]


def test_claims_above_the_watermarks_bring_all_in_the_order_of_full_scans(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    chance = random.Random(8)
    process = Process(claims("a", "b"), conn)
    for priority in PRIORITIES:
        create(age=1000.0, queue="a", priority=priority)
    assert len(process.claim(100, a=100).jobs) == len(PRIORITIES)
    jobs = []
    for _ in range(200):
        priority, age, queue = chance.choice(PRIORITIES), chance.randrange(1, 600), chance.choice("abc")
        uid = create(chance.choice("ab"), age, queue=queue, priority=priority)
        if queue != "c":
            jobs.append((-priority, -age, uid))
    found = []
    while some := uids(process.claim(13, a=13, b=13)):
        found += some
    assert process.watermarks.now() is not None
    assert found == [uid for *_, uid in sorted(jobs)]


def test_a_short_scan_goes_on_with_priorities_lower_than_those_it_was_given(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    jobs = {priority: create(priority=priority) for priority in (9, 5, 4, -7)}
    process = Process(claims(), conn)
    assert uids(process.claim(1, a=1)) == [jobs[9]]
    short = demand(3, process.watermarks.now(), a=3)
    assert short.watermarks is not None
    assert set(short.watermarks) == {9}
    lower = short._replace(lower_too=True, n=2)
    statements = claims()
    assert uids(statements.claim_jobs(conn, 1, 3, short)) == []
    assert uids(statements.claim_jobs(conn, 1, 3, lower)) == [jobs[5], jobs[4]]
    assert statements.claim_jobs(conn, 1, 3, lower).ends.keys() == {9, -7}


def test_a_claim_that_is_given_no_priority_looks_at_none(claims: Claims, create: Create, conn: psycopg.Connection) -> None:
    create()
    assert uids(claims().claim_jobs(conn, 1, 3, demand(3, {}, a=3)._replace(lower_too=True))) == []


# -- how many of a type ---------------------------------------------------------------------------------------------------


def test_the_surplus_of_a_type_is_passed_over_and_stays_pending_and_unlocked(
    claims: Claims, create: Create, conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    a, b = zip(*[(create("a", 60.0 - n), create("b", 59.5 - n)) for n in range(5)], strict=True)
    reply = claims().claim_jobs(conn, 1, 3, demand(20, a=2, b=20))
    assert uids(reply) == sorted([*a[:2], *b])
    assert not reply.cut_off
    assert sorted(uid for _, (_, uid) in reply.left_over) == list(a[2:])
    with psycopg.connect(database_url) as other:
        query = sql.SQL("select uid, attempts from {}.job where status = 'pending' order by uid for update nowait")
        assert other.execute(query.format(sql.Identifier(schema))).fetchall() == [(uid, 0) for uid in a[2:]]


def test_the_next_claim_finds_the_surplus_though_later_jobs_were_claimed(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    process = Process(claims(), conn)
    first = create("a", 100.0)
    assert uids(process.claim(10, a=10)) == [first]
    a = [create("a", 60.0 - n) for n in range(5)]
    b = create("b", 1.0)
    for expected in ([*a[:2], b], a[2:4], a[4:], []):
        assert uids(process.claim(10, a=2, b=10)) == expected
    assert process.watermarks.now() is not None, "it was a full scan"


def test_a_type_without_a_limit_of_its_own_has_that_of_unknown_types(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    known = [create("known", 60.0 - n) for n in range(4)]
    one, other = ([create(type, 50.0 - n) for n in range(4)] for type in ("one", "other"))
    reply = claims().claim_jobs(conn, 1, 3, demand(20, unknown_most=1, known=3))
    assert uids(reply) == [*known[:3], one[0], other[0]] or uids(reply) == [*known[:3], other[0], one[0]]
    assert len(reply.left_over) == 7


def test_the_surplus_of_a_type_is_of_its_lowest_priority(claims: Claims, create: Create, conn: psycopg.Connection) -> None:
    low, high = create("a", 60.0, priority=-1), create("a", 1.0, priority=1)
    reply = claims().claim_jobs(conn, 1, 3, demand(10, a=1))
    assert uids(reply) == [high]
    assert [(priority, uid) for priority, (_, uid) in reply.left_over] == [(-1, low)]


# -- what others serve ----------------------------------------------------------------------------------------------------


def test_a_claim_says_where_each_priority_ends_whoever_serves_the_last_job(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    create("a", 9.0)
    foreign = create("foreign", 8.0)
    create("a", 9.0, priority=3)
    other = create("a", 5.0, queue="other", priority=3)
    create("a", -60.0, priority=7)
    reply = claims("default").claim_jobs(conn, 1, 3, demand(10, a=10))
    assert {priority: end and end[1] for priority, end in reply.ends.items()} == {7: None, 3: other, 0: foreign}
    assert not reply.cut_off


def test_a_claim_that_n_ended_says_nothing_about_what_lies_beyond(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    create("a", 9.0)
    create("foreign", 8.0)
    reply = claims().claim_jobs(conn, 1, 3, demand(1, a=1))
    assert (len(reply.jobs), reply.cut_off, reply.ends) == (1, True, {})


def test_watermarks_pass_the_jobs_of_others(claims: Claims, create: Create, conn: psycopg.Connection) -> None:
    process = Process(claims("default"), conn)
    create("a", 1000.0)
    process.claim(10, a=10)
    for n in range(20):
        create("foreign", 500.0 - n)
        foreign = create("a", 500.0 - n, queue="other")
    process.claim(10, a=10)
    watermarks = process.watermarks.now()
    assert watermarks is not None
    assert watermarks[0][1] == foreign
    late = create("a", 600.0)
    assert uids(process.claim(10, a=10)) == [], "it looked below the watermark"
    heads = claims("default").find_heads(conn, demand(0, a=0))
    assert {priority: uid for priority, (_, uid) in heads.items()} == {0: late}
    assert process.watermarks.looked(heads, 0.0)
    assert uids(process.claim(10, a=10)) == [late]


def test_the_heads_are_the_first_served_jobs_of_each_priority_and_never_in_the_future(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    """A watermark in the future would hide the jobs that are created until then."""
    create("a", 90.0, queue="other")
    create("foreign", 80.0)
    create("b", 60.0)
    first = create("a", 70.0)
    scheduled = create("a", -3600.0, priority=9)
    heads = claims("default").find_heads(conn, demand(0, a=0, b=0))
    assert {priority: uid for priority, (_, uid) in heads.items()} == {0: first, 9: scheduled}
    assert heads[9][0] <= conn.execute("select now()").fetchone()[0]
    everywhere = claims().find_heads(conn, demand(0, unknown_most=1))
    assert heads[0] > everywhere[0]


@pytest.mark.parametrize(("foreign", "found"), [(15, "own"), (16, "foreign"), (0, "own")])
def test_the_next_due_time_is_that_of_the_own_job_or_of_the_sixteenth_of_others(
    foreign: int, found: str, claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    """To be early costs a claim in vain; to read on could take long."""
    for n in range(foreign):
        create("foreign", -100.0 - n)
    create("a", -500.0)
    create("a", -700.0, priority=5)
    reply = claims().claim_jobs(conn, 1, 3, demand(10, a=10))
    assert reply.next_due_in is not None
    due = {"own": 500.0, "foreign": 115.0}[found]
    assert due - 60.0 < reply.next_due_in <= due


def test_fewer_than_sixteen_scheduled_jobs_of_others_are_waited_for_by_nobody(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    for n in range(15):
        create("foreign", -100.0 - n)
    assert claims().claim_jobs(conn, 1, 3, demand(10, a=10)).next_due_in is None


# -- the statements themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run_at", [datetime(1, 1, 3, tzinfo=UTC), datetime(9998, 12, 30, tzinfo=UTC)], ids=str)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_the_earliest_and_the_latest_due_time_make_watermarks(
    run_at: datetime, zone: str, claims: Claims, create: Create, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute("select set_config('timezone', %s, false)", [zone])
    job = create()
    conn.execute(sql.SQL("update {}.job set run_at = %s where uid = %s").format(sql.Identifier(schema)), [run_at, job])
    process = Process(claims(), conn)
    process.watermarks.looked(claims().find_heads(conn, demand(0, a=0)), 0.0)
    is_due = run_at.year == 1
    assert uids(process.claim(10, a=10)) == [job] * is_due
    process.claim(10, a=10)
    conn.execute(sql.SQL("insert into {}.job (type) values ('a')").format(sql.Identifier(schema)))
    assert len(process.claim(10, a=10).jobs) == 1


# -- what is paused -------------------------------------------------------------------------------------------------------


def paused(wanted: Demand, *pairs: tuple[str | None, str | None]) -> Demand:
    return wanted._replace(paused=[Paused(*pair) for pair in pairs])


PAUSES: dict[str, list[tuple[str | None, str | None]]] = {
    "one queue": [("queue 1", None)],
    "two queues": [("queue 1", None), ("queue 3", None)],
    "one type": [(None, "type 2")],
    "a type in a queue": [("queue 0", "type 2"), ("queue 4", "type 7")],
    "most": [(f"queue {n}", None) for n in range(4)],
    "nothing that is there": [("elsewhere", None)],
}


@pytest.mark.parametrize("n", [1, 7, 37, 500])
@pytest.mark.parametrize("above", [None, dict.fromkeys(PRIORITIES, BEGINNING)], ids=["full scans", "above watermarks"])
@pytest.mark.parametrize("pairs", PAUSES.values(), ids=PAUSES)
def test_beside_a_pause_all_others_come_in_the_order_that_they_have_without_it(
    pairs: list[Any], above: Any, n: int, claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    chance = random.Random(f"{pairs} {n}")
    jobs = []
    rules = [Paused(*pair) for pair in pairs]
    for number in range(600):
        priority, age = chance.choice(PRIORITIES), chance.randrange(1, 60)
        queue, type = f"queue {chance.randrange(5)}", f"type {chance.randrange(8) if number % 2 else 0}"
        uid = create(type, age, queue=queue, priority=priority)
        if not any(rule.covers(queue, type) for rule in rules):
            jobs.append((-priority, -age, uid))
    create("type 1", -3600.0, priority=100)  # not yet due
    statements, found = claims(), []
    while (reply := statements.claim_jobs(conn, 1, 3, paused(demand(n, above, unknown_most=n), *pairs))).jobs:
        found.append(uids(reply))
        assert len(reply.jobs) == n or reply.cut_off or sum(map(len, found)) == len(jobs)
    assert not reply.cut_off
    assert [uid for some in found for uid in some] == [uid for *_, uid in sorted(jobs)]


@pytest.mark.parametrize("n", [1, 10, 100, 500])
def test_beside_a_pause_the_order_holds_however_unequal_the_lanes_are(
    n: int, claims: Claims, create: Create, conn: psycopg.Connection, schema: str
) -> None:
    """Of a long lane a claim looks at the first jobs only, and other lanes have jobs that are due after these. It looks into
    lanes because thousands of paused jobs are due before all others."""
    conn.execute(
        f"insert into {schema}.job (queue, type, run_at) select 'paused', 'a', now() - interval '1 hour' "
        "from generate_series(1, 3000)"
    )
    chance = random.Random(n)
    jobs = [(chance.random() * 100, "long") for _ in range(700)] + [(chance.random() * 100, f"t{k}") for k in range(60)]
    order = [create(type, age) for age, type in sorted(jobs, reverse=True)]
    statements, found = claims(), []
    while some := uids(statements.claim_jobs(conn, 1, 3, paused(demand(n, unknown_most=n), ("paused", None)))):
        found += some
    assert found == order


def test_beside_a_pause_a_process_takes_only_what_it_serves_and_the_watermarks_move(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    for age in range(20, 0, -1):
        create("a", age, queue="paused")
        create("b", age)
    served = [create("a", age) for age in range(20, 0, -1)]
    statements, marks, found = claims("default", "paused"), Watermarks(tuning=TUNING), []
    for _ in range(8):
        wanted = paused(demand(7, marks.now(), a=7), ("paused", None))
        reply = statements.claim_jobs(conn, 1, 3, wanted)
        marks.claimed(reply, full_scan=wanted.watermarks is None, cut_off=bool(reply.jobs) and reply.cut_off)
        found += uids(reply)
    assert found == served
    assert uids(statements.claim_jobs(conn, 1, 3, demand(50, a=50))) != [], "after the pause a full scan finds the others"


def test_beside_a_pause_no_more_jobs_of_a_type_come_than_the_buffer_takes(
    claims: Claims, create: Create, conn: psycopg.Connection
) -> None:
    ages = {type: [create(type, age) for age in (9, 8, 7, 6)] for type in ("a", "b")}
    reply = claims().claim_jobs(conn, 1, 3, paused(demand(8, a=1, b=3), ("elsewhere", None)))
    assert set(uids(reply)) == {ages["a"][0], *ages["b"][:3]}
    assert {place[1] for _, place in reply.left_over} == {*ages["a"][1:], ages["b"][3]}


def test_crashed_jobs_of_what_is_paused_are_neither_claimed_nor_announced(
    claims: Claims, create: Create, conn: psycopg.Connection, schema: str
) -> None:
    crashed = [create(queue="q"), create(queue="q")]
    for uid, crashes in zip(crashed, (1, 2), strict=True):
        conn.execute(f"update {schema}.job set crashes = %s, attempts = %s where uid = %s", [crashes, crashes, uid])
    wanted = demand(5, a=5)._replace(crashed=5)
    reply = claims().claim_jobs(conn, 1, 3, paused(wanted, ("q", None)))
    assert (reply.jobs, reply.last_chance) == ([], False)
    assert claims().claim_jobs(conn, 1, 3, paused(wanted._replace(alone=True, n=0), (None, "a"))).jobs == []
    reply = claims().claim_jobs(conn, 1, 3, wanted)
    assert (uids(reply), reply.last_chance) == ([crashed[0]], True)


def test_where_all_is_paused_a_claim_takes_nothing(claims: Claims, create: Create, conn: psycopg.Connection) -> None:
    create()
    wanted = paused(demand(5, a=5, unknown_most=5), (None, None))
    reply = claims().claim_jobs(conn, 1, 3, wanted)
    assert (reply.jobs, reply.refused, reply.last_chance) == ([], False, False)


def test_beside_a_pause_a_claim_whose_candidates_others_have_locked_comes_again(
    claims: Claims, create: Create, conn: psycopg.Connection, database_url: str
) -> None:
    """It looks at a bounded number of jobs, so it cannot tell that there are none."""
    jobs = [create(age=100.0 - number / 10) for number in range(100)]
    statements, wanted = claims(), paused(demand(1, a=1), ("elsewhere", None))
    with psycopg.connect(database_url, autocommit=True) as other:
        with conn.transaction():
            assert len(statements.claim_jobs(conn, 1, 3, demand(90, a=90)).jobs) == 90
            assert statements.claim_jobs(other, 2, 3, wanted).refused
        assert uids(statements.claim_jobs(other, 2, 3, wanted)) == [jobs[90]]


def test_beside_a_pause_claims_get_past_jobs_that_somebody_has_locked_for_long(
    claims: Claims, create: Create, conn: psycopg.Connection, database_url: str, schema: str
) -> None:
    jobs = [create(age=3_000.0 - number) for number in range(2_000)]
    statements, wanted, tries = claims(), paused(demand(1, a=1), ("elsewhere", None)), []
    with psycopg.connect(database_url) as careless:
        careless.execute(f"select from {schema}.job order by run_at limit 1990 for update")
        for job in jobs[1990:]:
            while not (reply := statements.claim_jobs(conn, 1, 3, wanted)).jobs:
                assert reply.refused
                tries.append(job)
            assert uids(reply) == [job]
        assert len(tries) <= 20
        assert not statements.claim_jobs(conn, 1, 3, wanted).jobs
    for _ in range(20):
        reply = statements.claim_jobs(conn, 1, 3, wanted)
    assert reply.jobs


def test_the_heads_leave_out_what_is_paused(claims: Claims, create: Create, conn: psycopg.Connection) -> None:
    create(age=30.0, queue="q")
    head = create(age=20.0)
    statements = claims()
    assert statements.find_heads(conn, paused(demand(1, a=1), ("q", None)))[0][1] == head
    assert statements.find_heads(conn, paused(demand(1, a=1), (None, None))) == {}
    assert statements.find_heads(conn, demand(1, a=1))[0][1] != head
