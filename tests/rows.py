"""A claimed job for tests that need no database."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from steve._model.claimed import Claimed

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def claimed(**columns: Any) -> Claimed:
    """A job on the first of three attempts, with the default waits between them. `columns`: other values for some columns."""
    row = Claimed(
        uid=UUID(int=7),
        queue="default",
        type="a",
        priority=0,
        payload='{"n":[1]}',
        error=None,
        attempts=1,
        crashes=0,
        max_attempts=3,
        backoff_strategy="exp",
        backoff_base=2.0,
        backoff_max=3600.0,
        backoff_jitter=0.0,
        lease_no=1,
        claimed_at=NOON,
        created_at=NOON,
        run_at=NOON,
        started_at=None,
    )
    return row._replace(**columns)
