"""Changes and lists schedules for callers: set, remove, pause, resume, run now. It works in any process.

The processes that run jobs fire them (`_schedules/firing.py`). A schedule that is in the code of this process and that no
process has written into the table yet is written there first, so that it can be paused before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from steve._client import enqueue
from steve._client.audit import Audit
from steve._client.calls import Calls
from steve._client.enqueue import as_job
from steve._database.failures import Connection
from steve._database.statements import Statements
from steve._database.statements.jobs import Insert
from steve._database.statements.schedules import Found
from steve._model.settings import Settings
from steve._schedules.definition import (
    Definition,
    check_new,
    check_schedule_name,
    check_timing,
    definition_of,
    schedule_of,
)
from steve._schedules.in_code import SchedulesInCode
from steve.errors import InvalidJob, shown
from steve.job import Job, NewJob
from steve.schedule import Schedule


class When(NamedTuple):
    """The arguments that say when a schedule creates jobs. They are not checked yet."""

    cron: object
    every: object
    timezone: object
    catch_up: object
    latest: object
    overlap: object
    jitter: object


class Schedules:
    """Its methods raise the same errors as the methods of `JobManager` with the same names."""

    def __init__(
        self,
        *,
        calls: Calls,
        statements: Statements,
        settings: Settings,
        audit: Audit,
        in_code: SchedulesInCode,
        check: Callable[[NewJob], Insert],
    ) -> None:
        """`check(new)`: the job as it is sent. Raises InvalidJob."""
        self._calls = calls
        self._statements = statements.schedules
        self._jobs = statements.jobs
        self._settings = settings
        self._audit = audit
        self._in_code = in_code
        self._check = check

    # -- what is defined ------------------------------------------------------------------------------------------------

    def define(self, name: object, when: When, new: NewJob) -> Definition:
        """Raises TypeError, ValueError, InvalidJob and SteveError."""
        check_new(new)
        insert = self._check(new)
        return Definition(check_schedule_name(name), check_timing(*when), insert.payload, insert.terms)

    def add(self, definition: Definition) -> None:
        """A schedule in the code of this process, whose name is reserved."""
        self._in_code.add(definition)

    def reserved(self, definition: Definition) -> AbstractContextManager[None]:
        """During the block nobody else gives a schedule in the code of this process this name. Raises ValueError if one has
        it."""
        return self._in_code.reserved(definition.name)

    def set(self, name: object, when: When, type: object, payload: object, options: dict[str, Any]) -> Schedule:
        if type is None:
            raise TypeError("set_schedule needs type=: the type of the jobs to create")
        definition = self.define(name, when, NewJob(type, payload, **options))  # type: ignore[arg-type]  # it is checked there
        said, version, notify = definition.said(), definition.version(), self._settings.notify

        def put(ours: Connection) -> bool:
            return self._statements.put_schedule(ours, definition.name, said, version, stored=True, now=None, notify=notify)

        return self._change("set_schedule", definition.name, put)

    # -- what is there --------------------------------------------------------------------------------------------------

    def remove(self, name: object) -> Schedule | None:
        checked = check_schedule_name(name)
        entry = self._audit.entry("remove_schedule", {"schedule": checked})

        def remove(ours: Connection) -> Schedule | None:
            found = self._statements.find_schedules(ours, [checked])

            def remove() -> bool:
                return self._statements.remove_schedule(ours, checked, notify=self._settings.notify)

            return schedule_of(found[0]) if self._audit.write(ours, entry, remove, int) and found else None

        return self._calls.change(remove)

    def pause(self, name: object, paused: bool) -> Schedule:
        checked = check_schedule_name(name)
        return self._change(
            "pause_schedule" if paused else "resume_schedule",
            checked,
            lambda ours: self._statements.pause_schedule(ours, checked, paused, notify=self._settings.notify),
        )

    def run_now(self, name: object) -> Job:
        checked = check_schedule_name(name)
        entry = self._audit.entry("run_now", {"schedule": checked})

        def run(ours: Connection) -> Job:
            found = self._find(ours, checked)
            definition = definition_of(found)
            insert = definition.job(definition.timing.ticks(), found.at, enqueue.new_uid(), 0.0)
            insert = insert._replace(terms=insert.terms._replace(run_at=None))

            def create() -> Job:
                inserted = self._jobs.insert_job_for_caller(ours, insert, self._settings.notify)  # in a transaction
                if inserted is None:
                    raise InvalidJob("the job was not stored: a trigger on the table job swallowed it")
                self._statements.note_run(ours, checked, insert.uid, found.at)
                return as_job(insert, *inserted)

            return self._audit.write(ours, entry, create, lambda job: 1)

        return self._calls.change(run)

    def all(self) -> list[Schedule]:
        in_code = self._in_code.all()

        def find(ours: Connection) -> list[Found]:
            found = self._statements.find_schedules(ours, None)
            missing = in_code.keys() - {one.name for one in found}
            if not missing:
                return found
            at = self._statements.look_at_schedules(ours)[0]
            made = [in_code[name] for name in missing]
            more = [Found(one.name, False, "", one.said(), at, None, None, None, None, at) for one in made]
            return sorted(found + more, key=lambda one: one.name)

        return [schedule_of(one) for one in self._calls.call(find)]

    def _change(self, action: str, name: str, change: Callable[[Connection], bool]) -> Schedule:
        entry = self._audit.entry(action, {"schedule": name})

        def send(ours: Connection) -> Schedule:
            if action != "set_schedule":
                self._find(ours, name)
            self._audit.write(ours, entry, lambda: change(ours), int)
            return schedule_of(self._find(ours, name))

        return self._calls.change(send)

    def _find(self, ours: Connection, name: str) -> Found:
        found = self._statements.find_schedules(ours, [name])
        if not found and (mine := self._in_code.all().get(name)) is not None:
            notify = self._settings.notify
            self._statements.put_schedule(ours, name, mine.said(), mine.version(), stored=False, now=None, notify=notify)
            found = self._statements.find_schedules(ours, [name])
        if not found:
            raise LookupError(f"there is no schedule {shown(name)}: schedules() lists those that there are")
        return found[0]
