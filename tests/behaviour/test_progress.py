"""What a run says of how far it is, and where that is seen."""

import decimal
import threading
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import psycopg
import pytest

from steve import Job, JobManager, Progress, Retry, Run, Status, current_run
from steve._model.tuning import Tuning
from tests.behaviour.test_logs import ended, lose
from tests.conftest import until

MakeManager = Callable[..., JobManager]

SOON = Tuning(progress_every=0.05, scan_check=0.02)
NEVER = Tuning(progress_every=3_600.0)
"""Only the settler writes, at the end of a run."""


def shown(progress: Progress | None) -> tuple[float, float | None, str | None] | None:
    return None if progress is None else (progress.done, progress.total, progress.note)


def test_others_see_how_far_a_job_is_while_it_runs(make_manager: MakeManager, manager: JobManager) -> None:
    worker = make_manager(_tuning=SOON)
    go_on = threading.Event()

    def handler(job: Job) -> None:
        current_run().progress(0)
        current_run().progress(3, 10, "copying")
        go_on.wait(60)
        current_run().progress(10, 10)

    worker.set_handler("a", handler)
    worker.start()
    job = worker.create("a")
    assert job.progress is None
    until(lambda: shown(find(manager, job).progress) == (3, 10, "copying"))
    running = find(manager, job)
    assert running.progress is not None
    assert running.claimed_at is not None
    assert timedelta(-1) < running.progress.at - running.claimed_at < timedelta(minutes=1)
    assert running.progress.at.tzinfo is not None
    assert manager.fetch_all()[0].progress == running.progress
    cancelled = manager.cancel(job)
    assert cancelled is not None
    assert cancelled.progress == running.progress
    go_on.set()
    assert shown(ended(manager, job).progress) == (10, 10, None), "what was said last is there when the job has ended"


def find(manager: JobManager, job: Job) -> Job:
    found = manager.find(job)
    assert found is not None
    return found


def test_listeners_see_it_and_plain_jobs_have_none(make_manager: MakeManager, manager: JobManager) -> None:
    worker = make_manager(_tuning=NEVER)
    told: dict[str, Any] = {}
    worker.on_done(None, lambda job: told.update({job.type: shown(job.progress)}))
    worker.set_handler("a", lambda job: current_run().progress(1.5, None, "half"))
    worker.set_handler("plain", lambda job: None)
    worker.start()
    job, plain = worker.create("a"), worker.create("plain")
    until(lambda: len(told) == 2)
    assert told == {"a": (1.5, None, "half"), "plain": None}
    assert find(manager, plain).progress is None
    assert shown(find(manager, job).progress) == (1.5, None, "half")


def test_the_progress_of_a_failed_attempt_stays_until_the_next_one_says_something(
    make_manager: MakeManager, manager: JobManager
) -> None:
    worker = make_manager(_tuning=NEVER)
    go_on = threading.Event()

    def handler(job: Job) -> None:
        if job.attempts == 1:
            current_run().progress(7, 10)
            raise Retry(0)
        go_on.wait(60)
        current_run().progress(1, 10)

    worker.set_handler("a", handler)
    worker.start()
    job = worker.create("a")
    until(lambda: find(manager, job).attempts == 2)
    assert shown(find(manager, job).progress) == (7, 10, None)
    go_on.set()
    assert shown(ended(manager, job).progress) == (1, 10, None)
    retried = manager.retry(job, completed=True)
    assert retried is not None
    assert shown(retried.progress) == (1, 10, None)


def test_any_thread_of_the_run_may_say_it_and_after_the_run_it_says_nothing(
    make_manager: MakeManager, manager: JobManager
) -> None:
    worker = make_manager(_tuning=SOON)
    runs: list[Run] = []

    def handler(job: Job) -> None:
        run = current_run()
        runs.append(run)
        thread = threading.Thread(target=run.progress, args=(4, 5))
        thread.start()
        thread.join()

    worker.set_handler("a", handler)
    worker.start()
    job = ended(manager, worker.create("a"))
    runs[0].progress(5, 5)
    worker.stop()
    assert shown(find(manager, job).progress) == (4, 5, None)


def test_an_attempt_that_has_lost_its_job_says_nothing_any_more(
    make_manager: MakeManager, manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    worker = make_manager(_tuning=SOON)
    begun, rescued, said = threading.Event(), threading.Event(), threading.Event()

    def handler(job: Job) -> None:
        run = current_run()
        if job.attempts == 1:
            run.progress(1)
            begun.set()
            rescued.wait(60)
            run.progress(99)
            said.set()
        else:
            run.progress(2)
            rescued.set()
            said.wait(60)

    worker.set_handler("a", handler)
    worker.start(2)
    job = worker.create("a")
    begun.wait(30)
    lose(conn, schema, job)
    ended(manager, job)
    worker.stop()
    assert shown(find(manager, job).progress) == (2, None, None)


def test_it_is_no_write_to_the_row_of_the_job(
    make_manager: MakeManager, manager: JobManager, database_url: str, schema: str
) -> None:
    """A transaction that has changed the row of the running job holds up nobody's progress, and is held up by none."""
    worker = make_manager(_tuning=SOON)
    go_on = threading.Event()

    def handler(job: Job) -> None:
        current_run().progress(1)
        go_on.wait(60)

    worker.set_handler("a", handler)
    worker.start()
    job = worker.create("a")
    until(lambda: find(manager, job).status is Status.RUNNING)
    with psycopg.connect(database_url) as theirs:
        theirs.execute(f"update {schema}.job set metadata = '{{}}' where uid = %s".encode(), [job.uid])
        until(lambda: shown(find(manager, job).progress) == (1, None, None))
        theirs.execute(f"update {schema}.job set metadata = null where uid = %s".encode(), [job.uid])
    go_on.set()
    ended(manager, job)


@pytest.mark.parametrize(
    ("arguments", "shows"),
    [
        ((1,), (1.0, None, None)),
        ((0, 0), (0.0, 0.0, None)),
        ((-1.5, 1e308, ""), (-1.5, 1e308, "")),
        ((decimal.Decimal("0.5"), Fraction(3, 2)), (0.5, 1.5, None)),
        ((5, 3, "more than all"), (5.0, 3.0, "more than all")),
        ((1, None, "a\0b\ud800 \U0001f600"), (1.0, None, "a\ufffdb\ufffd \U0001f600")),
        ((1, None, "x" * 5_000), (1.0, None, "x" * 999 + "…")),
    ],
)
def test_what_can_be_said(arguments: Any, shows: Any, make_manager: MakeManager, manager: JobManager) -> None:
    worker = make_manager(_tuning=NEVER)
    worker.set_handler("a", lambda job: current_run().progress(*arguments))
    worker.start()
    assert shown(ended(manager, worker.create("a")).progress) == shows


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((float("nan"),), ValueError, "done must be finite, not nan"),
        ((1, float("inf")), ValueError, "total must be finite, not inf"),
        ((10**400,), ValueError, "done is too large"),
        (("1",), TypeError, "done must be a number, not str"),
        ((True,), TypeError, "done must be a number, not bool"),
        ((None,), TypeError, "done must be a number, not NoneType"),
        ((1, b"2"), TypeError, "total must be a number, not bytes"),
        ((1j,), TypeError, "done must be a number, not complex"),
        ((1, 2, 3), TypeError, "note must be a str or None, not int"),
    ],
)
def test_what_cannot(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Run(None, None, None).progress(*arguments)  # type: ignore[arg-type]
