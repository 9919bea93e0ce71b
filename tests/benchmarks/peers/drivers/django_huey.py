"""huey on PostgreSQL as a backend of Django's tasks: 10 threads. It keeps results, since a TaskResult needs one."""

import threading

from huey import PostgresHuey

from .. import django_project, driver

django_project.set_up(
    {"BACKEND": "huey.contrib.djhuey.tasks_backend.HueyBackend"},
    ["huey.contrib.djhuey"],
    HUEY=PostgresHuey("default", dsn=driver.ANYWHERE),
)

from huey.contrib.djhuey import HUEY  # noqa: E402

from .django_noop import noop  # noqa: E402


def set_up() -> None:
    HUEY.storage.queue_size()


def fill() -> None:
    for i in range(driver.jobs):  # it has no call that creates many jobs
        noop.enqueue(i=i)


def create() -> None:
    for i in driver.creating():
        noop.enqueue(i=i)


def work() -> None:
    consumer = HUEY.create_consumer(workers=10, periodic=False, check_worker_health=False)
    driver.wait_for_start()
    consumer.start()
    threading.Event().wait()
