"""grants(): the SQL that gives rights to a role that creates jobs, runs them, completes them or looks at them.

The GRANTs give exactly the rights that the statements of sql/ need, column by column. steve uses no functions, triggers or
policies for this: PostgreSQL's own rights decide what a role may do.
"""

from __future__ import annotations

from steve._database.execute import quoted
from steve._model.names import check_identifier, check_schema

# Every role reads the table `migration`, to see which migrations are missing.
_EVERYBODY = """\
grant usage on schema {schema} to {role};
grant select on {schema}.migration to {role};
"""

# `create` leaves the times to the database, `create_many` sets them itself. The role may read the columns that an insert
# returns, and the uid, which shows whether an earlier try has stored a job.
_CREATE = """\
grant insert (
  uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter,
  run_at, created_at, updated_at, unique_key, tags, metadata, timeout, expires_at
) on {schema}.job to {role};
grant select (uid, created_at, updated_at, run_at, expires_at) on {schema}.job to {role};
"""

# A conflict returns the job that is there, so the role may read all jobs. `replace` changes what `create` may set.
_UNIQUE = """\
grant select on {schema}.job, {schema}.progress to {role};
grant update (
  queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter, run_at,
  unique_key, tags, metadata, timeout, expires_at, replaced_by, updated_at
) on {schema}.job to {role};
grant select, insert, update on {schema}.unique_window to {role};
grant select, insert on {schema}.replacement to {role};
"""

# No role may change the type, payload, queue and so on of a job. The right to delete is for `delete` and `prune`.
_WORK = """\
grant select, delete on {schema}.job to {role};
grant update (
  status, result, error, attempts, crashes, lease_no, process_id, claimed_at, started_at, completed_at, process, run_at,
  updated_at, priority, expires_at, cancel_asked_at, cancel_reason, forgiven, granted
) on {schema}.job to {role};
grant select, insert, delete on {schema}.attempt, {schema}.log to {role};
grant select, insert, update, delete on {schema}.progress to {role};
grant select, insert, update, delete on {schema}.process to {role};
grant select, insert, update, delete on {schema}.unique_window, {schema}.replacement to {role};
grant select, insert, update (kept_at) on {schema}.duty to {role};
grant select, insert, update, delete on {schema}.waiter, {schema}.pause, {schema}.schedule to {role};
grant select, insert, update, delete on {schema}.served, {schema}.stat to {role};
grant select, insert, update (done), delete on {schema}.audit to {role};
"""

# `run.complete()` on a connection of the handler's own: the columns that complete_job.sql reads and writes, and no payload.
_COMPLETE = """\
grant select (uid, status, lease_no, attempts, claimed_at, started_at, process, updated_at) on {schema}.job to {role};
grant update (
  status, result, error, process_id, started_at, completed_at, process, updated_at
) on {schema}.job to {role};
grant select (job_uid, lease_no), insert, delete on {schema}.attempt to {role};
"""

_READ = """\
grant select on {schema}.job, {schema}.attempt, {schema}.progress, {schema}.log, {schema}.process, {schema}.audit,
  {schema}.pause, {schema}.served, {schema}.stat, {schema}.schedule to {role};
"""


def grants(
    schema: str = "steve",
    *,
    producer: str | None = None,
    worker: str | None = None,
    reader: str | None = None,
    completer: str | None = None,
    unique: bool = False,
) -> str:
    """The SQL that gives roles the rights that they need on the tables in `schema`.

    The owner of the tables runs it, and runs it again after each migration. The roles must exist. They keep the rights that
    they have from other grants.

    `producer`: may `create` and `create_many`, but may not read, run, change or delete a job.
    `worker`: may do all that a JobManager does except `migrate`: create, start, find, history, fetch_all, change and delete
    jobs, pause, prune, set schedules.
    `reader`: may `find`, `history`, `fetch_all`, `logs`, `tail`, `paused`, `schedules`, `stats`, `wait`, `why` and `processes`.
    `completer`: may be the role of a connection that a handler gives to `run.complete()`. A worker may do that, too.
    `unique`: the producer and the worker may also `create` with `unique`, whatever `on_conflict` says. That takes the right to
    read all jobs and to change those that have not ended. Without it, a worker may not replace jobs, and a producer's `create`
    fails when there is a job with the same `unique`.

    It asks no database. Raises TypeError and ValueError if a name is not valid or no role is named.
    """
    schema = check_schema(schema)
    if not isinstance(unique, bool):
        raise TypeError(f"unique must be True or False, not {type(unique).__name__}")
    more = _UNIQUE if unique else ""
    kinds = {
        "producer": (producer, _CREATE + more),
        "worker": (worker, _CREATE + _WORK + more),
        "reader": (reader, _READ),
        "completer": (completer, _COMPLETE),
    }
    given = {kind: (role, rights) for kind, (role, rights) in kinds.items() if role is not None}
    if not given:
        raise ValueError("name at least one role: producer=, worker=, reader= or completer=")
    parts = []
    for kind, (role, rights) in given.items():
        role = check_identifier(kind, role)
        if role == "public":  # PostgreSQL takes it for everybody, even in quotes
            raise ValueError(f'{kind} must be a role: "public" would be everybody')
        parts.append((_EVERYBODY + rights).format(schema=quoted(schema), role=quoted(role)))
    return "\n".join(parts)
