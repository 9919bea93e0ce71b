"""cancel_all, retry_all and delete_all: which jobs they change, where they end, what they leave out, and what runs beside
them."""

import itertools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import Changed, Job, JobManager, current_run
from steve._model.tuning import Tuning
from tests.behaviour.test_control import FINAL, STATUSES, Table
from tests.conftest import until

MakeManager = Callable[..., JobManager]
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def table(conn: psycopg.Connection, schema: str, manager: JobManager) -> Table:
    return Table(conn, schema, manager)


@pytest.fixture
def small(make_manager: MakeManager, manager: JobManager) -> JobManager:
    """A manager whose batches are small."""
    return make_manager(_tuning=Tuning(bulk_most=3, bulk_look=5))


def statuses(manager: JobManager) -> list[str]:
    """Of all jobs, oldest first."""
    return [str(job.status) for job in reversed(manager.fetch_all(limit=10_000))]


CALLS: dict[str, Callable[..., Changed]] = {
    "cancel": lambda manager, **more: manager.cancel_all(**more),
    "retry": lambda manager, **more: manager.retry_all(**more),
    "delete": lambda manager, **more: manager.delete_all(**more),
}
ALLOWED = {"cancel": ["pending", "running"], "retry": ["failed", "cancelled"], "delete": FINAL}


# -- which jobs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_a_call_changes_the_jobs_of_its_statuses_alone(call: str, manager: JobManager, table: Table) -> None:
    jobs = {status: table.job(status) for status in STATUSES}
    assert CALLS[call](manager, type="a") == Changed(len(ALLOWED[call]), 0)
    untouched = {status: job for status, job in jobs.items() if status not in ALLOWED[call]}
    assert {status: manager.find(job) for status, job in untouched.items()} == untouched
    for status in ALLOWED[call]:
        assert manager.find(jobs[status]) != jobs[status]


def test_a_call_does_to_each_job_what_the_call_for_one_does(manager: JobManager, table: Table) -> None:
    pending, running = table.job("pending"), table.job("running")
    assert manager.cancel_all(type="a", reason="why") == Changed(2, 0)
    assert (manager.find(pending).status, manager.find(pending).error) == ("cancelled", "Cancelled: why")
    assert (manager.find(running).status, table.column(running, "cancel_reason")) == ("running", "why")
    completed = table.job("completed")
    before = manager.history(completed)
    assert manager.retry_all(type="a", completed=True, attempts=7) == Changed(2, 0)
    assert [manager.find(job).status for job in (pending, completed)] == ["pending", "pending"]
    assert manager.history(completed) == before
    assert (table.column(completed, "granted"), table.column(completed, "forgiven")) == (7, 1)


def ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


FILTERS: dict[str, dict[str, Any]] = {
    "status": {"status": "failed"},
    "type": {"type": "other"},
    "queue": {"queue": "other"},
    "tags": {"tags": {"tenant": "acme", "order": 7}},
    "error": {"error": "o% such"},
    "created_before": {"created_before": ago(9)},
    "created_after": {"created_after": ago(9)},
    "ended_before": {"ended_before": ago(4)},
    "ended_after": {"ended_after": ago(4)},
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_leaves_all_others_alone(name: str, manager: JobManager, table: Table) -> None:
    wanted, other = table.job("completed"), table.job("completed")
    table.execute(
        "update {}.job set type = 'other', queue = 'other', status = 'failed', process = null, error = 'no%% such thing', "
        "tags = %s where uid = %s",
        ['{"tenant": "acme", "order": 7, "paid": true}', wanted.uid],
    )
    table.execute("update {}.job set tags = %s where uid = %s", ['{"tenant": "acme", "order": "7"}', other.uid])
    older = other if name.endswith("after") else wanted
    table.execute("update {}.job set created_at = %s, completed_at = %s where uid = %s", [ago(10), ago(5), older.uid])
    assert manager.delete_all(**FILTERS[name]) == Changed(1, 0)
    assert manager.find(wanted) is None


def test_filters_must_all_match(manager: JobManager, table: Table) -> None:
    table.job("failed")
    assert manager.delete_all(type="a", status="completed") == Changed(0, 0)
    assert manager.delete_all(type="a", status="failed", error="E: no") == Changed(1, 0)


# -- batches and limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_many_jobs_are_changed_in_many_batches_wherever_they_are(call: str, small: JobManager, table: Table) -> None:
    wanted = ALLOWED[call][0]
    other = next(status for status in STATUSES if status not in ALLOWED[call])
    for n in range(12):  # batches with none, with some, and with more than a batch changes
        for status in [wanted] * (n % 5) + [other] * (n % 4) * 2:
            table.job(status)
    expected = statuses(small).count(wanted)
    progress: list[int] = []
    assert CALLS[call](small, type="a", progress=progress.append) == Changed(expected, 0)
    assert progress == sorted(progress)
    assert progress[-1] == expected
    assert len(progress) > 5
    assert CALLS[call](small, type="a", status=wanted) == Changed(0, 0)


@pytest.mark.parametrize("call", CALLS)
def test_batches_by_the_statistics_of_the_table_leave_out_nothing(call: str, small: JobManager, table: Table) -> None:
    """The statistics know the first jobs, and neither those that are older nor those that are younger."""
    jobs = [table.job(ALLOWED[call][0]) for _ in range(60)]
    table.execute("delete from {}.job where uid = any(%s)", [[job.uid for job in jobs[:5]]])
    table.execute("analyze {}.job")
    for job in jobs[:5]:
        table.execute("insert into {}.job (uid, type, run_at) values (%s, 'old', now() + interval '1 day')", [job.uid])
    jobs = jobs[5:] + [table.job(ALLOWED[call][0]) for _ in range(20)]
    progress: list[int] = []
    assert CALLS[call](small, type="a", progress=progress.append) == Changed(75, 0)
    assert len(progress) >= 25
    assert all(small.find(job) != job for job in jobs)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("limit", [1, 3, 4, 7])
def test_a_limit_is_kept_and_the_oldest_go_first(call: str, limit: int, small: JobManager, table: Table) -> None:
    jobs = [table.job(ALLOWED[call][0]) for _ in range(7)]
    assert CALLS[call](small, type="a", limit=limit) == Changed(limit, 0)
    assert [small.find(job) != job for job in jobs] == [True] * limit + [False] * (7 - limit)


@pytest.mark.parametrize("call", CALLS)
def test_a_dry_run_counts_and_changes_nothing(call: str, small: JobManager, table: Table) -> None:
    jobs = [table.job(status) for status in STATUSES * 4]
    counted = CALLS[call](small, type="a", dry_run=True)
    assert [small.find(job) for job in jobs] == jobs
    assert CALLS[call](small, type="a") == counted


def test_an_empty_table_has_nothing_to_change(manager: JobManager) -> None:
    assert [call(manager, type="a") for call in CALLS.values()] == [Changed(0, 0)] * 3


# -- where a call ends --------------------------------------------------------------------------------------------------


def test_what_is_created_after_the_call_has_begun_is_not_touched(small: JobManager, manager: JobManager, table: Table) -> None:
    """Not even if the clock of the process that creates it is behind, so that its uid is among the older ones."""
    before = manager.create_many([("a", None)] * 6, run_at=LATER)
    created: list[Job] = []

    def create(done: int) -> None:
        if not created:
            created.append(manager.create("a", run_at=LATER))
            table.execute("insert into {}.job (uid, type) values (%s, 'a')", [f"{before[4].uid.int + 1:032x}"])

    assert small.cancel_all(type="a", progress=create) == Changed(6, 0)
    assert manager.find(created[0]) == created[0]
    assert statuses(manager) == ["cancelled"] * 5 + ["pending", "cancelled", "pending"]


# -- locks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_a_locked_job_holds_up_no_other_and_is_skipped_if_it_stays_locked(
    call: str, manager: JobManager, table: Table, database_url: str, schema: str
) -> None:
    jobs = [table.job(ALLOWED[call][0]) for _ in range(3)]
    with psycopg.connect(database_url) as theirs:
        theirs.execute(sql.SQL("select from {}.job where uid = %s for update").format(sql.Identifier(schema)), [jobs[1].uid])
        answers: list[Changed] = []
        thread = threading.Thread(target=lambda: answers.append(CALLS[call](manager, type="a")))
        thread.start()
        until(lambda: answers)  # and not when the other transaction ends
    thread.join()
    assert answers == [Changed(2, 1)]
    assert [manager.find(job) == job for job in jobs] == [False, True, False]


def test_a_job_that_was_locked_for_a_moment_is_tried_again(
    manager: JobManager, table: Table, database_url: str, schema: str
) -> None:
    jobs = [table.job("pending") for _ in range(3)]
    with psycopg.connect(database_url) as theirs:
        theirs.execute(sql.SQL("select from {}.job where uid = %s for update").format(sql.Identifier(schema)), [jobs[1].uid])
        assert manager.cancel_all(type="a", progress=lambda done: theirs.rollback()) == Changed(3, 0)


def test_a_locked_job_that_matches_no_more_is_not_counted(
    manager: JobManager, table: Table, database_url: str, schema: str
) -> None:
    jobs = [table.job("pending") for _ in range(3)]
    with psycopg.connect(database_url) as theirs:
        theirs.execute(
            sql.SQL("update {}.job set status = 'failed', completed_at = now() where uid = %s").format(sql.Identifier(schema)),
            [jobs[1].uid],
        )
        assert manager.cancel_all(type="a", progress=lambda done: theirs.commit()) == Changed(2, 0)
    assert manager.find(jobs[1]).status == "failed"


# -- transactions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_a_call_in_a_callers_transaction_is_rolled_back_as_a_whole(
    call: str, small: JobManager, table: Table, database_url: str
) -> None:
    jobs = [table.job(ALLOWED[call][0]) for _ in range(8)]
    with psycopg.connect(database_url) as theirs:
        assert CALLS[call](small, type="a", connection=theirs) == Changed(8, 0)
        theirs.rollback()
        assert [small.find(job) for job in jobs] == jobs
        assert CALLS[call](small, type="a", connection=theirs) == Changed(8, 0)
    assert all(small.find(job) != job for job in jobs)


# -- unique keys --------------------------------------------------------------------------------------------------------


def test_of_the_failed_jobs_with_one_key_one_is_retried_and_none_if_another_has_it(small: JobManager, table: Table) -> None:
    jobs = [table.job("failed") for _ in range(10)]
    for key, places in {"twice": (0, 9), "held": (4,), "once": (5,)}.items():
        for place in places:
            table.execute("update {}.job set unique_key = %s where uid = %s", [key, jobs[place].uid])
    table.execute("update {}.job set unique_key = 'held' where uid = %s", [table.job("pending").uid])
    assert small.retry_all(type="a", dry_run=True) == Changed(8, 2)
    assert small.retry_all(type="a") == Changed(8, 2)
    left = [place for place, job in enumerate(jobs) if small.find(job).status == "failed"]
    assert left == [4, 9]


def test_a_key_that_is_taken_at_that_moment_costs_one_job_and_not_its_batch(
    manager: JobManager, table: Table, database_url: str, schema: str
) -> None:
    """The statement waits for the insertion of another transaction, and then fails as a whole: the jobs are taken singly."""
    jobs = [table.job("failed") for _ in range(4)]
    table.execute("update {}.job set unique_key = 'k' where uid = %s", [jobs[2].uid])
    answers: list[Changed] = []
    with psycopg.connect(database_url) as theirs:
        insert = sql.SQL("insert into {}.job (type, unique_key) values ('b', 'k')").format(sql.Identifier(schema))
        theirs.execute(insert)
        thread = threading.Thread(target=lambda: answers.append(manager.retry_all(type="a")))
        thread.start()
        until(lambda: table.execute("select 1 from pg_locks where not granted"))
    thread.join(30)
    assert answers == [Changed(3, 1)]
    assert [manager.find(job).status for job in jobs] == ["pending", "pending", "failed", "pending"]


# -- beside a manager at work -------------------------------------------------------------------------------------------


def test_running_jobs_are_asked_and_pending_ones_are_told(manager: JobManager) -> None:
    begun, told = threading.Semaphore(0), []
    asked: list[bool] = []

    def wait(job: Job) -> None:
        begun.release()
        assert current_run().wait(30)
        asked.append(current_run().cancelled)

    manager.set_handler("a", wait)
    manager.on_done(None, lambda job: told.append(str(job.status)))
    manager.start(workers=3)
    manager.create_many([("a", None)] * 3)
    for _ in range(3):
        assert begun.acquire(timeout=30)
    manager.create_many([("a", None)] * 300, run_at=LATER)
    assert manager.cancel_all(type="a") == Changed(303, 0)
    until(lambda: len(told) == 303)
    assert told.count("cancelled") == 300
    assert asked == [True] * 3


@pytest.mark.parametrize("call", CALLS)
def test_a_call_and_a_drain_end_each_job_once_and_break_off_neither(call: str, manager: JobManager, small: JobManager) -> None:
    ran: list[str] = []
    manager.set_handler("a", lambda job: ran.append(str(job.uid)))
    manager.create_many([("a", {"n": n}) for n in range(3_000)])
    manager.start(workers=4)
    done = 0
    while manager.fetch_all("pending", limit=1):
        changed = CALLS[call](small, type="a", **({"limit": 50} if call == "delete" else {}))
        done += changed.done
    until(lambda: not manager.fetch_all("running", limit=1))
    left = manager.fetch_all(limit=10_000)
    assert len(ran) == len(set(ran)), "no job ran twice"
    if call == "cancel":
        cancelled = {str(job.uid) for job in left if job.status == "cancelled"}
        assert cancelled.isdisjoint(ran)
        assert len(cancelled) + len(ran) == 3_000
    else:
        assert len(ran) == 3_000
    if call == "delete":
        assert len(left) == 3_000 - done
    assert manager.health().ok


# -- bad input ----------------------------------------------------------------------------------------------------------

WRONG: list[tuple[Callable[[JobManager], object], type[Exception], str]] = [
    (lambda m: m.cancel_all(), TypeError, "cancel_all would take all jobs: name at least one filter"),
    (lambda m: m.retry_all(limit=7), TypeError, "retry_all would take all jobs: name at least one filter"),
    (lambda m: m.delete_all(dry_run=True), TypeError, "delete_all would take all jobs: name at least one filter"),
    (lambda m: m.cancel_all(status="failed"), ValueError, "cancel_all changes jobs that are pending or running, not 'failed'"),
    (lambda m: m.retry_all(status="completed"), ValueError, "and with completed=True completed ones, not 'completed'"),
    (
        lambda m: m.delete_all(status="nonsense"),
        ValueError,
        "delete_all changes jobs that are completed or failed or cancelled",
    ),
    (lambda m: m.cancel_all(type=7), TypeError, "type must be a str, not int"),
    (lambda m: m.cancel_all(queue=""), ValueError, "queue must have 1 to 255 characters"),
    (lambda m: m.cancel_all(tags="x"), TypeError, "tags must be a dict of names to str, int or bool, or None, not str"),
    (lambda m: m.cancel_all(tags={}), ValueError, "tags is empty: name at least one"),
    (lambda m: m.cancel_all(tags={"a": 1.5}), ValueError, "tags['a'] must be a str, an int or a bool, not float"),
    (lambda m: m.cancel_all(tags={7: "a"}), ValueError, "a tag's name must be a str, not int: 7"),
    (lambda m: m.cancel_all(error=7), TypeError, "error must be a str, not int"),
    (lambda m: m.cancel_all(error=""), ValueError, "error must be text"),
    (lambda m: m.cancel_all(created_before="x"), TypeError, "created_before must be an aware datetime, not str"),
    (lambda m: m.cancel_all(ended_after=datetime(2030, 1, 1)), ValueError, "ended_after must say its time zone"),
    (lambda m: m.cancel_all(type="a", limit=0), ValueError, "limit must be 1 or more, not 0"),
    (lambda m: m.cancel_all(type="a", limit=1.0), TypeError, "limit must be an int or None, not float"),
    (lambda m: m.cancel_all(type="a", dry_run=1), TypeError, "dry_run must be True or False, not int"),
    (lambda m: m.cancel_all(type="a", progress=7), TypeError, "progress must be callable or None, not int"),
    (lambda m: m.cancel_all(type="a", reason=7), TypeError, "reason must be a str or None, not int"),
    (lambda m: m.retry_all(type="a", attempts=0), ValueError, "attempts must be between 1 and 10000"),
    (lambda m: m.retry_all(type="a", completed=1), TypeError, "completed must be True or False, not int"),
    (lambda m: m.delete_all(type="a", connection=7), TypeError, "connection must be a Connection or Cursor of psycopg 3"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=[f"{n} {one[2]}" for n, one in enumerate(WRONG)])
def test_wrong_arguments_are_refused_before_anything_is_sent(
    call: Callable[[JobManager], object], kind: type[Exception], message: str, make_manager: MakeManager
) -> None:
    with pytest.raises(kind) as caught:
        call(make_manager("postgresql://localhost:1/nowhere"))
    assert message in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
def test_between_two_batches_a_call_leaves_the_server_to_others(call: str, make_manager: MakeManager, table: Table) -> None:
    patient = make_manager(_tuning=Tuning(bulk_most=3, bulk_look=5, bulk_rest=100.0))  # a batch takes a millisecond at least
    for _ in range(7):
        table.job(ALLOWED[call][0])
    times: list[float] = []
    assert CALLS[call](patient, type="a", progress=lambda done: times.append(time.monotonic())).done == 7
    assert len(times) >= 3
    assert all(later - earlier > 0.05 for earlier, later in itertools.pairwise(times))
