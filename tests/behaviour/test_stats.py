"""`stats()`: what it counts, when, and only once; `on_queue_latency`."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from steve import Fail, Job, JobManager, NewJob, QueueLatency, RetryPolicy, Snooze, Stats, Unavailable, current_run
from steve._database.statements import statements_for
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from tests.conftest import until

MakeManager = Callable[..., JobManager]

QUICK = Tuning(stat_every=0.05, stat_merge=0.1, latency_check=0.05, scan_check=0.02)


def ended(stats: Stats) -> dict[str, tuple[int, ...]]:
    """By type: completed, failed, cancelled, retried, crashed."""
    return {
        str(lane.type): (lane.completed, lane.failed, lane.cancelled, lane.retried, lane.crashed)
        for lane in stats.lanes
        if lane.ended or lane.retried or lane.crashed
    }


def handle(job: Job) -> None:
    if job.type == "bad":
        raise LookupError("no")
    if job.type == "worse":
        raise Fail("never")
    if job.type == "later" and job.payload.get("first") and current_run().attempt == 1 and job.started_at is None:
        raise Snooze(0)


def test_each_end_counts_once_and_a_stop_writes_the_rest(make_manager: MakeManager) -> None:
    manager = make_manager(handler=handle, retry=RetryPolicy(3, "none"), _tuning=Tuning(stat_every=3600.0))
    manager.migrate()
    manager.create_many([("good", {})] * 200)
    manager.create_many([("bad", {})] * 10)
    manager.create("worse")
    manager.create("later", {"first": True})
    manager.start(workers=4)
    until(lambda: len(manager.fetch_all("completed", limit=1000)) == 201)
    until(lambda: len(manager.fetch_all("failed")) == 11)
    assert ended(manager.stats()) == {}, "it is written once an hour only, here"
    manager.stop()
    stats = manager.stats()
    assert ended(stats) == {
        "good": (200, 0, 0, 0, 0),
        "bad": (0, 10, 0, 20, 0),
        "worse": (0, 1, 0, 0, 0),
        "later": (1, 0, 0, 0, 0),
    }
    assert stats.counts["default", "good", "completed"] == 200
    assert stats.counts["default", "bad", "failed"] == 10
    assert stats.total(type="good").run.count == 200
    assert abs(stats.total(type="good").wait.count - 200) <= 40, "of a large group only some are measured"
    assert stats.throughput == pytest.approx(201 / stats.seconds)
    assert [row["count"] for row in stats.preview()] == [0, 0, 201, 11, 0]


def test_pending_and_running_jobs_are_counted_as_they_are_now(make_manager: MakeManager, conn: psycopg.Connection) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(job: Job) -> None:
        begun.set()
        go_on.wait(60)

    manager = make_manager(handlers={"runs": wait})
    manager.migrate()
    try:
        manager.create("runs", queue="slow")
        manager.create_many([("waits", {})] * 3, priority=5)
        manager.create_many([("waits", {})] * 4, delay=3600)
        manager.start(workers=1)
        assert begun.wait(30)
        stats = manager.stats()
        assert dict(stats.counts) == {("default", "waits", "pending"): 7, ("slow", "runs", "running"): 1}
        lane = stats.total(type="waits")
        assert lane.oldest_due is not None
        assert 0 < lane.latency < 60
        assert stats.pending == 7
        assert not stats.pending.is_least
        assert manager.stats(queue="slow").pending == 0
        assert manager.stats(type="waits").counts["default", "waits", "pending"] == 7
        assert [one.type for one in manager.stats(queue="default").lanes] == ["waits"]
    finally:
        go_on.set()


@pytest.mark.parametrize(
    ("tuning", "many", "few"),
    [
        (Tuning(stats_most=40, stats_least=5, stats_lane_cost=2), "18+", "3"),
        (Tuning(stats_most=40, stats_least=2, stats_lane_cost=40), "2+", "2+"),
    ],
    ids=["few lanes", "many lanes"],
)
def test_more_than_is_counted_is_marked(
    tuning: Tuning, many: str, few: str, make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    manager = make_manager(_tuning=tuning)
    manager.migrate()
    manager.create_many([("many", {})] * 500)
    manager.create_many([("few", {})] * 3)
    conn.execute(f"analyze {schema}.job")
    stats = manager.stats()
    assert str(stats.counts["default", "many", "pending"]) == many
    assert str(stats.counts["default", "few", "pending"]) == few
    assert str(stats.pending) == "503+"
    assert stats.total().oldest_due is not None


def test_where_there_are_more_lanes_than_are_looked_at_the_number_of_jobs_is_marked(make_manager: MakeManager) -> None:
    manager = make_manager(_tuning=Tuning(stats_most=40, stats_lanes=10))
    manager.migrate()
    manager.create_many([NewJob("a", queue=f"queue {number % 50}") for number in range(100)])
    stats = manager.stats()
    assert len(stats.lanes) == 10
    assert stats.pending.is_least


@pytest.mark.parametrize("many", [False, True])
def test_jobs_that_a_call_cancels_count_in_any_process(many: bool, make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.migrate()
    jobs = manager.create_many([("a", {})] * 3 + [("b", {})])
    if many:
        manager.cancel_all(type="a")
    else:
        for job in jobs[:3]:
            manager.cancel(job)
    assert ended(manager.stats()) == {"a": (0, 0, 3, 0, 0)}


def test_a_cancel_that_is_rolled_back_does_not_count(
    make_manager: MakeManager, conn: psycopg.Connection, database_url: str
) -> None:
    manager = make_manager()
    manager.migrate()
    job = manager.create("a")
    with psycopg.connect(database_url) as theirs:
        manager.cancel(job, connection=theirs)
        theirs.rollback()
    assert ended(manager.stats()) == {}


def test_a_job_that_expired_counts_as_cancelled(make_manager: MakeManager) -> None:
    manager = make_manager(handlers={"other": print}, _tuning=Tuning(expiry_check=0.05))
    manager.migrate()
    job = manager.create("a", expires_in=0.001)
    manager.start(workers=1)
    until(lambda: manager.find(job).status == "cancelled")  # type: ignore[union-attr]
    manager.stop()
    assert ended(manager.stats()) == {"a": (0, 0, 1, 0, 0)}


def test_run_and_wait_times_are_those_of_the_jobs(make_manager: MakeManager) -> None:
    manager = make_manager(handlers={"a": lambda job: threading.Event().wait(0.05)})
    manager.migrate()
    created = datetime.now(UTC)
    manager.create_many([("a", {})] * 4)
    manager.start(workers=1)
    until(lambda: len(manager.fetch_all("completed")) == 4)
    took = (datetime.now(UTC) - created).total_seconds()
    manager.stop()
    lane = manager.stats().total()
    assert lane.run.p50 is not None
    assert lane.wait.p99 is not None
    assert 0.05 / 1.2 <= lane.run.p50 < took
    assert lane.run.seconds >= 0.2
    assert 0.15 / 1.2 <= lane.wait.p99 <= took * 1.2


def test_figures_of_all_processes_are_merged_once_and_kept(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    make_manager().migrate()
    stats = statements_for(Settings(schema=schema)).stats
    begin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=100)
    conn.execute(
        f"insert into {schema}.stat (minutes, at, process_id, queue, type, completed, run_us, run_hist) "
        "select 0, %s + minute * interval '1 minute', process, 'q', 't' || lane, 1, 1000, 1000000000001 "
        "from generate_series(0, 9) as process, generate_series(0, 90) as minute, generate_series(0, 1) as lane",
        [begin],
    )
    manager = make_manager()
    before = manager.stats(7200)
    assert before.total().completed == 91 * 20
    assert stats.merge_stat(conn, 100) == 100
    assert manager.stats(7200).lanes == before.lanes, "some are merged, and some are not"
    assert [stats.merge_stat(conn, 500) for _ in range(4)] == [500, 500, 500, 220]
    assert stats.merge_stat(conn, 500) == 0
    for over in (7200, 4 * 3600, 30 * 86_400):
        lanes = manager.stats(over).lanes
        assert [(lane.type, lane.completed, lane.run.buckets) for lane in lanes] == [
            (f"t{number}", 910, (910, 910)) for number in range(2)
        ]
    rows = dict(conn.execute(f"select minutes, count(*) from {schema}.stat group by 1").fetchall())
    assert rows[1] == 182
    assert rows.keys() == {1, 10, 60, 1440}


def test_old_figures_are_deleted_and_those_of_a_month_kept(
    make_manager: MakeManager, conn: psycopg.Connection, schema: str
) -> None:
    make_manager().migrate()
    ages = {1: (3, 4), 10: (3, 4), 60: (719, 722), 1440: (719, 750)}
    for minutes, hours in ages.items():
        for age in hours:
            conn.execute(
                f"insert into {schema}.stat (minutes, at, process_id, queue, type) values (%s, now() - %s, 0, 'q', 't')",
                [minutes, timedelta(hours=age)],
            )
    assert statements_for(Settings(schema=schema)).stats.prune_stat(conn, 100) == 4
    kept = conn.execute(f"select minutes, extract(epoch from now() - at)::int / 3600 from {schema}.stat order by 1").fetchall()
    assert kept == [(minutes, young) for minutes, (young, _) in ages.items()]


def test_one_process_merges_while_it_works(make_manager: MakeManager, conn: psycopg.Connection, schema: str) -> None:
    manager = make_manager(handlers={"a": print}, _tuning=QUICK)
    manager.migrate()
    conn.execute(
        f"insert into {schema}.stat (minutes, at, process_id, queue, type, completed) "
        "values (0, date_trunc('minute', now()) - interval '5 minutes', 7, 'q', 't', 5)"
    )
    manager.start(workers=1)
    query = f"select sum(completed)::int from {schema}.stat where minutes = 60 and type = 't'"
    until(lambda: conn.execute(query).fetchone()[0] == 5)


def test_nothing_is_written_while_nothing_happens(make_manager: MakeManager, conn: psycopg.Connection, schema: str) -> None:
    manager = make_manager(handlers={"a": print}, _tuning=QUICK)
    manager.migrate()
    manager.start(workers=1)
    manager.create("a")
    query = f"select sum(completed)::int from {schema}.stat where minutes = 0"
    until(lambda: conn.execute(query).fetchone()[0] == 1)
    (written,) = conn.execute(f"select max(xmin::text::bigint) from {schema}.stat").fetchone()
    looks = [0]

    def looked() -> bool:
        looks[0] += 1
        return looks[0] > 50

    until(looked)
    assert conn.execute(f"select max(xmin::text::bigint) from {schema}.stat").fetchone() == (written,)


def test_a_statement_that_takes_too_long_is_ended(make_manager: MakeManager, conn: psycopg.Connection, schema: str) -> None:
    manager = make_manager(_tuning=Tuning(stats_timeout=0.1))
    manager.migrate()
    with conn.transaction():
        conn.execute(f"lock table {schema}.stat in access exclusive mode")
        with pytest.raises(Unavailable, match=r"took longer than 0\.1 s"):
            manager.stats()

    def stats() -> Stats | None:
        try:
            return manager.stats()
        except Unavailable:  # a busy machine takes longer, too
            return None

    assert until(stats).lanes == ()


def test_a_listener_is_told_when_jobs_wait_too_long_and_when_that_is_over(make_manager: MakeManager) -> None:
    told: list[QueueLatency] = []
    others: list[QueueLatency] = []
    manager = make_manager(handlers={"other": print}, _tuning=QUICK)
    manager.migrate()
    manager.on_queue_latency(0.1, callback=told.append)
    manager.on_queue_latency(timedelta(seconds=0.1), "elsewhere", others.append)

    @manager.on_queue_latency(0.1, queue="default")
    def raising(latency: QueueLatency) -> None:
        raise RuntimeError("no")

    manager.start(workers=1)
    manager.create("a")
    until(lambda: [one.is_over for one in told] == [True])
    assert told[0].lane == ("default", "a")
    assert told[0].seconds > told[0].over == 0.1
    manager.set_handler("a", lambda job: None)
    until(lambda: [one.is_over for one in told] == [True, False])
    manager.stop()
    assert others == []


STATS: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "over 0": ({"over": 0}, ValueError),
    "over -1": ({"over": -1}, ValueError),
    "over text": ({"over": "1h"}, TypeError),
    "over True": ({"over": True}, TypeError),
    "over NaN": ({"over": float("nan")}, ValueError),
    "naive since": ({"since": datetime(2026, 1, 1)}, ValueError),
    "since a number": ({"since": 5}, TypeError),
    "since after until": (
        {"since": datetime(2026, 1, 2, tzinfo=UTC), "until": datetime(2026, 1, 1, tzinfo=UTC)},
        ValueError,
    ),
    "both": ({"over": 5, "since": datetime(2026, 1, 1, tzinfo=UTC)}, TypeError),
    "queue a number": ({"queue": 5}, TypeError),
    "empty type": ({"type": ""}, ValueError),
}


@pytest.mark.parametrize(("keywords", "error"), STATS.values(), ids=STATS)
def test_a_wrong_argument_is_refused_before_anything_is_sent(keywords: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        JobManager("postgresql://127.0.0.1:1/nowhere").stats(**keywords)


LATENCY: dict[str, tuple[tuple[Any, ...], type[Exception]]] = {
    "over 0": ((0, None, print), ValueError),
    "over text": (("30", None, print), TypeError),
    "queue a number": ((30, 5, print), TypeError),
    "queue empty": ((30, "", print), ValueError),
    "no callback": ((30, None, 5), TypeError),
    "over 0 as a decorator": ((0,), ValueError),
}


@pytest.mark.parametrize(("arguments", "error"), LATENCY.values(), ids=LATENCY)
def test_a_wrong_latency_listener_is_refused(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        JobManager("postgresql://127.0.0.1:1/nowhere").on_queue_latency(*arguments)


def test_a_span_of_any_kind_is_answered(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.migrate()
    now = datetime.now(UTC)
    for keywords in (
        {"over": 1},
        {"over": timedelta(days=30_000)},
        {"since": now + timedelta(days=5)},
        {"since": datetime(1, 1, 1, tzinfo=UTC)},
        {"until": now - timedelta(days=300)},
        {"since": now - timedelta(days=2), "until": now - timedelta(days=1)},
    ):
        stats = manager.stats(**keywords)  # type: ignore[arg-type]
        assert stats.since <= stats.until <= stats.at + timedelta(seconds=1), keywords
        assert stats.lanes == ()
