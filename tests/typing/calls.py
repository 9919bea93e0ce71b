"""Calls of tasks and hooks as users write them. A type checker must flag the lines that end in `# wrong`, and no other line.

It is not run: `test_typing.py` gives it to mypy and pyright.
"""

from asyncio import wrap_future
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from uuid import UUID

import steve
from steve import Creation, Job, JobManager, Run, Task
from steve.contrib.django import manager as in_django
from steve.contrib.django import manager_for
from steve.testing import Ran, assert_enqueued, clear, crash_point, drain, enqueued, perform, refute_enqueued

manager = JobManager()
by_its_module: JobManager = steve.JobManager(schema=steve.__version__)
steve.Manager()  # wrong


@manager.task
def double(number: int) -> int:
    return 2 * number


@manager.task(queue="mail", priority=3)
def send(to: str, *, copies: int = 1, order: UUID | None = None) -> None: ...


# -- called plainly
result: int = double(2)
double("2")  # wrong
text: str = double(2)  # wrong
send("ada", copies=2)
send("ada", 2)  # wrong

# -- create
job: Job = double.create(2)
double.create(number=2)
double.create()  # wrong
double.create("2")  # wrong
double.create(2, 3)  # wrong
double.create(numbre=2)  # wrong
send.create("ada")
send.create("ada", copies=2, order=UUID(int=1))
send.create("ada", copies="2")  # wrong
send.create(copies=2)  # wrong
number: int = send.create("ada")  # wrong

# -- options
slow: Task[[int], int] = double.options(queue="slow", delay=timedelta(minutes=5))
slow.create(2)
double.options(delay=5.5, unique="a").create(2)
double.options(delay=5).create("2")  # wrong
double.options(dealy=5)  # wrong
double.options(priority="high")  # wrong
double.options(queue="slow")(2)

# -- many
jobs: list[Job] = double.create_many([(1,), {"number": 2}, double.new_job(3)])
double.create_many([1, 2])  # wrong
double.new_job("3")  # wrong
manager.create_many([double.new_job(1), send.new_job("ada")])


# -- the decorator
@manager.task(prio=3)  # wrong
def first() -> None: ...


@manager.task(max_attempts="many")  # wrong
def second() -> None: ...


class Sender:
    def send(self, to: str) -> bool:
        return bool(to)


bound = manager.task(name="bound")(Sender().send)
bound.create("ada")
bound.create(5)  # wrong


# -- hooks
def around(run: Run) -> Iterator[None]:
    print(run.attempt, run.last_attempt)
    yield


def around_create(creation: Creation) -> AbstractContextManager[None]:
    creation.metadata["locale"] = "en"
    return nullcontext()


def around_thread() -> Iterator[None]:
    yield


remove = manager.around(around, types=["a"])
remove()
with manager.around_create(around_create):
    pass
manager.around_thread(around_thread)
manager.around_listener(lambda job: nullcontext(job.uid))
manager.around(around_thread)  # wrong
manager.around_create(around)  # wrong
manager.around_listener(around)  # wrong
manager.around(around, types=5)  # wrong


# -- connections of the caller's, and statements
def db() -> str:
    return "dbname=shop"


JobManager(db, listen_db=db)
JobManager(listen_db=lambda: 5)  # wrong
sql, parameters, uid = manager.statement("a", {"n": 1}, paramstyle="numeric_dollar")
words: list[str] = [sql, str(uid)]
made: UUID = uid
manager.statement("a", paramstyle="qmark")  # wrong
manager.statement("a", connection=object())  # wrong
manager.create("a", connection=object(), bind=object())
manager.cancel(made, connection=object(), bind=object())


# -- waiting
async def wait_for(job: Job) -> Job:
    done: Job = manager.wait(job, timeout=5)
    many: list[Job] = manager.wait_all([job, job.uid, str(job.uid)], timeout=5)
    future: Future[Job] = manager.future(done)
    ended: Job = await wrap_future(future)
    manager.wait(many)  # wrong
    manager.wait(job, timeout="5")  # wrong
    wrong: str = future.result()  # wrong
    return ended if wrong else done


# -- asking why
code: str = manager.why("x").reasons[0].code
codes: tuple[str, ...] = manager.why(UUID(int=1)).codes
manager.why(7)  # wrong
busy: int = manager.processes()[0].busy
queues: list[str] = manager.processes()[0].pools[0].queues  # wrong


# -- in Django
@in_django.task(queue="mail")
def welcome(user: int) -> str:
    return str(user)


welcomed: Job = welcome.create(1)
other: JobManager = manager_for("other")
welcome.create("1")  # wrong
in_django.create(7)  # wrong
manager_for(7)  # wrong
# -- tests
ran: list[Ran] = drain(manager, scheduled=True, raise_errors=False, max_jobs=10)
drain(manager, object(), queues="mail", types=["a", "b"])
drain(manager, scheduled="yes")  # wrong
drain(manager, types=5)  # wrong
drain()  # wrong
again: float | None = ran[0].due_in
ran[0].attempt = 2  # wrong
ran[0].job.payload["to"]
perform(manager, "mail", {"to": "ada"}, 2, max_attempts=3, tags={"tenant": "acme"})
perform(manager, "mail", attempt="2")  # wrong
waiting: list[Job] = enqueued(manager, "mail", {"to": "ada"}, tags={"tenant": "acme"})
one: Job = assert_enqueued(manager, "mail", count=2, connection=None)
assert_enqueued(manager, "mail", count="2")  # wrong
assert_enqueued(manager, payload=["to"])  # wrong
refute_enqueued(manager, unique="month")
nothing: Job = refute_enqueued(manager)  # wrong
clear(manager)
with crash_point(manager, "before settle", types="mail"):
    pass
with crash_point(manager, "before settling"):  # wrong
    pass
