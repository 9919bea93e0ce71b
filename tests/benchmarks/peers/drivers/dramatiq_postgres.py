"""dramatiq on PostgreSQL: 8 threads."""

import threading

import dramatiq
import psycopg
from dramatiq_postgres import PostgresBroker
from dramatiq_postgres.schema import generate_init_sql

from .. import driver

broker = PostgresBroker(url={"maxconn": "16"}, results=False)  # libpq's variables name the rest
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="default")
def noop(i: int) -> None:
    driver.begun(i)


def set_up() -> None:
    with psycopg.connect() as connection:
        connection.execute(generate_init_sql())


def fill() -> None:  # it has no call that creates many jobs
    for batch in driver.batches(1_000):
        for i in batch:
            noop.send(i)


def create() -> None:
    for i in driver.creating():
        noop.send(i)


def work() -> None:
    worker = dramatiq.Worker(broker, worker_threads=8)
    driver.wait_for_start()
    worker.start()
    threading.Event().wait()
