"""`create` and `create_many` with the options that few jobs have: what is stored, what is found again, and what is refused.

`unique` has a file of its own: test_unique.py.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import psycopg
import pytest

from steve import InvalidJob, Job, JobManager, NewJob, Status
from tests.conftest import until

NOWHERE = "host=127.0.0.1 port=1"
"""No server listens there: a call that sends something fails."""

Create = Callable[..., Job]


@pytest.fixture(params=["create", "create_many", "NewJob", "connection", "unique"])
def create(request: pytest.FixtureRequest, manager: JobManager, database_url: str) -> Create:
    """`create(**options)` in each of the ways that there are."""

    def make(**options: Any) -> Job:
        if request.param == "create":
            return manager.create("a", **options)
        if request.param == "create_many":
            return manager.create_many([("a", {})], **options)[0]
        if request.param == "NewJob":
            return manager.create_many([NewJob("a", **options)])[0]
        if request.param == "unique":
            return manager.create_many([NewJob("a", unique="k", **options)])[0]
        with psycopg.connect(database_url) as theirs:
            return manager.create("a", connection=theirs, **options)

    return make


def test_tags_metadata_and_timeout_are_found_again(create: Create, manager: JobManager) -> None:
    tags = {"tenant": "acme", "order": 17, "urgent": True, "quote": 'a"b\\c\té'}
    metadata = {"trace": {"id": "abc", "parts": [1, 2.5, None]}, "back\\slash": "\n"}
    job = create(tags=tags, metadata=metadata, timeout=0.1)
    assert (job.tags, job.metadata, job.timeout, job.duplicate) == (tags, metadata, 0.1, False)
    assert type(job.tags["urgent"]) is bool
    assert manager.find(job) == job


@pytest.mark.parametrize("delay", [90, 90.5, timedelta(minutes=1.5)])
def test_a_delay_counts_from_the_creation(create: Create, manager: JobManager, delay: Any) -> None:
    job = create(delay=delay)
    assert timedelta(seconds=89) < job.run_at - job.created_at < timedelta(seconds=92)
    assert manager.find(job) == job
    assert create(unique_for=None, delay=0, run_at=None).status is Status.PENDING


@pytest.mark.parametrize("expiry", ["expires_in", "expires_at"])
def test_an_expiry_is_stored(create: Create, manager: JobManager, expiry: str) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    job = create(**{expiry: at if expiry == "expires_at" else timedelta(hours=1)})
    assert abs(job.expires_at - at) < timedelta(minutes=1)
    assert expiry == "expires_in" or job.expires_at == at
    assert manager.find(job) == job


def test_a_handler_sees_what_the_job_was_created_with(create: Create, manager: JobManager) -> None:
    seen: list[Job] = []
    manager.set_handler("a", seen.append)
    created = create(tags={"t": 1}, metadata={"m": 2}, timeout=0.1, expires_in=3600)
    manager.start()
    until(lambda: seen)
    for name in ("tags", "metadata", "timeout", "expires_at", "unique"):
        assert getattr(seen[0], name) == getattr(created, name)


def test_an_own_value_of_a_new_job_counts_more_than_the_default(manager: JobManager) -> None:
    soon = datetime.now(UTC) + timedelta(hours=5)
    jobs = manager.create_many(
        [
            NewJob("a", delay=7200, tags={"own": 1}, metadata={"own": 1}, expires_in=7200, timeout=9),
            NewJob("a"),
            ("a", {}),
        ],
        run_at=soon,
        tags={"default": 1},
        metadata={"default": 1},
        expires_at=soon,
        timeout=1,
        unique_for=60,
        on_conflict="replace",
    )
    assert [list(job.tags) for job in jobs] == [list(job.metadata) for job in jobs] == [["own"], ["default"], ["default"]]
    assert [job.timeout for job in jobs] == [9, 1, 1]
    assert [job.run_at == soon for job in jobs] == [job.expires_at == soon for job in jobs] == [False, True, True]
    assert [manager.find(job) for job in jobs] == jobs


def test_options_that_are_empty_are_none(manager: JobManager, conn: psycopg.Connection, schema: str) -> None:
    job = manager.create("a", tags={}, metadata={})
    assert (job.tags, job.metadata) == ({}, {})
    assert conn.execute(f"select tags, metadata from {schema}.job").fetchone() == (None, None)


class Tenant(StrEnum):
    ACME = "acme"


def test_odd_but_right_options(create: Create, manager: JobManager) -> None:
    zone = timezone(timedelta(hours=14))
    job = create(
        tags={"t": Tenant.ACME, "n" * 63: "v" * 255, "big": 2**80},
        expires_at=datetime(1, 1, 1, tzinfo=zone),
        delay=timedelta(0),
        timeout=timedelta(days=2),
    )
    assert job.tags == {"t": "acme", "n" * 63: "v" * 255, "big": 2**80}
    assert job.timeout == 172_800
    assert job.expires_at < job.created_at
    assert manager.find(job) == job


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"delay": -1}, "delay must be between 0 and"),
    ({"delay": "1"}, "delay must be a number of seconds or a timedelta, not str"),
    ({"delay": True}, "delay must be a number of seconds or a timedelta, not bool"),
    ({"delay": float("nan")}, "delay must be between 0 and"),
    ({"delay": float("inf")}, "delay must be between 0 and"),
    ({"delay": timedelta(days=40_000)}, "delay must be between 0 and"),
    ({"delay": 1, "run_at": datetime.now(UTC)}, "delay and run_at do not go together"),
    ({"unique": ""}, "unique must have 1 to 255 characters, not 0"),
    ({"unique": "k" * 256}, "unique must have 1 to 255 characters, not 256"),
    ({"unique": 5}, "unique must be a str, not int"),
    ({"unique": b"k"}, "unique must be a str, not bytes"),
    ({"unique": "a\x00b"}, "unique must not contain a NUL"),
    ({"unique": "\ud800"}, "unique must not contain a NUL character or a lone surrogate"),
    ({"on_conflict": "ignore"}, """on_conflict must be "return", "raise" or "replace", not 'ignore'"""),
    ({"on_conflict": True}, "on_conflict must be"),
    ({"unique": "k", "unique_for": 0}, "unique_for must be between 0.001 and"),
    ({"unique": "k", "unique_for": "1"}, "unique_for must be a number"),
    ({"tags": ["a"]}, "tags must be a dict of names to str, int or bool, not list"),
    ({"tags": {f"t{number}": 1 for number in range(33)}}, "tags must have at most 32 names, not 33"),
    ({"tags": {"": 1}}, "a tag's name must have 1 to 63 characters, not 0"),
    ({"tags": {"n" * 64: 1}}, "a tag's name must have 1 to 63 characters, not 64"),
    ({"tags": {1: 1}}, "a tag's name must be a str, not int"),
    ({"tags": {"t": 1.5}}, r"tags\['t'\] must be a str, an int or a bool, not float"),
    ({"tags": {"t": None}}, r"tags\['t'\] must be a str, an int or a bool, not NoneType"),
    ({"tags": {"t": ["secret"]}}, r"tags\['t'\] must be a str, an int or a bool, not list"),
    ({"tags": {"t": "v" * 256}}, r"tags\['t'\] must have at most 255 characters, not 256"),
    ({"tags": {"t": "a\x00"}}, r'tags\["t"\] contains a NUL'),
    ({"tags": {"a\x00": 1}}, "tags has a key with a NUL"),
    ({"tags": {"t": 10**4_000}}, r'tags\["t"\] is an integer of more than'),
    ({"metadata": "m"}, "metadata must be a dict with str keys"),
    ({"metadata": {1: 1}}, "metadata has a key that is a int"),
    ({"metadata": {"m": {1, 2}}}, r'metadata\["m"\] is a set'),
    ({"metadata": {"m": "x" * (16 << 10)}}, "metadata has 16392 bytes as JSON, more than 16384"),
    ({"expires_at": 5}, "expires_at must be an aware datetime, not int"),
    ({"expires_at": datetime(2030, 1, 1)}, "expires_at must say its time zone"),
    ({"expires_at": datetime(9999, 1, 1, tzinfo=UTC)}, "expires_at must lie before the year 9999"),
    ({"expires_in": -1}, "expires_in must be between 0 and"),
    ({"expires_in": "1"}, "expires_in must be a number of seconds"),
    ({"expires_in": 1, "expires_at": datetime.now(UTC)}, "expires_in and expires_at do not go together"),
    ({"timeout": 0}, "timeout must be between 0.001 and"),
    ({"timeout": "1"}, "timeout must be a number of seconds"),
    ({"timeout": True}, "timeout must be a number of seconds"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_wrong_options_are_refused_before_anything_is_sent(options: dict[str, Any], message: str) -> None:
    manager = JobManager(NOWHERE)
    with pytest.raises(InvalidJob, match=message):
        manager.create("a", **options)
    with pytest.raises(InvalidJob, match=message):
        manager.create_many([], **options)
    with pytest.raises(InvalidJob, match=r"jobs\[1\]: " + message):
        manager.create_many([NewJob("a"), NewJob("a", **options)])


def test_a_window_needs_a_key() -> None:
    manager = JobManager(NOWHERE)
    with pytest.raises(InvalidJob, match="unique_for needs unique"):
        manager.create("a", unique_for=5)
    with pytest.raises(InvalidJob, match=r"jobs\[0\]: unique_for needs unique"):
        manager.create_many([NewJob("a", unique_for=5)])
    with pytest.raises(InvalidJob, match="unique_for must be between"):
        manager.create_many([], unique_for=-5)


def test_a_session_of_another_encoding_sends_tags_and_metadata_and_refuses_a_key(
    manager: JobManager, database_url: str
) -> None:
    with psycopg.connect(database_url, client_encoding="latin1") as theirs:
        job = manager.create("a", tags={"t": "日本"}, metadata={"m": "😀"}, unique="é", connection=theirs)
        (many,) = manager.create_many([NewJob("a", tags={"t": "日本"}, unique="è")], connection=theirs)
        with pytest.raises(InvalidJob, match="unique '日本' cannot be sent in the connection's client_encoding"):
            manager.create("a", unique="日本", connection=theirs)
    assert (manager.find(job).tags, manager.find(job).metadata) == ({"t": "日本"}, {"m": "😀"})
    assert manager.find(many).tags == {"t": "日本"}


# -- finding by tags ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tagged(manager: JobManager) -> dict[str, Job]:
    jobs = manager.create_many(
        [
            NewJob("acme", tags={"tenant": "acme", "order": 1, "rush": True}),
            NewJob("acme too", tags={"tenant": "acme", "order": 2}),
            NewJob("other", tags={"tenant": "other", "order": 1, "one": 1}),
            NewJob("plain"),
        ]
    )
    return {job.type: job for job in jobs}


@pytest.mark.parametrize(
    ("tags", "types"),
    [
        ({"tenant": "acme"}, ["acme too", "acme"]),
        ({"tenant": "acme", "order": 1}, ["acme"]),
        ({"order": 1}, ["other", "acme"]),
        ({"order": "1"}, []),
        ({"rush": True}, ["acme"]),
        ({"rush": 1}, []),
        ({"one": True}, []),
        ({"none": "x"}, []),
        ({}, ["plain", "other", "acme too", "acme"]),
        (None, ["plain", "other", "acme too", "acme"]),
    ],
)
def test_a_page_has_the_jobs_with_all_of_the_tags(
    manager: JobManager, tagged: dict[str, Job], tags: Any, types: list[str]
) -> None:
    assert [job.type for job in manager.fetch_all(tags=tags)] == types
    assert [job.type for job in manager.fetch_all(tags=tags, before=tagged["other"], limit=1)] == [
        one for one in types if one not in ("plain", "other")
    ][:1]


def test_prune_deletes_only_jobs_with_all_of_the_tags(
    manager: JobManager, tagged: dict[str, Job], conn: psycopg.Connection, schema: str
) -> None:
    conn.execute(f"update {schema}.job set status = 'completed', completed_at = now()")
    assert manager.prune(older_than=timedelta(0), tags={"tenant": "acme", "order": 1}) == 1
    assert manager.prune(older_than=timedelta(0), tags={"tenant": "nobody"}) == 0
    assert [job.type for job in manager.fetch_all()] == ["plain", "other", "acme too"]
    assert manager.prune(older_than=timedelta(0)) == 3


@pytest.mark.parametrize(
    ("tags", "error", "message"),
    [
        ("acme", TypeError, "tags must be a dict of names to str, int or bool, or None, not str"),
        ({"t": 1.5}, ValueError, r"tags\['t'\] must be a str, an int or a bool"),
        ({1: 1}, ValueError, "a tag's name must be a str"),
    ],
)
def test_wrong_tags_are_refused(tags: Any, error: type[Exception], message: str) -> None:
    manager = JobManager(NOWHERE)
    for call in (lambda: manager.fetch_all(tags=tags), lambda: manager.prune(older_than=timedelta(0), tags=tags)):
        with pytest.raises(error, match=message) as caught:
            call()
        assert not isinstance(caught.value, InvalidJob)
