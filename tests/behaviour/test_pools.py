"""Pools of workers side by side in one manager, `scale()` and `quiet()`."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from steve import Job, JobManager, NotRunning, Pool, Status, Unavailable, current_run
from tests.behaviour.breaker import Breaker
from tests.behaviour.proxy import Proxy
from tests.conftest import APPLICATION, until

Make = Callable[..., JobManager]


class Work:
    """Handlers: jobs of the type `long` wait for the gate, those of `short` do nothing. All are noted when they begin."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun: dict[str, list[str]] = defaultdict(list)
        """By queue, the names of the threads on which jobs began."""
        self.runs: Counter[Any] = Counter()

    def long(self, job: Job) -> None:
        gate = self.gate  # before it is noted that the job has begun: a test may put another one here then
        self.short(job)
        assert gate.wait(60)

    def short(self, job: Job) -> None:
        self.begun[job.queue].append(threading.current_thread().name)
        self.runs[job.uid] += 1

    def count(self, *queues: str) -> int:
        return sum(len(self.begun[queue]) for queue in queues)


@pytest.fixture
def work(make_manager: Make) -> Iterator[Work]:
    work = Work()
    yield work
    work.gate.set()


@pytest.fixture
def manager(make_manager: Make, work: Work) -> JobManager:
    manager = make_manager(handlers={"long": work.long, "short": work.short})
    manager.migrate()
    return manager


def states(manager: JobManager) -> list[Pool]:
    engine = manager._runner.engine()
    assert engine is not None
    return engine.pools()


def open_jobs(manager: JobManager) -> list[Job]:
    return [*manager.fetch_all(Status.PENDING), *manager.fetch_all(Status.RUNNING)]


def worker_threads() -> int:
    return sum(thread.name.startswith("steve-worker_") for thread in threading.enumerate())


def running(conn: psycopg.Connection, schema: str) -> int:
    return conn.execute(f"select count(*) from {schema}.job where status = 'running'").fetchone()[0]


# -- which jobs a pool takes ----------------------------------------------------------------------------------------------


def test_long_jobs_of_one_pool_never_keep_another_pool_from_short_ones(manager: JobManager, work: Work) -> None:
    manager.start({"reports": 2, "mail": 1})
    for _ in range(10):
        manager.create("long", queue="reports")
    until(lambda: work.count("reports") == 2)
    for number in range(20):
        manager.create("short", queue="mail")
        until(lambda number=number: work.count("mail") == number + 1)
    assert work.count("reports") == 2, "and no more of the long ones than there are workers for them"
    until(lambda: [(one.workers, one.busy) for one in states(manager)] == [(2, 2), (1, 0)])


def test_the_rest_is_for_all_queues_that_no_other_pool_names(manager: JobManager, work: Work) -> None:
    """GoodJob's "*" takes those as well, and a flood of one queue fills both pools."""
    manager.start({"reports": 1, "*": 2})
    for _ in range(5):
        manager.create("long", queue="reports", priority=100)
    until(lambda: work.count("reports") == 1)
    for queue in ("default", "anything"):
        manager.create("short", queue=queue)
    until(lambda: work.count("default", "anything") == 2)
    manager.create("long", queue="new")
    manager.create("long", queue="newer")
    until(lambda: work.count("new", "newer") == 2)
    assert work.count("reports") == 1
    assert [one.busy for one in states(manager)] == [1, 2]


def test_an_excluded_queue_is_left_to_others(manager: JobManager, make_manager: Make, work: Work) -> None:
    manager.start("-reports:2")
    report = manager.create("short", queue="reports")
    for number in range(3):
        manager.create("short", queue=f"queue {number}")
    until(lambda: work.count("queue 0", "queue 1", "queue 2") == 3)
    assert manager.find(report) == report
    other = make_manager(handler=work.short)
    other.start({"reports": 1})
    until(lambda: work.count("reports") == 1)


def test_the_rest_keeps_to_the_queues_of_the_manager(make_manager: Make, manager: JobManager, work: Work) -> None:
    limited = make_manager(handler=work.short, queues=["a", "b"])
    limited.start({"a": 1, "*": 1})
    others = manager.create("short", queue="c")
    for queue in ("a", "b"):
        manager.create("short", queue=queue)
    until(lambda: work.count("a", "b") == 2)
    assert manager.find(others) == others
    assert [one.queues for one in states(limited)] == [("a",), ("b",)]


def test_a_retry_wakes_the_pool_that_serves_its_queue(make_manager: Make, manager: JobManager) -> None:
    attempts: list[str] = []

    def fails_once(job: Job) -> None:
        attempts.append(job.queue)
        if len(attempts) % 2:
            raise ValueError

    worker = make_manager(handler=fails_once, poll_interval=3600.0, notify=False)
    jobs = [manager.create("any", queue=queue, backoff_strategy="none", max_attempts=2) for queue in ("a",)]
    worker.start({"a": 1, "*": 1})
    until(lambda: manager.find(jobs[0]).status is Status.COMPLETED)
    assert attempts == ["a", "a"]


def test_each_pool_has_a_connection_for_its_claims(manager: JobManager, conn: psycopg.Connection) -> None:
    def claiming() -> int:
        query = "select count(*) from pg_stat_activity where application_name = %s and query like 'with recursive turn %%'"
        return conn.execute(query, [APPLICATION]).fetchone()[0]

    manager.start(2)
    until(lambda: claiming() == 1)
    manager.scale({"a": 1, "b": 1, "*": 1})
    until(lambda: claiming() == 3)
    manager.quiet()
    until(lambda: claiming() == 0)
    manager.scale(2)
    until(lambda: claiming() == 1)


def test_a_pool_of_connections_must_have_one_for_each_pool(make_manager: Make, manager: JobManager, database_url: str) -> None:
    with ConnectionPool(database_url, min_size=1, max_size=6, open=True) as connections:
        users = make_manager(connections, handler=print)
        with pytest.raises(ValueError, match="the pool is too small: a started manager keeps 6 connections"):
            users.start({"a": 1, "b": 1, "*": 1})
        users.start({"a": 1, "*": 1})
        with pytest.raises(ValueError, match="the pool is too small"):
            users.scale({"a": 1, "b": 1, "*": 1})
        assert [one.workers for one in states(users)] == [1, 1], "nothing has changed"
        assert users.stop(timeout=30).complete


def test_a_pool_of_connections_must_have_one_for_each_pool_that_ends_too(
    make_manager: Make, manager: JobManager, database_url: str, work: Work
) -> None:
    with ConnectionPool(database_url, min_size=1, max_size=6, open=True) as connections:
        users = make_manager(connections, handlers={"long": work.long, "short": work.short}, create_timeout=30.0)
        users.start({"a": 1})
        users.create("long", queue="a")
        until(lambda: work.count("a") == 1)
        users.scale({"b": 1})
        with pytest.raises(ValueError, match=r"keeps 6 connections .*claim of a pool that ends"):
            users.scale({"c": 1})
        users.create("short", queue="b")
        until(lambda: work.count("b") == 1)
        work.gate.set()
        until(lambda: len(states(users)) == 1)
        users.scale({"c": 1})
        assert users.stop(timeout=30).complete


def test_a_job_on_its_last_chance_runs_while_no_pool_runs_another(
    manager: JobManager, work: Work, conn: psycopg.Connection, schema: str
) -> None:
    manager.start({"a": 2, "*": 2})
    long = [manager.create("long", queue=queue) for queue in ("a", "b")]
    until(lambda: work.count("a", "b") == 2)
    suspect = manager.create("short", queue="suspect", delay=3600)
    conn.execute(f"update {schema}.job set crashes = 2, attempts = 2, run_at = now() where uid = %s", [suspect.uid])
    manager._runner.engine().wake()
    until(lambda: manager._runner.engine().all_pools.neighbours.last_chance.is_due)
    later = [manager.create("short", queue=queue) for queue in ("a", "c")]
    assert work.count("suspect") == 0
    assert all(manager.find(job).status in (Status.PENDING, Status.RUNNING) for job in later)
    assert work.count("c") == 0
    work.gate.set()
    until(lambda: all(manager.find(job).status is Status.COMPLETED for job in (*long, suspect, *later)))
    assert set(work.runs.values()) == {1}


def test_a_pool_that_ends_before_a_job_on_its_last_chance_began_lets_the_others_go_on(
    manager: JobManager, work: Work, conn: psycopg.Connection, schema: str
) -> None:
    """It ends when its last handler returns, which may take hours."""
    manager.start({"a": 2, "b": 1})
    manager.create("long", queue="a")
    until(lambda: work.count("a") == 1)
    suspect = manager.create("short", queue="a", delay=3600)
    conn.execute(f"update {schema}.job set crashes = 2, attempts = 2, run_at = now() where uid = %s", [suspect.uid])
    engine = manager._runner.engine()
    assert engine is not None
    engine.wake()
    last_chance = engine.all_pools.neighbours.last_chance
    until(lambda: last_chance.is_due)
    manager.scale({"b": 1})
    manager.create("short", queue="b")
    until(lambda: work.count("b") == 1)
    assert (last_chance.is_due, work.count("a")) == (False, 1)


def test_a_pool_that_ends_while_a_job_on_its_last_chance_runs_there_keeps_the_others_waiting(
    manager: JobManager, work: Work, conn: psycopg.Connection, schema: str
) -> None:
    manager.start({"a": 2, "b": 1})
    suspect = manager.create("long", queue="a", delay=3600)
    conn.execute(f"update {schema}.job set crashes = 2, attempts = 2, run_at = now() where uid = %s", [suspect.uid])
    engine = manager._runner.engine()
    assert engine is not None
    engine.wake()
    until(lambda: work.count("a") == 1)
    manager.scale({"b": 1})
    for pool in engine.all_pools.all:
        pool.parts.workers.leave_last_chance()
    assert engine.all_pools.neighbours.last_chance.is_due
    manager.create("short", queue="b")
    assert work.count("b") == 0
    work.gate.set()
    until(lambda: work.count("b") == 1)
    assert manager.find(suspect).status is Status.COMPLETED, "its outcome was in the database when the next job began"


def test_after_a_lost_reply_no_job_of_another_pool_is_taken_for_one_of_the_lost_claim(
    make_manager: Make, manager: JobManager, work: Work, proxy: Proxy
) -> None:
    """Both pools claim under one process id. What the question finds must be held by nobody here."""
    worker = make_manager(proxy.conninfo, handlers={"long": work.long, "short": work.short}, create_timeout=30.0)
    worker.start({"a": 3, "*": 3})
    for _ in range(20):
        for queue in ("a", "b"):
            manager.create("short", queue=queue)
            manager.create("long", queue=queue, priority=-5) if work.count("a", "b") < 2 else None
        proxy.cut()
    work.gate.set()
    until(lambda: not open_jobs(manager), timeout=60)
    assert all(job.crashes == 0 for job in manager.fetch_all(limit=1_000))
    assert max(work.runs.values()) == 1
    assert worker.stop(timeout=30).complete  # while there is a proxy


def test_handlers_of_all_pools_see_a_cancel_and_the_stop_and_not_that_their_pool_ends(manager: JobManager) -> None:
    seen: dict[str, tuple[bool, bool]] = {}
    begun: list[str] = []

    def waits(job: Job) -> None:
        begun.append(job.queue)
        run = current_run()
        run.wait(60)
        seen[job.queue] = run.cancelled, run.stopping

    manager.set_handler("waits", waits)
    manager.start({"a": 1, "b": 1, "c": 1})
    jobs = {queue: manager.create("waits", queue=queue) for queue in "abc"}
    until(lambda: len(begun) == 3)
    manager.cancel(jobs["a"])
    until(lambda: seen == {"a": (True, False)})
    manager.scale({"c": 1, "*": 1})
    until(lambda: len(states(manager)) == 3)
    assert set(seen) == {"a"}
    assert manager.stop(timeout=30).complete
    assert seen == {"a": (True, False), "b": (False, True), "c": (False, True)}


# -- scaling --------------------------------------------------------------------------------------------------------------


def test_more_workers_begin_what_waits_at_once(manager: JobManager, work: Work) -> None:
    manager.start(1)
    for _ in range(30):
        manager.create("long")
    until(lambda: work.count("default") == 1)
    manager.scale(20)
    until(lambda: work.count("default") == 20)
    assert states(manager) == [Pool(None, (), 20, 20)]


def test_fewer_workers_let_running_jobs_finish_and_begin_no_more_than_they_are(manager: JobManager, work: Work) -> None:
    manager.start(10)
    for _ in range(10):
        manager.create("long")
    until(lambda: work.count("default") == 10)
    manager.scale(2)
    assert states(manager) == [Pool(None, (), 2, 10)]
    for _ in range(10):
        manager.create("long", queue="later")
    assert work.count("later") == 0
    first, work.gate = work.gate, threading.Event()
    first.set()
    until(lambda: work.count("later") == 2)
    until(lambda: worker_threads() == 2)
    assert work.count("later") == 2
    work.gate.set()
    until(lambda: work.count("later") == 10)


def test_a_smaller_pool_gives_back_what_has_not_begun(
    make_manager: Make, manager: JobManager, work: Work, conn: psycopg.Connection, schema: str
) -> None:
    manager.start(5)
    for _ in range(200):
        manager.create("short")
    until(lambda: work.count("default") == 200)
    manager.create_many([("long", {})] * 100, queue="many")  # it has learned that jobs are short, and claims many
    until(lambda: work.count("many") == 5)
    manager.scale(1)
    until(lambda: running(conn, schema) == 5)


def test_a_pool_that_is_left_out_ends_with_its_last_handler(manager: JobManager, work: Work, conn: psycopg.Connection) -> None:
    manager.start({"a": 2, "*": 1})
    for _ in range(4):
        manager.create("long", queue="a")
    until(lambda: work.count("a") == 2)
    manager.scale({"b": 1})
    assert states(manager) == [Pool(("b",), (), 1, 0), Pool(("a",), (), 0, 2)] or states(manager) == [
        Pool(("a",), (), 0, 2),
        Pool(("b",), (), 1, 0),
    ]
    manager.create("short", queue="b")
    until(lambda: work.count("b") == 1)
    work.gate.set()
    until(lambda: [one.queues for one in states(manager)] == [("b",)])
    until(lambda: worker_threads() == 1)
    assert work.count("a") == 2, "nobody serves that queue any more"
    assert len(manager.fetch_all(Status.PENDING)) == 2


def test_a_queue_moves_from_the_rest_to_a_pool_of_its_own(manager: JobManager, work: Work) -> None:
    manager.start(1)
    manager.create("long", queue="a")
    until(lambda: work.count("a") == 1)
    manager.scale({"mail": 1, "*": 1})
    manager.create("short", queue="mail")
    until(lambda: work.count("mail") == 1)
    assert sorted(one.workers for one in states(manager)) == [0, 1, 1]


def test_scaling_up_and_down_under_load_loses_no_job_and_leaves_no_thread(manager: JobManager, work: Work) -> None:
    handler_seconds = 0.001
    manager.set_handler("brief", lambda job: (work.short(job), time.sleep(handler_seconds)))
    manager.start(2)
    over = threading.Event()
    created = 0

    def create() -> None:
        nonlocal created
        while not over.is_set():
            created += len(manager.create_many([("brief", {})] * 20))

    creating = threading.Thread(target=create)
    creating.start()
    try:
        for _ in range(10):
            for workers in (50, {"default": 5, "*": 1}, 2):
                before = work.count("default")
                manager.scale(workers)
                until(lambda before=before: work.count("default") > before + 5)
    finally:
        over.set()
        creating.join()
    until(lambda: len(work.runs) == created, timeout=60)
    until(lambda: worker_threads() == 2)
    until(lambda: not open_jobs(manager))
    assert set(work.runs.values()) == {1}
    assert manager.health().ok


def test_scaling_while_the_database_is_away_changes_nothing(
    make_manager: Make, manager: JobManager, work: Work, proxy: Proxy
) -> None:
    worker = make_manager(proxy.conninfo, handlers={"short": work.short}, create_timeout=4.0)
    worker.start(2)
    proxy.refuse()
    with pytest.raises(Unavailable):
        worker.scale({"mail": 1, "*": 2})
    proxy.accept()
    assert states(worker) == [Pool(None, (), 2, 0)]
    manager.create("short", queue="mail")
    until(lambda: work.count("mail") == 1)
    assert worker.stop(timeout=30).complete  # while there is a proxy


def test_a_handler_may_scale_its_own_manager(manager: JobManager, work: Work) -> None:
    manager.set_handler("scales", lambda job: manager.scale({"default": 1, "*": 1}))
    manager.start(1)
    manager.create("scales")
    until(lambda: len(states(manager)) == 2)
    manager.create("short")
    until(lambda: work.count("default") == 1)


def test_the_hooks_around_threads_end_with_the_threads_of_the_old_size(manager: JobManager, work: Work) -> None:
    inside: list[int] = []

    class Hook:
        def __enter__(self) -> None:
            inside.append(1)

        def __exit__(self, *raised: object) -> None:
            inside.pop()

    manager.around_thread(Hook)
    manager.start(3)
    for workers in (8, 2, {"a": 1, "*": 3}, 1):
        manager.scale(workers)
    until(lambda: len(inside) == 1 + 1, timeout=30)  # a worker, and the dispatcher's thread
    assert manager.stop(timeout=30).complete
    assert inside == []


@pytest.mark.parametrize("call", ["scale", "quiet"])
def test_before_the_start_and_after_the_stop_there_is_nothing_to_change(manager: JobManager, call: str) -> None:
    def change() -> None:
        manager.scale(2) if call == "scale" else manager.quiet()

    with pytest.raises(NotRunning, match=f"{call}\\(\\) was called on a manager that is not running"):
        change()
    manager.start(1)
    change()
    manager.stop()
    with pytest.raises(NotRunning, match="is not running: call start"):
        change()


# -- quiet ----------------------------------------------------------------------------------------------------------------


def test_a_quiet_manager_claims_nothing_and_lives_on(
    manager: JobManager, work: Work, conn: psycopg.Connection, schema: str
) -> None:
    told: list[Job] = []
    manager.on_done(None, told.append)
    manager.start({"a": 2, "*": 1})
    for _ in range(5):
        manager.create("long", queue="a")
    until(lambda: work.count("a") == 2)
    manager.quiet()
    manager.quiet()
    until(lambda: running(conn, schema) == 2)
    assert states(manager) == [Pool(("a",), (), 0, 2)]
    manager.create("short")
    work.gate.set()
    until(lambda: len(told) == 2)
    until(lambda: worker_threads() == 0)
    assert states(manager) == []
    assert manager.health().ok
    assert work.count("a", "default") == 2
    assert conn.execute(f"select count(*) from {schema}.process").fetchone()[0] == 1
    report = manager.stop(timeout=30)
    assert (report.complete, report.still_running) == (True, ())
    assert conn.execute(f"select count(*) from {schema}.process").fetchone()[0] == 0


@pytest.mark.parametrize("call", ["scale", "start"])
def test_a_quiet_manager_begins_again(manager: JobManager, work: Work, call: str, caplog: pytest.LogCaptureFixture) -> None:
    manager.start(1)
    manager.quiet()
    job = manager.create("short")
    until(lambda: worker_threads() == 0)
    assert manager.find(job) == job
    manager.scale(3) if call == "scale" else manager.start(3)
    until(lambda: work.count("default") == 1)
    until(lambda: states(manager) == [Pool(None, (), 3, 0)])
    assert "nothing changed" not in caplog.text


def test_a_quiet_manager_cancels_what_has_expired_and_rescues(
    make_manager: Make, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    manager.start(1)
    manager.quiet()
    job = manager.create("short", expires_in=0.05)
    until(lambda: manager.find(job).status is Status.CANCELLED)


def test_jobs_of_a_lost_reply_go_back_though_the_manager_has_become_quiet(
    manager: JobManager, work: Work, breaker: Breaker, conn: psycopg.Connection, schema: str
) -> None:
    manager.start(1)
    engine = manager._runner.engine()
    assert engine is not None
    manager.quiet()
    until(lambda: worker_threads() == 0)
    job = manager.create("short")
    (process,) = conn.execute(f"select id from {schema}.process").fetchone()
    conn.execute(
        f"update {schema}.job set status = 'running', process_id = %s, claimed_at = now(), attempts = 1, "
        "lease_no = lease_no + 1 where uid = %s", [process, job.uid],
    )  # fmt: skip
    engine.all_pools.neighbours.in_doubt.lose()
    until(lambda: manager.find(job).status is Status.PENDING)
    assert (manager.find(job).crashes, manager.find(job).attempts) == (0, 0)


@pytest.mark.parametrize("call", ["scale", "quiet"])
def test_while_a_start_is_under_way_nobody_changes_its_pools(manager: JobManager, call: str) -> None:
    """They would be opened after they were ended, and nobody would end their threads."""
    manager.start(2)
    engine = manager._runner.engine()
    assert engine is not None
    engine.has_begun = False
    with pytest.raises(NotRunning, match=rf"{call}\(\) was called while start\(\) was under way"):
        manager.scale(3) if call == "scale" else manager.quiet()
    engine.has_begun = True
    manager.scale(3)
