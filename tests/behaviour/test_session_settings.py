"""The whole life of a few jobs under every setting that a role may carry, each with its oddest values.

The server says which settings there are, so those of a later PostgreSQL are tried as well. Several are set at once. If that
goes wrong, each is tried alone, and the assertion names the ones that are to blame.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve import Attempt, Job, JobManager, Snooze, SteveError
from tests.conftest import until

AT_ONCE = 10
"""Settings that a role carries during one life of the jobs."""

BY_HAND: dict[str, tuple[str, ...]] = {
    "DateStyle": ("SQL, DMY", "German", "Postgres, YMD"),
    "TimeZone": ("Asia/Kathmandu", "posix/Pacific/Chatham", "<steve>+11:11:11"),
    "timezone_abbreviations": ("Australia", "India"),
    "client_encoding": ("LATIN1", "SQL_ASCII"),
    "default_text_search_config": ("pg_catalog.simple",),
    # Names of locales differ between systems: what the server refuses is left out.
    "lc_messages": ("POSIX", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8"),
    "lc_monetary": ("POSIX", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8"),
    "lc_numeric": ("POSIX", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8"),
    "lc_time": ("POSIX", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8"),
    "search_path": ("", "nowhere", "pg_temp", "nowhere, pg_catalog, pg_temp"),
    "default_tablespace": ("pg_global", "nowhere"),
    "temp_tablespaces": ("pg_default", "nowhere"),
    "extension_control_path": ("/nowhere",),
    "createrole_self_grant": ("set, inherit",),
    "restrict_nonsystem_relation_kind": ("view, foreign-table",),
    # Time limits. Their shortest values, under which no work is possible, are in MAY_REFUSE.
    "statement_timeout": ("0", "2147483647"),
    "transaction_timeout": ("0", "2147483647"),
    "idle_session_timeout": ("0", "2147483647"),
    "idle_in_transaction_session_timeout": ("0", "2147483647"),
    "default_transaction_read_only": ("off",),
    "max_stack_depth": ("100", "2048"),
    "geqo_pool_size": ("2", "100"),  # for the largest value PostgreSQL itself finds no memory
}
"""Values that the server cannot list: of text settings, and of those whose limits are not in pg_settings."""

MAY_REFUSE: dict[str, str] = {
    "default_transaction_read_only": "on",
    "row_security": "off",
    "statement_timeout": "1",
    "transaction_timeout": "1",
    "idle_session_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "role": "pg_monitor",
}
"""Under these a call may raise a SteveError that says why. On a caller's own connection the driver raises."""

LEFT_OUT = (
    # These belong to one transaction, not to a role.
    "transaction_isolation", "transaction_read_only", "transaction_deferrable",
    # The name of a connection wins over the role's.
    "application_name",
    # No session begins where a library is missing: one that is named, or the one that converts from a client's encoding.
    "local_preload_libraries", "session_preload_libraries", "dynamic_library_path",
    # These only add to the server's log.
    "log_", "debug_print_", "debug_pretty_print", "trace_", "backtrace_functions", "icu_validation_level",
    # These are for debugging or repairing PostgreSQL: they write files, hide damage, or make everything much slower.
    "jit_dump_bitcode", "zero_damaged_pages", "ignore_checksum_failure", "wal_consistency_checking", "debug_discard_caches",
    "allow_system_table_mods",
)  # fmt: skip
"""Settings that are not tried: their names, or the beginnings of their names."""

BUT = ("log_parameter_max_length_on_error",)
"""Settings that LEFT_OUT matches, and that the client notices all the same."""

FEWEST = 250
"""Any PostgreSQL has at least so many values to try. Fewer mean that the search for them is broken."""

PAYLOAD = {"name": "Žižek 😀 \\ ' \" % %s {", "at": 1.1, "big": 2**70, "list": [None, "null", "NULL", "", []], "yes": True}

EVIL_TYPES = ("text", "jsonb", "json", "uuid", "timestamptz", "int8", "float8", "name", "regclass", "oid")

EVIL_FUNCTIONS = {
    "now": "",
    "clock_timestamp": "",
    "transaction_timestamp": "",
    "unnest": "anyarray",
    "count": 'pg_catalog."any"',
    "max": "pg_catalog.timestamptz",
    "min": "pg_catalog.timestamptz",
    "set_config": "pg_catalog.text, pg_catalog.text, boolean",
    "current_setting": "pg_catalog.text, boolean",
    "pg_notify": "pg_catalog.text, pg_catalog.text",
    "pg_notification_queue_usage": "",
    "hashtextextended": "pg_catalog.text, bigint",
    "pg_try_advisory_lock": "bigint",
    "pg_try_advisory_xact_lock": "bigint",
    "pg_postmaster_start_time": "",
    "version": "",
    "array_agg": "anynonarray",
    "json_agg": "anyelement",
    "json_build_array": 'variadic pg_catalog."any"',
    "pg_backend_pid": "",
    "pg_current_xact_id": "",
    "pg_xact_status": "pg_catalog.xid8",
    "nextval": "pg_catalog.regclass",
    "to_regclass": "pg_catalog.text",
    "pg_get_serial_sequence": "pg_catalog.text, pg_catalog.text",
    "generate_series": "integer, integer",
    "format": 'pg_catalog.text, variadic pg_catalog."any"',
    "row_security_active": "pg_catalog.text",
    "has_any_column_privilege": "pg_catalog.text, pg_catalog.text",
}
"""Functions of PostgreSQL and their arguments. Others of the same names may come before them in a search_path."""


class Setting(NamedTuple):
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name} = {self.value!r}"


@dataclass
class Walker:
    """A superuser role of its own, because some settings may be set only by a superuser."""

    name: str
    admin: psycopg.Connection
    url: str
    """A conninfo for the role."""
    schema: str
    """The schema of the tables."""

    def carry(self, settings: list[Setting]) -> list[Setting]:
        """Let the role carry these and no others. Returns those that the server took."""
        self._execute("alter role {} reset all")
        return [setting for setting in settings if self._takes(setting)]

    def _takes(self, setting: Setting) -> bool:
        value = sql.SQL(setting.value or "''") if setting.name == "search_path" else sql.Literal(setting.value)
        statement = sql.SQL("alter role {} set {} = {}").format(sql.Identifier(self.name), sql.Identifier(setting.name), value)
        try:
            self.admin.execute(statement)
        except psycopg.Error:
            return False
        return True

    def drop(self) -> None:
        self._execute("drop role {}")

    def _execute(self, statement: str) -> None:
        self.admin.execute(sql.SQL(statement).format(sql.Identifier(self.name)))


@pytest.fixture
def walker(database_url: str, conn: psycopg.Connection, tables: str) -> Iterator[Walker]:
    if conn.info.parameter_status("is_superuser") != "on":
        pytest.skip("needs a superuser")
    given = conninfo_to_dict(database_url)
    name, password = f"{tables}_walker", str(given.get("password") or "any")
    statement = sql.SQL("create role {} login superuser password {}")
    conn.execute(statement.format(sql.Identifier(name), sql.Literal(password)))
    walker = Walker(name, conn, make_conninfo(**given | {"user": name, "password": password}), tables)
    yield walker
    conn.execute(sql.SQL("truncate {0}.job, {0}.attempt, {0}.process").format(sql.Identifier(tables)))
    walker.drop()


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "steve")


class Handlers:
    """A handler: "raises" raises once, "snoozes" snoozes once, "returns" completes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snoozed: set[UUID] = set()
        self.seen: list[Job] = []

    def __call__(self, job: Job) -> Any:
        with self._lock:
            self.seen.append(job)
            if job.type == "snoozes" and job.uid not in self._snoozed:
                self._snoozed.add(job.uid)
                raise Snooze(0)
        if job.type == "raises" and job.attempts == 1:
            raise ValueError("Žižek")
        return job.payload


def live(walker: Walker, own_connection: bool = True, create_timeout: float = 20.0) -> None:
    """Have a manager of the role create and run six jobs of all kinds. Raises whatever is wrong."""
    handlers, done = Handlers(), deque[Job]()
    queue = uuid4().hex
    admin = walker.admin
    manager = JobManager(
        walker.url, handlers, schema=walker.schema, queues=[queue], poll_interval=600, create_timeout=create_timeout
    )
    manager.on_done(None, done.append)
    began = server_time(admin)
    due = datetime.now(UTC) + timedelta(days=1, microseconds=1)
    try:
        manager.start(workers=2)
        jobs = [manager.create("returns", PAYLOAD, queue=queue)]
        jobs += manager.create_many(
            [("raises", {"n": 1}), ("snoozes", {"n": 2}), ("returns", None)], queue=queue, backoff_strategy="none"
        )
        waiting = manager.create("waits", PAYLOAD, queue=queue, run_at=due)
        if own_connection:
            with psycopg.connect(walker.url) as connection:
                jobs.append(manager.create("returns", {"n": 3}, queue=queue, connection=connection))
        until(lambda: len(done) == len(jobs), timeout=60)
        found = [manager.find(job) for job in jobs]
        history = [manager.history(job) for job in jobs]
        assert manager.health().ok, manager.health().problems
        if problems := manager.check_health().problems:
            raise SteveError("; ".join(problems))
        report = manager.stop(timeout=60)
        assert report.complete, report
        listed = manager.fetch_all(queue=queue)
        assert sorted(listed, key=lambda job: job.uid) == sorted([waiting, *found], key=lambda job: job.uid)
        assert sorted(done, key=lambda job: job.uid) == found
        assert manager.prune(older_than=timedelta(0)) == len(jobs)
        assert manager.fetch_all(queue=queue) == [waiting]
    finally:
        manager.stop(timeout=60)
        admin.execute(sql.SQL("delete from {}.job").format(sql.Identifier(walker.schema)))
        admin.execute(sql.SQL("delete from {}.attempt").format(sql.Identifier(walker.schema)))
    assert waiting.run_at == due
    assert waiting.payload == PAYLOAD
    assert [job.payload for job in found] == [PAYLOAD, {"n": 1}, {"n": 2}, {}, {"n": 3}][: len(jobs)]
    assert [(job.status, job.result, job.error, job.attempts, job.crashes) for job in found] == [
        ("completed", job.payload, None, 2 if job.type == "raises" else 1, 0) for job in found
    ]
    logged = [[(attempt.number, attempt.status) for attempt in attempts] for attempts in history]
    assert logged == [[(1, "error"), (2, "success")] if job.type == "raises" else [(1, "success")] for job in found]
    assert [attempt.error_message for attempt in history[1]] == ["ValueError: Žižek", None]
    assert_times(
        found + jobs + handlers.seen, [attempt for attempts in history for attempt in attempts], began, server_time(admin)
    )


def assert_times(jobs: list[Job], attempts: list[Attempt], began: datetime, ended: datetime) -> None:
    """All times are aware, in UTC, and between these two by the server's clock."""
    times = [getattr(one, name) for one in jobs for name in ("created_at", "updated_at", "run_at")]
    times += [getattr(one, name) for one in jobs for name in ("claimed_at", "started_at", "completed_at")]
    times += [getattr(one, name) for one in attempts for name in ("started_at", "completed_at")]
    times = [time for time in times if time is not None]
    assert {time.tzinfo for time in times} == {UTC}
    second = timedelta(seconds=1)  # how long ago a job began is measured by the clock of this process
    assert began - second <= min(times)
    assert max(times) <= ended + second
    for job in jobs:
        if job.status == "completed":
            assert job.created_at <= job.claimed_at <= job.completed_at <= job.updated_at


def server_time(admin: psycopg.Connection) -> datetime:
    row = admin.execute("select clock_timestamp()").fetchone()
    assert row is not None
    return row[0].astimezone(UTC)


def flaw(walker: Walker, settings: list[Setting], caplog: pytest.LogCaptureFixture) -> str | None:
    """What goes wrong when the role carries these; None: nothing does."""
    walker.carry(settings)
    caplog.clear()
    try:
        live(walker)
    except (Exception, pytest.fail.Exception) as error:
        said = "; ".join(dict.fromkeys(record.getMessage()[:200] for record in caplog.records))
        return f"{type(error).__name__}: {str(error)[:300]} (the log: {said[:600]})"
    troubles = [record.getMessage() for record in caplog.records if "to be tried again (in" not in record.getMessage()]
    return f"the log: {'; '.join(dict.fromkeys(troubles))[:600]}" if troubles else None


# -- all settings -------------------------------------------------------------------------------------------------------


def odd_values(admin: psycopg.Connection) -> Iterator[Setting]:
    """For each setting that a role may carry, the values that differ from the usual one."""
    query = """
        select name, vartype, enumvals, min_val::double precision, max_val::double precision, min_val, max_val, boot_val
        from pg_settings where context in ('user', 'superuser') order by name
    """
    for name, kind, words, least, most, least_text, most_text, usual in admin.execute(query).fetchall():
        if name.startswith(LEFT_OUT) and name not in BUT:
            continue
        if name in BY_HAND:
            values = list(BY_HAND[name])
        elif kind == "bool":
            values = ["on", "off"]
        elif kind == "enum":
            values = words
        elif kind in ("integer", "real"):
            values = [least_text, most_text]
            if least < 0 < most:
                values.append("0")
            if least == 0:
                values.append("1")  # for many settings 0 means that there is no limit
        else:
            continue  # text that does not affect how client and server talk
        for value in dict.fromkeys(values):
            if value != usual and (name, value) not in MAY_REFUSE.items():
                yield Setting(name, value)


def groups(settings: list[Setting]) -> list[list[Setting]]:
    """Groups of at most AT_ONCE, each setting at most once in a group."""
    found: list[list[Setting]] = []
    for setting in settings:
        for group in found:
            if len(group) < AT_ONCE and setting.name not in {other.name for other in group}:
                group.append(setting)
                break
        else:
            found.append([setting])
    return found


def test_jobs_live_well_whatever_settings_their_role_carries(walker: Walker, caplog: pytest.LogCaptureFixture) -> None:
    settings = walker.carry(list(odd_values(walker.admin)))
    assert len(settings) >= FEWEST
    assert {setting.name for setting in settings} > {"DateStyle", "TimeZone", "search_path", "jit", "array_nulls", "work_mem"}
    flaws: dict[str, str] = {}
    for group in groups(settings):
        if flaw(walker, group, caplog):  # together they may take the memory that PostgreSQL itself needs
            alone = {str(setting): flaw(walker, [setting], caplog) for setting in group}
            flaws |= {name: said for name, said in alone.items() if said}
    assert flaws == {}, "\n".join(f"{name}: {said}" for name, said in flaws.items())


@pytest.mark.parametrize("name", MAY_REFUSE)
def test_a_setting_that_makes_work_impossible_is_reported_clearly(walker: Walker, name: str) -> None:
    if not walker.carry([Setting(name, MAY_REFUSE[name])]):
        pytest.skip("this server does not know it")
    with contextlib.suppress(SteveError):
        live(walker, own_connection=False, create_timeout=1.0)


def test_a_role_that_becomes_another_when_it_connects_lives_as_that_one(walker: Walker) -> None:
    other = sql.Identifier(f"{walker.name}_other")
    walker.admin.execute(sql.SQL("create role {} superuser").format(other))
    try:
        assert walker.carry([Setting("role", f"{walker.name}_other")])
        live(walker)
    finally:
        walker.carry([])
        walker.admin.execute(sql.SQL("drop role {}").format(other))


# -- functions and types in front of PostgreSQL's own -------------------------------------------------------------------


@pytest.fixture
def evil(conn: psycopg.Connection, tables: str) -> Iterator[str]:
    """A schema with functions and types that have the names of PostgreSQL's own. A call of one fails or returns nonsense."""
    name = f"{tables}_evil"
    schema = sql.Identifier(name)
    conn.execute(sql.SQL("create schema {}").format(schema))
    for function, arguments in EVIL_FUNCTIONS.items():
        body = sql.SQL("language plpgsql as {}").format(sql.Literal(f"begin raise exception 'evil.{function} was called'; end"))
        if '"any"' in arguments:  # only a function of PostgreSQL's own can take it; this one raises, too
            body = sql.SQL("language internal as 'trigger_in'")
        conn.execute(
            sql.SQL("create function {}.{}({}) returns boolean {}").format(
                schema, sql.Identifier(function), sql.SQL(arguments), body
            )
        )
    for number, type in enumerate(EVIL_TYPES):
        body = sql.SQL("create type {}.{} as enum ('evil')" if number % 2 else "create domain {}.{} as boolean check (false)")
        conn.execute(body.format(schema, sql.Identifier(type)))
    yield name
    conn.execute(sql.SQL("drop schema {} cascade").format(schema))


def test_functions_and_types_in_front_of_postgresqls_own_are_not_called(walker: Walker, evil: str) -> None:
    assert walker.carry([Setting("search_path", f"{evil}, pg_catalog")])
    with psycopg.connect(walker.url) as connection, pytest.raises(psycopg.errors.RaiseException, match=r"evil\.now was called"):
        connection.execute("select now()")
    live(walker)
