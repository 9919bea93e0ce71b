"""Schedules, as users set them: in code, stored, paused, run by hand; and how a started manager fires them."""

import logging
import pickle
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from steve import InvalidJob, Job, JobManager, NotRunning, SteveError, current_run, grants
from steve._model.tuning import Tuning
from tests.conftest import until

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def ticked() -> threading.Event:
    return threading.Event()


# -- a started manager ----------------------------------------------------------------------------------------------------


def test_a_handler_with_a_crontab_runs_at_its_ticks(manager: JobManager) -> None:
    ticks: list[datetime] = []

    @manager.cron("* * * * * *", "report", {"n": 1}, overlap="allow")
    def report(job: Job) -> None:
        assert job.payload == {"n": 1}
        tick = current_run().scheduled_for
        assert tick is not None
        ticks.append(tick)

    manager.start()
    until(lambda: len(ticks) >= 3)
    manager.pause_schedule("report")
    until(lambda: not manager.fetch_all("pending") and not manager.fetch_all("running"))
    manager.stop()
    ticks.sort()  # several workers note them
    assert ticks == [ticks[0] + number * SECOND for number in range(len(ticks))]
    assert ticks[0].microsecond == 0
    assert datetime.now(UTC) - ticks[-1] < timedelta(seconds=60)
    (schedule,) = manager.schedules()
    assert (schedule.name, schedule.type, schedule.cron, schedule.stored) == ("report", "report", "* * * * * *", False)
    assert schedule.last_run == ticks[-1]
    assert schedule.last_status == "completed"


def test_an_interval_needs_no_crontab(manager: JobManager, ticked: threading.Event) -> None:
    @manager.cron(every=SECOND)
    def often(job: Job) -> None:
        ticked.set()

    with manager:
        assert ticked.wait(20)
    (schedule,) = manager.schedules()
    assert schedule.name == schedule.type == f"{__name__}.{often.__qualname__}"
    assert (schedule.cron, schedule.every, schedule.timezone) == (None, SECOND, "UTC")


def test_a_task_runs_on_a_schedule_with_its_arguments(manager: JobManager) -> None:
    done: list[Any] = []
    heard = threading.Event()

    @manager.cron(every=SECOND, payload={"day": 3})
    @manager.task(name="greet", queue="slow")
    def greet(name: str = "Ada", *, day: int) -> None:
        done.append((name, day, current_run().job.queue))
        heard.set()

    with manager:
        assert heard.wait(20)
    assert done[0] == ("Ada", 3, "slow")


def test_a_schedule_that_another_process_stores_is_fired_at_once_by_a_notification(
    make_manager: Callable[..., JobManager], ticked: threading.Event
) -> None:
    worker = make_manager(handlers={"report": lambda job: ticked.set()})
    with worker:
        until(lambda: worker.health().listening)
        make_manager().set_schedule("every second", "* * * * * *", "report")
        assert ticked.wait(10)


def test_a_schedule_that_is_added_while_the_manager_runs_is_fired(manager: JobManager, ticked: threading.Event) -> None:
    with manager:
        manager.cron("* * * * * *", "late")(lambda job: ticked.set())
        assert ticked.wait(20)


def test_where_no_schedule_exists_the_scanner_looks_once_and_the_thread_sleeps(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    looks: list[str] = []

    def look(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == "look_at_schedules":
            looks.append(threading.current_thread().name)

    threading.setprofile(look)
    try:
        with manager:
            until(lambda: manager.health().listening and looks)
            manager.set_handler("a", lambda job: None)
            job = manager.wait(manager.create("a"))
            assert job.status == "completed"
    finally:
        threading.setprofile(None)
    assert set(looks) == {"steve-scanner"}
    assert len(looks) <= 2  # when it starts, and when it begins to listen


def test_a_manager_that_gets_no_notifications_finds_a_schedule_by_itself(
    make_manager: Callable[..., JobManager], ticked: threading.Event
) -> None:
    worker = make_manager(
        handlers={"report": lambda job: ticked.set()}, notify=False, poll_interval=0.1, _tuning=Tuning(schedule_blind=0.2)
    )
    with worker:
        make_manager(notify=False).set_schedule("every second", "* * * * * *", "report")
        assert ticked.wait(20)


def test_an_outage_delays_ticks_and_ends_no_thread(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str, ticked: threading.Event
) -> None:
    worker = make_manager()
    worker.cron("* * * * * *", "report", overlap="allow")(lambda job: ticked.set())
    with worker:
        assert ticked.wait(20)
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like %s and pid <> pg_backend_pid()",
            [f"%{schema}%schedule%"],
        )
        ticked.clear()
        assert ticked.wait(20)


def test_a_retried_job_keeps_its_tick(manager: JobManager) -> None:
    seen: list[Any] = []
    done = threading.Event()

    @manager.cron("* * * * * *", "flaky", backoff_strategy="none", timezone="Asia/Kolkata")
    def flaky(job: Job) -> None:
        seen.append((job.uid, current_run().scheduled_for))
        if job.attempts == 1:
            raise RuntimeError
        done.set()

    with manager:
        assert done.wait(20)
    assert seen[0] == seen[1]
    assert seen[0][1].utcoffset() == timedelta(hours=5, minutes=30)


def test_a_job_without_a_schedule_has_no_tick(manager: JobManager) -> None:
    seen: list[object] = []
    manager.set_handler("a", lambda job: seen.append(current_run().scheduled_for))
    with manager:
        for metadata in (None, {"_scheduled_for": "soon"}, {"_scheduled_for": 5}, {"_scheduled_for": "2026-01-01T00:00:00"}):
            manager.wait(manager.create("a", metadata=metadata))
    assert seen == [None] * 4
    with pytest.raises(NotRunning):
        _ = current_run().scheduled_for


# -- calls ----------------------------------------------------------------------------------------------------------------


def test_a_stored_schedule_says_what_it_is(manager: JobManager) -> None:
    schedule = manager.set_schedule(
        "nightly", "0  3 * * mon-fri", "report", {"a": [1]}, timezone="Europe/Berlin", catch_up=6 * HOUR, catch_up_latest=True,
        jitter=30, queue="slow", priority=5, max_attempts=7, tags={"team": "ops"}, metadata={"b": 2}, timeout=60,
        expires_in=HOUR,
    )  # fmt: skip
    assert manager.schedules() == [schedule]
    assert (schedule.cron, schedule.every) == ("0 3 * * mon-fri", None)
    assert (schedule.type, schedule.payload, schedule.timezone) == ("report", {"a": [1]}, "Europe/Berlin")
    assert (schedule.catch_up, schedule.catch_up_latest, schedule.overlap, schedule.jitter) == (6 * HOUR, True, "skip", 30.0)
    assert (schedule.stored, schedule.paused, schedule.last_run, schedule.last_job, schedule.last_status) == (
        True, False, None, None, None,
    )  # fmt: skip
    runs = schedule.next_runs(20)
    assert runs[0] == schedule.next_run
    assert {(run.hour, run.minute, run.tzinfo) for run in runs} == {(3, 0, ZoneInfo("Europe/Berlin"))}
    assert {run.isoweekday() for run in runs} == {1, 2, 3, 4, 5}
    assert runs == sorted(set(runs))
    assert runs[0] > datetime.now(UTC) - HOUR
    assert pickle.loads(pickle.dumps(schedule)).next_runs(20) == runs
    assert hash(schedule)

    job = manager.run_now("nightly")
    assert (job.type, job.payload, job.queue, job.priority, job.max_attempts) == ("report", {"a": [1]}, "slow", 5, 7)
    assert (job.tags, job.timeout) == ({"team": "ops"}, 60.0)
    assert job.expires_at is not None
    assert job.expires_at - job.created_at == pytest.approx(HOUR, abs=SECOND)  # type: ignore[call-overload]
    assert job.metadata["_schedule"] == "nightly"
    assert job.metadata["b"] == 2
    tick = datetime.fromisoformat(job.metadata["_scheduled_for"])
    assert abs(tick - job.created_at) < 60 * SECOND
    assert manager.find(job) == job
    (after,) = manager.schedules()
    assert (after.last_job, after.last_status, after.last_run) == (job.uid, "pending", tick)
    manager.delete(manager.cancel(job))
    assert (manager.schedules()[0].last_job, manager.schedules()[0].last_status) == (job.uid, None)


def test_pausing_resuming_and_removing_return_the_schedule(manager: JobManager) -> None:
    manager.set_schedule("a", every=HOUR, type="report")
    paused = manager.pause_schedule("a")
    assert paused.paused_at is not None
    assert paused.next_run is None
    assert len(paused.next_runs()) == 5
    assert manager.pause_schedule("a").paused_at == paused.paused_at
    assert manager.set_schedule("a", every=2 * HOUR, type="report").paused
    resumed = manager.resume_schedule("a")
    assert resumed.next_run == resumed.next_runs(1)[0]
    assert manager.remove_schedule("a") == resumed
    assert manager.remove_schedule("a") is None
    assert manager.schedules() == []


@pytest.mark.parametrize("call", ["pause_schedule", "resume_schedule", "run_now"])
def test_a_schedule_that_does_not_exist_is_named(call: str, manager: JobManager) -> None:
    with pytest.raises(LookupError, match=r"there is no schedule 'nightly': schedules\(\) lists"):
        getattr(manager, call)("nightly")


def test_a_schedule_in_code_can_be_paused_and_run_before_anything_is_started(manager: JobManager) -> None:
    manager.cron("0 3 * * *", "a")(lambda job: None)
    manager.cron("0 3 * * *", "b")(lambda job: None)
    assert [schedule.name for schedule in manager.schedules()] == ["a", "b"]
    assert manager.pause_schedule("a").paused
    assert manager.run_now("b").type == "b"
    assert [schedule.paused for schedule in manager.schedules()] == [True, False]


def test_what_somebody_does_to_schedules_is_in_the_audit(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    with manager.acting_as("ada"):
        manager.set_schedule("a", every=HOUR, type="report")
        manager.set_schedule("a", every=HOUR, type="report")  # changes nothing
        manager.pause_schedule("a")
        manager.resume_schedule("a")
        manager.run_now("a")
        manager.remove_schedule("a")
        manager.remove_schedule("a")
    rows = conn.execute(f"select action, filter, done from {schema}.audit where actor = 'ada' order by at").fetchall()
    actions = ["set_schedule", "pause_schedule", "resume_schedule", "run_now", "remove_schedule"]
    assert rows == [(action, {"schedule": "a"}, 1) for action in actions]


def test_the_terms_of_the_handler_hold_for_the_jobs_of_its_schedule(manager: JobManager) -> None:
    @manager.cron("0 3 * * *", "a")
    @manager.handler("a", queue="slow", max_attempts=9)
    def handle(job: Job) -> None: ...

    manager.cron("0 4 * * *", "a", name="another", queue="fast")(handle)
    jobs = [manager.run_now(name) for name in ("a", "another")]
    assert [(job.queue, job.max_attempts) for job in jobs] == [("slow", 9), ("fast", 9)]


# -- bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, TypeError, "a crontab or every=, one of the two"),
        ({"cron": "0 3 * * *", "every": HOUR}, TypeError, "one of the two"),
        ({"cron": "0 3 * *"}, ValueError, "has 4"),
        ({"cron": "61 3 * * *"}, ValueError, "Bad minute"),
        ({"cron": 3}, TypeError, "cron must be a str"),
        ({"every": 60}, TypeError, "every must be a datetime.timedelta, not int"),
        ({"every": timedelta(seconds=0.5)}, ValueError, "every must be between"),
        ({"every": timedelta(days=367)}, ValueError, "every must be between"),
        ({"cron": "0 3 * * *", "timezone": "Mars/Base"}, ValueError, "no time zone 'Mars/Base'"),
        ({"cron": "0 3 * * *", "timezone": 2}, TypeError, "timezone must be a name"),
        ({"every": HOUR, "catch_up": 60}, TypeError, "catch_up must be a datetime.timedelta"),
        ({"every": HOUR, "catch_up": timedelta()}, ValueError, "catch_up must be between"),
        ({"every": HOUR, "catch_up_latest": True}, ValueError, "catch_up_latest needs catch_up"),
        ({"every": HOUR, "catch_up": HOUR, "catch_up_latest": 1}, TypeError, "catch_up_latest must be"),
        ({"every": HOUR, "catch_up": HOUR, "overlap": "skip"}, ValueError, "does not go with catch_up of all ticks"),
        ({"every": HOUR, "overlap": "queue"}, ValueError, "overlap must be"),
        ({"every": HOUR, "overlap": 1}, ValueError, "overlap must be"),
        ({"every": HOUR, "jitter": -1}, ValueError, "jitter must be between"),
        ({"every": HOUR, "jitter": float("nan")}, ValueError, "jitter must be between"),
        ({"every": HOUR, "jitter": "1"}, TypeError, "jitter must be seconds"),
        ({"every": HOUR, "unique": "a"}, TypeError, "unexpected keyword argument 'unique'"),
        ({"every": HOUR, "payload": [1]}, InvalidJob, "payload must be a dict"),
        ({"every": HOUR, "payload": {"a": {1}}}, InvalidJob, "payload"),
        ({"every": HOUR, "priority": 101}, InvalidJob, "priority must be"),
        ({"every": HOUR, "metadata": {"_schedule": "a"}}, InvalidJob, "'_schedule', which the schedule sets"),
    ],
)
@pytest.mark.parametrize("where", ["code", "stored"])
def test_a_schedule_that_is_wrong_is_refused_and_leaves_nothing_behind(
    where: str, arguments: dict[str, Any], error: type[Exception], words: str, make_manager: Callable[..., JobManager]
) -> None:
    manager = make_manager()
    with pytest.raises(error, match=words):
        if where == "code":
            manager.cron(type="a", **arguments)(lambda job: None)
        else:
            manager.set_schedule("a", type="a", **arguments)
    assert not manager.has_handler("a")


@pytest.mark.parametrize("name", ["", " a", "a\x00", "a" * 256, "a\nb"])
@pytest.mark.parametrize("call", ["set_schedule", "remove_schedule", "pause_schedule", "resume_schedule", "run_now"])
def test_a_name_that_is_wrong_is_refused(call: str, name: str, make_manager: Callable[..., JobManager]) -> None:
    arguments = {"every": HOUR, "type": "a"} if call == "set_schedule" else {}
    with pytest.raises(ValueError, match="a schedule's name"):
        getattr(make_manager(), call)(name, **arguments)


def test_a_stored_schedule_needs_a_type(make_manager: Callable[..., JobManager]) -> None:
    with pytest.raises(TypeError, match="needs type="):
        make_manager().set_schedule("a", "0 3 * * *")


def test_two_schedules_in_code_cannot_share_a_name_and_two_handlers_no_type(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager()
    handle = manager.cron("0 3 * * *", "a")(lambda job: None)
    with pytest.raises(ValueError, match="a schedule 'a' in this code already"):
        manager.cron("0 4 * * *", "a")(handle)
    with pytest.raises(ValueError, match="'a' has a handler already"):
        manager.cron("0 4 * * *", "a", name="b")(lambda job: None)
    with pytest.raises(TypeError, match="async"):

        @manager.cron("0 4 * * *", "c")
        async def handler(job: Job) -> None: ...


def test_a_name_that_is_taken_leaves_nothing_behind(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager()
    manager.cron("0 3 * * *", "a", name="nightly")(lambda job: None)
    with pytest.raises(ValueError, match="a schedule 'nightly' in this code already"):
        manager.cron("0 4 * * *", "b", name="nightly")(lambda job: None)
    manager.handler("b")(lambda job: None)
    with pytest.raises(ValueError, match="'b' has a handler already"):
        manager.cron("0 4 * * *", "b", name="weekly")(lambda job: None)
    manager.cron("0 4 * * *", "c", name="weekly")(lambda job: None)


def test_a_task_with_a_schedule_is_called_with_arguments_that_fit(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager()

    @manager.task(name="greet")
    def greet(name: str) -> None: ...

    with pytest.raises(TypeError, match="name"):
        manager.cron("0 3 * * *")(greet)
    with pytest.raises(ValueError, match="leave type= out"):
        manager.cron("0 3 * * *", "other", {"name": "Ada"})(greet)
    with pytest.raises(InvalidJob, match="takes no unique"):
        manager.cron("0 3 * * *", payload={"name": "Ada"})(greet.options(unique="a"))
    assert manager.cron("0 3 * * *", payload={"name": "Ada"})(greet) is greet


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (1001, ValueError), (True, TypeError), ("5", TypeError)])
def test_next_runs_takes_a_number(n: Any, error: type[Exception], manager: JobManager) -> None:
    with pytest.raises(error, match="n must be"):
        manager.set_schedule("a", every=HOUR, type="report").next_runs(n)


def test_without_cronsim_a_crontab_is_refused_and_an_interval_works(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.set_schedule("stored", "1 2 3 4 *", "report")
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(SteveError, match=r"needs the package cronsim: install steve-jobs\[cron\], or use every="):
        manager.set_schedule("new", "2 2 3 4 *", "report")
    manager.set_schedule("often", every=HOUR, type="report")
    often, stored = manager.schedules()
    assert often.next_run is not None
    assert (stored.cron, len(stored.next_runs(1))) in (("1 2 3 4 *", 0), ("1 2 3 4 *", 1))


def test_a_worker_fires_and_changes_schedules_and_a_reader_lists_them(
    make_manager: Callable[..., JobManager], database_url: str, conn: psycopg.Connection, schema: str
) -> None:
    worker, reader = (f"{kind}_{schema}" for kind in ("worker", "reader"))
    try:
        make_manager().migrate()
        for role in (worker, reader):
            conn.execute(f"create role {role}")
        conn.execute(grants(schema, worker=worker, reader=reader).encode())
        options = {role: f"-c role={role}" for role in (worker, reader)}
        ticked = threading.Event()
        working = make_manager(make_conninfo(database_url, options=options[worker]))
        working.set_handler("report", lambda job: ticked.set())
        working.set_schedule("a", "* * * * * *", "report")
        with working:
            assert ticked.wait(20)
            working.pause_schedule("a")
        reading = make_manager(make_conninfo(database_url, options=options[reader]))
        assert reading.schedules()[0].paused
        with pytest.raises(SteveError, match="does not let the role"):
            reading.resume_schedule("a")
        for manager in (working, reading):
            manager.stop()
    finally:
        for role in (worker, reader):
            conn.execute(f"drop owned by {role}")
            conn.execute(f"drop role {role}")


def test_a_skipped_tick_is_in_the_log(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "steve")
    began, go_on = threading.Event(), threading.Event()

    @manager.cron("* * * * * *", "slow")
    def slow(job: Job) -> None:
        began.set()
        go_on.wait()

    with manager:
        assert began.wait(20)
        try:
            until(lambda: "the schedule 'slow' skips its tick of" in caplog.text)
        finally:
            go_on.set()
