"""The manager of an app. Its jobs and listeners run within a context of the app."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from flask import Flask, current_app

from steve import JobManager, StopReport
from steve.contrib.flask import _settings
from steve.contrib.flask._kept import Registration

_is_ours: ContextVar[bool] = ContextVar("steve_thread_of_flask", default=False)
"""Whether this is a thread of a manager. On any other thread, such as that of a test which runs jobs itself, an app context
belongs to the caller, with the session in whose transaction the jobs may be."""


class FlaskManager(JobManager):
    """A JobManager with the settings in an app's config."""

    def __init__(self, app: Flask) -> None:
        """It opens no connection, and does not keep the app alive. Raises TypeError and ValueError."""
        settings = _settings.read(app.config)
        super().__init__(settings.db, **settings.of_manager)
        self._settings_of_app = settings
        # Registrations are kept here, and not in the Steve: they lead to the app, which could not be collected otherwise.
        self._of_steve: dict[Registration, Any] = {}
        _install(self, weakref.ref(app))

    def start(self, workers: Any = None, *, migrate: bool | None = None) -> None:
        """As `JobManager.start`. None: what STEVE_WORKERS and STEVE_MIGRATE say, otherwise 2 and True."""
        super().start(self._workers(workers), migrate=self._migrates(migrate))

    def run(self, workers: Any = None, *, migrate: bool | None = None, **options: Any) -> StopReport:
        """As `JobManager.run`, with the defaults of `start`."""
        return super().run(self._workers(workers), migrate=self._migrates(migrate), **options)

    def keep(self, registration: Registration) -> None:
        """Take over what was registered with the Steve."""
        self._of_steve[registration] = registration.apply(self)

    def drop(self, registration: Registration) -> None:
        self._of_steve.pop(registration)()

    def _workers(self, given: Any) -> Any:
        return self._settings_of_app.workers if given is None else given

    def _migrates(self, given: bool | None) -> bool:
        return self._settings_of_app.migrate if given is None else given


def _install(manager: JobManager, app: Callable[[], Flask | None]) -> None:
    @contextmanager
    def within_context(_: object) -> Iterator[None]:
        its_app = app()
        assert its_app is not None, "the app of this manager does not exist any more"
        if not _is_ours.get() and current_app and current_app._get_current_object() is its_app:  # type: ignore[attr-defined]
            yield
            return
        with its_app.app_context():
            yield

    @contextmanager
    def around_thread() -> Iterator[None]:
        its_app = app()  # a manager that runs keeps its app
        _is_ours.set(True)
        yield
        del its_app

    manager.around_thread(around_thread)
    manager.around(within_context)
    manager.around_listener(within_context)
