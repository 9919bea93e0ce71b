"""A real failover under load: the primary crashes, its synchronous standby is promoted, and no acknowledged job is lost."""

import threading
from collections.abc import Iterator

import pytest

from steve import Job, JobManager, Status, SteveError
from tests.conftest import until
from tests.pair import Pair, pair


def status(manager: JobManager, job: Job) -> Status | None:
    found = manager.find(job)
    return found and found.status


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    with pair(synchronous=True) as servers:
        yield servers


def test_what_was_acknowledged_before_a_failover_completes_after_it(servers: Pair) -> None:
    manager = JobManager(servers.conninfo(), lambda job: {"n": job.payload["n"]}, schema="failover")
    acknowledged: list[Job] = []
    over = threading.Event()

    def create() -> None:
        n = 0
        while not over.is_set():
            n += 1
            try:
                acknowledged.append(manager.create("a", {"n": n}))
            except SteveError:  # OutcomeUnknown, or the new primary was late: not acknowledged
                pass

    creator = threading.Thread(target=create)
    manager.start(2)
    creator.start()
    try:
        until(lambda: len(acknowledged) > 50)
        servers.primary.stop("immediate")
        before = len(acknowledged)
        servers.promote()
        until(lambda: len(acknowledged) > before + 50)
        over.set()
        creator.join()
        until(lambda: not manager.fetch_all(Status.PENDING, limit=1) and not manager.fetch_all(Status.RUNNING, limit=1), 60)
        found = [manager.find(job) for job in acknowledged]
        assert [(job and job.status, job and job.result) for job in found] == [
            (Status.COMPLETED, {"n": job.payload["n"]}) for job in acknowledged
        ]
        successes = [sum(attempt.status == "success" for attempt in manager.history(job)) for job in acknowledged]
        assert successes == [1] * len(acknowledged)
    finally:
        over.set()
        creator.join()
        assert manager.stop(60).complete


def test_those_who_wait_have_their_answers_after_a_failover(servers: Pair) -> None:
    servers.rejoin(rewind=True)
    may_return = threading.Event()
    worker = JobManager(servers.conninfo(), lambda job: may_return.wait(60) and job.payload["n"], schema="failover")
    waiter = JobManager(servers.conninfo(), schema="failover")
    worker.start(2)
    try:
        futures = [waiter.future(job) for job in waiter.create_many([("a", {"n": n}) for n in range(20)])]
        until(lambda: len(waiter.fetch_all(Status.RUNNING)) >= 2)
        servers.primary.stop("immediate")
        servers.promote()
        may_return.set()
        assert [future.result(60).result for future in futures] == list(range(20))
    finally:
        may_return.set()
        waiter.stop()
        assert worker.stop(60).complete


def test_a_primary_that_turns_read_only_is_left_for_the_new_one(servers: Pair) -> None:
    """The connections to the old primary stay open and report SQLSTATE 25006. Each is dropped, and the next try finds the new
    primary."""
    servers.rejoin(rewind=True)
    manager = JobManager(servers.conninfo(), lambda job: {"n": job.payload["n"]}, schema="failover")
    manager.start(2)
    try:
        first = manager.create("a", {"n": 1})
        until(lambda: status(manager, first) is Status.COMPLETED)
        servers.demote()
        servers.promote()
        second = manager.create("a", {"n": 2})
        until(lambda: status(manager, second) is Status.COMPLETED)
    finally:
        assert manager.stop(60).complete
