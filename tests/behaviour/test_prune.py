"""`manager.prune`: which jobs it deletes with their attempts, that it deletes nothing else, and what may run beside it."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from steve import Job, JobManager, SchemaError, Status
from steve._database.statements import statements_for
from steve._database.statements.jobs import Old
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from tests.conftest import until

DAY = timedelta(days=1)
FINAL = ["completed", "failed", "cancelled"]

END = """
update {}.job set status = %(status)s, completed_at = now() - %(age)s, attempts = 1, lease_no = 1 where uid = any(%(uids)s)
"""
LOG = """
insert into {}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status)
select uid, number, number, 'p', now(), now(), 'error' from {}.job, generate_series(1, 2) as number where uid = any(%s)
"""


WAITS = """
create function {}.wait() returns trigger language plpgsql as
  $$ begin perform pg_advisory_xact_lock_shared(4711); return old; end $$
"""
WAIT_AT = "create trigger wait before delete on {}.job for each row"


class Tables:
    """Shows what is in the tables, and writes jobs that ended in the past."""

    def __init__(self, conn: psycopg.Connection, schema: str, manager: JobManager) -> None:
        self._conn = conn
        self._schema = sql.Identifier(schema)
        self._manager = manager

    def execute(self, query: str, parameters: Any = None) -> list[Any]:
        cursor = self._conn.execute(sql.SQL(query).format(*[self._schema] * query.count("{}")), parameters)
        return cursor.fetchall() if cursor.description else []

    def ended(self, age: timedelta, status: str = "completed", count: int = 1) -> list[Job]:
        """Write so many jobs that ended so long ago, after two attempts."""
        jobs = self._manager.create_many([("past", None)] * count)
        uids = [job.uid for job in jobs]
        self.execute(END, {"status": status, "age": age, "uids": uids})
        self.execute(LOG, [uids])
        return jobs

    def jobs(self) -> set[UUID]:
        return {uid for (uid,) in self.execute("select uid from {}.job")}

    def logged(self) -> set[UUID]:
        return {uid for (uid,) in self.execute("select job_uid from {}.attempt")}


@pytest.fixture
def tables(conn: psycopg.Connection, schema: str, manager: JobManager) -> Tables:
    return Tables(conn, schema, manager)


SMALL_BATCHES = Tuning(prune_most=3)


@pytest.fixture
def pruner(make_manager: Callable[..., JobManager]) -> JobManager:
    """A manager that prunes in small batches."""
    return make_manager(_tuning=SMALL_BATCHES)


@pytest.mark.parametrize("status", FINAL)
def test_jobs_that_ended_long_ago_go_with_their_attempts_and_later_ones_stay(
    status: str, manager: JobManager, tables: Tables
) -> None:
    old = tables.ended(DAY * 31, status, count=2)
    (young,) = tables.ended(DAY * 29, status)
    assert manager.prune(older_than=DAY * 30) == 2
    assert tables.jobs() == tables.logged() == {young.uid}
    assert manager.find(old[0]) is None
    assert manager.history(old[0]) == []
    assert len(manager.history(young)) == 2
    assert manager.prune(older_than=DAY * 30) == 0


def test_what_has_not_ended_stays_however_old_it_is(manager: JobManager, tables: Tables) -> None:
    pending, running = manager.create_many([("a", None)] * 2)
    tables.execute("update {}.job set created_at = '2001-01-01', updated_at = '2001-01-01', run_at = '2001-01-01'")
    tables.execute(
        "update {}.job set status = 'running', process_id = 1, claimed_at = '2001-01-01' where uid = %s", [running.uid]
    )
    tables.ended(timedelta(0))
    assert manager.prune(older_than=timedelta(0)) == 1
    assert tables.jobs() == {pending.uid, running.uid}


def test_nothing_is_deleted_unless_asked(manager: JobManager, tables: Tables) -> None:
    (old,) = tables.ended(DAY * 10_000)
    told: list[Job] = []
    manager.set_handler("a", lambda job: None)
    manager.on_done("a", told.append)
    manager.migrate()
    manager.start()
    manager.create("a")
    until(lambda: told)
    manager.stop()
    assert tables.jobs() == {old.uid, told[0].uid}


def test_many_jobs_go_in_many_batches_wherever_the_old_ones_are(pruner: JobManager, tables: Tables) -> None:
    stay: set[UUID] = set()
    for _ in range(3):  # batches of old ones alone, of young ones alone, and mixed
        tables.ended(DAY * 2, count=4)
        stay |= {job.uid for job in tables.ended(timedelta(0), count=7)}
    assert pruner.prune(older_than=DAY) == 12
    assert tables.jobs() == tables.logged() == stay


def test_a_table_without_jobs_is_pruned_too(manager: JobManager) -> None:
    assert manager.prune(older_than=timedelta(0)) == 0
    assert manager.prune(older_than=timedelta.max) == 0


def test_several_prune_at_once_and_each_job_is_counted_once(make_manager: Callable[..., JobManager], tables: Tables) -> None:
    tables.ended(DAY * 2, count=300)
    counts: list[int] = []
    managers = [make_manager(_tuning=SMALL_BATCHES) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one=one: counts.append(one.prune(older_than=DAY)))  # type: ignore[misc]
        for one in managers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 300
    assert tables.jobs() == tables.logged() == set()


def test_what_was_deleted_before_an_interruption_stays_deleted_and_the_rest_stays(
    pruner: JobManager, tables: Tables, conn: psycopg.Connection
) -> None:
    """Ctrl-C comes while the third batch waits for a lock."""
    jobs = tables.ended(DAY * 2, count=10)
    tables.execute(WAITS)
    tables.execute(WAIT_AT + f" when (old.uid = '{jobs[7].uid}') execute function {{}}.wait()")
    waiting = "select from pg_locks where locktype = 'advisory' and not granted and objid = 4711"

    def interrupt() -> None:
        until(lambda: conn.execute(waiting).fetchall())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    conn.execute("select pg_advisory_lock(4711)")
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        pruner.prune(older_than=DAY)
    interrupter.join()
    conn.execute("select pg_advisory_unlock(4711)")
    assert tables.jobs() == tables.logged() == {job.uid for job in jobs[6:]}
    assert pruner.prune(older_than=DAY) == 4


@pytest.fixture
def other(database_url: str) -> Iterator[psycopg.Connection]:
    """Another session, which is in a transaction."""
    with psycopg.connect(database_url) as connection:
        yield connection


def test_what_another_session_holds_is_left_and_not_waited_for(
    manager: JobManager, tables: Tables, other: psycopg.Connection, schema: str
) -> None:
    held, free = tables.ended(DAY * 2, "failed", count=2)
    change = "update {}.job set status = 'pending', completed_at = null where uid = %s"
    other.execute(sql.SQL(change).format(sql.Identifier(schema)), [held.uid])
    assert manager.prune(older_than=DAY) == 1
    other.commit()  # an administrator tries it again
    assert tables.jobs() == {held.uid}
    assert free.uid not in tables.jobs()
    assert manager.prune(older_than=DAY) == 0
    assert manager.find(held).status == Status.PENDING  # type: ignore[union-attr]


def test_no_claim_waits_for_a_prune(manager: JobManager, tables: Tables, other: psycopg.Connection, schema: str) -> None:
    """A batch has been deleted and is not committed, so that all its locks are held."""
    tables.ended(DAY * 2, count=10)
    told: list[Job] = []
    manager.set_handler("a", lambda job: None)
    manager.on_done("a", told.append)
    manager.start()
    manager.create("a")
    statements = statements_for(Settings(schema=schema))
    assert statements.jobs.prune_jobs(other, Old(dict.fromkeys(FINAL, DAY)), None, 1_000).deleted == 10
    manager.create_many([("a", None)] * 10)
    until(lambda: len(told) == 11)
    other.rollback()
    assert len(tables.jobs()) == 21


@pytest.mark.parametrize(
    ("older_than", "error", "message"),
    [
        (30, TypeError, "older_than must be a datetime.timedelta, not int"),
        (None, TypeError, "older_than must be a datetime.timedelta, not NoneType"),
        ("30d", TypeError, "older_than must be a datetime.timedelta, not str"),
        (timedelta(microseconds=-1), ValueError, "older_than must be 0 or more, not datetime.timedelta("),
    ],
)
def test_what_is_no_age_is_refused_before_anything_is_sent(older_than: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        JobManager("host=127.0.0.1 port=1").prune(older_than=older_than)
    assert message in str(caught.value)


def test_without_tables_there_is_nothing_to_prune_and_the_error_says_so(make_manager: Callable[..., JobManager]) -> None:
    with pytest.raises(SchemaError, match="is missing"):
        make_manager().prune(older_than=DAY)


# -- by status and type, and by itself ----------------------------------------------------------------------------------


def test_a_prune_may_be_of_one_status_and_one_type(manager: JobManager, tables: Tables) -> None:
    completed, failed, other = (tables.ended(DAY, status)[0] for status in ("completed", "failed", "failed"))
    tables.execute("update {}.job set type = 'other' where uid = %s", [other.uid])
    assert manager.prune(older_than=timedelta(0), status="failed", type="past") == 1
    assert tables.jobs() == tables.logged() == {completed.uid, other.uid}
    assert manager.prune(older_than=timedelta(0), status=Status.COMPLETED) == 1
    assert manager.prune(older_than=timedelta(0), type="other") == 1
    assert failed.uid not in tables.jobs()


@pytest.mark.parametrize(
    ("keywords", "kind", "message"),
    [
        ({"status": "pending"}, ValueError, "status must be one of completed, failed, cancelled or None, not 'pending'"),
        ({"status": 7}, ValueError, "status must be one of completed, failed, cancelled or None, not 7"),
        ({"type": ""}, ValueError, "type must have 1 to 255 characters, not 0"),
        ({"type": 7}, TypeError, "type must be a str, not int"),
    ],
)
def test_a_prune_refuses_what_is_no_final_status_or_no_type(
    keywords: dict[str, Any], kind: type[Exception], message: str, make_manager: Callable[..., JobManager]
) -> None:
    with pytest.raises(kind) as caught:
        make_manager("postgresql://localhost:1/nowhere").prune(older_than=DAY, **keywords)
    assert message in str(caught.value)


PRUNES = {"completed": DAY, "failed": DAY * 30}


def make_old(tables: Tables, status: str, age: timedelta, count: int = 1) -> set[UUID]:
    """Jobs that were created so long ago, too."""
    uids = {job.uid for job in tables.ended(age, status, count)}
    tables.execute("update {}.job set created_at = now() - %s where uid = any(%s)", [age, list(uids)])
    return uids


def test_a_manager_prunes_by_status_while_it_runs(make_manager: Callable[..., JobManager], tables: Tables) -> None:
    stay = (
        make_old(tables, "failed", DAY * 29, 4)
        | make_old(tables, "completed", DAY / 2)
        | make_old(tables, "cancelled", DAY * 99)
    )
    make_old(tables, "completed", DAY * 1.1, 9)
    make_old(tables, "failed", DAY * 31, 5)
    managers = [
        make_manager(prune=PRUNES, _tuning=Tuning(prune_most=3, prune_every=0.2, scan_check=0.02, prune_turn=0.001))
        for _ in range(3)
    ]
    for one in managers:
        one.set_handler("none", lambda job: None)
        one.start()
    until(lambda: tables.jobs() == stay)
    assert tables.logged() == stay
    late = make_old(tables, "completed", DAY * 2)
    until(lambda: not late & tables.jobs())
    assert tables.jobs() == stay


def test_one_process_at_a_time_prunes(
    make_manager: Callable[..., JobManager], tables: Tables, conn: psycopg.Connection, schema: str
) -> None:
    old = make_old(tables, "completed", DAY * 2)
    turns = statements_for(Settings(schema=schema)).audit
    every = timedelta(seconds=4)  # on a busy machine, some time may pass between two calls of this test
    mine = turns.take_turn(conn, "prune", every)  # plays a process that prunes at this moment
    assert mine is not None
    pruner = make_manager(prune=PRUNES, _tuning=Tuning(prune_every=every.total_seconds() / 0.9, scan_check=0.01))
    pruner.set_handler("none", lambda job: None)
    pruner.start()
    begun = time.monotonic()
    while time.monotonic() < begun + 5:
        mine = turns.take_turn(conn, "prune", every, mine)
        assert mine is not None, "kept"
        assert tables.jobs() == old
    until(lambda: not tables.jobs())  # that process is dead: it keeps the turn no more
    assert turns.take_turn(conn, "prune", every, mine) is None


def test_a_young_table_is_not_walked_to_its_end(manager: JobManager, tables: Tables) -> None:
    make_old(tables, "completed", DAY * 2, 5)
    tables.ended(timedelta(0), count=5)
    statements = statements_for(Settings(schema=tables._schema._obj[0]))
    old = Old({"completed": DAY})
    first = statements.jobs.prune_jobs(tables._conn, old, None, 4)
    second = statements.jobs.prune_jobs(tables._conn, old, first.last, 4)
    assert [(one.deleted, one.is_young) for one in (first, second)] == [(4, False), (1, True)]


@pytest.mark.parametrize(
    ("prune", "kind", "message"),
    [
        ("completed", TypeError, "prune must be a dict such as"),
        ({}, ValueError, "prune is empty: name at least one status"),
        ({"pending": DAY}, ValueError, "prune: a status must be one of completed, failed, cancelled, not 'pending'"),
        ({"failed": 7}, TypeError, "prune['failed'] must be a datetime.timedelta, not int"),
        ({"failed": -DAY}, ValueError, "prune['failed'] must be 0 or more"),
    ],
)
def test_the_setting_names_final_statuses_and_ages(prune: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        JobManager("postgresql://localhost:1/nowhere", prune=prune)  # type: ignore[arg-type]
    assert message in str(caught.value)
