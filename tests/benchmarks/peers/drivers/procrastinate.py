"""procrastinate: 30 async tasks at a time."""

import asyncio

from procrastinate import App, BaseConnector, PsycopgConnector, SyncPsycopgConnector
from procrastinate.tasks import Task

from .. import driver


def app_on(connector: BaseConnector) -> tuple[App, Task]:
    app = App(connector=connector)

    @app.task(name="noop", queue="default")
    async def noop(i: int) -> None:
        driver.begun(i)

    return app, noop


def set_up() -> None:
    app, _ = app_on(SyncPsycopgConnector())
    with app.open():
        app.schema_manager.apply_schema()


def fill() -> None:
    app, noop = app_on(SyncPsycopgConnector())
    with app.open():
        for batch in driver.batches(1_000):
            noop.batch_defer(*[{"i": i} for i in batch])


def create() -> None:
    app, noop = app_on(SyncPsycopgConnector(min_size=1, max_size=1))
    with app.open():
        for i in driver.creating():
            noop.defer(i=i)


async def _work() -> None:
    app, _ = app_on(PsycopgConnector(min_size=10, max_size=22))
    async with app.open_async():
        driver.wait_for_start()
        await app.run_worker_async(queues=["default"], concurrency=30)


def work() -> None:
    asyncio.run(_work())
