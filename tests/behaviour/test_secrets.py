"""No message, log line or column shows a password, or a value of a payload or a result, except the columns that are for it.

These tests put a canary in the place of each secret. Whatever goes wrong, it must not be in the log (of steve and psycopg, from
DEBUG on, with tracebacks), in an error as a traceback prints it, or in the tables outside of `payload` and `result`. What a
handler raises is kept as it is.
"""

import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from steve import Job, JobManager, Snooze, Status, SteveError
from tests.behaviour.test_bad_input import MALFORMED, SECRET
from tests.conftest import until

CANARY = SECRET
PAYLOAD = {"word": CANARY, "list": [{"deep": CANARY}]}
DONE = (Status.COMPLETED, Status.FAILED)


class Ears:
    """Collects all that was logged or raised."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def raised(self, call: Callable[[], object], kind: type[Exception] = SteveError) -> str:
        """Remember the error of a call as a traceback prints it, without the lines of source."""
        with pytest.raises(kind) as caught:
            call()
        lines = "".join(traceback.format_exception(caught.value)).splitlines()
        text = "\n".join(line for line in lines if not line.startswith("    ")) + repr(caught.value)
        self.heard.append(text)
        return text


@pytest.fixture
def ears(caplog: pytest.LogCaptureFixture) -> Iterator[Ears]:
    caplog.set_level("DEBUG")
    ears = Ears()
    yield ears
    ears.heard += [f"{record.__dict__} {caplog.handler.format(record)}" for record in caplog.get_records("call")]
    assert [text for text in ears.heard if CANARY in text] == []


@pytest.fixture
def columns(ears: Ears, conn: psycopg.Connection, schema: str) -> Iterator[None]:
    """Read the tables when the test is over."""
    yield
    jobs = "select to_jsonb(job) - 'payload' - 'result' from {}.job"
    queries = [jobs, *(f"select {table} from {{}}.{table}" for table in ("attempt", "process", "migration"))]
    for query in queries:
        ears.heard += [str(row) for row in conn.execute(sql.SQL(query).format(sql.Identifier(schema))).fetchall()]


def calls_of(manager: JobManager) -> list[Callable[[], object]]:
    return [
        lambda: manager.create("a", PAYLOAD),
        lambda: manager.create_many([("a", PAYLOAD)] * 3),
        manager.start,
        manager.migrate,
        manager.fetch_all,
        lambda: manager.prune(older_than=timedelta(1)),
    ]


# -- passwords ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conninfo", MALFORMED.values(), ids=MALFORMED)
def test_a_conninfo_that_cannot_be_read_is_not_shown(conninfo: str, ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CANARY in conninfo
    ears.raised(lambda: JobManager(conninfo), ValueError)
    monkeypatch.setenv("STEVE_DATABASE_URL", conninfo)
    ears.raised(JobManager, ValueError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 1},
        {"host": "/no/such/directory"},
        {"user": "nobody_of_this_name"},
        {"dbname": "no_database_of_this_name"},
        {"options": "-c no_setting_of_this_name=1"},
    ],
    ids=str,
)
def test_a_database_that_cannot_be_reached_is_named_without_the_password(
    wrong: dict[str, Any], database_url: str, make_manager: Callable[..., JobManager], ears: Ears
) -> None:
    manager = make_manager(make_conninfo(database_url, **{"password": CANARY} | wrong), create_timeout=0.5)
    for call in calls_of(manager):
        ears.raised(call)


# -- payloads -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("columns")
@pytest.mark.parametrize(
    "state", ["23514", "22P02", "53100", "57014", "55P03", "25006", "42501", "42P01", "57P01", "08006", "XX000"]
)
def test_what_postgresql_says_of_a_payload_is_not_repeated(
    state: str, make_manager: Callable[..., JobManager], conn: psycopg.Connection, schema: str, ears: Ears
) -> None:
    """A trigger answers each row with an error whose DETAIL quotes it; the CONTEXT of a COPY does so by itself."""
    make_manager().migrate()
    manager = make_manager(create_timeout=0.5)
    made = sql.SQL("""
        create function {0}.refuse() returns trigger language plpgsql as $$
        begin raise exception 'no' using errcode = {1}, detail = new.payload::text, hint = new.payload::text; end $$;
        create trigger refuse before insert on {0}.job for each row execute function {0}.refuse()
    """)
    conn.execute(made.format(sql.Identifier(schema), sql.Literal(state)))
    ears.raised(lambda: manager.create("a", PAYLOAD))
    ears.raised(lambda: manager.create_many([("a", PAYLOAD)] * 3))


@pytest.mark.usefixtures("columns")
def test_a_manager_at_work_logs_no_value_of_a_job(
    manager: JobManager, conn: psycopg.Connection, schema: str, database_url: str, ears: Ears, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs end in every way, are told to listeners that raise, and connections break."""
    job_table = sql.Identifier(schema, "job")
    taken, go = threading.Event(), threading.Event()

    def raises(job: Job) -> None:
        raise LookupError("no such order")

    def snoozes(job: Job) -> None:
        raise Snooze(3600)

    def is_taken(job: Job) -> dict[str, Any]:
        word = job.payload["word"]  # noqa: F841 - a local that a stack might show
        taken.set()
        go.wait(60)
        return job.payload

    handlers: dict[str, Callable[[Job], Any]] = {
        "returns": lambda job: job.payload,
        "raises": raises,
        "snoozes": snoozes,
        "returns a set": lambda job: {"a": {job.payload["word"]}},
        "returns a key": lambda job: {1: CANARY},
        "returns too much": lambda job: CANARY * 300_000,
        "is refused": lambda job: {"refused": CANARY},
        "too deep": lambda job: None,
        "is taken": is_taken,
    }

    def listener(job: Job, *attempt: Any) -> None:
        assert job.type  # it has the payload, too
        raise RuntimeError("a listener's own")

    forbid = "alter table {} add check ((result ? 'refused' and jsonb_typeof(result) = 'object') is not true)"
    conn.execute(sql.SQL(forbid).format(job_table))
    for type, handler in handlers.items():
        manager.set_handler(type, handler)
    manager.on_done(None, listener)
    manager.on_attempt(None, listener)
    jobs = {type: manager.create(type, PAYLOAD, max_attempts=2, backoff_strategy="none") for type in handlers}
    deep = sql.SQL("update {} set payload = {} where uid = %s")
    value = '{"word": "' + CANARY + '", "n": [' + "9" * 5_000 + "]}"
    conn.execute(deep.format(job_table, sql.Literal(value)), [jobs["too deep"].uid])
    manager.start(workers=4)
    try:
        assert taken.wait(60)
        others = {job.uid for type, job in jobs.items() if type not in ("is taken", "snoozes")}
        until(lambda: {job.uid for job in manager.fetch_all() if job.status in DONE} == others)
        until(lambda: manager.find(jobs["snoozes"]).run_at > jobs["snoozes"].run_at)  # type: ignore[union-attr]
        assert not manager.stop(timeout=0.2).complete
        conn.execute(sql.SQL("update {} set lease_no = lease_no + 1 where status = 'running'").format(job_table))
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s and pid <> pg_backend_pid()",
            [conn.info.get_parameters()["application_name"]],
        )
    finally:
        go.set()
    assert manager.stop(60).complete
    for words in ("a listener raised", "is still running, here", "was taken from this process", "ResultNotStorable", "claimed"):
        until(lambda words=words: words in caplog.text)  # where a handler is, a thread of its own logs
    assert manager.find(jobs["returns"]).result == PAYLOAD  # type: ignore[union-attr]


def test_what_a_handler_raises_is_kept_as_it_says_it(manager: JobManager) -> None:
    def handler(job: Job) -> None:
        raise LookupError(job.payload["word"])

    manager.set_handler("a", handler)
    manager.start()
    job = manager.create("a", PAYLOAD, max_attempts=1)
    until(lambda: manager.find(job).status is Status.FAILED)  # type: ignore[union-attr]
    assert manager.find(job).error == f"LookupError: {CANARY}"  # type: ignore[union-attr]
