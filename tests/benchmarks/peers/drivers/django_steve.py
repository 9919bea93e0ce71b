"""steve's own backend of Django's tasks: 10 threads, and what Django does around each job."""

import threading

from .. import django_project, driver

django_project.set_up(
    {"BACKEND": "steve.contrib.django.SteveBackend"},
    ["steve.contrib.django", "tests.benchmarks.peers.drivers"],
    STEVE={"modules": ["django_noop"]},
)

from steve.contrib.django import manager_for  # noqa: E402

from .django_noop import noop  # noqa: E402


def set_up() -> None:
    manager_for().migrate()


def fill() -> None:
    manager = manager_for()
    for batch in driver.batches(10_000):
        manager.create_many([(noop.module_path, {"args": [], "kwargs": {"i": i}}) for i in batch], connection=None)


def create() -> None:
    for i in driver.creating():
        noop.enqueue(i=i)


def work() -> None:
    manager = manager_for()
    driver.wait_for_start()
    manager.start(10)
    threading.Event().wait()
