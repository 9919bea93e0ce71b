"""django-ox: its worker with 4 at a time, and a poll every 50 ms when there is no job."""

from .. import django_project, driver

django_project.set_up({"BACKEND": "django_ox.backend.OxBackend"}, ["django_ox"])

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django_ox.bulk import enqueue_many  # noqa: E402

from .django_noop import noop  # noqa: E402


def set_up() -> None:
    call_command("migrate", verbosity=0)


def fill() -> None:
    for batch in driver.batches(1_000):
        enqueue_many(noop, [((), {"i": i}) for i in batch])


def create() -> None:
    for i in driver.creating():
        noop.enqueue(i=i)


def work() -> None:
    connection.ensure_connection()
    driver.wait_for_start()
    call_command("ox_worker", concurrency=4, interval=0.05, verbosity=0)
