"""A mixin for Django's test cases.

    class OrderTests(SteveTestCaseMixin, TestCase):
        def test_an_order_is_confirmed(self):
            self.client.post("/orders", {"email": "ada@example.com"})
            self.drain()

After a TransactionTestCase, Django empties the tables of its models, and does not know those of steve. The mixin empties them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from django.db import connections
from django.test import TestCase

from steve import Job, JobManager, SchemaError
from steve.testing.drains import Ran, clear, drain
from steve.testing.enqueues import assert_enqueued, enqueued, refute_enqueued
from steve.testing.performs import perform


class SteveTestCaseMixin:
    """Put it before TestCase or TransactionTestCase in the list of bases. `manager` is the manager to use, which is that of
    `steve.contrib.django` unless the class names another."""

    manager: JobManager | None = None

    def drain(
        self,
        *,
        queues: str | Iterable[str] | None = None,
        types: str | Iterable[str] | None = None,
        scheduled: bool = False,
        raise_errors: bool = True,
        max_jobs: int = 1000,
    ) -> list[Ran]:
        """As `steve.testing.drain`, on Django's connection. In a TestCase it first calls what the test has registered with
        `transaction.on_commit`, because no transaction of a TestCase is ever committed, and such a function may create jobs."""
        manager = self._manager()
        connection = connections[_alias(manager)]
        if connection.in_atomic_block:
            _call_after_commit(connection)
        return drain(
            manager,
            connection,
            queues=queues,
            types=types,
            scheduled=scheduled,
            raise_errors=raise_errors,
            max_jobs=max_jobs,
        )

    def perform(self, type: str, payload: dict[str, Any] | None = None, attempt: int = 1, **options: Any) -> Any:
        """As `steve.testing.perform`."""
        return perform(self._manager(), type, payload, attempt, **options)

    def enqueued(self, type: str | None = None, payload: Mapping[str, Any] | None = None, **wanted: Any) -> list[Job]:
        """As `steve.testing.enqueued`."""
        return enqueued(self._manager(), type, payload, **self._here(wanted))

    def assert_enqueued(self, type: str | None = None, payload: Mapping[str, Any] | None = None, **wanted: Any) -> Job:
        """As `steve.testing.assert_enqueued`."""
        return assert_enqueued(self._manager(), type, payload, **self._here(wanted))

    def refute_enqueued(self, type: str | None = None, payload: Mapping[str, Any] | None = None, **wanted: Any) -> None:
        """As `steve.testing.refute_enqueued`."""
        refute_enqueued(self._manager(), type, payload, **self._here(wanted))

    def _fixture_teardown(self) -> None:
        # Before that of Django, whose flush may take the tables away or fail on them.
        if not isinstance(self, TestCase):
            clear_after_commit(self._manager())
        super()._fixture_teardown()  # type: ignore[misc]  # of TransactionTestCase

    def _manager(self) -> JobManager:
        return project_manager() if self.manager is None else self.manager

    def _here(self, wanted: dict[str, Any]) -> dict[str, Any]:
        wanted.setdefault("connection", connections[_alias(self._manager())])
        return wanted


def project_manager() -> JobManager:
    """The manager of `steve.contrib.django`."""
    from steve.contrib.django import manager

    return manager


def clear_after_commit(manager: JobManager) -> None:
    """Stop the manager and empty steve's tables, after a test that commits."""
    report = manager.stop(timeout=10)
    assert report.complete, f"the test has left jobs that run: {report}"
    connection = connections[_alias(manager)]
    with suppress(SchemaError):  # without migrations there may be no tables
        clear(manager, connection)


def _alias(manager: JobManager) -> str:
    alias = getattr(manager, "alias", None)
    return alias if isinstance(alias, str) else "default"


def _call_after_commit(connection: Any) -> None:
    while connection.run_on_commit:  # a call may replace the list
        _, function, *robust = connection.run_on_commit.pop(0)
        try:
            function()
        except Exception:
            if not (robust and robust[0]):
                raise
            logging.getLogger("steve").exception("what was registered with on_commit(robust=True) raised: %r", function)
