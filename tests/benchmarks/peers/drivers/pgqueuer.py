"""pgqueuer on asyncpg, the driver it recommends, and uvloop, as in its own benchmark: batches of 100."""

import json

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from .. import driver


async def connected() -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect())


def payload(i: int) -> bytes:
    return json.dumps({"i": i}).encode()


async def _set_up() -> None:
    queries = Queries(await connected())
    await queries.install()
    await queries.optimize_autovacuum()


async def _fill() -> None:
    queries = Queries(await connected())
    for batch in driver.batches(1_000):
        await queries.enqueue(["noop"] * len(batch), [payload(i) for i in batch], [0] * len(batch))


async def _create() -> None:
    queries = Queries(await connected())
    for i in driver.creating():
        await queries.enqueue("noop", payload(i), 0)


async def _work() -> None:
    manager = PgQueuer(await connected())

    @manager.entrypoint("noop")
    async def noop(job: Job) -> None:
        assert job.payload is not None
        driver.begun(json.loads(job.payload)["i"])

    driver.wait_for_start()
    await manager.run(batch_size=100)


def set_up() -> None:
    uvloop.run(_set_up())


def fill() -> None:
    uvloop.run(_fill())


def create() -> None:
    uvloop.run(_create())


def work() -> None:
    uvloop.run(_work())
