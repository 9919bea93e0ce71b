"""What `create` and `create_many` store, and what `find`, `history` and `fetch_all` show of it.

What they refuse: test_bad_input.py. How they work in a caller's transaction: test_connections.py.
"""

import dataclasses
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from typing import Any
from uuid import UUID

import psycopg
import pytest

from steve import Attempt, AttemptStatus, InvalidJob, Job, JobManager, NewJob, RetryPolicy, Status
from tests.conftest import until

NO_JOB = UUID(int=1)
"""The uid of no job."""


def instant(conn: psycopg.Connection) -> datetime:
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    return row[0].astimezone(UTC)


def soon(**duration: float) -> datetime:
    return datetime.now(UTC) + timedelta(**duration)


# -- create ---------------------------------------------------------------------------------------------------------------


def test_create_returns_the_job_with_all_its_fields_as_the_database_has_it(
    manager: JobManager, conn: psycopg.Connection
) -> None:
    before = instant(conn)
    job = manager.create("welcome", {"email": "ada@example.com"})
    after = instant(conn)
    assert isinstance(job.uid, UUID)
    assert before <= job.created_at <= after
    assert before <= job.updated_at <= after
    assert before <= job.run_at <= after
    assert dataclasses.asdict(job) == {
        "uid": job.uid,
        "queue": "default",
        "type": "welcome",
        "priority": 0,
        "payload": {"email": "ada@example.com"},
        "result": None,
        "error": None,
        "status": Status.PENDING,
        "attempts": 0,
        "crashes": 0,
        "max_attempts": 3,
        "backoff_strategy": "exp",
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "run_at": job.run_at,
        "claimed_at": None,
        "started_at": None,
        "completed_at": None,
        "unique": None,
        "tags": {},
        "metadata": {},
        "timeout": None,
        "expires_at": None,
        "cancel_asked_at": None,
        "duplicate": False,
        "progress": None,
    }
    found = manager.find(job)
    assert found == job
    assert type(found.status) is Status
    assert {getattr(found, name).tzinfo for name in ("created_at", "updated_at", "run_at")} == {UTC}


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"queue": "mail"}, {"queue": "mail"}),
        ({"queue": "q" * 255, "type": "t" * 255}, {"queue": "q" * 255, "type": "t" * 255}),
        ({"type": "'; drop table job; --"}, {"type": "'; drop table job; --"}),
        ({"type": 'brackets {} "quotes" back\\slash, %s %(x)s'}, {"type": 'brackets {} "quotes" back\\slash, %s %(x)s'}),
        ({"type": "Überraschung 🎉 in zwei Wörtern"}, {"type": "Überraschung 🎉 in zwei Wörtern"}),
        ({"type": "null"}, {"type": "null"}),
        ({"priority": 100}, {"priority": 100}),
        ({"priority": -100}, {"priority": -100}),
        ({"max_attempts": 1}, {"max_attempts": 1}),
        ({"max_attempts": 10_000}, {"max_attempts": 10_000}),
        ({"backoff_strategy": "none"}, {"backoff_strategy": "none", "max_attempts": 3}),
        ({"backoff_strategy": RetryPolicy(7, "none")}, {"backoff_strategy": "none", "max_attempts": 7}),
        ({"backoff_strategy": RetryPolicy(7, "none"), "max_attempts": 2}, {"backoff_strategy": "none", "max_attempts": 2}),
    ],
    ids=lambda value: "-".join(value)[:40],
)
def test_what_is_asked_for_is_stored(manager: JobManager, arguments: dict[str, Any], fields: dict[str, Any]) -> None:
    type = arguments.get("type", "a")
    keywords = {name: value for name, value in arguments.items() if name != "type"}
    (new,) = manager.create_many([NewJob(type, **keywords)])
    (pair,) = manager.create_many([(type, None)], **keywords)
    for job in (manager.create(type, **keywords), new, pair):
        assert {name: getattr(job, name) for name in fields} == fields
        assert manager.find(job) == job


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"": "", "a b": " ", "ключ": "значение", "emoji": "🎉", "combined": "e\u0301"},
        {"escapes": "\\ \" ' \n\r\t\b\f \x01 \x7f \u2028", "backslash-u": "\\u0000", "percent": "%s %(a)s {}"},
        {"numbers": [0, -1, 2**31, 2**63, -(2**64), 10**1000, 0.1, -2.5e-10, 1.0, 123456789.123456789]},
        {"constants": [True, False, None], "empty": [[], {}, "", [[]]]},
        {"list": list(range(1000)), "text": "ä" * 100_000},
        {"deep": reduce(lambda inner, _: [inner], range(97), [])},
        {"same keys as ours": {"id": 1, "uid": None, "payload": {"payload": {}}}},
    ],
    ids=lambda payload: next(iter(payload), "none"),
)
def test_a_payload_comes_back_as_it_was(manager: JobManager, payload: dict[str, Any]) -> None:
    for job in (manager.create("a", payload), *manager.create_many([("a", payload), NewJob("a", payload)])):
        assert job.payload == payload
        found = manager.find(job)
        assert found is not None
        assert found.payload == payload


def test_tuples_come_back_as_lists_and_no_payload_as_an_empty_one(manager: JobManager) -> None:
    job = manager.create("a", {"tuple": (1, (2, 3))})
    assert job.payload == {"tuple": [1, [2, 3]]}
    assert manager.create("a", None).payload == manager.create("a").payload == {}


def test_what_the_caller_does_to_the_payload_after_create_does_not_matter(manager: JobManager) -> None:
    payload: dict[str, Any] = {"list": [1]}
    job = manager.create("a", payload)
    payload["list"].append(2)
    found = manager.find(job)
    assert found is not None
    assert job.payload == found.payload == {"list": [1]}


@pytest.mark.parametrize(
    "given", [soon(days=1), soon(days=-1), soon(days=30).astimezone(timezone(timedelta(hours=5, minutes=45)))]
)
@pytest.mark.parametrize("way", ["create", "create_many"])
def test_run_at_is_stored_to_the_microsecond_and_as_now_when_it_is_past(
    manager: JobManager, conn: psycopg.Connection, way: str, given: datetime
) -> None:
    before = instant(conn)
    job = manager.create("a", run_at=given) if way == "create" else manager.create_many([NewJob("a", run_at=given)])[0]
    if given < before:
        assert before <= job.run_at <= instant(conn)
    else:
        assert job.run_at == given
    assert job.run_at.tzinfo is UTC
    assert manager.find(job) == job


def test_the_defaults_are_the_managers_retry_policy(make_manager: Callable[..., JobManager]) -> None:
    manager = make_manager(retry=RetryPolicy(9, "none"))
    manager.migrate()
    (many,) = manager.create_many([("a", None)])
    for job in (manager.create("a"), many):
        assert (job.max_attempts, job.backoff_strategy) == (9, "none")
    assert manager.create("a", max_attempts=4, backoff_strategy="exp").max_attempts == 4


def test_a_uid_is_a_version_7_uuid_that_grows_with_time(manager: JobManager) -> None:
    jobs = [manager.create("a") for _ in range(20)]
    for job in jobs:
        assert isinstance(job.uid, UUID)
        assert (job.uid.version, job.uid.variant) == (7, "specified in RFC 4122")
        made = datetime.fromtimestamp((job.uid.int >> 80) / 1000, UTC)
        assert abs(made - datetime.now(UTC)) < timedelta(minutes=1)
    assert [job.uid for job in jobs] == sorted(job.uid for job in jobs)
    assert len({job.uid.int & (1 << 62) - 1 for job in jobs}) == len(jobs)


def test_the_jobs_of_create_and_of_create_many_are_in_the_order_of_creation(manager: JobManager) -> None:
    jobs: list[Job] = []
    for _ in range(50):
        jobs += [manager.create("a"), *manager.create_many([("a", None)] * 3)]
    assert [job.uid for job in jobs] == sorted(job.uid for job in jobs)


def test_a_manager_creates_and_finds_jobs_also_while_it_is_not_started(
    make_manager: Callable[..., JobManager], manager: JobManager
) -> None:
    before = manager.create("a", run_at=soon(days=1))
    manager.start()
    while_running = manager.create("a", run_at=soon(days=1))
    manager.stop()
    after = manager.create("a", run_at=soon(days=1))
    assert make_manager().fetch_all() == [after, while_running, before]


# -- create_many ----------------------------------------------------------------------------------------------------------


def test_five_thousand_jobs_are_created_at_once_and_returned_in_the_order_given(manager: JobManager) -> None:
    jobs = manager.create_many(("a" if n % 3 else "b", {"n": n}) for n in range(5_000))
    assert [job.payload["n"] for job in jobs] == list(range(5_000))
    assert [job.uid for job in jobs] == sorted({job.uid for job in jobs})
    assert [job.type for job in jobs[:4]] == ["b", "a", "a", "b"]
    assert manager.fetch_all(limit=10_000) == jobs[::-1]


def test_pairs_and_new_jobs_go_together_and_leave_open_what_the_keywords_give(manager: JobManager) -> None:
    policy = RetryPolicy(8, "none")
    later, at = soon(days=1), soon(days=2)
    jobs = manager.create_many(
        [
            ("pair", {"n": 0}),
            ["list", None],
            NewJob("open", {"n": 2}),
            NewJob("own", None, 2, "exp", at, "mine", -7),
            NewJob("zero", priority=0),
        ],
        max_attempts=5,
        backoff_strategy=policy,
        run_at=later,
        queue="theirs",
        priority=9,
    )
    fields = [(j.type, j.payload, j.max_attempts, j.backoff_strategy, j.run_at, j.queue, j.priority) for j in jobs]
    assert fields == [
        ("pair", {"n": 0}, 5, "none", later, "theirs", 9),
        ("list", {}, 5, "none", later, "theirs", 9),
        ("open", {"n": 2}, 5, "none", later, "theirs", 9),
        ("own", {}, 2, "exp", at, "mine", -7),
        ("zero", {}, 5, "none", later, "theirs", 0),
    ]
    assert [manager.find(job) for job in jobs] == jobs


def test_create_many_of_no_jobs_creates_none(manager: JobManager) -> None:
    assert manager.create_many([]) == []
    assert manager.create_many(iter(())) == []
    with pytest.raises(InvalidJob):
        manager.create_many([], priority=101)


def test_if_steve_or_postgresql_refuses_one_of_many_jobs_none_is_stored(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(f"alter table {schema}.job add check (type <> 'refused')")
    with pytest.raises(InvalidJob, match=r"jobs\[2\]: .*max_attempts"):
        manager.create_many([("a", None), ("a", None), NewJob("a", max_attempts=0)])
    with pytest.raises(InvalidJob, match="23514"):
        manager.create_many([("a", None), ("refused", None), ("a", None)])
    assert manager.fetch_all() == []


# -- find and history -----------------------------------------------------------------------------------------------------


def test_a_job_is_found_by_itself_its_uid_and_its_text(manager: JobManager) -> None:
    job = manager.create("a")
    manager.create("a")
    for key in (job, job.uid, str(job.uid), job.uid.hex, f"urn:uuid:{job.uid}"):
        assert manager.find(key) == job
        assert manager.history(key) == []
    assert manager.find(NO_JOB) is None
    assert manager.find(dataclasses.replace(job, uid=NO_JOB)) is None
    assert manager.history(str(NO_JOB)) == []


@pytest.mark.parametrize(
    ("key", "error"), [("", ValueError), ("no uid", ValueError), (5, TypeError), (None, TypeError), (b"\x00" * 16, TypeError)]
)
def test_what_is_no_uid_is_refused(manager: JobManager, key: Any, error: type[Exception]) -> None:
    for look in (manager.find, manager.history):
        with pytest.raises(error, match="uid"):
            look(key)


def test_a_job_that_ran_shows_its_result_its_times_and_its_attempts(
    make_manager: Callable[..., JobManager], conn: psycopg.Connection
) -> None:
    seen: list[Job] = []

    def second_time_lucky(job: Job) -> Any:
        seen.append(job)
        if job.attempts == 1:
            raise RuntimeError("once")
        return {"list": [1, None, "ä"]}

    with make_manager(handlers={"a": second_time_lucky}) as manager:
        created = manager.create("a", {"n": 1}, priority=3, max_attempts=4, backoff_strategy="none")
        job = until(lambda: (found := manager.find(created)) and found.status == "completed" and found)
        attempts = manager.history(job)
    assert job.result == {"list": [1, None, "ä"]}
    assert (job.attempts, job.crashes, job.error) == (2, 0, None)
    changing = ("status", "result", "attempts", "updated_at", "run_at", "claimed_at", "started_at", "completed_at")
    assert dataclasses.replace(created, **{name: getattr(job, name) for name in changing}) == job
    assert job.started_at is not None
    assert job.claimed_at is not None
    assert (
        job.created_at <= job.started_at <= job.run_at <= job.claimed_at <= job.updated_at == job.completed_at <= instant(conn)
    )

    assert [(a.job_uid, a.number, a.status, a.error_message) for a in attempts] == [
        (job.uid, 1, AttemptStatus.ERROR, "RuntimeError: once"),
        (job.uid, 2, AttemptStatus.SUCCESS, None),
    ]
    assert all(type(attempt.status) is AttemptStatus for attempt in attempts)
    assert {attempt.process.rpartition(":")[2] for attempt in attempts} == {str(os.getpid())}
    assert attempts[0].started_at == job.started_at
    assert attempts[1].completed_at == job.completed_at

    first, second = seen  # what the handler was given
    assert [(given.status, given.attempts, given.payload) for given in seen] == [
        ("running", 1, {"n": 1}),
        ("running", 2, {"n": 1}),
    ]
    assert (first.error, second.error) == (None, "RuntimeError: once")
    assert (first.started_at, second.started_at) == (None, job.started_at)
    assert second.claimed_at == job.claimed_at
    assert first.uid == second.uid == job.uid


def test_a_failed_job_shows_its_last_error_and_no_result(make_manager: Callable[..., JobManager]) -> None:
    def fail(job: Job) -> None:
        raise RuntimeError(f"number {job.attempts}")

    with make_manager(handlers={"a": fail}) as manager:
        created = manager.create("a", max_attempts=3, backoff_strategy="none")
        job = until(lambda: (found := manager.find(created)) and found.status == "failed" and found)
        messages = [attempt.error_message for attempt in manager.history(job)]
    assert (job.error, job.result, job.attempts) == ("RuntimeError: number 3", None, 3)
    assert job.completed_at == job.updated_at
    assert messages == [f"RuntimeError: number {n}" for n in (1, 2, 3)]


def test_a_status_that_newer_code_wrote_is_read_as_text_and_breaks_nothing(
    manager: JobManager, conn: psycopg.Connection, schema: str
) -> None:
    known, unknown = manager.create_many([("a", None)] * 2, run_at=soon(days=1))
    conn.execute(f"alter domain {schema}.job_status drop constraint job_status_check")
    conn.execute(f"alter table {schema}.attempt drop constraint attempt_status_check")
    conn.execute(f"update {schema}.job set status = 'paused' where uid = %s", [unknown.uid])
    conn.execute(
        f"insert into {schema}.attempt (job_uid, lease_no, number, process, started_at, completed_at, status)"
        " values (%s, 1, 1, 'host:1', now(), now(), 'abandoned')",
        [unknown.uid],
    )
    found = manager.find(unknown)
    assert found is not None
    assert (found.status, type(found.status)) == ("paused", str)
    assert [job.status for job in manager.fetch_all()] == ["paused", Status.PENDING]
    assert manager.fetch_all(Status.PENDING) == [known]
    (attempt,) = manager.history(unknown)
    assert (attempt.status, type(attempt.status)) == ("abandoned", str)


def test_a_column_that_newer_code_added_is_not_noticed(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    conn.execute(f"alter table {schema}.job add column mood text default 'good'")
    conn.execute(f"alter table {schema}.attempt add column mood text default 'good'")
    manager.set_handler("a", lambda job: None)
    with manager:
        created = manager.create("a")
        until(lambda: (found := manager.find(created)) and found.status == "completed")
    assert len(manager.history(created)) == len(manager.fetch_all()) == 1


# -- fetch_all ------------------------------------------------------------------------------------------------------------


def test_pages_are_newest_first_and_before_continues_where_the_last_one_ended(manager: JobManager) -> None:
    jobs = manager.create_many([("a", {"n": n}) for n in range(250)])[::-1]
    assert manager.fetch_all() == jobs[:100]
    pages = [manager.fetch_all()]
    while pages[-1]:
        pages.append(manager.fetch_all(before=pages[-1][-1]))
        manager.create("a")  # what is created meanwhile is newer, and moves no page
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    assert [job for page in pages for job in page] == jobs
    assert manager.fetch_all(limit=3, before=jobs[0]) == jobs[1:4]


def test_filters_may_be_combined(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    made = {
        (type, queue, n): manager.create(type, queue=queue, run_at=soon(days=1))
        for type in ("a", "b")
        for queue in ("default", "mail")
        for n in range(3)
    }
    failed = [job.uid for (_, _, n), job in made.items() if n == 0]
    conn.execute(f"update {schema}.job set status = 'failed', completed_at = now() where uid = any(%s)", [failed])

    def uids(*arguments: Any, **keywords: Any) -> list[UUID]:
        return [job.uid for job in manager.fetch_all(*arguments, **keywords)]

    def expected(type: str | None = None, queue: str | None = None, first: bool | None = None) -> list[UUID]:
        chosen = [
            job.uid for (t, q, n), job in made.items() if type in (None, t) and queue in (None, q) and first in (None, n == 0)
        ]
        return chosen[::-1]

    assert uids() == expected()
    assert uids(type="a") == expected("a")
    assert uids(queue="mail") == expected(queue="mail")
    assert uids(Status.FAILED) == uids("failed") == expected(first=True)
    assert uids("pending", type="b", queue="mail") == expected("b", "mail", first=False)
    assert uids("pending", type="b", limit=2) == expected("b", first=False)[:2]
    assert uids("pending", type="b", before=made["b", "mail", 0]) == expected("b", "default", first=False)
    assert uids(Status.RUNNING) == uids(type="none such") == uids(queue="none such") == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"status": "done"}, ValueError),
        ({"status": 5}, ValueError),
        ({"type": ""}, ValueError),
        ({"type": "with \x00"}, ValueError),
        ({"type": 5}, TypeError),
        ({"queue": "q" * 256}, ValueError),
        ({"queue": ["default"]}, TypeError),
        ({"limit": 0}, ValueError),
        ({"limit": -1}, ValueError),
        ({"limit": 10_001}, ValueError),
        ({"limit": True}, TypeError),
        ({"limit": "5"}, TypeError),
        ({"limit": None}, TypeError),
        ({"before": 5}, TypeError),
        ({"before": NO_JOB}, TypeError),
    ],
    ids=str,
)
def test_a_page_that_makes_no_sense_is_refused(manager: JobManager, arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        manager.fetch_all(**arguments)


def test_a_page_can_be_of_an_error_and_of_times(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    jobs = manager.create_many([("a", None)] * 3)
    noon = datetime(2025, 1, 1, 12, tzinfo=UTC)
    for number, job in enumerate(jobs[:2]):
        update = f"update {schema}.job set status = 'failed', completed_at = %s, created_at = %s, error = %s where uid = %s"
        conn.execute(update.encode(), [noon + timedelta(hours=number), noon, f"100% lost_{number}", job.uid])

    def page(**filters: Any) -> list[int]:
        return [jobs.index(next(one for one in jobs if one.uid == job.uid)) for job in manager.fetch_all(**filters)]

    assert page(error="lost") == [1, 0]
    assert page(error="0% lost_0") == [0]
    assert page(error="lost%") == [], "it is no pattern"
    assert page(ended_after=noon) == [1, 0]
    assert page(ended_before=noon + timedelta(hours=1)) == [0]
    assert page(created_after=noon) == [2, 1, 0]
    assert page(created_before=noon) == []
    assert page(created_before=noon + timedelta(hours=1), ended_after=noon + timedelta(hours=1), error="lost") == [1]


# -- the values -----------------------------------------------------------------------------------------------------------


def test_values_are_frozen_and_hashable_whatever_their_payload(manager: JobManager) -> None:
    job = manager.create("a", {"list": [1], "dict": {}})
    other = manager.create("a", {"list": [1], "dict": {}})
    new = NewJob("a", {"list": []}, backoff_strategy=RetryPolicy())
    attempt = Attempt(job.uid, 1, "host:1", job.created_at, None, AttemptStatus.RUNNING, None, None)
    for value in (job, new, attempt):
        name = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, "b")
        with pytest.raises((AttributeError, TypeError)):
            value.mood = "good"  # type: ignore[union-attr]
        assert hash(value) == hash(dataclasses.replace(value))
        assert value == dataclasses.replace(value)
    assert {job: 1, other: 2, manager.find(job): 3} == {job: 3, other: 2}
    assert job != other


def test_the_text_of_a_value_says_what_it_is(manager: JobManager) -> None:
    job = manager.create("a", {"n": 1})
    assert repr(job).startswith(f"Job(uid=UUID('{job.uid}'), queue='default', type='a'")
    assert [str(status) for status in Status] == ["pending", "running", "completed", "failed", "cancelled"]
    assert [str(status) for status in AttemptStatus] == ["running", "success", "error", "crashed", "cancelled"]
    assert {value.__module__ for value in (Job, NewJob, Attempt, Status, AttemptStatus)} == {"steve"}
