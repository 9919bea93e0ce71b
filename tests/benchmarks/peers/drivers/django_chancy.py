"""chancy as a backend of Django's tasks: its tasks run in threads, 10 at a time, polling eagerly."""

import asyncio

from .. import django_project, driver

django_project.set_up({"BACKEND": "chancy.contrib.django.backend.ChancyBackend", "OPTIONS": {"dsn": driver.ANYWHERE}}, [])

from chancy import Chancy, Queue, Worker  # noqa: E402
from chancy.contrib.django.backend import WRAPPER_FUNC  # noqa: E402
from chancy.job import Job  # noqa: E402

from .django_noop import noop  # noqa: E402


def job_of(i: int) -> Job:
    """As its backend makes one."""
    kwargs = {"_task_path": noop.module_path, "_args": [], "_kwargs": {"i": i}, "_takes_context": False}
    return Job(func=WRAPPER_FUNC, queue="default", kwargs=kwargs)


async def _set_up() -> None:
    async with Chancy(driver.ANYWHERE) as app:
        await app.migrate()
        queue = Queue("default", concurrency=10, executor=Chancy.Executor.Threaded, eager_polling=True)
        await app.declare(queue, upsert=True)


async def _fill() -> None:
    async with Chancy(driver.ANYWHERE) as app:
        for batch in driver.batches(1_000):
            async for _ in app.push_many([job_of(i) for i in batch], batch_size=1_000):
                pass


async def _work() -> None:
    async with Chancy(driver.ANYWHERE) as app:
        worker = Worker(app)
        driver.wait_for_start()
        async with worker:
            await worker.wait_for_shutdown()


def set_up() -> None:
    asyncio.run(_set_up())


def fill() -> None:
    asyncio.run(_fill())


def create() -> None:
    for i in driver.creating():
        noop.enqueue(i=i)


def work() -> None:
    asyncio.run(_work())
