"""Client: creates, finds and prunes jobs, migrates, and checks the tables. control.py and bulk.py change jobs. All this also
works in a process that starts no worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from steve._client import enqueue, lookup, prune
from steve._client.audit import Audit
from steve._client.calls import Calls
from steve._client.create import Creator
from steve._client.statement import check_style, make_statement
from steve._database import migrations
from steve._database.caller import caller_of
from steve._database.connections import Connections
from steve._database.failures import Connection, translated
from steve._database.statements import Statements
from steve._database.statements.jobs import Insert, Pruned
from steve._model.settings import Settings
from steve._model.terms import HandlerTerms
from steve._runtime import fork
from steve._runtime.hooks import Hooks, within
from steve.creation import Creation
from steve.errors import SteveError
from steve.job import Attempt, Job, NewJob
from steve.run import uninterrupted
from steve.statement import Statement

T = TypeVar("T")


class Client:
    """Its methods raise the same errors as the methods of `JobManager` with the same names."""

    def __init__(
        self,
        *,
        settings: Settings,
        statements: Statements,
        connections: Connections,
        audit: Audit,
        terms_of: Callable[[str], HandlerTerms | None],
    ) -> None:
        """`terms_of(type)`: what was said when the handler of the type was registered; None: nothing."""
        self._settings = settings
        self._terms_of = terms_of
        self._statements = statements
        self._connections = connections
        self.around_create = Hooks()
        self._audit = audit
        self._calls = Calls(connections=connections, statements=statements, settings=settings)
        self._creator = self._make_creator()
        fork.register(self)

    def reset_after_fork(self) -> None:
        """In the child of a fork: make a new creator. A thread that does not exist here may have held a lock of the old one."""
        self.around_create.reset_after_fork()
        fork.leave_alone(self._creator)
        self._creator = self._make_creator()

    def _make_creator(self) -> Creator:
        return Creator(
            statements=self._statements,
            calls=self._calls,
            connections=self._connections,
            settings=self._settings,
        )

    # -- creating -------------------------------------------------------------------------------------------------------

    def check(self, new: NewJob) -> Insert:
        return enqueue.checked(new, self._settings, self._terms_of)

    def create(self, insert: Insert, *, notify: bool | None, connection: object) -> Job:
        fork.notice_fork()  # before self._creator is read: in a child it must be the new one
        wake = enqueue.notified(notify, self._settings.notify, insert)
        theirs = caller_of(connection)
        with uninterrupted():
            return self._creator.create(insert, wake, theirs)

    def create_many(self, jobs: object, defaults: NewJob, *, notify: bool | None, connection: object) -> list[Job]:
        if not self.around_create.entries.value:
            return self._create_many(jobs, defaults, notify, connection)
        news = enqueue.as_new_jobs(jobs, defaults)
        return self.within_hooks(news, lambda news: self._create_many(news, defaults, notify, connection))

    def within_hooks(self, news: Sequence[NewJob], create: Callable[[list[NewJob]], list[Job]]) -> list[Job]:
        """Call `create` with what the hooks around create have made of these jobs, within these hooks."""
        creation = Creation(tuple(news))

        def created() -> list[Job]:
            jobs = create(creation.completed())
            creation.created = tuple(jobs)
            return jobs

        return within(self.around_create.wraps(), creation, created)

    def _create_many(self, jobs: object, defaults: NewJob, notify: bool | None, connection: object) -> list[Job]:
        inserts = enqueue.checked_many(jobs, defaults, self._settings, self._terms_of)
        wake = enqueue.notified(notify, self._settings.notify, *inserts)
        theirs = caller_of(connection)
        with uninterrupted():
            return self._creator.create_many(inserts, wake, theirs) if inserts else []

    def statement(self, new: NewJob, *, notify: bool | None, paramstyle: object) -> Statement:
        style = check_style(paramstyle, new.on_conflict)

        def make(new: NewJob) -> Statement:
            insert = self.check(new)
            return make_statement(self._statements, insert, enqueue.notified(notify, self._settings.notify, insert), style)

        if not self.around_create.entries.value:
            return make(new)
        creation = Creation((new,))
        return within(self.around_create.wraps(), creation, lambda: make(creation.completed()[0]))

    # -- looking --------------------------------------------------------------------------------------------------------

    def find(self, job: Job | UUID | str, connection: object) -> Job | None:
        uid = lookup.uid_of(job)
        return self._calls.call_on(caller_of(connection), lambda ours: self._statements.jobs.find_jobs(ours, [uid]).get(uid))

    def history(self, job: Job | UUID | str, running: object, connection: object) -> list[Attempt]:
        uid, theirs, jobs = lookup.uid_of(job), caller_of(connection), self._statements.jobs
        if not isinstance(running, bool):
            raise TypeError(f"running must be True or False, not {type(running).__name__}")
        # The other way round, an attempt that ends in between would be in neither answer.
        under_way = self._calls.call_on(theirs, lambda ours: jobs.find_running(ours, uid)) if running else []
        ended = self._calls.call_on(theirs, lambda ours: jobs.list_attempts(ours, uid))
        return ended + [one for one in under_way if one.number not in {other.number for other in ended}]

    def fetch_all(
        self,
        status: object,
        *,
        type: object,
        queue: object,
        tags: object,
        limit: object,
        before: object,
        more: lookup.Listed,
        connection: object,
    ) -> list[Job]:
        page = lookup.page(status, type, queue, tags, limit, before, more)
        return self._calls.call_on(caller_of(connection), lambda ours: self._statements.jobs.list_jobs(ours, page), slow=True)

    # -- tables ---------------------------------------------------------------------------------------------------------

    def prune(self, older_than: timedelta, *, status: object, type: object, tags: object) -> int:
        chosen = prune.checked(older_than, status, type, tags)
        entry = self._audit.entry("prune", prune.shown(chosen))

        def batch(after: UUID | None) -> tuple[int, UUID | None]:
            def send(ours: Connection) -> Pruned:
                def change() -> Pruned:
                    return self._statements.jobs.prune_jobs(ours, chosen, after, self._settings.tuning.prune_most)

                return self._audit.write(ours, entry, change, lambda pruned: pruned.deleted)

            pruned = self._calls.change(send)
            return pruned.deleted, pruned.last

        return prune.prune(batch)

    def migrate(self, *, contract: bool, dry_run: bool) -> list[str]:
        def migrate(connection: Connection) -> list[str]:
            with translated(connection):
                return migrations.migrate(
                    connection,
                    self._settings.schema,
                    contract=contract,
                    dry_run=dry_run,
                    patience=self._settings.tuning.migrate_patience,
                )

        return self._calls.call(migrate, more_seconds=None)

    def find_flaws(self, *, worker: bool) -> Sequence[str]:
        """What keeps this process from its work in the database now: a sentence for each problem. `worker`: the process also
        runs jobs. A SteveError is returned as a sentence, not raised."""
        checks = self._statements.checks
        questions: list[Callable[[Connection], list[str]]] = [
            self._ensure,
            checks.check_tables,
            lambda ours: checks.check_access(ours, worker=worker),
        ]
        flaws: list[str] = []
        try:
            for question in questions:
                flaws += self._calls.call(question)
        except SteveError as error:
            return [str(error)]
        return flaws

    def _ensure(self, connection: Connection) -> list[str]:
        with translated(connection):
            migrations.ensure(connection, self._settings.schema, apply=False)
        return []
