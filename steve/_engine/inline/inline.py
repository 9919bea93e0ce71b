"""What `steve.testing` asks of a manager. It is the manager's attribute `_inline`, and no part of the public interface."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from steve._database.connections import Connections
from steve._database.failures import DatabaseFailure
from steve._database.statements.callers import callers_statements
from steve._database.statements.jobs import Insert
from steve._engine.inline import alone
from steve._engine.inline.drain import Chosen, Drain, Drained
from steve._engine.inline.place import ConnectionLost, OwnPlace, Place, place_of
from steve._engine.registry import Registry
from steve._model.settings import Settings
from steve._runtime import fork
from steve._runtime.subscription import Subscription
from steve.errors import SteveError
from steve.job import NewJob


class Inline:
    def __init__(
        self,
        *,
        settings: Settings,
        registry: Registry,
        connections: Connections,
        explain: Callable[[DatabaseFailure], SteveError],
        check: Callable[[NewJob], Insert],
    ) -> None:
        """`explain(failure)`: the error that users know, for a failure on a connection of ours. `check(new)`: the job to
        insert; raises InvalidJob."""
        self._settings = settings
        self._registry = registry
        self._connections = connections
        self._explain = explain
        self._check = check

    def drain(
        self,
        *,
        connection: object,
        queues: Sequence[str] | None,
        types: Sequence[str] | None,
        scheduled: bool,
        most: int,
    ) -> Generator[Drained, None, None]:
        """As `Drain.run`, on a caller's connection, or, if that is None, on connections of ours. Raises ValueError if there is
        no handler for one of the `types`, or none at all; the errors of the driver, or SchemaError and Unavailable."""
        fork.notice_fork()
        self._check_handlers(types)
        statements = callers_statements(self._settings)
        if queues is not None:
            statements = statements._replace(claims=statements.claims.for_pool(queues, ()))
        place = self._place(connection)
        drain = Drain(
            place=place,
            statements=statements,
            registry=self._registry,
            settings=self._settings,
            chosen=Chosen(types, scheduled),
        )
        with _errors(place):
            yield from drain.run(most)

    def perform(self, new: NewJob, attempt: int) -> Any:
        """As `alone.perform`. Raises InvalidJob, too."""
        return alone.perform(self._check(new), attempt, registry=self._registry, settings=self._settings)

    def empty(self, connection: object) -> None:
        """Delete all jobs and what is kept beside them. Raises as `drain` does."""
        fork.notice_fork()
        statements = callers_statements(self._settings).cleanup
        place = self._place(connection)
        with _errors(place):
            place.call(statements.empty_tables)

    def around_all(self, wrap: Callable[..., Any], types: Sequence[str] | None) -> Subscription:
        """As `JobManager.around`, but outside the hooks that are there already."""
        return self._registry.around.add(wrap, types, outermost=True)

    # -------------------------------------------------------------------------------------------------------------------

    def _place(self, connection: object) -> Place:
        if connection is None:
            return OwnPlace(self._connections, self._explain)
        return place_of(connection, self._settings.schema)

    def _check_handlers(self, types: Sequence[str] | None) -> None:
        handlers = self._registry.handlers
        if types is None and not handlers.types() and handlers.fallback is None:
            raise ValueError("drain: the manager has no handler: import the modules that register the handlers")
        for name in types or ():
            if name not in handlers:
                raise ValueError(f"drain: the manager has no handler for {name!r}: import the module that registers it")


@contextmanager
def _errors(place: Place) -> Iterator[None]:
    try:
        yield
    except DatabaseFailure as failure:
        place.raise_failure(failure)
    except ConnectionLost as lost:
        place.raise_failure(lost.failure)
