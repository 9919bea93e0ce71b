"""oban: 200 async jobs at a time on uvloop, as its command line runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from oban import Job, Oban, schema, worker

from .. import driver


@worker(queue="default")
class Noop:
    async def process(self, job: Job) -> None:
        driver.begun(job.args["i"])


@asynccontextmanager
async def opened(**options: object) -> AsyncIterator[Oban]:
    """An Oban that is not started yet."""
    pool = await Oban.create_pool(driver.ANYWHERE, min_size=1, max_size=10)
    yield Oban(pool=pool, **options)
    await pool.close()


async def _set_up() -> None:
    pool = await Oban.create_pool(driver.ANYWHERE, min_size=1, max_size=1)
    await schema.install(pool)
    await pool.close()


async def _fill() -> None:
    async with opened() as oban:
        for batch in driver.batches(1_000):
            await oban.enqueue_many(*[Noop.new({"i": i}) for i in batch])


async def _create() -> None:
    async with opened() as oban:
        for i in driver.creating():
            await oban.enqueue(Noop.new({"i": i}))


async def _work() -> None:
    async with opened(queues={"default": {"limit": 200}}) as oban:
        driver.wait_for_start()
        async with oban:
            await asyncio.Event().wait()


def set_up() -> None:
    uvloop.run(_set_up())


def fill() -> None:
    uvloop.run(_fill())


def create() -> None:
    uvloop.run(_create())


def work() -> None:
    uvloop.run(_work())
