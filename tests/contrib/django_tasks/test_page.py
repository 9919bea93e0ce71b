"""The files and the command of the page on Django's tasks, in a project."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.contrib.django_tasks.environments import VERSIONS, environment
from tests.docs.pages import ROOT, how_to
from tests.docs.reader import Reader, ends_well

CONSOLE = re.compile(r"^\$ (.*)$", re.MULTILINE)


@pytest.mark.timeout(600)
def test_djangos_tasks_are_enqueued_by_a_view_run_by_a_worker_and_have_results(
    database_url: str, schema: str, tmp_path: Path
) -> None:
    reader = Reader(database_url, schema, tmp_path)
    python = environment(VERSIONS[0])
    reader.save(
        how_to("django-tasks"),
        manage="""
            import os, sys
            from django.core.management import execute_from_command_line
            os.environ["DJANGO_SETTINGS_MODULE"] = "project"
            execute_from_command_line(sys.argv)
        """,
        project=f"""
            from psycopg.conninfo import conninfo_to_dict
            from shop.settings import INSTALLED_APPS, TASKS

            parts = conninfo_to_dict({database_url!r})
            database = {{"ENGINE": "django.db.backends.postgresql", "NAME": parts.pop("dbname"), "OPTIONS": parts}}
            DATABASES = {{"default": database}}
            STEVE = {{"schema": {reader.schema!r}}}
            ROOT_URLCONF, SECRET_KEY, ALLOWED_HOSTS, USE_TZ = "urls", "not one", ["*"], True
        """,
        urls="""
            from django.urls import path
            from shop.views import order, state
            urlpatterns = [path("order", order), path("state/<id>", state)]
        """,
        client="""
            import os, sys
            os.environ["DJANGO_SETTINGS_MODULE"] = "project"
            import django
            django.setup()
            from django.test import Client
            from shop import orders, settings_60
            from steve.contrib.django import manager

            client = Client()
            if sys.argv[1:] == ["enqueue"]:
                manager.migrate()
                id = client.post("/order").json()["id"]
                assert client.get(f"/state/{id}").json() == {"status": "READY", "value": None, "attempts": 0}
                paid, exported, again = orders.enqueue(7)
                assert again.id == exported.id
                assert [job.type for job in manager.fetch_all()] == [
                    "django.task", "shop.tasks.charge", "shop.tasks.welcome", "shop.tasks.charge"
                ]
                assert len(manager.fetch_all(tags={"task": "shop.orders.export"})) == 1
                assert settings_60.TASKS["default"]["OPTIONS"]["database"] == "default"
                print(id, paid.id, exported.id)
            else:
                id, paid, exported = sys.argv[1:]
                manager.wait_all([id, paid, exported], 30)
                assert client.get(f"/state/{id}").json() == {
                    "status": "SUCCESSFUL", "value": "order 7 is paid, attempt 2", "attempts": 2
                }
                assert orders.export.get_result(exported).return_value == "order 7 is exported"
                assert manager.find(paid).max_attempts == 2
        """,
    )

    def run(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [python, *arguments],
            cwd=reader.folder, env=os.environ | {"PYTHONPATH": f"{reader.folder}:{ROOT}"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    ids = ends_well(run("client.py", "enqueue")).split()
    worker = run(*CONSOLE.search(how_to("django-tasks").text).group(1).split()[1:])  # type: ignore[union-attr]
    try:
        ends_well(run("client.py", *ids))
    finally:
        written = ends_well(worker, signal_number=signal.SIGTERM)
    assert "mail to ada@example.com: Welcome!" in written
    ends_well(run("manage.py", "test", "shop"))
