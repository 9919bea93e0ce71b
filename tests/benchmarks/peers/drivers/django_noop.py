"""The task of the backends of Django's tasks. It stands apart, so that steve's autodiscovery imports it."""

from django.tasks import task

from .. import driver


@task()
def noop(i: int) -> None:
    driver.begun(i)
