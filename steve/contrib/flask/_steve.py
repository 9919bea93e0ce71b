"""Steve: the extension. It stands for the manager of the current app."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from flask import Flask, current_app

from steve import Job, JobManager
from steve.contrib.flask._commands import commands
from steve.contrib.flask._kept import FUNCTION_AT, Kept, Registration
from steve.contrib.flask._manager import FlaskManager
from steve.contrib.flask._place import why_not_here

KEY = "steve"
"""Of `app.extensions`."""


class _Template(JobManager):
    """Makes the tasks. It has no database: what is created with it goes to the manager of the current app."""

    def __init__(self, current: Callable[[str], JobManager]) -> None:
        super().__init__()
        self._current = current

    def create(self, *arguments: Any, **options: Any) -> Job:
        return self._current("create").create(*arguments, **options)

    def create_many(self, *arguments: Any, **options: Any) -> list[Job]:
        return self._current("create_many").create_many(*arguments, **options)


def _kept(name: str) -> Any:
    @functools.wraps(getattr(JobManager, name))
    def register(self: Steve, *arguments: Any, **options: Any) -> Any:
        return self._kept.add(Registration(name, arguments, options))

    return register


if TYPE_CHECKING:
    _Base = JobManager
else:
    _Base = object


class Steve(_Base):
    """The manager of the current app, as an object that may be imported anywhere.

    `handler`, `task`, `cron`, the hooks (`around` and its siblings) and the listeners (`on_success` and its siblings) may be
    used before there is an app: what they register holds for each app that `init_app` gets, before or after. All other methods
    of JobManager are those of the current app's manager, and raise RuntimeError outside an app context.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._kept = Kept(_Template(self._current))
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Make the app's manager from its config, as `app.extensions["steve"]`, and add the commands `flask steve`.

        It starts nothing and opens no connection. Raises RuntimeError if the app has a manager already, TypeError and
        ValueError for settings that cannot be.
        """
        if KEY in app.extensions:
            raise RuntimeError(f"the app {app.name!r} has a Steve already: call init_app once for each app")
        manager = FlaskManager(app)
        self._kept.add_manager(manager)
        app.extensions[KEY] = manager
        app.cli.add_command(commands)

    def manager(self, app: Flask | None = None) -> FlaskManager:
        """The manager of this app; None: of the current one. Raises RuntimeError if there is none."""
        return self._current("manager(None)") if app is None else _manager_of(app)

    def start(self, app: Flask | None = None, workers: Any = None, *, migrate: bool | None = None) -> bool:  # type: ignore[override]
        """Run the app's jobs in threads of this process. `app`: None: the current one.

        `workers`, `migrate`: as for `JobManager.start`; None: STEVE_WORKERS, otherwise 2, and STEVE_MIGRATE, otherwise True.

        In the parent of the reloader of `flask run`, and under Flask's other commands, it starts nothing and says so on stderr.
        Returns whether jobs are run. Raises what `JobManager.start` raises, and RuntimeError if the app has no manager.
        """
        manager = self._current("start") if app is None else _manager_of(app)
        if why := why_not_here():
            click.echo(f" * {why}", err=True)
            return False
        manager.start(workers, migrate=migrate)
        return True

    def _current(self, name: str) -> FlaskManager:
        """`name`: what was called, for the error."""
        if not current_app:
            raise RuntimeError(
                f"steve.{name} needs to know the app, and there is no app context: "
                f"call it within `with app.app_context():`, or call steve.manager(app).{name.partition('(')[0]}"
            )
        return _manager_of(current_app._get_current_object())  # type: ignore[attr-defined]

    if not TYPE_CHECKING:
        # For isinstance(), and for what asks a manager for its parts.
        __class__ = property(lambda self: JobManager)

        def __getattr__(self, name: str) -> Any:
            is_private = name.startswith("_")
            if name.startswith("__") or not (is_private or hasattr(JobManager, name)):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            try:
                manager = self._current(name)
            except RuntimeError as error:
                if is_private:  # what Python's tools ask of any object
                    raise AttributeError(str(error)) from None
                raise
            return getattr(manager, name)

        def __enter__(self) -> JobManager:
            return self._current("__enter__").__enter__()

        def __exit__(self, *error: Any) -> None:
            self._current("__exit__").__exit__(*error)


for _name in FUNCTION_AT:
    setattr(Steve, _name, _kept(_name))


def _manager_of(app: Flask) -> FlaskManager:
    try:
        manager: FlaskManager = app.extensions[KEY]
    except KeyError:
        raise RuntimeError(f"the app {app.name!r} has no manager: call steve.init_app(app) first") from None
    return manager
