"""chancy: 1,000 async jobs at a time, polling eagerly."""

import asyncio
import logging

from chancy import Chancy, Queue, Worker, job
from chancy.job import Job

from .. import driver


@job(queue="default")
async def noop(*, i: int) -> None:
    driver.begun(i)


def opened() -> Chancy:
    return Chancy(driver.ANYWHERE, log=logging.getLogger("quiet"))


def noop_of(i: int) -> Job:
    return noop.job.with_kwargs(i=i)


async def _set_up() -> None:
    async with opened() as app:
        await app.migrate()
        queue = Queue("default", concurrency=1_000, executor=Chancy.Executor.Async, eager_polling=True)
        await app.declare(queue, upsert=True)


async def _fill() -> None:
    async with opened() as app:
        for batch in driver.batches(1_000):
            async for _ in app.push_many([noop_of(i) for i in batch], batch_size=1_000):
                pass


async def _create() -> None:
    async with opened() as app:
        for i in driver.creating():
            await app.push(noop_of(i))


async def _work() -> None:
    async with opened() as app:
        worker = Worker(app)
        driver.wait_for_start()
        async with worker:
            await worker.wait_for_shutdown()


def set_up() -> None:
    asyncio.run(_set_up())


def fill() -> None:
    asyncio.run(_fill())


def create() -> None:
    asyncio.run(_create())


def work() -> None:
    asyncio.run(_work())
