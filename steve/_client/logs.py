"""Shows what the attempts of a job have logged: all of it, or as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from uuid import UUID

from steve._client.calls import Calls
from steve._client.lookup import uid_of
from steve._database.caller import caller_of
from steve._database.statements.records import Lines, Place, RecordStatements
from steve._model.control import ENDED
from steve._model.log_text import left_out
from steve._model.tuning import Tuning
from steve.errors import shown
from steve.job import Job, LogLine


class Logs:
    def __init__(self, *, calls: Calls, statements: RecordStatements, tuning: Tuning) -> None:
        self._calls = calls
        self._statements = statements
        self._tuning = tuning

    def logs(self, job: Job | UUID | str, attempt: int | None, connection: object) -> list[LogLine]:
        uid = uid_of(job)
        if attempt is not None and type(attempt) is not int:
            raise TypeError(f"attempt must be an int or None, not {type(attempt).__name__}")
        if attempt is not None and not 1 <= attempt < 1 << 31:
            raise ValueError(f"attempt must be 1 or more, not {shown(attempt)}")
        theirs = caller_of(connection)
        found = self._calls.call_on(theirs, lambda ours: self._statements.list_log(ours, uid, attempt), slow=True)
        return list(joined(found, None))

    def tail(self, job: Job | UUID | str) -> Iterator[LogLine]:
        """Checks the argument at the call, not when the first line is asked for."""
        return self._follow(uid_of(job))

    def _follow(self, uid: UUID) -> Iterator[LogLine]:
        last: Place | None = None
        while True:
            after = last
            status, found = self._calls.call(lambda ours: self._statements.follow_log(ours, uid, after))  # noqa: B023
            yield from joined(found, last)
            if found:
                last = found[-1].place
            if status is None or status in ENDED:
                return
            time.sleep(self._tuning.follow_check)


def joined(rows: Sequence[Lines], last: Place | None) -> Iterator[LogLine]:
    """The lines of these rows, which are in order, and a line for each gap between them. `last`: the row before."""
    for place, lines in rows:
        is_next = last is not None and (last.lease_no, last.claimed_at) == (place.lease_no, place.claimed_at)
        expected = last.last_line + 1 if last is not None and is_next else 0
        if place.first_line > expected and lines:
            first = lines[0]
            yield LogLine(first.attempt, first.at, "INFO", "steve", left_out(place.first_line - expected))
        yield from lines
        last = place
