"""The cases, for Django's test runner. They run in the project, on each version of Django."""

import time
from contextlib import contextmanager

from django.db import connection
from django.test import TransactionTestCase
from shop.api import task_backends

from steve.contrib.django import manager_for

SECONDS = 60


class Case(TransactionTestCase):
    """Empties steve's tables before each test. `worked()` has a manager work in this process until results have ended."""

    def setUp(self):
        self.empty()
        self.addCleanup(self.empty)

    def empty(self):
        with connection.cursor() as cursor:
            cursor.execute("truncate steve.job, steve.attempt, steve.unique_window, steve.replacement")

    @contextmanager
    def working(self, workers=2):
        manager = manager_for()
        manager.start(workers)
        try:
            yield manager
        finally:
            report = manager.stop(SECONDS)
            self.assertTrue(report.complete, report)

    def worked(self, *results, workers=2):
        with self.working(workers) as manager:
            manager.wait_all([result.id for result in results], SECONDS)
        for result in results:
            refresh(result)
        return results[0] if len(results) == 1 else results

    def until(self, condition):
        deadline = time.monotonic() + SECONDS
        while not (value := condition()):
            self.assertLess(time.monotonic(), deadline, "it has not come true")
            time.sleep(0.01)
        return value

    def execute(self, statement, *parameters):
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def refresh(result):
    if result.task.get_backend().supports_get_result:
        result.refresh()


def backend(alias="default"):
    return task_backends[alias]
