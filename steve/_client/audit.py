"""Who does what: inside `manager.acting_as(actor)`, each call that changes jobs writes a row into the table audit, in the
transaction of the change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import uuid4

from steve._database.caller import AnyConnection
from steve._database.execute import atomic
from steve._database.statements.audit import AuditStatements, Entry
from steve._model.names import check_name

T = TypeVar("T")

# One variable for all managers, because Python never frees a ContextVar. Each entry: the manager's Audit, and the actor.
_actors: ContextVar[tuple[tuple[object, str], ...]] = ContextVar("steve_actors", default=())


class Audit:
    def __init__(self, statements: AuditStatements) -> None:
        self._statements = statements

    @contextmanager
    def acting_as(self, actor: object) -> Iterator[None]:
        """Raises TypeError and ValueError."""
        name = check_name("actor", actor)
        token = _actors.set((*_actors.get(), (self, name)))
        try:
            yield
        finally:
            _actors.reset(token)

    def entry(self, action: str, filter: Mapping[str, Any]) -> Entry | None:
        """What to write about this call. None: nobody is acting."""
        actor = next((actor for audit, actor in reversed(_actors.get()) if audit is self), None)
        return None if actor is None else Entry(uuid4(), actor, action, json.dumps(filter, default=str))

    def write(self, connection: AnyConnection, entry: Entry | None, change: Callable[[], T], done: Callable[[T], int]) -> T:
        """Call `change()` and write how many jobs it has changed, in one transaction. Without an entry it needs no transaction
        of its own."""
        if entry is None:
            return change()
        with atomic(connection):
            result = change()
            if count := done(result):
                self._statements.write_audit(connection, entry, count)
        return result
