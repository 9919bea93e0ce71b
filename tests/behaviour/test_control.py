"""Calls that change one job: cancel, retry, reschedule, set_priority, delete. What each does to a job of each status, what it
refuses, and what it does within a caller's transaction."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, NotPossible, Status, current_run
from tests.conftest import until

MakeManager = Callable[..., JobManager]

BECOME = """
update {}.job
set status = %(status)s::text, completed_at = now(), attempts = 1, lease_no = 1, claimed_at = now(), started_at = now(),
  process = case when %(status)s::text = 'completed' then 'host:1' end,
  error = case when %(status)s::text = 'failed' then 'E: no' end
where uid = %(uid)s
"""
RUNS = (
    "update {}.job set status = 'running', process_id = 7, claimed_at = now(), attempts = 1, lease_no = 1 where uid = %(uid)s"
)
FINAL = ["completed", "failed", "cancelled"]


class Table:
    """Writes and reads rows of the table job past the manager."""

    def __init__(self, conn: psycopg.Connection, schema: str, manager: JobManager) -> None:
        self._conn = conn
        self._schema = sql.Identifier(schema)
        self._manager = manager

    def execute(self, query: str, parameters: Any = None) -> list[Any]:
        cursor = self._conn.execute(sql.SQL(query).format(*[self._schema] * query.count("{}")), parameters)
        return cursor.fetchall() if cursor.description else []

    def job(self, status: str, **keywords: Any) -> Job:
        """A job of this status."""
        job = self._manager.create("a", {"n": 1}, **keywords)
        if status == "running":
            self.execute(RUNS, {"uid": job.uid})
        elif status != "pending":
            self.execute(BECOME, {"status": status, "uid": job.uid})
        return self._manager.find(job)

    def column(self, job: Job, name: str) -> Any:
        ((value,),) = self.execute(f"select {name} from {{}}.job where uid = %s", [job.uid])
        return value


@pytest.fixture
def table(conn: psycopg.Connection, schema: str, manager: JobManager) -> Table:
    return Table(conn, schema, manager)


CALLS: dict[str, Callable[..., Any]] = {
    "cancel": lambda manager, job, **more: manager.cancel(job, **more),
    "retry": lambda manager, job, **more: manager.retry(job, **more),
    "reschedule": lambda manager, job, **more: manager.reschedule(job, delay=60, **more),
    "set_priority": lambda manager, job, **more: manager.set_priority(job, 7, **more),
    "delete": lambda manager, job, **more: manager.delete(job, **more),
}
ALLOWED = {
    "cancel": {"pending", "running"},
    "retry": {"failed", "cancelled"},
    "reschedule": {"pending"},
    "set_priority": {"pending"},
    "delete": set(FINAL),
}
STATUSES = ["pending", "running", *FINAL]


# -- which call changes what --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_changes_jobs_of_its_statuses_and_refuses_all_others(
    call: str, status: str, manager: JobManager, table: Table
) -> None:
    job = table.job(status)
    if status in ALLOWED[call]:
        changed = CALLS[call](manager, job)
        assert changed.uid == job.uid
        assert manager.find(job) == (None if call == "delete" else changed)
        assert changed == job or call != "delete", "a deleted job is returned as it was"
        return
    with pytest.raises(NotPossible, match=rf"{call}: job {job.uid} is {status}: ") as caught:
        CALLS[call](manager, job)
    assert caught.value.job == job
    assert manager.find(job) == job


@pytest.mark.parametrize("call", CALLS)
def test_a_call_about_a_job_that_does_not_exist_returns_none(call: str, manager: JobManager) -> None:
    assert CALLS[call](manager, uuid4()) is None


@pytest.mark.parametrize("given", ["a Job", "its uid", "its text"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_takes_a_job_its_uid_or_its_text(call: str, given: str, manager: JobManager, table: Table) -> None:
    job = table.job(min(ALLOWED[call]))
    assert CALLS[call](manager, {"a Job": job, "its uid": job.uid, "its text": str(job.uid)}[given]).uid == job.uid


@pytest.mark.parametrize("call", CALLS)
def test_a_call_in_a_callers_transaction_is_rolled_back_with_it(
    call: str, manager: JobManager, table: Table, database_url: str
) -> None:
    job = table.job(min(ALLOWED[call]))
    with psycopg.connect(database_url) as theirs:
        changed = CALLS[call](manager, job, connection=theirs)
        assert manager.find(job, connection=theirs) == (None if call == "delete" else changed)
        assert manager.find(job) == job, "others do not see it before the commit"
        theirs.rollback()
        assert manager.find(job) == job
        CALLS[call](manager, job, connection=theirs.cursor())
        theirs.commit()
    assert manager.find(job) != job


@pytest.mark.parametrize("call", CALLS)
def test_a_refused_call_leaves_the_callers_transaction_usable(
    call: str, manager: JobManager, table: Table, database_url: str
) -> None:
    job = table.job(next(status for status in STATUSES if status not in ALLOWED[call]))
    with psycopg.connect(database_url) as theirs:
        mine = manager.create("mine", connection=theirs)
        with pytest.raises(NotPossible):
            CALLS[call](manager, job, connection=theirs)
    assert manager.find(mine) is not None


def test_what_a_transaction_has_written_is_found_on_its_connection_only(manager: JobManager, database_url: str) -> None:
    with psycopg.connect(database_url) as theirs:
        job = manager.create("a", connection=theirs)
        assert manager.find(job, connection=theirs) == job
        assert manager.history(job, connection=theirs) == []
        assert manager.fetch_all(connection=theirs) == [job]
        assert manager.find(job) is None
        assert manager.fetch_all() == []


def test_the_drivers_errors_come_through_unchanged_on_a_callers_connection(
    manager: JobManager, table: Table, database_url: str
) -> None:
    job = table.job("pending")
    with psycopg.connect(database_url) as theirs:
        theirs.execute("set transaction read only")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            manager.cancel(job, connection=theirs)


# -- cancel -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reason", "error"), [(None, "Cancelled"), ("ada said so", "Cancelled: ada said so")])
def test_a_pending_job_is_cancelled_at_once_and_says_why(
    reason: str | None, error: str, manager: JobManager, table: Table
) -> None:
    job = manager.cancel(table.job("pending"), reason)
    assert (job.status, job.error, job.attempts, job.cancel_asked_at) == (Status.CANCELLED, error, 0, None)
    assert job.completed_at == job.updated_at
    assert manager.history(job) == []


def test_a_running_job_goes_on_and_is_marked_and_the_first_reason_stays(manager: JobManager, table: Table) -> None:
    job = manager.cancel(table.job("running"), "first")
    assert (job.status, job.error, job.completed_at) == (Status.RUNNING, None, None)
    assert job.cancel_asked_at is not None
    again = manager.cancel(job, "second")
    assert again.cancel_asked_at == job.cancel_asked_at
    assert table.column(job, "cancel_reason") == "first"


def test_a_cancelled_job_never_runs(manager: JobManager) -> None:
    ran: list[str] = []
    manager.set_handler("a", lambda job: ran.append(job.payload["name"]))
    cancelled = manager.create("a", {"name": "cancelled"}, priority=10)
    manager.cancel(cancelled)
    last = manager.create("a", {"name": "last"})
    manager.start()
    until(lambda: manager.find(last).status == "completed")
    assert ran == ["last"]
    assert manager.find(cancelled).status == "cancelled"


@pytest.mark.parametrize("notify", [True, False])
def test_a_handler_sees_that_another_process_asked_to_cancel(
    notify: bool, make_manager: MakeManager, manager: JobManager
) -> None:
    begun, seen = threading.Event(), threading.Event()
    worker = make_manager(notify=notify, heartbeat=0.2, lease=5.0, poll_interval=0.1)

    def wait(job: Job) -> str:
        begun.set()
        assert not current_run().cancelled
        assert current_run().wait(30)
        if current_run().cancelled:
            seen.set()
        return "returned all the same"

    worker.set_handler("a", wait)
    worker.start()
    job = manager.create("a")
    assert begun.wait(30)
    assert manager.cancel(job).status == "running"
    assert seen.wait(30)
    until(lambda: worker.find(job).status != "running")


def test_the_signal_is_about_one_run_and_no_later_one(manager: JobManager, gate: threading.Event) -> None:
    seen: list[bool] = []

    def handle(job: Job) -> None:
        if job.payload["wait"]:
            assert current_run().wait(30)
        seen.append(current_run().cancelled)

    manager.set_handler("a", handle)
    manager.start(workers=1)
    first = manager.create("a", {"wait": True})
    until(lambda: manager.find(first).status == "running")
    manager.cancel(first)
    second = manager.create("a", {"wait": False})
    until(lambda: manager.find(second).status == "completed")
    assert seen == [True, False]


def test_a_cancel_that_is_rolled_back_is_not_heard_of(manager: JobManager, gate: threading.Event, database_url: str) -> None:
    answers: list[bool] = []

    def handle(job: Job) -> None:
        assert gate.wait(30)
        answers.append(current_run().cancelled)

    manager.set_handler("a", handle)
    manager.start()
    job = manager.create("a")
    until(lambda: manager.find(job).status == "running")
    with psycopg.connect(database_url) as theirs:
        assert manager.cancel(job, connection=theirs).cancel_asked_at is not None
        theirs.rollback()
    assert manager.find(job).cancel_asked_at is None
    gate.set()
    until(lambda: answers)
    assert answers == [False]


def test_a_pending_job_that_is_cancelled_is_told_by_the_process_of_the_call(manager: JobManager) -> None:
    told: list[Job] = []
    successes: list[Job] = []
    manager.set_handler("a", lambda job: None)
    manager.on_done(None, told.append)
    manager.on_success(None, successes.append)
    manager.on_failure(None, successes.append)
    manager.on_attempt(None, lambda job, attempt: successes.append(job))
    manager.start()
    once: list[Job] = []
    job = manager.create("a", {"n": 1}, run_at=datetime.now(UTC) + timedelta(days=1), on_done=once.append)
    cancelled = manager.cancel(job, "no more")
    until(lambda: once)
    assert told == once == [cancelled]
    assert successes == []


def test_nobody_is_told_of_a_cancel_that_a_transaction_may_roll_back(manager: JobManager, database_url: str) -> None:
    told: list[Job] = []
    manager.set_handler("a", lambda job: None)
    manager.on_done(None, told.append)
    manager.start()
    later = datetime.now(UTC) + timedelta(days=1)
    with psycopg.connect(database_url) as theirs:
        manager.cancel(manager.create("a", run_at=later), connection=theirs)
    last = manager.cancel(manager.create("a", run_at=later))
    until(lambda: told)
    assert told == [last]


# -- retry --------------------------------------------------------------------------------------------------------------


def fail(job: Job) -> None:
    raise ValueError("no")


def test_a_retried_job_may_fail_as_often_as_it_was_created_with(manager: JobManager) -> None:
    done: list[Job] = []
    manager.set_handler("a", fail)
    manager.on_done("a", done.append)
    manager.start()
    job = manager.create("a", max_attempts=2, backoff_strategy="none")
    for times in (1, 2, 3):
        until(lambda times=times: len(done) == times)
        assert (done[-1].status, done[-1].attempts, done[-1].max_attempts) == ("failed", 2 * times, 2)
        if times < 3:
            assert manager.retry(job).status == "pending"
    assert [attempt.number for attempt in manager.history(job)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("attempts", [1, 4])
def test_a_retry_may_name_how_often_the_job_may_fail(attempts: int, manager: JobManager) -> None:
    done: list[Job] = []
    manager.set_handler("a", fail)
    manager.on_done("a", done.append)
    manager.start()
    job = manager.create("a", max_attempts=2, backoff_strategy="none")
    until(lambda: len(done) == 1)
    assert manager.retry(job, attempts=attempts).max_attempts == 2, "what was promised stays"
    until(lambda: len(done) == 2)
    assert done[-1].attempts == 2 + attempts
    manager.retry(job)
    until(lambda: len(done) == 3)
    assert done[-1].attempts == 2 + attempts + 2, "the next retry is one of two again"


def test_the_backoff_begins_anew_with_a_retry(manager: JobManager) -> None:
    ended: list[Job] = []
    manager.set_handler("a", fail)
    manager.on_attempt("a", lambda job, attempt: ended.append(job) if attempt.completed_at else None)
    manager.start()
    job = manager.create("a", max_attempts=1, backoff_strategy="exp")
    until(lambda: len(ended) == 1)
    manager.retry(job, attempts=2)
    until(lambda: len(ended) == 2)
    assert ended[-1].run_at - ended[-1].updated_at == timedelta(seconds=2), "after its first failure since then"


def test_a_retry_clears_a_cancel_and_an_expiry_and_what_the_job_became(manager: JobManager, table: Table) -> None:
    job = table.job("failed")
    table.execute(
        "update {}.job set cancel_asked_at = now(), cancel_reason = 'x', expires_at = now() where uid = %s", [job.uid]
    )
    again = manager.retry(job)
    assert (again.status, again.cancel_asked_at, again.expires_at, again.completed_at) == ("pending", None, None, None)
    assert (again.claimed_at, again.error, again.attempts) == (None, "E: no", 1)
    assert table.column(job, "cancel_reason") is None
    assert again.run_at == again.updated_at


def test_a_completed_job_is_retried_only_if_asked_and_its_attempt_stays(manager: JobManager) -> None:
    done: list[Job] = []
    manager.set_handler("a", lambda job: {"by": len(done)})
    manager.on_done("a", done.append)
    manager.start()
    job = manager.create("a")
    until(lambda: done)
    before = manager.history(job)
    with pytest.raises(NotPossible, match="completed=True"):
        manager.retry(job)
    again = manager.retry(job, completed=True)
    assert (again.status, again.result) == ("pending", None)
    until(lambda: len(done) == 2)
    history = manager.history(job)
    assert history[:1] == before
    assert [(attempt.number, attempt.status) for attempt in history] == [(1, "success"), (2, "success")]
    assert manager.find(job).result == {"by": 1}


def test_the_attempt_of_a_retried_job_replaces_a_row_that_was_left_from_another_life(manager: JobManager, table: Table) -> None:
    job = table.job("completed")
    table.execute(
        "insert into {}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status) "
        "values (%s, 1, 9, 'another life', now(), now(), 'error')",
        [job.uid],
    )
    before = manager.history(job)
    manager.retry(job, completed=True)
    assert manager.history(job) == before
    assert [attempt.process for attempt in before] == ["host:1"]


def test_what_died_on_max_crashes_gets_one_more_and_keeps_its_crashes(manager: JobManager, table: Table) -> None:
    job = table.job("failed")
    table.execute("update {}.job set attempts = 3, crashes = 3 where uid = %s", [job.uid])
    again = manager.retry(job)
    assert (again.crashes, table.column(job, "forgiven")) == (3, None)
    ran: list[Job] = []
    manager.set_handler("a", ran.append)
    manager.start()
    until(lambda: manager.find(job).status == "completed")
    assert (manager.find(job).attempts, manager.find(job).crashes) == (4, 3)


@pytest.mark.parametrize("on_theirs", [False, True])
def test_a_job_whose_key_another_one_has_now_is_not_retried(
    on_theirs: bool, manager: JobManager, table: Table, database_url: str
) -> None:
    job, holder = table.job("failed"), table.job("pending")
    table.execute("update {}.job set unique_key = 'k'")
    with psycopg.connect(database_url) as theirs:
        more = {"connection": theirs} if on_theirs else {}
        with pytest.raises(NotPossible, match=rf"unique key 'k', which job {holder.uid} has now \(pending\)") as caught:
            manager.retry(job, **more)
        assert caught.value.job.uid == holder.uid
        manager.cancel(holder, **more)
        assert manager.retry(job, **more).status == "pending"


# -- reschedule, set_priority, delete -----------------------------------------------------------------------------------


def test_a_job_is_due_when_it_is_rescheduled_to(manager: JobManager) -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    job = manager.create("a")
    assert manager.reschedule(job, run_at=at).run_at == at
    for delay in (90, 90.0, timedelta(seconds=90)):
        moved = manager.reschedule(job, delay=delay)
        assert abs(moved.run_at - moved.updated_at - timedelta(seconds=90)) < timedelta(milliseconds=10)
    past = manager.reschedule(job, run_at=datetime(2001, 1, 1, tzinfo=UTC))
    assert past.run_at > moved.updated_at, "a time that is past means now"


def test_a_job_that_is_rescheduled_to_now_runs_at_once(make_manager: MakeManager, manager: JobManager) -> None:
    done: list[Job] = []
    worker = make_manager(poll_interval=3600.0)
    worker.set_handler("a", done.append)
    worker.start()
    job = manager.create("a", run_at=datetime.now(UTC) + timedelta(days=1))
    manager.reschedule(job, delay=0)
    until(lambda: done)


def test_a_job_below_the_watermark_of_its_new_priority_is_found(make_manager: MakeManager, manager: JobManager) -> None:
    """The watermark of that priority has passed the job's due time; without the notification `back` it waits for a scan."""
    done: list[str] = []
    gate = threading.Event()
    worker = make_manager(poll_interval=3600.0)

    def handle(job: Job) -> None:
        if job.payload.get("blocks"):
            assert gate.wait(30)
        done.append(job.payload["name"])

    worker.set_handler("a", handle)
    try:
        worker.start(workers=1)
        manager.create("a", {"name": "blocks", "blocks": True}, priority=50)
        until(lambda: worker.fetch_all("running"))
        old = manager.create("other", {"name": "old"})  # of a type that nobody serves
        manager.create("a", {"name": "new"}, priority=50)
    finally:
        gate.set()
    until(lambda: len(done) == 2)
    manager.set_priority(old, 50)
    worker.set_handler("other", handle)
    until(lambda: len(done) == 3)


def test_jobs_run_in_the_order_of_their_new_priorities(manager: JobManager) -> None:
    done: list[int] = []
    manager.set_handler("a", lambda job: done.append(job.payload["n"]))
    jobs = manager.create_many([("a", {"n": n}) for n in range(5)])
    for n, job in enumerate(jobs):
        assert manager.set_priority(job, n).priority == n
    manager.start(workers=1)
    until(lambda: len(done) == 5)
    assert done == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("status", FINAL)
def test_a_deleted_job_takes_its_attempts_along(status: str, manager: JobManager, table: Table) -> None:
    job, other = table.job(status), table.job(status)
    for one in (job, other):
        table.execute(
            "insert into {}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status) "
            "values (%s, 5, 1, 'p', now(), now(), 'error')",
            [one.uid],
        )
    assert manager.delete(job) == job
    assert table.execute("select job_uid from {}.attempt") == [(other.uid,)]
    assert manager.find(other) == other


# -- races --------------------------------------------------------------------------------------------------------------


def test_a_call_waits_for_another_transaction_and_acts_on_what_it_leaves(
    manager: JobManager, table: Table, database_url: str
) -> None:
    """Here the other one claims the job; the cancel finds it running then."""
    job = table.job("pending")
    answers: list[Job] = []
    with psycopg.connect(database_url) as theirs:
        theirs.execute(sql.SQL(RUNS).format(table._schema), {"uid": job.uid})
        thread = threading.Thread(target=lambda: answers.append(manager.cancel(job)))
        thread.start()
        until(lambda: table.execute("select 1 from pg_locks where not granted"))
    thread.join(30)
    assert (answers[0].status, manager.find(job).status) == ("running", "running")
    assert answers[0].cancel_asked_at is not None


def test_of_two_retries_at_once_one_has_no_effect(manager: JobManager, table: Table) -> None:
    for _ in range(50):
        job = table.job("failed")
        outcomes: list[object] = []

        def retry(job: Job = job, outcomes: list[object] = outcomes) -> None:
            try:
                outcomes.append(manager.retry(job).status)
            except NotPossible as error:
                outcomes.append(error.job.status)

        threads = [threading.Thread(target=retry) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == ["pending", "pending"]
        assert table.column(job, "forgiven") == 1


def test_jobs_that_are_cancelled_while_others_claim_and_settle_them_end_once(manager: JobManager, schema: str) -> None:
    ran: list[str] = []
    manager.set_handler("a", lambda job: ran.append(str(job.uid)))
    manager.start(workers=4)
    cancelled: set[str] = set()
    late: list[str] = []
    jobs = []
    for _ in range(20):
        jobs += manager.create_many([("a", None)] * 100)
        for job in jobs[-100::7]:
            try:
                if manager.cancel(job).status == "cancelled":
                    cancelled.add(str(job.uid))
            except NotPossible as error:
                late.append(str(error.job.status))
    until(lambda: not manager.fetch_all("pending") and not manager.fetch_all("running"))
    assert set(late) <= {"completed"}
    assert len(ran) == len(set(ran))
    ended = {str(job.uid) for job in manager.fetch_all("cancelled", limit=10_000)}
    assert cancelled <= ended, "and besides them those that the manager held, unbegun, when somebody asked"
    assert ended.isdisjoint(ran)
    assert len(ran) + len(ended) == len(jobs)


# -- bad input ----------------------------------------------------------------------------------------------------------

WRONG: list[tuple[Callable[[JobManager, Job], object], type[Exception], str]] = [
    (lambda m, job: m.cancel(7), TypeError, "job must be a Job, its uid or that as a str, not int"),
    (lambda m, job: m.cancel("x"), ValueError, "a job's uid must be a UUID, not 'x'"),
    (lambda m, job: m.cancel(job, 7), TypeError, "reason must be a str or None, not int"),
    (lambda m, job: m.cancel(job, ""), ValueError, "reason must have 1 to 1000 characters, not 0"),
    (lambda m, job: m.cancel(job, "x" * 1001), ValueError, "reason must have 1 to 1000 characters, not 1001"),
    (lambda m, job: m.cancel(job, "a\x00"), ValueError, "reason contains a NUL character or a lone surrogate"),
    (lambda m, job: m.cancel(job, "a\ud800"), ValueError, "reason contains a NUL character or a lone surrogate"),
    (lambda m, job: m.cancel(job, connection="x"), TypeError, "connection must be a Connection or Cursor of psycopg 3"),
    (lambda m, job: m.retry(job, "1"), TypeError, "attempts must be an int or None, not str"),
    (lambda m, job: m.retry(job, True), TypeError, "attempts must be an int or None, not bool"),
    (lambda m, job: m.retry(job, 0), ValueError, "attempts must be between 1 and 10000, not 0"),
    (lambda m, job: m.retry(job, 10_001), ValueError, "attempts must be between 1 and 10000, not 10001"),
    (lambda m, job: m.retry(job, completed=1), TypeError, "completed must be True or False, not int"),
    (lambda m, job: m.reschedule(job), TypeError, "reschedule takes run_at= or delay=, one of the two"),
    (lambda m, job: m.reschedule(job, run_at=datetime.now(UTC), delay=1), TypeError, "reschedule takes run_at= or delay="),
    (lambda m, job: m.reschedule(job, run_at=1), TypeError, "run_at must be an aware datetime, not int"),
    (lambda m, job: m.reschedule(job, run_at=datetime(2030, 1, 1)), ValueError, "run_at must say its time zone"),
    (lambda m, job: m.reschedule(job, run_at=datetime.max.replace(tzinfo=UTC)), ValueError, "before the year 9999"),
    (lambda m, job: m.reschedule(job, delay="1"), TypeError, "delay must be seconds or a datetime.timedelta, not str"),
    (lambda m, job: m.reschedule(job, delay=True), TypeError, "delay must be seconds or a datetime.timedelta, not bool"),
    (lambda m, job: m.reschedule(job, delay=-1), ValueError, "delay must be between 0 and 3153600000 seconds"),
    (lambda m, job: m.reschedule(job, delay=float("nan")), ValueError, "delay must be between 0 and"),
    (lambda m, job: m.reschedule(job, delay=timedelta.max), ValueError, "delay must be between 0 and"),
    (lambda m, job: m.set_priority(job, 1.0), TypeError, "priority must be an int, not float"),
    (lambda m, job: m.set_priority(job, True), TypeError, "priority must be an int, not bool"),
    (lambda m, job: m.set_priority(job, 101), ValueError, "priority must be between -100 and 100"),
    (lambda m, job: m.acting_as(7).__enter__(), TypeError, "actor must be a str, not int"),
    (lambda m, job: m.acting_as("").__enter__(), ValueError, "actor must have 1 to 255 characters"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_wrong_arguments_are_refused_before_anything_is_sent(
    call: Callable[[JobManager, Job], object], kind: type[Exception], message: str, make_manager: MakeManager
) -> None:
    nowhere = make_manager("postgresql://localhost:1/nowhere")
    job = Job(*[None] * 6, *["x"] * 12)  # type: ignore[arg-type]
    with pytest.raises(kind) as caught:
        call(nowhere, job)
    assert message in str(caught.value)
