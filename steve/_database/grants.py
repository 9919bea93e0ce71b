"""The GRANTs for a role that creates jobs, runs them or looks at them.

They give exactly the rights that the statements of sql/ need, column by column. There are no functions, triggers or policies
behind them: what a role may do is what PostgreSQL's own rights let it do.
"""

from __future__ import annotations

from steve._database.execute import quoted
from steve._model.names import check_identifier, check_schema

# The table that says which migrations are missing.
_EVERYBODY = """\
grant usage on schema {schema} to {role};
grant select on {schema}.migration to {role};
"""

# The identity column numbers a job of `create`. `create_many` takes its ids from the sequence first (reserve_ids.sql), and sets
# the times itself. A producer may read what an insert returns, and what tells a job that is sent again from a new one.
_CREATE = """\
grant insert (
  id, uid, queue, type, priority, payload, max_attempts, backoff_strategy, backoff_base, backoff_max, backoff_jitter,
  run_at, created_at, updated_at
) on {schema}.job to {role};
grant select (id, uid, created_at, updated_at, run_at) on {schema}.job to {role};
grant usage on sequence {schema}.job_id_seq to {role};
"""

# No role may change what a job is (type, payload, queue and so on). The right to delete is for `prune`.
_WORK = """\
grant select, delete on {schema}.job to {role};
grant update (
  status, result, error, attempts, crashes, lease_no, process_id, claimed_at, started_at, completed_at, run_at, updated_at
) on {schema}.job to {role};
grant select, insert, delete on {schema}.attempt to {role};
grant select, insert, update, delete on {schema}.process to {role};
"""

_READ = """\
grant select on {schema}.job, {schema}.attempt, {schema}.process to {role};
"""


def grants(schema: str = "steve", *, producer: str | None = None, worker: str | None = None, reader: str | None = None) -> str:
    """The SQL that gives roles the rights that they need on the tables in `schema`; for their owner to run, again after each
    migration. The roles must exist. They lose no right that they have by other grants.

    `producer`: may `create` and `create_many`; not read a job, run, change or delete it.
    `worker`: all that a JobManager does but migrate: create, start, find, history, fetch_all, prune.
    `reader`: may `find`, `history` and `fetch_all`.

    Pure: asks no database. Raises TypeError and ValueError for what cannot be a name, and where no role is named.
    """
    schema = check_schema(schema)
    kinds = {
        "producer": (producer, _CREATE),
        "worker": (worker, _CREATE + _WORK),
        "reader": (reader, _READ),
    }
    given = {kind: (role, rights) for kind, (role, rights) in kinds.items() if role is not None}
    if not given:
        raise ValueError("name at least one role: producer=, worker= or reader=")
    parts = []
    for kind, (role, rights) in given.items():
        role = check_identifier(kind, role)
        if role == "public":  # even in quotes PostgreSQL takes it for everybody
            raise ValueError(f'{kind} must be a role: "public" would be everybody')
        parts.append((_EVERYBODY + rights).format(schema=quoted(schema), role=quoted(role)))
    return "\n".join(parts)
