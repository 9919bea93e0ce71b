"""Calls that change jobs, when the connection breaks while they are carried out: what is committed is not carried out twice,
what is not committed is sent again, and the caller gets the answer of the one that counts.

The proxy cuts a connection at a chosen statement. Creates: test_unique.py, tests/engine/claim/test_in_doubt.py.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import Changed, Job, JobManager, OutcomeUnknown, Unavailable
from steve._database.failures import Transient
from steve._database.statements import statements_for
from steve._model.settings import Settings
from steve._model.tuning import Tuning
from tests.behaviour.test_bulk import CALLS as BULK_CALLS
from tests.behaviour.test_control import ALLOWED, CALLS, Table
from tests.chaos.proxy import How, Proxy
from tests.conftest import until

HOWS: list[How] = ["answered", "at once", "late"]


@pytest.fixture
def table(conn: psycopg.Connection, schema: str, manager: JobManager) -> Table:
    return Table(conn, schema, manager)


@pytest.fixture
def cutter(database_url: str) -> Iterator[Proxy]:
    with psycopg.connect(database_url) as connection:
        host, port = connection.info.host, connection.info.port
    if not host.startswith("/") and host not in ("127.0.0.1", "localhost"):
        pytest.skip("the proxy leads to this machine")
    with Proxy(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else port) as proxy:
        yield proxy


@pytest.fixture
def caller(cutter: Proxy, database_url: str, manager: JobManager, make_manager: Callable[..., JobManager]) -> JobManager:
    """A manager whose connections lead through the proxy. It has one already."""
    conninfo = make_conninfo(database_url, host="127.0.0.1", hostaddr="127.0.0.1", port=cutter.port, sslmode="disable")
    caller = make_manager(conninfo, _tuning=Tuning(bulk_most=10))
    assert caller.fetch_all() == []
    return caller


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("what", ["change", "its statement", "commit"])
@pytest.mark.parametrize("call", CALLS)
def test_a_change_that_is_cut_off_is_carried_out_once_and_returned(
    call: str, what: str, how: How, caller: JobManager, manager: JobManager, table: Table, cutter: Proxy
) -> None:
    job = table.job(min(ALLOWED[call]))
    cutter.arm(call if what == "its statement" else what, how, 0.2)
    with caller.acting_as("ada"):
        changed = CALLS[call](caller, job)
    assert cutter.cut.wait(30)
    found = manager.find(job)
    if call == "delete":
        assert (changed, found) == (job, None)
    else:
        assert changed == found != job
    assert table.execute("select action, done from {}.audit") == [(call, 1)]


def test_a_job_that_is_due_now_is_returned_as_pending_even_if_it_ran_before_the_answer(
    caller: JobManager, manager: JobManager, table: Table, cutter: Proxy, make_manager: Callable[..., JobManager]
) -> None:
    ran: list[Job] = []
    make_manager(handlers={"a": ran.append}).start()
    job = manager.create("a", delay=3600)
    cutter.arm("commit", "answered")
    assert caller.reschedule(job, delay=0).status == "pending"
    until(lambda: manager.find(job).status == "completed")
    cutter.arm("commit", "answered")
    assert caller.retry(job, completed=True).status == "pending"
    until(lambda: len(ran) == 2)
    until(lambda: manager.find(job).status == "completed")
    assert len(manager.history(job)) == 2


def test_a_cancel_whose_answer_is_lost_is_told_once(caller: JobManager, manager: JobManager, cutter: Proxy) -> None:
    told: list[Any] = []
    caller.on_done(None, lambda job: told.append(job.uid))
    caller.set_handler("never", lambda job: None)
    caller.start()
    job = manager.create("a")
    cutter.arm("commit", "answered")
    # The settler and the claims have connections through the proxy, too, but send no COMMIT of their own while nothing runs.
    assert caller.cancel(job, "why").status == "cancelled"
    until(lambda: told)
    assert told == [job.uid]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("what", ["its statement", "commit"])
@pytest.mark.parametrize("call", BULK_CALLS)
def test_a_batch_that_is_cut_off_counts_once_and_keeps_to_the_limit(
    call: str, what: str, how: How, caller: JobManager, table: Table, cutter: Proxy
) -> None:
    status = {"cancel": "pending", "retry": "failed", "delete": "completed"}[call]
    jobs = [table.job(status) for _ in range(30)]

    def cut_the_second(done: int) -> None:
        if done == 10:
            cutter.arm(call if what == "its statement" else what, how, 0.2)

    with caller.acting_as("ada"):
        assert BULK_CALLS[call](caller, type="a", limit=25, progress=cut_the_second) == Changed(25, 0)
    assert cutter.cut.wait(30)
    left = {job.uid for job in caller.fetch_all(type="a") if job.status == status}
    # As a rule, the last five. But while the statement that was cut off still holds its jobs, the call takes those behind them.
    assert len(left) == 5
    assert left < {job.uid for job in jobs}
    assert table.execute("select action, done from {}.audit") == [(f"{call}_all", 25)]


def test_a_prune_that_is_cut_off_counts_once(caller: JobManager, table: Table, cutter: Proxy) -> None:
    for _ in range(5):
        table.job("completed")
    cutter.arm("commit", "answered")
    assert caller.prune(older_than=timedelta(0)) == 5


def test_a_change_whose_outcome_nobody_can_tell_in_time_says_so(
    cutter: Proxy, database_url: str, manager: JobManager, make_manager: Callable[..., JobManager], table: Table
) -> None:
    conninfo = make_conninfo(database_url, host="127.0.0.1", hostaddr="127.0.0.1", port=cutter.port, sslmode="disable")
    caller = make_manager(conninfo, create_timeout=4.0)
    job = table.job("pending")
    assert caller.find(job) == job
    cutter.arm("commit", "late", 9.0)  # the transaction is under way for so long
    with pytest.raises(OutcomeUnknown, match="a change was sent: it may have been carried out") as caught:
        caller.cancel(job)
    assert caught.value.uid == job.uid
    assert cutter.cut.wait(30)
    assert manager.find(job).status == "cancelled"


def test_a_change_that_was_never_sent_is_unavailable(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager("host=127.0.0.1 port=1 dbname=x user=x", create_timeout=0.3)
    with pytest.raises(Unavailable):
        manager.cancel("018f0000-0000-7000-8000-000000000000")


# -- the question ---------------------------------------------------------------------------------------------------------


def test_what_became_of_a_transaction(conn: psycopg.Connection, database_url: str, schema: str) -> None:
    checks = statements_for(Settings(schema=schema)).checks
    with psycopg.connect(database_url) as one, psycopg.connect(database_url) as another:
        committed, rolled_back = checks.begin_change(one), checks.begin_change(another)
        for number in (committed, rolled_back):
            with pytest.raises(Transient, match="has not ended yet"):
                checks.is_committed(conn, number)
        one.commit()
        another.rollback()
    assert checks.is_committed(conn, committed)
    assert not checks.is_committed(conn, rolled_back)
    assert not checks.is_committed(conn, str(int(committed) + 1_000_000)), "a promoted standby has not seen it"


def test_a_client_that_falls_silent_in_a_change_is_cut_off_and_others_are_not(database_url: str, schema: str) -> None:
    checks = statements_for(Settings(schema=schema)).checks
    setting = "show idle_in_transaction_session_timeout"
    with psycopg.connect(database_url, autocommit=True) as connection:
        before = connection.execute(setting).fetchone()
        with connection.transaction():
            checks.begin_change(connection)
            assert connection.execute(setting).fetchone() == ("10s",)
        assert connection.execute(setting).fetchone() == before
