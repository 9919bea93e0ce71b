"""Whatever a handler raises or returns, and whatever an administrator writes into a row: the attempt has a readable reason, the
worker goes on, and jobs that are settled in the same statement are unharmed.

What the handlers do is taken from tests/engine/work/test_run.py; here there is a database behind it.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from steve import AttemptStatus, Job, JobManager, Status
from steve._engine.work.handlers import Handler
from steve._model.tuning import Tuning
from tests.conftest import until
from tests.engine.work.test_run import RAISES, RETURNS, UNSTORABLE, returning

MESSAGE_BYTES = 10_000
DETAILS_BYTES = 64_000

DONE = (Status.COMPLETED, Status.FAILED)
SOUND = {"part": "sound"}


@pytest.fixture
def shop(make_manager: Callable[..., JobManager], tables: str, conn: psycopg.Connection) -> JobManager:
    """A manager with empty tables, not started."""
    conn.execute(sql.SQL("truncate {0}.job, {0}.attempt").format(sql.Identifier(tables)))
    return make_manager(schema=tables, _tuning=Tuning(lock_patience=60.0, buffer_age=3600.0))


@pytest.fixture
def run_among_others(shop: JobManager, tables: str, conn: psycopg.Connection) -> Callable[[Handler], Job]:
    """`run_among_others(handler)` runs a job with that handler between two sound ones that are settled with it, and returns the
    job.

    The settler waits at the first job, whose row is locked here, until the only worker has run them all. By then their verdicts
    are in the settler's queue together, and are written in one statement. All jobs are of one type, so that they are claimed in
    this order.
    """
    lock = sql.SQL("select from {} where uid = %s for update").format(sql.Identifier(tables, "job"))
    first_begun, locked, last_begun = threading.Event(), threading.Event(), threading.Event()

    def first(job: Job) -> None:
        first_begun.set()
        locked.wait(60)

    def run(handler: Handler) -> Job:
        handlers: dict[str, Handler] = {
            "first": first,
            "sound": lambda job: job.payload,
            "odd": handler,
            "last": lambda job: last_begun.set(),
        }
        shop.set_handler("a", lambda job: handlers[job.payload["part"]](job))
        done: list[Job] = []
        shop.on_done("a", done.append)
        parts = ["first", "sound", "odd", "sound", "last"]
        jobs = shop.create_many([("a", {"part": part}) for part in parts], max_attempts=2, backoff_strategy="none")
        shop.start(1)
        try:
            assert first_begun.wait(60)
            with conn.transaction():
                conn.execute(lock, [jobs[0].uid])
                locked.set()
                assert last_begun.wait(60)
        finally:
            locked.set()
        after = shop.create("a", {"part": "sound"})
        until(lambda: len(done) == len([*jobs, after]))
        for job in [jobs[0], jobs[1], jobs[3], jobs[4], after]:
            assert_sound(shop, job)
        return found(shop, jobs[2])

    return run


def found(shop: JobManager, job: Job) -> Job:
    here = shop.find(job)
    assert here is not None
    return here


def assert_sound(shop: JobManager, job: Job) -> None:
    """The job was completed at the first attempt, with what its handler returned."""
    here = found(shop, job)
    assert (here.status, here.attempts, here.error) == ("completed", 1, None)
    assert here.result == (here.payload if here.payload["part"] == "sound" else None)
    assert [attempt.status for attempt in shop.history(job)] == [AttemptStatus.SUCCESS]


def assert_logged(shop: JobManager, job: Job, attempts: int, message: str) -> None:
    """So many failed attempts are recorded, each with a readable reason."""
    assert (job.status, job.attempts, job.result) == ("failed", attempts, None)
    log = shop.history(job)
    assert [attempt.number for attempt in log] == list(range(1, attempts + 1))
    for attempt in log:
        assert attempt.status == AttemptStatus.ERROR
        assert attempt.error_message is not None
        assert message in attempt.error_message
        assert len(attempt.error_message.encode()) <= MESSAGE_BYTES
        assert attempt.error_details is None or len(attempt.error_details.encode()) <= DETAILS_BYTES
    assert job.error == log[-1].error_message


# -- what handlers raise and return -------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """The file that steve's log goes to, in UTF-8, from INFO on."""
    logger, file = logging.getLogger("steve"), tmp_path / "steve.log"
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(levelname)s job %(job_uid)s %(job_attempt)s %(message)s", defaults=NO_JOB))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield file
    logger.setLevel(level)
    logger.removeHandler(handler)
    handler.close()


NO_JOB = {"job_uid": None, "job_attempt": None}


@pytest.mark.parametrize(("handler", "message"), RAISES.values(), ids=RAISES)
def test_whatever_a_job_raises_is_recorded_and_tried_again_and_nothing_else_is_hurt(
    handler: Handler,
    message: str,
    run_among_others: Callable[[Handler], Job],
    shop: JobManager,
    log: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = run_among_others(handler)
    assert_logged(shop, job, 2, message)
    assert all(attempt.error_details for attempt in shop.history(job))

    def lines(errors: str) -> list[list[str]]:
        return [line.split()[:4] for line in log.read_text("utf-8", errors).splitlines() if f" {job.uid} " in line[:60]]

    expected = [["WARNING", "job", str(job.uid), "1"], ["ERROR", "job", str(job.uid), "2"]]
    until(lambda: len(lines("replace")) == 2)  # a worker logs last, when the outcome is on its way already
    assert lines("strict") == expected
    assert "Logging error" not in capsys.readouterr().err
    assert log.stat().st_size < 200_000


def test_what_jobs_return_is_their_result(shop: JobManager) -> None:
    done: list[Job] = []
    shop.on_success(None, done.append)
    shop.set_handler("odd", lambda job: RETURNS[job.payload["name"]][0]())
    shop.create_many([("odd", {"name": name}) for name in RETURNS])
    shop.start(2)
    until(lambda: len(done) == len(RETURNS))
    for jobs in (done, shop.fetch_all()):
        results = {job.payload["name"]: job.result for job in jobs}
        assert results == {name: result for name, (_, result) in RETURNS.items()}
        for name, (_, result) in RETURNS.items():
            assert repr(results[name]) == repr(result)  # the types too: 1 == True == 1.0


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize(("make", "message"), UNSTORABLE.values(), ids=UNSTORABLE)
def test_a_job_whose_result_cannot_be_stored_fails_for_good_and_alone(
    make: Callable[[], Any], message: str, run_among_others: Callable[[Handler], Job], shop: JobManager
) -> None:
    job = run_among_others(returning(make))
    assert_logged(shop, job, 1, message)
    assert job.error is not None
    assert job.error.startswith("ResultNotStorable: the handler finished, but ")


def test_what_these_tests_call_a_group_is_one(run_among_others: Callable[[Handler], Job], shop: JobManager) -> None:
    """The jobs were settled by one statement, hence at one instant."""
    odd = run_among_others(returning(lambda: {1}))
    sound = [job for job in shop.fetch_all() if job.payload["part"] == "sound"][1:]  # but the one that was created last
    assert [job.completed_at for job in sound] == [odd.completed_at] * 2


def test_a_result_of_20_mb_is_stored_where_the_manager_allows_it(
    shop: JobManager, make_manager: Callable[..., JobManager], tables: str
) -> None:
    shop = make_manager(schema=tables, max_result_bytes=1 << 25)
    shop.set_handler("sound", lambda job: job.payload)
    shop.set_handler("odd", lambda job: "🚀" + "x" * 20_000_000)
    jobs = shop.create_many([("sound", SOUND), ("odd", {}), ("sound", SOUND)])
    shop.start(1)
    until(lambda: found(shop, jobs[2]).status in DONE)
    until(lambda: found(shop, jobs[1]).status in DONE)
    assert found(shop, jobs[1]).result == "🚀" + "x" * 20_000_000
    assert_sound(shop, jobs[0])
    assert_sound(shop, jobs[2])


def test_a_result_of_more_than_a_mebibyte_fails_the_job_unless_told_otherwise(
    run_among_others: Callable[[Handler], Job], shop: JobManager
) -> None:
    job = run_among_others(returning(lambda: "x" * 1_048_575))
    assert_logged(shop, job, 1, "its result has 1048577 bytes, more than max_result_bytes=1048576")


@pytest.fixture
def forbid(conn: psycopg.Connection, tables: str) -> Iterator[Callable[[str], None]]:
    """`forbid(condition)` makes PostgreSQL refuse rows of `job` of which that is true."""
    table = sql.Identifier(tables, "job")

    def forbid(condition: str) -> None:
        conn.execute(sql.SQL("alter table {} add constraint forbidden check ((" + condition + ") is not true)").format(table))

    yield forbid
    conn.execute("set lock_timeout = '10s'")
    conn.execute(sql.SQL("alter table {} drop constraint if exists forbidden").format(table))


@pytest.fixture
def allow(conn: psycopg.Connection, tables: str) -> Callable[[], None]:
    """`allow()` ends what `forbid` began."""
    statement = sql.SQL("alter table {} drop constraint forbidden").format(sql.Identifier(tables, "job"))
    return lambda: conn.execute(statement) and None


def test_an_outcome_that_postgresql_refuses_fails_alone(
    run_among_others: Callable[[Handler], Job], shop: JobManager, forbid: Callable[[str], None]
) -> None:
    forbid("result = '\"forbidden\"'")
    job = run_among_others(returning(lambda: "forbidden"))
    assert_logged(shop, job, 1, "its result cannot be stored: PostgreSQL refused it (SQLSTATE 23514)")


@pytest.mark.usefixtures("shop")  # empty tables
def test_an_outcome_that_a_users_constraint_forbids_waits_and_holds_up_no_other(
    make_manager: Callable[..., JobManager], tables: str, forbid: Callable[[str], None], allow: Callable[[], None]
) -> None:
    shop = make_manager(schema=tables, _tuning=Tuning(unhealthy_after=0.2))
    forbid("type = 'odd' and status not in ('pending', 'running')")
    told: list[Job] = []
    shop.on_done(None, told.append)
    for name in ("sound", "odd"):
        shop.set_handler(name, lambda job: job.payload)
    jobs = shop.create_many([("sound", SOUND), ("odd", {}), ("sound", SOUND)])
    shop.start(2)
    until(lambda: len(told) == 2)
    assert [job.type for job in told] == ["sound", "sound"]
    until(lambda: any("outcomes have waited" in problem for problem in shop.health().problems))
    assert (found(shop, jobs[1]).status, shop.history(jobs[1])) == ("running", [])
    allow()
    until(lambda: len(told) == 3)
    assert found(shop, jobs[1]).status is Status.COMPLETED
    until(lambda: shop.health().ok)
    assert shop.stop(60).complete


def test_a_log_line_about_a_row_that_postgresql_refuses_does_not_show_its_payload(
    shop: JobManager, forbid: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    forbid("status = 'running'")
    shop.set_handler("odd", lambda job: None)
    shop.create("odd", {"password": "sesame"})
    shop.start(1)
    until(lambda: "claiming cannot use the database" in caplog.text)
    assert "forbidden" in caplog.text  # the name of the constraint, which an administrator can mend
    assert "sesame" not in caplog.text


class RaisingFilter(logging.Filter):
    """A filter of the application's. The module logging only guards the output of handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise LookupError("the filter is broken")


@pytest.mark.parametrize("message", [None, "no"], ids=["completed", "raised"])
def test_logging_that_raises_does_not_lose_what_a_job_did(message: str | None, shop: JobManager) -> None:
    def handler(job: Job) -> None:
        if message is not None:
            raise ValueError(message)

    logger = logging.getLogger("steve")
    level, broken = logger.level, RaisingFilter()
    shop.set_handler("odd", handler)
    job = shop.create("odd", max_attempts=1)
    shop.start(1)
    logger.setLevel(logging.INFO)
    logger.addFilter(broken)
    try:
        until(lambda: found(shop, job).status in DONE)
    finally:
        logger.removeFilter(broken)
        logger.setLevel(level)
    assert found(shop, job).status == ("completed" if message is None else "failed")


# -- rows that an administrator wrote -----------------------------------------------------------------------------------


@pytest.fixture
def write(conn: psycopg.Connection, tables: str) -> Callable[..., Job]:
    """`write(column=SQL expression)` inserts a job of type "odd". Raises what PostgreSQL raises."""

    def write(**columns: str) -> Any:
        columns = {"type": "'odd'"} | columns
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        values = sql.SQL(", ".join(columns.values()).replace("%", "%%"))
        insert = sql.SQL("insert into {} ({}) values ({}) returning uid::text").format(
            sql.Identifier(tables, "job"), names, values
        )
        return conn.execute(insert).fetchone()[0]  # type: ignore[index]

    return write


def nested(levels: int) -> str:
    return '{"a":' + "[" * levels + "]" * levels + "}"


def as_deep_as_postgresql_takes(conn: psycopg.Connection) -> str:
    for levels in range(50_000, 0, -1_000):  # its stack is limited, not their number
        try:
            conn.execute("select %s::jsonb", [nested(levels)])
        except psycopg.errors.StatementTooComplex:
            continue
        return nested(levels)
    raise AssertionError("not a single level")


PAYLOADS: dict[str, Callable[[psycopg.Connection], str]] = {
    "as deep as PostgreSQL takes": as_deep_as_postgresql_takes,
    "2,000 levels": lambda conn: nested(2_000),
    "5,000 digits": lambda conn: '{"n": ' + "1" * 5_000 + "}",
    "minus 5,000 digits": lambda conn: '{"n": [-' + "9" * 5_000 + "]}",
    "4,401 digits by an exponent": lambda conn: '{"n": 1e4400}',
    "the largest number of PostgreSQL": lambda conn: '{"n": 9.9e131071}',
}


@pytest.mark.parametrize("make", PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_that_python_cannot_hold_fails_alone_and_can_be_looked_at(
    make: Callable[[psycopg.Connection], str], shop: JobManager, write: Callable[..., str], conn: psycopg.Connection
) -> None:
    payload = make(conn)
    told: list[Job] = []
    called: list[Job] = []
    shop.on_done(None, told.append)
    shop.set_handler("sound", lambda job: job.payload)
    shop.set_handler("odd", called.append)
    before = shop.create("sound", SOUND)
    uid = write(payload=f"'{payload}'")
    after = shop.create("sound", SOUND)
    assert len(shop.fetch_all()) == 3
    shop.start(4)  # which claim all three at once
    until(lambda: len(told) == 3)
    assert_sound(shop, before)
    assert_sound(shop, after)

    odd = shop.find(uid)
    assert odd is not None
    page = shop.fetch_all()
    assert [job.uid for job in page] == [after.uid, odd.uid, before.uid]
    assert page[1] == odd
    assert odd in told
    try:
        decoded = json.loads(conn.execute("select %s::jsonb::text", [payload]).fetchone()[0])  # type: ignore[index]
    except (ValueError, RecursionError):
        assert_logged(shop, odd, 1, "PayloadNotDecodable: Python cannot hold this payload")
        assert isinstance(odd.payload, str)
        assert called == []
    else:  # Python 3.13 takes some thousand levels
        assert odd.status == "completed"
        assert called[0].payload == decoded


def test_a_number_that_even_postgresql_cannot_hold_is_refused_by_it(write: Callable[..., str]) -> None:
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        write(payload="""'{"n": 1e300000}'""")


def test_a_result_that_python_cannot_hold_is_shown_as_text(shop: JobManager, write: Callable[..., str]) -> None:
    done = {"status": "'completed'", "completed_at": "now()"}
    uid = write(result="('[' || repeat('1', 5000) || ']')::jsonb", **done)
    other = write(result="'[1]'", **done)
    assert [job.result for job in shop.fetch_all()] == [[1], "[" + "1" * 5000 + "]"]
    for one, result in ((uid, "[" + "1" * 5000 + "]"), (other, [1])):
        job = shop.find(one)
        assert job is not None
        assert job.result == result


def test_a_run_that_cannot_begin_is_not_announced(
    shop: JobManager, write: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    shop.on_attempt(None, lambda job, attempt: told.append(job.status))
    shop.set_handler("odd", lambda job: None)
    write(payload="""('{"n": ' || repeat('1', 5000) || '}')::jsonb""")
    shop.start(1)
    until(lambda: "failed" in told)
    shop.stop()
    assert told == ["failed"]
    assert "a listener raised" not in caplog.text  # none did


COLUMNS: dict[str, dict[str, str]] = {
    "a million characters of error": {"error": "repeat('x', 1000000)"},
    "an error with placeholders": {"error": "'%s %(a)s {}'"},
    "a type of blanks": {"type": "'  '"},
    "a type of control characters": {"type": "E'a\\x07\\nb'"},
    "the highest attempts": {"attempts": "1000000000"},
    "the highest crashes": {"attempts": "10000", "crashes": "10000"},
    "the highest lease": {"lease_no": "9223372036854775807"},
    "an unknown process": {"claimed_at": "now()"},
    "created in the year 5000": {"created_at": "'5000-01-01'"},
    "started at the end of time": {"started_at": "'infinity'"},
    "started at the beginning of time": {"started_at": "'-infinity'"},
    "started before Christ": {"started_at": "'4000-01-01 BC'"},
    "started in the year 20,000": {"started_at": "'20000-01-01'"},
    "claimed at the end of time": {"claimed_at": "'infinity'"},
    "updated at the end of time": {"updated_at": "'infinity'"},
}


@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS)
def test_a_row_with_odd_columns_is_refused_or_hurts_nobody(
    columns: dict[str, str], make_manager: Callable[..., JobManager], shop: JobManager, tables: str, write: Callable[..., str]
) -> None:
    manager = make_manager(schema=tables, handler=lambda job: job.payload if job.type == "sound" else None)
    sound = [manager.create("sound", SOUND)]
    try:
        uid = write(**columns)
    except (psycopg.errors.CheckViolation, psycopg.errors.DatetimeFieldOverflow):
        return  # as good
    sound.append(manager.create("sound", SOUND))
    manager.start(4)  # which claim all three at once
    for job in sound:
        until(lambda job=job: found(manager, job).status in DONE, timeout=60)
        assert_sound(manager, job)
    assert manager.find(uid) is not None
    assert len(manager.fetch_all()) == 3
