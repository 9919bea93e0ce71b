"""huey on PostgreSQL: 10 threads, results off."""

import threading

from huey import PostgresHuey

from .. import driver

huey = PostgresHuey("default", dsn=driver.ANYWHERE, results=False)


@huey.task()
def noop(i: int) -> None:
    driver.begun(i)


def set_up() -> None:
    huey.storage.queue_size()


def fill() -> None:  # it has no call that creates many jobs
    for batch in driver.batches(1_000):
        for i in batch:
            noop(i)


def create() -> None:
    for i in driver.creating():
        noop(i)


def work() -> None:
    consumer = huey.create_consumer(workers=10, periodic=False, check_worker_health=False)
    driver.wait_for_start()
    consumer.start()
    threading.Event().wait()
