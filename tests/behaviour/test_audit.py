"""`manager.acting_as`: which calls leave a row in the audit, in which transaction, and how long it is kept."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from steve import JobManager, NotPossible
from steve._model.tuning import Tuning
from tests.behaviour.test_control import CALLS, Table
from tests.conftest import until

MakeManager = Callable[..., JobManager]


@pytest.fixture
def table(conn: psycopg.Connection, schema: str, manager: JobManager) -> Table:
    return Table(conn, schema, manager)


def audit(table: Table) -> list[Any]:
    return table.execute("select actor, action, filter, done from {}.audit order by at")


STATUS = {"cancel": "pending", "retry": "failed", "reschedule": "pending", "set_priority": "pending", "delete": "failed"}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_leaves_a_row_with_its_actor_and_its_job(call: str, manager: JobManager, table: Table) -> None:
    job = table.job(STATUS[call])
    with manager.acting_as("ada"):
        CALLS[call](manager, job)
    assert audit(table) == [("ada", call, {"job": str(job.uid)}, 1)]


def test_a_call_outside_leaves_no_row_and_neither_does_one_that_changes_nothing(manager: JobManager, table: Table) -> None:
    with manager.acting_as("ada"):
        with manager.acting_as("bob"):
            manager.cancel(table.job("pending"))
        manager.cancel(table.job("pending"))
        with pytest.raises(NotPossible):
            manager.cancel(table.job("failed"))
        assert manager.cancel("00000000-0000-0000-0000-000000000007") is None
        assert manager.cancel_all(type="no such").done == 0
        assert manager.cancel_all(type="a", dry_run=True).done == 0
    manager.cancel(table.job("pending"))
    assert [row[0] for row in audit(table)] == ["bob", "ada"]


def test_the_actor_of_one_thread_or_manager_is_not_that_of_another(
    manager: JobManager, make_manager: MakeManager, table: Table
) -> None:
    other = make_manager()
    job = table.job("pending")
    with manager.acting_as("ada"):
        thread = threading.Thread(target=lambda: manager.set_priority(job, 1))
        thread.start()
        thread.join()
        other.set_priority(job, 2)
        assert audit(table) == []


def test_a_call_in_many_batches_leaves_one_row_that_counts_them_all(make_manager: MakeManager, table: Table) -> None:
    small = make_manager(_tuning=Tuning(bulk_most=3, bulk_look=5))
    for _ in range(10):
        table.job("pending")
    with small.acting_as("ada"):
        assert small.cancel_all(type="a", tags=None, reason="why").done == 10
        assert small.retry_all(status="cancelled", error="why").done == 10
    assert audit(table) == [
        ("ada", "cancel_all", {"type": "a"}, 10),
        ("ada", "retry_all", {"status": "cancelled", "error": "why"}, 10),
    ]


def test_what_an_interrupted_call_has_changed_is_in_the_audit(make_manager: MakeManager, table: Table) -> None:
    small = make_manager(_tuning=Tuning(bulk_most=3))
    for _ in range(10):
        table.job("pending")

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with small.acting_as("ada"), pytest.raises(KeyboardInterrupt):
        small.cancel_all(type="a", progress=interrupt)
    assert [row[3] for row in audit(table)] == [3]


@pytest.mark.parametrize("autocommit", [False, True])
def test_the_row_is_written_in_the_transaction_of_the_change(
    autocommit: bool, manager: JobManager, table: Table, database_url: str
) -> None:
    job = table.job("pending")
    with psycopg.connect(database_url, autocommit=autocommit) as theirs, manager.acting_as("ada"):
        manager.cancel(job, connection=theirs)
        assert len(audit(table)) == autocommit
        theirs.rollback()
        assert len(audit(table)) == autocommit
        assert (manager.find(job).status == "cancelled") is autocommit


def test_a_prune_is_in_the_audit(manager: JobManager, table: Table) -> None:
    table.job("failed")
    with manager.acting_as("ada"):
        assert manager.prune(older_than=timedelta(0), status="failed") == 1
    ((actor, action, filter, done),) = audit(table)
    assert (actor, action, list(filter["older_than"]), done) == ("ada", "prune", ["failed"], 1)


def test_rows_older_than_90_days_are_deleted_by_one_process(
    make_manager: MakeManager, manager: JobManager, table: Table
) -> None:
    for days in (89, 91):
        table.execute(
            "insert into {}.audit (at, actor, action, filter, done) values (now() - %s, 'ada', 'cancel', '{{}}', 1)",
            [timedelta(days=days)],
        )
    worker = make_manager(_tuning=Tuning(audit_check=0.05))
    worker.set_handler("a", lambda job: None)
    worker.start()
    until(lambda: len(audit(table)) == 1)
    assert table.execute("select name from {}.duty") == [("prune the audit",)]
