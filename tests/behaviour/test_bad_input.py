"""Wrong arguments of a manager, in a table for each call: what is raised, that the message names the place and no value of a
payload, that nothing was sent or stored, and that the manager works on. Then arguments that are odd but right, with a database.
"""

import asyncio
import functools
import threading
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import psycopg_pool
import pytest
from psycopg import sql

from steve import InvalidJob, Job, JobManager, NewJob, NotRunning, RetryPolicy, SteveError
from tests.conftest import until

NOWHERE = "host=127.0.0.1 port=1"
"""No server listens there: a call that sends something fails."""

SECRET = "sesame"
"""A part of the values of every payload below. No message may repeat it."""


@pytest.fixture
def shop(make_manager: Callable[..., JobManager], tables: str) -> JobManager:
    """A manager that has its tables and is not started."""
    return make_manager(schema=tables)


@pytest.fixture
def count(conn: psycopg.Connection, tables: str) -> Callable[[], int]:
    """How many jobs are stored."""
    query = sql.SQL("select count(*) from {}.job").format(sql.Identifier(tables))
    return lambda: conn.execute(query).fetchone()[0]  # type: ignore[index]


def work(job: Job) -> None:
    """A handler."""


async def asynchronous(job: Job) -> None:
    """No handler."""


async def asynchronous_generator(job: Job) -> AsyncIterator[None]:
    yield


class AsynchronousObject:
    """Its calls are coroutines."""

    async def __call__(self, job: Job) -> None: ...

    async def method(self, job: Job) -> None: ...

    @staticmethod
    async def static(job: Job) -> None: ...

    @classmethod
    async def of_class(cls, job: Job) -> None: ...


class Kind(StrEnum):
    MAIL = "mail"


class OldKind(str, Enum):  # noqa: UP042 - what StrEnum was before Python 3.11
    MAIL = "mail"


class Size(IntEnum):
    SMALL = 1


class Text(str):
    """A subclass of str."""


class Whole(int):
    """A subclass of int."""


class Record(dict[str, Any]):
    """A subclass of dict."""


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {"a": [SECRET]}
    value["a"].append(value)
    return value


class Unshowable:
    def __repr__(self) -> str:
        raise LookupError("no repr")


# -- create -------------------------------------------------------------------------------------------------------------

NAMES: dict[str, tuple[Any, str]] = {
    # a type or queue, how the message goes on after its name
    "empty": ("", "must have 1 to 255 characters, not 0"),
    "256 characters": ("a" * 256, "must have 1 to 255 characters, not 256"),
    "256 emoji": ("🚀" * 256, "must have 1 to 255 characters, not 256"),
    "an int": (5, "must be a str, not int"),
    "bytes": (b"a", "must be a str, not bytes"),
    "a list": (["a"], "must be a str, not list"),
    "an Enum": (Enum("Plain", "A").A, "must be a str, not Plain"),  # type: ignore[attr-defined]
    "a handler": (work, "must be a str, not function"),
    "a NUL": ("a\x00b", "must not contain control characters"),
    "a newline": ("a\nb", "must not contain control characters"),
    "a tab": ("a\tb", "must not contain control characters"),
    "an escape": ("a\x1b[31mb", "must not contain control characters"),
    "DEL": ("a\x7f", "must not contain control characters"),
    "a C1 control": ("a\x85b", "must not contain control characters"),
    "a lone surrogate": ("a\ud800b", "must not contain control characters or lone surrogates"),
    "a blank": (" ", "must not begin or end with a blank"),
    "a blank before": (" a", "must not begin or end with a blank"),
    "a blank after": ("a ", "must not begin or end with a blank"),
    "a no-break space after": ("a\u00a0", "must not begin or end with a blank"),
}

PAYLOADS: dict[str, tuple[Callable[[], Any], str]] = {
    # a payload, how the message begins
    "more than a mebibyte": (
        lambda: {"a": SECRET * 200_000},
        "payload has 1200008 bytes as JSON, more than max_payload_bytes=1048576",
    ),
    "a list": (lambda: [SECRET], "payload must be a dict with str keys (a JSON object), not list"),
    "a tuple": (lambda: ("a", SECRET), "payload must be a dict with str keys (a JSON object), not tuple"),
    "text": (lambda: '{"a": "sesame"}', "payload must be a dict with str keys (a JSON object), not str"),
    "an int": (lambda: 5, "payload must be a dict with str keys (a JSON object), not int"),
    "False": (lambda: False, "payload must be a dict with str keys (a JSON object), not bool"),
    "an object": (object, "payload must be a dict with str keys (a JSON object), not object"),
    "a set inside": (lambda: {"a": {SECRET}}, 'payload["a"] is a set'),
    "a set deep inside": (lambda: {"a": [0, {"b": ({SECRET},)}]}, 'payload["a"][1]["b"][0] is a set'),
    "an int as key": (lambda: {1: SECRET}, "payload has a key that is a int, not a str"),
    "None as key": (lambda: {"a": {None: SECRET}}, 'payload["a"] has a key that is a NoneType, not a str'),
    "True as key": (lambda: {True: SECRET}, "payload has a key that is a bool, not a str"),
    "a tuple as key": (lambda: {(SECRET,): 1}, "payload has a key that is a tuple, not a str"),
    "NaN": (lambda: {"a": [float("nan")]}, 'payload["a"][0] is nan'),
    "inf": (lambda: {"a": float("inf")}, 'payload["a"] is inf'),
    "-inf": (lambda: {"a": -float("inf")}, 'payload["a"] is -inf'),
    "a lone surrogate": (lambda: {"a": SECRET + "\ud800"}, 'payload["a"] contains a NUL character or a lone surrogate'),
    "a lone surrogate in a key": (lambda: {"\udfff": SECRET}, "payload has a key with a NUL character or a lone surrogate"),
    "a NUL": (lambda: {"a": SECRET + "\x00"}, 'payload["a"] contains a NUL character'),
    "a NUL in a key": (lambda: {"a": {"b\x00": SECRET}}, 'payload["a"] has a key with a NUL character'),
    "bytes": (lambda: {"a": SECRET.encode()}, 'payload["a"] is a bytes'),
    "circular": (circular, 'payload["a"][1]["a"][1]'),
    "101 levels": (lambda: nested(101), 'payload["a"]["a"]'),
    "10,000 levels": (lambda: nested(10_000), 'payload["a"]["a"]'),
    "5,001 digits": (lambda: {"a": 10**5000}, 'payload["a"] is an integer of more than 3,000 digits'),
    "a datetime": (lambda: {"a": datetime.now(UTC)}, 'payload["a"] is a datetime'),
    "a Decimal": (lambda: {"a": Decimal("1.5")}, 'payload["a"] is a Decimal'),
    "a UUID": (lambda: {"a": UUID(int=7)}, 'payload["a"] is a UUID'),
    "an object inside": (lambda: {"a": object()}, 'payload["a"] is a object'),
    "what cannot be shown": (lambda: {"a": Unshowable()}, 'payload["a"] is a Unshowable'),
    "a Job": (lambda: {"a": NewJob(SECRET)}, 'payload["a"] is a NewJob'),
}

OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    # arguments, how the message begins
    **{
        f"max_attempts: {name}": ({"max_attempts": value}, "max_attempts must be an int of 1 to 10000, not")
        for name, value in {
            "0": 0,
            "-1": -1,
            "10,001": 10_001,
            "2**31": 2**31,
            "2**64": 2**64,
            "True": True,
            "text": "3",
            "1.5": 1.5,
            "3.0": 3.0,
            "a list": [3],
        }.items()
    },
    **{
        f"priority: {name}": ({"priority": value}, "priority must be an int of -100 to 100 (higher first), not")
        for name, value in {
            "101": 101,
            "-101": -101,
            "2**31": 2**31,
            "True": True,
            "text": "1",
            "0.5": 0.5,
            "1.0": 1.0,
        }.items()
    },
    "run_at: naive": ({"run_at": datetime(2030, 1, 1)}, "run_at must say its time zone: 2030-01-01T00:00:00 has none"),
    "run_at: text": ({"run_at": "2030-01-01"}, "run_at must be an aware datetime, not str"),
    "run_at: seconds": ({"run_at": 1.5e9}, "run_at must be an aware datetime, not float"),
    "run_at: a date": ({"run_at": date(2030, 1, 1)}, "run_at must be an aware datetime, not date"),
    "run_at: a delay": ({"run_at": timedelta(1)}, "run_at must be an aware datetime, not timedelta"),
    "run_at: year 9999": ({"run_at": datetime(9999, 1, 1, tzinfo=UTC)}, "run_at must lie before the year 9999, not 9999-01-01"),
    "run_at: the end of time": (
        {"run_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))},
        "run_at must lie before the year 9999, not 9999-12-31",
    ),
    **{
        f"backoff_strategy: {name}": (
            {"backoff_strategy": value},
            'backoff_strategy must be "none", "exp" or a RetryPolicy, not',
        )
        for name, value in {
            "unknown": "linear",
            "empty": "",
            "capitals": "EXP",
            "a number": 2,
            "True": True,
            "a list": ["exp"],
            "the class": RetryPolicy,
        }.items()
    },
    **{
        f"notify: {name}": ({"notify": value}, "notify must be True, False or None, not")
        for name, value in {"0": 0, "1": 1, "text": "yes"}.items()
    },
}

CREATE: dict[str, tuple[Callable[[JobManager], Any], str]] = {
    **{f"type: {k}": (lambda m, v=v: m.create(v), f"type {text}") for k, (v, text) in NAMES.items()},
    "type: None": (lambda m: m.create(None), "type must be a str, not NoneType"),
    **{f"queue: {k}": (lambda m, v=v: m.create("a", queue=v), f"queue {text}") for k, (v, text) in NAMES.items()},
    **{f"payload: {k}": (lambda m, make=make: m.create("a", make()), text) for k, (make, text) in PAYLOADS.items()},
    **{k: (lambda m, arguments=arguments: m.create("a", **arguments), text) for k, (arguments, text) in OTHERS.items()},
}

MANY: dict[str, tuple[Callable[[JobManager], Any], str]] = {
    "not an iterable": (lambda m: m.create_many(5), 'jobs must be an iterable of ("type", payload) pairs or NewJobs, not int'),
    "None": (lambda m: m.create_many(None), "jobs must be an iterable of"),
    "a type": (lambda m: m.create_many("ab"), "jobs must be an iterable of"),
    "bytes": (lambda m: m.create_many(b"ab"), "jobs must be an iterable of"),
    "a dict": (lambda m: m.create_many({"a": {}}), "jobs must be an iterable of"),
    "a NewJob": (lambda m: m.create_many(NewJob("a")), "jobs must be an iterable of"),
    "types": (lambda m: m.create_many(["ab"]), 'jobs[0]: must be a ("type", payload) pair or a NewJob, not str'),
    "None inside": (lambda m: m.create_many([("a", {}), None]), "jobs[1]: must be a"),
    "a triple": (lambda m: m.create_many([("a", {}, 3)]), "jobs[0]: must be a"),
    "a lone type": (lambda m: m.create_many([("a",)]), "jobs[0]: must be a"),
    "a dict inside": (lambda m: m.create_many([{"type": "a", "payload": SECRET}]), "jobs[0]: must be a"),
    "a set inside": (lambda m: m.create_many([{"a", "b"}]), "jobs[0]: must be a"),
    **{
        f"a type: {k}": (lambda m, v=v: m.create_many([("a", {}), (v, {})]), f"jobs[1]: type {text}")
        for k, (v, text) in NAMES.items()
    },
    **{
        f"a payload: {k}": (
            lambda m, make=make: m.create_many([*[("a", {})] * 3, ("a", make()), ("a", {})]),
            f"jobs[3]: {text}",
        )
        for k, (make, text) in PAYLOADS.items()
    },
    **{
        f"in a NewJob, {k}": (
            lambda m, arguments=arguments: m.create_many([NewJob("a"), NewJob("a", **arguments)]),
            f"jobs[1]: {text}",
        )
        for k, (arguments, text) in OTHERS.items()
        if "notify" not in arguments
    },
    **{
        f"for all, {k}": (lambda m, arguments=arguments: m.create_many([("a", {})], **arguments), text)
        for k, (arguments, text) in OTHERS.items()
    },
    **{
        f"for none, {k}": (lambda m, arguments=arguments: m.create_many([], **arguments), text)
        for k, (arguments, text) in OTHERS.items()
    },
    "a queue for all": (lambda m: m.create_many([("a", {})], queue=""), "queue must have 1 to 255 characters"),
    "from a generator": (lambda m: m.create_many((name, {}) for name in ["a", ""]), "jobs[1]: type must have"),
    "the last of a thousand": (
        lambda m: m.create_many([*[("a", {})] * 999, ("a", {"b": {SECRET}})]),
        'jobs[999]: payload["b"] is a set',
    ),
}


def chain(error: BaseException | None) -> Iterator[str]:
    """What a traceback prints of the error and of those that led to it."""
    while error is not None:
        yield repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def assert_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SteveError)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 600
    assert SECRET not in str(caught.value)
    assert SECRET not in "".join(chain(caught.value))


@pytest.mark.parametrize(("call", "message"), (CREATE | MANY).values(), ids=[*CREATE, *(f"many: {name}" for name in MANY)])
def test_a_job_that_cannot_be_stored_is_refused_by_its_place_before_anything_is_sent(
    call: Callable[[JobManager], Any], message: str
) -> None:
    manager = JobManager(NOWHERE)
    assert_refused(lambda: call(manager), message)


def test_what_is_refused_leaves_nothing_behind_and_the_manager_works_on(shop: JobManager, count: Callable[[], int]) -> None:
    before = count()
    for call, message in (CREATE | MANY).values():
        assert_refused(lambda call=call: call(shop), message)
    assert count() == before
    assert shop.find(shop.create("a")) is not None
    assert len(shop.create_many([("a", None)] * 3)) == 3
    assert count() == before + 4


def test_what_is_refused_within_the_callers_transaction_leaves_that_as_it_was(
    shop: JobManager, conn: psycopg.Connection, count: Callable[[], int]
) -> None:
    before = count()
    within: Any = SimpleNamespace(
        create=functools.partial(shop.create, connection=conn),
        create_many=functools.partial(shop.create_many, connection=conn),
    )
    with conn.transaction():
        within.create("a")
        for call, message in (CREATE | MANY).values():
            assert_refused(lambda call=call: call(within), message)
        within.create("a")
    assert count() == before + 2


def test_a_notify_that_cannot_be_shown_is_refused_like_any_other() -> None:
    """For the other arguments: tests/client/test_enqueue.py."""
    for notify in (Unshowable(), 10**5000):
        assert_refused(lambda notify=notify: JobManager(NOWHERE).create("a", notify=notify), "notify must be")


def test_a_started_manager_works_on_after_what_it_refused(shop: JobManager) -> None:
    shop.set_handler("a", lambda job: job.payload)
    shop.start(1)
    for call, message in CREATE.values():
        assert_refused(lambda call=call: call(shop), message)
    job = shop.create("a", {"n": 1})
    done = until(lambda: (found := shop.find(job)) and found.status == "completed" and found)
    assert done.result == {"n": 1}


# -- connection= and on_done= -------------------------------------------------------------------------------------------


class Wrapper:
    """Like the connections of Django and SQLAlchemy: not the driver's connection, but an object that has one."""

    def __init__(self, connection: Any = None) -> None:
        self.connection = connection

    def cursor(self) -> None: ...


@pytest.mark.parametrize(
    "connection",
    [NOWHERE, 5, object(), Wrapper(), psycopg.Connection, psycopg.AsyncConnection, psycopg_pool.ConnectionPool("", open=False)],
    ids=["conninfo", "int", "object", "wrapper", "class", "async class", "pool"],
)
@pytest.mark.parametrize("many", [False, True], ids=["create", "create_many"])
def test_what_is_no_connection_is_refused_with_a_hint_at_statement(connection: Any, many: bool) -> None:
    manager = JobManager(NOWHERE)
    with pytest.raises(TypeError) as caught:
        if many:
            manager.create_many([("a", {})], connection=connection)
        else:
            manager.create("a", connection=connection)
    message = str(caught.value)
    assert message.startswith("connection must be a Connection or Cursor of psycopg 3 or psycopg2, Django's connection, or ")
    assert type(connection).__qualname__ in message
    assert "make the statement with manager.statement(" in message


def test_a_wrong_connection_is_refused_also_where_there_is_nothing_to_store() -> None:
    with pytest.raises(TypeError, match="connection must be"):
        JobManager(NOWHERE).create_many([], connection=5)


def test_a_closed_connection_is_the_drivers_error(shop: JobManager, database_url: str, count: Callable[[], int]) -> None:
    before = count()
    connection = psycopg.connect(database_url)
    connection.close()
    with pytest.raises(psycopg.OperationalError, match="closed"):
        shop.create("a", connection=connection)
    assert count() == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"on_done": 5}, TypeError, "on_done must be callable, not int"),
        ({"on_done": "print"}, TypeError, "on_done must be callable, not str"),
        ({"on_done": [print]}, TypeError, "on_done must be callable, not list"),
        ({"on_done": print, "connection": 5}, TypeError, "on_done and connection do not go together"),
        ({"on_done": print}, NotRunning, "this manager is not started"),
    ],
)
def test_on_done_is_refused_where_it_would_never_be_called(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    manager = JobManager(NOWHERE, work)
    with pytest.raises(error, match=message):
        manager.create("a", **arguments)


def test_on_done_is_refused_for_a_type_without_a_handler_and_after_stop(
    make_manager: Callable[..., JobManager], tables: str, count: Callable[[], int]
) -> None:
    manager = make_manager(schema=tables, handlers={"a": work})
    before = count()
    manager.start(1)
    with pytest.raises(NotRunning, match="this one has no handler for 'b'"):
        manager.create("b", on_done=print)
    told = threading.Event()
    manager.create("a", on_done=lambda job: told.set())
    assert told.wait(60)
    manager.stop()
    with pytest.raises(NotRunning, match="this manager is not started"):
        manager.create("a", on_done=print)
    assert count() == before + 1


def test_a_bad_job_is_an_invalid_job_also_with_on_done() -> None:
    with pytest.raises(InvalidJob):
        JobManager(NOWHERE).create("", on_done=print)


# -- the constructor ----------------------------------------------------------------------------------------------------

CONSTRUCTOR: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    # keywords, error, a part of its message
    "schema: empty": ({"schema": ""}, ValueError, "schema must be 1 to 63 bytes"),
    "schema: 64 bytes": ({"schema": "s" * 64}, ValueError, "schema must be 1 to 63 bytes"),
    "schema: 64 bytes of UTF-8": ({"schema": "é" * 32}, ValueError, "schema must be 1 to 63 bytes"),
    "schema: pg_": ({"schema": "pg_jobs"}, ValueError, 'schema must not begin with "pg_"'),
    "schema: a NUL": ({"schema": "a\x00b"}, ValueError, "schema contains a NUL"),
    "schema: a lone surrogate": ({"schema": "\ud800"}, ValueError, "schema contains a NUL character or a lone surrogate"),
    "schema: None": ({"schema": None}, TypeError, "schema must be a str, not NoneType"),
    "queues: a name": ({"queues": "mail"}, TypeError, "queues must be a list of names"),
    "queues: empty": ({"queues": []}, ValueError, "queues is empty"),
    "queues: an int": ({"queues": [1]}, TypeError, "a queue's name must be a str"),
    "queues: a NUL": ({"queues": ["a\x00"]}, ValueError, "a queue's name must not contain control"),
    "poll_interval: 0": ({"poll_interval": 0}, ValueError, "poll_interval must be between"),
    "poll_interval: text": ({"poll_interval": "1"}, TypeError, "poll_interval must be a number"),
    "poll_interval: NaN": ({"poll_interval": float("nan")}, ValueError, "poll_interval must be between"),
    "poll_interval: more than a float holds": ({"poll_interval": 10**400}, ValueError, "poll_interval must be between"),
    "retry: a strategy": ({"retry": "exp"}, TypeError, "retry must be a RetryPolicy"),
    "retry: None": ({"retry": None}, TypeError, "retry must be a RetryPolicy"),
    "notify: 1": ({"notify": 1}, TypeError, "notify must be True or False"),
    "max_payload_bytes: 0": ({"max_payload_bytes": 0}, ValueError, "max_payload_bytes must be between"),
    "max_payload_bytes: None": ({"max_payload_bytes": None}, TypeError, "max_payload_bytes must be an int"),
    "max_result_bytes: 1.5": ({"max_result_bytes": 1.5}, TypeError, "max_result_bytes must be an int"),
    "max_result_bytes: a gibibyte": ({"max_result_bytes": 1 << 30}, ValueError, "max_result_bytes must be between"),
    "handler: text": ({"handler": "work"}, TypeError, "a handler must be callable, not str"),
    "handler: async": ({"handler": asynchronous}, TypeError, "asynchronous is an async function"),
    "handlers: a list": ({"handlers": [work]}, TypeError, "handlers must be a mapping"),
    "handlers: a function": ({"handlers": work}, TypeError, "handlers must be a mapping"),
    "handlers: None inside": ({"handlers": {"a": None}}, TypeError, "a handler must be callable, not NoneType"),
    "handlers: async inside": ({"handlers": {"a": asynchronous}}, TypeError, "asynchronous is an async function"),
    "handlers: an int as type": ({"handlers": {1: work}}, TypeError, "a job's type must be a str, not int"),
    "handlers: an empty type": ({"handlers": {"": work}}, ValueError, "a job's type must have 1 to 255 characters"),
    "an unknown keyword": ({"worker": 5}, TypeError, "worker"),
    "db: an int": ({"db": 5}, TypeError, "db must be a conninfo string"),
    "db: bytes": ({"db": b"host=127.0.0.1"}, TypeError, "not builtins.bytes"),
    "db: a dict": ({"db": {"host": "127.0.0.1"}}, TypeError, "not builtins.dict"),
    "db: an object": ({"db": Wrapper()}, TypeError, "Wrapper"),
    "db: the class of a connection": ({"db": psycopg.Connection}, TypeError, "db must be a conninfo string"),
    "db: the class of a pool": ({"db": psycopg_pool.ConnectionPool}, TypeError, "db must be a conninfo string"),
    "db: the class of an async connection": ({"db": psycopg.AsyncConnection}, TypeError, "steve is synchronous"),
    "db: the class of an async pool": ({"db": psycopg_pool.AsyncConnectionPool}, TypeError, "steve is synchronous"),
    "db: an async pool": (
        {"db": psycopg_pool.AsyncConnectionPool("", open=False)},
        TypeError,
        "not psycopg_pool.pool_async.AsyncConnectionPool: steve is synchronous",
    ),
    "db: a pool that is not open": (
        {"db": psycopg_pool.ConnectionPool("", open=False)},
        SteveError,
        "a pool that is not open",
    ),
}


@pytest.mark.parametrize(("keywords", "error", "message"), CONSTRUCTOR.values(), ids=CONSTRUCTOR)
def test_a_wrong_keyword_of_the_constructor_is_refused_at_once(
    keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        JobManager(**{"db": NOWHERE} | keywords)
    assert type(caught.value) is error
    assert message in str(caught.value)


def test_an_async_connection_or_a_closed_one_is_refused(database_url: str) -> None:
    async def pass_it() -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            with pytest.raises(TypeError, match=r"AsyncConnection: steve is synchronous"):
                JobManager(connection)
            with pytest.raises(TypeError, match="connection must be"):
                JobManager(NOWHERE).create("a", connection=connection)

    asyncio.run(pass_it())
    connection = psycopg.connect(database_url)
    connection.close()
    with pytest.raises(ValueError, match="db is a closed connection"):
        JobManager(connection)


MALFORMED = {
    "bracket": f"postgresql://ada:{SECRET}@[::1",
    "percent": f"postgresql://ada:{SECRET}%zz@host/db",
    "parameter": f"postgresql://ada:{SECRET}@host:5432/db?nonsense=1",
    "at": f"postgresql://ada:{SECRET}@{SECRET}@127.0.0.1:1/db",
    "slash": f"postgresql://ada:1/{SECRET}@127.0.0.1:1/db",
    "question mark and at": f"postgresql://ada:a?{SECRET}@{SECRET}@127.0.0.1:1",
    "blank": f"host=127.0.0.1 password={SECRET} {SECRET}",
    "quote": f"host=127.0.0.1 password='{SECRET}",
    "word": f"host=127.0.0.1 password={SECRET} nonsense",
    "keyword": f"password={SECRET} nonsense=1",
    "scheme": f"mysql://ada:{SECRET}@host/db",
    "password": SECRET,
}


def assert_refused_without_password(db: str | None) -> None:
    with pytest.raises(ValueError, match="conninfo") as caught:
        JobManager(db)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown


@pytest.mark.parametrize(
    "conninfo",
    [*MALFORMED.values(), f"host=\ud800 password={SECRET}", f"host=127.0.0.1\x00 password={SECRET}"],
    ids=[*MALFORMED, "lone surrogate", "NUL"],
)
def test_a_malformed_conninfo_is_refused_without_its_password(conninfo: str) -> None:
    assert_refused_without_password(conninfo)


@pytest.mark.parametrize("conninfo", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_conninfo_in_the_environment_is_refused_without_its_password(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEVE_DATABASE_URL", conninfo)
    assert_refused_without_password(None)


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://ada:a%40b@127.0.0.1:1,127.0.0.1:2/d%40b?application_name=a@b/c",
        "postgres://ada:a?b@127.0.0.1:1/db",
        "postgresql:///db?host=/tmp/a@b&user=ada",
        "host=/tmp/a@b user=ada@example.com password=a@b@c",
    ],
)
def test_an_at_sign_where_a_conninfo_may_have_one_is_fine(conninfo: str) -> None:
    JobManager(conninfo)


WORKERS: list[tuple[Any, type[Exception]]] = [
    (0, ValueError),
    (-1, ValueError),
    (1001, ValueError),
    (2**64, ValueError),
    (True, TypeError),
    (False, TypeError),
    ("two", ValueError),
    (2.0, TypeError),
    (None, TypeError),
    ([2], TypeError),
]


@pytest.mark.parametrize(("workers", "error"), WORKERS)
@pytest.mark.parametrize("method", ["start", "run"])
def test_a_wrong_number_of_workers_is_refused_before_anything_is_done(
    method: str, workers: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="workers must be") as caught:
        getattr(JobManager(NOWHERE), method)(workers)
    assert type(caught.value) is error


def test_a_manager_that_was_asked_for_a_wrong_number_of_workers_can_start(shop: JobManager) -> None:
    for workers, error in WORKERS:
        with pytest.raises(error):
            shop.start(workers)
    shop.start(1)


# -- handlers and listeners ---------------------------------------------------------------------------------------------

NO_HANDLERS: dict[str, tuple[Any, str]] = {
    # a handler, a part of the message
    "a coroutine function": (asynchronous, "asynchronous is an async function"),
    "an async generator function": (asynchronous_generator, "asynchronous_generator is an async function"),
    "an object whose calls are async": (AsynchronousObject(), "AsynchronousObject is an async function"),
    "an async method": (AsynchronousObject().method, "method is an async function"),
    "an async static method": (AsynchronousObject.static, "static is an async function"),
    "an async class method": (AsynchronousObject.of_class, "of_class is an async function"),
    "a partial of a coroutine function": (functools.partial(asynchronous), "is an async function"),
    "a partial of a partial": (functools.partial(functools.partial(asynchronous)), "is an async function"),
    "a partial of an async generator function": (functools.partial(asynchronous_generator), "is an async function"),
    "a partial of an async method": (functools.partial(AsynchronousObject().method), "is an async function"),
    "a partial of an object whose calls are async": (functools.partial(AsynchronousObject()), "is an async function"),
    "text": ("work", "a handler must be callable, not str"),
    "an int": (5, "a handler must be callable, not int"),
    "a list": ([work], "a handler must be callable, not list"),
    "an object": (object(), "a handler must be callable, not object"),
}


@pytest.mark.parametrize(("handler", "message"), NO_HANDLERS.values(), ids=NO_HANDLERS)
def test_what_is_no_handler_is_refused_wherever_it_is_given(handler: Any, message: str) -> None:
    manager = JobManager(NOWHERE)
    for give in (
        lambda: manager.handler("a")(handler),
        lambda: manager.set_handler("a", handler),
        lambda: JobManager(NOWHERE, handler),
        lambda: JobManager(NOWHERE, handlers={"a": handler}),
    ):
        with pytest.raises(TypeError) as caught:
            give()
        assert message in str(caught.value)
        assert "async" not in message or "asyncio.run" in str(caught.value)  # the message says what to do instead
    assert not manager.has_handler("a")


@pytest.mark.parametrize(("name", "message"), NAMES.values(), ids=NAMES)
def test_a_type_that_no_job_can_have_gets_no_handler_and_no_listener(name: Any, message: str) -> None:
    manager = JobManager(NOWHERE)
    error = ValueError if isinstance(name, str) else TypeError
    for give in (
        lambda: manager.handler(name)(work),
        lambda: manager.set_handler(name, work),
        lambda: manager.set_handler(name, None),
    ):
        with pytest.raises(error) as caught:
            give()
        assert str(caught.value).startswith(f"a job's type {message}")
    if isinstance(name, list):  # for a listener that is many types
        return
    for listen in (manager.on_success, manager.on_failure, manager.on_done, manager.on_attempt):
        with pytest.raises(error, match="a listener's type must"):
            listen([name], print)


def test_a_second_handler_for_a_type_is_refused_unless_set_handler_gives_it() -> None:
    manager = JobManager(NOWHERE)
    manager.handler("a")(work)
    with pytest.raises(ValueError, match="the type 'a' has a handler already: use set_handler"):
        manager.handler("a")(work)
    manager.set_handler("a", print)
    assert manager.has_handler("a")


@pytest.mark.parametrize("decorator", ["handler", "on_success", "on_failure", "on_done", "on_attempt"])
def test_a_decorator_that_is_used_without_its_type_is_refused(decorator: str) -> None:
    """`@manager.handler` over a function would otherwise put a decorator in its place and register nothing."""
    with pytest.raises(TypeError):
        getattr(JobManager(NOWHERE), decorator)(work)


@pytest.mark.parametrize("callback", [5, "print", [print]])
@pytest.mark.parametrize("kind", ["on_success", "on_failure", "on_done", "on_attempt"])
def test_a_listener_that_cannot_be_called_is_refused(kind: str, callback: Any) -> None:
    with pytest.raises(TypeError, match="a listener must be callable"):
        getattr(JobManager(NOWHERE), kind)("a", callback)


# -- looking ------------------------------------------------------------------------------------------------------------

LOOKING: dict[str, tuple[Callable[[JobManager], Any], type[Exception], str]] = {
    "find: None": (lambda m: m.find(None), TypeError, "job must be a Job, its uid or that as a str, not NoneType"),
    "find: a number": (lambda m: m.find(7), TypeError, "job must be a Job, its uid or that as a str, not int"),
    "find: text": (lambda m: m.find("seven"), ValueError, "a job's uid must be a UUID, not 'seven'"),
    "find: SQL": (lambda m: m.find("' or true --"), ValueError, "a job's uid must be a UUID"),
    "find: a NUL": (lambda m: m.find("\x00" * 1_000), ValueError, "a job's uid must be a UUID"),
    "find: NewJob": (lambda m: m.find(NewJob("a")), TypeError, "job must be a Job"),
    "history: None": (lambda m: m.history(None), TypeError, "job must be a Job"),
    "history: running": (lambda m: m.history(UUID(int=1), running="yes"), TypeError, "running must be True or False"),
    "history: text": (lambda m: m.history("seven"), ValueError, "a job's uid must be a UUID"),
    "fetch_all: an unknown status": (lambda m: m.fetch_all("done"), ValueError, "status must be one of pending, running"),
    "fetch_all: status 5": (lambda m: m.fetch_all(5), ValueError, "status must be one of pending, running"),
    "fetch_all: an empty type": (lambda m: m.fetch_all(type=""), ValueError, "type must have 1 to 255 characters"),
    "fetch_all: type 5": (lambda m: m.fetch_all(type=5), TypeError, "type must be a str, not int"),
    "fetch_all: a queue with a NUL": (lambda m: m.fetch_all(queue="\x00"), ValueError, "queue must not contain control"),
    "fetch_all: queue 5": (lambda m: m.fetch_all(queue=5), TypeError, "queue must be a str, not int"),
    "fetch_all: limit 0": (lambda m: m.fetch_all(limit=0), ValueError, "limit must be between 1 and 10000, not 0"),
    "fetch_all: limit 10,001": (lambda m: m.fetch_all(limit=10_001), ValueError, "limit must be between"),
    "fetch_all: limit True": (lambda m: m.fetch_all(limit=True), TypeError, "limit must be an int, not bool"),
    "fetch_all: limit text": (lambda m: m.fetch_all(limit="5"), TypeError, "limit must be an int, not str"),
    "fetch_all: limit None": (lambda m: m.fetch_all(limit=None), TypeError, "limit must be an int, not NoneType"),
    "fetch_all: error 5": (lambda m: m.fetch_all(error=5), TypeError, "error must be a str, not int"),
    "fetch_all: an empty error": (lambda m: m.fetch_all(error=""), ValueError, "error must be text"),
    "fetch_all: a naive time": (lambda m: m.fetch_all(ended_after=datetime(2030, 1, 1)), ValueError, "ended_after"),
    "fetch_all: created_before 5": (lambda m: m.fetch_all(created_before=5), TypeError, "created_before"),
    "retry_all: rate 0": (lambda m: m.retry_all(type="a", rate=0), ValueError, "rate must be 0.01 to"),
    "delete_all: rate True": (lambda m: m.delete_all(type="a", rate=True), TypeError, "rate must be a number"),
    "fetch_all: before a number": (lambda m: m.fetch_all(before=7), TypeError, "before must be a Job"),
    "fetch_all: before a uid": (lambda m: m.fetch_all(before=UUID(int=7)), TypeError, "before must be a Job"),
    "stop: text": (lambda m: m.stop("5"), TypeError, "timeout must be a number of seconds or None, not str"),
    "stop: True": (lambda m: m.stop(True), TypeError, "timeout must be a number of seconds or None, not bool"),
    "stop: -1": (lambda m: m.stop(-1), ValueError, "timeout must be 0 or more seconds"),
    "stop: NaN": (lambda m: m.stop(float("nan")), ValueError, "timeout must be 0 or more seconds"),
    "stop: inf": (lambda m: m.stop(float("inf")), ValueError, "timeout must be 0 or more seconds"),
    "stop: more than a float holds": (lambda m: m.stop(10**400), ValueError, "timeout must be 0 or more seconds"),
}


@pytest.mark.parametrize(("call", "error", "message"), LOOKING.values(), ids=LOOKING)
def test_a_wrong_argument_of_the_other_calls_is_refused_before_anything_is_sent(
    call: Callable[[JobManager], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        call(JobManager(NOWHERE))
    assert type(caught.value) is error
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 600


# -- odd, but right -----------------------------------------------------------------------------------------------------

INJECTION = "'; drop table job; select '"
TEXTS = {
    "emoji, 255 characters": "🚀" * 255,
    "one character": "a",
    "%s": "%s",
    "%(type)s": "%(type)s",
    "braces": "{schema}",
    "quotes": "'\"'\"",
    "backslashes": "\\'\\\\",
    "SQL": INJECTION,
    "a comment": "-- /* a */",
    "a dollar quote": "$$ $1",
    "an array": '{null,"a"}',
    "null": "null",
    "blanks inside": "a  b",
    "right to left": "إرسال",
    "combining": "e\u0301",
    "a comma": "a,b",
}


PAUSING: dict[str, tuple[Callable[[JobManager], Any], type[Exception], str]] = {
    **{
        f"{call}: {what}: {name}": (
            lambda m, call=call, what=what, value=value: getattr(m, call)(**{what: value}),
            ValueError if isinstance(value, str) else TypeError,
            f"{what} {message}",
        )
        for call in ("pause", "resume")
        for what in ("queue", "type")
        for name, (value, message) in NAMES.items()
    },
    "until: seconds": (lambda m: m.pause(until=60), TypeError, "until must be an aware datetime, not int"),
    "until: a delay": (lambda m: m.pause(until=timedelta(1)), TypeError, "until must be an aware datetime, not timedelta"),
    "until: naive": (lambda m: m.pause(until=datetime(2030, 1, 1)), ValueError, "until must say its time zone: 2030-01-01"),
    "until: year 9999": (
        lambda m: m.pause(until=datetime(9999, 1, 1, tzinfo=UTC)),
        ValueError,
        "until must lie before the year 9999, not 9999-01-01",
    ),
    "reason: a number": (lambda m: m.pause(reason=5), TypeError, "reason must be a str or None, not int"),
    "reason: empty": (lambda m: m.pause(reason=""), ValueError, "reason must have 1 to 1000 characters, not 0"),
    "reason: long": (lambda m: m.pause(reason="a" * 1_001), ValueError, "reason must have 1 to 1000 characters, not 1001"),
    "reason: a NUL": (lambda m: m.pause(reason="a\x00"), ValueError, "reason contains a NUL character or a lone surrogate"),
}


@pytest.mark.parametrize(("call", "error", "message"), PAUSING.values(), ids=PAUSING)
def test_a_wrong_pause_is_refused_before_anything_is_sent(
    call: Callable[[JobManager], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        call(JobManager(NOWHERE))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_type_a_queue_and_a_payload_are_only_text(
    text: str, make_manager: Callable[..., JobManager], tables: str, count: Callable[[], int]
) -> None:
    told: list[Job] = []
    manager = make_manager(schema=tables, handlers={text: lambda job: job.payload}, queues=[text])
    manager.on_success(text, told.append)
    manager.start(1)
    before = count()
    one = manager.create(text, {text: [text]}, queue=text)
    two, three = manager.create_many([(text, {text: [text]}), NewJob(text, {text: [text]}, queue=text)], queue=text)
    until(lambda: len(told) == 3)
    for job in (one, two, three):
        found = manager.find(job)
        assert found is not None
        assert (found.type, found.queue, found.status) == (text, text, "completed")
        assert found.payload == found.result == job.payload == {text: [text]}
    assert {job.uid for job in manager.fetch_all(type=text, queue=text)} == {one.uid, two.uid, three.uid}
    assert count() == before + 3


@pytest.mark.parametrize("name", ["é" * 31 + "s", INJECTION, 'a"; drop schema public; --', "a%b", "%s", "{schema}", " "])
def test_a_schemas_name_is_only_text(name: str, database_url: str, conn: psycopg.Connection) -> None:
    manager = JobManager(database_url, work, schema=name)
    drop = sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name))
    conn.execute(drop)  # the names are the same in each run: one that was killed may have left them
    try:
        with manager:
            job = manager.create("a")
            until(lambda: (found := manager.find(job)) and found.status == "completed")
            assert [attempt.status for attempt in manager.history(job)] == ["success"]
        assert conn.execute("select true from pg_namespace where nspname = %s", [name]).fetchone()
    finally:
        manager.stop()
        conn.execute(drop)


SHAPES: dict[str, tuple[Callable[[], Any], Any]] = {
    # a payload, what it reads back as
    "None": (lambda: None, {}),
    "empty": (dict, {}),
    "tuples": (lambda: {"a": (1, ("b", ()))}, {"a": [1, ["b", []]]}),
    "401 digits": (lambda: {"a": 10**400}, {"a": 10**400}),
    "3,000 digits": (lambda: {"a": -(10**2999)}, {"a": -(10**2999)}),
    "100 levels": (lambda: nested(100), nested(100)),
    "a subclass of dict": (lambda: Record(a=Record(b=1)), {"a": {"b": 1}}),
    "a defaultdict": (lambda: defaultdict(list, a=[1]), {"a": [1]}),
    "subclasses of str and int": (lambda: {Text("a"): [Text("b"), Whole(5)]}, {"a": ["b", 5]}),
    "a StrEnum and an IntEnum": (lambda: {Kind.MAIL: [Kind.MAIL, Size.SMALL]}, {"mail": ["mail", 1]}),
    "a str and Enum": (lambda: {OldKind.MAIL: OldKind.MAIL}, {"mail": "mail"}),
    "numbers": (lambda: {"a": [0.1, 1.0, 5e-324, -(2**64), True, None]}, {"a": [0.1, 1.0, 5e-324, -(2**64), True, None]}),
    "the escape of a NUL, spelled out": (lambda: {"\\u0000": "\\u0000"}, {"\\u0000": "\\u0000"}),
    "control characters but NUL": (
        lambda: {"a\n": "".join(map(chr, range(1, 160)))},
        {"a\n": "".join(map(chr, range(1, 160)))},
    ),
    "an empty key": (lambda: {"": ""}, {"": ""}),
    "emoji": (lambda: {"🚀": "👩‍👩‍👧‍👦\U0010ffff"}, {"🚀": "👩‍👩‍👧‍👦\U0010ffff"}),
}


def test_an_odd_payload_comes_to_the_handler_and_back(shop: JobManager) -> None:
    shop.set_handler("a", lambda job: job.payload)
    told: dict[UUID, Job] = {}
    shop.on_done("a", lambda job: told.update({job.uid: job}))
    shop.start(1)
    created: list[tuple[Job, Any]] = []
    for make, read in SHAPES.values():
        created += [(job, read) for job in (shop.create("a", make()), *shop.create_many([("a", make())]))]
    until(lambda: len(told) == len(created))
    for job, read in created:
        assert job.payload == read
        for found in (shop.find(job), told[job.uid]):
            assert found is not None
            assert (found.status, found.error) == ("completed", None)
            assert found.payload == found.result == read
            assert repr(found.payload) == repr(read)  # the types too: 1 == True == 1.0


@pytest.mark.parametrize("number", [1e16, 1e23, -1e308, 1.7976931348623157e308])
def test_a_large_float_comes_back_as_the_number_that_it_is(number: float, shop: JobManager) -> None:
    """As an int: PostgreSQL's jsonb keeps a number, not how it was written."""
    found = shop.find(shop.create("a", {"n": number}))
    assert found is not None
    assert float(found.payload["n"]) == number


@pytest.mark.parametrize("name", [Kind.MAIL, OldKind.MAIL, Text("mail")], ids=["StrEnum", "str and Enum", "subclass"])
def test_a_subclass_of_str_is_the_text_that_it_is(name: str, make_manager: Callable[..., JobManager], tables: str) -> None:
    told: list[Job] = []
    manager = make_manager(schema=tables, queues=[name])
    manager.handler(name)(lambda job: job.type)
    manager.on_success(name, told.append)
    manager.start(1)
    jobs = [manager.create(name, queue=name), *manager.create_many([(name, {}), NewJob(name)], queue=name)]
    assert {(job.type, job.queue) for job in jobs} == {("mail", "mail")}
    assert {(type(job.type), type(job.queue)) for job in jobs} == {(str, str)}
    until(lambda: len(told) == 3)
    assert [job.result for job in told] == ["mail"] * 3
    assert manager.has_handler("mail")
    assert {job.uid for job in manager.fetch_all(type=name, queue=name)} >= {job.uid for job in jobs}


@pytest.mark.parametrize(
    ("run_at", "due"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), None),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), None),
        (datetime(1970, 1, 1, tzinfo=UTC), None),
        (datetime(2030, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))), datetime(2030, 1, 1, 12, tzinfo=UTC)),
        (datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_an_instant_in_the_past_is_now_and_any_other_is_kept(
    run_at: datetime, due: datetime | None, shop: JobManager, conn: psycopg.Connection
) -> None:
    before = conn.execute("select clock_timestamp()").fetchone()
    jobs = [shop.create("a", run_at=run_at), *shop.create_many([("a", None)], run_at=run_at)]
    after = conn.execute("select clock_timestamp()").fetchone()
    assert before is not None
    assert after is not None
    for job in jobs:
        assert job.run_at.utcoffset() == timedelta(0)
        assert job.run_at == due if due is not None else before[0] <= job.run_at <= after[0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_attempts": 1},
        {"max_attempts": 10_000},
        {"priority": -100},
        {"priority": 100},
        {"backoff_strategy": "none"},
        {"backoff_strategy": Text("exp")},
        {"backoff_strategy": RetryPolicy(1, "none", 1, 0, 0)},
        {"backoff_strategy": RetryPolicy(10_000, "exp", 1000, 31_536_000, 1)},
        {"notify": False},
        {"queue": "q" * 255},
    ],
    ids=str,
)
def test_the_limits_themselves_are_fine(arguments: dict[str, Any], shop: JobManager) -> None:
    jobs = [shop.create("a", **arguments), *shop.create_many([("a", {})], **arguments)]
    if "notify" not in arguments:
        jobs += shop.create_many([NewJob("a", **arguments)])
    for job in jobs:
        assert shop.find(job) == job
        for name in ("max_attempts", "priority", "queue"):
            assert name not in arguments or getattr(job, name) == arguments[name]


@pytest.mark.parametrize(
    "keywords",
    [
        {"schema": "s" * 63},
        {"schema": "🚀" * 15},
        {"queues": ["q" * 255]},
        {"queues": (name for name in "ab")},
        {"poll_interval": 0.05},
        {"poll_interval": 3600},
        {"max_payload_bytes": 2, "max_result_bytes": 2},
        {"max_payload_bytes": 1 << 28, "max_result_bytes": 1 << 28},
        {"handlers": {}},
        {"handler": lambda job: asyncio.run(asynchronous(job))},
        {"handler": functools.partial(print, "job")},
    ],
)
def test_the_limits_of_the_constructor_are_fine(keywords: dict[str, Any]) -> None:
    JobManager(NOWHERE, **keywords)


# -- what PostgreSQL refuses all the same -----------------------------------------------------------------------------------


REFUSAL = """
create function {schema}.refuse() returns boolean immutable language plpgsql as
  $$ begin raise 'refused' using errcode = '22P02'; end $$;
"""
REFUSED_ROWS = """
create function {schema}.refuse_row() returns trigger language plpgsql as
  $$ begin perform {schema}.refuse(); return new; end $$;
create trigger refuse before insert on {schema}.job for each row execute function {schema}.refuse_row();
"""
REFUSED_QUERIES = """
alter table {schema}.job rename to job_aside;
create view {schema}.job as select * from {schema}.job_aside where {schema}.refuse();
alter table {schema}.attempt rename to attempt_aside;
create view {schema}.attempt as select * from {schema}.attempt_aside where {schema}.refuse();
"""
"""The planner calls the function, whichever rows there are, because it is immutable."""


@pytest.mark.parametrize(
    ("refused", "call", "error"),
    [
        (REFUSED_ROWS, lambda manager: manager.create("a"), InvalidJob),
        (REFUSED_ROWS, lambda manager: manager.create_many([("a", None)]), InvalidJob),
        (REFUSED_QUERIES, lambda manager: manager.find(UUID(int=1)), SteveError),
        (REFUSED_QUERIES, lambda manager: manager.history(UUID(int=1)), SteveError),
        (REFUSED_QUERIES, lambda manager: manager.fetch_all(), SteveError),
    ],
    ids=["create", "create_many", "find", "history", "fetch_all"],
)
def test_only_what_stores_a_job_can_say_that_it_is_invalid(
    manager: JobManager,
    conn: psycopg.Connection,
    schema: str,
    refused: str,
    call: Callable[[JobManager], object],
    error: type[Exception],
) -> None:
    conn.execute((REFUSAL + refused).format(schema=schema).encode())
    with pytest.raises(SteveError, match=r"^PostgreSQL refused it \(SQLSTATE 22P02\)$") as caught:
        call(manager)
    assert type(caught.value) is error
