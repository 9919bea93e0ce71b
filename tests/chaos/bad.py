"""Bad input, one case after the other: from callers, from handlers (misdeeds.py), and in rows written by hand.

After each case a plain job must complete on the same manager. All the while another process creates jobs, which must not be
affected, and at the end the checker must find nothing. What is refused, and with which words, is tested in detail by
tests/behaviour/test_bad_input.py, whose tables are used here. Here the question is whether the managers go on working.
Exceptions of every kind (C9) are among the misdeeds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from statistics import median
from typing import Any

import psycopg
from psycopg import sql

from steve import InvalidJob, Job, JobManager
from tests.behaviour.test_bad_input import CONSTRUCTOR, CREATE, LOOKING, MANY, NOWHERE, TEXTS

from .cluster import ended
from .faults import Site, fault
from .misdeeds import BORROWS, CHANGES, CLOSES, FORKS, HUGE, RAISES, RESULTS
from .processes import Process

PLAIN_SECONDS = 5.0
"""How long a plain job may take after a case."""

CASE_SECONDS = 60.0
"""How long a bad job may take: some are large."""

CLOSED_SECONDS = 45.0
"""How long a plain job may take after all connections were closed under the manager, which may first wait for an answer."""

CROWD = 100_000
"""The number of jobs of a type that has no handler."""

SECRET = "canary-4711"
"""A value in every payload. It must not appear in any log or error."""

SCHEMAS = ("Größe 🚀", "a;b'c", 'a"b', "select", "%s", "{schema}", "s" * 63)

ORDINARY = ("a", "b")


class Desk:
    """What the cases share: a manager that creates, and a worker for each type that needs one of its own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.manager = JobManager(site.conninfo(), schema=site.schema)
        self.workers: dict[str, Process] = {}
        self._named = 0

    def worker(self, type: str, **options: Any) -> Process:
        """The worker for this type, which no other worker serves. It is started when it is first needed."""
        if type not in self.workers:
            (self.workers[type],) = self.site.work(1, types=(type,), **options)
        return self.workers[type]

    def name(self) -> str:
        self._named += 1
        return f"bad-{self._named}"

    def create(self, type: str, do: str | None = None, **further: Any) -> Job:
        k = self.name()
        payload = {"k": k, "ms": 0, "raises": 0, "do": do, "secret": SECRET} | further
        job = self.manager.create(type, payload, max_attempts=2, backoff_strategy="none")
        self.site.note("enq_ok", k=k)
        return job

    def final(self, job: Job, seconds: float) -> Job | None:
        """The job once it is final; None if it is not within so many seconds."""
        found: Job | None = None

        def ended() -> bool:
            nonlocal found
            found = self.manager.find(job)
            return found is not None and found.status in ("completed", "failed")

        return found if self.site.until(ended, seconds) else None

    def plain(self, type: str = "a", seconds: float = PLAIN_SECONDS) -> Iterator[str]:
        job = self.final(self.create(type), seconds)
        if job is None or job.status != "completed":
            yield f"the manager no longer works: a plain job {f'is {job.status}' if job else f'took more than {seconds:g} s'}"

    @contextmanager
    def by_hand(self) -> Iterator[psycopg.Connection[Any]]:
        """A transaction with steve's schema as its search_path."""
        with self.site.cluster.connection() as connection, connection.transaction():
            connection.execute(sql.SQL("set local search_path to {}").format(sql.Identifier(self.site.schema)))
            yield connection


Case = Callable[[Desk], Iterator[str]]
"""Yields a text for each thing that is wrong."""

# -- refused ------------------------------------------------------------------------------------------------------------


def _refused(calls: Mapping[str, Callable[[JobManager], Any]], wanted: type[Exception] | tuple[type[Exception], ...]) -> Case:
    def case(desk: Desk) -> Iterator[str]:
        for name, call in calls.items():
            try:
                call(desk.manager)
            except wanted:
                pass
            except BaseException as error:
                yield f"{name}: {type(error).__name__}: {str(error)[:100]}"
            else:
                yield f"{name}: was not refused"
        with desk.by_hand() as connection:
            if stored := connection.execute("delete from job where not payload ? 'k'").rowcount:
                yield f"{stored} jobs were stored"

    return case


PAYLOADS = {
    "NUL": "B1", "surrogate": "B2", "NaN": "B3", "inf$": "B3", "mebibyte": "B4", "levels": "B5", "circular": "B5", "key": "B6",
    "digits": "B8", "": "B7",
}  # fmt: skip
OTHERS = {"max_attempts": "B12", "backoff": "B13", "run_at": "B14", "type|queue": "B10", "": "B12"}


def _id(name: str) -> str:
    """The id of the case to which an entry of the suite's tables belongs."""
    return next(id for sign, id in (PAYLOADS if "payload" in name else OTHERS).items() if re.search(sign, name))


def _by_id() -> dict[str, Case]:
    grouped: dict[str, dict[str, Callable[[JobManager], Any]]] = {}
    for name, (call, _) in (CREATE | {f"many, {name}": entry for name, entry in MANY.items()}).items():
        grouped.setdefault(_id(name), {})[name] = call
    grouped["B4"]["100 MB"] = lambda manager: manager.create("a", {"a": "x" * HUGE})
    return {f"{id}: {len(grouped[id])} times refused by create": _refused(grouped[id], InvalidJob) for id in sorted(grouped)}


def _constructed(desk: Desk) -> Iterator[str]:
    calls = {
        name: lambda manager, keywords=keywords: JobManager(**{"db": NOWHERE} | keywords)
        for name, (keywords, *_) in CONSTRUCTOR.items()
    }
    yield from _refused(calls, tuple({error for _, error, _ in CONSTRUCTOR.values()}))(desk)


def _looked(desk: Desk) -> Iterator[str]:
    yield from _refused({name: call for name, (call, *_) in LOOKING.items()}, (TypeError, ValueError))(desk)


# -- odd, but valid -----------------------------------------------------------------------------------------------------


def _odd_names(desk: Desk) -> Iterator[str]:
    jobs = {name: desk.create(text, text=text) for name, text in TEXTS.items()}
    for name, job in jobs.items():
        found = desk.final(job, PLAIN_SECONDS)
        if found is None or found.status != "completed" or found.type != TEXTS[name] or found.payload["text"] != TEXTS[name]:
            yield f"{name}: {found}"


def _odd_schemas(desk: Desk) -> Iterator[str]:
    for schema in SCHEMAS:
        manager = JobManager(desk.site.conninfo(), handlers={"a": lambda job: job.payload}, schema=schema)
        manager.migrate()
        try:
            manager.start(1)
            job = manager.create("a")
            if not desk.site.until(lambda manager=manager, job=job: manager.find(job).status == "completed", PLAIN_SECONDS):
                yield f"{schema}: nothing was done there"
        finally:
            manager.stop()
            with desk.site.cluster.connection() as connection:
                connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))


# -- by hand ------------------------------------------------------------------------------------------------------------

REFUSED_ROWS = {
    "B14: rows with times that Python does not have": [
        f"insert into job (type, {column}) values ('a', '{time}')"
        for column in ("run_at", "created_at", "started_at")
        for time in ("infinity", "-infinity", "20000-01-01", "9999-12-31", "0001-01-01 BC")
    ],
    "B23: rows that say what cannot be": [
        f"insert into job (type, {columns}) values ('a', {values})"
        for columns, values in {
            "status": "'runing'",
            "status, attempts": "'running', 1",
            "status, result": "'completed', '1'",
            "process_id": "1",
            "completed_at": "now()",
            "process": "'hand'",
            "attempts": "-1",
            "attempts, crashes": "1, 2",
            "max_attempts": "0",
            "priority": "101",
            "queue": "repeat('q', 256)",
            "payload": "null",
            "payload, error": "'[]', ''",
            "backoff_strategy": "'EXP'",
            "backoff_max": "'infinity'",
            "backoff_jitter": "'NaN'",
            "lease_no": "-1",
        }.items()
    ]
    + [
        "insert into job (type) values ('')",
        "insert into job (type) values (repeat('t', 256))",
        "update job set uid = (select min(uid::text)::uuid from job)",
        "insert into attempt values (gen_random_uuid(), 0, 1, 'hand', '-infinity', now(), 'success')",
    ],
    "B5: a payload nested 100,000 levels": [
        "update job set payload = (repeat('{\"a\":', 100000) || '1' || repeat('}', 100000))::jsonb"
    ],
    "B8: a payload with 1e200000": ["update job set payload = '{\"a\": 1e200000}'"],
}


def _refused_rows(statements: list[str]) -> Case:
    def case(desk: Desk) -> Iterator[str]:
        for statement in statements:
            try:
                with desk.by_hand() as connection:
                    connection.execute(statement.encode())
            except psycopg.Error:
                continue
            yield f"was taken: {statement}"

    return case


POISON: dict[str, tuple[str, str, str, set[str]]] = {
    # SQL of further keys of the payload, columns, their values, and the statuses that the job may have after one attempt
    "B5: a row nested 5,000 levels": (  # which some Pythons can read
        "jsonb_build_object('a', (repeat('[', 5000) || repeat(']', 5000))::jsonb)", "", "", {"failed", "completed"},
    ),
    "B8: a row with a number of 130,000 digits": ("jsonb_build_object('a', 1e130000)", "", "", {"failed"}),
    "B13: a row at its 9,999th attempt, which raises": (
        "'{\"raises\": 20000}'", "attempts, max_attempts, backoff_base", "9998, 10000, 1000", {"pending"},
    ),
    "B13: a row at its billionth attempt, which raises": ("'{\"raises\": 2000000000}'", "attempts", "999999999", {"failed"}),
    "B23: a row with more attempts than it may have": ("'{}'", "attempts", "50", {"completed"}),
    "B23: a row with a result and an error before it began": ("'{}'", "result, error", "'1', ''", {"completed"}),
    "B23: a row at the greatest lease_no": ("'{}'", "lease_no", f"{2**63 - 1}", {"completed"}),
    "B23: a row at the greatest attempt": ("'{}'", "attempts", "1000000000", {"completed"}),
    "B23: a row that died as often as it may, and more": ("'{}'", "attempts, crashes", "9000, 9000", {"completed", "failed"}),
}  # fmt: skip


def _poisoned(payload: str, columns: str, values: str, ends: set[str]) -> Case:
    """A poisoned row among plain ones, so that one claim takes them all. It is checked and removed here, because the ledger
    does not know it."""
    insert = (
        "insert into job (type, payload{}) values ('a', "
        "jsonb_build_object('k', %s::text, 'ms', 0, 'raises', 0) || {}::jsonb{}) returning uid"
    )
    poison = insert.format(f", {columns}" if columns else "", payload, f", {values}" if values else "").encode()
    plain = insert.format("", "'{}'", "").encode()

    def case(desk: Desk) -> Iterator[str]:
        innocents = [desk.name() for _ in range(20)]
        with desk.by_hand() as connection:
            for k in innocents[:10]:
                connection.execute(plain, [k])
            ((uid,),) = connection.execute(poison, ["poison"]).fetchall()
            for k in innocents[10:]:
                connection.execute(plain, [k])
        for k in innocents:
            desk.site.note("enq_ok", k=k)
        tried = f"select count(*) from {ended(desk.site.schema)} where uid = %s"
        if not desk.site.until(lambda: desk.site.cluster.ask(tried, [uid]) == [(1,)], PLAIN_SECONDS):
            yield f"it was not tried within {PLAIN_SECONDS:g} s"
        with desk.by_hand() as connection:
            ((status, soon),) = connection.execute(
                "delete from job where uid = %s returning status, run_at <= now() + interval '1 hour'", [uid]
            ).fetchall()
            connection.execute("delete from attempt where job_uid = %s", [uid])
        if status not in ends or not soon:
            yield f"it ended as {status}, {'' if soon else 'not '}within an hour"
        count = f"select count(*) from {desk.site.schema}.job where status = 'completed' and payload->>'k' = any(%s)"
        if not desk.site.until(lambda: desk.site.cluster.ask(count, [innocents]) == [(len(innocents),)], PLAIN_SECONDS):
            yield "the jobs beside it did not all complete"

    return case


# -- handlers -----------------------------------------------------------------------------------------------------------


def _done(do: str, error: str | None, type: str = "a", **options: Any) -> Case:
    """`type`: if it is not an ordinary one, a worker of its own runs it, made with the options."""

    def case(desk: Desk) -> Iterator[str]:
        if type not in ORDINARY:
            desk.worker(type, **options)
        job = desk.final(desk.create(type, do), CASE_SECONDS)
        if job is None:
            yield "its job is not final"
        elif (job.status == "completed") != (error is None) or not (job.error or "").startswith(error or ""):
            yield f"its job {job.status}: {job.error}"
        elif error is not None and len(job.error.encode()) > 10_000:
            yield f"its error has {len(job.error.encode())} bytes"
        if type not in ORDINARY:
            yield from desk.plain(type)

    return case


def _files_closed(do: str) -> Case:
    """The job may be run again, as after a crash, and nothing worse may happen. Then the process is killed, because it has lost
    its files, so what it leaves behind is not checked."""

    def case(desk: Desk) -> Iterator[str]:
        worker = desk.worker("closes files")
        desk.site.note("fault", what="files closed", pid=worker.pid)
        began = time.monotonic()
        job = desk.create("closes files", do)
        if desk.final(job, CLOSED_SECONDS) is None:
            yield "its job is not final"
        yield from desk.plain("closes files", CLOSED_SECONDS)
        seconds = round(time.monotonic() - began, 1)
        desk.site.notes["all files closed: a plain job done after, s"] = seconds
        desk.site.kill(worker)
        desk.site.workers.remove(desk.workers.pop("closes files"))
        desk.site.note("healed")

    return case


# -- crowds, secrets ----------------------------------------------------------------------------------------------------


def _crowd(desk: Desk) -> Iterator[str]:
    before = _wait(desk)
    with desk.by_hand() as connection:
        connection.execute(
            "insert into job (type, priority) select 'nobody''s', 100 from generate_series(1, %s)",
            [CROWD],
        )
    try:
        behind = _wait(desk)
    finally:
        with desk.by_hand() as connection:
            connection.execute("delete from job where type = 'nobody''s'")
    desk.site.notes[f"a plain job, without and behind {CROWD:,} of a type that nobody does, ms"] = (
        f"{before * 1000:.0f}, {behind * 1000:.0f}"
    )
    if behind > 10 * before * desk.site.patience:
        yield f"a job took {behind:.3f} s behind them, {before:.3f} s without"


def _wait(desk: Desk) -> float:
    waits = []
    for _ in range(20):
        began = time.monotonic()
        desk.final(desk.create("a"), CASE_SECONDS)
        waits.append(time.monotonic() - began)
    return median(waits)


def _secret(desk: Desk) -> Iterator[str]:
    for worker in desk.site.workers:
        if SECRET in worker.wrote():
            yield f"worker {worker.pid} wrote a payload's value into its log"
    found = (
        f"select count(*) from {desk.site.schema}.job left join {desk.site.schema}.attempt on uid = job_uid "
        "where concat(error, error_message, error_details) like %s"
    )
    if (count := desk.site.cluster.ask(found, [f"%{SECRET}%"])[0][0]) > 0:
        yield f"{count} errors name a payload's value"


CASES: dict[str, Case] = {
    **_by_id(),
    "B11: wrong keywords of the constructor": _constructed,
    "B15: wrong arguments of find, history, fetch_all and stop": _looked,
    "B10: odd names of types": _odd_names,
    "B11: odd names of schemas": _odd_schemas,
    **{name: _refused_rows(statements) for name, statements in REFUSED_ROWS.items()},
    **{name: _poisoned(*poison) for name, poison in POISON.items()},
    **{name: _done(name, misdeed.error) for name, misdeed in (RESULTS | RAISES | FORKS).items()},
    **{name: _done(name, misdeed.error, "changes") for name, misdeed in CHANGES.items()},
    **{name: _done(name, misdeed.error, "borrows", pool=5) for name, misdeed in BORROWS.items()},
    **{name: _files_closed(name) for name in CLOSES},
    "B24: behind a crowd of a type that nobody does": _crowd,
    "B18: no payload in a log or an error": _secret,
}


@fault(
    "B", "bad input: wrong arguments, careless handlers, rows written by hand", trial="a case", short=len(CASES),
    long=len(CASES), expects="after each case a plain job completes on the same manager",
)  # fmt: skip
def bad_input(site: Site) -> None:
    site.work(1, types=(*ORDINARY, *TEXTS.values()))
    site.create(threads=1, every=0.05, raising=0)
    desk = Desk(site)
    try:
        for _, name in zip(site.each_trial(), cycle(CASES), strict=False):
            for flaw in (*CASES[name](desk), *desk.plain()):
                site.expect(False, f"{name}: {flaw}")
    finally:
        desk.manager.stop()
