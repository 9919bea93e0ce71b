"""Tasks that the autodiscovery finds."""

import threading
import time
from pathlib import Path

from django.db import connection

from shop.api import task

begun = threading.Event()
go_on = threading.Event()


@task()
def nothing(*args, **kwargs):
    return None


@task
def bare():
    return "bare"


@task()
async def nothing_async(*args, **kwargs):
    return None


@task
async def add_async(a, b):
    return a + b


@task
def add(a, b):
    return a + b


@task
def echo(value):
    return value


@task
def fail():
    raise ValueError("this task failed")


@task
def fail_with_an_error_in_an_error():
    raise ValueError(ValueError("this task failed"))


@task
def leave():
    raise SystemExit("this task left")


@task
def interrupt():
    raise KeyboardInterrupt("somebody pressed a key")


@task
def return_a_function():
    return lambda: True


@task
def return_bytes_and_tuples():
    return {"bytes": b"abc", "tuple": (1, 2)}


@task
def raise_a_local_class():
    class Local(Exception):
        pass

    raise Local("of no other process")


@task(takes_context=True)
def own_id(context):
    return context.task_result.id


@task(takes_context=True)
def attempts(context, *, until):
    """Fails until that attempt."""
    if context.attempt < until:
        raise ValueError(f"attempt {context.attempt}")
    return [context.attempt, len(context.task_result.errors), context.task_result.worker_ids]


@task
def wait():
    begun.set()
    assert go_on.wait(30)
    return "waited"


@task
def sleep(seconds):
    time.sleep(seconds)


@task
def sleep_once(path, seconds):
    """The first run of all sleeps; the marker file says that there was one."""
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return "the second run"
    time.sleep(seconds)
    return "the first run"


@task
def where_the_connection_is():
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        return [threading.get_ident(), cursor.fetchone()[0]]


@task
def enqueue_another(a, b):
    return add.enqueue(a, b).id


reduced = add.using(priority=-10)
