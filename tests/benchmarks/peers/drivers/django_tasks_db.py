"""django-tasks-db: its worker does one job at a time, and polls every 50 ms when there is none."""

import os

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],  # libpq's variables name the rest
            "CONN_MAX_AGE": None,
        }
    },
    INSTALLED_APPS=["django_tasks_db"],
    TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
    USE_TZ=True,
    LOGGING_CONFIG=None,
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.tasks import task  # noqa: E402

from .. import driver  # noqa: E402


@task()
def noop(i: int) -> None:
    driver.begun(i)


def set_up() -> None:
    call_command("migrate", verbosity=0)


def fill() -> None:  # it has no call that creates many jobs
    for batch in driver.batches(1_000):
        with transaction.atomic():
            for i in batch:
                noop.enqueue(i=i)


def create() -> None:
    for i in driver.creating():
        noop.enqueue(i=i)


def work() -> None:
    connection.ensure_connection()
    driver.wait_for_start()
    call_command("db_worker", interval=0.05, startup_delay=False, verbosity=0, reload=False)
