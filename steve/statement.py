"""Statement: what `manager.statement()` makes, for a driver that steve cannot send anything with."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple
from uuid import UUID

ParamStyle = Literal["pyformat", "named", "numeric_dollar"]


class Statement(NamedTuple):
    """The SQL that stores a job, for you to execute in your own transaction."""

    sql: str
    """One statement. It returns a row if the job is stored, and none if there is a job with its `unique`."""
    parameters: Any
    """Its parameters, each a str or None: a list with `paramstyle="numeric_dollar"`, else a dict."""
    uid: UUID
    """The uid that the job gets, for `find()` and the other calls."""
