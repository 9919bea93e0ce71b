"""Django's tasks on steve: `TASKS = {"default": {"BACKEND": "steve.contrib.django.SteveBackend"}}`.

An enqueued task is a job. Where to read: backend.py enqueues tasks and finds their results, and task.py is the task that takes
steve's keywords. calls.py says how a call of a task is written into a job and read again; results.py makes a TaskResult of a
job. discovery.py finds the tasks of the apps, and work.py registers handlers for them with the manager and runs them. twins.py
has the backends for tests, errors.py what is raised. _django.py imports Django's own part, from Django 6 or from the package
`django-tasks`.

Whatever is imported by Django before it is set up (settings name the backend, and apps declare tasks) imports no models.
"""

from __future__ import annotations

from importlib.util import find_spec


def are_there() -> bool:
    """Whether Django has tasks, or `django-tasks` is installed."""
    return find_spec("django.tasks") is not None or find_spec("django_tasks") is not None


def install() -> None:
    """Register handlers for the tasks of the apps with the managers of all backends in TASKS. The app calls it when it is
    ready. Does nothing where there are no tasks."""
    if are_there():
        from steve.contrib.django.tasks.backend import install_all

        install_all()
