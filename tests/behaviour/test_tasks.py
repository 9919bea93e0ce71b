"""Tasks: functions whose calls are stored as jobs."""

import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from inspect import Parameter, signature
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from steve import Creation, InvalidJob, Job, JobManager, NewJob, RetryPolicy, Status, Task, current_run
from tests.conftest import until


@dataclass(frozen=True)
class Order:
    id: UUID
    total: Decimal


def ended(manager: JobManager, job: Job) -> Job:
    return until(lambda: found if (found := manager.find(job)) and found.status in ("completed", "failed") else None)


# -- a call as a job ----------------------------------------------------------------------------------------------------------


def test_a_task_runs_with_the_arguments_that_it_was_created_with(manager: JobManager) -> None:
    called: list[Any] = []

    @manager.task(queue="mail")
    def charge(order: Order, at: datetime, *, retries: int = 3) -> str:
        called.append((order, at, retries, current_run().job.uid))
        return str(order.total)

    order, at = Order(uuid4(), Decimal("9.90")), datetime(2026, 1, 2, tzinfo=UTC)
    job = charge.create(order, at=at)
    assert (job.type, job.queue) == (charge.type, "mail")
    assert job.payload == {
        "order": {"id": str(order.id), "total": "9.90"},
        "at": "2026-01-02T00:00:00+00:00",
        "retries": 3,
    }
    with manager:
        assert ended(manager, job).result == "9.90"
    assert called == [(order, at, 3, job.uid)]


def test_called_plainly_a_task_is_still_the_function(manager: JobManager) -> None:
    @manager.task
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    assert isinstance(double, Task)
    assert double(4) == 8
    assert double(number=4) == 8
    assert (double.__name__, double.__doc__) == ("double", "Twice the number.")
    assert str(signature(double)) == "(number: int) -> int"
    assert manager.fetch_all() == []


def test_the_type_is_the_qualified_name_or_the_one_that_is_given(manager: JobManager) -> None:
    def function() -> None: ...

    here = f"{__name__}.test_the_type_is_the_qualified_name_or_the_one_that_is_given.<locals>.function"
    task = manager.task(function)
    assert task.type == task.create().type == here
    assert repr(task) == f"<task {here}>"
    assert manager.has_handler(here)
    assert manager.task(name="mail.send")(function).create().type == "mail.send"


def test_a_program_that_is_run_as_a_module_names_its_tasks_as_an_import_would(tmp_path: Any) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tasks.py").write_text(
        "from steve import JobManager\nmanager = JobManager('')\n@manager.task\ndef charge(): ...\nprint(charge.type)\n"
    )
    for arguments, type in ((["-m", "shop.tasks"], "shop.tasks.charge"), (["shop/tasks.py"], "__main__.charge")):
        command = [sys.executable, *arguments]
        assert (
            subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout == f"{type}\n"
        )


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((), {}, "missing a required argument: 'order'"),
        (("x",), {}, "order is a str, not an Order"),
        ((Order(UUID(int=1), Decimal(1)),), {"retry": 1}, "got an unexpected keyword argument 'retry'"),
    ],
)
def test_wrong_arguments_are_a_type_error_where_the_job_is_created(
    manager: JobManager, arguments: Any, keywords: Any, message: str
) -> None:
    @manager.task(name="charge")
    def charge(order: Order) -> None: ...

    with pytest.raises(TypeError, match=f"^charge: {message}$"):
        charge.create(*arguments, **keywords)
    with pytest.raises(TypeError, match=f"^charge: {message}$"):
        charge.new_job(*arguments, **keywords)
    assert manager.fetch_all() == []


def test_what_json_cannot_hold_is_an_invalid_job(manager: JobManager) -> None:
    @manager.task
    def charge(order: object) -> None: ...

    with pytest.raises(InvalidJob, match=r'payload\["order"\] is a object, which JSON cannot hold'):
        charge.create(object())


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({}, "ArgumentNotDecodable: the payload lacks 'order', a parameter of charge"),
        ({"order": "secret"}, "ArgumentNotDecodable: order is a str, not an Order, the parameter of charge"),
        (
            {"order": {"id": "secret", "total": "1"}},
            'ArgumentNotDecodable: order["id"] does not hold a UUID, the parameter of charge',
        ),
    ],
)
def test_a_payload_that_cannot_be_decoded_fails_the_job_at_once_and_names_the_parameter(
    manager: JobManager, payload: dict[str, Any], error: str
) -> None:
    called: list[Order] = []

    @manager.task(name="charge")
    def charge(order: Order) -> None:
        called.append(order)

    with manager:
        job = ended(manager, manager.create("charge", payload, max_attempts=5))
    assert (job.status, job.error, job.attempts, called) == ("failed", error, 1, [])


def test_what_a_task_raises_is_recorded_from_its_own_frame_on(manager: JobManager) -> None:
    @manager.task(max_attempts=1)
    def charge(order: int) -> None:
        raise LookupError(order)

    with manager:
        job = ended(manager, charge.create(7))
    (attempt,) = manager.history(job)
    assert job.error == "LookupError: 7"
    assert attempt.error_details is not None
    assert attempt.error_details.count("File") == 1
    assert "in charge" in attempt.error_details


def test_a_type_has_one_task(manager: JobManager) -> None:
    manager.set_handler("charge", lambda job: None)
    with pytest.raises(ValueError, match="'charge' has a handler already"):
        manager.task(name="charge")(lambda: None)


async def a_coroutine() -> None: ...


def a_generator() -> Any:
    yield


@pytest.mark.parametrize("function", [5, "charge", a_coroutine, a_generator])
def test_what_cannot_be_a_task_is_refused_at_once(manager: JobManager, function: Any) -> None:
    with pytest.raises(TypeError):
        manager.task(function)
    with pytest.raises(TypeError):
        manager.task(name="charge")(function)


@pytest.mark.parametrize(("name", "error"), [(5, TypeError), ("", ValueError), ("a\n", ValueError), ("x" * 256, ValueError)])
def test_a_wrong_name_is_refused_at_once(manager: JobManager, name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="a job's type"):
        manager.task(name=name)(lambda: None)


def a_global(number: int) -> int:
    return 2 * number


def test_a_task_is_pickled_by_its_name_as_a_function_is(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    task = manager.task(a_global)
    monkeypatch.setitem(globals(), "a_global", task)
    assert pickle.loads(pickle.dumps(task)) is task


def test_a_task_within_a_handler_is_called_plainly(manager: JobManager) -> None:
    @manager.task
    def inner(number: int) -> int:
        return number + 1

    @manager.task
    def outer(number: int) -> int:
        return inner(inner(number))

    with manager:
        assert ended(manager, outer.create(1)).result == 3


# -- options ------------------------------------------------------------------------------------------------------------------


def test_options_are_those_of_create(manager: JobManager) -> None:
    @manager.task(queue="mail", priority=5, max_attempts=7, backoff_strategy="none")
    def send(to: str) -> None: ...

    job = send.create("ada")
    assert (job.queue, job.priority, job.max_attempts, job.backoff_strategy) == ("mail", 5, 7, "none")
    later = datetime.now(UTC) + timedelta(days=1)
    slow = send.options(queue="slow", run_at=later, backoff_strategy=RetryPolicy(2, "exp"))
    job = slow.create("ada")
    assert (job.queue, job.priority, job.run_at, job.max_attempts, job.backoff_strategy) == ("slow", 5, later, 7, "exp")
    assert slow.options(priority=0).create("ada").queue == "slow", "options build on each other"
    assert send.create("ada").queue == "mail", "the task itself stays as it was"
    assert (slow.type, slow is send) == (send.type, False)
    slow("ada")


def test_options_are_all_keywords_of_create() -> None:
    creating = set(signature(JobManager.create).parameters) - {"self", "type", "payload"}
    assert creating == set(signature(Task.options).parameters) - {"self"}
    tasking = {one.name for one in signature(JobManager.task).parameters.values() if one.kind is Parameter.KEYWORD_ONLY}
    of_handlers = {"give_up_on", "retry_delay", "interrupt", "capture_logs", "capture_print"}
    assert tasking - {"name"} - of_handlers <= set(signature(Task.options).parameters)


def test_options_that_create_refuses_are_refused_where_the_job_is_created(manager: JobManager) -> None:
    send = manager.task(name="send")(lambda: None)
    with pytest.raises(InvalidJob, match="priority"):
        send.options(priority=1000).create()


def test_a_task_can_be_created_in_the_callers_transaction(manager: JobManager, database_url: str) -> None:
    send = manager.task(name="send")(lambda: None)
    with psycopg.connect(database_url) as connection:
        job = send.options(connection=connection).create()
        assert manager.find(job) is None
        jobs = send.options(connection=connection).create_many([()] * 2)
        connection.commit()
    assert [one.uid for one in reversed(manager.fetch_all())] == [job.uid, *(one.uid for one in jobs)]


def test_on_done_is_an_option_of_create_alone(manager: JobManager) -> None:
    send = manager.task(name="send")(lambda: None)
    done: list[Job] = []
    told = send.options(on_done=done.append)
    with manager:
        job = told.create()
        until(lambda: done)
    assert (done[0].uid, done[0].status) == (job.uid, Status.COMPLETED)
    with pytest.raises(TypeError, match="on_done is an option of create"):
        told.create_many([()])
    with pytest.raises(TypeError, match="on_done is an option of a call"):
        told.new_job()


# -- many --------------------------------------------------------------------------------------------------------------------


def test_many_calls_are_stored_at_once(manager: JobManager) -> None:
    got: list[tuple[str, Decimal]] = []

    @manager.task(queue="mail")
    def send(to: str, amount: Decimal = Decimal(1)) -> None:
        got.append((to, amount))

    calls = [
        ("a",),
        {"to": "b", "amount": Decimal(2)},
        send.new_job("c", amount=Decimal(3)),
        send.options(priority=9).new_job("d"),
    ]
    jobs = send.options(priority=1).create_many(calls)
    assert [(job.type, job.queue, job.priority) for job in jobs] == [(send.type, "mail", n) for n in (1, 1, 1, 9)]
    assert send.create_many([]) == []
    manager.start(1)
    until(lambda: len(got) == 4)
    assert sorted(got) == [("a", 1), ("b", 2), ("c", 3), ("d", 1)]


def test_new_jobs_of_several_tasks_are_stored_by_one_call_of_the_manager(manager: JobManager) -> None:
    send = manager.task(name="send", queue="mail")(lambda to: None)
    charge = manager.task(name="charge", priority=3)(lambda amount: None)
    assert send.new_job("ada") == NewJob("send", {"to": "ada"}, queue="mail")
    jobs = manager.create_many([send.new_job("ada"), charge.new_job(5)])
    assert [(job.type, job.payload, job.queue, job.priority) for job in jobs] == [
        ("send", {"to": "ada"}, "mail", 0),
        ("charge", {"amount": 5}, "default", 3),
    ]


@pytest.mark.parametrize(
    ("calls", "error", "message"),
    [
        (5, TypeError, "calls must be an iterable of tuples, mappings or NewJobs, not int"),
        ("ada", TypeError, "calls must be an iterable"),
        ({"to": "ada"}, TypeError, "calls must be an iterable"),
        ([("ada",), "bob"], TypeError, r"calls\[1\]: must be a tuple of arguments, a mapping or a NewJob, not str"),
        ([("ada",), ()], TypeError, r"calls\[1\]: send: missing a required argument: 'to'"),
        ([{"to": "ada", "cc": "bob"}], TypeError, r"calls\[0\]: send: got an unexpected keyword argument 'cc'"),
        ([NewJob("charge")], InvalidJob, r"calls\[0\]: is a job of the type 'charge', not 'send'"),
        ([("ada",), ({1},)], InvalidJob, r'jobs\[1\]: payload\["to"\] is a set'),
    ],
)
def test_a_wrong_call_among_many_is_named_and_nothing_is_stored(
    manager: JobManager, calls: Any, error: type[Exception], message: str
) -> None:
    send = manager.task(name="send")(lambda to: None)
    with pytest.raises(error, match=message):
        send.create_many(calls)
    assert manager.fetch_all() == []


def test_the_jobs_of_a_task_pass_the_hooks_around_create(manager: JobManager) -> None:
    seen: list[Creation] = []

    def hook(creation: Creation) -> Any:
        seen.append(creation)
        yield

    manager.around_create(hook)
    send = manager.task(name="send", queue="mail")(lambda to: None)
    send.create("ada")
    send.create_many([("bob",), ("eve",)])
    assert [[job.payload for job in creation.jobs] for creation in seen] == [[{"to": "ada"}], [{"to": "bob"}, {"to": "eve"}]]
    assert {job.queue for creation in seen for job in creation.jobs} == {"mail"}


def test_a_task_can_be_created_from_many_threads_before_its_annotations_were_read(manager: JobManager) -> None:
    @manager.task(name="charge")
    def charge(order: Order) -> None: ...

    start = threading.Barrier(8)

    def create() -> None:
        start.wait(60)
        charge.create(Order(uuid4(), Decimal(1)))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(manager.fetch_all(type="charge")) == 8
